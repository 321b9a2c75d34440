/* TLS from bytes to bytes: a server of ours and OpenSSL's client, which hand byte arrays to each other. */
#include "rpc/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "rpc/limits.h"
#include "tests/lib/certificates.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

enum {
        PLAIN_SIZE = 65536
};

/* What all tests share: two authorities, pairs of the first, and a context of either kind. */
static struct {
        struct tempdir dir;
        char ca[256], other_ca[256], cert[256], key[256], client_cert[256], client_key[256], bad_cert[256],
                bad_key[256], file[256];
        struct authority authority, other;
        struct tls_tickets *tickets;
        struct tls_context *context; /* of no client anything is demanded */
        struct tls_context *mutual;
        SSL_CTX *client;
} house;

/* One connection and what is on its way. */
struct pair {
        struct tls *server;
        SSL *client;
        BIO *to_client, *from_client;
        struct output records;
        size_t step; /* how many bytes reach the server at a time; 0: all */
        enum result end;
        uint8_t heard[PLAIN_SIZE]; /* plaintext that the server got */
        size_t heard_len;
};

static void path_of(char *path, const char *name)
{
        snprintf(path, 256, "%s", tempdir_file(&house.dir, name));
}

static enum result load(const char *cert, const char *key, const char *ca, enum tls_profile profile,
                        struct tls_context **out, char *why)
{
        struct tls_files files = {.certificate = cert, .key = key, .client_ca = ca};

        return tls_context_load(&files, profile, house.tickets, out, why);
}

static int set_up(void **state)
{
        char why[TLS_WHY_SIZE];

        (void)state;
        tempdir_make(&house.dir);
        path_of(house.ca, "ca");
        path_of(house.other_ca, "other-ca");
        path_of(house.cert, "cert");
        path_of(house.key, "key");
        path_of(house.client_cert, "client-cert");
        path_of(house.client_key, "client-key");
        path_of(house.bad_cert, "bad-cert");
        path_of(house.bad_key, "bad-key");
        path_of(house.file, "file");
        authority_init(&house.authority, "an authority");
        authority_init(&house.other, "another authority");
        authority_write(&house.authority, house.ca);
        authority_write(&house.other, house.other_ca);
        authority_issue(&house.authority, "localhost", -60, 3600, house.cert, house.key);
        authority_issue(&house.authority, "ann", -60, 3600, house.client_cert, house.client_key);
        assert_int_equal(tls_tickets_new(&house.tickets), R_OK);
        assert_int_equal(load(house.cert, house.key, NULL, TLS_INTERMEDIATE, &house.context, why), R_OK);
        assert_int_equal(load(house.cert, house.key, house.ca, TLS_INTERMEDIATE, &house.mutual, why), R_OK);
        house.client = SSL_CTX_new(TLS_client_method());
        assert_non_null(house.client);
        assert_int_equal(SSL_CTX_load_verify_locations(house.client, house.ca, NULL), 1);
        SSL_CTX_set_verify(house.client, SSL_VERIFY_PEER, NULL);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        SSL_CTX_free(house.client);
        tls_context_unref(house.context);
        tls_context_unref(house.mutual);
        tls_tickets_free(house.tickets);
        authority_fini(&house.authority);
        authority_fini(&house.other);
        tempdir_remove(&house.dir);
        return 0;
}

static void pair_init(struct pair *pair, struct tls_context *context)
{
        *pair = (struct pair){.records = {.size = TLS_RECORDS_LEN(1 << 20) + TLS_ANSWER_MAX}};
        pair->records.data = malloc(pair->records.size);
        pair->server = tls_new(context);
        pair->client = SSL_new(house.client);
        pair->to_client = BIO_new(BIO_s_mem());
        pair->from_client = BIO_new(BIO_s_mem());
        assert_true(pair->records.data != NULL && pair->server != NULL && pair->client != NULL);
        assert_true(pair->to_client != NULL && pair->from_client != NULL);
        SSL_set_bio(pair->client, pair->to_client, pair->from_client);
        SSL_set_connect_state(pair->client);
}

