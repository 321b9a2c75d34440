/*
 * Dumps as files: read and written with progress, and what is in them, told.
 */
#ifndef ALLOD_TOOLS_DUMP_FILE_H
#define ALLOD_TOOLS_DUMP_FILE_H

#include "engine/dump_index.h"
#include "engine/dump_read.h"
#include "rpc/json_write.h"
#include "tools/command.h"
#include "tools/progress.h"

/* ---- Reading: a path, or "-" for standard input ---- */

struct dump_source {
        int fd;
        struct progress progress;
        struct progress *shown; /* where it counts; NULL: in its own */
        int error;              /* of the system; 0: none */
};

/* EXIT_DONE, or what to exit with after saying what is wrong. */
int dump_source_open(const struct command *command, const char *path, const char *what, struct dump_source *out);

/* For struct dump_source as the context. R_IO; R_CANCELED after a signal. */
dump_read_fn dump_source_read;
/* Progress does not count it. */
dump_read_at_fn dump_source_read_at;

void dump_source_close(struct dump_source *source);

/* ---- Writing: PATH.unfinished, which gets its name when all is on disk; NULL or "-": standard output ---- */

struct dump_sink {
        int fd;
        const char *path; /* NULL: standard output */
        char *unfinished_path;
        uint64_t rate; /* bytes a second at most; 0: as fast as may be */
        struct progress progress;
        int error;
};

int dump_sink_open(const struct command *command, const char *path, const char *what, struct dump_sink *out);

/* As dump_source_read. */
dump_write_fn dump_sink_write;

/* Put it into its place. EXIT_DONE, or what to exit with after saying what is wrong; then nothing is left of it. */
int dump_sink_finish(const struct command *command, struct dump_sink *sink);

/* Leave nothing. */
void dump_sink_abandon(struct dump_sink *sink);

/* ---- Telling ---- */

/* "4 owners, 52 records (12 KiB): 3 profile, ..", with a newline. */
void dump_counts_print(FILE *out, const struct dump_counts *counts);

/* Of an incremental dump: "Of these owners 3 are as they were. Gone: 1 owners, 4 records.", with a newline. */
void dump_since_print(FILE *out, const struct dump_counts *counts);

/* The same as members of the object that has begun. */
void dump_counts_write(struct json_write *json, const struct dump_counts *counts);

/* 64 hexadecimal digits. */
#define HASH_TEXT_SIZE (2 * SHA256_SIZE + 1)
const char *hash_text(const uint8_t hash[SHA256_SIZE], char out[HASH_TEXT_SIZE]);

#endif
