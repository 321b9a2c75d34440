#include "engine/apikey.h"

#include <stdio.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/scope.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(apikey_create, true);
WORLD_METHOD(apikey_list, false);
WORLD_METHOD(apikey_revoke, true);

static struct world world;
static struct person ann, bob;

static int set_up(void **state)
{
        (void)state;
        world_open(&world);
        world_add_person(&world, &ann);
        world_add_person(&world, &bob);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_close(&world);
        return 0;
}

struct new_key {
        char id[UUID_TEXT_LEN + 1];
        struct credential who;
};

/* expires_s: seconds since 1970; 0: never. */
static enum result create(const struct credential *who, const char *name, int64_t expires_s, struct new_key *out)
{
        Allod__V1__CreateKeyRequest request = ALLOD__V1__CREATE_KEY_REQUEST__INIT;
        Google__Protobuf__Timestamp expires_at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        const Allod__V1__CreateKeyResponse *made;
        enum result r;

        request.name = (char *)name;
        expires_at.seconds = expires_s;
        if (expires_s != 0) request.expires_at = &expires_at;
        if ((r = world_call(&world, &method_apikey_create, who, &request)) != R_OK) return r;
        made = world_reply(&world, &allod__v1__create_key_response__descriptor);
        assert_int_equal(apikey_text_check(bytes_of_text(made->secret)), R_OK);
        assert_true(apikey_is_ours(bytes_of_text(made->secret)));
        assert_string_equal(made->key->name, name);
        assert_int_equal(made->key->expires_at == NULL ? 0 : made->key->expires_at->seconds, expires_s);
        snprintf(out->id, sizeof out->id, "%s", made->key->id);
        out->who = *who;
        assert_int_equal(apikey_digest(bytes_of_text(made->secret), out->who.key_digest), R_OK);
        return R_OK;
}

static enum result list(const struct credential *who)
{
        Allod__V1__ListKeysRequest request = ALLOD__V1__LIST_KEYS_REQUEST__INIT;

        return world_call(&world, &method_apikey_list, who, &request);
}

static const Allod__V1__ListKeysResponse *listed(void)
{
        return world_reply(&world, &allod__v1__list_keys_response__descriptor);
}

static enum result revoke_key(const struct credential *who, const char *id)
{
        Allod__V1__RevokeKeyRequest request = ALLOD__V1__REVOKE_KEY_REQUEST__INIT;

        request.id = (char *)id;
        return world_call(&world, &method_apikey_revoke, who, &request);
}

/* Each field is checked, and named by its path. */
static void test_fields(void **state)
{
        Allod__V1__CreateKeyRequest request = ALLOD__V1__CREATE_KEY_REQUEST__INIT;
        Google__Protobuf__Timestamp expires_at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Allod__V1__ListKeysRequest page = ALLOD__V1__LIST_KEYS_REQUEST__INIT;

        (void)state;
        expires_at.nanos = -1;
        request.expires_at = &expires_at;
        assert_int_equal(world_call(&world, &method_apikey_create, &ann.who, &request), R_BAD_ARGUMENT);
        assert_int_equal(world.fault.field_count, 2);
        assert_string_equal(world.fault.fields[0].path, "name");
        assert_string_equal(world.fault.fields[1].path, "expires_at");
        assert_int_equal(revoke_key(&ann.who, "first"), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "id");
        page.page_size = 1001;
        assert_int_equal(world_call(&world, &method_apikey_list, &ann.who, &page), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "page_size");
}

/* A new key serves at once, as its user; its list entry shows no secret, and only its user sees it. */
static void test_create(void **state)
{
        struct new_key key;

        (void)state;
        assert_int_equal(create(&ann.who, "laptop", 0, &key), R_OK);
        assert_int_equal(list(&key.who), R_OK);
        assert_int_equal(listed()->n_keys, 2);
        assert_string_equal(listed()->keys[0]->id, key.id);
        assert_string_equal(listed()->keys[0]->name, "laptop");
        assert_string_equal(listed()->keys[1]->id, ann.key_text);
        assert_true(listed()->keys[0]->created_at->seconds > 0);
        assert_null(listed()->keys[0]->expires_at);
        assert_null(listed()->keys[0]->revoked_at);
        assert_int_equal(list(&bob.who), R_OK);
        assert_int_equal(listed()->n_keys, 1);
        assert_string_equal(listed()->keys[0]->id, bob.key_text);
}

