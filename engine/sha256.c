#include "engine/sha256.h"

#include <pthread.h>

#include <openssl/evp.h>

/* Fetched once: each fetch takes locks that all threads share. Kept for the life of the process. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

enum result sha256_of(const struct bytes *parts, size_t count, uint8_t out[SHA256_SIZE])
{
        uint8_t digest[SHA256_SIZE];
        EVP_MD_CTX *context;
        bool is_done;
        size_t i;

        pthread_once(&sha256_once, fetch);
        if (sha256 == NULL) return R_NO_MEMORY;
        context = EVP_MD_CTX_new();
        if (context == NULL) return R_NO_MEMORY;
        is_done = EVP_DigestInit_ex(context, sha256, NULL) == 1;
        for (i = 0; i < count && is_done; i++)
                is_done = EVP_DigestUpdate(context, parts[i].data, parts[i].len) == 1;
        is_done = is_done && EVP_DigestFinal_ex(context, digest, NULL) == 1;
        EVP_MD_CTX_free(context);
        if (!is_done) return R_NO_MEMORY;
        memcpy(out, digest, sizeof digest);
        return R_OK;
}
