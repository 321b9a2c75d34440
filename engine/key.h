/* clang-format off */
/*
 * The only code that lays out a key.
 *
 * A key of the records database is an owner's prefix, one letter, then fixed-width ids or big-endian numbers, so that
 * byte order is the order we list in and no owner's prefix is a prefix of another's:
 *
 *      75 3a  01 8f .. (16 bytes)  41  01 90 .. (16 bytes)  30
 *      u  :   user id              A   app id               0        the record of that user's app
 *
 *      letter  after it                     kind              primary?  what it is
 *      P       -                            ROW_PROFILE       primary   the owner itself; absent: no such owner
 *      K       key id                       ROW_KEY           primary   an API key (users)
 *      M       user id                      ROW_MEMBER        primary   who is a member, in which role (teams)
 *      T       team id                      ROW_MEMBERSHIP    derived   where a user is a member: points at the M row
 *      I       'i' team id                  ROW_INVITATION    primary   an invitation received (users)
 *      R       request id                   ROW_REQUEST       primary   an idempotent request that was answered
 *      A       app id '0'                   ROW_APP           primary   an app; absent: no other row of the app counts
 *      A       app id '1'                   ROW_COUNTERS      derived   its jobs by state; absent: all zero
 *      A       app id 'g' owner (18 bytes)  ROW_GRANT         primary   a share of it
 *      A       app id 'i' job id            ROW_JOB_INPUT     primary   what was submitted, written once
 *      A       app id 'j' job id            ROW_JOB           primary   a job's state
 *      A       app id 'o' owner job id      ROW_GRANTEE_JOB   derived   jobs a grantee started
 *      A       app id 'q' job id            ROW_JOB_QUEUE     derived   jobs that wait, oldest first
 *      A       app id 'r' job id            ROW_JOB_RESULT    primary   what came out, written once
 *      A       app id 's' state job id      ROW_JOB_BY_STATE  derived   jobs of one state
 *      ~       revision (8 bytes)           ROW_CHANGE        primary   one for each record touched; the last
 *                                                                  one's number is the owner's revision
 *
 * '~' sorts after every letter, so that an owner's last row is its last change.
 */
/* clang-format on */
#ifndef ALLOD_ENGINE_KEY_H
#define ALLOD_ENGINE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "engine/uuid.h"

enum owner_kind {
        OWNER_USER = 'u',
        OWNER_TEAM = 't',
};

struct owner {
        enum owner_kind kind;
        struct uuid id;
};

#define OWNER_PREFIX_SIZE 18
#define APP_PREFIX_SIZE   (OWNER_PREFIX_SIZE + 1 + UUID_SIZE)
#define KEY_SIZE_MAX      96 /* the longest is 70 bytes (ROW_GRANTEE_JOB); LMDB takes 511 */

enum row_kind {
        ROW_PROFILE,
        ROW_KEY,
        ROW_MEMBER,
        ROW_MEMBERSHIP,
        ROW_INVITATION,
        ROW_REQUEST,
        ROW_APP,
        ROW_COUNTERS,
        ROW_GRANT,
        ROW_JOB_INPUT,
        ROW_JOB,
        ROW_GRANTEE_JOB,
        ROW_JOB_QUEUE,
        ROW_JOB_RESULT,
        ROW_JOB_BY_STATE,
        ROW_CHANGE,
        ROW_KIND_COUNT
};

#define ROW_BIT(kind) (1u << (kind))

/* Names a row inside a scope: a kind and the ids that this kind has (the rest stay zero). Never an owner of the scope.
 */
struct row {
        enum row_kind kind;
        struct uuid app;    /* rows under an app */
        struct uuid id;     /* key, member, team, request or job */
        struct owner owner; /* ROW_GRANT and ROW_GRANTEE_JOB: the grantee */
        uint8_t state;      /* ROW_JOB_BY_STATE */
        uint64_t revision;  /* ROW_CHANGE */
};

/* A key under construction, or a prefix of one. */
struct key {
        uint8_t data[KEY_SIZE_MAX];
        size_t len;
};

const char *row_kind_name(enum row_kind kind);

/* Whether a dump holds such rows; the others are rebuilt from those. */
bool row_kind_is_primary(enum row_kind kind);

/* Index rows have empty values; all others carry a record header. */
bool row_kind_has_value(enum row_kind kind);

bool row_kind_is_under_app(enum row_kind kind);

/* The 18 bytes of an owner, as the start of a key. */
void key_owner(struct owner owner, struct key *out);

/* Append a row's name to a key that holds an owner's prefix. */
void key_append(struct key *key, const struct row *row);

/* Append what all rows of a kind share: the letter; for a kind under an app, the app and its letter too; for
 * ROW_JOB_BY_STATE also the state. ROW_APP gives only 'A', the part that all apps share. */
void key_append_kind(struct key *key, const struct row *row);

/* Append 'A' and the app id: the prefix of one app. */
void key_append_app(struct key *key, struct uuid app);

/* Read a whole key back. R_CORRUPT if it is no key we make; *owner and *row are set only on R_OK. */
enum result key_read(struct bytes key, struct owner *owner, struct row *row) MUST_USE;

#endif
