#include "rpc/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>

#define NAME_LEN 16 /* OpenSSL's, as the length of the vector is */
#define IV_LEN   16

struct ticket_key {
        uint8_t name[NAME_LEN];
        uint8_t cipher[32]; /* AES-256-CBC */
        uint8_t mac[32];    /* HMAC-SHA-256 */
};

struct tls_tickets {
        EVP_CIPHER *cipher; /* fetched once: a fetch takes locks of the whole process */
        pthread_mutex_t mutex;
        struct ticket_key present, past;
};

enum result tls_tickets_turn(struct tls_tickets *tickets)
{
        struct ticket_key key;

        if (RAND_priv_bytes((uint8_t *)&key, sizeof key) != 1) return R_IO;
        pthread_mutex_lock(&tickets->mutex);
        tickets->past = tickets->present;
        tickets->present = key;
        pthread_mutex_unlock(&tickets->mutex);
        OPENSSL_cleanse(&key, sizeof key);
        return R_OK;
}

enum result tls_tickets_new(struct tls_tickets **out)
{
        struct tls_tickets *tickets = calloc(1, sizeof *tickets);
        enum result r = R_NO_MEMORY;

        if (tickets == NULL) return R_NO_MEMORY;
        pthread_mutex_init(&tickets->mutex, NULL);
        tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
        if (tickets->cipher != NULL) r = tls_tickets_turn(tickets);
        if (r == R_OK) r = tls_tickets_turn(tickets); /* the past one is no key of zeros */
        if (r == R_OK)
                *out = tickets;
        else
                tls_tickets_free(tickets);
        return r;
}

void tls_tickets_free(struct tls_tickets *tickets)
{
        if (tickets == NULL) return;
        EVP_CIPHER_free(tickets->cipher);
        pthread_mutex_destroy(&tickets->mutex);
        OPENSSL_cleanse(&tickets->present, sizeof tickets->present);
        OPENSSL_cleanse(&tickets->past, sizeof tickets->past);
        free(tickets);
}

/* False: no key has that name. */
static bool find(struct tls_tickets *tickets, const uint8_t *name, struct ticket_key *out, bool *is_past)
{
        bool is_present;

        pthread_mutex_lock(&tickets->mutex);
        is_present = memcmp(name, tickets->present.name, NAME_LEN) == 0;
        *is_past = !is_present && memcmp(name, tickets->past.name, NAME_LEN) == 0;
        if (is_present) *out = tickets->present;
        if (*is_past) *out = tickets->past;
        pthread_mutex_unlock(&tickets->mutex);
        return is_present || *is_past;
}

static bool set_up(const struct tls_tickets *tickets, struct ticket_key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int is_sealing)
{
        char digest[] = "SHA256";
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                OSSL_PARAM_construct_end(),
        };

        return EVP_CipherInit_ex(cipher, tickets->cipher, NULL, key->cipher, iv, is_sealing) == 1 &&
               EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's: -1 ends the handshake, 0 goes on without a ticket, 1 takes it, 2 takes it and sends another. */
static int on_ticket_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                        int is_sealing)
{
        struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
        struct ticket_key key;
        bool is_past = false;
        bool is_good;

        if (is_sealing) {
                if (RAND_bytes(iv, IV_LEN) != 1) return -1;
                pthread_mutex_lock(&tickets->mutex);
                key = tickets->present;
                pthread_mutex_unlock(&tickets->mutex);
                memcpy(name, key.name, NAME_LEN);
        } else if (!find(tickets, name, &key, &is_past)) {
                return 0;
        }
        is_good = set_up(tickets, &key, iv, cipher, mac, is_sealing);
        OPENSSL_cleanse(&key, sizeof key);
        if (!is_good) return -1;
        /* A ticket of TLS 1.3 is to be used once, so that nobody can tell two connections for one client's. */
        return is_past || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

void tls_tickets_use(SSL_CTX *ssl, struct tls_tickets *tickets)
{
        SSL_CTX_set_app_data(ssl, tickets);
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket_cb);
}
