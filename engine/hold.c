#include "engine/hold.h"

#include <pthread.h>

#include "engine/require.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct store *held_store; /* NULL: nobody is held */
static struct owner held_owner;

enum result hold_take(struct store *store, struct owner owner)
{
        enum result r = R_EXHAUSTED;

        pthread_mutex_lock(&mutex);
        if (held_store == NULL) {
                held_store = store;
                held_owner = owner;
                r = R_OK;
        }
        pthread_mutex_unlock(&mutex);
        return r;
}

void hold_release(struct store *store)
{
        pthread_mutex_lock(&mutex);
        REQUIRE(held_store == store);
        held_store = NULL;
        pthread_mutex_unlock(&mutex);
}

bool hold_prefix(const struct store *store, struct key *out)
{
        bool is_held;

        pthread_mutex_lock(&mutex);
        is_held = held_store == store;
        if (is_held) key_owner(held_owner, out);
        pthread_mutex_unlock(&mutex);
        return is_held;
}

bool hold_is_on(const struct store *store, struct owner owner)
{
        bool is_on;

        pthread_mutex_lock(&mutex);
        is_on = held_store == store && held_owner.kind == owner.kind && uuid_equal(held_owner.id, owner.id);
        pthread_mutex_unlock(&mutex);
        return is_on;
}
