#include "rpc/exchange.h"

#include <strings.h>

const char *const header_names[HEADER_COUNT] = {
        [HEADER_CONTENT_TYPE] = "content-type",
        [HEADER_CONTENT_LENGTH] = "content-length",
        [HEADER_CONTENT_ENCODING] = "content-encoding",
        [HEADER_X_API_KEY] = "x-api-key",
        [HEADER_X_TEAM_ID] = "x-team-id",
        [HEADER_X_AUTHENTICATED_USER_ID] = "x-authenticated-user-id",
        [HEADER_IF_MATCH] = "if-match",
        [HEADER_GRPC_TIMEOUT] = "grpc-timeout",
        [HEADER_GRPC_ENCODING] = "grpc-encoding",
        [HEADER_TE] = "te",
        [HEADER_EXPECT] = "expect",
};

/* Lengths tell nearly all of them apart; most headers that nobody reads end here. */
static enum header candidate(struct bytes name)
{
        switch (name.len) {
        case 2:
                return HEADER_TE;
        case 6:
                return HEADER_EXPECT;
        case 8:
                return HEADER_IF_MATCH;
        case 9:
                return name.data[2] == 'a' ? HEADER_X_API_KEY : HEADER_X_TEAM_ID;
        case 12:
                return name.data[0] == 'c' ? HEADER_CONTENT_TYPE : HEADER_GRPC_TIMEOUT;
        case 13:
                return HEADER_GRPC_ENCODING;
        case 14:
                return HEADER_CONTENT_LENGTH;
        case 16:
                return HEADER_CONTENT_ENCODING;
        case 23:
                return HEADER_X_AUTHENTICATED_USER_ID;
        default:
                return HEADER_COUNT;
        }
}

enum header header_find(struct bytes name)
{
        enum header header = candidate(name);

        if (header == HEADER_COUNT || memcmp(name.data, header_names[header], name.len) != 0) return HEADER_COUNT;
        return header;
}

bool head_expects_continue(const struct request_head *head)
{
        struct bytes value = head->values[HEADER_EXPECT];

        return head->counts[HEADER_EXPECT] == 1 && value.len == 12 &&
               strncasecmp((const char *)value.data, "100-continue", 12) == 0;
}
