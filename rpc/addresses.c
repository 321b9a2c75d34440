#include "rpc/addresses.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/require.h"

/* ---- Numbers ---- */

static uint64_t rotate(uint64_t word, unsigned bits)
{
        return word << bits | word >> (64 - bits);
}

static void mix(uint64_t v[4], int rounds)
{
        while (rounds-- > 0) {
                v[0] += v[1];
                v[2] += v[3];
                v[1] = rotate(v[1], 13) ^ v[0];
                v[3] = rotate(v[3], 16) ^ v[2];
                v[0] = rotate(v[0], 32);
                v[2] += v[1];
                v[0] += v[3];
                v[1] = rotate(v[1], 17) ^ v[2];
                v[3] = rotate(v[3], 21) ^ v[0];
                v[2] = rotate(v[2], 32);
        }
}

/* SipHash-2-4 of nine bytes: eight, and one that says what they are. */
static uint64_t hash(const uint64_t key[2], uint64_t eight, uint8_t one)
{
        const uint64_t words[] = {eight, UINT64_C(9) << 56 | one};
        uint64_t v[] = {
                key[0] ^ UINT64_C(0x736f6d6570736575),
                key[1] ^ UINT64_C(0x646f72616e646f6d),
                key[0] ^ UINT64_C(0x6c7967656e657261),
                key[1] ^ UINT64_C(0x7465646279746573),
        };
        size_t i;

        for (i = 0; i < 2; i++) {
                v[3] ^= words[i];
                mix(v, 2);
                v[0] ^= words[i];
        }
        v[2] ^= 0xff;
        mix(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* False: it is none that is counted. */
static bool shorten(const struct addresses *addresses, const struct sockaddr_storage *from, uint64_t *eight,
                    uint8_t *version)
{
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        uint32_t four;

        if (from->ss_family == AF_INET) {
                memcpy(&v4, from, sizeof v4);
                four = ntohl(v4.sin_addr.s_addr);
        } else if (from->ss_family == AF_INET6) {
                memcpy(&v6, from, sizeof v6);
                if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
                        memcpy(eight, &v6.sin6_addr, sizeof *eight);
                        *version = 6;
                        return addresses->has_loopback || !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
                }
                memcpy(&four, v6.sin6_addr.s6_addr + 12, sizeof four);
                four = ntohl(four);
        } else {
                return false;
        }
        *eight = four;
        *version = 4;
        return addresses->has_loopback || four >> 24 != IN_LOOPBACKNET;
}

uint64_t addresses_number(const struct addresses *addresses, const struct sockaddr_storage *from)
{
        uint64_t eight;
        uint64_t number;
        uint8_t version;

        if (!shorten(addresses, from, &eight, &version)) return ADDRESS_NONE;
        number = hash(addresses->key, eight, version);
        return number == ADDRESS_NONE ? 1 : number;
}

/* ---- Connections ---- */

/* Where the address sits, or the free seat where it would. At most half are taken. */
static struct address_seat *seat_of(const struct addresses *addresses, uint64_t address)
{
        size_t i = address & addresses->mask;

        while (addresses->seats[i].address != address && addresses->seats[i].address != ADDRESS_NONE)
                i = (i + 1) & addresses->mask;
        return &addresses->seats[i];
}

bool addresses_enter(struct addresses *addresses, uint64_t address)
{
        struct address_seat *seat;
        bool may;

        if (address == ADDRESS_NONE) return true;
        pthread_mutex_lock(&addresses->mutex);
        seat = seat_of(addresses, address);
        may = seat->count < addresses->count_max;
        if (may) {
                seat->address = address;
                seat->count++;
        }
        pthread_mutex_unlock(&addresses->mutex);
        return may;
}

/* Those behind the seat that is free now move up, if they may: a search ends at a free seat. */
static void close_gap(struct addresses *addresses, size_t gap)
{
        size_t i = gap;

        for (;;) {
                size_t home;

                i = (i + 1) & addresses->mask;
                if (addresses->seats[i].address == ADDRESS_NONE) break;
                home = addresses->seats[i].address & addresses->mask;
                if (((i - home) & addresses->mask) < ((i - gap) & addresses->mask)) continue;
                addresses->seats[gap] = addresses->seats[i];
                gap = i;
        }
        addresses->seats[gap] = (struct address_seat){0};
}

void addresses_leave(struct addresses *addresses, uint64_t address)
{
        struct address_seat *seat;

        if (address == ADDRESS_NONE) return;
        pthread_mutex_lock(&addresses->mutex);
        seat = seat_of(addresses, address);
        REQUIRE(seat->count > 0);
        if (--seat->count == 0) close_gap(addresses, (size_t)(seat - addresses->seats));
        pthread_mutex_unlock(&addresses->mutex);
}

enum result addresses_init(struct addresses *addresses, size_t connections_max, uint32_t count_max, bool has_loopback)
{
        size_t size = 16;

        while (size < 2 * connections_max)
                size *= 2;
        *addresses = (struct addresses){.count_max = count_max, .has_loopback = has_loopback, .mask = size - 1};
        if (getrandom(addresses->key, sizeof addresses->key, 0) != (ssize_t)sizeof addresses->key) return R_DEFECT;
        addresses->seats = calloc(size, sizeof *addresses->seats);
        if (addresses->seats == NULL) return R_NO_MEMORY;
        pthread_mutex_init(&addresses->mutex, NULL);
        return R_OK;
}

void addresses_fini(struct addresses *addresses)
{
        if (addresses->seats == NULL) return;
        free(addresses->seats);
        pthread_mutex_destroy(&addresses->mutex);
        addresses->seats = NULL;
}
