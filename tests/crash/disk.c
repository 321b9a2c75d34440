#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/model.h"
#include "tests/lib/test.h"

#define PATH_SIZE   512
#define NAME_SIZE   64
#define OBJECTS_MAX 512
#define NAMES_MAX   256
#define SECTORS_MAX 4096 /* of one write: 2 MiB */
#define NO_OBJECT   SIZE_MAX
#define UNDO_MAX    8192

const char *const cut_names[CUT_KIND_COUNT] = {"all",         "none",         "last", "all but one",
                                               "some writes", "some sectors", "torn"};

/* A file or a directory; what of it is certain. A file is DIR/objects/NUMBER too, which DIR/root/... links to. */
struct object {
        uint64_t inode;
        bool is_dir;
        int fd;
        uint8_t *data;
        size_t len, size;
};

/* A name in a directory. */
struct name {
        size_t dir, object;
        char text[NAME_SIZE];
};

struct names {
        struct name list[NAMES_MAX];
        size_t count;
};

struct pending {
        const struct trace_event *event;
        size_t object;   /* of a write or a size: the file; of names: the directory whose sync makes it certain */
        size_t dir;      /* of a rename: the one that it leaves */
        size_t child;    /* what a name is of */
        uint64_t number; /* counts up */
        bool is_chosen;  /* by disk_cut: not, or in parts */
        uint8_t sectors[SECTORS_MAX / 8];
        uint8_t settled[SECTORS_MAX / 8]; /* certain already, together with a later write */
};

/* Bytes of a file that disk_cut has changed. */
struct undo {
        size_t object;
        uint64_t offset, len;
};

struct disk {
        char dir[PATH_SIZE];
        struct object objects[OBJECTS_MAX];
        size_t object_count;
        struct names names; /* that are certain */
        struct names shown; /* that DIR/root has now */
        bool is_shown;
        struct pending *pending;
        size_t pending_count, pending_size;
        uint64_t next_number;

        struct { /* begun and not ended, one for each thread */
                uint64_t thread, number;
        } syncs[64];
        size_t sync_count;

        struct undo undos[UNDO_MAX];
        size_t undo_count;
        struct slot dice;
};

/* ---- Objects and names ---- */

static size_t find_object(const struct disk *disk, uint64_t inode)
{
        size_t i = disk->object_count;

        /* The newest: the system gives numbers again. */
        while (i-- > 0) {
                if (disk->objects[i].inode == inode) return i;
        }
        return NO_OBJECT;
}

static size_t must_find(const struct disk *disk, uint64_t inode)
{
        size_t found = find_object(disk, inode);

        assert_true(found != NO_OBJECT);
        return found;
}

static size_t add_object(struct disk *disk, uint64_t inode, bool is_dir)
{
        struct object *object = &disk->objects[disk->object_count];
        char path[PATH_SIZE + 32];

        assert_true(disk->object_count < OBJECTS_MAX);
        *object = (struct object){.inode = inode, .is_dir = is_dir, .fd = -1};
        if (!is_dir) {
                snprintf(path, sizeof path, "%s/objects/%zu", disk->dir, disk->object_count);
                object->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                assert_true(object->fd >= 0);
        }
        return disk->object_count++;
}

static struct name *find_name(struct names *names, size_t dir, const char *text, size_t len)
{
        size_t i;

        for (i = 0; i < names->count; i++) {
                struct name *name = &names->list[i];

                if (name->dir == dir && strlen(name->text) == len && memcmp(name->text, text, len) == 0) return name;
        }
        return NULL;
}

static void put_name(struct names *names, size_t dir, const char *text, size_t len, size_t object)
{
        struct name *name = find_name(names, dir, text, len);

        if (name == NULL) {
                assert_true(names->count < NAMES_MAX && len < NAME_SIZE);
                name = &names->list[names->count++];
                *name = (struct name){.dir = dir};
                memcpy(name->text, text, len);
        }
        name->object = object;
}

