/*
 * A token bucket: `burst` at once, then so many a second. For what a peer may make us do without asking for anything.
 */
#ifndef ALLOD_RPC_BUDGET_H
#define ALLOD_RPC_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
        int64_t left; /* tokens */
        int64_t burst;
        int64_t per_second;
        int64_t filled_ns; /* when it was last filled up */
};

static inline void budget_init(struct budget *budget, int64_t burst, int64_t per_second, int64_t now_ns)
{
        *budget = (struct budget){.left = burst, .burst = burst, .per_second = per_second, .filled_ns = now_ns};
}

static inline void budget_earn(struct budget *budget, int64_t tokens)
{
        budget->left = budget->left + tokens < budget->burst ? budget->left + tokens : budget->burst;
}

/* False: overdrawn. The clock is asked about only when the bucket is empty. */
static inline bool budget_spend(struct budget *budget, int64_t now_ns)
{
        if (budget->left == 0) {
                const int64_t second_ns = 1000000000;
                int64_t elapsed_ns = now_ns - budget->filled_ns;

                /* An hour fills any bucket, and keeps the product small. */
                if (elapsed_ns > 3600 * second_ns) elapsed_ns = 3600 * second_ns;
                budget_earn(budget, elapsed_ns / 1000 * budget->per_second / (second_ns / 1000));
                if (budget->left == 0) return false;
                budget->filled_ns = now_ns;
        }
        budget->left--;
        return true;
}

#endif
