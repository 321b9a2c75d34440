#include "rpc/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>

#include "rpc/limits.h"

struct tls {
        SSL *ssl;
        struct tls_context *context;

        /* during a call */
        struct bytes *input;
        struct output *records;

        /* the connection */
        size_t handshake_len; /* bytes taken before it was open */
        bool is_open;
        bool is_h2;
        enum result end; /* R_OK while it lives; else what tls_read says once all before it is read */
        const char *why;
};

/* ---- OpenSSL's input and output ---- */

static BIO_METHOD *method;

static int on_read_cb(BIO *bio, char *data, int size)
{
        struct tls *tls = BIO_get_data(bio);
        size_t len;

        BIO_clear_retry_flags(bio);
        if (tls->input == NULL || tls->input->len == 0) {
                BIO_set_retry_read(bio);
                return -1;
        }
        len = tls->input->len < (size_t)size ? tls->input->len : (size_t)size;
        memcpy(data, tls->input->data, len);
        *tls->input = bytes_skip(*tls->input, len);
        return (int)len;
}

static int on_write_cb(BIO *bio, const char *data, int len)
{
        struct tls *tls = BIO_get_data(bio);

        BIO_clear_retry_flags(bio);
        if (tls->records == NULL || output_room(tls->records) < (size_t)len) {
                BIO_set_retry_write(bio);
                return -1;
        }
        output_put(tls->records, bytes_of(data, (size_t)len));
        return len;
}

/* Nothing is kept back that could be flushed; the rest is not for us. */
static long on_control_cb(BIO *bio, int command, long number, void *pointer)
{
        (void)bio;
        (void)number;
        (void)pointer;
        return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
        BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");

        if (made != NULL && BIO_meth_set_read(made, on_read_cb) == 1 && BIO_meth_set_write(made, on_write_cb) == 1 &&
            BIO_meth_set_ctrl(made, on_control_cb) == 1)
                method = made;
        else
                BIO_meth_free(made);
}

/* ---- Beginning and end ---- */

struct tls *tls_new(struct tls_context *context)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        struct tls *tls = calloc(1, sizeof *tls);
        BIO *bio = NULL;

        if (tls == NULL) return NULL;
        pthread_once(&once, make_method);
        tls->context = tls_context_ref(context);
        tls->ssl = SSL_new(tls_context_ssl(context));
        if (tls->ssl != NULL && method != NULL) bio = BIO_new(method);
        if (bio == NULL) {
                ERR_clear_error();
                tls_free(tls);
                return NULL;
        }
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
        SSL_set_bio(tls->ssl, bio, bio);
        SSL_set_accept_state(tls->ssl);
        return tls;
}

void tls_free(struct tls *tls)
{
        if (tls == NULL) return;
        SSL_free(tls->ssl);
        tls_context_unref(tls->context);
        free(tls);
}

static void break_off(struct tls *tls, const char *why)
{
        tls->end = R_IO;
        tls->why = why;
}

/* What OpenSSL has against it, in words that tell most. */
static const char *complaint(const struct tls *tls)
{
        long verdict = SSL_get_verify_result(tls->ssl);
        unsigned long error = ERR_peek_last_error();
        const char *text = ERR_reason_error_string(error);

        if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
                return X509_verify_cert_error_string(verdict);
        return text == NULL ? "TLS failed" : text;
}

/* Why SSL_read gave nothing. */
static void take_note(struct tls *tls, int outcome)
{
        switch (SSL_get_error(tls->ssl, outcome)) {
        case SSL_ERROR_WANT_READ:
                break; /* all of the input is taken */
        case SSL_ERROR_ZERO_RETURN:
                tls->end = R_ABSENT;
                break;
        case SSL_ERROR_WANT_WRITE:
                break_off(tls, "TLS answers without end");
                break;
        default:
                break_off(tls, complaint(tls));
                break;
        }
}

/* ---- The handshake ---- */

/* Verifying is not done again when a session is resumed, and tickets renew each other without end. */
static bool has_expired_client(const struct tls *tls)
{
        const X509 *client = SSL_get0_peer_certificate(tls->ssl);

        return SSL_session_reused(tls->ssl) && client != NULL && X509_cmp_current_time(X509_get0_notAfter(client)) <= 0;
}

static void look_for_opening(struct tls *tls, size_t taken)
{
        const unsigned char *protocol;
        unsigned len;

        if (tls->end != R_OK) return;
        if (!SSL_is_init_finished(tls->ssl)) {
                tls->handshake_len += taken;
                if (tls->handshake_len > TLS_HANDSHAKE_LEN_MAX) break_off(tls, "the TLS handshake is too long");
                return;
        }
        if (has_expired_client(tls)) {
                break_off(tls, X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED));
                return;
        }
        SSL_get0_alpn_selected(tls->ssl, &protocol, &len);
        tls->is_h2 = len == 2;
        tls->is_open = true;
}

/* ---- Bytes ---- */

/* Nothing to be had from OpenSSL: asking it would cost a microsecond for each turn. */
static bool is_used_up(const struct tls *tls)
{
        return tls->is_open && tls->input->len == 0 && SSL_pending(tls->ssl) == 0;
}

enum result tls_read(struct tls *tls, struct bytes *input, uint8_t *plain, size_t size, size_t *len,
                     struct output *records)
{
        *len = 0;
        tls->input = input;
        tls->records = records;
        while (tls->end == R_OK && *len < size && !is_used_up(tls)) {
                size_t before = input->len;
                size_t n = 0;
                int outcome;

                ERR_clear_error();
                outcome = SSL_read_ex(tls->ssl, plain + *len, size - *len, &n);
                if (outcome != 1) take_note(tls, outcome);
                if (!tls->is_open) look_for_opening(tls, before - input->len);
                if (outcome != 1 || tls->end != R_OK) break;
                *len += n;
        }
        tls->input = NULL;
        tls->records = NULL;
        if (*len > 0) return R_OK;
        if (tls->end != R_OK) *input = (struct bytes){0};
        return tls->end;
}

enum result tls_write(struct tls *tls, struct bytes plain, struct output *records)
{
        size_t written;
        int outcome;

        if (tls->end == R_IO) return R_IO;
        if (plain.len == 0) return R_OK;
        REQUIRE(tls->is_open);
        tls->records = records;
        ERR_clear_error();
        outcome = SSL_write_ex(tls->ssl, plain.data, plain.len, &written);
        if (outcome != 1) break_off(tls, complaint(tls));
        tls->records = NULL;
        return outcome == 1 ? R_OK : R_IO;
}

void tls_end(struct tls *tls, struct output *records)
{
        if (!tls->is_open || tls->end == R_IO) return;
        tls->records = records;
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
        tls->records = NULL;
}

/* ---- What is known of it ---- */

bool tls_is_open(const struct tls *tls)
{
        return tls->is_open;
}

bool tls_is_h2(const struct tls *tls)
{
        return tls->is_h2;
}

const char *tls_why(const struct tls *tls)
{
        return tls->why;
}

bool tls_peer_name(const struct tls *tls, char *text, size_t size)
{
        X509 *client = SSL_get0_peer_certificate(tls->ssl);

        if (client == NULL ||
            X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, text, (int)size) < 0)
                return false;
        for (; *text != '\0'; text++)
                if (*text < '!' || *text > '~') *text = '?';
        return true;
}
