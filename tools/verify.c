#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/message.h"
#include "engine/owner.h"
#include "engine/verify.h"
#include "rpc/client.h"
#include "tools/admin.h"
#include "tools/dump_secret.h"
#include "tools/dump_sources.h"

/* Faults of a report in JSON; more of them are counted only. */
#define ARENA_MAX ((size_t)16 << 20)

static const struct option_spec options[] = {
        ADMIN_OPTIONS,
        PROGRESS_OPTIONS,
        DUMP_SECRET_OPTIONS,
        {"rate", "MIB", "of a store: read at most so many MiB a second [32 through a server]"},
        {0},
};

static const char text[] =
        "With FILE (`-`: standard input), a dump: all of it is read, no store is needed, and each fault "
        "is told with the owner\nand the offset. With several, also whether each is based on the one before it, and "
        "what they give together.\nWithout, the store in DIR, which a server may be serving: each row's header, "
        "checksum and key, its\ncontent, indexes and pairs both ways, counters by a recount, keys, the log of "
        "changes, and what waits to be purged.\nExits with 3 if anything is wrong.";

/* What was found, told as it is found, or kept for one JSON object. */
struct report {
        bool is_json;
        struct json_write json;
        uint64_t fault_count;
        bool is_incremental;
};

static void tell_fault(struct report *report, const struct dump_fault *fault)
{
        char line[DUMP_FAULT_LINE_SIZE], owner[OWNER_TEXT_SIZE];

        report->fault_count++;
        if (!report->is_json) {
                dump_fault_line(fault, line);
                printf("%s\n", line);
                return;
        }
        json_write_object_begin(&report->json);
        if (fault->has_owner) {
                json_write_name(&report->json, "owner");
                json_write_text(&report->json, owner_format(fault->owner, owner));
        }
        json_write_name(&report->json, "offset");
        json_write_uint64(&report->json, fault->offset);
        json_write_name(&report->json, "text");
        json_write_text(&report->json, fault->text);
        json_write_object_end(&report->json);
}

/* Reads on behind faults where that can be. R_ABSENT: to the end. */
static enum result read_all(struct dump_reader *reader, struct report *report, struct progress *progress)
{
        struct dump_header header = {0};
        struct dump_chunk chunk;
        enum result r = dump_reader_header(reader, &header);

        if (r == R_OK) {
                do {
                        r = dump_reader_next(reader, &chunk);
                        if (r != R_CORRUPT) continue;
                        progress_end(progress);
                        tell_fault(report, dump_reader_fault(reader));
                } while (r == R_OK || (r == R_CORRUPT && dump_reader_can_go_on(reader)));
        } else if (r == R_CORRUPT || r == R_FORMAT) {
                tell_fault(report, dump_reader_fault(reader));
        }
        report->is_incremental = header.is_incremental;
        return r == R_FORMAT ? R_CORRUPT : r;
}

static void tell_end(const struct dump_reader *reader, struct report *report, bool is_whole)
{
        const struct dump_counts *counts = dump_reader_counts(reader);
        char hash[HASH_TEXT_SIZE], size[SIZE_TEXT_SIZE];

        if (is_whole) hash_text(dump_reader_root_hash(reader), hash);
        if (report->is_json) {
                json_write_array_end(&report->json);
                dump_counts_write(&report->json, counts);
                if (is_whole) json_write_name(&report->json, "root_hash");
                if (is_whole) json_write_text(&report->json, hash);
                json_write_object_end(&report->json);
                return;
        }
        fputs("Checked ", stdout);
        dump_counts_print(stdout, counts);
        if (report->is_incremental) dump_since_print(stdout, counts);
        if (is_whole)
                printf("All %s are as they were written; root hash %s.\n", size_text(counts->size, size), hash);
        else
                printf("%" PRIu64 " faults.\n", report->fault_count);
}

static int explain(const struct command *command, const struct dump_source *source, const char *fault, enum result r)
{
        if (r == R_UNAUTHENTICATED) return command_failed(command, "%s.", fault);
        if (r == R_CANCELED) return command_failed(command, "interrupted.");
        if (r == R_IO && source->error != 0)
                return command_failed(command, "cannot read: %s.", strerror(source->error));
        return command_failed(command, "%s.", result_text(r));
}

static int verify(const struct command *command, struct dump_source *source, const struct dump_secret *secret,
                  struct report *report, struct arena *arena)
{
        struct dump_reader *reader;
        char fault[DUMP_FAULT_TEXT_SIZE];
        struct bytes json_text;
        enum result r;

