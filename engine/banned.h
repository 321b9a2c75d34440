/*
 * Functions that do not compile. The build includes this header before every file of ours.
 *
 * Poisoning a name forbids it in all that follows, so the headers that declare it come first.
 *
 *     strcpy strncpy stpcpy strcat strncat     no bound, or no NUL: memcpy with a checked length, or snprintf
 *     sprintf vsprintf gets                    no bound: snprintf, vsnprintf, fgets
 *     strtok asctime ctime gmtime localtime    hidden static state, shared by threads: strtok_r, gmtime_r
 *     atoi atol atoll                          no error: parse strictly
 *     alloca                                   an unbounded stack: the call's arena
 */
#ifndef ALLOD_ENGINE_BANNED_H
#define ALLOD_ENGINE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strncpy
#undef stpcpy
#undef strcat
#undef strncat
#undef sprintf
#undef vsprintf
#undef alloca

#pragma GCC poison strcpy strncpy stpcpy strcat strncat
#pragma GCC poison sprintf vsprintf gets
#pragma GCC poison strtok asctime ctime gmtime localtime
#pragma GCC poison atoi atol atoll
#pragma GCC poison alloca

#endif
