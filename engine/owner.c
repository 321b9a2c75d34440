#include "engine/owner.h"

const char *owner_format(struct owner owner, char out[OWNER_TEXT_SIZE])
{
        out[0] = (char)owner.kind;
        out[1] = ':';
        uuid_format(owner.id, out + 2);
        return out;
}

enum result owner_parse(const char *text, struct owner *out)
{
        struct uuid id;

        if ((text[0] != OWNER_USER && text[0] != OWNER_TEAM) || text[1] != ':') return R_BAD_ARGUMENT;
        if (uuid_parse(bytes_of_text(text + 2), &id) != R_OK) return R_BAD_ARGUMENT;
        *out = (struct owner){(enum owner_kind)text[0], id};
        return R_OK;
}
