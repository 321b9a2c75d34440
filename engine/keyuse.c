#include "engine/keyuse.h"

#include <string.h>

#include "engine/require.h"

void keyuse_init(struct keyuse_table *table)
{
        memset(table, 0, sizeof *table);
        REQUIRE(pthread_mutex_init(&table->mutex, NULL) == 0);
}

void keyuse_fini(struct keyuse_table *table)
{
        pthread_mutex_destroy(&table->mutex);
}

/* The last bytes of an id are random. */
static size_t slot_index(struct uuid key)
{
        uint32_t hash;

        memcpy(&hash, key.bytes + UUID_SIZE - sizeof hash, sizeof hash);
        return hash % KEYUSE_COUNT_MAX;
}

void keyuse_note(struct keyuse_table *table, struct uuid user, struct uuid key, int64_t time_ms)
{
        struct keyuse *slot = &table->slots[slot_index(key)];

        REQUIRE(time_ms > 0);
        if (pthread_mutex_trylock(&table->mutex) != 0) return;
        if (slot->time_ms == 0) {
                *slot = (struct keyuse){user, key, time_ms};
        } else if (uuid_equal(slot->key, key) && time_ms > slot->time_ms) {
                slot->time_ms = time_ms;
        }
        pthread_mutex_unlock(&table->mutex);
}

size_t keyuse_take(struct keyuse_table *table, struct keyuse *out, size_t max)
{
        size_t taken = 0;
        size_t i;

        pthread_mutex_lock(&table->mutex);
        for (i = 0; i < KEYUSE_COUNT_MAX && taken < max; i++) {
                struct keyuse *slot = &table->slots[table->taken_to];

                table->taken_to = (table->taken_to + 1) % KEYUSE_COUNT_MAX;
                if (slot->time_ms == 0) continue;
                out[taken++] = *slot;
                slot->time_ms = 0;
        }
        pthread_mutex_unlock(&table->mutex);
        return taken;
}
