#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/admin.h"
#include "engine/dump_frame.h"
#include "engine/message.h"
#include "engine/owner.h"
#include "engine/store.h"
#include "engine/txn.h"
#include "engine/writer.h"
#include "rpc/client.h"
#include "tools/admin.h"
#include "tools/dump_secret.h"
#include "tools/dump_sources.h"

#define ARENA_MAX  ((size_t)16 << 20)
#define BASE_PIECE 512 /* owners of the base in one message: 47 KiB */

static const struct option_spec options[] = {
        ADMIN_OPTIONS,
        PROGRESS_OPTIONS,
        {"owner", "u:ID|t:ID...", "only this user or team; may be given several times"},
        {"rate", "MIB", "at most so many MiB a second"},
        {"since", "DUMP", "only what has changed since this dump was made, full or incremental"},
        DUMP_SECRET_OPTIONS,
        {"output", "FILE", "where to; without it, or `-`, standard output"},
        {0},
};

static const char text[] =
        "What is written is one moment of the store, and all that is needed to make it anew: users, "
        "keys, teams, apps,\njobs. A server goes on meanwhile. FILE gets its name only when it is whole and on disk. "
        "`allod verify FILE` checks it, `allod restore` makes a\nstore of it. With a key file or a passphrase it is "
        "encrypted, and lost with that: a server gets the key of this one\ndump, never the secret. With --since it has "
        "what "
        "has changed since then; restore takes it behind the dump that it is\nbased on.";

static int parse_owners(const struct arguments *arguments, struct owner owners[COMMAND_REPEATS_MAX])
{
        for (int i = 0; i < arguments->repeated_count; i++) {
                if (owner_parse(arguments->repeated[i], &owners[i]) != R_OK)
                        return command_misused(arguments->command, "`%s` is no owner: u: or t:, and an id.",
                                               arguments->repeated[i]);
        }
        return EXIT_DONE;
}

static int explain(const struct command *command, const struct dump_run *run, const struct dump_sink *sink,
                   enum result r)
{
        char owner[OWNER_TEXT_SIZE];

        owner_format(run->owner, owner);
        switch (r) {
        case R_ABSENT:
                return command_failed(command, "there is no %s.", owner);
        case R_CANCELED:
                return command_failed(command, "interrupted; nothing is left of it.");
        case R_IO:
                if (sink->error != 0) return command_failed(command, "cannot write: %s.", strerror(sink->error));
                return command_failed(command, "%s.", result_text(r));
        case R_CORRUPT:
        case R_TOO_LARGE:
                return command_failed(command, "%s: behind the row %s: %s.", owner, row_kind_name(run->row.kind),
                                      result_text(r));
        default:
                return command_failed(command, "%s.", result_text(r));
        }
}

/* A dump of named owners is a look at their records, which their change logs tell. */
static enum result run_in_view(struct admin *admin, struct dump_run *run, struct fault *fault)
{
        struct admin_look look = {admin_who(admin), run->owners, run->owner_count, "dumped"};
        struct store *store = admin_store(admin);
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = fault, .time_ms = store_time_ms(store)};
        struct view *view;
        enum result r = R_OK;

        arena_init(&arena, NULL, ARENA_MAX);
        if (look.owner_count > 0) r = writer_run(store_writer(store), &input, admin_look, &look);
        if (r == R_OK) r = view_open(store, &view);
        if (r == R_OK) {
                r = view_run(view, &input, dump_store, run);
                view_close(view);
        }
        arena_fini(&arena);
        return r;
}

