#include "engine/key.h"

#include "engine/require.h"

/* What follows the letter (and, under an app, the app id and the second letter). */
enum tail {
        TAIL_NONE,
        TAIL_ID,
        TAIL_OWNER,
        TAIL_OWNER_ID,
        TAIL_STATE_ID,
        TAIL_REVISION,
};

static const uint8_t tail_sizes[] = {
        [TAIL_NONE] = 0,
        [TAIL_ID] = UUID_SIZE,
        [TAIL_OWNER] = OWNER_PREFIX_SIZE,
        [TAIL_OWNER_ID] = OWNER_PREFIX_SIZE + UUID_SIZE,
        [TAIL_STATE_ID] = 1 + UUID_SIZE,
        [TAIL_REVISION] = sizeof(uint64_t),
};

#define LETTER_APP    'A'
#define LETTER_INBOX  'I'
#define LONGEST_KEY   (APP_PREFIX_SIZE + 1 + OWNER_PREFIX_SIZE + UUID_SIZE)
#define LETTER_OFFSET OWNER_PREFIX_SIZE

_Static_assert(LONGEST_KEY <= KEY_SIZE_MAX, "every key fits");
_Static_assert(KEY_SIZE_MAX <= 511, "LMDB takes it");

static const struct kind {
        const char *name;
        char letter;
        char second; /* 0: none. Under an app it follows the app id, else the letter */
        enum tail tail;
        bool is_primary;
        bool is_index; /* its value is empty */
} kinds[ROW_KIND_COUNT] = {
        [ROW_PROFILE] = {"profile", 'P', 0, TAIL_NONE, true, false},
        [ROW_KEY] = {"key", 'K', 0, TAIL_ID, true, false},
        [ROW_MEMBER] = {"member", 'M', 0, TAIL_ID, true, false},
        [ROW_MEMBERSHIP] = {"membership", 'T', 0, TAIL_ID, false, true},
        [ROW_INVITATION] = {"invitation", LETTER_INBOX, 'i', TAIL_ID, true, false},
        [ROW_REQUEST] = {"request", 'R', 0, TAIL_ID, true, false},
        [ROW_APP] = {"app", LETTER_APP, '0', TAIL_NONE, true, false},
        [ROW_COUNTERS] = {"counters", LETTER_APP, '1', TAIL_NONE, false, false},
        [ROW_GRANT] = {"grant", LETTER_APP, 'g', TAIL_OWNER, true, false},
        [ROW_JOB_INPUT] = {"job input", LETTER_APP, 'i', TAIL_ID, true, false},
        [ROW_JOB] = {"job", LETTER_APP, 'j', TAIL_ID, true, false},
        [ROW_GRANTEE_JOB] = {"grantee's job", LETTER_APP, 'o', TAIL_OWNER_ID, false, true},
        [ROW_JOB_QUEUE] = {"queued job", LETTER_APP, 'q', TAIL_ID, false, true},
        [ROW_JOB_RESULT] = {"job result", LETTER_APP, 'r', TAIL_ID, true, false},
        [ROW_JOB_BY_STATE] = {"job by state", LETTER_APP, 's', TAIL_STATE_ID, false, true},
        [ROW_CHANGE] = {"change", '~', 0, TAIL_REVISION, true, false},
};

static const struct kind *kind_of(enum row_kind kind)
{
        REQUIRE((size_t)kind < ROW_KIND_COUNT);
        return &kinds[kind];
}

const char *row_kind_name(enum row_kind kind)
{
        return kind_of(kind)->name;
}

bool row_kind_is_primary(enum row_kind kind)
{
        return kind_of(kind)->is_primary;
}

bool row_kind_has_value(enum row_kind kind)
{
        return !kind_of(kind)->is_index;
}

bool row_kind_is_under_app(enum row_kind kind)
{
        return kind_of(kind)->letter == LETTER_APP;
}

static void append_byte(struct key *key, uint8_t byte)
{
        REQUIRE(key->len < KEY_SIZE_MAX);
        key->data[key->len++] = byte;
}

static void append_id(struct key *key, struct uuid id)
{
        REQUIRE(key->len <= KEY_SIZE_MAX - UUID_SIZE);
        memcpy(key->data + key->len, id.bytes, UUID_SIZE);
        key->len += UUID_SIZE;
}

static void append_owner(struct key *key, struct owner owner)
{
        REQUIRE(owner.kind == OWNER_USER || owner.kind == OWNER_TEAM);
        append_byte(key, (uint8_t)owner.kind);
        append_byte(key, ':');
        append_id(key, owner.id);
}

/* Big-endian, so that order by bytes is order by number. */
static void append_revision(struct key *key, uint64_t revision)
{
        int shift;

        for (shift = 56; shift >= 0; shift -= 8)
                append_byte(key, (uint8_t)(revision >> shift));
}

