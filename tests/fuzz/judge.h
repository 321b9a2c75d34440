/*
 * A second reader of JSON, to judge the first by: recursive, slow and short, and with nothing in common with
 * engine/json_scan.c but RFC 8259.
 */
#ifndef ALLOD_TESTS_FUZZ_JUDGE_H
#define ALLOD_TESTS_FUZZ_JUDGE_H

#include <stdbool.h>

#include "engine/bytes.h"

/* Whether it is one JSON text, at most 64 deep, without double keys; with or without trailing commas. */
bool judge_json(struct bytes text, bool takes_trailing_comma);

/* Whether it is UTF-8 without a NUL. */
bool judge_text(struct bytes text);

#endif
