/*
 * Write load on a server: threads, each with a connection to the public and one to the admin listener and with many
 * calls open at a time, that note every call sent and every answer received.
 *
 *      load_init .. load_setup (a fresh store) .. [ load_verify .. load_start .. server dies or is told to end ..
 *      load_join ] .. load_fini
 *
 * Thread: the test's; load_start makes its own, which load_join ends.
 */
#ifndef ALLOD_TESTS_CRASH_LOAD_H
#define ALLOD_TESTS_CRASH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "rpc/client.h"
#include "tests/crash/model.h"

#define LOAD_THREADS      4
#define LOAD_SLOTS        12 /* of a thread: its calls open at a time */
#define LOAD_ADDRESS_SIZE 320

struct load;

/* A slot and its open call. */
struct lane {
        struct slot slot;
        struct client_call *call; /* NULL: none */
        struct arena arena;
};

struct load_thread {
        struct load *load;
        pthread_t thread;
        struct client *public, *admin;
        struct lane lanes[LOAD_SLOTS];
        bool is_ending; /* calls have been refused, or the connection is gone: no new ones */

        /* calls of this run */
        uint64_t sent, acknowledged, refused, open;
};

/* `slot->op` is sent, or done: then ids and secrets are what the answer says, or NULL. */
typedef void load_note_fn(void *context, const struct slot *slot, bool is_done, const char *id, const char *secret);

struct load {
        char address[LOAD_ADDRESS_SIZE], admin[LOAD_ADDRESS_SIZE];
        struct load_thread threads[LOAD_THREADS];
        unsigned thread_count, lane_count,
                calls_max;       /* how much load; as load_init sets them, all and no end of calls */
        atomic_bool is_stopping; /* finish what is open, start nothing */
        atomic_bool may_refuse;  /* the server was told to end: UNAVAILABLE is an answer, and means not done */
        atomic_uint failures;    /* answers that must not be */

        /* NULL, or told of each call before it is sent, and of its answer before the model follows. Thread: any. */
        void *context;
        load_note_fn *note_cb;

        /* of all runs */
        uint64_t sent, acknowledged, refused;
        uint64_t open;      /* calls whose answer never came */
        uint64_t open_done; /* of them, those that had been done */
        uint64_t compared;  /* apps, jobs, keys and members compared with the model */
};

struct slot *load_slot(struct load *load, unsigned index);

/* What went wrong, on standard error; the first twenty. */
void load_failed(struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));

void load_init(struct load *load, uint64_t seed);
void load_fini(struct load *load);

/* Where the server is; the admin address is a path. */
void load_set_address(struct load *load, const char *address, const char *admin_path);

/* The two tenants and their team, in a new store. */
void load_setup(struct load *load);

/* Give the first heavy slot that has no app a large one. The server runs, and nothing else loads it. */
void load_fill(struct load *load);

void load_start(struct load *load);

/* Wait for the threads, which end when their connections are gone or `is_stopping` is set. */
void load_join(struct load *load);

struct way;

/* One call that is waited for. Its code as of google.rpc.Code; a broken connection fails the test. `way` NULL: none. */
uint32_t load_ask(struct client *client, const char *path, const struct way *way, const ProtobufCMessage *request,
                  const ProtobufCMessageDescriptor *type, struct arena *arena, const ProtobufCMessage **reply);

struct client *load_connect(const char *address);

#endif
