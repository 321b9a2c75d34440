/*
 * Base64 (RFC 4648, section 4; the alphabet with + and /).
 */
#ifndef ALLOD_RPC_BASE64_H
#define ALLOD_RPC_BASE64_H

#include <stdbool.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"

/* Characters that `len` bytes take with padding, without a NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Write the characters and return their number, at most BASE64_LEN(in.len); no NUL. */
size_t base64_encode(struct bytes in, bool is_padded, char *out);

/*
 * Decode into the arena; padding may be there or not, but not in part.
 * R_BAD_ARGUMENT: a character outside the alphabet, a wrong length, or bits set behind the last byte.  R_NO_MEMORY.
 * *out is untouched then.
 */
enum result base64_decode(struct arena *arena, struct bytes text, struct bytes *out) MUST_USE;

#endif
