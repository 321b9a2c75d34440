/* clang-format off */
/*
 * The dump format: all owners of a store, or some, in a file that outlives the storage engine.
 *
 * A dump holds what cannot be rebuilt: the primary rows (key.h's table says which) that count by the visibility rule.
 * Indexes, counters and the system databases are made anew from them when it is restored. It is written and read from
 * its first byte to its last, by machines that hold one chunk of it at a time.
 *
 *      89 41 4c 4c 4f 44 0d 0a                 magic: spoilt by whatever changes line ends or drops the eighth bit
 *      (frame 0                                'K': store.v1.DumpKey; only if all that follows is sealed)
 *      frame 0, or 1                           'H': store.v1.DumpHeader
 *      after it                                'C': chunks, one owner's after another, owners in the order of keys
 *                                              'I': after each DUMP_INDEX_OWNERS owners and after the last, their index
 *      last frame                              'T': store.v1.DumpTrailer
 *      00 00 00 00 00 01 9d 3e                 where the last frame starts
 *
 * Numbers are big-endian. A frame is 72 bytes of head and then its payload:
 *
 *      43  01  00 00  00 00 01 2c  00 00 04 00  00 00 00 00 00 00 00 01  75 3a 01 8f ..  00 00  9b be .. (32 bytes)
 *      |   |   zero   |            |            |                        |               zero   SHA-256
 *      |   |          |            |            frame number, from 0     owner, 18 bytes
 *      |   |          |            content length; as the payload's unless that is compressed
 *      |   |          payload length                                     (zeros: of no owner)
 *      |   flags: 1, the payload is one zstd frame (RFC 8878)
 *      kind
 *
 * The SHA-256 covers the 40 bytes before it, the SHA-256 of frame 0 (zeros in frame 0), and the payload as it lies
 * there. So a frame of another dump, or in another place, is as broken as a flipped bit. It finds accidents; who
 * can write to the file can also write hashes.
 *
 * In an encrypted dump every payload but frame 0's is sealed after it was compressed: AES-256-GCM's ciphertext, then its
 * tag of 16 bytes, which the payload length counts (dump_key.h has the keys and nonces). Bound to it, as additional
 * data, are the 40 bytes before the SHA-256, and the SHA-256 of frame 0. The head's owner is masked. So what shows
 * without the key is how many frames there are and how long each is, before and after compression; and since the
 * SHA-256 is of what lies there, it says nothing of what is sealed. Here who writes to the file cannot forge, because
 * who reads with a key takes no dump that is not encrypted; but what a whole older dump with the same key is, no dump
 * can tell.
 *
 * The content of a chunk is records of one owner in the order of keys:
 *
 *      12      00 00 00 00 00 00 00 2a  00 00 00 05  41 01 90 .. 30      0a 03 ..
 *      |       revision                 body length  name                body, as under the record header
 *      name length                                   the key as key.h lays it out, without the owner
 *
 * A chunk ends where the next record would take it over DUMP_CHUNK_SIZE; a record larger than that is a chunk by itself.
 * That is a rule, not advice: equal rows give equal chunks, and so equal hashes.
 *
 * The content of an index frame: where the index frame before it starts (8 bytes; 0: it is the first), then for each
 * owner since that one 94 bytes:
 *
 *      75 3a 01 8f ..  00 00 00 00 00 00 00 b2  00 00 00 01  00 00 00 00 00 00 00 07  5d 12 .. (32 bytes)
 *      owner           its first chunk          chunks       records                  hash of the owner
 *
 *      00 00 00 00 00 00 00 2a  3f 80 .. (8 bytes)  91 04 .. (8 bytes)
 *      revision                 history             keys: struct dump_state
 *
 * Hash of an owner: from zeros, for each of its chunks, h = SHA-256(h, SHA-256(content)). Root hash, in the trailer:
 * from zeros, for each owner, h = SHA-256(h, owner, hash of the owner). It says what the records are, whatever store,
 * time, machine or compression the dump is of: a store that was restored gives a dump with the same root hash.
 *
 * An incremental dump has in its header the root hash and the time of the dump that it is based on. Of an owner
 *
 *      who has not changed      it has no chunk, and an index entry with zeros for chunk, chunks and records
 *      who is new, or whose     it has all chunks, as above
 *      log does not tell
 *      who has changed          it has chunks with the flag 4: the records that have changed, all keys, the profile, and
 *                               the names that are gone
 *      who is gone              it has one such chunk with one record: the profile is gone; and an index entry with zeros
 *                               for hash and state
 *
 * In its index are all owners, with the hash and the state that each has as a whole; so its root hash is that of a full
 * dump of the same moment, and any dump can be the base of the next. What is gone is a record with the revision 0 and
 * ff ff ff ff for the length of its body:
 *
 *      12      00 00 00 00 00 00 00 00  ff ff ff ff  41 01 90 .. 30
 *      |       revision                 gone         name
 *      name length
 *
 * With an app goes all that is under it. If the header says `partial`, owners who have no chunk are none of it.
 *
 * What must hold besides: names are read back by key_read and are of primary kinds; they ascend; a record under an app
 * follows that app's, and every owner has a profile, but for owners of whom only what has changed is there; counts are
 * right; nothing follows the end. Unknown versions, kinds and flags are refused: a later program reads older dumps, not
 * the other way round.
 */