static int tell(const struct arguments *arguments, const struct dump_run *run, FILE *out)
{
        char hash[HASH_TEXT_SIZE], size[SIZE_TEXT_SIZE];
        struct json_write json;
        struct arena arena;
        struct bytes json_text;
        enum result r = R_OK;

        hash_text(run->root_hash, hash);
        if (argument_option(arguments, "json") == NULL) {
                fputs("Dumped ", out);
                dump_counts_print(out, &run->counts);
                if (run->base != NULL) dump_since_print(out, &run->counts);
                if (run->whole_owners > 0)
                        fprintf(out,
                                "%" PRIu64 " owners are here as a whole: their logs of changes do not go back to the "
                                "base.\n",
                                run->whole_owners);
                fprintf(out, "The dump has %s; root hash %s.\n", size_text(run->counts.size, size), hash);
                return EXIT_DONE;
        }
        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&json, &arena, 1024);
        json_write_object_begin(&json);
        dump_counts_write(&json, &run->counts);
        json_write_name(&json, "whole_owners");
        json_write_uint64(&json, run->whole_owners);
        json_write_name(&json, "root_hash");
        json_write_text(&json, hash);
        json_write_object_end(&json);
        r = json_write_finish(&json, &json_text);
        if (r == R_OK) fprintf(out, "%.*s\n", (int)json_text.len, (const char *)json_text.data);
        arena_fini(&arena);
        return r == R_OK ? EXIT_DONE : command_failed(arguments->command, "out of memory.");
}

/* ---- Through a server ---- */

/* What a stream of DumpResponse brings. */
struct stream {
        struct dump_sink *sink;
        struct dump_run *run;
        bool has_summary;
};

static enum result take_summary(struct stream *stream, const Allod__V1__DumpSummary *summary)
{
        struct dump_run *run = stream->run;

        if (summary->root_hash.len != SHA256_SIZE) return R_CORRUPT;
        memcpy(run->root_hash, summary->root_hash.data, SHA256_SIZE);
        run->counts.owners = (uint64_t)summary->owners;
        run->counts.records = (uint64_t)summary->records;
        run->counts.chunks = (uint64_t)summary->chunks;
        run->counts.content_size = (uint64_t)summary->content_size;
        run->counts.size = (uint64_t)summary->size;
        run->counts.unchanged_owners = (uint64_t)summary->unchanged_owners;
        run->counts.gone_owners = (uint64_t)summary->gone_owners;
        run->counts.gone_records = (uint64_t)summary->gone_records;
        run->whole_owners = (uint64_t)summary->whole_owners;
        stream->has_summary = true;
        return R_OK;
}

static enum result take_response(void *context, struct bytes message)
{
        struct stream *stream = context;
        Allod__V1__DumpResponse *response = allod__v1__dump_response__unpack(NULL, message.len, message.data);
        enum result r = R_OK;

        if (response == NULL) return R_NO_MEMORY;
        if (stream->has_summary)
                r = R_CORRUPT;
        else if (response->summary != NULL)
                r = take_summary(stream, response->summary);
        else
                r = dump_sink_write(stream->sink, bytes_of(response->data.data, response->data.len));
        allod__v1__dump_response__free_unpacked(response, NULL);
        return r;
}

static int receive(const struct arguments *arguments, struct client *client, struct client_call *call,
                   struct stream *stream)
{
        const struct command *command = arguments->command;
        struct client_status status;
        enum result r = client_receive_all(call, take_response, stream, &status);

        if (progress_is_interrupted()) return command_failed(command, "interrupted; nothing is left of it.");
        if (r == R_IO && stream->sink->error != 0)
                return command_failed(command, "cannot write: %s.", strerror(stream->sink->error));
        if (r == R_IO) return command_failed(command, "%s", client_why(client));
        if (r != R_ABSENT) return command_failed(command, "%s.", result_text(r));
        if (status.code != 0)
                return command_failed(command, "%.*s", (int)status.message.len, (const char *)status.message.data);
        if (!stream->has_summary) return command_failed(command, "the server's answer is not whole.");
        return EXIT_DONE;
}

static void fill_base(const struct dump_base *base, Allod__V1__DumpBase *out)
{
        out->store_id = (ProtobufCBinaryData){UUID_SIZE, (uint8_t *)base->header.store_id.bytes};
        out->restore_epoch = base->header.restore_epoch;
        out->time_ms = base->header.time_ms;
        out->root_hash = (ProtobufCBinaryData){SHA256_SIZE, (uint8_t *)base->root_hash};
}

