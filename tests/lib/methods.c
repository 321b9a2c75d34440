#include "tests/lib/methods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/backend.h"
#include "engine/store_private.h"
#include "engine/verify.h"
#include "rpc/grpc_codec.h"
#include "rpc/method.h"
#include "tests/lib/test.h"

#define REQUEST_MAX 1024

/*
 * Fields of a request: a number, then s and a text, v and a number, or a message in parentheses. A text of one letter
 * is the id of: T the team that ann owns and bob is a MEMBER of, N ann, B bob, E eve, who is invited to it, U a user
 * who is not, A an app of ann's, J a job of it, K a key of ann's.
 */
const struct method_call method_calls[] = {
        {"/allod.v1.AppService/CreateApp", ANN_KEY, "1(2sname 4(1v1) 5(1shttp://host/model))"},
        {"/allod.v1.AppService/GetApp", ANN_KEY, "1sA"},
        {"/allod.v1.AppService/ListApps", ANN_KEY, ""},
        {"/allod.v1.AppService/UpdateApp", ANN_KEY, "1(1sA 2srenamed)"},
        {"/allod.v1.AppService/DeleteApp", ANN_KEY, "1sA"},
        {"/allod.v1.JobService/RunJob", ANN_KEY, "1sA 2s{}"},
        {"/allod.v1.JobService/GetJob", ANN_KEY, "1sJ 2sA"},
        {"/allod.v1.JobService/ListJobs", ANN_KEY, "1sA"},
        {"/allod.v1.JobService/CancelJob", ANN_KEY, "1sJ 2sA"},
        {"/allod.v1.TeamService/CreateTeam", ANN_KEY, "1(2sname)"},
        {"/allod.v1.TeamService/GetTeam", ANN_KEY, "1sT"},
        {"/allod.v1.TeamService/ListTeams", ANN_KEY, ""},
        {"/allod.v1.TeamService/UpdateTeam", ANN_KEY, "1(1sT 2srenamed)"},
        {"/allod.v1.TeamService/DeleteTeam", ANN_KEY, "1sT"},
        {"/allod.v1.TeamService/ListMembers", ANN_KEY, "1sT"},
        {"/allod.v1.TeamService/UpdateMember", ANN_KEY, "1sT 2sB 3v2"},
        {"/allod.v1.TeamService/RemoveMember", ANN_KEY, "1sT 2sB"},
        {"/allod.v1.TeamService/LeaveTeam", BOB_KEY, "1sT"},
        {"/allod.v1.TeamService/InviteMember", ANN_KEY, "1sT 2sU 3v3"},
        {"/allod.v1.TeamService/ListInvitations", EVE_KEY, ""},
        {"/allod.v1.TeamService/AcceptInvitation", EVE_KEY, "1sT"},
        {"/allod.v1.TeamService/DeclineInvitation", EVE_KEY, "1sT"},
        {"/allod.v1.KeyService/CreateKey", ANN_KEY, "1sname"},
        {"/allod.v1.KeyService/ListKeys", ANN_KEY, ""},
        {"/allod.v1.KeyService/RevokeKey", ANN_KEY, "1sK"},
        {"/allod.v1.AdminService/CreateUser", NULL, "2sname"},
        {"/allod.v1.AdminService/GetUser", NULL, "1sE"},
        {"/allod.v1.AdminService/ListUsers", NULL, ""},
        {"/allod.v1.AdminService/DeleteUser", NULL, "1sE"},
        {"/allod.v1.AdminService/AdminCreateTeam", NULL, "2sname 3sE"},
        {"/allod.v1.AdminService/AdminGetTeam", NULL, "1sT"},
        {"/allod.v1.AdminService/AdminListTeams", NULL, ""},
        {"/allod.v1.AdminService/AdminDeleteTeam", NULL, "1sT"},
        {"/allod.v1.AdminService/AddMember", NULL, "1sT 2sU 3v3"},
        {"/allod.v1.AdminService/AdminListMembers", NULL, "1sT"},
        {"/allod.v1.AdminService/SetMemberRole", NULL, "1sT 2sB 3v2"},
        {"/allod.v1.AdminService/AdminRemoveMember", NULL, "1sT 2sB"},
        {"/allod.v1.AdminService/AddKey", NULL, "1sE 2sname"},
        {"/allod.v1.AdminService/ImportKey", NULL, "1sE 2sname 3sa-key-from-elsewhere"},
        {"/allod.v1.AdminService/AdminListKeys", NULL, "1sN"},
        {"/allod.v1.AdminService/AdminRevokeKey", NULL, "1sN 2sK"},
        {"/allod.v1.AdminService/GetStats", NULL, ""},
};

