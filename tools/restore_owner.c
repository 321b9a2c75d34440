#include "tools/restore_owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/dump_owner.h"
#include "engine/message.h"
#include "engine/owner.h"
#include "engine/restore_owner.h"
#include "rpc/client.h"
#include "tools/admin.h"
#include "tools/dump_sources.h"

#define ARENA_MAX ((size_t)1 << 20)

/* Bytes of one message: below the 64 KiB that a message of a stream may have. */
#define BLOCK_SIZE ((size_t)56 << 10)

/* allod.v1.RestoreRequest */
#define REQUEST_DATA 2

struct job {
        const struct arguments *arguments;
        const struct command *command;
        const struct dump_secret *secret;
        struct owner owner, as;
        enum restore_conflict on_conflict;
        bool is_dry;
        int fd; /* the owner's part of the dump, in a file without a name */
        uint64_t size;
        int write_error;
};

static int parse(struct job *job)
{
        const struct arguments *arguments = job->arguments;
        const char *owner = argument_option(arguments, "owner"), *as = argument_option(arguments, "as");
        const char *how = argument_option(arguments, "on-conflict");

        if (owner_parse(owner, &job->owner) != R_OK)
                return command_misused(job->command, "`%s` is no owner: u: or t:, and an id.", owner);
        job->as = job->owner;
        if (as != NULL && owner_parse(as, &job->as) != R_OK)
                return command_misused(job->command, "`%s` is no owner: u: or t:, and an id.", as);
        if (job->as.kind != job->owner.kind)
                return command_misused(job->command, "a user can only become a user, a team a team.");
        if (how == NULL || strcmp(how, "fail") == 0)
                job->on_conflict = RESTORE_FAIL;
        else if (strcmp(how, "skip") == 0)
                job->on_conflict = RESTORE_SKIP;
        else if (strcmp(how, "replace") == 0)
                job->on_conflict = RESTORE_REPLACE;
        else
                return command_misused(job->command, "--on-conflict wants fail, skip or replace.");
        job->is_dry = argument_option(arguments, "dry-run") != NULL;
        return EXIT_DONE;
}

/* ---- The owner's part of the dump ---- */

static enum result seek_source(void *context, uint64_t offset)
{
        struct dump_source *source = context;

        if (lseek(source->fd, (off_t)offset, SEEK_SET) >= 0) return R_OK;
        source->error = errno;
        return R_IO;
}

static enum result write_part(void *context, struct bytes data)
{
        struct job *job = context;

        job->size += data.len;
        while (data.len > 0) {
                ssize_t count = write(job->fd, data.data, data.len);

                if (count < 0 && errno == EINTR) continue;
                if (count < 0) {
                        job->write_error = errno;
                        return R_IO;
                }
                data.data += count;
                data.len -= (size_t)count;
        }
        return R_OK;
}

static int open_part(struct job *job)
{
        const char *dir = getenv("TMPDIR");
        char path[4096];

        if (dir == NULL || dir[0] == '\0') dir = "/var/tmp";
        job->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (job->fd >= 0) return EXIT_DONE;
        snprintf(path, sizeof path, "%s/allod-XXXXXX", dir); /* not every file system has files without a name */
        job->fd = mkostemp(path, O_CLOEXEC);
        if (job->fd < 0) return command_failed(job->command, "cannot write to %s: %m.", dir);
        unlink(path);
        return EXIT_DONE;
}

/* `path` and `error`: of the file that could not be read, and what the system said; NULL: none. */
static int explain_copy(const struct job *job, const struct dump_owner_run *run, const char *path, const char *error,
                        enum result r)
{
        bool is_chain = run->layer_count > 0;
        const char *name = is_chain ? job->arguments->positional[run->fault_layer] : "", *colon = is_chain ? ": " : "";
        char owner[OWNER_TEXT_SIZE], line[DUMP_FAULT_LINE_SIZE];

