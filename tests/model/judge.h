/*
 * Compares what a call gave with what it should have given.
 */
#ifndef ALLOD_TESTS_MODEL_JUDGE_H
#define ALLOD_TESTS_MODEL_JUDGE_H

#include "tests/model/call.h"

/* What a run of a call left behind. */
struct outcome {
        enum result result;
        struct message reply;
        struct fault fault;
        struct arena arena; /* of the run */
};

/* Which canaries the actor may be shown from now on, by the model. */
void judge_look(struct game *game, struct call *call);

/* For a list: the rows from `first` on, of which one page came; *next_token is "" at its end. Fails the test when
 * anything is not as predicted, or when a canary is in the reply or the fault that the actor may not be shown. */
void judge(struct game *game, const struct call *call, struct outcome *outcome, size_t first, const char **next_token);

#endif
