#include "tests/lib/certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/test.h"

static void add_extension(X509 *certificate, int nid, const char *value)
{
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        assert_non_null(extension);
        assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
}

static X509 *certificate_new(const char *name, EVP_PKEY *key, long from_seconds, long until_seconds)
{
        static long serial;
        X509 *certificate = X509_new();

        assert_non_null(certificate);
        X509_set_version(certificate, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(certificate), from_seconds);
        X509_gmtime_adj(X509_getm_notAfter(certificate), until_seconds);
        X509_set_pubkey(certificate, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)name,
                                   -1, -1, 0);
        return certificate;
}

void authority_init(struct authority *authority, const char *name)
{
        authority->key = EVP_EC_gen("P-256");
        assert_non_null(authority->key);
        authority->certificate = certificate_new(name, authority->key, -3600, 3600);
        X509_set_issuer_name(authority->certificate, X509_get_subject_name(authority->certificate));
        add_extension(authority->certificate, NID_basic_constraints, "critical,CA:TRUE");
        assert_true(X509_sign(authority->certificate, authority->key, EVP_sha256()) > 0);
}

void authority_fini(struct authority *authority)
{
        X509_free(authority->certificate);
        EVP_PKEY_free(authority->key);
}

static FILE *open_to_write(const char *path, mode_t mode)
{
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fchmod(fileno(file), mode), 0);
        return file;
}

void authority_write(const struct authority *authority, const char *path)
{
        FILE *file = open_to_write(path, 0644);

        assert_int_equal(PEM_write_X509(file, authority->certificate), 1);
        assert_int_equal(fclose(file), 0);
}

void authority_issue(const struct authority *authority, const char *name, long from_seconds, long until_seconds,
                     const char *certificate_path, const char *key_path)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *certificate;
        FILE *file;

        assert_non_null(key);
        certificate = certificate_new(name, key, from_seconds, until_seconds);
        X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate));
        assert_true(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
        file = open_to_write(certificate_path, 0644);
        assert_int_equal(PEM_write_X509(file, certificate), 1);
        assert_int_equal(PEM_write_X509(file, authority->certificate), 1);
        assert_int_equal(fclose(file), 0);
        file = open_to_write(key_path, 0600);
        assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
        assert_int_equal(fclose(file), 0);
        X509_free(certificate);
        EVP_PKEY_free(key);
}