static void remove_name(struct names *names, size_t dir, const char *text, size_t len)
{
        struct name *name = find_name(names, dir, text, len);

        /* In order, so that two equal lists are equal byte by byte. */
        if (name == NULL) return;
        memmove(name, name + 1, (size_t)((char *)&names->list[names->count] - (char *)(name + 1)));
        names->list[--names->count] = (struct name){0};
}

static void change_names(struct names *names, const struct pending *pending)
{
        const struct trace_event *event = pending->event;
        const struct trace_head *head = event->head;
        const struct name *old;

        switch (head->kind) {
        case TRACE_CREATE:
        case TRACE_MKDIR:
                put_name(names, pending->object, event->name, head->name_len, pending->child);
                break;
        case TRACE_REMOVE:
                remove_name(names, pending->object, event->name, head->name_len);
                break;
        default:
                old = find_name(names, pending->dir, event->name, head->name_len);
                if (old != NULL && old->object == pending->child)
                        remove_name(names, pending->dir, event->name, head->name_len);
                put_name(names, pending->object, event->other_name, head->other_name_len, pending->child);
                break;
        }
}

/* ---- What becomes certain ---- */

static void resize(struct object *object, size_t len)
{
        if (len > object->size) {
                object->size = 2 * len;
                object->data = realloc(object->data, object->size);
                assert_non_null(object->data);
        }
        if (len > object->len) memset(object->data + object->len, 0, len - object->len);
        object->len = len;
}

static void write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
        if (len > 0) assert_int_equal(pwrite(fd, data, len, (off_t)offset), len);
}

/* The pieces of a write: the first one ends where the file's first sector does. */
static size_t sector_count(const struct trace_head *head)
{
        return (size_t)((head->offset % DISK_SECTOR + head->data_len + DISK_SECTOR - 1) / DISK_SECTOR);
}

/* The bytes of a piece, counted in the file. */
static void sector_range(const struct trace_head *head, size_t sector, uint64_t *from, uint64_t *to)
{
        *from = head->offset / DISK_SECTOR * DISK_SECTOR + sector * DISK_SECTOR;
        *to = *from + DISK_SECTOR;
        if (*from < head->offset) *from = head->offset;
        if (*to > head->offset + head->data_len) *to = head->offset + head->data_len;
}

static void set_sector(uint8_t *sectors, size_t sector)
{
        sectors[sector / 8] |= (uint8_t)(1u << sector % 8);
}

static bool has_sector(const uint8_t *sectors, size_t sector)
{
        return (sectors[sector / 8] & 1u << sector % 8) != 0;
}

static void settle_bytes(struct object *object, const struct pending *pending)
{
        const struct trace_head *head = pending->event->head;
        uint64_t from, to;
        size_t i;

        if (head->kind == TRACE_WRITE) {
                if (head->offset + head->data_len > object->len) resize(object, head->offset + head->data_len);
                for (i = 0; i < sector_count(head); i++) {
                        if (has_sector(pending->settled, i)) continue;
                        sector_range(head, i, &from, &to);
                        memcpy(object->data + from, pending->event->data + (from - head->offset), to - from);
                }
                write_all(object->fd, object->data + head->offset, head->data_len, head->offset);
        } else if (head->kind == TRACE_SIZE || head->offset > object->len) {
                resize(object, head->offset);
        }
        assert_int_equal(ftruncate(object->fd, (off_t)object->len), 0);
}

static bool is_of_bytes(const struct pending *pending)
{
        uint32_t kind = pending->event->head->kind;

        return kind == TRACE_WRITE || kind == TRACE_SIZE || kind == TRACE_GROW;
}

static void settle(struct disk *disk, const struct pending *pending)
{
        if (is_of_bytes(pending))
                settle_bytes(&disk->objects[pending->object], pending);
        else
                change_names(&disk->names, pending);
}

/* All that was pending for it before that number. */
static void settle_object(struct disk *disk, size_t object, uint64_t before)
{
        size_t i, kept = 0;

        for (i = 0; i < disk->pending_count; i++) {
                if (disk->pending[i].object == object && disk->pending[i].number < before)
                        settle(disk, &disk->pending[i]);
                else if (kept++ != i)
                        disk->pending[kept - 1] = disk->pending[i];
        }
        disk->pending_count = kept;
}

