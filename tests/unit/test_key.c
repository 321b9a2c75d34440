#include "engine/key.h"

#include "tests/lib/test.h"

/* Two owners of each kind, one id for a user and a team, so that only the letter tells them apart. */
static const struct owner owners[] = {
        {OWNER_USER, {{0x01, 0x8f, 1}}},
        {OWNER_TEAM, {{0x01, 0x8f, 1}}},
        {OWNER_USER, {{0x01, 0x8f, 2}}},
        {OWNER_TEAM, {{0xff, 0xff, 0xff}}},
};
#define OWNER_COUNT (sizeof owners / sizeof owners[0])

static struct uuid id_of(uint8_t fill)
{
        struct uuid id;

        memset(id.bytes, fill, UUID_SIZE);
        return id;
}

/* A row of `kind` with all ids that this kind has. */
static struct row row_of(enum row_kind kind)
{
        struct row row = {.kind = kind};

        if (row_kind_is_under_app(kind)) row.app = id_of(0xa1);
        switch (kind) {
        case ROW_PROFILE:
        case ROW_APP:
        case ROW_COUNTERS:
                break;
        case ROW_GRANT:
                row.owner = owners[1];
                break;
        case ROW_GRANTEE_JOB:
                row.owner = owners[2];
                row.id = id_of(0x5d);
                break;
        case ROW_JOB_BY_STATE:
                row.state = 3;
                row.id = id_of(0x5d);
                break;
        case ROW_CHANGE:
                row.revision = 0x0102030405060708;
                break;
        default:
                row.id = id_of(0x5d);
                break;
        }
        return row;
}

static struct key key_of(struct owner owner, const struct row *row)
{
        struct key key;

        key_owner(owner, &key);
        key_append(&key, row);
        return key;
}

static struct bytes bytes_of_key(const struct key *key)
{
        return bytes_of(key->data, key->len);
}

static int compare(const struct key *a, const struct key *b)
{
        size_t len = a->len < b->len ? a->len : b->len;
        int order = memcmp(a->data, b->data, len);

        return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}

static bool owner_equal(struct owner a, struct owner b)
{
        return a.kind == b.kind && uuid_equal(a.id, b.id);
}

static void assert_row_equal(const struct row *a, const struct row *b)
{
        assert_int_equal(a->kind, b->kind);
        assert_true(uuid_equal(a->app, b->app));
        assert_true(uuid_equal(a->id, b->id));
        assert_true(owner_equal(a->owner, b->owner));
        assert_int_equal(a->state, b->state);
        assert_int_equal(a->revision, b->revision);
}

/* Every kind, under every owner, reads back as what it was made of. */
static void test_round_trip(void **state)
{
        struct owner owner;
        struct row row;
        size_t i;
        int kind;

        (void)state;
        for (i = 0; i < OWNER_COUNT; i++) {
                for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                        struct row made = row_of(kind);
                        struct key key = key_of(owners[i], &made);

                        assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_OK);
                        assert_true(owner_equal(owner, owners[i]));
                        assert_row_equal(&row, &made);
                }
        }
}

/* The bytes are those that key.h shows; they are a disk format. */
static void test_golden_bytes(void **state)
{
        static const uint8_t app[] = "t:\x01\x8f\x01\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                     "A\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1\xa1"
                                     "0";
        static const uint8_t change[] = "u:\x01\x8f\x02\0\0\0\0\0\0\0\0\0\0\0\0\0~\1\2\3\4\5\6\7\x08";
        struct row row = row_of(ROW_APP);
        struct key key = key_of(owners[1], &row);

        (void)state;
        assert_int_equal(key.len, sizeof app - 1);
        assert_memory_equal(key.data, app, key.len);
        row = row_of(ROW_CHANGE);
        key = key_of(owners[2], &row);
        assert_int_equal(key.len, sizeof change - 1);
        assert_memory_equal(key.data, change, key.len);
        row = row_of(ROW_GRANTEE_JOB);
        assert_int_equal(key_of(owners[0], &row).len, 70);
}

