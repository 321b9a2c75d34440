/*
 * `allod restore FILE --owner`: one owner into a store that is there.
 */
#ifndef ALLOD_TOOLS_RESTORE_OWNER_H
#define ALLOD_TOOLS_RESTORE_OWNER_H

#include "tools/command.h"

struct dump_secret;

/* `secret` is what the dump is encrypted with; NULL: none was given. */
int restore_owner_command(const struct arguments *arguments, const struct dump_secret *secret);

#endif
