#include "tests/lib/damage.h"

#include <stdlib.h>

#include "engine/require.h"

void damage_none(struct bytes valid, void *context, damage_cb *check_cb)
{
        uint8_t *copy = malloc(valid.len);

        REQUIRE(copy != NULL || valid.len == 0);
        if (valid.len > 0) memcpy(copy, valid.data, valid.len);
        check_cb(bytes_of(copy, valid.len), context);
        free(copy);
}

void damage_each(struct bytes valid, void *context, damage_cb *check_cb)
{
        uint8_t *copy = malloc(valid.len);

        REQUIRE(copy != NULL && valid.len > 0);
        for (size_t len = 0; len < valid.len; len++)
                damage_none(bytes_of(valid.data, len), context, check_cb);
        memcpy(copy, valid.data, valid.len);
        for (size_t i = 0; i < valid.len; i++) {
                for (unsigned change = 1; change < 256; change++) {
                        copy[i] = (uint8_t)(valid.data[i] ^ change);
                        check_cb(bytes_of(copy, valid.len), context);
                }
                copy[i] = valid.data[i];
        }
        free(copy);
}