/* What an earlier write left in the sectors that a later one, `by`, takes to the disk, goes there with it. */
static void settle_shared(struct disk *disk, struct pending *pending, const struct trace_head *by)
{
        struct object *object = &disk->objects[pending->object];
        const struct trace_head *head = pending->event->head;
        uint64_t low = by->offset / DISK_SECTOR * DISK_SECTOR, high = by->offset + by->data_len, from, to;
        size_t i;

        for (i = 0; i < sector_count(head); i++) {
                sector_range(head, i, &from, &to);
                if (to <= low || from / DISK_SECTOR * DISK_SECTOR >= high || has_sector(pending->settled, i)) continue;
                set_sector(pending->settled, i);
                if (to > object->len) resize(object, to);
                memcpy(object->data + from, pending->event->data + (from - head->offset), to - from);
                write_all(object->fd, object->data + from, to - from, from);
        }
}

/* The thread's newest write, and nothing else. */
static void settle_write(struct disk *disk, size_t object, uint64_t thread)
{
        size_t i = disk->pending_count, j;

        while (i-- > 0) {
                const struct trace_head *head = disk->pending[i].event->head;

                if (disk->pending[i].object != object || head->kind != TRACE_WRITE || head->thread != thread) continue;
                for (j = 0; j < i; j++) {
                        if (disk->pending[j].object == object && disk->pending[j].event->head->kind == TRACE_WRITE)
                                settle_shared(disk, &disk->pending[j], head);
                }
                settle(disk, &disk->pending[i]);
                memmove(&disk->pending[i], &disk->pending[i + 1],
                        (disk->pending_count - i - 1) * sizeof *disk->pending);
                disk->pending_count--;
                return;
        }
        fail_msg("a write ends that has not begun");
}

static void begin_sync(struct disk *disk, uint64_t thread)
{
        size_t i = 0;

        while (i < disk->sync_count && disk->syncs[i].thread != thread)
                i++;
        assert_true(i < sizeof disk->syncs / sizeof disk->syncs[0]);
        if (i == disk->sync_count) disk->sync_count++;
        disk->syncs[i].thread = thread;
        disk->syncs[i].number = disk->next_number;
}

static void end_sync(struct disk *disk, size_t object, uint64_t thread)
{
        size_t i = 0;

        while (i < disk->sync_count && disk->syncs[i].thread != thread)
                i++;
        assert_true(i < disk->sync_count);
        settle_object(disk, object, disk->syncs[i].number);
}

static void add_pending(struct disk *disk, const struct trace_event *event)
{
        const struct trace_head *head = event->head;
        struct pending *pending;

        if (disk->pending_count == disk->pending_size) {
                disk->pending_size = 2 * disk->pending_size + 64;
                disk->pending = realloc(disk->pending, disk->pending_size * sizeof *disk->pending);
                assert_non_null(disk->pending);
        }
        pending = &disk->pending[disk->pending_count++];
        *pending = (struct pending){.event = event, .number = disk->next_number++};
        switch (head->kind) {
        case TRACE_CREATE:
        case TRACE_MKDIR:
                pending->object = must_find(disk, head->dir);
                pending->child = add_object(disk, head->inode, head->kind == TRACE_MKDIR);
                break;
        case TRACE_REMOVE:
                pending->object = must_find(disk, head->dir);
                break;
        case TRACE_RENAME:
                pending->object = must_find(disk, head->other_dir);
                pending->dir = must_find(disk, head->dir);
                pending->child = must_find(disk, head->inode);
                break;
        default:
                assert_true(head->data_len / DISK_SECTOR + 2 <= SECTORS_MAX);
                pending->object = must_find(disk, head->inode);
                break;
        }
}

/* ---- The files ---- */

