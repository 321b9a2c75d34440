/*
 * A connection of HTTP/1.1 from bytes, with a consumer that echoes: given at once and cut as the first line says, the
 * same comes out and the consumer hears the same. What it hears of the first head is what its lines say.
 */
#include "rpc/h1.h"

#include <stdlib.h>
#include <strings.h>

#include "engine/require.h"
#include "rpc/h1_head.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "tests/fuzz/echo.h"
#include "tests/fuzz/fuzz.h"

#define OUT_SIZE ((size_t)1 << 20)

struct outcome {
        uint8_t out[OUT_SIZE];
        size_t len;
        uint64_t digest;
        bool is_finished;
};

static void on_wake(struct carrier *carrier)
{
        (void)carrier;
}

static void take(struct carrier *carrier, struct outcome *outcome, size_t size)
{
        struct output output;

        do {
                output = (struct output){outcome->out + outcome->len, 0, size};
                REQUIRE(outcome->len + size <= OUT_SIZE);
                carrier->ops->produce(carrier, &output);
                REQUIRE(output.len <= output.size);
                outcome->len += output.len;
                (void)carrier->ops->phase(carrier);
        } while (output.len > 0);
}

/* Until it can read again, or never will. */
static void settle(struct carrier *carrier, struct outcome *outcome, size_t size)
{
        take(carrier, outcome, size);
        while (echo_release())
                take(carrier, outcome, size);
}

/* Cut out `mark` and `more` bytes behind it, wherever it stands. */
static void drop(struct outcome *outcome, struct bytes mark, size_t more)
{
        uint8_t *at = outcome->out;

        while ((at = memmem(at, outcome->len - (size_t)(at - outcome->out), mark.data, mark.len)) != NULL) {
                size_t after = outcome->len - (size_t)(at - outcome->out);
                size_t len = mark.len + more < after ? mark.len + more : after;

                memmove(at, at + len, after - len);
                outcome->len -= len;
        }
}

/* Each byte of `cuts` is how much is given next. */
static void converse(struct bytes input, struct bytes cuts, struct outcome *outcome)
{
        struct host host = {0};
        struct peer peer = {0};
        struct carrier *carrier = h1_new(&host, &peer);
        size_t size = cuts.len == 0 ? WRITE_SIZE : 26u + cuts.data[0]; /* a 100 Continue fits */
        size_t turn = 0;

        REQUIRE(carrier != NULL);
        carrier->wake_cb = on_wake;
        outcome->len = 0;
        while (input.len > 0 && !carrier->ops->is_finished(carrier)) {
                struct bytes piece =
                        fuzz_part(&input, cuts.len == 0 ? input.len : (size_t)cuts.data[turn++ % cuts.len] + 1);
                uint8_t *copy = malloc(piece.len);

                REQUIRE(copy != NULL && carrier->ops->wants_read(carrier));
                memcpy(copy, piece.data, piece.len);
                carrier->ops->receive(carrier, bytes_of(copy, piece.len));
                free(copy);
                settle(carrier, outcome, size);
        }
        carrier->ops->end_input(carrier);
        settle(carrier, outcome, size);
        outcome->is_finished = carrier->ops->is_finished(carrier);
        carrier->ops->free(carrier);
        outcome->digest = echo.digest;
        echo_reset();
        /* A body that has come already needs no leave. */
        drop(outcome, BYTES("HTTP/1.1 100 Continue\r\n\r\n"), 0);
        drop(outcome, BYTES("\r\ndate: "), 29);
}

/* The first head, by which the consumer's is judged. */
static struct bytes first_head;

static bool take_line(struct bytes *rest, struct bytes *name, struct bytes *value)
{
        struct bytes line = fuzz_until(rest, BYTES("\r\n"));

        if (line.len == 0) return false;
        *name = fuzz_until(&line, BYTES(":"));
        for (; line.len > 0 && (line.data[0] == ' ' || line.data[0] == '\t'); line = bytes_skip(line, 1))
                ;
        while (line.len > 0 && (line.data[line.len - 1] == ' ' || line.data[line.len - 1] == '\t'))
                line.len--;
        *value = line;
        return true;
}

static void judge_head(const struct request_head *head)
{
        unsigned counts[HEADER_COUNT] = {0};
        struct bytes rest = first_head;
        struct bytes name, value;
        size_t i;

        echo.on_head_cb = NULL;
        REQUIRE(bytes_equal(fuzz_until(&rest, BYTES(" ")), head->method));
        (void)fuzz_until(&rest, BYTES("\r\n"));
        while (take_line(&rest, &name, &value))
                for (i = 0; i < HEADER_COUNT; i++) {
                        if (name.len != strlen(header_names[i]) ||
                            strncasecmp(header_names[i], (const char *)name.data, name.len) != 0)
                                continue;
                        if (counts[i]++ == 0) REQUIRE(bytes_equal(head->values[i], value));
                }
        for (i = 0; i < HEADER_COUNT; i++)
                REQUIRE(head->counts[i] == counts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct outcome whole, cut;
        struct bytes input = bytes_of(data, len);
        struct bytes cuts = fuzz_until(&input, BYTES("\n"));
        size_t scanned = 0;
        long head_len;

        if (input.len > OUT_SIZE / 16) return 0;
        first_head = bytes_start_with(input, BYTES("\r\n")) ? bytes_skip(input, 2) : input;
        head_len = h1_head_find_end(first_head, &scanned);
        first_head.len = head_len > 0 ? (size_t)head_len : 0;
        if (head_len > 0 && h1_head_check(first_head) == 0) echo.on_head_cb = judge_head;
        converse(input, (struct bytes){0}, &whole);
        converse(input, cuts, &cut);
        REQUIRE(bytes_equal(bytes_of(whole.out, whole.len), bytes_of(cut.out, cut.len)));
        REQUIRE(whole.digest == cut.digest && whole.is_finished == cut.is_finished);
        return 0;
}