/* A revoked key is dead from the next call on, also where it was known before; it stays listed, and to revoke it again
 * gives the same answer. */
static void test_revoke(void **state)
{
        struct new_key key;

        (void)state;
        assert_int_equal(create(&ann.who, "laptop", 0, &key), R_OK);
        assert_int_equal(list(&key.who), R_OK);
        assert_int_equal(list(&key.who), R_OK);
        assert_int_equal(revoke_key(&ann.who, key.id), R_OK);
        assert_int_equal(list(&key.who), R_UNAUTHENTICATED);
        assert_int_equal(revoke_key(&key.who, ann.key_text), R_UNAUTHENTICATED);
        assert_int_equal(list(&ann.who), R_OK);
        assert_int_equal(listed()->n_keys, 2);
        assert_true(listed()->keys[0]->revoked_at->seconds > 0);
        assert_int_equal(revoke_key(&ann.who, key.id), R_OK);
        assert_int_equal(revoke_key(&ann.who, ann.key_text), R_OK);
        assert_int_equal(list(&ann.who), R_UNAUTHENTICATED);
}

/* A key of somebody else is absent, exactly as one that is none. */
static void test_foreign_key(void **state)
{
        char none[UUID_TEXT_LEN + 1];
        struct fault first;

        (void)state;
        uuid_format(uuid_v7(1), none);
        assert_int_equal(revoke_key(&bob.who, ann.key_text), R_ABSENT);
        first = world.fault;
        assert_int_equal(revoke_key(&bob.who, none), R_ABSENT);
        assert_string_equal(world.fault.text, first.text);
        assert_int_equal(list(&ann.who), R_OK);
}

/* A key serves until it expires, to the second, also where it was known before. */
static void test_expiry(void **state)
{
        int64_t now_s = store_time_ms(world.store) / 1000;
        struct new_key key;

        (void)state;
        assert_int_equal(create(&ann.who, "old", now_s - 1, &key), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "expires_at");
        assert_int_equal(create(&ann.who, "short-lived", now_s + 1000, &key), R_OK);
        assert_int_equal(list(&key.who), R_OK);
        world.ahead_ms = 900000;
        assert_int_equal(list(&key.who), R_OK);
        world.ahead_ms = 1001000;
        assert_int_equal(list(&key.who), R_UNAUTHENTICATED);
        assert_int_equal(revoke_key(&key.who, key.id), R_UNAUTHENTICATED);
        assert_int_equal(list(&ann.who), R_OK);
}

/* Keys belong to users: in a team's context there are none. */
static void test_team_header(void **state)
{
        struct credential in_team = world_in_team(&ann.who, world_add_team(&world, &ann));
        struct new_key key;

        (void)state;
        assert_int_equal(list(&in_team), R_BAD_ARGUMENT);
        assert_int_equal(create(&in_team, "laptop", 0, &key), R_BAD_ARGUMENT);
        assert_int_equal(revoke_key(&in_team, ann.key_text), R_BAD_ARGUMENT);
}

static enum result fill(struct txn *txn, void *arg)
{
        struct message ignored;
        const struct scope *self;
        char text[64];
        size_t i;
        enum result r;

        (void)arg;
        if ((r = scope_open_personal(txn, &ann.who, &self)) != R_OK) return r;
        for (i = 1; i < USER_KEYS_MAX; i++) {
                struct apikey_new key = {.id = uuid_v7(txn_time_ms(txn)), .name = "one of many", .text = text};

                snprintf(text, sizeof text, "secret-number-%zu", i);
                message_init(&ignored, txn_arena(txn), 256);
                if ((r = apikey_add(self, &key, &ignored)) != R_OK) return r;
        }
        return R_OK;
}

/* A user has a bounded number of keys, and somebody else's do not count. */
static void test_bound(void **state)
{
        struct new_key key;

        (void)state;
        assert_int_equal(world_update(&world, fill, NULL), R_OK);
        assert_int_equal(create(&ann.who, "one too many", 0, &key), R_EXHAUSTED);
        assert_int_equal(create(&bob.who, "fine", 0, &key), R_OK);
}

#define KEY_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                KEY_TEST(test_fields), KEY_TEST(test_create),      KEY_TEST(test_revoke), KEY_TEST(test_foreign_key),
                KEY_TEST(test_expiry), KEY_TEST(test_team_header), KEY_TEST(test_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
