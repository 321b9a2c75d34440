/*
 * A fuzz target: one function that takes bytes and must survive them. It says what must hold with REQUIRE, and the
 * sanitizers say the rest.
 *
 * `ninja fuzz` links each with libFuzzer, which makes up bytes; `ninja test` links it with replay.c, which gives it its
 * seeds, tests/fuzz/seeds/TARGET/. A finding becomes a seed there. Seeds are text wherever the format is.
 *
 * Thread: one.
 */
#ifndef ALLOD_TESTS_FUZZ_FUZZ_H
#define ALLOD_TESTS_FUZZ_FUZZ_H

#include "engine/bytes.h"

/* libFuzzer's name for it. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The target's input is used up from the front; what is not there any more reads as 0 and as empty. */
static inline uint8_t fuzz_byte(struct bytes *input)
{
        uint8_t byte;

        if (input->len == 0) return 0;
        byte = input->data[0];
        *input = bytes_skip(*input, 1);
        return byte;
}

static inline struct bytes fuzz_part(struct bytes *input, size_t len)
{
        struct bytes part = bytes_of(input->data, len < input->len ? len : input->len);

        *input = bytes_skip(*input, part.len);
        return part;
}

/* Up to a separator, which is dropped; all of it when there is none. */
static inline struct bytes fuzz_until(struct bytes *input, struct bytes separator)
{
        const uint8_t *at = input->len == 0 ? NULL : memmem(input->data, input->len, separator.data, separator.len);
        struct bytes part = at == NULL ? *input : bytes_of(input->data, (size_t)(at - input->data));

        *input = at == NULL ? bytes_of(input->data, 0) : bytes_skip(*input, part.len + separator.len);
        return part;
}

#endif
