/* What waits for peers is bounded for a loop and for an address, at the cost of who has been slow for longest. */
#include "rpc/backlog.h"

#include "rpc/addresses.h"
#include "rpc/limits.h"
#include "tests/lib/test.h"

#define SHARE ((size_t)1000)

static struct backlog backlog;
static struct backlog_seat seats[20];

static void start(bool has_shares)
{
        memset(seats, 0, sizeof seats);
        backlog_init(&backlog, UNSENT_SHARE_PART * SHARE, has_shares);
}

/* Ends those that are to end; how many. */
static int shed(uint64_t address)
{
        struct backlog_seat *seat;
        int count = 0;

        while ((seat = backlog_excess(&backlog, address)) != NULL) {
                backlog_leave(&backlog, seat);
                count++;
        }
        return count;
}

/* An address that has too much loses its oldest, and nobody else loses anything. */
static void test_share(void **state)
{
        int i;

        (void)state;
        start(true);
        backlog_enter(&backlog, &seats[0], 7, SHARE);
        for (i = 1; i < 5; i++)
                backlog_enter(&backlog, &seats[i], 8, SHARE / 4);
        assert_int_equal(shed(8), 0);
        backlog_enter(&backlog, &seats[5], 8, SHARE / 4 + 1);
        assert_ptr_equal(backlog_excess(&backlog, 8), &seats[1]);
        assert_null(backlog_excess(&backlog, 7));
        assert_int_equal(shed(8), 2);
        assert_int_equal(seats[0].len, SHARE);
        assert_int_equal(seats[3].len, SHARE / 4);

        /* Who has read all comes behind the others. */
        backlog_leave(&backlog, &seats[3]);
        backlog_enter(&backlog, &seats[3], 8, SHARE / 4);
        backlog_enter(&backlog, &seats[6], 8, SHARE / 4);
        assert_ptr_equal(backlog_excess(&backlog, 8), &seats[4]);
}

/* Together they lose the oldest, whosoever it is; what belongs to no address has no share. */
static void test_all(void **state)
{
        uint64_t i;

        (void)state;
        start(true);
        backlog_enter(&backlog, &seats[0], ADDRESS_NONE, 3 * SHARE);
        assert_int_equal(shed(ADDRESS_NONE), 0);
        for (i = 1; i < 6; i++)
                backlog_enter(&backlog, &seats[i], i, SHARE);
        assert_int_equal(shed(5), 0);
        backlog_enter(&backlog, &seats[6], 6, SHARE);
        assert_ptr_equal(backlog_excess(&backlog, 6), &seats[0]);
        assert_int_equal(shed(6), 1);
        assert_int_equal(backlog.len, 6 * SHARE);
        for (i = 1; i < 7; i++) {
                backlog_leave(&backlog, &seats[i]);
                backlog_leave(&backlog, &seats[i]);
        }
        assert_int_equal(backlog.len, 0);
        assert_null(backlog.oldest);
        assert_null(backlog.newest);
}

/* Where addresses are not counted, one may have all. */
static void test_without_shares(void **state)
{
        (void)state;
        start(false);
        backlog_enter(&backlog, &seats[0], 7, UNSENT_SHARE_PART * SHARE);
        assert_int_equal(shed(7), 0);
        backlog_enter(&backlog, &seats[1], 7, 1);
        assert_int_equal(shed(7), 1);
        assert_int_equal(seats[1].len, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_share),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_without_shares),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
