/*
 * A borrowed slice: it never owns what it points at, and says nothing about how long that lives. The function that
 * returns one does.
 */
#ifndef ALLOD_ENGINE_BYTES_H
#define ALLOD_ENGINE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
        const uint8_t *data; /* may be NULL when len is 0 */
        size_t len;
};

/* A string literal as bytes, without its NUL. */
#define BYTES(literal) ((struct bytes){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct bytes bytes_of(const void *data, size_t len)
{
        return (struct bytes){data, len};
}

static inline struct bytes bytes_of_text(const char *text)
{
        return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* Without its first `n` bytes; it has as many. */
static inline struct bytes bytes_skip(struct bytes bytes, size_t n)
{
        return n == 0 ? bytes : bytes_of(bytes.data + n, bytes.len - n);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_start_with(struct bytes a, struct bytes prefix)
{
        return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

#endif
