/*
 * The bounds of the data, each with its reason. What a peer can grow is bounded here or in rpc/limits.h, nowhere else.
 */
#ifndef ALLOD_ENGINE_LIMITS_H
#define ALLOD_ENGINE_LIMITS_H

/* Names of teams, keys and apps, in characters of at most 4 bytes. What a screen shows in a line or two; store.options
 * sizes its structs by it. */
#define NAME_CHARACTERS_MAX 200

/* Rows of a page when the request does not say, and at most. A page of 1,000 small rows is some 100 KiB; large rows end
 * it by bytes. */
#define PAGE_ROWS_DEFAULT 100
#define PAGE_ROWS_MAX     1000

/* A page ends early, with a token, once its rows are this large: half of the 4 MiB that gRPC clients accept by default,
 * so that one more row of the greatest size still fits. */
#define PAGE_BYTES_MAX ((size_t)2 << 20)

/* Members of a team. Deleting a team deletes a pair of rows for each in one transaction: 1,000 pairs are 2,000 deletes,
 * about 2 ms. */
#define TEAM_MEMBERS_MAX 1000

/* Descriptions of apps, in characters: some pages of text, at most 16 KB. */
#define APP_DESCRIPTION_CHARACTERS_MAX 4000

/* An app's configuration.location: a region's name, with room for one that is spelt out. */
#define APP_LOCATION_CHARACTERS_MAX 200

/* Workers that an app may want. The published API names no bound; a thousand machines are more than a typing error
 * should start. */
#define APP_WORKERS_MAX 1000

/* URLs, in bytes: what browsers and proxies agree to carry. Ids and versions of LoRAs are bounded as names are. */
#define URL_LEN_MAX 2048

/* LoRAs of an app. An update compares each with each: 4,096 short comparisons. */
#define APP_LORAS_MAX 64

/* The tools of an app other than LoRAs, in bytes and in members of the outermost object. Updates merge into it, so
 * without a bound an app would grow with each; and a merge compares each member with each, 65,536 short comparisons.
 * With all else at its greatest, an app is below 1 MiB. */
#define APP_TOOLS_LEN_MAX     ((size_t)256 << 10)
#define APP_TOOLS_MEMBERS_MAX 256

/* Teams that a user is a member of. Deleting a user rewrites a profile, deletes a pair and writes two change rows for
 * each, in one transaction: about 5,000 writes, some 10 ms, half of what the writer spends on a batch. */
#define USER_TEAMS_MAX 1000

/* Invitations in a user's inbox. Anybody may put one there, so it must stay small enough for a person to read through;
 * and deleting a user deletes them with it. */
#define USER_INVITATIONS_MAX 100

/* Keys of a user, revoked ones included, which stay listed. Deleting a user makes them unreachable at once, whatever
 * their number; the bound is for the list and the disk. */
#define USER_KEYS_MAX 1000

/* A key that is imported: visible ASCII characters. Longer than any token in use that is not itself a document. */
#define IMPORTED_KEY_LEN_MAX 256

/* Shorter imported keys get a warning: 20 random base62 characters are 119 bits, below that it can be guessed by
 * somebody who means to. */
#define IMPORTED_KEY_LEN_SAFE 20

#endif