static void pair_fini(struct pair *pair)
{
        tls_free(pair->server);
        SSL_free(pair->client);
        free(pair->records.data);
}

static void offer(struct pair *pair, const char *protocols)
{
        assert_int_equal(
                SSL_set_alpn_protos(pair->client, (const unsigned char *)protocols, (unsigned)strlen(protocols)), 0);
}

/* What the server has to say goes to the client. */
static void carry_out(struct pair *pair)
{
        if (pair->records.len > 0)
                assert_int_equal(BIO_write(pair->to_client, pair->records.data, (int)pair->records.len),
                                 pair->records.len);
        pair->records.len = 0;
}

/* Bytes for the server, in one piece or in steps; what it decrypts is kept. */
static void carry_in(struct pair *pair, struct bytes bytes)
{
        while (bytes.len > 0 && pair->end == R_OK) {
                struct bytes piece =
                        bytes_of(bytes.data, pair->step == 0 || pair->step > bytes.len ? bytes.len : pair->step);
                size_t len;

                bytes = bytes_skip(bytes, piece.len);
                do {
                        pair->end = tls_read(pair->server, &piece, pair->heard + pair->heard_len,
                                             PLAIN_SIZE - pair->heard_len, &len, &pair->records);
                        pair->heard_len += len;
                } while (pair->end == R_OK && len > 0);
                assert_int_equal(piece.len, 0);
        }
}

static void carry_from_client(struct pair *pair)
{
        char *data;
        long len = BIO_get_mem_data(pair->from_client, &data);
        uint8_t *copy = malloc((size_t)len + 1);

        assert_non_null(copy);
        if (len > 0) memcpy(copy, data, (size_t)len);
        BIO_reset(pair->from_client);
        carry_in(pair, bytes_of(copy, (size_t)len));
        free(copy);
}

/* Shake hands. False: one side refused. */
static bool meet(struct pair *pair)
{
        int i;

        for (i = 0; i < 10; i++) {
                int outcome = SSL_do_handshake(pair->client);

                if (outcome != 1 && SSL_get_error(pair->client, outcome) != SSL_ERROR_WANT_READ) {
                        ERR_clear_error();
                        carry_from_client(pair); /* its alert */
                        return false;
                }
                carry_from_client(pair);
                if (pair->end != R_OK) {
                        carry_out(pair);
                        SSL_do_handshake(pair->client);
                        ERR_clear_error();
                        return false;
                }
                carry_out(pair);
                if (outcome == 1 && tls_is_open(pair->server)) return true;
        }
        return false;
}

static void assert_heard(struct pair *pair, const void *data, size_t len)
{
        assert_int_equal(pair->heard_len, len);
        assert_memory_equal(pair->heard, data, len);
        pair->heard_len = 0;
}

static void say(struct pair *pair, const void *data, int len)
{
        assert_int_equal(SSL_write(pair->client, data, len), len);
        carry_from_client(pair);
}

/* Bytes go both ways, in both versions, and however they are cut on their way in. */
static void test_both_ways(void **state)
{
        static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
        static const size_t steps[] = {0, 1, 2, 3, 5, 7, 100, 1000};
        size_t i;

        (void)state;
        for (i = 0; i < 16; i++) {
                struct pair pair;
                char answer[100];

                pair_init(&pair, house.context);
                pair.step = steps[i % 8];
                SSL_set_min_proto_version(pair.client, versions[i / 8]);
                SSL_set_max_proto_version(pair.client, versions[i / 8]);
                assert_true(meet(&pair));
                assert_int_equal(SSL_version(pair.client), versions[i / 8]);
                say(&pair, "question", 8);
                assert_heard(&pair, "question", 8);
                assert_int_equal(tls_write(pair.server, BYTES("answer"), &pair.records), R_OK);
                carry_out(&pair);
                assert_int_equal(SSL_read(pair.client, answer, sizeof answer), 6);
                assert_memory_equal(answer, "answer", 6);
                assert_null(tls_why(pair.server));
                pair_fini(&pair);
        }
}