        switch (r) {
        case R_ABSENT:
                return command_failed(job->command, "there is no %s in the dump.", owner_format(job->owner, owner));
        case R_CORRUPT:
                dump_fault_line(&run->fault, line);
                return command_failed(job->command, "%s%sthe dump is damaged: %s.", name, colon, line);
        case R_FORMAT:
        case R_UNAUTHENTICATED:
                return command_failed(job->command, "%s%scannot read the dump: %s.", name, colon, run->fault.text);
        case R_WRONG_STATE:
                return command_failed(job->command, "%s%s%s.", name, colon, run->fault.text);
        case R_CANCELED:
                return command_failed(job->command, "interrupted; nothing was changed.");
        case R_IO:
                if (job->write_error != 0)
                        return command_failed(job->command, "cannot write a temporary file: %s.",
                                              strerror(job->write_error));
                if (error != NULL) return command_failed(job->command, "cannot read %s: %s.", path, error);
                return command_failed(job->command, "%s.", result_text(r));
        default:
                return command_failed(job->command, "%s.", result_text(r));
        }
}

/* As the dumps together have it. */
static int copy_from_chain(struct job *job)
{
        const struct arguments *arguments = job->arguments;
        struct dump_owner_run run = {
                .owner = job->owner, .secret = job->secret, .write = write_part, .write_context = job};
        struct dump_sources sources;
        const char *error, *path = NULL;
        enum result r;
        int code;

        code = dump_sources_open(job->command, arguments->positional, (size_t)arguments->count, "Reading", &sources);
        if (code != EXIT_DONE) return code;
        run.layers = sources.layers;
        run.layer_count = sources.count;
        r = dump_owner_run(&run);
        error = dump_sources_error(&sources, &path);
        dump_sources_close(&sources);
        return r == R_OK ? EXIT_DONE : explain_copy(job, &run, path, error, r);
}

static int copy_from_one(struct job *job)
{
        struct dump_source source;
        struct dump_owner_run run = {.owner = job->owner,
                                     .secret = job->secret,
                                     .read = dump_source_read,
                                     .context = &source,
                                     .write = write_part,
                                     .write_context = job};
        struct stat st;
        enum result r;
        int code = dump_source_open(job->command, job->arguments->positional[0], "Reading", &source);

        if (code != EXIT_DONE) return code;
        if (fstat(source.fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(source.fd, 0, SEEK_CUR) == 0) {
                run.seek = seek_source;
                run.size = (uint64_t)st.st_size;
        }
        r = dump_owner_run(&run);
        dump_source_close(&source);
        if (r == R_OK) return EXIT_DONE;
        return explain_copy(job, &run, job->arguments->positional[0], source.error == 0 ? NULL : strerror(source.error),
                            r);
}

/* All of it is here before the server hears of it: it does not wait for slow peers. */
static int copy_part(struct job *job)
{
        int code = open_part(job);

        if (code != EXIT_DONE) return code;
        return job->arguments->count > 1 ? copy_from_chain(job) : copy_from_one(job);
}

/* ---- Telling ---- */

static void count(struct json_write *json, const char *name, int64_t number)
{
        json_write_name(json, name);
        json_write_uint64(json, (uint64_t)number);
}

static int tell_json(const struct job *job, const Allod__V1__RestoreResponse *response)
{
        struct json_write json;
        struct arena arena;
        struct bytes text;
        enum result r;

        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&json, &arena, 1024);
        json_write_object_begin(&json);
        json_write_name(&json, "dry_run");
        json_write_bool(&json, job->is_dry);
        json_write_name(&json, "created");
        json_write_bool(&json, response->created);
        count(&json, "apps", response->apps);
        count(&json, "apps_replaced", response->apps_replaced);
        count(&json, "apps_kept", response->apps_kept);
        count(&json, "jobs", response->jobs);
        count(&json, "keys", response->keys);
        count(&json, "keys_dropped", response->keys_dropped);
        count(&json, "members", response->members);
        count(&json, "members_dropped", response->members_dropped);
        count(&json, "invitations", response->invitations);
        count(&json, "invitations_dropped", response->invitations_dropped);
        count(&json, "changes_dropped", response->changes_dropped);
        count(&json, "others_dropped", response->others_dropped);
        json_write_object_end(&json);
        r = json_write_finish(&json, &text);
        if (r == R_OK) printf("%.*s\n", (int)text.len, (const char *)text.data);
        arena_fini(&arena);
        return r == R_OK ? EXIT_DONE : command_failed(job->command, "out of memory.");
}

