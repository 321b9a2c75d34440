#include "rpc/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rpc/limits.h"

/* Suites of TLS 1.2, in our order of preference, but that ChaCha20 goes first for clients that put it first, because
 * their processors have no AES. */
#define SUITES                                                                                                         \
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                     \
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS    "X25519:P-256:P-384"
#define LEVEL     2 /* no key weaker than RSA of 2048 bits, no SHA-1 in signatures */

struct tls_context {
        SSL_CTX *ssl;
        atomic_int reference_count;
        int days_left;
};

static enum result __attribute__((format(printf, 3, 4)))
explain(char why[TLS_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, TLS_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* What OpenSSL said last. */
static const char *reason(void)
{
        const char *text = ERR_reason_error_string(ERR_peek_last_error());

        return text == NULL ? "out of memory" : text;
}

/* ---- Files ---- */

static enum result read_open_file(FILE *file, const char *path, bool is_secret, BIO *out, char why[TLS_WHY_SIZE])
{
        char buffer[4096];
        struct stat stat;
        size_t total = 0;
        size_t len;

        if (fstat(fileno(file), &stat) != 0 || !S_ISREG(stat.st_mode))
                return explain(why, R_BAD_ARGUMENT, "%s is not a file.", path);
        if (is_secret && (stat.st_mode & S_IRWXO) != 0)
                return explain(why, R_BAD_ARGUMENT,
                               "Everybody on this machine can open the private key %s: chmod o= %s.", path, path);
        setvbuf(file, NULL, _IONBF, 0); /* else a copy of the key stays on the heap */
        while ((len = fread(buffer, 1, sizeof buffer, file)) > 0 && (total += len) <= TLS_FILE_MAX) {
                if (BIO_write(out, buffer, (int)len) != (int)len) break;
        }
        OPENSSL_cleanse(buffer, sizeof buffer);
        if (total > TLS_FILE_MAX)
                return explain(why, R_BAD_ARGUMENT, "%s is too large: at most %zu KiB.", path, TLS_FILE_MAX >> 10);
        if (ferror(file)) return explain(why, R_IO, "Cannot read %s: %s.", path, strerror(errno));
        return len > 0 ? explain(why, R_NO_MEMORY, "Out of memory.") : R_OK;
}

/* Into a BIO, which the caller frees; one that held a secret is erased by that. */
static enum result read_file(const char *path, bool is_secret, BIO **out, char why[TLS_WHY_SIZE])
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* else a pipe stops the server at a reload */
        FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
        enum result r;

        if (file == NULL) {
                r = explain(why, R_BAD_ARGUMENT, "Cannot open %s: %s.", path, strerror(errno));
                if (fd >= 0) close(fd);
                return r;
        }
        *out = BIO_new(is_secret ? BIO_s_secmem() : BIO_s_mem());
        if (*out != NULL)
                r = read_open_file(file, path, is_secret, *out, why);
        else
                r = explain(why, R_NO_MEMORY, "Out of memory.");
        fclose(file);
        return r;
}

/* Nobody is asked for a passphrase. */
static int on_passphrase_cb(char *buffer, int size, int is_writing, void *has_asked)
{
        (void)buffer;
        (void)size;
        (void)is_writing;
        *(bool *)has_asked = true;
        return -1;
}

/* R_ABSENT: there is no further one. */
static enum result next_certificate(BIO *bio, X509 **out)
{
        ERR_clear_error();
        *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (*out != NULL) return R_OK;
        return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? R_ABSENT : R_BAD_ARGUMENT;
}

/* ---- The server's own ---- */

static enum result check_dates(struct tls_context *context, const X509 *certificate, const char *path,
                               char why[TLS_WHY_SIZE])
{
        int seconds;

        if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0)
                return explain(why, R_BAD_ARGUMENT, "The certificate in %s is not valid yet.", path);
        if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
                return explain(why, R_BAD_ARGUMENT, "The certificate in %s has expired: renew it.", path);
        if (ASN1_TIME_diff(&context->days_left, &seconds, NULL, X509_get0_notAfter(certificate)) != 1)
                return explain(why, R_BAD_ARGUMENT, "The certificate in %s has no date of expiry.", path);
        return R_OK;
}

