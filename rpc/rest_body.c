#include "rpc/rest_body.h"

#include "engine/utf8.h"

#define SHOWN_MAX 80 /* longer than any member of ours */

enum result rest_body_refuse_member(struct fault *fault, const char *parent, struct bytes key)
{
        size_t len = utf8_valid_len(bytes_of(key.data, key.len < SHOWN_MAX ? key.len : SHOWN_MAX));

        return fault_set(fault, R_BAD_ARGUMENT, "The member %s%.*s%s is not known here.", parent, (int)len,
                         (const char *)key.data, len < key.len ? "..." : "");
}