        if (dump_reader_open(dump_source_read, source, &reader) != R_OK)
                return command_failed(command, "out of memory.");
        dump_reader_set_secret(reader, secret);
        dump_reader_take_incremental(reader);
        json_write_init(&report->json, arena, 1024);
        json_write_object_begin(&report->json);
        json_write_name(&report->json, "faults");
        json_write_array_begin(&report->json);
        r = read_all(reader, report, &source->progress);
        progress_end(&source->progress);
        if (r == R_ABSENT || r == R_CORRUPT) tell_end(reader, report, report->fault_count == 0);
        snprintf(fault, sizeof fault, "%s", dump_reader_fault(reader)->text);
        dump_reader_close(reader);
        if (r != R_ABSENT && r != R_CORRUPT) return explain(command, source, fault, r);
        if (report->is_json) {
                if (json_write_finish(&report->json, &json_text) != R_OK)
                        return command_failed(command, "out of memory.");
                printf("%.*s\n", (int)json_text.len, (const char *)json_text.data);
        }
        return report->fault_count == 0 ? EXIT_DONE : EXIT_FOUND_WRONG;
}

static int run_file(const struct arguments *arguments, const char *path, const struct dump_secret *secret)
{
        struct report report = {.is_json = argument_option(arguments, "json") != NULL};
        struct dump_source source;
        struct arena arena;
        int code = dump_source_open(arguments->command, path, "Checking", &source);

        if (code != EXIT_DONE) return code;
        arena_init(&arena, NULL, ARENA_MAX);
        code = verify(arguments->command, &source, secret, &report, &arena);
        arena_fini(&arena);
        dump_source_close(&source);
        return code;
}

static enum result pass(void *context, const struct dump_chunk *chunk)
{
        (void)context;
        (void)chunk;
        return R_OK;
}

static int tell_chain(const struct command *command, const struct dump_chain *chain, const struct dump_sources *sources,
                      bool is_json, enum result r)
{
        const struct dump_counts *counts = dump_chain_counts(chain);
        char line[DUMP_FAULT_LINE_SIZE], hash[HASH_TEXT_SIZE];
        size_t layer;

        if (r == R_OK) {
                hash_text(dump_chain_root_hash(chain), hash);
                if (is_json) return EXIT_DONE; /* the last dump's root hash says it */
                fputs("Together they are ", stdout);
                dump_counts_print(stdout, counts);
                printf("Root hash %s.\n", hash);
                return EXIT_DONE;
        }
        if (r == R_CANCELED) return command_failed(command, "interrupted.");
        if (r != R_CORRUPT && r != R_WRONG_STATE && r != R_FORMAT)
                return command_failed(command, "%s.", result_text(r));
        dump_fault_line(dump_chain_fault(chain, &layer), line);
        command_failed(command, "%s: %s.", sources->paths[layer],
                       r == R_CORRUPT ? line : dump_chain_fault(chain, &layer)->text);
        return EXIT_FOUND_WRONG;
}

/* Whether each is based on the one before it, and all of them give what the last one says. */
static int verify_chain(const struct arguments *arguments, const struct dump_secret *secret)
{
        const struct command *command = arguments->command;
        struct dump_sources sources;
        struct dump_header header;
        struct dump_chain *chain;
        enum result r;
        int code;

        code = dump_sources_open(command, arguments->positional, (size_t)arguments->count, "Checking", &sources);
        if (code != EXIT_DONE) return code;
        if (dump_chain_open(sources.layers, sources.count, secret, &chain) != R_OK) {
                dump_sources_close(&sources);
                return command_failed(command, "out of memory.");
        }
        r = dump_chain_header(chain, &header);
        if (r == R_OK) r = dump_chain_run(chain, pass, NULL);
        progress_end(&sources.files[0].progress);
        code = tell_chain(command, chain, &sources, argument_option(arguments, "json") != NULL, r);
        dump_chain_close(chain);
        dump_sources_close(&sources);
        return code;
}

static int run_dump(const struct arguments *arguments)
{
        struct dump_secret_place place;
        int code = dump_secret_read(arguments, false, &place), i;

        for (i = 0; i < arguments->count && code == EXIT_DONE; i++) {
                if (arguments->count > 1 && argument_option(arguments, "json") == NULL)
                        printf("%s:\n", arguments->positional[i]);
                code = run_file(arguments, arguments->positional[i], dump_secret_given(&place));
        }
        if (code == EXIT_DONE && arguments->count > 1) code = verify_chain(arguments, dump_secret_given(&place));
        dump_secret_wipe(&place);
        return code;
}

/* ---- A store ---- */

struct store_report {
        struct report report;
        struct progress progress;
        struct verify verify;
        uint64_t rate; /* bytes a second; 0: none was given */
};