static void fill_key(const struct dump_key *key, Allod__V1__DumpKey *out)
{
        out->salt = (ProtobufCBinaryData){DUMP_SALT_SIZE, (uint8_t *)key->salt};
        out->key_id = (ProtobufCBinaryData){DUMP_KEY_ID_SIZE, (uint8_t *)key->id};
        out->scrypt_log_n = key->scrypt_log_n;
        out->scrypt_p = key->scrypt_p;
        out->key = (ProtobufCBinaryData){DUMP_KEY_SIZE, (uint8_t *)key->key};
}

/* The base, and its owners in pieces: one message each, and an empty one at the end. */
static enum result send_base(struct client_call *call, struct dump_base *base, struct arena *arena)
{
        const struct arena_mark mark = arena_mark(arena);
        uint8_t entries[BASE_PIECE * DUMP_INDEX_ENTRY_SIZE];
        enum result r = R_OK;

        while (r == R_OK) {
                Allod__V1__DumpRequest request = ALLOD__V1__DUMP_REQUEST__INIT;
                struct dump_entry entry;
                struct message encoded;
                size_t len = 0;

                while (len < sizeof entries && (r = base->next(base->context, &entry)) == R_OK) {
                        dump_entry_write(&entry, entries + len);
                        len += DUMP_INDEX_ENTRY_SIZE;
                }
                if (r != R_OK && r != R_ABSENT) return r;
                request.since_owners = (ProtobufCBinaryData){len, entries};
                message_init(&encoded, arena, protobuf_c_message_get_packed_size(&request.base) + 1);
                message_pack(&encoded, &request.base);
                if (message_finish(&encoded) != R_OK) return R_NO_MEMORY;
                if (client_send(call, message_so_far(&encoded), r == R_ABSENT) != R_OK) return R_IO;
                arena_reset(arena, mark);
        }
        return r == R_ABSENT ? R_OK : r;
}

static int dump_online(const struct arguments *arguments, struct client *client, struct dump_run *run,
                       struct dump_sink *sink)
{
        Allod__V1__DumpRequest request = ALLOD__V1__DUMP_REQUEST__INIT;
        Allod__V1__DumpKey key = ALLOD__V1__DUMP_KEY__INIT;
        Allod__V1__DumpBase base = ALLOD__V1__DUMP_BASE__INIT;
        struct stream stream = {sink, run, false};
        struct client_call *call = NULL;
        struct message encoded;
        struct arena arena;
        enum result r;
        int code;

        client_stop_on_signal(client, progress_is_interrupted);
        request.owners = (char **)arguments->repeated;
        request.n_owners = (size_t)arguments->repeated_count;
        if (run->key != NULL) {
                fill_key(run->key, &key);
                request.key = &key;
        }
        if (run->base != NULL) {
                fill_base(run->base, &base);
                request.since = &base;
        }
        arena_init(&arena, NULL, ARENA_MAX);
        message_init(&encoded, &arena, protobuf_c_message_get_packed_size(&request.base));
        message_pack(&encoded, &request.base);
        r = message_finish(&encoded);
        if (r == R_OK) r = client_start(client, "/allod.v1.AdminService/Dump", NULL, 0, 0, &arena, &call);
        if (r == R_OK) r = client_send(call, message_so_far(&encoded), run->base == NULL);
        if (r == R_OK && run->base != NULL) r = send_base(call, run->base, &arena);
        code = r == R_OK ? receive(arguments, client, call, &stream)
                         : command_failed(arguments->command, "%s", r == R_IO ? client_why(client) : result_text(r));
        client_finish(call);
        arena_fini(&arena);
        return code;
}

/* ---- Either way ---- */

static int dump_offline(const struct command *command, struct admin *admin, struct dump_run *run,
                        struct dump_sink *sink)
{
        struct fault fault;
        enum result r;

        run->write = dump_sink_write;
        run->context = sink;
        fault_clear(&fault);
        r = run_in_view(admin, run, &fault);
        run->context = NULL; /* the sink ends before the run does */
        if (r == R_WRONG_STATE) return command_failed(command, "%s", fault.text);
        return r == R_OK ? EXIT_DONE : explain(command, run, sink, r);
}

