#include "engine/lmdb_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/bytes.h"

#define MAGIC   0xbeefc0deu
#define VERSION 1u

/* Of a page's header: its number, flags, and where its array of nodes ends and its nodes begin. */
#define PAGE_HEADER_SIZE 16
#define NODE_HEADER_SIZE 8

/* Flags of pages */
enum {
        PAGE_BRANCH = 0x01,
        PAGE_LEAF = 0x02,
        PAGE_OVERFLOW = 0x04,
        PAGE_META = 0x08,
};

/* Flags of nodes */
enum {
        NODE_LARGE = 0x01,    /* the value lies in pages of its own */
        NODE_DATABASE = 0x02, /* the value is a struct database */
};

#define PAGE_SIZE_MIN 512u
#define PAGE_SIZE_MAX 65536u
#define DEPTH_MAX     32 /* LMDB's own */
#define DATABASES_MAX 32
#define FAULTS_MAX    1000 /* a file of garbage would have millions */
#define NO_PAGE       UINT64_MAX

struct database {
        uint32_t pad; /* the page size, in the database of free pages */
        uint16_t flags;
        uint16_t depth;
        uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

_Static_assert(sizeof(struct database) == 48, "as it lies in the file");

struct meta {
        uint32_t magic, version;
        uint64_t address, map_size;
        struct database free_pages, main;
        uint64_t last_page, txn;
};

_Static_assert(sizeof(struct meta) == 136, "as it lies in the file");

struct tree {
        int fd;
        uint32_t page_size;
        struct meta meta;
        uint8_t *seen; /* a bit for each page up to the last */
        uint64_t page_count;
        uint8_t *pages; /* one for each level, and one for a first page of a large value */

        void *context;
        backend_found_fn *found_cb;
        uint64_t fault_count;
        enum result failure; /* what could not even be read: R_IO */

