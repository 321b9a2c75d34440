#include "tools/dump_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Reading ---- */

int dump_source_open(const struct command *command, const char *path, const char *what, struct dump_source *out)
{
        struct stat st;
        int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) != 0) {
                if (fd > STDIN_FILENO) close(fd);
                return command_failed(command, "cannot read %s: %m.", path);
        }
        *out = (struct dump_source){.fd = fd};
        progress_start(&out->progress, what, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
        return EXIT_DONE;
}

/* As many as there are; `offset` AT_FILE: where the file is, which goes on. */
#define AT_FILE (-1)

static enum result read_all(struct dump_source *source, off_t offset, uint8_t *data, size_t size, size_t *got)
{
        size_t have = 0;

        while (have < size) {
                ssize_t count = offset == AT_FILE ? read(source->fd, data + have, size - have)
                                                  : pread(source->fd, data + have, size - have, offset + (off_t)have);

                if (progress_is_interrupted()) return R_CANCELED;
                if (count < 0 && errno == EINTR) continue;
                if (count < 0) source->error = errno;
                if (count < 0) return R_IO;
                if (count == 0) break;
                have += (size_t)count;
        }
        *got = have;
        return R_OK;
}

enum result dump_source_read(void *context, uint8_t *data, size_t size, size_t *got)
{
        struct dump_source *source = context;
        enum result r = read_all(source, AT_FILE, data, size, got);

        if (r == R_OK) progress_add(source->shown != NULL ? source->shown : &source->progress, *got);
        return r;
}

enum result dump_source_read_at(void *context, uint64_t offset, uint8_t *data, size_t size, size_t *got)
{
        return read_all(context, (off_t)offset, data, size, got);
}

void dump_source_close(struct dump_source *source)
{
        progress_end(&source->progress);
        if (source->fd > STDIN_FILENO) close(source->fd);
}

/* ---- Writing ---- */

int dump_sink_open(const struct command *command, const char *path, const char *what, struct dump_sink *out)
{
        *out = (struct dump_sink){.fd = STDOUT_FILENO};
        if (path == NULL || strcmp(path, "-") == 0) {
                if (isatty(STDOUT_FILENO) == 1)
                        return command_misused(command, "a dump is no text for a terminal: -o FILE, or into a pipe.");
        } else {
                out->path = path;
                if (asprintf(&out->unfinished_path, "%s.unfinished", path) < 0)
                        return command_failed(command, "out of memory.");
                out->fd = open(out->unfinished_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (out->fd < 0) {
                        int code = command_failed(command, "cannot write %s: %m.", out->unfinished_path);

                        free(out->unfinished_path);
                        return code;
                }
        }
        progress_start(&out->progress, what, 0);
        return EXIT_DONE;
}

enum result dump_sink_write(void *context, struct bytes data)
{
        struct dump_sink *sink = context;

        progress_add(&sink->progress, data.len);
        while (data.len > 0) {
                ssize_t count = write(sink->fd, data.data, data.len);

                if (progress_is_interrupted()) return R_CANCELED;
                if (count < 0 && errno == EINTR) continue;
                if (count < 0) sink->error = errno;
                if (count < 0) return R_IO;
                data.data += count;
                data.len -= (size_t)count;
        }
        progress_wait_for_rate(&sink->progress, sink->rate);
        return progress_is_interrupted() ? R_CANCELED : R_OK;
}

/* A name is on disk when its directory is. */
static bool sync_dir_of(const char *path)
{
        char *copy = strdup(path);
        int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool is_synced = fd >= 0 && fsync(fd) == 0;

        if (fd >= 0) close(fd);
        free(copy);
        return is_synced;
}

int dump_sink_finish(const struct command *command, struct dump_sink *sink)
{
        int code = EXIT_DONE;

        progress_end(&sink->progress);
        if (sink->path == NULL) return EXIT_DONE;
        if (fsync(sink->fd) != 0 || rename(sink->unfinished_path, sink->path) != 0 || !sync_dir_of(sink->path)) {
                code = command_failed(command, "cannot write %s: %m.", sink->path);
                (void)unlink(sink->unfinished_path);
        }
        close(sink->fd);
        free(sink->unfinished_path);
        return code;
}

void dump_sink_abandon(struct dump_sink *sink)
{
        progress_end(&sink->progress);
        if (sink->path == NULL) return;
        (void)unlink(sink->unfinished_path);
        close(sink->fd);
        free(sink->unfinished_path);
}

/* ---- Telling ---- */

void dump_counts_print(FILE *out, const struct dump_counts *counts)
{
        char size[SIZE_TEXT_SIZE];
        const char *comma = ": ";

        fprintf(out, "%" PRIu64 " owners, %" PRIu64 " records (%s)", counts->owners, counts->records,
                size_text(counts->content_size, size));
        for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                if (counts->kinds[kind] == 0) continue;
                fprintf(out, "%s%" PRIu64 " %s", comma, counts->kinds[kind], row_kind_name(kind));
                comma = ", ";
        }
        fputs("\n", out);
}

void dump_since_print(FILE *out, const struct dump_counts *counts)
{
        fprintf(out,
                "Of these owners %" PRIu64 " are as in the base, with nothing here. Gone since: %" PRIu64
                " owners, and %" PRIu64 " records.\n",
                counts->unchanged_owners, counts->gone_owners, counts->gone_records - counts->gone_owners);
}

void dump_counts_write(struct json_write *json, const struct dump_counts *counts)
{
        json_write_name(json, "owners");
        json_write_uint64(json, counts->owners);
        json_write_name(json, "chunks");
        json_write_uint64(json, counts->chunks);
        json_write_name(json, "records");
        json_write_uint64(json, counts->records);
        json_write_name(json, "unchanged_owners");
        json_write_uint64(json, counts->unchanged_owners);
        json_write_name(json, "gone_owners");
        json_write_uint64(json, counts->gone_owners);
        json_write_name(json, "gone_records");
        json_write_uint64(json, counts->gone_records);
        json_write_name(json, "content_size");
        json_write_uint64(json, counts->content_size);
        json_write_name(json, "size");
        json_write_uint64(json, counts->size);
        json_write_name(json, "kinds");
        json_write_object_begin(json);
        for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                if (counts->kinds[kind] == 0) continue;
                json_write_name(json, row_kind_name(kind));
                json_write_uint64(json, counts->kinds[kind]);
        }
        json_write_object_end(json);
}

const char *hash_text(const uint8_t hash[SHA256_SIZE], char out[HASH_TEXT_SIZE])
{
        for (size_t i = 0; i < SHA256_SIZE; i++)
                snprintf(out + 2 * i, 3, "%02x", hash[i]);
        return out;
}
