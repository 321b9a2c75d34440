#include "tests/crash/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

#define META_PAGES_SIZE 8192 /* a write below commits */
#define NO_STATE        SIZE_MAX

struct run {
        struct sweep *sweep;
        struct tempdir dir;
        char path[TEMPDIR_PATH_SIZE + 64]; /* of what is looked at */
        struct disk *disk;
        struct slot dice;
        uint32_t chance; /* of a cut to be made, of 2^16 */

        uint64_t *digests; /* of the states */
        size_t state_count;
        bool is_old;        /* the newest state may have changed since */
        size_t certain;     /* the newest state that was seen on a disk without anything pending; NO_STATE: none */
        size_t promised;    /* that a program ended with */
        bool must_be_there; /* somebody had an answer */
};

const struct note *note_of(const struct trace_event *event)
{
        if (event->head->kind != TRACE_NOTE) return NULL;
        assert_int_equal(event->head->data_len, sizeof(struct note));
        return (const struct note *)(const void *)event->data;
}

static void fail_at(const struct run *run, size_t index, enum cut_kind kind, const char *why)
{
        fail_msg("%s: a cut before event %zu of %zu, with %s of what was pending, seed %ju: %s. The trace is %s, the "
                 "disk is below %s",
                 run->sweep->target, index, run->sweep->trace->count, cut_names[kind], (uintmax_t)run->sweep->seed, why,
                 run->sweep->trace_path, run->dir.path);
}

/* The disk with all that was written: what the program itself sees. */
static void see_newest(struct run *run, size_t index)
{
        char why[IMAGE_WHY_SIZE];
        struct image image;

        if (!run->is_old) return;
        run->is_old = false;
        disk_cut(run->disk, CUT_ALL, 0);
        if (!run->sweep->look(run->path, &image, why)) fail_at(run, index, CUT_ALL, why);
        run->sweep->cuts[CUT_ALL]++;
        if (!image.is_there) return;
        if (run->state_count > 0 && run->digests[run->state_count - 1] == image.digest) return;
        if (run->sweep->is_store && !image_verify(run->path, why)) fail_at(run, index, CUT_ALL, why);
        run->digests[run->state_count++] = image.digest;
}

static size_t find_state(const struct run *run, uint64_t digest)
{
        size_t i = run->state_count;

        while (i-- > 0) {
                if (run->digests[i] == digest) return i;
        }
        return NO_STATE;
}

static bool is_before(size_t state, size_t other)
{
        return other != NO_STATE && state < other;
}

static void judge_state(struct run *run, size_t index, enum cut_kind kind, const struct image *image)
{
        size_t state = find_state(run, image->digest);
        char why[IMAGE_WHY_SIZE];

        if (state == NO_STATE) {
                if (run->sweep->is_store && !image_verify(run->path, why)) fail_at(run, index, kind, why);
                fail_at(run, index, kind, "it is no state that was committed");
        }
        if (is_before(state, run->certain)) fail_at(run, index, kind, "a state is lost that was on the disk before");
        if (is_before(state, run->promised)) fail_at(run, index, kind, "what a program has done is lost");
        if (kind == CUT_NONE) run->certain = state;
}

static void start(struct run *run, size_t index, bool is_there)
{
        run->sweep->starts++;
        run->sweep->start_cb(run->sweep->context, run->path, is_there, index);
        disk_spoilt(run->disk);
}

/* Whether it is there. */
static bool judge(struct run *run, size_t index, enum cut_kind kind, uint64_t seed)
{
        struct sweep *sweep = run->sweep;
        char why[IMAGE_WHY_SIZE];
        struct image image;

        disk_cut(run->disk, kind, seed);
        if (!sweep->look(run->path, &image, why)) fail_at(run, index, kind, why);
        sweep->cuts[kind]++;
        if (image.is_there) {
                judge_state(run, index, kind, &image);
        } else {
                sweep->absent++;
                if (run->must_be_there || run->certain != NO_STATE || run->promised != NO_STATE)
                        fail_at(run, index, kind, "there is nothing, and there was");
        }
        return image.is_there;
}