static void undo(struct disk *disk)
{
        size_t i;

        for (i = 0; i < disk->undo_count; i++) {
                const struct undo *undo = &disk->undos[i];
                const struct object *object = &disk->objects[undo->object];

                if (undo->offset < object->len)
                        write_all(object->fd, object->data + undo->offset,
                                  undo->len < object->len - undo->offset ? undo->len : object->len - undo->offset,
                                  undo->offset);
                assert_int_equal(ftruncate(object->fd, (off_t)object->len), 0);
        }
        disk->undo_count = 0;
}

static void note_undo(struct disk *disk, size_t object, uint64_t offset, uint64_t len)
{
        assert_true(disk->undo_count < UNDO_MAX);
        disk->undos[disk->undo_count++] = (struct undo){object, offset, len};
}

static void show_write(struct disk *disk, const struct pending *pending)
{
        const struct object *object = &disk->objects[pending->object];
        const struct trace_head *head = pending->event->head;
        size_t i, count = sector_count(head);
        uint64_t from, to;

        note_undo(disk, pending->object, head->offset, head->data_len);
        for (i = 0; i < count; i++) {
                if (!has_sector(pending->sectors, i) || has_sector(pending->settled, i)) continue;
                sector_range(head, i, &from, &to);
                write_all(object->fd, pending->event->data + (from - head->offset), to - from, from);
        }
}