static int tell(const struct job *job, const Allod__V1__RestoreResponse *response)
{
        char owner[OWNER_TEXT_SIZE];

        if (argument_option(job->arguments, "json") != NULL) return tell_json(job, response);
        printf("%s %s%s: %" PRId64 " apps (%" PRId64 " replaced; %" PRId64 " more were kept), %" PRId64
               " jobs, %" PRId64 " keys, %" PRId64 " members, %" PRId64 " invitations.\n",
               job->is_dry ? "Would restore" : "Restored", owner_format(job->as, owner),
               response->created ? ", who was not there" : "", response->apps, response->apps_replaced,
               response->apps_kept, response->jobs, response->keys, response->members, response->invitations);
        printf("Not from the dump: %" PRId64 " keys, %" PRId64 " members, %" PRId64 " invitations, %" PRId64
               " changes, %" PRId64 " other rows.\n",
               response->keys_dropped, response->members_dropped, response->invitations_dropped,
               response->changes_dropped, response->others_dropped);
        return EXIT_DONE;
}

/* ---- On the files ---- */

static bool is_interrupted(void *context)
{
        (void)context;
        return progress_is_interrupted();
}

static int interrupted(const struct job *job)
{
        return command_failed(job->command, "interrupted; an owner who was not there is not there, "
                                            "and of one who was, each app is whole.");
}

static int restore_offline(const struct job *job, struct admin *admin)
{
        struct restore_owner restore = {.store = admin_store(admin),
                                        .admin = admin_who(admin),
                                        .owner = job->owner,
                                        .as = job->as,
                                        .on_conflict = job->on_conflict,
                                        .is_dry = job->is_dry,
                                        .fd = job->fd,
                                        .is_stopped = is_interrupted};
        const struct restore_owner_counts *counts = &restore.counts;
        Allod__V1__RestoreResponse response = ALLOD__V1__RESTORE_RESPONSE__INIT;
        enum result r = restore_owner_run(&restore);

        if (r == R_CANCELED) return interrupted(job);
        if (r != R_OK && restore.fault.text[0] != '\0') return command_failed(job->command, "%s", restore.fault.text);
        if (r != R_OK) return command_failed(job->command, "%s.", result_text(r));
        response.created = counts->is_new;
        response.apps = (int64_t)counts->apps;
        response.apps_replaced = (int64_t)counts->apps_replaced;
        response.apps_kept = (int64_t)counts->apps_kept;
        response.jobs = (int64_t)counts->jobs;
        response.keys = (int64_t)counts->keys;
        response.keys_dropped = (int64_t)counts->keys_dropped;
        response.members = (int64_t)counts->members;
        response.members_dropped = (int64_t)counts->members_dropped;
        response.invitations = (int64_t)counts->invitations;
        response.invitations_dropped = (int64_t)counts->invitations_dropped;
        response.changes_dropped = (int64_t)counts->changes_dropped;
        response.others_dropped = (int64_t)counts->others_dropped;
        return tell(job, &response);
}

/* ---- Through a server ---- */

static enum result send_options(const struct job *job, struct client_call *call, struct arena *arena)
{
        static const Allod__V1__RestoreConflict conflicts[] = {
                [RESTORE_FAIL] = ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_FAIL,
                [RESTORE_SKIP] = ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_SKIP,
                [RESTORE_REPLACE] = ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_REPLACE,
        };
        Allod__V1__RestoreRequest request = ALLOD__V1__RESTORE_REQUEST__INIT;
        Allod__V1__RestoreOptions options = ALLOD__V1__RESTORE_OPTIONS__INIT;
        char owner[OWNER_TEXT_SIZE], as[OWNER_TEXT_SIZE];
        struct message encoded;
        enum result r;