/* An answer that did not wait for its sync has been seen by now, and nothing of what it was about is there. */
static void judge_worst(struct run *run, size_t index)
{
        struct sweep *sweep = run->sweep;

        if (sweep->worst_odds == 0 || slot_random(&run->dice, sweep->worst_odds) != 0) return;
        start(run, index, judge(run, index, CUT_NONE, 0));
}

/* Without anything pending one kind is as good as another. */
static void cut(struct run *run, size_t index)
{
        struct sweep *sweep = run->sweep;
        enum cut_kind kind;
        unsigned round;
        bool is_there;

        see_newest(run, index);
        for (round = 0; round < sweep->rounds; round++) {
                for (kind = CUT_NONE; kind < CUT_KIND_COUNT; kind++) {
                        uint32_t high = slot_random(&run->dice, UINT32_MAX), low = slot_random(&run->dice, UINT32_MAX);

                        if (kind <= CUT_LAST && round > 0) continue;
                        if (kind > CUT_NONE && disk_pending(run->disk) == 0) break;
                        if ((high & 0xffff) >= run->chance) continue;
                        is_there = judge(run, index, kind, (uint64_t)high << 32 | low);
                        if (sweep->start_cb == NULL || slot_random(&run->dice, sweep->start_odds) != 0) continue;
                        start(run, index, is_there);
                }
        }
}

static void read_note(struct run *run, size_t index, const struct note *note)
{
        if (note->kind == NOTE_DONE || note->kind == NOTE_READY) run->must_be_there = true;
        if (note->kind != NOTE_ENDED) return;
        see_newest(run, index);
        run->must_be_there = true;
        run->promised = run->state_count - 1;
        assert_true(run->state_count > 0);
}

static void go_along(struct run *run)
{
        const struct trace *trace = run->sweep->trace;
        size_t i;

        for (i = 0; i < trace->count; i++) {
                const struct trace_event *event = &trace->events[i];
                const struct note *note = note_of(event);

                if (trace_is_change(event)) cut(run, i);
                if (event->head->kind == TRACE_SYNC_END) judge_worst(run, i);
                if (note != NULL) read_note(run, i, note);
                disk_apply(run->disk, event);
                if (event->head->kind == TRACE_RENAME ||
                    (event->head->kind == TRACE_WRITE && event->head->offset < META_PAGES_SIZE))
                        run->is_old = true;
        }
        cut(run, trace->count);
}

/* So that about as many cuts are made as are wanted. */
static uint32_t chance_of(const struct sweep *sweep)
{
        uint64_t points = 1, possible;
        size_t i;

        for (i = 0; i < sweep->trace->count; i++)
                points += trace_is_change(&sweep->trace->events[i]);
        possible = points * (CUT_LACK - CUT_NONE + (CUT_KIND_COUNT - CUT_LACK) * (uint64_t)sweep->rounds);
        if (sweep->cuts_wanted == 0 || sweep->cuts_wanted >= possible) return 1 << 16;
        return (uint32_t)(((uint64_t)sweep->cuts_wanted << 16) / possible) + 1;
}

void sweep_run(struct sweep *sweep)
{
        struct run run = {.sweep = sweep, .certain = NO_STATE, .promised = NO_STATE, .dice = {.random = sweep->seed}};

        tempdir_make(&run.dir);
        snprintf(run.path, sizeof run.path, "%s/root/%s", run.dir.path, sweep->target);
        run.disk = disk_new(run.dir.path);
        run.chance = chance_of(sweep);
        run.digests = calloc(sweep->trace->count + 1, sizeof *run.digests);
        assert_non_null(run.digests);
        go_along(&run);
        sweep->states = run.state_count;
        free(run.digests);
        disk_free(run.disk);
        tempdir_remove(&run.dir);
}
