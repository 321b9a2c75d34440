/*
 * A full dump and the incremental ones on it, as files.
 */
#ifndef ALLOD_TOOLS_DUMP_SOURCES_H
#define ALLOD_TOOLS_DUMP_SOURCES_H

#include "engine/dump_chain.h"
#include "tools/dump_file.h"

struct dump_sources {
        const char *const *paths;
        size_t count;
        struct dump_source files[DUMP_CHAIN_MAX];
        struct dump_layer layers[DUMP_CHAIN_MAX]; /* for dump_chain_open */
};

/* More than one must be files, not pipes. EXIT_DONE, or what to exit with after saying what is wrong. */
int dump_sources_open(const struct command *command, const char *const *paths, size_t count, const char *what,
                      struct dump_sources *out);
void dump_sources_close(struct dump_sources *sources);

/* What the system said when it could not read, or NULL; and of which file. */
const char *dump_sources_error(const struct dump_sources *sources, const char **path);

#endif
