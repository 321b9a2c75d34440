/*
 * A streaming method: a small state object that takes messages and gives messages.
 *
 * It holds no transaction between its steps. What it sends waits in the call's arena while the peer is slow, up to a
 * bound; memory goes back whenever nothing waits. Streams are gRPC's alone.
 *
 * Thread: the host's loop.
 */
#ifndef ALLOD_RPC_FEED_H
#define ALLOD_RPC_FEED_H

#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/message.h"
#include "engine/result.h"
#include "rpc/grpc_codec.h"

struct call;

struct feed_ops {
        /* A request, of the method's request type, in memory that lasts until this returns. */
        void (*message)(struct call *call, const ProtobufCMessage *request);
        /* The client has said all. */
        void (*end)(struct call *call);
        /* The host drains. */
        void (*wake)(struct call *call);
        /* What waited for the peer is out: more may be sent. May be NULL. */
        void (*writable)(struct call *call);
        /* The call is over, however; once. What is left of it must not touch the call again. May be NULL. */
        void (*close)(struct call *call);
        /* Requests are parts of something large: they are not counted, and memory goes back after each. */
        bool is_upload;
};

#define FEED_STATE_SIZE 128

struct feed {
        struct grpc_frame_reader reader;
        struct arena_mark mark; /* the arena when nothing is under way */
        bool is_started;        /* the answer's headers are out */
        bool is_finishing;      /* trailers follow what waits */
        enum result result;     /* they say this */
        uint8_t *waiting;       /* frames that the carrier had no room for */
        size_t waiting_len, waiting_size, sent;
        unsigned message_count;
        bool is_held; /* feed_hold's */
        size_t held;  /* bytes that came meanwhile, for which the peer has no credit yet */
        _Alignas(max_align_t) uint8_t state[FEED_STATE_SIZE]; /* the method's own, zeroed at the start */
};

/* Steps, from call.c. */
void feed_open(struct call *call);
void feed_data(struct call *call, struct bytes data); /* exchange_consume too */
void feed_end(struct call *call);
void feed_writable(struct call *call);
void feed_wake(struct call *call);
void feed_close(struct call *call);

/* For methods. A message to build a response in, and sending it; then finishing, once. */
void feed_message(struct call *call, struct message *message);
void feed_send(struct call *call, const struct message *message);
void feed_finish(struct call *call, enum result r);

/* The peer is to send no more for now: no credit is given for what comes from here on. What it had credit for still
 * comes: H2_STREAM_WINDOW at most. Release: all of it is given. */
void feed_hold(struct call *call);
void feed_release(struct call *call);

/* Whether it may still send: it has not finished, and the call was not answered otherwise. */
bool feed_is_open(const struct call *call);

/* After a step that the method took by itself, outside the functions of its feed_ops: memory goes back when nothing
 * waits for the peer. Returns whether that is so. */
bool feed_settle(struct call *call);

#endif
