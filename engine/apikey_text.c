#include "engine/apikey.h"

#include <string.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and its kin: see apikey_digest */
#include <openssl/sha.h>

#include "engine/limits.h"
#include "engine/require.h"

#define PREFIX_LEN   (sizeof APIKEY_PREFIX - 1)
#define RANDOM_LEN   32
#define CHECKSUM_LEN 6 /* 62^6 is 5.7e10, enough for 32 bits */

_Static_assert(PREFIX_LEN + RANDOM_LEN + CHECKSUM_LEN == APIKEY_TEXT_LEN, "a key is its parts");

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The context lies on the stack: neither heap nor lock. OpenSSL's EVP functions, which replace these, take a block of
 * heap for each digest, with a fetched algorithm and a kept context too, and about twice the time; and this is done for
 * each request. */
enum result apikey_digest(struct bytes text, uint8_t digest[API_KEY_DIGEST_SIZE])
{
        uint8_t computed[API_KEY_DIGEST_SIZE];
        SHA256_CTX context;

        if (SHA256_Init(&context) != 1 || SHA256_Update(&context, text.data, text.len) != 1 ||
            SHA256_Final(computed, &context) != 1)
                return R_DEFECT;
        memcpy(digest, computed, sizeof computed);
        return R_OK;
}

/* ---- The checksum ---- */

/* CRC-32 of IEEE 802.3, reflected. CRCs are linear: a byte's is that of its low half and that of its high half, so that
 * two tables of 16 do what one of 256 does, and both are read at once. */
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
        static const uint32_t low[16] = {
                0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f, 0xe963a535, 0x9e6495a3,
                0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988, 0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91,
        };
        static const uint32_t high[16] = {
                0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
        };
        uint32_t crc = 0xffffffff;
        size_t i;

        for (i = 0; i < len; i++) {
                uint32_t byte = (crc ^ data[i]) & 0xff;

                crc = crc >> 8 ^ low[byte & 15] ^ high[byte >> 4];
        }
        return ~crc;
}

static void format_checksum(const uint8_t *random, char out[CHECKSUM_LEN])
{
        uint32_t crc = crc32_of(random, RANDOM_LEN);
        size_t i;

        for (i = CHECKSUM_LEN; i > 0; i--) {
                out[i - 1] = base62[crc % 62];
                crc /= 62;
        }
}

/* ---- Texts ---- */

static bool is_base62(uint8_t c)
{
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool apikey_is_ours(struct bytes text)
{
        return bytes_start_with(text, BYTES(APIKEY_PREFIX));
}

enum result apikey_text_check(struct bytes text)
{
        char checksum[CHECKSUM_LEN];
        size_t i;

        if (apikey_is_ours(text)) {
                if (text.len != APIKEY_TEXT_LEN) return R_UNAUTHENTICATED;
                for (i = PREFIX_LEN; i < PREFIX_LEN + RANDOM_LEN; i++)
                        if (!is_base62(text.data[i])) return R_UNAUTHENTICATED;
                format_checksum(text.data + PREFIX_LEN, checksum);
                return memcmp(checksum, text.data + PREFIX_LEN + RANDOM_LEN, CHECKSUM_LEN) == 0 ? R_OK
                                                                                                : R_UNAUTHENTICATED;
        }
        if (text.len == 0 || text.len > IMPORTED_KEY_LEN_MAX) return R_UNAUTHENTICATED;
        for (i = 0; i < text.len; i++)
                if (text.data[i] <= ' ' || text.data[i] > '~') return R_UNAUTHENTICATED;
        return R_OK;
}

/* The seed stretched by SHA-256 with a counter. Bytes of 248 and above are dropped, because 248 is the greatest
 * multiple of 62 in a byte: so each character is as likely as any other. A block of 32 bytes gives 31 characters on
 * average, so two or three do. */
enum result apikey_make(const uint8_t seed[TXN_SEED_SIZE], char out[APIKEY_TEXT_LEN + 1])
{
        static const uint8_t no_seed[TXN_SEED_SIZE];
        uint8_t block[TXN_SEED_SIZE + 1], stream[API_KEY_DIGEST_SIZE];
        size_t len = PREFIX_LEN;
        size_t i;
        enum result r;

        REQUIRE(memcmp(seed, no_seed, sizeof no_seed) != 0);
        memcpy(out, APIKEY_PREFIX, PREFIX_LEN);
        memcpy(block, seed, TXN_SEED_SIZE);
        for (block[TXN_SEED_SIZE] = 0; len < PREFIX_LEN + RANDOM_LEN; block[TXN_SEED_SIZE]++) {
                if ((r = apikey_digest(bytes_of(block, sizeof block), stream)) != R_OK) return r;
                for (i = 0; i < sizeof stream && len < PREFIX_LEN + RANDOM_LEN; i++)
                        if (stream[i] < 248) out[len++] = base62[stream[i] % 62];
        }
        format_checksum((const uint8_t *)out + PREFIX_LEN, out + len);
        out[APIKEY_TEXT_LEN] = '\0';
        return R_OK;
}