const size_t method_call_count = sizeof method_calls / sizeof *method_calls;

/* ---- Requests ---- */

static size_t put_varint(uint8_t *out, uint64_t number)
{
        size_t len = 0;

        for (; number >= 0x80; number >>= 7)
                out[len++] = (uint8_t)(number | 0x80);
        out[len++] = (uint8_t)number;
        return len;
}

/* A field of bytes. */
static size_t put_bytes(uint8_t *out, unsigned long number, const void *data, size_t len)
{
        size_t head = put_varint(out, number << 3 | 2);

        head += put_varint(out + head, len);
        memcpy(out + head, data, len);
        return head + len;
}

static const char *value_of(const struct ground *ground, const char *text, char user[UUID_TEXT_LEN + 1])
{
        const struct loopback *loopback = &ground->loopback;

        if (text[1] != '\0') return text;
        switch (text[0]) {
        case 'T':
                return loopback->team;
        case 'N':
                return loopback->ann_text;
        case 'B':
                return loopback->bob_text;
        case 'E':
                return loopback->eve_text;
        case 'U':
                uuid_format(loopback->fixture.two, user);
                return user;
        case 'A':
                return ground->app;
        case 'J':
                return ground->job;
        case 'K':
                return ground->key;
        default:
                return text;
        }
}

/* Up to the end or the parenthesis that closes a message; *at is moved there. */
static size_t put_fields(const struct ground *ground, const char **at, uint8_t *out)
{
        size_t len = 0;

        while (**at != '\0' && **at != ')') {
                uint8_t inner[REQUEST_MAX];
                char user[UUID_TEXT_LEN + 1];
                char text[128];
                char *end;
                unsigned long number = strtoul(*at, &end, 10);
                char sort = *end++;

                *at = end;
                if (sort == '(') {
                        size_t inner_len = put_fields(ground, at, inner);

                        (*at)++;
                        len += put_bytes(out + len, number, inner, inner_len);
                } else if (sort == 'v') {
                        len += put_varint(out + len, number << 3);
                        len += put_varint(out + len, strtoul(*at, &end, 10));
                        *at = end;
                } else {
                        const char *value;

                        snprintf(text, sizeof text, "%.*s", (int)strcspn(*at, " )"), *at);
                        *at += strlen(text);
                        value = value_of(ground, text, user);
                        len += put_bytes(out + len, number, value, strlen(value));
                }
                if (**at == ' ') (*at)++;
        }
        return len;
}

static void ask(struct ground *ground, const struct method_call *call, struct asked *asked)
{
        struct loopback *loopback = &ground->loopback;
        uint8_t frame[REQUEST_MAX + GRPC_PREFIX_LEN];
        const char *fields = call->fields;
        char headers[256];
        size_t len = put_fields(ground, &fields, frame + GRPC_PREFIX_LEN);

        grpc_prefix_write(frame, len);
        loopback->peer.plane = call->key == NULL ? PLANE_ADMIN : PLANE_PUBLIC;
        if (call->key == NULL)
                snprintf(headers, sizeof headers, "content-type: application/grpc\n");
        else
                snprintf(headers, sizeof headers, "content-type: application/grpc\nx-api-key: %s\n", call->key);
        loopback_begin(loopback, asked, "POST", call->path, headers, true);
        if (!asked->is_answered && !asked->is_reset)
                call_on_data(&asked->exchange, bytes_of(frame, GRPC_PREFIX_LEN + len));
        loopback_end(asked);
        loopback_wait(asked);
}

int methods_call(struct ground *ground, const struct method_call *call)
{
        struct asked asked;
        int status;

        ground->loopback.is_deaf = true;
        ask(ground, call, &asked);
        ground->loopback.is_deaf = false;
        status = asked.is_reset ? -1 : asked.grpc_status;
        loopback_close(&asked);
        return status;
}