static int dump(const struct arguments *arguments, struct admin *admin, struct dump_run *run)
{
        const struct command *command = arguments->command;
        struct dump_sink sink;
        uint64_t rate;
        int code;

        code = progress_parse_rate(arguments, &rate);
        if (code == EXIT_DONE) code = dump_sink_open(command, argument_option(arguments, "output"), "Dumping", &sink);
        if (code != EXIT_DONE) return code;
        sink.rate = rate;
        code = admin_client(admin) != NULL ? dump_online(arguments, admin_client(admin), run, &sink)
                                           : dump_offline(command, admin, run, &sink);
        if (code != EXIT_DONE) {
                dump_sink_abandon(&sink);
                return code;
        }
        code = dump_sink_finish(command, &sink);
        return code == EXIT_DONE ? tell(arguments, run, sink.path == NULL ? stderr : stdout) : code;
}

/* The dump that --since names. */
struct since {
        const char *path;
        struct dump_sources sources;
        struct dump_index *index;
        struct dump_base base;
};

static int open_since(const struct arguments *arguments, const struct dump_secret *secret, struct since *since,
                      struct dump_run *run)
{
        const struct command *command = arguments->command;
        struct dump_fault fault = {0};
        enum result r;
        int code;

        since->path = argument_option(arguments, "since");
        if (since->path == NULL) return EXIT_DONE;
        code = dump_sources_open(command, &since->path, 1, "Reading", &since->sources);
        if (code != EXIT_DONE) return code;
        if (since->sources.layers[0].read_at == NULL) return command_failed(command, "%s is not a file.", since->path);
        r = dump_index_open(dump_source_read_at, &since->sources.files[0], since->sources.layers[0].size, secret,
                            &since->index, &fault);
        if (r == R_CORRUPT || r == R_FORMAT || r == R_UNAUTHENTICATED)
                return command_failed(command, "%s, at offset %ju: %s.", since->path, (uintmax_t)fault.offset,
                                      fault.text);
        if (r != R_OK) return command_failed(command, "cannot read %s: %s.", since->path, result_text(r));
        since->base = (struct dump_base){
                .header = *dump_index_header(since->index), .next = dump_index_next, .context = since->index};
        memcpy(since->base.root_hash, dump_index_root_hash(since->index), SHA256_SIZE);
        run->base = &since->base;
        return EXIT_DONE;
}

static void close_since(struct since *since)
{
        dump_index_close(since->index);
        dump_sources_close(&since->sources);
}

/* What the options name: the key of this dump, of the secret, and the base, which the same secret opens. */
static int prepare(const struct arguments *arguments, struct dump_run *run, struct dump_key *key, struct since *since)
{
        struct dump_secret_place place;
        int code = dump_secret_read(arguments, true, &place);
        enum result r = R_OK;

        if (code == EXIT_DONE) code = open_since(arguments, dump_secret_given(&place), since, run);
        if (code == EXIT_DONE && dump_secret_given(&place) != NULL) {
                r = dump_key_make(dump_secret_given(&place), key);
                run->key = key;
        }
        dump_secret_wipe(&place);
        return r == R_OK ? code : command_failed(arguments->command, "cannot make a key: %s.", result_text(r));
}

static int run_command(const struct arguments *arguments)
{
        struct owner owners[COMMAND_REPEATS_MAX];
        struct dump_run run = {.owners = owners, .owner_count = (size_t)arguments->repeated_count};
        struct since since = {0};
        struct dump_key key;
        struct admin *admin;
        int code = progress_open(arguments);

        if (code == EXIT_DONE) code = parse_owners(arguments, owners);
        if (code == EXIT_DONE) code = prepare(arguments, &run, &key, &since);
        if (code == EXIT_DONE) code = admin_open(arguments, &admin);
        if (code == EXIT_DONE) {
                code = dump(arguments, admin, &run);
                admin_close(admin);
        }
        dump_key_wipe(&key);
        close_since(&since);
        return code;
}

const struct command dump_commands[] = {
        {"dump", NULL, NULL, 0, 0, "Write all of a store, or some owners, into a file", text, options, run_command,
         NULL},
        {0},
};
