#include "tools/dump_sources.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_layer(const struct command *command, struct dump_sources *sources, size_t i, const char *what)
{
        struct dump_source *source = &sources->files[i];
        struct stat st;
        int code = dump_source_open(command, sources->paths[i], what, source);

        if (code != EXIT_DONE) return code;
        sources->layers[i] = (struct dump_layer){.read = dump_source_read, .context = source};
        if (fstat(source->fd, &st) != 0 || !S_ISREG(st.st_mode)) return EXIT_DONE;
        sources->layers[i].read_at = dump_source_read_at;
        sources->layers[i].size = (uint64_t)st.st_size;
        return EXIT_DONE;
}

int dump_sources_open(const struct command *command, const char *const *paths, size_t count, const char *what,
                      struct dump_sources *out)
{
        int code = EXIT_DONE;
        size_t i;

        memset(out, 0, sizeof *out);
        out->paths = paths;
        for (i = 0; i < count && code == EXIT_DONE; i++) {
                code = open_layer(command, out, i, what);
                if (code != EXIT_DONE) break;
                out->count++;
                out->files[0].progress.total += i > 0 ? out->layers[i].size : 0;
                out->files[i].shown = &out->files[0].progress;
                if (count > 1 && out->layers[i].read_at == NULL)
                        code = command_failed(command, "%s is not a file; only a single dump may come through a pipe.",
                                              paths[i]);
        }
        if (code != EXIT_DONE) dump_sources_close(out);
        return code;
}

void dump_sources_close(struct dump_sources *sources)
{
        size_t i;

        for (i = 0; i < sources->count; i++)
                dump_source_close(&sources->files[i]);
        sources->count = 0;
}

const char *dump_sources_error(const struct dump_sources *sources, const char **path)
{
        size_t i;

        for (i = 0; i < sources->count; i++) {
                if (sources->files[i].error == 0) continue;
                *path = sources->paths[i];
                return strerror(sources->files[i].error);
        }
        return NULL;
}
