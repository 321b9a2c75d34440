/*
 * Eight bytes of a string at once: is there any that the reader or the writer must look at? Both move over the rest in
 * words.
 */
#ifndef ALLOD_ENGINE_JSON_WORD_H
#define ALLOD_ENGINE_JSON_WORD_H

#include <stdbool.h>
#include <stdint.h>

#define JSON_WORD_OF(byte) ((uint64_t)(byte)*0x0101010101010101u)

/* Has a byte below `bound`, which is at most 0x80. Subtracting borrows from the byte above only where there is one. */
static inline bool json_word_has_below(uint64_t word, uint8_t bound)
{
        return ((word - JSON_WORD_OF(bound)) & ~word & JSON_WORD_OF(0x80)) != 0;
}

/* Has a byte that JSON wants escaped: a control character, a quote or a backslash. */
static inline bool json_word_has_special(uint64_t word)
{
        return json_word_has_below(word, 0x20) || json_word_has_below(word ^ JSON_WORD_OF('"'), 1) ||
               json_word_has_below(word ^ JSON_WORD_OF('\\'), 1);
}

static inline bool json_word_is_ascii(uint64_t word)
{
        return (word & JSON_WORD_OF(0x80)) == 0;
}

#endif
