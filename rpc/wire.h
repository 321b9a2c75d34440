/*
 * One walk over the bytes of a protobuf request, led by its descriptor, before protobuf-c sees them.
 *
 * protobuf-c's unpack recurses without a limit, checks no UTF-8, cuts strings at a NUL, turns two bytes of an empty
 * sub-message into a hundred of heap, and keeps unknown fields. So the walk refuses what is malformed (tags, varints,
 * lengths, groups, wire types that do not fit), bounds depth and elements, demands valid UTF-8 without NUL in strings
 * and known numbers in enums, and drops unknown fields. Only when there are some does it copy; else the input itself
 * is what comes out.
 *
 * A singular sub-message that occurs twice is refused as a bad argument, though protobuf would merge the two:
 * protobuf-c's merge zeroes the scalars of the first. No known client sends that. A singular scalar that occurs twice
 * is legal, and the last one counts. In paths of faults, elements count from 0: "workflow.loras[0].name".
 *
 * Threads: any.
 */
#ifndef ALLOD_RPC_WIRE_H
#define ALLOD_RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"

#define WIRE_DEPTH_MAX 16 /* our schemas nest 4 deep and never recurse */
#define WIRE_ELEMENT_COUNT_MAX                                                                                         \
        8192                     /* known fields and repeated elements of one request: below 2 MiB unpacked, besides   \
                                    their text */
#define WIRE_FIELD_COUNT_MAX 256 /* fields of one message type: bits in the walk's frame */

enum wire_outcome {
        WIRE_OK,
        WIRE_MALFORMED,    /* not protobuf, or not this message. gRPC: INTERNAL (statuscodes.md), no field to name */
        WIRE_BAD_ARGUMENT, /* well-formed, but a value is refused; the fault names the field */
        WIRE_TOO_LARGE,    /* too deep, or too many elements; the fault says which */
        WIRE_NO_MEMORY,
};

/*
 * Check `message` against its descriptor. WIRE_OK: *out is the message without unknown fields: `message` itself, or a
 * shorter copy in the arena. Else *out is untouched and the fault is set (but for WIRE_NO_MEMORY).
 */
enum wire_outcome wire_check(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                             struct bytes *out, struct fault *fault) MUST_USE;

/* wire_check, then unpack into the arena: *out lives as long as that, and is never freed by itself. It does not point
 * into `message`. */
enum wire_outcome wire_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                              ProtobufCMessage **out, struct fault *fault) MUST_USE;

#endif