static enum result use_chain(struct tls_context *context, BIO *bio, const char *path, char why[TLS_WHY_SIZE])
{
        X509 *certificate;
        enum result r = next_certificate(bio, &certificate);

        if (r != R_OK) return explain(why, R_BAD_ARGUMENT, "%s holds no certificate in PEM.", path);
        r = check_dates(context, certificate, path, why);
        if (r == R_OK && SSL_CTX_use_certificate(context->ssl, certificate) != 1)
                r = explain(why, R_BAD_ARGUMENT, "The certificate in %s cannot be used: %s.", path, reason());
        X509_free(certificate);
        while (r == R_OK && (r = next_certificate(bio, &certificate)) == R_OK) {
                if (SSL_CTX_add0_chain_cert(context->ssl, certificate) == 1) continue;
                X509_free(certificate);
                return explain(why, R_BAD_ARGUMENT, "A certificate in %s cannot be used: %s.", path, reason());
        }
        if (r == R_ABSENT) return R_OK;
        return why[0] != '\0' ? r : explain(why, r, "A certificate in %s is damaged.", path);
}

static enum result use_key(SSL_CTX *ssl, BIO *bio, const struct tls_files *files, char why[TLS_WHY_SIZE])
{
        bool has_asked = false;
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase_cb, &has_asked);
        enum result r = R_OK;

        if (has_asked)
                r = explain(why, R_BAD_ARGUMENT,
                            "The private key %s is encrypted, and nobody is there to ask for its passphrase: store it "
                            "without one.",
                            files->key);
        else if (key == NULL)
                r = explain(why, R_BAD_ARGUMENT, "%s holds no private key in PEM.", files->key);
        else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
                r = explain(why, R_BAD_ARGUMENT, "The private key %s does not belong to the certificate %s.",
                            files->key, files->certificate);
        EVP_PKEY_free(key);
        return r;
}

static enum result use_pair(struct tls_context *context, const struct tls_files *files, char why[TLS_WHY_SIZE])
{
        BIO *bio = NULL;
        enum result r = read_file(files->certificate, false, &bio, why);

        if (r == R_OK) r = use_chain(context, bio, files->certificate, why);
        BIO_free(bio);
        bio = NULL;
        if (r == R_OK) r = read_file(files->key, true, &bio, why);
        if (r == R_OK) r = use_key(context->ssl, bio, files, why);
        BIO_free(bio);
        return r;
}

/* ---- Clients ---- */

static enum result demand_clients(SSL_CTX *ssl, BIO *bio, const char *path, char why[TLS_WHY_SIZE])
{
        X509 *certificate;
        unsigned count = 0;
        enum result r;

        while ((r = next_certificate(bio, &certificate)) == R_OK) {
                bool is_added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), certificate) == 1 &&
                                SSL_CTX_add_client_CA(ssl, certificate) == 1;

                X509_free(certificate);
                if (!is_added)
                        return explain(why, R_BAD_ARGUMENT, "A certificate in %s cannot be used: %s.", path, reason());
                count++;
        }
        if (r != R_ABSENT) return explain(why, R_BAD_ARGUMENT, "A certificate in %s is damaged.", path);
        if (count == 0) return explain(why, R_BAD_ARGUMENT, "%s holds no certificate in PEM.", path);
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_verify_depth(ssl, TLS_CLIENT_DEPTH_MAX);
        SSL_CTX_set_max_cert_list(ssl, TLS_CLIENT_CHAIN_MAX);
        return R_OK;
}

