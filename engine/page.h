/*
 * Pages of a list: how many rows a request asks for, and when a page is full.
 *
 *      struct page page;
 *      page_begin(&page, request->page_size, reply);
 *      while ((r = scan_next(&scan, &row, &record)) == R_OK) {
 *              if (page_is_full(&page)) break;                 one row beyond the page: there is more
 *              page_row(&page, &row);
 *              ... append the row to reply ...
 *      }
 *      r = page_end(&page, r, scope, list, NEXT_PAGE_TOKEN)    appends the token if there is more
 */
#ifndef ALLOD_ENGINE_PAGE_H
#define ALLOD_ENGINE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/fault.h"
#include "engine/key.h"
#include "engine/message.h"
#include "engine/result.h"

struct scan;
struct scope;

struct page {
        struct message *reply;
        uint32_t rows_max;
        uint32_t rows;
        size_t start; /* bytes of the reply before the first row */
        struct row last;
};

/* R_BAD_ARGUMENT naming page_size: below 0 or above PAGE_ROWS_MAX. */
enum result page_check(int32_t page_size, struct fault *fault) MUST_USE;

/* `page_size` has been checked; 0 is the default. */
void page_begin(struct page *page, int32_t page_size, struct message *reply);

/* The same, and open the scan of a kind in `scope` where page_token left off ("": at its start). R_BAD_ARGUMENT: the
 * token is not of this list, which is known to tokens by its kind alone. */
enum result page_open(struct page *page, const struct scope *scope, const struct row *kind, bool is_reverse,
                      int32_t page_size, const char *page_token, struct scan *scan, struct message *reply) MUST_USE;

/* By rows, or by bytes (PAGE_BYTES_MAX) once it holds one. */
bool page_is_full(const struct page *page);

/* The row that is appended next. */
void page_row(struct page *page, const struct row *row);

/* `r` is what ended the scan: R_ABSENT for its end, R_OK for a row more than fits. Then the token goes into the string
 * field `token_field`, for `scope` and `list` as in scope_page_token. Anything else is returned as it is. */
enum result page_end(const struct page *page, enum result r, const struct scope *scope, uint32_t list,
                     uint32_t token_field) MUST_USE;

/* How many rows of a kind there are; counting ends at `max`. */
enum result page_count_rows(const struct scope *scope, const struct row *kind, size_t max, size_t *count) MUST_USE;

#endif
