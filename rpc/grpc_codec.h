/*
 * The bytes of gRPC over HTTP/2 (gRPC's PROTOCOL-HTTP2.md): message frames, grpc-timeout, grpc-message, -bin metadata.
 * No I/O, no state beyond the frame reader.
 */
#ifndef ALLOD_RPC_GRPC_CODEC_H
#define ALLOD_RPC_GRPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"

#define GRPC_PREFIX_LEN 5 /* flag, then the length in four bytes, big-endian */

enum grpc_frame_outcome {
        GRPC_FRAME_MORE,       /* all input taken, no whole message yet */
        GRPC_FRAME_MESSAGE,    /* one message; there may be input left: feed again */
        GRPC_FRAME_TOO_LARGE,  /* declared longer than the limit: RESOURCE_EXHAUSTED */
        GRPC_FRAME_COMPRESSED, /* flag 1: UNIMPLEMENTED, or INTERNAL where grpc-encoding is absent or identity */
        GRPC_FRAME_MALFORMED,  /* a flag other than 0 and 1: INTERNAL */
        GRPC_FRAME_NO_MEMORY,
};

/*
 * Takes DATA payloads, cut anywhere, and gives messages. A zeroed arena pointer is not allowed.
 *
 * A message that lies whole in one payload is handed out as a slice of it; one that does not is put together in the
 * arena, which grows with what arrived, not with what the prefix declares.
 */
struct grpc_frame_reader {
        struct arena *arena;
        size_t message_len_max;
        uint8_t prefix[GRPC_PREFIX_LEN];
        unsigned prefix_len; /* bytes of the prefix seen so far */
        uint8_t *message;    /* what came of the payload */
        size_t message_size; /* room there */
        size_t filled;
        size_t message_len;              /* declared; valid once the prefix is whole */
        enum grpc_frame_outcome failure; /* sticky; GRPC_FRAME_MORE while there is none */
};

void grpc_frame_reader_init(struct grpc_frame_reader *reader, struct arena *arena, size_t message_len_max);

/*
 * Feed *in and move it past what was taken. GRPC_FRAME_MESSAGE: *message is valid as long as both the payload and the
 * arena are; the others leave it untouched. A failure repeats for ever and takes no more input.
 */
enum grpc_frame_outcome grpc_frame_feed(struct grpc_frame_reader *reader, struct bytes *in,
                                        struct bytes *message) MUST_USE;

/* No message is half read: the stream may end here. */
bool grpc_frame_is_whole(const struct grpc_frame_reader *reader);

/* The prefix of an uncompressed message; message_len is at most UINT32_MAX. */
void grpc_prefix_write(uint8_t out[GRPC_PREFIX_LEN], size_t message_len);

/*
 * grpc-timeout: one to eight digits and a unit of H M S m u n, to nanoseconds, at most INT64_MAX. 0 is taken, though
 * the text asks for a positive number: clients whose deadline has passed send it. False, *out untouched: anything else.
 */
bool grpc_timeout_parse(struct bytes text, int64_t *timeout_ns) MUST_USE;

/* The shortest exact form, else rounded up to a unit in which eight digits do. timeout_ns below 0 counts as 0. */
#define GRPC_TIMEOUT_SIZE 10
void grpc_timeout_format(int64_t timeout_ns, char out[GRPC_TIMEOUT_SIZE]);

/* grpc-message: all but space to tilde, and the percent sign, become %XX. A text that needs none comes back itself.
 * .data is NULL when there is no memory. */
struct bytes grpc_message_encode(struct arena *arena, struct bytes text);

/* The reverse, for clients; what is no valid %XX stays as it is, as the specification asks. */
struct bytes grpc_message_decode(struct arena *arena, struct bytes text);

/* A value of -bin metadata: base64 without padding. .data is NULL when there is no memory. */
struct bytes grpc_bin_encode(struct arena *arena, struct bytes value);

/*
 * Take the first value off a -bin header, which may hold several, joined by commas: *rest moves behind it, to length 0
 * and data NULL after the last. Padded or not; R_BAD_ARGUMENT when it is no base64, R_NO_MEMORY.
 * An empty header is one empty value.
 */
enum result grpc_bin_next(struct arena *arena, struct bytes *rest, struct bytes *value) MUST_USE;

#endif
