#include "engine/json_keys.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "engine/json_scan.h"
#include "engine/require.h"

/* One secret for the process: a caller who cannot read it cannot choose keys that collide. It never shows in a result.
 */
static uint64_t secret[2];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

/* Sixteen bytes come whole, once the kernel's generator is seeded, which getrandom waits for. */
static void secret_draw(void)
{
        REQUIRE(getrandom(secret, sizeof(secret), 0) == (ssize_t)sizeof(secret));
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
        return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012): one round per word and three at the end are enough for a hash table
 * whose values never leave the process. */
static uint32_t hash(struct bytes key)
{
        uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                         secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
        const uint8_t *p = key.data;
        size_t left = key.len;
        uint64_t word;

        for (; left >= 8; left -= 8, p += 8) {
                memcpy(&word, p, sizeof(word));
                v[3] ^= word;
                sip_round(v);
                v[0] ^= word;
        }
        word = (uint64_t)key.len << 56;
        for (size_t i = 0; i < left; i++) {
                word |= (uint64_t)p[i] << (8 * i);
        }
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        v[2] ^= 0xff;
        for (int i = 0; i < 3; i++) {
                sip_round(v);
        }
        word = v[0] ^ v[1] ^ v[2] ^ v[3];
        return (uint32_t)(word ^ word >> 32);
}

void json_keys_init(struct json_scan *scan)
{
        pthread_once(&secret_once, secret_draw);
        scan->keys = scan->keys_inline;
        scan->buckets = scan->buckets_inline;
        memset(scan->buckets_inline, 0, sizeof(scan->buckets_inline));
        scan->key_size = JSON_KEY_INLINE;
        scan->key_count = 0;
        scan->key_base = 0;
}

/* Keys and buckets share one allocation, which doubles. Linking again in order keeps the newest first. */
static enum result grow(struct json_scan *scan)
{
        size_t unit = sizeof(*scan->keys) + sizeof(*scan->buckets);
        uint32_t size = scan->key_size * 2;
        bool is_inline = scan->keys == scan->keys_inline;
        void *block = arena_grow(scan->arena, is_inline ? NULL : scan->keys, is_inline ? 0 : scan->key_size * unit,
                                 size * unit);

        if (block == NULL) return R_NO_MEMORY;
        if (is_inline) memcpy(block, scan->keys_inline, sizeof(scan->keys_inline));
        scan->keys = block;
        scan->buckets = (uint32_t *)(scan->keys + size);
        scan->key_size = size;
        memset(scan->buckets, 0, size * sizeof(*scan->buckets));
        for (uint32_t i = 0; i < scan->key_count; i++) {
                uint32_t *bucket = &scan->buckets[scan->keys[i].hash & (size - 1)];

                scan->keys[i].next = *bucket;
                *bucket = i + 1;
        }
        return R_OK;
}

enum result json_keys_add(struct json_scan *scan, struct bytes key)
{
        uint32_t h = hash(key);
        uint32_t *bucket = &scan->buckets[h & (scan->key_size - 1)];
        struct json_key *slot;

        for (uint32_t i = *bucket; i > scan->key_base; i = scan->keys[i - 1].next) {
                const struct json_key *other = &scan->keys[i - 1];

                if (other->hash == h && bytes_equal(key, bytes_of(other->data, other->len))) return R_EXISTS;
        }
        if (scan->key_count == scan->key_size) {
                enum result r = grow(scan);

                if (r != R_OK) return r;
                bucket = &scan->buckets[h & (scan->key_size - 1)];
        }
        slot = &scan->keys[scan->key_count++];
        *slot = (struct json_key){key.data, (uint32_t)key.len, h, *bucket};
        *bucket = scan->key_count;
        return R_OK;
}

void json_keys_open(struct json_scan *scan)
{
        scan->bases[scan->depth] = scan->key_base;
        scan->key_base = scan->key_count;
}

void json_keys_close(struct json_scan *scan)
{
        while (scan->key_count > scan->key_base) {
                const struct json_key *key = &scan->keys[--scan->key_count];

                scan->buckets[key->hash & (scan->key_size - 1)] = key->next;
        }
        scan->key_base = scan->bases[scan->depth];
}
