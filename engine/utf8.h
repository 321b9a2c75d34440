/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure; any thread.
 */
#ifndef ALLOD_ENGINE_UTF8_H
#define ALLOD_ENGINE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/bytes.h"

/* How many bytes from the start are whole, valid characters; text.len when all of it is valid. */
size_t utf8_valid_len(struct bytes text);

/* Valid UTF-8 without a NUL: what a C string and a protobuf string can both hold. */
bool utf8_is_text(struct bytes text);

/* Characters (code points) of valid UTF-8. */
size_t utf8_count(struct bytes text);

/* The length of the valid character that starts `text`, or 0. */
size_t utf8_char_len(struct bytes text);

/* Write `code` as UTF-8 and return its length. Surrogates come out as three bytes, which is not valid UTF-8. */
size_t utf8_put(uint32_t code, uint8_t out[4]);

#endif
