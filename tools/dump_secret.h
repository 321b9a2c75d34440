/*
 * What dumps are encrypted with, as a person gives it: a file that holds a key, or a passphrase, from the terminal or
 * the first line of a file. Never on the command line, which everybody on the machine can read.
 */
#ifndef ALLOD_TOOLS_DUMP_SECRET_H
#define ALLOD_TOOLS_DUMP_SECRET_H

#include "engine/dump_key.h"
#include "tools/command.h"

#define DUMP_SECRET_OPTIONS                                                                                            \
        {"key-file", "FILE", "of a dump that is encrypted: 32 random bytes, or 64 hexadecimal digits"},                \
                {"passphrase", NULL, "ask for a passphrase instead"},                                                  \
        {                                                                                                              \
                "passphrase-file", "FILE", "the passphrase is the first line of FILE"                                  \
        }

/* Zeroed: none. Its own memory, which must not move. */
struct dump_secret_place {
        bool is_given;
        struct dump_secret secret;
        uint8_t bytes[DUMP_PASSPHRASE_MAX + 2];
};

/* What the options say. `is_new`: a passphrase is asked for twice. EXIT_DONE, or what to exit with after saying what is
 * wrong. */
int dump_secret_read(const struct arguments *arguments, bool is_new, struct dump_secret_place *out);

/* Good as long as the place; NULL: none was given. */
const struct dump_secret *dump_secret_given(const struct dump_secret_place *place);

/* No trace of it stays. */
void dump_secret_wipe(struct dump_secret_place *place);

#endif