/* No owner's prefix begins another's, so no scan of one can reach a row of another. */
static void test_owners_are_apart(void **state)
{
        struct key prefix;
        struct row row;
        size_t i;
        size_t j;
        int kind;

        (void)state;
        for (i = 0; i < OWNER_COUNT; i++) {
                key_owner(owners[i], &prefix);
                assert_int_equal(prefix.len, OWNER_PREFIX_SIZE);
                for (j = 0; j < OWNER_COUNT; j++) {
                        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                                struct key key;

                                row = row_of(kind);
                                key = key_of(owners[j], &row);
                                assert_int_equal(bytes_start_with(bytes_of_key(&key), bytes_of_key(&prefix)), i == j);
                        }
                }
        }
}

/* No key of any kind is a prefix of one of another kind, so kinds cannot be mistaken. */
static void test_kinds_are_apart(void **state)
{
        int i;
        int j;

        (void)state;
        for (i = 0; i < ROW_KIND_COUNT; i++) {
                struct row first = row_of(i);
                struct key a = key_of(owners[0], &first);

                for (j = 0; j < ROW_KIND_COUNT; j++) {
                        struct row second = row_of(j);
                        struct key b = key_of(owners[0], &second);

                        assert_int_equal(bytes_start_with(bytes_of_key(&a), bytes_of_key(&b)), i == j);
                }
        }
}

/* The prefix of a kind begins the keys of this kind and of no other under the same app and state. */
static void test_kind_prefix(void **state)
{
        int i;
        int j;

        (void)state;
        for (i = 0; i < ROW_KIND_COUNT; i++) {
                struct row first = row_of(i);
                struct key prefix;

                key_owner(owners[0], &prefix);
                key_append_kind(&prefix, &first);
                for (j = 0; j < ROW_KIND_COUNT; j++) {
                        struct row second = row_of(j);
                        struct key key = key_of(owners[0], &second);
                        bool belongs = i == ROW_APP ? row_kind_is_under_app(j) : i == j;

                        assert_int_equal(bytes_start_with(bytes_of_key(&key), bytes_of_key(&prefix)), belongs);
                }
        }
}

/* An app's prefix begins all rows of this app, and none of the next one. */
static void test_app_prefix(void **state)
{
        struct key prefix;
        int kind;

        (void)state;
        key_owner(owners[0], &prefix);
        key_append_app(&prefix, id_of(0xa1));
        assert_int_equal(prefix.len, APP_PREFIX_SIZE);
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                struct row row = row_of(kind);
                struct key key = key_of(owners[0], &row);

                assert_int_equal(bytes_start_with(bytes_of_key(&key), bytes_of_key(&prefix)),
                                 row_kind_is_under_app(kind));
                row.app = id_of(0xa2);
                key = key_of(owners[0], &row);
                assert_false(bytes_start_with(bytes_of_key(&key), bytes_of_key(&prefix)));
        }
}

/* Order by bytes is the order that lists rely on: ids and revisions by value, an app's record first of its rows, and an
 * owner's last change after all else that it has. */
static void test_order(void **state)
{
        static const uint64_t revisions[] = {0, 1, 255, 256, 65535, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
        struct row last = {.kind = ROW_CHANGE, .revision = 1};
        struct row record = row_of(ROW_APP);
        struct key first = key_of(owners[0], &record);
        struct key change = key_of(owners[0], &last);
        size_t i;
        int kind;

        (void)state;
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                struct row row = row_of(kind);
                struct key key = key_of(owners[0], &row);

                if (kind != ROW_CHANGE) assert_true(compare(&key, &change) < 0);
                if (row_kind_is_under_app(kind) && kind != ROW_APP) assert_true(compare(&first, &key) < 0);
        }
        for (i = 1; i < sizeof revisions / sizeof revisions[0]; i++) {
                struct row row = {.kind = ROW_CHANGE, .revision = revisions[i - 1]};
                struct key before = key_of(owners[0], &row);
                struct key after;

                row.revision = revisions[i];
                after = key_of(owners[0], &row);
                assert_true(compare(&before, &after) < 0);
        }
        for (i = 0; i < 255; i++) {
                struct row row = {.kind = ROW_JOB, .app = id_of(1), .id = id_of((uint8_t)i)};
                struct key before = key_of(owners[0], &row);
                struct key after;

                row.id = id_of((uint8_t)(i + 1));
                after = key_of(owners[0], &row);
                assert_true(compare(&before, &after) < 0);
        }
}

