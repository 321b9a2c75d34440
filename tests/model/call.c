#include "tests/model/call.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

/* xorshift64*, whose state is never 0. */
uint64_t dice_next(struct dice *dice)
{
        dice->state ^= dice->state >> 12;
        dice->state ^= dice->state << 25;
        dice->state ^= dice->state >> 27;
        return dice->state * 0x2545f4914f6cdd1du;
}

unsigned dice_below(struct dice *dice, unsigned bound)
{
        return (unsigned)((dice_next(dice) >> 32) % bound);
}

bool dice_percent(struct dice *dice, unsigned percent)
{
        return dice_below(dice, 100) < percent;
}

void *call_alloc(struct call *call, size_t size)
{
        void *memory = arena_zalloc(&call->arena, size);

        assert_non_null(memory);
        return memory;
}

void *call_list(struct call *call, size_t count)
{
        return call_alloc(call, (count + 1) * sizeof(void *));
}

const char *call_printf(struct call *call, const char *format, ...)
{
        char text[512];
        va_list arguments;
        char *copy;
        int len;

        va_start(arguments, format);
        len = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        assert_true(len >= 0 && (size_t)len < sizeof text);
        copy = call_alloc(call, (size_t)len + 1);
        memcpy(copy, text, (size_t)len + 1);
        return copy;
}

Google__Protobuf__Timestamp *call_time(struct call *call, int64_t time_ms)
{
        Google__Protobuf__Timestamp *time =
                CALL_NEW(call, Google__Protobuf__Timestamp, GOOGLE__PROTOBUF__TIMESTAMP__INIT);

        time->seconds = time_ms / 1000;
        time->nanos = (int32_t)(time_ms % 1000 * 1000000);
        return time;
}

void canary_make(struct game *game, char out[CANARY_LEN + 1])
{
        snprintf(out, CANARY_LEN + 1, CANARY_PREFIX "%016llx", (unsigned long long)dice_next(&game->dice));
}

void text_with(struct game *game, char out[TEXT_SIZE], const char *canary)
{
        snprintf(out, TEXT_SIZE, "%u %s", dice_below(&game->dice, 1000000), canary);
}

/* Version 7, with a counter that never starts again where the time allows a smaller one. */
struct name new_name(struct game *game)
{
        struct name name;
        uint64_t random = dice_next(&game->dice);
        uint32_t count = game->id_count++;
        unsigned i;

        for (i = 0; i < 6; i++)
                name.id.bytes[i] = (uint8_t)(game->now_ms >> (40 - 8 * i));
        name.id.bytes[6] = (uint8_t)(0x70 | (count >> 22 & 0x0f));
        name.id.bytes[7] = (uint8_t)(count >> 14);
        name.id.bytes[8] = (uint8_t)(0x80 | (count >> 8 & 0x3f));
        name.id.bytes[9] = (uint8_t)count;
        for (i = 10; i < 16; i++)
                name.id.bytes[i] = (uint8_t)(random >> (8 * (i - 10)));
        uuid_format(name.id, name.text);
        return name;
}

struct actor administrator(void)
{
        return (struct actor){
                .who = {.plane = PLANE_ADMIN, .peer = "test"}, .key = NONE, .team = NONE, .is_ours = true};
}

int any_live_user(struct game *game)
{
        unsigned tries;

        for (tries = 0; tries < 50; tries++) {
                int user = (int)dice_below(&game->dice, (unsigned)game->model.user_count);

                if (game->model.users[user].exists) return user;
        }
        return NONE;
}

int any_live_team(struct game *game)
{
        unsigned tries;

        if (game->model.team_count == 0) return NONE;
        for (tries = 0; tries < 50; tries++) {
                int team = (int)dice_below(&game->dice, (unsigned)game->model.team_count);

                if (game->model.teams[team].exists) return team;
        }
        return NONE;
}

int team_of(struct game *game, int user)
{
        int found = NONE;
        unsigned count = 0;
        int i;

        for (i = 0; i < game->model.member_count; i++) {
                const struct model_member *member = &game->model.members[i];

                if (member->exists && member->user == user && dice_below(&game->dice, ++count) == 0)
                        found = member->team;
        }
        return found;
}

static void claim_team(struct game *game, struct actor *actor)
{
        unsigned chance = dice_below(&game->dice, 100);
        int user = actor->key == NONE ? NONE : game->model.keys[actor->key].user;

        if (chance < 45) return;
        actor->who.team_claim = CLAIM_GIVEN;
        if (chance < 85) {
                actor->team = user == NONE ? any_live_team(game) : team_of(game, user);
        } else if (chance < 96 && game->model.team_count > 0) {
                actor->team = (int)dice_below(&game->dice, (unsigned)game->model.team_count);
        } else if (chance < 98) {
                actor->who.team_claim = CLAIM_MALFORMED;
        }
        actor->who.team = actor->team == NONE ? new_name(game).id : game->model.teams[actor->team].name.id;
        if (chance < 85 && actor->team == NONE) actor->who.team_claim = CLAIM_ABSENT;
}

struct actor any_actor(struct game *game)
{
        struct actor actor = {
                .who = {.plane = PLANE_PUBLIC, .has_key = true, .peer = "127.0.0.1:50712"}, .key = NONE, .team = NONE};
        unsigned chance = dice_below(&game->dice, 100);
        unsigned tries;

        if (chance < 2) actor.who.has_key = false;
        if (chance >= 4)
                for (tries = 0; tries < 4; tries++) { /* mostly one that works */
                        actor.key = (int)dice_below(&game->dice, (unsigned)game->model.key_count);
                        if (model_key_works(&game->model, actor.key)) break;
                }
        if (actor.key == NONE) {
                memset(actor.who.key_digest, 0xee, sizeof actor.who.key_digest);
        } else {
                memcpy(actor.who.key_digest, game->model.keys[actor.key].digest, sizeof actor.who.key_digest);
                if (chance == 99) {
                        actor.who.user_claim = CLAIM_GIVEN;
                        actor.who.user =
                                game->model.users[dice_below(&game->dice, (unsigned)game->model.user_count)].name.id;
                }
        }
        claim_team(game, &actor);
        return actor;
}

const char *nonsense_id(struct game *game, struct call *call)
{
        static const char *const texts[] = {"", "none", "00000000-0000-7000-8000-00000000000", "'; --"};

        if (dice_percent(&game->dice, 50)) return call_printf(call, "%s", new_name(game).text);
        return texts[dice_below(&game->dice, sizeof texts / sizeof texts[0])];
}