/* What a session was made under; it is resumed only under the same. */
static bool name_sessions(SSL_CTX *ssl, enum tls_profile profile, BIO *client_ca)
{
        uint8_t name[EVP_MAX_MD_SIZE + 1];
        unsigned len = 0;
        char *data = NULL;
        long size = client_ca == NULL ? 0 : BIO_get_mem_data(client_ca, &data);

        if (EVP_Digest(size > 0 ? data : "", (size_t)size, name, &len, EVP_sha256(), NULL) != 1) return false;
        name[0] = (uint8_t)(name[0] ^ profile);
        return SSL_CTX_set_session_id_context(ssl, name, len) == 1;
}

static enum result use_clients(SSL_CTX *ssl, enum tls_profile profile, const char *path, char why[TLS_WHY_SIZE])
{
        BIO *bio = NULL;
        enum result r = R_OK;

        if (path != NULL) r = read_file(path, false, &bio, why);
        if (r == R_OK && !name_sessions(ssl, profile, bio)) r = explain(why, R_NO_MEMORY, "Out of memory.");
        if (r == R_OK && path != NULL) r = demand_clients(ssl, bio, path, why);
        BIO_free(bio);
        return r;
}

/* ---- Protocols ---- */

static int on_alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                      unsigned offered_len, void *arg)
{
        static const unsigned char ours[] = "\x02h2\x08http/1.1";
        unsigned char *chosen;

        (void)ssl;
        (void)arg;
        if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, offered, offered_len) !=
            OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
}

static bool set_protocols(SSL_CTX *ssl, enum tls_profile profile, struct tls_tickets *tickets)
{
        SSL_CTX_set_security_level(ssl, LEVEL);
        SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_PRIORITIZE_CHACHA);
        /* An idle connection holds no buffer, and the clients' authorities complete no chain of ours. */
        SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_timeout(ssl, TLS_SESSION_SECONDS);
        SSL_CTX_set_alpn_select_cb(ssl, on_alpn_cb, NULL);
        tls_tickets_use(ssl, tickets);
        return SSL_CTX_set_min_proto_version(ssl, profile == TLS_MODERN ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
               SSL_CTX_set_cipher_list(ssl, SUITES) == 1 && SSL_CTX_set_ciphersuites(ssl, SUITES_13) == 1 &&
               SSL_CTX_set1_groups_list(ssl, GROUPS) == 1 && SSL_CTX_set_max_early_data(ssl, 0) == 1 &&
               SSL_CTX_set_num_tickets(ssl, 1) == 1;
}

/* ---- The context ---- */

enum result tls_context_load(const struct tls_files *files, enum tls_profile profile, struct tls_tickets *tickets,
                             struct tls_context **out, char why[TLS_WHY_SIZE])
{
        struct tls_context *context = calloc(1, sizeof *context);
        enum result r = R_OK;

        why[0] = '\0';
        if (context == NULL) return explain(why, R_NO_MEMORY, "Out of memory.");
        atomic_init(&context->reference_count, 1);
        context->ssl = SSL_CTX_new(TLS_server_method());
        if (context->ssl == NULL || !set_protocols(context->ssl, profile, tickets))
                r = explain(why, R_NO_MEMORY, "Cannot set TLS up: %s.", reason());
        if (r == R_OK) r = use_pair(context, files, why);
        if (r == R_OK) r = use_clients(context->ssl, profile, files->client_ca, why);
        ERR_clear_error();
        if (r == R_OK)
                *out = context;
        else
                tls_context_unref(context);
        return r;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
        atomic_fetch_add_explicit(&context->reference_count, 1, memory_order_relaxed);
        return context;
}

void tls_context_unref(struct tls_context *context)
{
        if (context == NULL || atomic_fetch_sub_explicit(&context->reference_count, 1, memory_order_acq_rel) > 1)
                return;
        SSL_CTX_free(context->ssl);
        free(context);
}

int64_t tls_context_days_left(const struct tls_context *context)
{
        return context->days_left;
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
        return context->ssl;
}
