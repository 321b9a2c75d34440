/*
 * All along a trace the power goes, and what the disk then holds is judged.
 *
 * What a program has committed is known from the disk on which everything is kept: the states, in their order. After a
 * cut the disk holds one of those that had been committed by then, whole; none that was certain before, or that
 * somebody had an answer about, is lost again. What the answers were is for `start_cb` to compare, with some of the
 * disks.
 */
#ifndef ALLOD_TESTS_CRASH_SWEEP_H
#define ALLOD_TESTS_CRASH_SWEEP_H

#include "tests/crash/disk.h"
#include "tests/crash/image.h"
#include "tests/crash/model.h"

/* The test's notes in a trace. */
enum note_kind {
        NOTE_BEGIN, /* `number` seeds the load, `text` says which test it is */
        NOTE_SENT,  /* a call of a slot */
        NOTE_DONE,  /* its answer */
        NOTE_READY, /* from now on the model knows all that there is */
        NOTE_ENDED, /* a program has ended well: what it did is there to stay */
};

struct note {
        enum note_kind kind;
        unsigned slot;
        struct op op;
        uint64_t number;
        char text[SECRET_SIZE]; /* of NOTE_DONE: the secret in the answer */
        char id[ID_SIZE];
};

/* NULL: the event is none. */
const struct note *note_of(const struct trace_event *event);

struct sweep {
        /* set by the caller */
        const struct trace *trace;
        const char *trace_path; /* for what is said of a failure */
        const char *target;     /* below the watched directory: what to look at */
        image_fn *look;
        bool is_store;
        uint64_t seed;
        unsigned rounds;      /* tries of each kind of cut at each point */
        unsigned cuts_wanted; /* of them, about so many are made; 0: all */
        unsigned start_odds;  /* about one cut in so many is handed to start_cb */
        unsigned worst_odds;  /* likewise one in so many of the worst moments: before a sync ends; 0: none */
        void *context;
        /* `path` is a disk after a cut before event `index`; it may be written to. `text` names it. */
        void (*start_cb)(void *context, const char *path, bool is_there, size_t index);

        /* what came of it */
        uint64_t cuts[CUT_KIND_COUNT];
        uint64_t absent; /* cuts after which there was nothing yet */
        uint64_t states, starts;
};

/* A failure fails the test, says where, and leaves the files. */
void sweep_run(struct sweep *sweep);

#endif
