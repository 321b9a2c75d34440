/*
 * REQUIRE(condition): an invariant of ours, checked in every build. When it is broken, the place and the condition go
 * to standard error and the process aborts, because to go on would mean to answer or to write from a state that nobody
 * thought of. What can come from outside (bad input, no memory, a full disk) is a result and never a REQUIRE.
 */
#ifndef ALLOD_ENGINE_REQUIRE_H
#define ALLOD_ENGINE_REQUIRE_H

#define REQUIRE(condition)                                                                                             \
        (__builtin_expect(!!(condition), 1) ? (void)0 : require_failed(__FILE__, __LINE__, #condition))

_Noreturn void require_failed(const char *file, int line, const char *condition) __attribute__((cold));

#endif
