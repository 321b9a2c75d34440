/*
 * The time of carriers that run without a loop: it stands still unless a test moves it.
 */
#ifndef ALLOD_TESTS_WIRE_CLOCK_H
#define ALLOD_TESTS_WIRE_CLOCK_H

#include <stdint.h>

extern int64_t clock_now_ns;

#endif
