/*
 * The form of an HTTP/1.1 head and of a chunked body, to the letter of RFC 9112 and beyond.
 *
 * Request smuggling lives on what two parsers read differently. So what is not written the one plain way is refused
 * with 400 before llhttp sees it: CR but before LF, LF but after CR, NUL and other control bytes, folded lines, space
 * before a colon, more than one Content-Length or one beside Transfer-Encoding, any coding but `chunked`, no Host or
 * two, or one that names no host. Pure functions of bytes.
 */
#ifndef ALLOD_RPC_H1_HEAD_H
#define ALLOD_RPC_H1_HEAD_H

#include <stdbool.h>

#include "engine/bytes.h"

/* Look for the end of a head, the empty line. `*scanned` is how far it was scanned, 0 at first. Returns the head's
 * length with that line, 0 when it is not there yet, -1 when a line does not end in CR LF. */
long h1_head_find_end(struct bytes bytes, size_t *scanned);

/* 0 for a whole head that is well formed, else the status to refuse it with: 400, 505 (another major version), 431 (too
 * many fields), 414 (the target is too long). */
int h1_head_check(struct bytes head);

/* Whether it is the host and port of a URI (RFC 9110 section 7.2), which may be empty. No user in front of it. */
bool h1_is_host(struct bytes value);

/* ---- Chunked bodies (RFC 9112 section 7.1) ---- */

enum h1_chunk_state {
        H1_CHUNK_LINE,    /* size and extensions, up to LF */
        H1_CHUNK_DATA,    /* `left` bytes of it */
        H1_CHUNK_DATA_CR, /* the CR LF behind them */
        H1_CHUNK_DATA_LF,
        H1_CHUNK_TRAILER, /* lines up to an empty one */
        H1_CHUNK_DONE,
        H1_CHUNK_BAD,
};

/* A zeroed one stands at the beginning of a body. */
struct h1_chunks {
        enum h1_chunk_state state;
        uint64_t left;
        size_t line_len; /* of the line that is being read */
        size_t overhead; /* all lines so far */
        uint8_t digits;  /* of the size */
        bool has_cr;     /* the line's CR was there: only LF may follow */
        bool is_in_extension;
        bool is_in_value; /* of a trailer, behind its colon */
};

/* Take the next bytes. *data is what of them is body, maybe empty, within `bytes`; the return value is how many were
 * used up. To be called again with the rest until all are used, or the state is DONE or BAD. */
size_t h1_chunks_take(struct h1_chunks *chunks, struct bytes bytes, struct bytes *data);

#endif