static void tell_sentence(void *context, const char *sentence)
{
        struct store_report *report = context;

        if (report->report.is_json) {
                json_write_text(&report->report.json, sentence);
                return;
        }
        progress_end(&report->progress);
        printf("%s\n", sentence);
}

/* What there is to read: rows as large as those before. */
static void estimate(struct progress *progress, uint64_t bytes, uint64_t rows, uint64_t rows_total)
{
        if (rows > 0) progress->total = (uint64_t)((double)bytes / (double)rows * (double)rows_total);
}

static enum result step(void *context, size_t size)
{
        struct store_report *report = context;

        estimate(&report->progress, report->progress.done + size, report->verify.row_count, report->verify.row_total);
        progress_add(&report->progress, size);
        progress_wait_for_rate(&report->progress, report->rate);
        return progress_is_interrupted() ? R_CANCELED : R_OK;
}

static void tell_store(struct store_report *report)
{
        const struct verify *found = &report->verify;
        struct json_write *json = &report->report.json;
        const char *comma = ": ";

        if (report->report.is_json) {
                json_write_array_end(json);
                json_write_name(json, "pages");
                json_write_uint64(json, found->page_count);
                json_write_name(json, "owners");
                json_write_uint64(json, found->owner_count);
                json_write_name(json, "rows");
                json_write_uint64(json, found->row_count);
                json_write_name(json, "to_be_purged");
                json_write_uint64(json, found->hidden_count);
                json_write_name(json, "kinds");
                json_write_object_begin(json);
                for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                        json_write_name(json, row_kind_name(kind));
                        json_write_uint64(json, found->rows[kind]);
                }
                json_write_object_end(json);
                json_write_object_end(json);
                return;
        }
        printf("Checked %" PRIu64 " pages, %" PRIu64 " owners, %" PRIu64 " rows", found->page_count, found->owner_count,
               found->row_count);
        for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                if (found->rows[kind] == 0) continue;
                printf("%s%" PRIu64 " %s", comma, found->rows[kind], row_kind_name(kind));
                comma = ", ";
        }
        printf(".\n%" PRIu64 " rows wait to be purged. ", found->hidden_count);
        if (found->found_count == 0)
                puts("All is as it should be.");
        else
                printf("%" PRIu64 " faults.\n", found->found_count);
}

/* ---- A store that a server holds ---- */

struct stream {
        struct store_report *report;
        bool has_summary;
};

static void take_summary(struct stream *stream, const Allod__V1__VerifySummary *summary)
{
        struct verify *verify = &stream->report->verify;

        stream->has_summary = true;
        verify->owner_count = (uint64_t)summary->owners;
        verify->row_count = (uint64_t)summary->rows;
        verify->hidden_count = (uint64_t)summary->to_be_purged;
        verify->found_count = (uint64_t)summary->faults;
        for (size_t i = 0; i < summary->n_kinds; i++) {
                for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                        if (strcmp(row_kind_name(kind), summary->kinds[i]->name) == 0)
                                verify->rows[kind] = (uint64_t)summary->kinds[i]->rows;
                }
        }
}

static void take_progress(struct progress *progress, const Allod__V1__VerifyProgress *told)
{
        estimate(progress, (uint64_t)told->bytes, (uint64_t)told->rows, (uint64_t)told->rows_total);
        if ((uint64_t)told->bytes > progress->done) progress_add(progress, (uint64_t)told->bytes - progress->done);
}

static enum result take_response(void *context, struct bytes message)
{
        struct stream *stream = context;
        Allod__V1__VerifyResponse *response = allod__v1__verify_response__unpack(NULL, message.len, message.data);

        if (response == NULL) return R_NO_MEMORY;
        for (size_t i = 0; i < response->n_faults; i++)
                tell_sentence(stream->report, response->faults[i]);
        if (response->progress != NULL) take_progress(&stream->report->progress, response->progress);
        if (response->summary != NULL) take_summary(stream, response->summary);
        allod__v1__verify_response__free_unpacked(response, NULL);
        return R_OK;
}

static int receive(const struct command *command, struct client *client, struct client_call *call,
                   struct stream *stream)
{
        struct client_status status;
        enum result r = client_receive_all(call, take_response, stream, &status);

        if (progress_is_interrupted()) return command_failed(command, "interrupted.");
        if (r == R_IO) return command_failed(command, "%s", client_why(client));
        if (r != R_ABSENT) return command_failed(command, "%s.", result_text(r));
        if (status.code != 0)
                return command_failed(command, "%.*s", (int)status.message.len, (const char *)status.message.data);
        if (!stream->has_summary) return command_failed(command, "the server's answer is not whole.");
        return EXIT_DONE;
}

