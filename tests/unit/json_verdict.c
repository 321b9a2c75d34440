/*
 * What json_scan makes of texts, for test_json_oracle.py to compare: reads texts, each behind its length in four bytes,
 * big-endian, and writes a line for each: the text written anew by json_write, or "! " and the complaint.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/json_scan.h"
#include "engine/require.h"
#include "rpc/json_write.h"

#define CAP ((size_t)64 << 20)

static void copy_string(struct json_write *write, struct arena *arena, struct bytes span)
{
        struct bytes text;

        if (json_string_decode(arena, span, &text) == R_OK) {
                json_write_string(write, text);
        } else {
                json_write_raw(write, span); /* lone surrogates and NUL: no typed field holds them */
        }
}

static void copy_event(struct json_write *write, const struct json_scan *scan, enum json_event event)
{
        switch (event) {
        case JSON_OBJECT_BEGIN:
                json_write_object_begin(write);
                break;
        case JSON_OBJECT_END:
                json_write_object_end(write);
                break;
        case JSON_ARRAY_BEGIN:
                json_write_array_begin(write);
                break;
        case JSON_ARRAY_END:
                json_write_array_end(write);
                break;
        case JSON_KEY:
                json_write_key(write, scan->key);
                break;
        case JSON_STRING:
                copy_string(write, scan->arena, scan->span);
                break;
        default:
                json_write_raw(write, scan->span);
        }
}

static void judge(struct bytes text)
{
        struct json_write write;
        struct json_scan scan;
        struct fault fault = {0};
        struct arena arena;
        struct bytes copy;
        enum json_event event;

        arena_init(&arena, NULL, CAP);
        json_scan_init(&scan, &arena, text);
        json_write_init(&write, &arena, text.len);
        while ((event = json_scan_next(&scan)) != JSON_END && event != JSON_ERROR)
                copy_event(&write, &scan, event);
        if (event == JSON_END) {
                REQUIRE(json_write_finish(&write, &copy) == R_OK);
                fwrite(copy.data, 1, copy.len, stdout);
                putchar('\n');
        } else {
                REQUIRE(json_scan_fault(&scan, &fault) == R_BAD_ARGUMENT);
                printf("! %s\n", fault.text);
        }
        arena_fini(&arena);
}

int main(void)
{
        uint8_t head[4];

        while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
                size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
                uint8_t *text = malloc(len);

                REQUIRE((text != NULL || len == 0) && fread(text, 1, len, stdin) == len);
                judge(bytes_of(text, len));
                free(text);
        }
        return 0;
}
