/*
 * LMDB's tree, looked at from outside: every page that the newest meta page leads to, read from the file and never
 * mapped. LMDB trusts its file, and a damaged one can make it read anywhere or end the process; so whoever doubts a
 * file looks here before opening it.
 *
 *      every page      says its own number, is of the kind that its place wants, and is led to once
 *      every node      lies inside its page; keys ascend, between those of the branches above
 *      large values    have all their pages, which nothing else has
 *      each database   has as many pages of each kind, entries and levels as it says
 *      free pages      are listed once, and nothing leads to them
 *
 * For LMDB 0.9 on 64 bits and this machine's byte order. Values are not looked at: they have checksums (record.h).
 */
#ifndef ALLOD_ENGINE_LMDB_TREE_H
#define ALLOD_ENGINE_LMDB_TREE_H

#include "engine/backend.h"

/* As backend_check. */
enum result lmdb_tree_check(int dir_fd, void *context, backend_found_fn *found_cb, uint64_t *page_count) MUST_USE;

#endif