static void show_size(struct disk *disk, const struct pending *pending)
{
        const struct object *object = &disk->objects[pending->object];
        const struct trace_head *head = pending->event->head;
        struct stat st;

        assert_int_equal(fstat(object->fd, &st), 0);
        if (head->kind == TRACE_GROW && (uint64_t)st.st_size >= head->offset) return;
        note_undo(disk, pending->object, head->offset, object->len > head->offset ? object->len - head->offset : 0);
        assert_int_equal(ftruncate(object->fd, (off_t)head->offset), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        (void)st;
        (void)type;
        (void)walk;
        return remove(path);
}

/* The names in a directory and in those below it. A name that leads nowhere is of a directory that is not there. */
static void show_dir(struct disk *disk, size_t dir, const char *path)
{
        char inner[PATH_SIZE], source[PATH_SIZE + 32];
        size_t i;

        assert_int_equal(mkdir(path, 0700), 0);
        for (i = 0; i < disk->shown.count; i++) {
                const struct name *name = &disk->shown.list[i];

                if (name->dir != dir) continue;
                assert_true(snprintf(inner, sizeof inner, "%s/%s", path, name->text) < (int)sizeof inner);
                snprintf(source, sizeof source, "%s/objects/%zu", disk->dir, name->object);
                if (disk->objects[name->object].is_dir)
                        show_dir(disk, name->object, inner);
                else
                        assert_int_equal(link(source, inner), 0);
        }
}

static void show_names(struct disk *disk, const struct names *names)
{
        char path[PATH_SIZE + 8];

        if (disk->is_shown && memcmp(&disk->shown, names, sizeof *names) == 0) return;
        disk->shown = *names;
        disk->is_shown = true;
        snprintf(path, sizeof path, "%s/root", disk->dir);
        assert_true(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT);
        show_dir(disk, 0, path);
}

/* ---- Choosing ---- */

static void choose_all(struct pending *pending)
{
        pending->is_chosen = true;
        memset(pending->sectors, 0xff, sizeof pending->sectors);
}

/* The odds of a cut, so that there are some with little and some with much. */
static void choose_some(struct disk *disk, bool is_by_sector)
{
        static const uint32_t odds[] = {16, 128, 240};
        uint32_t odd = odds[slot_random(&disk->dice, 3)];
        size_t i, sector;

        for (i = 0; i < disk->pending_count; i++) {
                struct pending *pending = &disk->pending[i];

                if (slot_random(&disk->dice, 256) >= odd) continue;
                choose_all(pending);
                if (!is_by_sector || pending->event->head->kind != TRACE_WRITE) continue;
                memset(pending->sectors, 0, sizeof pending->sectors);
                for (sector = 0; sector < sector_count(pending->event->head); sector++) {
                        if (slot_random(&disk->dice, 2) == 0) set_sector(pending->sectors, sector);
                }
        }
}

static void tear_last(struct disk *disk)
{
        struct pending *pending = &disk->pending[disk->pending_count - 1];
        uint32_t sector, count;

        if (pending->event->head->kind != TRACE_WRITE) return;
        count = slot_random(&disk->dice, (uint32_t)sector_count(pending->event->head) + 1);
        memset(pending->sectors, 0, sizeof pending->sectors);
        for (sector = 0; sector < count; sector++)
                set_sector(pending->sectors, sector);
}

static void choose(struct disk *disk, enum cut_kind kind)
{
        size_t i, count = disk->pending_count;

        for (i = 0; i < count; i++) {
                disk->pending[i].is_chosen = false;
                if (kind == CUT_ALL || kind == CUT_LACK || kind == CUT_TORN) choose_all(&disk->pending[i]);
        }
        if (count == 0) return;
        if (kind == CUT_LAST) choose_all(&disk->pending[count - 1]);
        if (kind == CUT_LACK) disk->pending[slot_random(&disk->dice, (uint32_t)count)].is_chosen = false;
        if (kind == CUT_WRITES || kind == CUT_SECTORS) choose_some(disk, kind == CUT_SECTORS);
        if (kind == CUT_TORN) tear_last(disk);
}

/* ---- From outside ---- */

struct disk *disk_new(const char *dir)
{
        struct disk *disk = calloc(1, sizeof *disk);
        char path[PATH_SIZE + 16];

        assert_non_null(disk);
        snprintf(disk->dir, sizeof disk->dir, "%s", dir);
        snprintf(path, sizeof path, "%s/objects", dir);
        assert_int_equal(mkdir(path, 0700), 0);
        return disk;
}

void disk_free(struct disk *disk)
{
        size_t i;

        for (i = 0; i < disk->object_count; i++) {
                free(disk->objects[i].data);
                if (disk->objects[i].fd >= 0) close(disk->objects[i].fd);
        }
        free(disk->pending);
        free(disk);
}

void disk_apply(struct disk *disk, const struct trace_event *event)
{
        const struct trace_head *head = event->head;

        undo(disk);
        switch (head->kind) {
        case TRACE_ROOT:
                assert_int_equal(add_object(disk, head->inode, true), 0);
                break;
        case TRACE_SYNC_BEGIN:
                begin_sync(disk, head->thread);
                break;
        case TRACE_SYNC_END:
                end_sync(disk, must_find(disk, head->inode), head->thread);
                break;
        case TRACE_WRITE_END:
                settle_write(disk, must_find(disk, head->inode), head->thread);
                break;
        case TRACE_NOTE:
                break;
        default:
                add_pending(disk, event);
                break;
        }
}

size_t disk_pending(const struct disk *disk)
{
        return disk->pending_count;
}

void disk_cut(struct disk *disk, enum cut_kind kind, uint64_t seed)
{
        struct names *names = malloc(sizeof *names);
        size_t i;

        assert_non_null(names);
        undo(disk);
        disk->dice = (struct slot){.random = seed};
        choose(disk, kind);
        *names = disk->names;
        for (i = 0; i < disk->pending_count; i++) {
                const struct pending *pending = &disk->pending[i];

                if (!pending->is_chosen) continue;
                if (!is_of_bytes(pending))
                        change_names(names, pending);
                else if (pending->event->head->kind == TRACE_WRITE)
                        show_write(disk, pending);
                else
                        show_size(disk, pending);
        }
        show_names(disk, names);
        free(names);
}

void disk_spoilt(struct disk *disk)
{
        size_t i;

        disk->undo_count = 0;
        disk->is_shown = false;
        for (i = 0; i < disk->object_count; i++) {
                const struct object *object = &disk->objects[i];

                if (object->is_dir) continue;
                assert_int_equal(ftruncate(object->fd, 0), 0);
                write_all(object->fd, object->data, object->len, 0);
        }
}
