/*
 * Stands where call.c stands, and answers whatever comes. How, the first letter of the path says:
 *
 *      /e  early: when the head is there        /h  when echo_release is called
 *      /g  as /h, and takes no body before      /n  204
 *      /p  in parts, over HTTP/2                /r  with a reset, at the end of the request
 *      else: at the end of the request, 200 with what was sent
 *
 * An echo is the method and the target, a line feed and the body; over HTTP/2 a trailer follows.
 */
#ifndef ALLOD_TESTS_FUZZ_ECHO_H
#define ALLOD_TESTS_FUZZ_ECHO_H

#include "rpc/exchange.h"

struct echo {
        size_t open; /* exchanges that live */
        struct call *calls;
        uint64_t digest;                                     /* of all that was told, but for how the bodies were cut */
        void (*on_head_cb)(const struct request_head *head); /* may be NULL */
};

extern struct echo echo;

/* Nothing may be open. */
void echo_reset(void);

/* Answer all that are held, and go on with parts. False: there was nothing to do. */
bool echo_release(void);

#endif
