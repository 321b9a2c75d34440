/* What every cmocka test includes first: cmocka.h leaves its own includes to the user. */
#ifndef ALLOD_TESTS_LIB_TEST_H
#define ALLOD_TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