/* Every place where a client's first flight may be cut in two. */
static void test_every_cut(void **state)
{
        struct pair pair;
        size_t cut = 0;
        size_t hello_len = 1;

        (void)state;
        for (cut = 0; cut < hello_len; cut++) {
                char *data;
                uint8_t hello[4096];

                pair_init(&pair, house.context);
                assert_int_equal(SSL_do_handshake(pair.client), -1);
                hello_len = (size_t)BIO_get_mem_data(pair.from_client, &data);
                assert_true(hello_len > 100 && hello_len < sizeof hello);
                memcpy(hello, data, hello_len);
                BIO_reset(pair.from_client);
                carry_in(&pair, bytes_of(hello, cut));
                assert_int_equal(pair.records.len, 0);
                carry_in(&pair, bytes_of(hello + cut, hello_len - cut));
                assert_int_equal(pair.end, R_OK);
                assert_true(pair.records.len > 500);
                carry_out(&pair);
                assert_true(meet(&pair));
                pair_fini(&pair);
        }
}

/* A turn's megabyte becomes 64 records and no more, and comes through whole. */
static void test_large(void **state)
{
        const size_t len = 1 << 20;
        uint8_t *sent = malloc(len);
        uint8_t *got = malloc(len);
        size_t got_len = 0;
        struct pair pair;
        size_t i;

        (void)state;
        assert_true(sent != NULL && got != NULL);
        for (i = 0; i < len; i++)
                sent[i] = (uint8_t)(i * 2654435761U >> 13);
        pair_init(&pair, house.context);
        assert_true(meet(&pair));
        assert_int_equal(tls_write(pair.server, bytes_of(sent, len), &pair.records), R_OK);
        assert_true(pair.records.len <= len + 64 * (5 + 1 + 16));
        assert_true(pair.records.len <= TLS_RECORDS_LEN(len));
        carry_out(&pair);
        while (got_len < len) {
                int n = SSL_read(pair.client, got + got_len, (int)(len - got_len));

                assert_true(n > 0);
                got_len += (size_t)n;
        }
        assert_memory_equal(sent, got, len);

        /* The other way, more at once than tls_read has room for. */
        for (i = 0; i < 3; i++) {
                assert_int_equal(SSL_write(pair.client, sent, PLAIN_SIZE), PLAIN_SIZE);
                carry_from_client(&pair);
                assert_heard(&pair, sent, PLAIN_SIZE);
        }
        pair_fini(&pair);
        free(sent);
        free(got);
}

/* h2 is chosen before http/1.1, no offer means HTTP/1.1, and a stranger is told so. */
static void test_alpn(void **state)
{
        static const struct {
                const char *offer;
                bool is_met, is_h2;
        } rows[] = {
                {"\x02h2", true, true},
                {"\x08http/1.1", true, false},
                {"\x08http/1.1\x02h2", true, true},
                {"\x03h2c\x02h2\x04spdy", true, true},
                {NULL, true, false},
                {"\x02h3", false, false},
                {"\x08http/1.0\x04grpc", false, false},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                const unsigned char *chosen;
                unsigned len;
                struct pair pair;

                pair_init(&pair, house.context);
                if (rows[i].offer != NULL) offer(&pair, rows[i].offer);
                assert_int_equal(meet(&pair), rows[i].is_met);
                assert_int_equal(tls_is_h2(pair.server), rows[i].is_h2);
                SSL_get0_alpn_selected(pair.client, &chosen, &len);
                assert_int_equal(len, !rows[i].is_met || rows[i].offer == NULL ? 0 : rows[i].is_h2 ? 2 : 8);
                if (!rows[i].is_met) {
                        assert_int_equal(pair.end, R_IO);
                        assert_string_equal(tls_why(pair.server), "no application protocol");
                }
                pair_fini(&pair);
        }
}

/* What is old or weak finds nobody: versions below 1.2, suites without forward secrecy or AEAD; on the modern
 * profile 1.2 as well. */
