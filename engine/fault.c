#include "engine/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cut text must stay valid UTF-8, since it travels in JSON and in protobuf strings. `end` is where vsnprintf put the
 * NUL; a sequence that it cut is dropped whole. */
static void drop_cut_sequence(char *text, size_t end)
{
        size_t lead = end;
        unsigned char byte;
        size_t sequence_len;

        while (lead > 0 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
                lead--;
        if (lead == 0) return;
        byte = (unsigned char)text[--lead];
        sequence_len = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
        if (lead + sequence_len > end) text[lead] = '\0';
}

static void __attribute__((format(printf, 3, 0))) print(char *text, size_t size, const char *format, va_list arguments)
{
        int len = vsnprintf(text, size, format, arguments);

        if (len < 0)
                text[0] = '\0';
        else if ((size_t)len >= size)
                drop_cut_sequence(text, size - 1);
}

enum result fault_set(struct fault *fault, enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        print(fault->text, sizeof fault->text, format, arguments);
        va_end(arguments);
        return r;
}

enum result fault_field(struct fault *fault, const char *path, const char *format, ...)
{
        struct fault_field *field;
        va_list arguments;

        if (fault->field_count == FAULT_FIELDS_MAX) return R_BAD_ARGUMENT;
        field = &fault->fields[fault->field_count++];
        if ((size_t)snprintf(field->path, sizeof field->path, "%s", path) >= sizeof field->path)
                drop_cut_sequence(field->path, sizeof field->path - 1);
        va_start(arguments, format);
        print(field->text, sizeof field->text, format, arguments);
        va_end(arguments);
        return R_BAD_ARGUMENT;
}
