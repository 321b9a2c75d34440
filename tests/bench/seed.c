/*
 * Fills a new store for the benchmark: OWNERS users, each with one key and APPS apps, as AdminService and AppService
 * would, through the writer with SLOTS updates in flight.
 *
 *      seed DIR OWNERS APPS
 *
 * User n has the id 00000000-0000-7000-8000-NNNNNNNNNNNN and the key bench-key-NNNNNNNNNNNN, both with n in hex. Prints
 * the ids of the first user's apps, one a line.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "allod/v1/admin.pb-c.h"
#include "allod/v1/app.pb-c.h"
#include "engine/apikey.h"
#include "engine/require.h"
#include "engine/store.h"
#include "engine/writer.h"
#include "rpc/method.h"

#define SLOTS     256
#define ARENA_MAX ((size_t)1 << 20)

struct slot {
        struct update update; /* first, so that on_done finds the slot */
        struct invocation invocation;
        struct credential who;
        struct arena arena;
        struct fault fault;
        bool prints_id;
        struct slot *next_free;
};

static struct slot slots[SLOTS];
static struct slot *free_slots;
static sem_t free_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct store *store;

static void on_done(struct update *update)
{
        struct slot *slot = (struct slot *)update;
        char id[UUID_TEXT_LEN + 1];

        if (update->result != R_OK) {
                fprintf(stderr, "seed: %s: %s\n", slot->invocation.method->path, result_text(update->result));
                abort();
        }
        if (slot->prints_id) {
                uuid_format(update->input.id, id);
                puts(id);
        }
        pthread_mutex_lock(&mutex);
        slot->next_free = free_slots;
        free_slots = slot;
        pthread_mutex_unlock(&mutex);
        sem_post(&free_count);
}

static struct slot *take_slot(void)
{
        struct slot *slot;

        sem_wait(&free_count);
        pthread_mutex_lock(&mutex);
        slot = free_slots;
        free_slots = slot->next_free;
        pthread_mutex_unlock(&mutex);
        arena_fini(&slot->arena);
        arena_init(&slot->arena, NULL, ARENA_MAX);
        slot->prints_id = false;
        return slot;
}

/* The request is copied into the slot's arena, since it must live until the update is done. */
static void submit(struct slot *slot, const char *path, const ProtobufCMessage *request)
{
        const struct method *method = method_find(bytes_of_text(path));
        struct update *update = &slot->update;
        size_t size = protobuf_c_message_get_packed_size(request);
        uint8_t *packed = arena_alloc(&slot->arena, size);
        ProtobufCMessage *copy;

        REQUIRE(method != NULL && packed != NULL);
        protobuf_c_message_pack(request, packed);
        REQUIRE(message_unpack(&slot->arena, method->request, bytes_of(packed, size), &copy) == R_OK);
        REQUIRE(method->check(copy, &slot->fault) == R_OK);
        slot->invocation = (struct invocation){.method = method, .who = &slot->who, .request = copy};
        *update = (struct update){.lane = LANE_CALL, .cost = size, .run = invocation_run, .arg = &slot->invocation};
        REQUIRE(invocation_prepare(method, store, &slot->arena, &slot->fault, &update->input) == R_OK);
        update->done_cb = on_done;
        REQUIRE(writer_submit(store_writer(store), update) == R_OK);
}

/* All that is submitted has been committed. */
static void settle(void)
{
        for (int i = 0; i < SLOTS; i++)
                sem_wait(&free_count);
        for (int i = 0; i < SLOTS; i++)
                sem_post(&free_count);
}

static void add_user(unsigned n)
{
        Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        struct slot *slot = take_slot();
        char id[64];

        snprintf(id, sizeof id, "00000000-0000-7000-8000-%012x", n);
        user.id = id;
        slot->who = (struct credential){.plane = PLANE_ADMIN, .peer = "seed"};
        submit(slot, "/allod.v1.AdminService/CreateUser", &user.base);
}

static void add_key(unsigned n)
{
        Allod__V1__ImportKeyRequest key = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;
        struct slot *slot = take_slot();
        char id[64], secret[64], name[] = "bench";

        snprintf(id, sizeof id, "00000000-0000-7000-8000-%012x", n);
        snprintf(secret, sizeof secret, "bench-key-%012x", n);
        key.user_id = id;
        key.name = name;
        key.secret = secret;
        slot->who = (struct credential){.plane = PLANE_ADMIN, .peer = "seed"};
        submit(slot, "/allod.v1.AdminService/ImportKey", &key.base);
}

/* Its stored form is about 300 bytes. */
static void add_app(unsigned n, unsigned number)
{
        Allod__V1__CreateAppRequest create = ALLOD__V1__CREATE_APP_REQUEST__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;
        struct slot *slot = take_slot();
        char description[] = "A record of about three hundred bytes, as an app of some customer would be.";
        char url[] = "https://huggingface.co/example-organisation/example-model-with-a-name";
        char name[64], secret[64];

        snprintf(name, sizeof name, "App %u of user %u", number, n);
        snprintf(secret, sizeof secret, "bench-key-%012x", n);
        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        configuration.active_workers = 2;
        workflow.model_url = url;
        app.name = name;
        app.description = description;
        app.configuration = &configuration;
        app.workflow = &workflow;
        create.app = &app;
        slot->who = (struct credential){.plane = PLANE_PUBLIC, .has_key = true, .peer = "seed"};
        REQUIRE(apikey_digest(bytes_of_text(secret), slot->who.key_digest) == R_OK);
        slot->prints_id = n == 1;
        submit(slot, "/allod.v1.AppService/CreateApp", &create.base);
}

static void fill(unsigned owners, unsigned apps)
{
        for (unsigned n = 1; n <= owners; n++)
                add_user(n);
        settle();
        for (unsigned n = 1; n <= owners; n++)
                add_key(n);
        settle();
        for (unsigned number = 1; number <= apps; number++) {
                for (unsigned n = 1; n <= owners; n++)
                        add_app(n, number);
        }
        settle();
}

int main(int argc, char **argv)
{
        unsigned owners = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
        unsigned apps = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
        struct store_options options = {.dir = argv[1]};
        char why[STORE_WHY_SIZE];

        if (owners == 0) {
                fputs("usage: seed DIR OWNERS APPS\n", stderr);
                return 2;
        }
        if (method_init(why) != R_OK || store_create(argv[1], false, why) != R_OK ||
            store_open(&options, &store, NULL, NULL, why) != R_OK) {
                fprintf(stderr, "seed: %s\n", why);
                return 1;
        }
        sem_init(&free_count, 0, SLOTS);
        for (int i = 0; i < SLOTS; i++) {
                slots[i].next_free = free_slots;
                free_slots = &slots[i];
        }
        fill(owners, apps);
        for (int i = 0; i < SLOTS; i++)
                arena_fini(&slots[i].arena);
        store_close(store);
        return 0;
}