        owner_format(job->owner, owner);
        owner_format(job->as, as);
        options.owner = owner;
        options.as_owner = as;
        options.on_conflict = conflicts[job->on_conflict];
        options.dry_run = job->is_dry;
        request.options = &options;
        message_init(&encoded, arena, 256);
        message_pack(&encoded, &request.base);
        if ((r = message_finish(&encoded)) != R_OK) return r;
        return client_send(call, message_so_far(&encoded), false);
}

/* All of the part, and then the end; less when the server has answered already. */
static enum result send_part(const struct job *job, struct client_call *call, struct arena *arena)
{
        const struct arena_mark mark = arena_mark(arena);
        uint8_t block[BLOCK_SIZE];
        struct progress progress;
        uint64_t at = 0;
        enum result r = send_options(job, call, arena);

        progress_start(&progress, "Sending", job->size);
        while (r == R_OK && at < job->size && !client_is_answered(call)) {
                ssize_t len = pread(job->fd, block, sizeof block, (off_t)at);
                struct message encoded;

                if (len <= 0) {
                        r = R_CORRUPT;
                        break;
                }
                arena_reset(arena, mark);
                message_init(&encoded, arena, sizeof block + 16);
                message_bytes(&encoded, REQUEST_DATA, bytes_of(block, (size_t)len));
                at += (uint64_t)len;
                r = message_finish(&encoded);
                if (r == R_OK) r = client_send(call, message_so_far(&encoded), at == job->size);
                if (r == R_OK && progress_is_interrupted()) r = R_CANCELED;
                progress_add(&progress, (uint64_t)len);
        }
        progress_end(&progress);
        return r;
}

static int receive(const struct job *job, struct client *client, struct client_call *call, struct arena *arena)
{
        struct client_status status;
        struct bytes message = {0}, more;
        ProtobufCMessage *response = NULL;
        enum result r = client_receive(call, &message, &status);

        if (r == R_OK) {
                r = message_unpack(arena, &allod__v1__restore_response__descriptor, message, &response);
                if (r == R_OK) r = client_receive(call, &more, &status);
        }
        if (r == R_CANCELED) return interrupted(job);
        if (r == R_IO) return command_failed(job->command, "%s", client_why(client));
        if (r != R_ABSENT) return command_failed(job->command, "%s.", result_text(r));
        if (status.code != 0)
                return command_failed(job->command, "%.*s", (int)status.message.len, (const char *)status.message.data);
        if (response == NULL) return command_failed(job->command, "the server's answer is not whole.");
        return tell(job, (const Allod__V1__RestoreResponse *)response);
}

static int restore_online(const struct job *job, struct client *client)
{
        struct client_call *call = NULL;
        struct arena arena, sending;
        enum result r;
        int code;

        client_stop_on_signal(client, progress_is_interrupted);
        arena_init(&arena, NULL, ARENA_MAX);
        arena_init(&sending, NULL, ARENA_MAX);
        r = client_start(client, "/allod.v1.AdminService/Restore", NULL, 0, 0, &arena, &call);
        if (r == R_OK) r = send_part(job, call, &sending);
        if (r == R_OK)
                code = receive(job, client, call, &arena);
        else if (r == R_CANCELED)
                code = interrupted(job);
        else
                code = command_failed(job->command, "%s", r == R_IO ? client_why(client) : result_text(r));
        client_finish(call);
        arena_fini(&sending);
        arena_fini(&arena);
        return code;
}

/* ---- Either way ---- */

int restore_owner_command(const struct arguments *arguments, const struct dump_secret *secret)
{
        struct job job = {.arguments = arguments, .command = arguments->command, .secret = secret, .fd = -1};
        struct admin *admin = NULL;
        int code = parse(&job);

        if (code == EXIT_DONE && admin_data_dir(arguments) == NULL) code = EXIT_USAGE;
        if (code == EXIT_DONE) code = copy_part(&job);
        if (code == EXIT_DONE) code = admin_open(arguments, &admin);
        if (code == EXIT_DONE)
                code = admin_client(admin) != NULL ? restore_online(&job, admin_client(admin))
                                                   : restore_offline(&job, admin);
        if (job.fd >= 0) close(job.fd);
        admin_close(admin);
        return code;
}
