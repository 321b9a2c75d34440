#include "tests/crash/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/lib/test.h"

int trace_begin(const char *path)
{
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return fd;
}

static void append(int fd, struct trace_head *head, const char *name, const void *data)
{
        static const uint8_t zeros[TRACE_PADDING];
        size_t len = sizeof *head + head->name_len + head->data_len;
        size_t pad = (TRACE_PADDING - len % TRACE_PADDING) % TRACE_PADDING;
        const struct iovec pieces[] = {{head, sizeof *head},
                                       {(void *)name, head->name_len},
                                       {(void *)data, head->data_len},
                                       {(void *)zeros, pad}};

        head->size = (uint32_t)(len + pad);
        assert_int_equal(writev(fd, pieces, 4), head->size);
}

static uint64_t inode_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_ino;
}

void trace_root(int fd, const char *path)
{
        struct trace_head head = {.kind = TRACE_ROOT, .inode = inode_of(path)};

        append(fd, &head, NULL, NULL);
}

void trace_mkdir(int fd, const char *parent, const char *name)
{
        struct trace_head head = {.kind = TRACE_MKDIR, .dir = inode_of(parent), .name_len = (uint32_t)strlen(name)};
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", parent, name);
        assert_int_equal(mkdir(path, 0700), 0);
        head.inode = inode_of(path);
        append(fd, &head, name, NULL);
}

void trace_note(int fd, const void *data, size_t len)
{
        struct trace_head head = {.kind = TRACE_NOTE, .data_len = (uint32_t)len};

        append(fd, &head, NULL, data);
}

static struct trace_event event_at(const uint8_t *bytes)
{
        const struct trace_head *head = (const struct trace_head *)(const void *)bytes;
        const char *name = (const char *)(head + 1);
        const char *other = name + head->name_len;

        return (struct trace_event){head, name, other, (const uint8_t *)other + head->other_name_len};
}

void trace_load(const char *path, struct trace *out)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t at = 0, size, have = 0;
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        size = (size_t)st.st_size;
        *out = (struct trace){.bytes = malloc(size)};
        out->events = malloc((size / sizeof(struct trace_head) + 1) * sizeof *out->events);
        assert_non_null(out->bytes);
        assert_non_null(out->events);
        while (have < size) {
                ssize_t got = read(fd, out->bytes + have, size - have);

                assert_true(got > 0);
                have += (size_t)got;
        }
        close(fd);
        while (at < size) {
                struct trace_event event = event_at(out->bytes + at);

                assert_true(size - at >= sizeof *event.head && event.head->size >= sizeof *event.head &&
                            event.head->size <= size - at);
                if (event.head->kind == TRACE_BROKEN)
                        fail_msg("%.*s", (int)event.head->data_len, (const char *)event.data);
                out->events[out->count++] = event;
                at += event.head->size;
        }
}

void trace_free(struct trace *trace)
{
        free(trace->bytes);
        free(trace->events);
        *trace = (struct trace){0};
}

bool trace_is_change(const struct trace_event *event)
{
        return event->head->kind >= TRACE_CREATE && event->head->kind <= TRACE_WRITE_END &&
               event->head->kind != TRACE_SYNC_BEGIN;
}