static void test_profiles(void **state)
{
        static const char *const weak[] = {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA",
                                           "DHE-RSA-AES128-GCM-SHA256"};
        static const char *const strong[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                             "ECDHE-ECDSA-CHACHA20-POLY1305"};
        struct tls_context *modern;
        char why[TLS_WHY_SIZE];
        struct pair pair;
        size_t i;

        (void)state;
        for (i = 0; i < 4 + 3; i++) {
                pair_init(&pair, house.context);
                SSL_set_max_proto_version(pair.client, TLS1_2_VERSION);
                assert_int_equal(SSL_set_cipher_list(pair.client, i < 4 ? weak[i] : strong[i - 4]), 1);
                assert_int_equal(meet(&pair), i >= 4);
                pair_fini(&pair);
        }
        pair_init(&pair, house.context);
        SSL_set_min_proto_version(pair.client, TLS1_VERSION);
        SSL_set_max_proto_version(pair.client, TLS1_1_VERSION);
        SSL_set_security_level(pair.client, 0);
        assert_int_equal(SSL_set_cipher_list(pair.client, "ALL"), 1);
        assert_false(meet(&pair));
        assert_string_equal(tls_why(pair.server), "unsupported protocol");
        pair_fini(&pair);

        assert_int_equal(load(house.cert, house.key, NULL, TLS_MODERN, &modern, why), R_OK);
        for (i = 0; i < 2; i++) {
                pair_init(&pair, modern);
                SSL_set_max_proto_version(pair.client, i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
                assert_int_equal(meet(&pair), i == 1);
                pair_fini(&pair);
        }
        tls_context_unref(modern);
}

/* Garbage, plain HTTP, an endless handshake and a damaged record end the connection with a reason and an alert. */
static void test_garbage(void **state)
{
        static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        uint8_t bytes[1000];
        struct pair pair;
        size_t i;
        size_t j;
        size_t len;

        (void)state;
        pair_init(&pair, house.context);
        carry_in(&pair, bytes_of_text(http));
        assert_int_equal(pair.end, R_IO);
        assert_string_equal(tls_why(pair.server), "http request");
        pair_fini(&pair);

        for (i = 0; i < 200; i++) {
                srand((unsigned)i);
                for (j = 0; j < sizeof bytes; j++)
                        bytes[j] = (uint8_t)rand();
                if (i % 2 == 0) memcpy(bytes, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
                pair_init(&pair, house.context);
                carry_in(&pair, bytes_of(bytes, sizeof bytes));
                carry_in(&pair, bytes_of(bytes, sizeof bytes));
                assert_false(tls_is_open(pair.server));
                if (pair.end != R_OK) assert_non_null(tls_why(pair.server));
                pair_fini(&pair);
        }

        /* Many small handshake messages that are never done: a hello of 128 KiB in records of 1000 bytes. */
        pair_init(&pair, house.context);
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, "\x16\x03\x01\x03\xe3\x01\x01\xff\xff", 9);
        for (i = 0; i < 200 && pair.end == R_OK; i++) {
                carry_in(&pair, bytes_of(bytes, sizeof bytes));
                memset(bytes + 5, 0, 4);
        }
        assert_int_equal(pair.end, R_IO);
        assert_true(i * sizeof bytes <= TLS_HANDSHAKE_LEN_MAX + 2 * sizeof bytes);
        pair_fini(&pair);

        /* One flipped bit, at each place of a record behind its header. What came before it is still given. */
        for (i = 5, len = 6; i < len; i++) {
                char *data;

                pair_init(&pair, house.context);
                assert_true(meet(&pair));
                assert_int_equal(SSL_write(pair.client, "first", 5), 5);
                len = (size_t)BIO_get_mem_data(pair.from_client, &data);
                assert_int_equal(SSL_write(pair.client, "first", 5), 5);
                j = (size_t)BIO_get_mem_data(pair.from_client, &data);
                assert_true(j == 2 * len && j < sizeof bytes);
                memcpy(bytes, data, j);
                bytes[len + i] ^= 1;
                carry_in(&pair, bytes_of(bytes, j));
                assert_heard(&pair, "first", 5);
                assert_int_equal(pair.end, R_IO);
                assert_true(pair.records.len > 0); /* the alert */
                assert_int_equal(tls_write(pair.server, BYTES("late"), &pair.records), R_IO);
                pair_fini(&pair);
        }
}

/* An end with notice is told from a broken one; ours is heard. */
static void test_end(void **state)
{
        struct pair pair;
        char buffer[10];

        (void)state;
        pair_init(&pair, house.context);
        assert_true(meet(&pair));
        assert_int_equal(SSL_write(pair.client, "last", 4), 4);
        SSL_shutdown(pair.client);
        carry_from_client(&pair);
        assert_int_equal(pair.end, R_ABSENT);
        assert_heard(&pair, "last", 4);
        assert_int_equal(tls_write(pair.server, BYTES("reply"), &pair.records), R_OK);
        tls_end(pair.server, &pair.records);
        carry_out(&pair);
        assert_int_equal(SSL_read(pair.client, buffer, sizeof buffer), 5);
        assert_int_equal(SSL_read(pair.client, buffer, sizeof buffer), 0);
        assert_int_equal(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
        pair_fini(&pair);

        /* Before the handshake there is nothing to be said. */
        pair_init(&pair, house.context);
        tls_end(pair.server, &pair.records);
        assert_int_equal(pair.records.len, 0);
        pair_fini(&pair);
}

/* TLS 1.2: whoever asks for renegotiation is refused, at no cost of a handshake. */
static void test_renegotiation(void **state)
{
        struct pair pair;
        char buffer[10];

        (void)state;
        pair_init(&pair, house.context);
        SSL_set_max_proto_version(pair.client, TLS1_2_VERSION);
        assert_true(meet(&pair));
        assert_int_equal(SSL_renegotiate(pair.client), 1);
        assert_int_equal(SSL_do_handshake(pair.client), -1);
        carry_from_client(&pair);
        assert_true(pair.records.len < 100); /* an alert, no hello */
        carry_out(&pair);
        assert_int_equal(SSL_read(pair.client, buffer, sizeof buffer), -1);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
        ERR_clear_error();
        pair_fini(&pair);
}

/* TLS 1.3: keys are updated as often as the client asks, at one answer for all that it asks at once. */
static void test_key_update(void **state)
{
        struct pair pair;
        int i;

        (void)state;
        pair_init(&pair, house.context);
        assert_true(meet(&pair));
        for (i = 0; i < 20; i++) {
                assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
                assert_int_equal(SSL_do_handshake(pair.client), 1);
        }
        say(&pair, "hi", 2);
        assert_heard(&pair, "hi", 2);
        assert_true(pair.records.len < 20 * 64);
        pair_fini(&pair);
}

/* ---- Resumption ---- */

static SSL_SESSION *kept;

static int on_session_cb(SSL *ssl, SSL_SESSION *session)
{
        (void)ssl;
        SSL_SESSION_free(kept);
        kept = session;
        return 1;
}

/* A connection that tries to resume `session` (which it takes over, and which a client of TLS 1.3 spoils, NULL: none);
 * the session that it could give on. */
static SSL_SESSION *visit(struct tls_context *context, int version, SSL_SESSION *session, bool *was_resumed)
{
        struct pair pair;
        char buffer[10];

        pair_init(&pair, context);
        SSL_set_max_proto_version(pair.client, version);
        if (context == house.mutual) {
                SSL_use_certificate_file(pair.client, house.client_cert, SSL_FILETYPE_PEM);
                SSL_use_PrivateKey_file(pair.client, house.client_key, SSL_FILETYPE_PEM);
        }
        if (session != NULL) SSL_set_session(pair.client, session);
        SSL_SESSION_free(session);
        kept = NULL;
        assert_true(meet(&pair));
        assert_int_equal(SSL_read(pair.client, buffer, sizeof buffer), -1); /* takes the ticket */
        *was_resumed = SSL_session_reused(pair.client);
        assert_int_equal(SSL_SESSION_get_max_early_data(SSL_get_session(pair.client)), 0);
        SSL_shutdown(pair.client);
        pair_fini(&pair);
        return kept;
}

/* Sessions are resumed for two turns of the ticket keys, in both versions, by a context that was loaded since; not
 * where other clients are let in. */
static void test_resumption(void **state)
{
        static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
        struct tls_context *reloaded;
        struct tls_context *stricter;
        char why[TLS_WHY_SIZE];
        bool was_resumed;
        SSL_SESSION *session;
        size_t i;

        (void)state;
        assert_int_equal(load(house.cert, house.key, NULL, TLS_INTERMEDIATE, &reloaded, why), R_OK);
        assert_int_equal(load(house.cert, house.key, house.other_ca, TLS_INTERMEDIATE, &stricter, why), R_OK);
        SSL_CTX_set_session_cache_mode(house.client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(house.client, on_session_cb);
        for (i = 0; i < 2; i++) {
                session = visit(house.context, versions[i], NULL, &was_resumed);
                assert_non_null(session);
                assert_false(was_resumed);
                SSL_SESSION_free(visit(reloaded, versions[i], SSL_SESSION_dup(session), &was_resumed));
                assert_true(was_resumed);
                assert_int_equal(tls_tickets_turn(house.tickets), R_OK);
                SSL_SESSION_free(visit(house.context, versions[i], SSL_SESSION_dup(session), &was_resumed));
                assert_true(was_resumed);
                assert_int_equal(tls_tickets_turn(house.tickets), R_OK);
                SSL_SESSION_free(visit(house.context, versions[i], session, &was_resumed));
                assert_false(was_resumed);

                session = visit(house.mutual, versions[i], NULL, &was_resumed);
                SSL_SESSION_free(visit(house.mutual, versions[i], SSL_SESSION_dup(session), &was_resumed));
                assert_true(was_resumed);
                SSL_SESSION_free(visit(house.context, versions[i], SSL_SESSION_dup(session), &was_resumed));
                assert_false(was_resumed);
                {
                        struct pair pair;

                        pair_init(&pair, stricter);
                        SSL_set_max_proto_version(pair.client, versions[i]);
                        SSL_use_certificate_file(pair.client, house.client_cert, SSL_FILETYPE_PEM);
                        SSL_use_PrivateKey_file(pair.client, house.client_key, SSL_FILETYPE_PEM);
                        SSL_set_session(pair.client, session);
                        assert_false(meet(&pair) && tls_is_open(pair.server));
                        SSL_SESSION_free(session);
                        pair_fini(&pair);
                }
        }
        SSL_CTX_sess_set_new_cb(house.client, NULL);
        SSL_CTX_set_session_cache_mode(house.client, SSL_SESS_CACHE_OFF);
        tls_context_unref(reloaded);
        tls_context_unref(stricter);
}

/* ---- Clients with certificates ---- */

/* Who is vouched for comes in and is known by name; nobody, a stranger and one out of date do not. */
static void test_clients(void **state)
{
        static const struct {
                long from, until;
                bool is_ours, is_met;
                const char *why;
        } rows[] = {
                {-60, 60, true, true, NULL},
                {-60, 60, false, false, "unable to get local issuer certificate"},
                {-60, -10, true, false, "certificate has expired"},
                {30, 60, true, false, "certificate is not yet valid"},
        };
        struct pair pair;
        char name[64];
        size_t i;
        size_t version;

        (void)state;
        for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                pair_init(&pair, house.mutual);
                SSL_set_max_proto_version(pair.client, (int)version);
                assert_false(meet(&pair) && tls_is_open(pair.server));
                assert_string_equal(tls_why(pair.server), "peer did not return a certificate");
                pair_fini(&pair);
                for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                        authority_issue(rows[i].is_ours ? &house.authority : &house.other, "bob", rows[i].from,
                                        rows[i].until, house.bad_cert, house.bad_key);
                        pair_init(&pair, house.mutual);
                        SSL_set_max_proto_version(pair.client, (int)version);
                        SSL_use_certificate_file(pair.client, house.bad_cert, SSL_FILETYPE_PEM);
                        SSL_use_PrivateKey_file(pair.client, house.bad_key, SSL_FILETYPE_PEM);
                        meet(&pair);
                        assert_int_equal(tls_is_open(pair.server), rows[i].is_met);
                        assert_int_equal(tls_peer_name(pair.server, name, sizeof name) && rows[i].is_met,
                                         rows[i].is_met);
                        if (rows[i].is_met)
                                assert_string_equal(name, "bob");
                        else
                                assert_string_equal(tls_why(pair.server), rows[i].why);
                        pair_fini(&pair);
                }
        }
        pair_init(&pair, house.context);
        assert_true(meet(&pair));
        assert_false(tls_peer_name(pair.server, name, sizeof name));
        pair_fini(&pair);
}

/* ---- Files ---- */

static void assert_refused(const char *cert, const char *key, const char *ca, const char *words)
{
        struct tls_context *context = NULL;
        char why[TLS_WHY_SIZE];

        assert_int_equal(load(cert, key, ca, TLS_INTERMEDIATE, &context, why), R_BAD_ARGUMENT);
        assert_null(context);
        if (strstr(why, words) == NULL) fail_msg("%s", why);
}

static void write_file(const char *path, const void *data, size_t len)
{
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, len, file), len);
        assert_int_equal(fclose(file), 0);
}

