/*
 * What backend.c asks of an engine. What holds for every engine (the latch, the failure that sticks, who may write) is
 * in backend.c; an engine does what it is told and translates its codes.
 *
 * An engine's own structs begin with these.
 */
#ifndef ALLOD_ENGINE_BACKEND_PRIVATE_H
#define ALLOD_ENGINE_BACKEND_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/backend.h"

struct backend_engine;

struct backend {
        const struct backend_engine *engine;
        atomic_bool is_latched; /* a commit's outcome was unknown: no more writes in this process */
};

struct backend_txn {
        struct backend *backend;
        bool is_write;
        bool is_resting;     /* a read transaction without a snapshot */
        enum result failure; /* the first put or delete that failed: the rest and the commit fail like it */
};

/* Outcomes are those of backend.h. */
struct backend_engine {
        bool may_block;
        const char *(*version)(void);

        enum result (*check)(int dir_fd, void *context, backend_found_fn *found_cb, uint64_t *page_count);
        enum result (*open)(int dir_fd, const struct backend_options *options, struct backend **out, char why[256]);
        void (*close)(struct backend *backend);
        int (*check_readers)(struct backend *backend);

        enum result (*begin_read)(struct backend *backend, struct backend_txn **out);
        void (*rest)(struct backend_txn *txn);
        enum result (*renew)(struct backend_txn *txn);
        enum result (*begin_write)(struct backend *backend, struct backend_txn **out);
        enum result (*commit)(struct backend_txn *txn);
        enum result (*sync)(struct backend *backend);
        void (*abort)(struct backend_txn *txn);

        enum result (*get)(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes *value);
        enum result (*put)(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes head,
                           struct bytes body);
        enum result (*delete)(struct backend_txn *txn, enum backend_table table, struct bytes key);

        enum result (*cursor_open)(struct backend_txn *txn, enum backend_table table, void **handle);
        void (*cursor_close)(struct backend_cursor *cursor);
        enum result (*seek)(struct backend_cursor *cursor, struct bytes key, struct bytes *found, struct bytes *value);
        enum result (*seek_before)(struct backend_cursor *cursor, struct bytes key, struct bytes *found,
                                   struct bytes *value);
        enum result (*next)(struct backend_cursor *cursor, struct bytes *found, struct bytes *value);
        enum result (*previous)(struct backend_cursor *cursor, struct bytes *found, struct bytes *value);

        size_t (*room)(struct backend *backend);
        enum result (*fence)(struct backend *backend, bool may_grow);
        void (*stat)(struct backend_txn *txn, struct backend_stat *out);
};

#endif