        /* the database being walked */
        const char *name;
        bool is_free_list;
        struct database counted;
        struct database inner[DATABASES_MAX]; /* of the main database */
        char inner_names[DATABASES_MAX][32];
        size_t inner_count;
};

static void found(struct tree *tree, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void found(struct tree *tree, const char *format, ...)
{
        char sentence[BACKEND_SENTENCE_SIZE];
        va_list arguments;
        int len;

        if (tree->fault_count++ >= FAULTS_MAX) return;
        len = snprintf(sentence, sizeof sentence, "table %s: ", tree->name);
        va_start(arguments, format);
        vsnprintf(sentence + len, sizeof sentence - (size_t)len, format, arguments);
        va_end(arguments);
        tree->found_cb(tree->context, sentence);
}

/* ---- Pages ---- */

/* False: there is no such page, or it was led to before; that was said. */
static bool take_pages(struct tree *tree, uint64_t first, uint64_t count)
{
        uint64_t page;

        if (first < 2 || count > tree->meta.last_page || first > tree->meta.last_page + 1 - count) {
                found(tree, "leads to page %" PRIu64 ", and the last one is %" PRIu64, first, tree->meta.last_page);
                return false;
        }
        for (page = first; page < first + count; page++) {
                if (tree->seen[page / 8] & 1u << page % 8) {
                        found(tree, "leads to page %" PRIu64 ", to which something led before", page);
                        return false;
                }
                tree->seen[page / 8] |= (uint8_t)(1u << page % 8);
        }
        tree->page_count += count;
        return true;
}

static uint16_t read_u16(const uint8_t *at)
{
        uint16_t value;

        memcpy(&value, at, sizeof value);
        return value;
}

static uint64_t read_u64(const uint8_t *at)
{
        uint64_t value;

        memcpy(&value, at, sizeof value);
        return value;
}

/* False: it cannot be read, or is another page. */
static bool read_page(struct tree *tree, uint64_t number, uint16_t kind, uint8_t *out)
{
        uint32_t have = 0;

        while (have < tree->page_size) {
                ssize_t count =
                        pread(tree->fd, out + have, tree->page_size - have, (off_t)(number * tree->page_size + have));

                if (count < 0 && errno == EINTR) continue;
                if (count < 0) tree->failure = R_IO;
                if (count <= 0) {
                        found(tree, "page %" PRIu64 " %s", number,
                              count < 0 ? "cannot be read" : "is behind the file's end");
                        return false;
                }
                have += (uint32_t)count;
        }
        if (read_u64(out) != number) {
                found(tree, "page %" PRIu64 " says that it is page %" PRIu64, number, read_u64(out));
                return false;
        }
        if ((read_u16(out + 10) & (PAGE_BRANCH | PAGE_LEAF | PAGE_OVERFLOW | PAGE_META)) != kind) {
                found(tree, "page %" PRIu64 " is of another kind than its place wants", number);
                return false;
        }
        return true;
}

/* ---- Nodes ---- */

struct node {
        struct bytes key;
        uint64_t child;     /* branches */
        uint32_t value_len; /* leaves */
        uint16_t flags;     /* leaves */
        const uint8_t *value;
};

/* False: it does not lie inside its page. */
static bool read_node(const struct tree *tree, const uint8_t *page, unsigned index, bool is_leaf, struct node *out)
{
        uint32_t at = read_u16(page + PAGE_HEADER_SIZE + 2 * index);
        uint32_t lower = read_u16(page + 12), upper = read_u16(page + 14);
        uint32_t room, low, high, key_len, held;

        if (at < upper || at < lower || at + NODE_HEADER_SIZE > tree->page_size) return false;
        room = tree->page_size - at - NODE_HEADER_SIZE;
        low = read_u16(page + at);
        high = read_u16(page + at + 2);
        key_len = read_u16(page + at + 6);
        if (key_len > room) return false;
        *out = (struct node){.key = bytes_of(page + at + NODE_HEADER_SIZE, key_len), .flags = read_u16(page + at + 4)};
        if (!is_leaf) {
                out->child = low | (uint64_t)high << 16 | (uint64_t)out->flags << 32;
                return true;
        }
        out->value = out->key.data + key_len;
        out->value_len = low | high << 16;
        held = out->flags & NODE_LARGE ? (uint32_t)sizeof(uint64_t) : out->value_len;
        return held <= room - key_len;
}

static int compare(const struct tree *tree, struct bytes a, struct bytes b)
{
        int order;

        if (tree->is_free_list) { /* transactions, as numbers */
                uint64_t one = a.len == 8 ? read_u64(a.data) : 0, two = b.len == 8 ? read_u64(b.data) : 0;

                return (one > two) - (one < two);
        }
        order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
        return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The pages of a large value; NULL: none, or they are not there. *first is the page's number. */
static const uint8_t *take_large(struct tree *tree, const struct node *node)
{
        uint8_t *page = tree->pages + (size_t)DEPTH_MAX * tree->page_size;
        uint64_t first = read_u64(node->value), count, needed;

        if (first < 2 || first > tree->meta.last_page) {
                found(tree, "a value is said to lie at page %" PRIu64, first);
                return NULL;
        }
        if (!read_page(tree, first, PAGE_OVERFLOW, page)) return NULL;
        count = (uint64_t)read_u16(page + 12) | (uint64_t)read_u16(page + 14) << 16;
        needed = (PAGE_HEADER_SIZE + (uint64_t)node->value_len + tree->page_size - 1) / tree->page_size;
        if (count != needed) {
                found(tree, "a value of %" PRIu32 " bytes has %" PRIu64 " pages", node->value_len, count);
                return NULL;
        }
        if (!take_pages(tree, first, count)) return NULL;
        tree->counted.overflow_pages += count;
        return page;
}

/* A list of free pages: how many, then their numbers. Long ones are read from the file. */
static void take_free(struct tree *tree, const struct node *node, const uint8_t *large)
{
        uint64_t first = large == NULL ? 0 : read_u64(node->value);
        uint64_t *list = malloc(node->value_len + sizeof *list);
        uint64_t count, i;

        if (list == NULL) {
                tree->failure = R_NO_MEMORY;
                return;
        }
        if (large == NULL) {
                memcpy(list, node->value, node->value_len);
        } else if (pread(tree->fd, list, node->value_len, (off_t)(first * tree->page_size + PAGE_HEADER_SIZE)) !=
                   (ssize_t)node->value_len) {
                found(tree, "a list of free pages is behind the file's end");
                free(list);
                return;
        }
        count = node->value_len < sizeof *list ? UINT64_MAX : list[0];
        if (count > node->value_len / sizeof *list - 1 || node->value_len % sizeof *list != 0)
                found(tree, "a list of free pages is not as long as it says");
        else
                for (i = 1; i <= count; i++)
                        if (!take_pages(tree, list[i], 1)) break;
        free(list);
}

static void keep_inner(struct tree *tree, const struct node *node)
{
        if (node->value_len != sizeof(struct database) || tree->inner_count == DATABASES_MAX) {
                found(tree, "a database is described in %" PRIu32 " bytes", node->value_len);
                return;
        }
        snprintf(tree->inner_names[tree->inner_count], sizeof tree->inner_names[0], "%.*s",
                 (int)(node->key.len < 31 ? node->key.len : 31), (const char *)node->key.data);
        memcpy(&tree->inner[tree->inner_count++], node->value, sizeof(struct database));
}

static void take_leaf_node(struct tree *tree, const struct node *node)
{
        const uint8_t *large = NULL;

        tree->counted.entries++;
        if (node->flags & NODE_LARGE && (large = take_large(tree, node)) == NULL) return;
        if (node->flags & NODE_DATABASE) keep_inner(tree, node);
        if (tree->is_free_list) take_free(tree, node, large);
}

/* ---- Trees ---- */

/* What keys a page may have: from `low` on, and below `high`; NULL data: unbounded. */
struct range {
        struct bytes low, high;
};

static void walk_page(struct tree *tree, uint64_t number, unsigned level, unsigned depth, struct range range);

static void check_key(struct tree *tree, uint64_t number, struct bytes key, struct bytes before, struct range range)
{
        if (before.data != NULL && compare(tree, key, before) <= 0)
                found(tree, "page %" PRIu64 " has keys that do not ascend", number);
        if (range.low.data != NULL && compare(tree, key, range.low) < 0)
                found(tree, "page %" PRIu64 " has a key below what its branch says", number);
        if (range.high.data != NULL && compare(tree, key, range.high) >= 0)
                found(tree, "page %" PRIu64 " has a key above what its branch says", number);
}

static void walk_nodes(struct tree *tree, const uint8_t *page, uint64_t number, unsigned level, unsigned depth,
                       struct range range)
{
        bool is_leaf = level + 1 == depth;
        unsigned count = (unsigned)(read_u16(page + 12) - PAGE_HEADER_SIZE) / 2;
        struct bytes before = {0};
        struct node node, next;

        for (unsigned i = 0; i < count; i++) {
                if (!read_node(tree, page, i, is_leaf, &node)) {
                        found(tree, "page %" PRIu64 " has a node that does not lie inside it", number);
                        return;
                }
                /* The first key of a branch is none: all that is below the second belongs there. */
                if (is_leaf || i > 0) check_key(tree, number, node.key, before, range);
                if (is_leaf || i > 0) before = node.key;
                if (is_leaf) {
                        take_leaf_node(tree, &node);
                        continue;
                }
                struct range below = {i == 0 ? range.low : node.key, range.high};

                if (i + 1 < count && read_node(tree, page, i + 1, false, &next)) below.high = next.key;
                walk_page(tree, node.child, level + 1, depth, below);
        }
}

static void walk_page(struct tree *tree, uint64_t number, unsigned level, unsigned depth, struct range range)
{
        uint8_t *page = tree->pages + (size_t)level * tree->page_size;
        bool is_leaf = level + 1 == depth;
        uint32_t lower, upper;

        if (tree->failure != R_OK || tree->fault_count >= FAULTS_MAX) return;
        if (!take_pages(tree, number, 1)) return;
        if (!read_page(tree, number, is_leaf ? PAGE_LEAF : PAGE_BRANCH, page)) return;
        lower = read_u16(page + 12);
        upper = read_u16(page + 14);
        if (lower < PAGE_HEADER_SIZE || lower % 2 != 0 || lower > upper || upper > tree->page_size) {
                found(tree, "page %" PRIu64 " has bounds that cannot be", number);
                return;
        }
        if (is_leaf)
                tree->counted.leaf_pages++;
        else
                tree->counted.branch_pages++;
        walk_nodes(tree, page, number, level, depth, range);
}

static void check_count(struct tree *tree, const char *what, uint64_t says, uint64_t has)
{
        if (says != has) found(tree, "says that it has %" PRIu64 " %s, and has %" PRIu64, says, what, has);
}

static void walk_database(struct tree *tree, const char *name, const struct database *database)
{
        tree->name = name;
        tree->counted = (struct database){0};
        if (database->root == NO_PAGE) {
                if (database->depth != 0) found(tree, "has levels and no root");
        } else if (database->depth == 0 || database->depth > DEPTH_MAX) {
                found(tree, "says that it has %u levels", database->depth);
                return;
        } else {
                walk_page(tree, database->root, 0, database->depth, (struct range){0});
        }
        check_count(tree, "branch pages", database->branch_pages, tree->counted.branch_pages);
        check_count(tree, "leaf pages", database->leaf_pages, tree->counted.leaf_pages);
        check_count(tree, "pages of large values", database->overflow_pages, tree->counted.overflow_pages);
        check_count(tree, "entries", database->entries, tree->counted.entries);
}

/* ---- The file ---- */

/* Of the two meta pages the one with the newer transaction. */
static bool read_meta(struct tree *tree, uint32_t page_size, unsigned index, struct meta *out)
{
        uint8_t page[PAGE_HEADER_SIZE + sizeof *out];

        if (pread(tree->fd, page, sizeof page, (off_t)index * page_size) != (ssize_t)sizeof page) return false;
        memcpy(out, page + PAGE_HEADER_SIZE, sizeof *out);
        return read_u64(page) == index && (read_u16(page + 10) & PAGE_META) != 0 && out->magic == MAGIC &&
               out->version == VERSION;
}

static bool choose_meta(struct tree *tree)
{
        struct meta first, second;
        uint32_t size;

        if (!read_meta(tree, 0, 0, &first)) return false;
        size = first.free_pages.pad;
        if (size < PAGE_SIZE_MIN || size > PAGE_SIZE_MAX || (size & (size - 1)) != 0) return false;
        if (!read_meta(tree, size, 1, &second) || second.free_pages.pad != size) return false;
        tree->page_size = size;
        tree->meta = second.txn > first.txn ? second : first;
        return true;
}

static enum result walk_file(struct tree *tree)
{
        size_t i;

        walk_database(tree, "main", &tree->meta.main);
        for (i = 0; i < tree->inner_count; i++)
                walk_database(tree, tree->inner_names[i], &tree->inner[i]);
        tree->is_free_list = true;
        walk_database(tree, "of free pages", &tree->meta.free_pages);
        return tree->failure;
}

static enum result check_file(struct tree *tree)
{
        struct stat st;
        enum result r;

        tree->name = "main";
        if (fstat(tree->fd, &st) != 0) return R_IO;
        if (!choose_meta(tree)) {
                found(tree, "the file does not start as one of LMDB does");
                return R_OK;
        }
        /* Pages at the end that were given back may never have been written, but not most of them. */
        if (tree->meta.last_page / 1024 > (uint64_t)st.st_size / tree->page_size + 1) {
                found(tree, "the last page is said to be %" PRIu64 ", far behind the file's end", tree->meta.last_page);
                return R_OK;
        }
        tree->seen = calloc(1, tree->meta.last_page / 8 + 1);
        tree->pages = malloc((size_t)(DEPTH_MAX + 1) * tree->page_size);
        r = tree->seen == NULL || tree->pages == NULL ? R_NO_MEMORY : walk_file(tree);
        free(tree->seen);
        free(tree->pages);
        return r;
}

enum result lmdb_tree_check(int dir_fd, void *context, backend_found_fn *found_cb, uint64_t *page_count)
{
        struct tree *tree = calloc(1, sizeof *tree);
        enum result r;

        if (tree == NULL) return R_NO_MEMORY;
        tree->context = context;
        tree->found_cb = found_cb;
        tree->fd = openat(dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC);
        if (tree->fd < 0) {
                r = errno == ENOENT ? R_ABSENT : R_IO;
        } else {
                r = check_file(tree);
                close(tree->fd);
        }
        if (r == R_OK && tree->fault_count > 0) r = R_CORRUPT;
        *page_count = tree->page_count;
        free(tree);
        return r;
}
