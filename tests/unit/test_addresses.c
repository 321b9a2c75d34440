/* Addresses of peers: whom they stand for, that their numbers are SipHash's, and how many connections each may have. */
#include "rpc/addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tests/lib/test.h"

static struct addresses addresses;

static struct sockaddr_storage from(const char *text)
{
        struct sockaddr_storage storage = {0};
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(4711)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(4711)};

        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
                memcpy(&storage, &v4, sizeof v4);
        } else {
                assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
                memcpy(&storage, &v6, sizeof v6);
        }
        return storage;
}

static uint64_t number(const char *text)
{
        struct sockaddr_storage storage = from(text);

        return addresses_number(&addresses, &storage);
}

/* One customer is one number, and no two customers share it. */
static void test_customers(void **state)
{
        struct sockaddr_storage path = {.ss_family = AF_UNIX};

        (void)state;
        assert_int_equal(addresses_init(&addresses, 10, 3, false), R_OK);
        assert_int_equal(number("192.0.2.7"), number("192.0.2.7"));
        assert_int_not_equal(number("192.0.2.7"), number("192.0.2.8"));
        assert_int_equal(number("192.0.2.7"), number("::ffff:192.0.2.7"));
        assert_int_equal(number("2001:db8:1:2::1"), number("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_int_not_equal(number("2001:db8:1:2::1"), number("2001:db8:1:3::1"));
        assert_int_not_equal(number("192.0.2.7"), ADDRESS_NONE);
        assert_int_equal(addresses_number(&addresses, &path), ADDRESS_NONE);
        assert_int_equal(number("127.0.0.1"), ADDRESS_NONE);
        assert_int_equal(number("127.9.9.9"), ADDRESS_NONE);
        assert_int_equal(number("::ffff:127.0.0.1"), ADDRESS_NONE);
        assert_int_equal(number("::1"), ADDRESS_NONE);
        addresses.has_loopback = true;
        assert_int_not_equal(number("127.0.0.1"), ADDRESS_NONE);
        assert_int_not_equal(number("127.0.0.1"), number("127.0.0.2"));
        assert_int_not_equal(number("::1"), ADDRESS_NONE);
        addresses_fini(&addresses);
}

/* The number of an IPv6 network is what OpenSSL's SipHash makes of its eight bytes and a 6. */
static void test_hash(void **state)
{
        static const char *const networks[] = {"1:203:405:607::", "2001:db8:1:2::", "ff02::", "::2:0:0:0:0"};
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
        EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
        size_t size = 8;
        OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
        size_t i;

        (void)state;
        assert_non_null(context);
        assert_int_equal(addresses_init(&addresses, 10, 3, false), R_OK);
        for (i = 0; i < sizeof networks / sizeof networks[0]; i++) {
                struct sockaddr_storage storage = from(networks[i]);
                uint8_t nine[9];
                uint64_t expected;
                size_t len;

                memcpy(nine, &((struct sockaddr_in6 *)&storage)->sin6_addr, 8);
                nine[8] = 6;
                assert_int_equal(EVP_MAC_init(context, (uint8_t *)addresses.key, sizeof addresses.key, parameters), 1);
                assert_int_equal(EVP_MAC_update(context, nine, sizeof nine), 1);
                assert_int_equal(EVP_MAC_final(context, (uint8_t *)&expected, &len, sizeof expected), 1);
                assert_int_equal(number(networks[i]), expected);
        }
        addresses_fini(&addresses);
        EVP_MAC_CTX_free(context);
        EVP_MAC_free(mac);
}

/* An address has as many connections as it may, whatever others have; ADDRESS_NONE any number. */
static void test_bound(void **state)
{
        uint64_t one, other;
        int i;

        (void)state;
        assert_int_equal(addresses_init(&addresses, 10, 3, false), R_OK);
        one = number("192.0.2.7");
        other = number("192.0.2.8");
        for (i = 0; i < 3; i++)
                assert_true(addresses_enter(&addresses, one));
        assert_false(addresses_enter(&addresses, one));
        assert_true(addresses_enter(&addresses, other));
        addresses_leave(&addresses, one);
        assert_true(addresses_enter(&addresses, one));
        assert_false(addresses_enter(&addresses, one));
        for (i = 0; i < 100; i++)
                assert_true(addresses_enter(&addresses, ADDRESS_NONE));
        addresses_leave(&addresses, ADDRESS_NONE);
        addresses_fini(&addresses);
}

/* Thousands of comings and goings of addresses that meet in few places are counted as a plain array counts them. */
static void test_model(void **state)
{
        enum {
                ADDRESSES = 40,
                SEATS = 20
        };
        uint32_t counts[ADDRESSES] = {0};
        size_t total = 0;
        size_t i;
        int step;

        (void)state;
        srand(7);
        assert_int_equal(addresses_init(&addresses, SEATS, 3, false), R_OK);
        assert_int_equal(addresses.mask, 63);
        for (step = 0; step < 100000; step++) {
                size_t who = (size_t)rand() % ADDRESSES;
                uint64_t address = (who + 1) << 32 | (who % 5 + 60); /* they run over the end */

                if (rand() % 2 == 0 && total < SEATS) {
                        assert_int_equal(addresses_enter(&addresses, address), counts[who] < 3);
                        total += counts[who] < 3;
                        counts[who] += counts[who] < 3;
                } else if (counts[who] > 0) {
                        addresses_leave(&addresses, address);
                        counts[who]--;
                        total--;
                }
        }
        for (i = 0; i < ADDRESSES; i++)
                for (; counts[i] > 0; counts[i]--)
                        addresses_leave(&addresses, (i + 1) << 32 | (i % 5 + 60));
        for (i = 0; i <= addresses.mask; i++)
                assert_int_equal(addresses.seats[i].address, ADDRESS_NONE);
        addresses_fini(&addresses);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_customers),
                cmocka_unit_test(test_hash),
                cmocka_unit_test(test_bound),
                cmocka_unit_test(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