/* ---- The ground ---- */

/* Field 1 of the reply or of the message in there, as long as an id. */
static void make(struct ground *ground, const struct method_call *call, char id[UUID_TEXT_LEN + 1])
{
        static const char head[2] = {0x0a, UUID_TEXT_LEN};
        const uint8_t *found;
        struct bytes message;
        struct asked asked;

        ask(ground, call, &asked);
        if (asked.grpc_status != 0) fail_msg("%s: %d", call->path, asked.grpc_status);
        message = loopback_message(&asked);
        found = memmem(message.data, message.len, head, sizeof head);
        if (id != NULL) {
                assert_true(found != NULL && found + 2 + UUID_TEXT_LEN <= message.data + message.len);
                memcpy(id, found + 2, UUID_TEXT_LEN);
                id[UUID_TEXT_LEN] = '\0';
        }
        loopback_close(&asked);
}

void methods_open(struct ground *ground)
{
        static const struct method_call create_app = {"/allod.v1.AppService/CreateApp", ANN_KEY,
                                                      "1(2sname 4(1v1) 5(1shttp://host/model))"};
        static const struct method_call run_job = {"/allod.v1.JobService/RunJob", ANN_KEY, "1sA 2s{}"};
        static const struct method_call create_key = {"/allod.v1.KeyService/CreateKey", ANN_KEY, "1ssecond"};
        static const struct method_call invite = {"/allod.v1.TeamService/InviteMember", ANN_KEY, "1sT 2sE 3v3"};

        memset(ground, 0, sizeof *ground);
        loopback_init(&ground->loopback);
        make(ground, &create_app, ground->app);
        make(ground, &run_job, ground->job);
        make(ground, &create_key, ground->key);
        make(ground, &invite, NULL);
}

void methods_close(struct ground *ground)
{
        loopback_fini(&ground->loopback);
}

void methods_reopen(struct ground *ground)
{
        struct loopback *loopback = &ground->loopback;

        fixture_reopen(&loopback->fixture);
        loopback->host.store = loopback->fixture.store;
        loopback->host.view = loopback->fixture.view;
}

/* ---- Looking at it ---- */

static uint64_t sum(struct bytes key, struct bytes value)
{
        return XXH3_64bits_withSeed(value.data, value.len, XXH3_64bits(key.data, key.len));
}

/* The letter of a change row stands behind its owner. */
static bool is_change(enum backend_table table, struct bytes key)
{
        return table == TABLE_RECORDS && key.len > OWNER_PREFIX_SIZE && key.data[OWNER_PREFIX_SIZE] == '~';
}

static void add_table(struct backend_txn *txn, enum backend_table table, struct methods_digest *digest)
{
        struct backend_cursor cursor;
        struct bytes key, value;
        enum result r;

        assert_int_equal(backend_cursor_open(txn, table, &cursor), R_OK);
        for (r = backend_seek(&cursor, BYTES("\0"), &key, &value); r == R_OK; r = backend_next(&cursor, &key, &value)) {
                digest->all += sum(key, value);
                if (!is_change(table, key)) digest->records += sum(key, value);
        }
        assert_int_equal(r, R_ABSENT);
        backend_cursor_close(&cursor);
}

struct methods_digest methods_digest(struct ground *ground)
{
        struct methods_digest digest = {0};
        struct backend_txn *txn;
        unsigned table;

        assert_int_equal(backend_begin_read(ground->loopback.fixture.store->backend, &txn), R_OK);
        for (table = 0; table < TABLE_COUNT; table++)
                if (table != TABLE_META) add_table(txn, table, &digest);
        backend_abort(txn);
        return digest;
}

static void on_found(void *context, const char *sentence)
{
        (void)context;
        fail_msg("verify: %s", sentence);
}

void methods_verify(struct ground *ground)
{
        struct verify verify = {.found_cb = on_found};

        assert_int_equal(fixture_view(&ground->loopback.fixture, verify_run, &verify), R_OK);
        assert_int_equal(verify.found_count, 0);
}