/* Counters lie next to the record: GetApp reads them with one step. */
static void test_counters_follow_the_record(void **state)
{
        struct row row = row_of(ROW_APP);
        struct key record = key_of(owners[0], &row);
        struct key counters;
        int kind;

        (void)state;
        row.kind = ROW_COUNTERS;
        counters = key_of(owners[0], &row);
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                struct row other = row_of(kind);
                struct key key = key_of(owners[0], &other);

                assert_false(compare(&key, &record) > 0 && compare(&key, &counters) < 0);
        }
}

/* What is no key of ours is refused, and the outputs stay as they were: every truncation, every key with a byte more,
 * unknown letters, and owners of an unknown kind. */
static void test_bad_keys(void **state)
{
        struct owner owner = owners[3];
        struct row row = row_of(ROW_CHANGE);
        struct row untouched = row;
        size_t len;
        int kind;

        (void)state;
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                struct row made = row_of(kind);
                struct key key = key_of(owners[0], &made);

                for (len = 0; len < key.len; len++)
                        assert_int_equal(key_read(bytes_of(key.data, len), &owner, &row), R_CORRUPT);
                key.data[key.len] = '0';
                assert_int_equal(key_read(bytes_of(key.data, key.len + 1), &owner, &row), R_CORRUPT);
                key.data[0] = 'v';
                assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
                key.data[0] = 'u';
                key.data[1] = ';';
                assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
                key.data[1] = ':';
                key.data[OWNER_PREFIX_SIZE] = 'z';
                assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
        }
        assert_true(owner_equal(owner, owners[3]));
        assert_row_equal(&row, &untouched);
}

/* A grantee that is no owner, and an unknown second letter, are refused too. */
static void test_bad_middle(void **state)
{
        struct row made = row_of(ROW_GRANT);
        struct key key = key_of(owners[0], &made);
        struct owner owner;
        struct row row;

        (void)state;
        key.data[APP_PREFIX_SIZE + 1] = 'x';
        assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
        made = row_of(ROW_JOB);
        key = key_of(owners[0], &made);
        key.data[APP_PREFIX_SIZE] = 'k';
        assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
        made = row_of(ROW_INVITATION);
        key = key_of(owners[0], &made);
        key.data[OWNER_PREFIX_SIZE + 1] = 'j';
        assert_int_equal(key_read(bytes_of_key(&key), &owner, &row), R_CORRUPT);
}

/* Whatever reads as a key is written the same way again, so no two byte strings name one row. */
static void test_reading_is_exact(void **state)
{
        struct owner owner;
        struct row row;
        int kind;
        size_t at;
        int byte;

        (void)state;
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                struct row made = row_of(kind);

                for (at = 0; at < key_of(owners[0], &made).len; at++) {
                        for (byte = 0; byte < 256; byte++) {
                                struct key key = key_of(owners[0], &made);
                                struct key again;

                                key.data[at] = (uint8_t)byte;
                                if (key_read(bytes_of_key(&key), &owner, &row) != R_OK) continue;
                                again = key_of(owner, &row);
                                assert_true(bytes_equal(bytes_of_key(&again), bytes_of_key(&key)));
                        }
                }
        }
}

/* Each kind has a name of its own, and what has an empty value is derived. */
static void test_kinds(void **state)
{
        int i;
        int j;

        (void)state;
        for (i = 0; i < ROW_KIND_COUNT; i++) {
                assert_non_null(row_kind_name(i));
                assert_false(row_kind_is_primary(i) && !row_kind_has_value(i));
                for (j = 0; j < i; j++)
                        assert_string_not_equal(row_kind_name(i), row_kind_name(j));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_golden_bytes),
                cmocka_unit_test(test_owners_are_apart),
                cmocka_unit_test(test_kinds_are_apart),
                cmocka_unit_test(test_kind_prefix),
                cmocka_unit_test(test_app_prefix),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_counters_follow_the_record),
                cmocka_unit_test(test_bad_keys),
                cmocka_unit_test(test_bad_middle),
                cmocka_unit_test(test_reading_is_exact),
                cmocka_unit_test(test_kinds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
