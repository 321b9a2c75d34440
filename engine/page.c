#include "engine/page.h"

#include "engine/limits.h"
#include "engine/scope.h"

enum result page_check(int32_t page_size, struct fault *fault)
{
        if (page_size < 0 || page_size > PAGE_ROWS_MAX)
                return fault_field(fault, "page_size", "must be from 0 to %d", PAGE_ROWS_MAX);
        return R_OK;
}

void page_begin(struct page *page, int32_t page_size, struct message *reply)
{
        *page = (struct page){
                .reply = reply,
                .rows_max = page_size == 0 ? PAGE_ROWS_DEFAULT : (uint32_t)page_size,
                .start = reply->len,
        };
}

enum result page_open(struct page *page, const struct scope *scope, const struct row *kind, bool is_reverse,
                      int32_t page_size, const char *page_token, struct scan *scan, struct message *reply)
{
        struct row from;
        enum result r;

        page_begin(page, page_size, reply);
        if (page_token[0] == '\0') return scan_open(scope, kind, NULL, is_reverse, scan);
        if ((r = scope_page_resume(scope, page_token, kind->kind, &from)) != R_OK) return r;
        return scan_open(scope, kind, &from, is_reverse, scan);
}

bool page_is_full(const struct page *page)
{
        return page->rows == page->rows_max || (page->rows > 0 && page->reply->len - page->start >= PAGE_BYTES_MAX);
}

void page_row(struct page *page, const struct row *row)
{
        page->rows++;
        page->last = *row;
}

enum result page_end(const struct page *page, enum result r, const struct scope *scope, uint32_t list,
                     uint32_t token_field)
{
        const char *token;

        if (r == R_ABSENT) return R_OK;
        if (r != R_OK) return r;
        if ((r = scope_page_token(scope, &page->last, list, &token)) != R_OK) return r;
        message_bytes(page->reply, token_field, bytes_of_text(token));
        return R_OK;
}

enum result page_count_rows(const struct scope *scope, const struct row *kind, size_t max, size_t *count)
{
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        struct row row;
        size_t found = 0;
        enum result r;

        if ((r = scan_open(scope, kind, NULL, false, &scan)) != R_OK) return r;
        while (found < max && (r = scan_next(&scan, &row, &record)) == R_OK)
                found++;
        if (r != R_OK && r != R_ABSENT) return r;
        *count = found;
        return R_OK;
}
