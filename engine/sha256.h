/*
 * SHA-256 (FIPS 180-4) of some slices, one after another. Thread: any.
 */
#ifndef ALLOD_ENGINE_SHA256_H
#define ALLOD_ENGINE_SHA256_H

#include "engine/bytes.h"
#include "engine/result.h"

#define SHA256_SIZE 32

/* R_NO_MEMORY is all that can fail. */
enum result sha256_of(const struct bytes *parts, size_t count, uint8_t out[SHA256_SIZE]) MUST_USE;

#endif
