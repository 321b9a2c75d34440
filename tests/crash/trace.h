/*
 * What a program did to a directory's files, call by call, and what its clients saw meanwhile: one file, appended to by
 * trace_shim.c inside the program and by the test, so that its order is the order of what happened.
 *
 * An event is appended before a write and after what changes names; a sync has two, its begin and its end. What was
 * appended after an end of a sync happened after it.
 */
#ifndef ALLOD_TESTS_CRASH_TRACE_H
#define ALLOD_TESTS_CRASH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For the shim: the trace, and the directory that is watched. */
#define TRACE_FILE_VARIABLE "ALLOD_TRACE"
#define TRACE_ROOT_VARIABLE "ALLOD_TRACE_ROOT"

/* For the shim: kill -9 right after the first rename, before anything else. */
#define TRACE_DIE_VARIABLE "ALLOD_TRACE_DIE_AT_RENAME"

enum trace_kind {
        TRACE_ROOT,       /* inode: the watched directory */
        TRACE_CREATE,     /* name in dir: the file `inode` */
        TRACE_MKDIR,      /* name in dir: the directory `inode` */
        TRACE_REMOVE,     /* name in dir, of a file or a directory */
        TRACE_RENAME,     /* name in dir becomes other_name in other_dir; it is `inode` */
        TRACE_WRITE,      /* data at offset */
        TRACE_SIZE,       /* cut or filled up to offset */
        TRACE_GROW,       /* filled up to offset, if it is shorter */
        TRACE_SYNC_BEGIN, /* of a file or a directory */
        TRACE_SYNC_END,   /* of the same thread's begin */
        TRACE_WRITE_END,  /* of the same thread's newest write, through a descriptor that syncs */
        TRACE_NOTE,       /* data is the test's own */
        TRACE_BROKEN,     /* data says what the program did that cannot be told by the others */
};

struct trace_head {
        uint32_t size; /* of all of it: this, the names, the data, and up to the next multiple of 8 */
        uint32_t kind;
        uint64_t thread;
        uint64_t inode, dir, other_dir;
        uint64_t offset;
        uint32_t name_len, other_name_len, data_len;
        uint32_t pad;
};

#define TRACE_PADDING 8

struct trace_event {
        const struct trace_head *head;
        const char *name, *other_name; /* not terminated */
        const uint8_t *data;
};

struct trace {
        uint8_t *bytes;
        struct trace_event *events;
        size_t count;
};

/* Begin a new one; the descriptor appends. */
int trace_begin(const char *path);

/* What the test itself does to the watched directory, or has seen. */
void trace_root(int fd, const char *path);
void trace_mkdir(int fd, const char *parent, const char *name);
void trace_note(int fd, const void *data, size_t len);

/* All of it. Anything wrong with it fails the test. */
void trace_load(const char *path, struct trace *out);
void trace_free(struct trace *trace);

/* Whether it changes what may be on disk. */
bool trace_is_change(const struct trace_event *event);

#endif