/* clang-format on */
#ifndef ALLOD_ENGINE_DUMP_H
#define ALLOD_ENGINE_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/key.h"
#include "engine/record.h"
#include "engine/result.h"
#include "engine/sha256.h"

#define DUMP_FORMAT_VERSION 3

#define DUMP_MAGIC_SIZE 8
#define DUMP_HEAD_SIZE  72
#define DUMP_END_SIZE   8

/* Content of a chunk. Large enough that compression loses nothing by starting anew, and small in memory. */
#define DUMP_CHUNK_SIZE ((size_t)1 << 20)

/* The largest body: four times the largest row there can be, a job's input of 4 MiB. What a dump says is bounded by it
 * before any of it is allocated. */
#define DUMP_BODY_MAX ((size_t)16 << 20)

#define DUMP_RECORD_HEAD_SIZE 13
#define DUMP_NAME_MAX         (KEY_SIZE_MAX - OWNER_PREFIX_SIZE)
#define DUMP_CONTENT_MAX      (DUMP_RECORD_HEAD_SIZE + DUMP_NAME_MAX + DUMP_BODY_MAX)

/* Owners of an index frame: 280 KiB, held in memory until it is written. */
#define DUMP_INDEX_OWNERS     4096
#define DUMP_INDEX_ENTRY_SIZE 94

/* Of which store, and when. */
struct dump_header {
        struct uuid store_id;
        uint64_t restore_epoch;
        int64_t time_ms;
        bool is_demo;
        bool is_partial; /* not all owners were asked for */

        /* of an incremental dump */
        bool is_incremental;
        uint8_t base_root_hash[SHA256_SIZE];
        int64_t base_time_ms;
};

/* How far an owner's log of changes goes, which tells whether anything has changed. All zero: there is no log. */
struct dump_state {
        uint64_t revision; /* of the last change */
        uint64_t history;  /* XXH3-64 of the last change's body, seeded with the number of the oldest that is kept */
        uint64_t keys;     /* XXH3-64 of each key's body, seeded with that of the one before, or 0 */
        uint64_t oldest;   /* that number; not in a dump */
};

/* One owner in an index frame. */
struct dump_entry {
        uint8_t owner[OWNER_PREFIX_SIZE];
        uint64_t offset; /* 0: it is as in the base */
        uint32_t chunk_count;
        uint64_t record_count;
        uint8_t hash[SHA256_SIZE]; /* of all that the owner has; zeros: it is gone */
        struct dump_state state;
        bool is_delta, is_gone; /* what its chunks were; not in a dump */
};

/* What is in a dump, counted on the way. */
struct dump_counts {
        uint64_t owners, chunks, records;
        uint64_t unchanged_owners; /* of the owners: they are as in the base */
        uint64_t gone_owners, gone_records;
        uint64_t content_size;          /* before compression */
        uint64_t size;                  /* of the file */
        uint64_t kinds[ROW_KIND_COUNT]; /* records of each */
};

struct dump_record {
        struct row row;
        uint64_t revision;
        struct bytes body; /* borrowed */
        bool is_gone; /* it is no more, and all that is under an app with the app, all of an owner with its profile */
};

/* ---- Dumping a store ---- */

struct txn;
struct dump_key;

/* Takes all of `data` or fails: R_IO, or whatever the caller wants to hear back. */
typedef enum result dump_write_fn(void *context, struct bytes data);

/* The dump that an incremental one is based on: what its index says of each owner. */
struct dump_base {
        struct dump_header header;
        uint8_t root_hash[SHA256_SIZE];
        /* The next one, in the order of keys. R_ABSENT: that was the last. R_CORRUPT, R_IO, R_NO_MEMORY. */
        enum result (*next)(void *context, struct dump_entry *out);
        void *context;
};

struct dump_run {
        /* set by the caller */
        struct owner *owners;       /* only these, which are put in order; */
        size_t owner_count;         /* 0: all */
        const struct dump_key *key; /* NULL: it is not encrypted */
        struct dump_base *base;     /* only what has changed since; NULL: all */
        dump_write_fn *write;
        void *context;

        /* what became of it */
        struct dump_counts counts;
        uint64_t whole_owners; /* which the base has, but whose log does not tell what has changed since */
        uint8_t root_hash[SHA256_SIZE];
        struct owner owner; /* after R_CORRUPT, R_TOO_LARGE and R_ABSENT: whose row it is */
        struct row row;     /* after R_CORRUPT and R_TOO_LARGE: the last one that was read before it */
};

/* A function for view_run; `arg` is a struct dump_run. It takes as long as the writing does, and holds its snapshot all
 * the while: on a thread of its own, never on a loop. R_ABSENT: there is no such owner. R_CORRUPT, R_NO_MEMORY, and
 * what the callbacks answer; then what was written is no dump. R_WRONG_STATE: the base is no base for a dump of this
 * store, and the fault says why. */
enum result dump_store(struct txn *txn, void *arg) MUST_USE;

#endif
