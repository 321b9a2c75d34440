/*
 * Certificates for tests, made on the spot: an authority and what it vouches for, as PEM files.
 */
#ifndef ALLOD_TESTS_LIB_CERTIFICATES_H
#define ALLOD_TESTS_LIB_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/x509.h>

struct authority {
        EVP_PKEY *key;
        X509 *certificate;
};

void authority_init(struct authority *authority, const char *name);
void authority_fini(struct authority *authority);

/* Its own certificate. */
void authority_write(const struct authority *authority, const char *path);

/* A certificate for `name`, good from `from_seconds` to `until_seconds` from now, behind it the authority's; and its
 * key, for its owner only. */
void authority_issue(const struct authority *authority, const char *name, long from_seconds, long until_seconds,
                     const char *certificate_path, const char *key_path);

#endif
