/*
 * A version 7 id as bytes, most significant first (RFC 9562, section 5.7 and method 1 of 6.2):
 *
 *     tttttttt tttt 7ccc vcrrrrrr rrrrrrrr
 *
 *     t  48 bits of milliseconds     7  the version     v  the variant, binary 10
 *     c  16 bits of counter: 12 behind the version, 4 behind the variant
 *     r  58 random bits
 *
 * Time and counter are the 64 bits of one atomic word. A caller's time above the word's opens a new millisecond with
 * the counter at 0; any other takes the word plus one, and a counter that runs over (65,536 ids in one millisecond)
 * moves into the next millisecond. So ids rise strictly, whatever the time does, without a lock.
 */
#include "engine/uuid.h"

#include <stdatomic.h>
#include <sys/random.h>

#include "engine/require.h"

#define TIME_MS_MAX ((INT64_C(1) << 48) - 1)

static _Atomic uint64_t last_tick; /* milliseconds << 16 | counter of the newest id */

/* Random bytes in stock: 32 ids per system call. getrandom fills up to 256 bytes whole and is not interrupted. Plain
 * memory, so a forked child would repeat its parent's; ids would still differ by their tick only within one process. */
#define STOCK_SIZE 256
static _Thread_local uint8_t stock[STOCK_SIZE];
static _Thread_local size_t stock_left;

static uint64_t random_word(void)
{
        uint64_t word;

        if (stock_left < sizeof word) {
                REQUIRE(getrandom(stock, STOCK_SIZE, 0) == STOCK_SIZE);
                stock_left = STOCK_SIZE;
        }
        stock_left -= sizeof word;
        memcpy(&word, stock + stock_left, sizeof word);
        return word;
}

static uint64_t next_tick(int64_t time_ms)
{
        uint64_t fresh = (uint64_t)time_ms << 16;
        uint64_t last = atomic_load_explicit(&last_tick, memory_order_relaxed);
        uint64_t next;

        do {
                next = fresh > last ? fresh : last + 1;
        } while (!atomic_compare_exchange_weak_explicit(&last_tick, &last, next, memory_order_relaxed,
                                                        memory_order_relaxed));
        return next;
}

struct uuid uuid_v7(int64_t time_ms)
{
        struct uuid id;
        uint64_t tick;
        uint64_t tail;
        size_t i;

        REQUIRE(time_ms >= 0 && time_ms <= TIME_MS_MAX);
        tick = next_tick(time_ms);
        tail = random_word();
        for (i = 0; i < 6; i++)
                id.bytes[i] = (uint8_t)(tick >> (56 - 8 * i));
        id.bytes[6] = (uint8_t)(0x70 | (tick >> 12 & 0x0f));
        id.bytes[7] = (uint8_t)(tick >> 4);
        id.bytes[8] = (uint8_t)(0x80 | (tick & 0x0f) << 2 | (tail >> 56 & 0x03));
        for (i = 9; i < UUID_SIZE; i++)
                id.bytes[i] = (uint8_t)(tail >> (8 * (UUID_SIZE - 1 - i)));
        return id;
}

static bool is_dash_at(size_t i)
{
        return i == 8 || i == 13 || i == 18 || i == 23;
}

/* -1: not a hex digit. */
static int hex_value(uint8_t c)
{
        if (c >= '0' && c <= '9') return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum result uuid_parse(struct bytes text, struct uuid *out)
{
        struct uuid id;
        size_t count = 0;
        size_t i = 0;

        if (text.len != UUID_TEXT_LEN) return R_BAD_ARGUMENT;
        while (i < UUID_TEXT_LEN) {
                int high;
                int low;

                if (is_dash_at(i)) {
                        if (text.data[i++] != '-') return R_BAD_ARGUMENT;
                        continue;
                }
                high = hex_value(text.data[i]);
                low = hex_value(text.data[i + 1]);
                if (high < 0 || low < 0) return R_BAD_ARGUMENT;
                id.bytes[count++] = (uint8_t)(high << 4 | low);
                i += 2;
        }
        *out = id;
        return R_OK;
}

void uuid_format(struct uuid id, char out[UUID_TEXT_LEN + 1])
{
        static const char digits[] = "0123456789abcdef";
        size_t at = 0;
        size_t i;

        for (i = 0; i < UUID_SIZE; i++) {
                if (is_dash_at(at)) out[at++] = '-';
                out[at++] = digits[id.bytes[i] >> 4];
                out[at++] = digits[id.bytes[i] & 0x0f];
        }
        out[at] = '\0';
}
