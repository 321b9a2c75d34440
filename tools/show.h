/*
 * Messages for people: a message as lines of name and value, a list as a table; or JSON.
 */
#ifndef ALLOD_TOOLS_SHOW_H
#define ALLOD_TOOLS_SHOW_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/arena.h"
#include "engine/result.h"

/* One message, with a newline behind it. R_NO_MEMORY. */
enum result show_message(FILE *out, const ProtobufCMessage *message, bool is_json, struct arena *arena) MUST_USE;

/* The repeated messages of a page: a table with a header line if `is_first`; in JSON one object a line. */
enum result show_page(FILE *out, const ProtobufCMessage *const *elements, size_t count, bool is_first, bool is_json,
                      struct arena *arena) MUST_USE;

#endif