static int verify_online(const struct command *command, struct client *client, struct store_report *report)
{
        Allod__V1__VerifyRequest request = ALLOD__V1__VERIFY_REQUEST__INIT;
        struct stream stream = {report, false};
        struct client_call *call = NULL;
        struct message encoded;
        struct arena arena;
        enum result r;
        int code;

        client_stop_on_signal(client, progress_is_interrupted);
        request.bytes_per_second = (int64_t)report->rate;
        arena_init(&arena, NULL, ARENA_MAX);
        message_init(&encoded, &arena, protobuf_c_message_get_packed_size(&request.base));
        message_pack(&encoded, &request.base);
        r = message_finish(&encoded);
        if (r == R_OK) r = client_start(client, "/allod.v1.AdminService/Verify", NULL, 0, 0, &arena, &call);
        if (r == R_OK) r = client_send(call, message_so_far(&encoded), true);
        code = r == R_OK ? receive(command, client, call, &stream)
                         : command_failed(command, "%s", r == R_IO ? client_why(client) : result_text(r));
        client_finish(call);
        arena_fini(&arena);
        return code;
}

/* R_HELD from the files: by a server, or it has let go since. */
static int verify_held(const struct arguments *arguments, struct store_report *report)
{
        struct admin *admin;
        int code = admin_open(arguments, &admin);

        if (code != EXIT_DONE) return code;
        if (admin_client(admin) != NULL)
                code = verify_online(arguments->command, admin_client(admin), report);
        else
                code = command_failed(arguments->command, "the server has just ended; try again.");
        admin_close(admin);
        return code;
}

/* ---- Either way ---- */

static int verify_store(const struct arguments *arguments, const char *dir, struct store_report *report)
{
        const struct command *command = arguments->command;
        int code = EXIT_DONE;
        struct bytes json_text;
        char why[256];
        enum result r;

        json_write_object_begin(&report->report.json);
        json_write_name(&report->report.json, "faults");
        json_write_array_begin(&report->report.json);
        progress_start(&report->progress, "Checking", 0);
        r = verify_dir(dir, 0, &report->verify, why);
        if (r == R_HELD) code = verify_held(arguments, report);
        progress_end(&report->progress);
        if (r == R_HELD && code != EXIT_DONE) return code;
        if (r == R_CANCELED) return command_failed(command, "interrupted.");
        if (r == R_CORRUPT) {
                command_failed(command, "%s: %s.", dir, why);
                return EXIT_FOUND_WRONG;
        }
        if (r != R_OK && r != R_HELD) return command_failed(command, "%s: %s.", dir, why);
        tell_store(report);
        if (report->report.is_json) {
                if (json_write_finish(&report->report.json, &json_text) != R_OK)
                        return command_failed(command, "out of memory.");
                printf("%.*s\n", (int)json_text.len, (const char *)json_text.data);
        }
        return report->verify.found_count == 0 ? EXIT_DONE : EXIT_FOUND_WRONG;
}

static int run_store(const struct arguments *arguments)
{
        const char *dir = admin_data_dir(arguments);
        struct store_report report = {.report = {.is_json = argument_option(arguments, "json") != NULL}};
        struct arena arena;
        int code;

        if (argument_option(arguments, "key-file") != NULL || argument_option(arguments, "passphrase") != NULL ||
            argument_option(arguments, "passphrase-file") != NULL)
                return command_misused(arguments->command, "only a dump is encrypted: FILE is missing.");
        if (dir == NULL) return EXIT_USAGE;
        code = progress_parse_rate(arguments, &report.rate);
        if (code != EXIT_DONE) return code;
        report.verify.context = &report;
        report.verify.found_cb = tell_sentence;
        report.verify.step_cb = step;
        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&report.report.json, &arena, 1024);
        code = verify_store(arguments, dir, &report);
        arena_fini(&arena);
        return code;
}

static int run(const struct arguments *arguments)
{
        int code = progress_open(arguments);

        if (code != EXIT_DONE) return code;
        if (arguments->count == 0) return run_store(arguments);
        if (argument_option(arguments, "rate") != NULL)
                return command_misused(arguments->command, "--rate is for a store.");
        if (argument_option(arguments, "data") == NULL) return run_dump(arguments);
        return command_misused(arguments->command, "FILE or --data DIR, not both.");
}

const struct command verify_commands[] = {
        {"verify", NULL, "[FILE...]", 0, DUMP_CHAIN_MAX, "Check dumps, or a store", text, options, run, NULL},
        {0},
};
