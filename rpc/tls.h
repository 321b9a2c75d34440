/*
 * One TLS connection as a server: bytes in, bytes out over OpenSSL; no socket.
 *
 * What the socket brought goes in by tls_read, which gives plaintext; what is to be sent goes through tls_write. Both
 * put records into an output: answers of the handshake, tickets and alerts by tls_read, too. OpenSSL takes its input
 * from where it lies and puts records where they are sent from, so each byte is copied once more than it would be
 * without TLS: out of OpenSSL's own record.
 *
 * A handshake may take TLS_HANDSHAKE_LEN_MAX bytes; how long it may take, its owner says.
 *
 * Thread: one at a time; contexts are shared.
 */
#ifndef ALLOD_RPC_TLS_H
#define ALLOD_RPC_TLS_H

#include "engine/bytes.h"
#include "engine/result.h"
#include "rpc/output.h"
#include "rpc/tls_context.h"

struct tls;

/* NULL: no memory. Holds the context. */
struct tls *tls_new(struct tls_context *context);
/* Accepts NULL. */
void tls_free(struct tls *tls);

/*
 * Takes from the front of *input and decrypts into plain[size]; to be called until *len is 0, by when it has taken all.
 * R_OK; R_ABSENT: the peer has ended its side as it should (close_notify), and sends no more; R_IO: it is broken,
 * tls_why says how, and what is in `records` may still tell the peer.
 * `records` needs room for TLS_ANSWER_MAX.
 */
enum result tls_read(struct tls *tls, struct bytes *input, uint8_t *plain, size_t size, size_t *len,
                     struct output *records) MUST_USE;

/* The handshake is done: tls_write may be called, and what ALPN chose is known. */
bool tls_is_open(const struct tls *tls);
bool tls_is_h2(const struct tls *tls);

/* Records of up to 16 KiB. `records` needs room for TLS_RECORDS_LEN(plain.len). R_IO: it is broken. */
enum result tls_write(struct tls *tls, struct bytes plain, struct output *records) MUST_USE;

/* Room that is enough for so many bytes of plaintext. */
#define TLS_RECORD_LEN       ((size_t)16384)
#define TLS_RECORD_OVERHEAD  ((size_t)64) /* at most 5 + 8 + 16 in TLS 1.2, 5 + 1 + 16 in TLS 1.3 */
#define TLS_RECORDS_LEN(len) ((len) + ((len) / TLS_RECORD_LEN + 2) * TLS_RECORD_OVERHEAD)

/* Our side says nothing more. */
void tls_end(struct tls *tls, struct output *records);

/* The common name in the client's certificate, shortened; what is not visible ASCII is "?". False: there is none. */
bool tls_peer_name(const struct tls *tls, char *text, size_t size);

/* In static words; NULL: nothing is wrong. */
const char *tls_why(const struct tls *tls);

#endif