static void encrypt_key(void)
{
        FILE *file = fopen(house.file, "we");

        assert_non_null(file);
        assert_int_equal(fchmod(fileno(file), 0600), 0);
        assert_int_equal(PEM_write_PrivateKey(file, house.authority.key, EVP_aes_128_cbc(),
                                              (const unsigned char *)"secret", 6, NULL, NULL),
                         1);
        assert_int_equal(fclose(file), 0);
}

/* Files that will not do are refused with a sentence: absent, empty, damaged, mixed up, out of date, open to all. */
static void test_files(void **state)
{
        static const char damaged[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        struct tls_context *context;
        char why[TLS_WHY_SIZE];
        char *large = calloc(1, TLS_FILE_MAX + 1);

        (void)state;
        assert_non_null(large);
        assert_refused("/nowhere", house.key, NULL, "Cannot open /nowhere");
        assert_refused(house.cert, "/nowhere", NULL, "Cannot open /nowhere");
        assert_refused(house.cert, house.key, "/nowhere", "Cannot open /nowhere");
        assert_refused(house.dir.path, house.key, NULL, "is not a file");
        assert_refused(house.key, house.key, NULL, "holds no certificate");
        assert_refused(house.cert, house.client_key, NULL, "does not belong to");
        write_file(house.file, "", 0);
        assert_refused(house.file, house.key, NULL, "holds no certificate");
        assert_refused(house.cert, house.key, house.file, "holds no certificate");
        write_file(house.file, damaged, sizeof damaged - 1);
        assert_refused(house.file, house.key, NULL, "holds no certificate");
        assert_refused(house.cert, house.key, house.file, "is damaged");
        write_file(house.file, large, TLS_FILE_MAX + 1);
        assert_refused(house.file, house.key, NULL, "too large");
        assert_int_equal(chmod(house.file, 0600), 0);
        write_file(house.file, "x", 1);
        assert_refused(house.cert, house.file, NULL, "holds no private key");
        encrypt_key();
        assert_refused(house.cert, house.file, NULL, "is encrypted");
        assert_int_equal(chmod(house.key, 0644), 0);
        assert_refused(house.cert, house.key, NULL, "Everybody");
        assert_int_equal(chmod(house.key, 0640), 0);
        assert_int_equal(load(house.cert, house.key, NULL, TLS_INTERMEDIATE, &context, why), R_OK);
        assert_int_equal(tls_context_days_left(context), 0);
        tls_context_unref(context);
        authority_issue(&house.authority, "late", -60, -1, house.bad_cert, house.bad_key);
        assert_refused(house.bad_cert, house.bad_key, NULL, "has expired");
        authority_issue(&house.authority, "early", 60, 120, house.bad_cert, house.bad_key);
        assert_refused(house.bad_cert, house.bad_key, NULL, "is not valid yet");
        free(large);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_ways),  cmocka_unit_test(test_every_cut),
                cmocka_unit_test(test_large),      cmocka_unit_test(test_alpn),
                cmocka_unit_test(test_profiles),   cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_end),        cmocka_unit_test(test_renegotiation),
                cmocka_unit_test(test_key_update), cmocka_unit_test(test_resumption),
                cmocka_unit_test(test_clients),    cmocka_unit_test(test_files),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