void key_owner(struct owner owner, struct key *out)
{
        out->len = 0;
        append_owner(out, owner);
}

void key_append_app(struct key *key, struct uuid app)
{
        append_byte(key, LETTER_APP);
        append_id(key, app);
}

/* All before the tail. */
static void append_letters(struct key *key, const struct row *row, const struct kind *kind)
{
        REQUIRE(key->len == OWNER_PREFIX_SIZE);
        append_byte(key, (uint8_t)kind->letter);
        if (kind->letter == LETTER_APP) append_id(key, row->app);
        if (kind->second != 0) append_byte(key, (uint8_t)kind->second);
}

void key_append_kind(struct key *key, const struct row *row)
{
        const struct kind *kind = kind_of(row->kind);

        if (row->kind == ROW_APP) {
                REQUIRE(key->len == OWNER_PREFIX_SIZE);
                append_byte(key, LETTER_APP);
                return;
        }
        append_letters(key, row, kind);
        if (kind->tail == TAIL_STATE_ID) append_byte(key, row->state);
}

void key_append(struct key *key, const struct row *row)
{
        const struct kind *kind = kind_of(row->kind);

        append_letters(key, row, kind);
        switch (kind->tail) {
        case TAIL_NONE:
                break;
        case TAIL_ID:
                append_id(key, row->id);
                break;
        case TAIL_OWNER:
                append_owner(key, row->owner);
                break;
        case TAIL_OWNER_ID:
                append_owner(key, row->owner);
                append_id(key, row->id);
                break;
        case TAIL_STATE_ID:
                append_byte(key, row->state);
                append_id(key, row->id);
                break;
        case TAIL_REVISION:
                append_revision(key, row->revision);
                break;
        }
}

/* The read functions take from the front of what the sizes have shown to be there. */
static uint8_t take_byte(struct bytes *rest)
{
        uint8_t byte = rest->data[0];

        rest->data++;
        rest->len--;
        return byte;
}

static struct uuid take_id(struct bytes *rest)
{
        struct uuid id;

        memcpy(id.bytes, rest->data, UUID_SIZE);
        rest->data += UUID_SIZE;
        rest->len -= UUID_SIZE;
        return id;
}

static uint64_t take_revision(struct bytes *rest)
{
        uint64_t revision = 0;
        size_t i;

        for (i = 0; i < sizeof revision; i++)
                revision = revision << 8 | take_byte(rest);
        return revision;
}

/* False when it is no owner's prefix. */
static bool take_owner(struct bytes *rest, struct owner *out)
{
        uint8_t kind;

        if (rest->len < OWNER_PREFIX_SIZE) return false;
        kind = take_byte(rest);
        if (kind != OWNER_USER && kind != OWNER_TEAM) return false;
        if (take_byte(rest) != ':') return false;
        *out = (struct owner){(enum owner_kind)kind, take_id(rest)};
        return true;
}

/* The kind with these letters; ROW_KIND_COUNT: none. */
static enum row_kind find_kind(uint8_t letter, uint8_t second)
{
        enum row_kind kind = 0;

        while (kind < ROW_KIND_COUNT && ((uint8_t)kinds[kind].letter != letter ||
                                         (kinds[kind].second != 0 && (uint8_t)kinds[kind].second != second)))
                kind++;
        return kind;
}

/* `rest` is what follows the owner. */
static bool take_row(struct bytes *rest, struct row *row)
{
        bool is_under_app;
        enum tail tail;
        uint8_t letter;

        if (rest->len < 1) return false;
        letter = take_byte(rest);
        is_under_app = letter == LETTER_APP;
        if (is_under_app) {
                if (rest->len < UUID_SIZE + 1) return false;
                row->app = take_id(rest);
        }
        row->kind = find_kind(letter, rest->len > 0 ? rest->data[0] : 0);
        if (row->kind == ROW_KIND_COUNT) return false;
        if (kinds[row->kind].second != 0) take_byte(rest);

        tail = kinds[row->kind].tail;
        if (rest->len != tail_sizes[tail]) return false;
        if (tail == TAIL_REVISION) {
                row->revision = take_revision(rest);
                return true;
        }
        if (tail == TAIL_STATE_ID) row->state = take_byte(rest);
        if ((tail == TAIL_OWNER || tail == TAIL_OWNER_ID) && !take_owner(rest, &row->owner)) return false;
        if (rest->len > 0) row->id = take_id(rest);
        return true;
}

enum result key_read(struct bytes key, struct owner *owner, struct row *row)
{
        struct owner read_owner;
        struct row read_row = {0};

        if (!take_owner(&key, &read_owner) || !take_row(&key, &read_row)) return R_CORRUPT;
        *owner = read_owner;
        *row = read_row;
        return R_OK;
}
