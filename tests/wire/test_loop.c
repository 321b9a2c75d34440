/* Loops, connections and listeners over real sockets, with the consumer in the place of calls. */
#include "rpc/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/conn.h"
#include "rpc/listen.h"
#include "tests/lib/fixture.h"
#include "tests/lib/test.h"
#include "tests/wire/consumer.h"

/* A loop on a thread of its own. */
struct runner {
        struct loop loop;
        pthread_t thread;
};

static void *run(void *loop)
{
        loop_run(loop);
        return NULL;
}

static void runner_init(struct runner *runner)
{
        consumer_reset();
        assert_int_equal(loop_open(&runner->loop, NULL, NULL), R_OK);
        assert_int_equal(commons_new(&(struct bounds){0}, &runner->loop.host.commons), R_OK);
}

static void runner_start(struct runner *runner)
{
        assert_int_equal(pthread_create(&runner->thread, NULL, run, &runner->loop), 0);
}

static void runner_join(struct runner *runner)
{
        assert_int_equal(pthread_join(runner->thread, NULL), 0);
        loop_close(&runner->loop);
        commons_free(runner->loop.host.commons);
        assert_int_equal(consumer.open, 0);
}

/* Our end of a new connection. */
static int connect_to(struct runner *runner)
{
        struct peer peer = {.plane = PLANE_PUBLIC, .text = "test"};
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(conn_new(&runner->loop, fds[1], &peer, NULL), R_OK);
        return fds[0];
}

static void say(int fd, const char *text, size_t len)
{
        assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Everything up to the end, or up to `wanted` bytes. Returns how many. */
static size_t hear(int fd, char *buffer, size_t wanted)
{
        size_t len = 0;

        while (len < wanted) {
                ssize_t n = recv(fd, buffer + len, wanted - len, 0);

                assert_true(n >= 0);
                if (n == 0) break;
                len += (size_t)n;
        }
        return len;
}

#define SAY(fd, text) say(fd, text, sizeof(text) - 1)

/* The first bytes choose the version, however they are cut. */
static void test_versions(void **state)
{
        static const char preface[] = H2_PREFACE;
        struct runner runner;
        char buffer[4096];
        int fd;
        size_t i;

        (void)state;
        runner_init(&runner);
        runner_start(&runner);

        fd = connect_to(&runner);
        for (i = 0; i < H2_PREFACE_LEN; i++) {
                say(fd, preface + i, 1);
        }
        say(fd, "\0\0\0\4\0\0\0\0\0", 9);
        assert_int_equal(hear(fd, buffer, 9), 9);
        assert_int_equal(buffer[3], 4); /* SETTINGS */
        close(fd);

        fd = connect_to(&runner);
        SAY(fd, "P");
        SAY(fd, "OST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        i = hear(fd, buffer, sizeof buffer);
        assert_memory_equal(buffer, "HTTP/1.1 200 OK\r\n", 17);
        assert_memory_equal(buffer + i - 2, "hi", 2);
        close(fd);

        loop_stop(&runner.loop, LOOP_DRAINS);
        runner_join(&runner);
        assert_int_equal(runner.loop.host.counters.connections_open, 0);
        assert_int_equal(runner.loop.host.counters.connections_accepted, 2);
}

/* A reply that the socket does not take at once comes through whole, and behind it the next one. */
static void test_slow_reader(void **state)
{
        const size_t body_len = 5000000;
        struct runner runner;
        char *buffer = malloc(2 * body_len + 1000);
        char *body;
        size_t len;
        size_t i;
        int fd;

        (void)state;
        assert_non_null(buffer);
        runner_init(&runner);
        consumer.large_len = body_len;
        runner_start(&runner);
        fd = connect_to(&runner);
        SAY(fd, "GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        for (len = 0; len < 200000; len += 1000)
                assert_int_equal(hear(fd, buffer + len, 1000), 1000);
        len += hear(fd, buffer + len, 2 * body_len + 1000 - len);
        assert_true(len > 2 * body_len);
        body = buffer + len - body_len;
        for (i = 0; i < body_len; i++)
                if ((uint8_t)body[i] != pattern_at(i)) fail();
        close(fd);
        loop_stop(&runner.loop, LOOP_DRAINS);
        runner_join(&runner);
        free(buffer);
}

/* A peer that leaves in the middle of its request takes its call with it. */
static void test_peer_leaves(void **state)
{
        struct runner runner;
        int fd;

        (void)state;
        runner_init(&runner);
        runner_start(&runner);
        fd = connect_to(&runner);
        SAY(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhi");
        close(fd);
        fd = connect_to(&runner);
        SAY(fd, "GE");
        close(fd);
        fd = connect_to(&runner);
        close(fd);
        while (loop_load(&runner.loop) > 0) /* else the bound of the test runner ends this */
                sched_yield();
        loop_stop(&runner.loop, LOOP_DRAINS);
        runner_join(&runner);
        assert_string_equal(consumer.transcript, "head POST /echo authority=a body\ndata 2\nclosed\ndrain\n");
}

/* Drain: an idle connection is closed, one with a call stays until that is answered, and then the loop ends. */
static void test_drain(void **state)
{
        struct runner runner;
        char buffer[1000];
        int idle;
        int busy;
        size_t len;

        (void)state;
        runner_init(&runner);
        runner_start(&runner);
        idle = connect_to(&runner);
        SAY(idle, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(hear(idle, buffer, 30), 30);
        busy = connect_to(&runner);
        SAY(busy, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
        assert_int_equal(hear(busy, buffer, 25), 25);
        loop_stop(&runner.loop, LOOP_DRAINS);
        hear(idle, buffer, sizeof buffer); /* up to its end */
        close(idle);
        SAY(busy, "hi");
        len = hear(busy, buffer, sizeof buffer - 1);
        buffer[len] = '\0';
        assert_non_null(strstr(buffer, "connection: close\r\n"));
        close(busy);
        runner_join(&runner);
}

/* Ending takes calls away that would never be answered. */
static void test_end(void **state)
{
        struct runner runner;
        char buffer[100];
        int fd;

        (void)state;
        runner_init(&runner);
        runner_start(&runner);
        fd = connect_to(&runner);
        SAY(fd, "POST /hold HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
        assert_int_equal(hear(fd, buffer, 25), 25);
        loop_stop(&runner.loop, LOOP_DRAINS);
        loop_stop(&runner.loop, LOOP_ENDS);
        assert_int_equal(hear(fd, buffer, sizeof buffer), 0);
        runner_join(&runner);
        close(fd);
}

/* ---- What other threads hand over ---- */

enum {
        POSTERS = 4,
        POSTS = 5000
};

struct post {
        struct completion completion;
        struct poster *poster;
        int number;
};

struct poster {
        struct host *host;
        struct post posts[POSTS];
        int last; /* that ran */
};

static void on_post(struct completion *completion)
{
        struct post *post = (struct post *)completion;

        assert_int_equal(post->number, post->poster->last + 1);
        post->poster->last = post->number;
}

static void *post_all(void *arg)
{
        struct poster *poster = arg;
        int i;

        for (i = 0; i < POSTS; i++)
                host_post(poster->host, &poster->posts[i].completion);
        return NULL;
}

/* What is posted runs once, in each poster's order, and the loop waits for what was announced. */
static void test_posts(void **state)
{
        static struct poster posters[POSTERS];
        struct runner runner;
        pthread_t threads[POSTERS];
        int i;
        int j;

        (void)state;
        runner_init(&runner);
        for (i = 0; i < POSTERS; i++) {
                posters[i] = (struct poster){.host = &runner.loop.host};
                for (j = 0; j < POSTS; j++) {
                        posters[i].posts[j].completion.run = on_post;
                        posters[i].posts[j].poster = &posters[i];
                        posters[i].posts[j].number = j + 1;
                        host_expect(&runner.loop.host, &posters[i].posts[j].completion);
                }
        }
        runner_start(&runner);
        loop_stop(&runner.loop, LOOP_ENDS);
        for (i = 0; i < POSTERS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
        for (i = 0; i < POSTERS; i++)
                pthread_join(threads[i], NULL);
        runner_join(&runner);
        for (i = 0; i < POSTERS; i++)
                assert_int_equal(posters[i].last, POSTS);
}

static _Thread_local bool is_late;
static atomic_bool has_run, has_ended, has_sent;

/* The names are the linker's: see tests/lib/heap.c. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_uv_async_send(uv_async_t *async);
int __wrap_uv_async_send(uv_async_t *async);

/* Who is late wakes the loop when it has ended, and not at once. */
int __wrap_uv_async_send(uv_async_t *async)
{
        int i;
        int error;

        if (!is_late) return __real_uv_async_send(async);
        while (!has_ended)
                sched_yield();
        for (i = 0; i < 1000; i++)
                sched_yield();
        error = __real_uv_async_send(async);
        has_sent = true;
        return error;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void on_late_post(struct completion *completion)
{
        (void)completion;
        has_run = true;
}

static void *post_late(void *runner)
{
        static struct completion completion;

        completion = (struct completion){.run = on_late_post, .is_owed = true};
        is_late = true;
        host_post(&((struct runner *)runner)->loop.host, &completion);
        return NULL;
}

/* A loop that has run a completion upon another's wake, and ended, is there until the poster has woken it, too. */
static void test_late_poster(void **state)
{
        struct runner runner;
        pthread_t thread;

        (void)state;
        runner_init(&runner);
        runner.loop.host.owed = 1;
        runner_start(&runner);
        assert_int_equal(pthread_create(&thread, NULL, post_late, &runner), 0);
        while (atomic_load(&runner.loop.posted) == NULL)
                sched_yield();
        loop_stop(&runner.loop, LOOP_ENDS);
        assert_int_equal(pthread_join(runner.thread, NULL), 0);
        assert_true(has_run);
        assert_false(has_sent);
        has_ended = true;
        loop_close(&runner.loop);
        assert_true(has_sent);
        commons_free(runner.loop.host.commons);
        memset(&runner.loop, 0xaa, sizeof runner.loop);
        pthread_join(thread, NULL);
}

/* ---- Snapshots ---- */

/* A turn in which a socket is read before the writer's completion comes, and a request that waited behind the update in
 * its connection is served after it. */
struct turn {
        struct fixture fixture;
        struct loop loop;
        struct completion completion;
        uv_check_t after_poll;
        uint64_t before, after; /* rows, as the loop's snapshot has them */
};

static enum result count_rows(struct txn *txn, void *arg)
{
        struct store_stat stat;

        store_stat(txn, &stat);
        *(uint64_t *)arg = stat.records;
        return R_OK;
}

static void look(struct turn *turn, uint64_t *rows)
{
        struct txn_input input = fixture_input(&turn->fixture);

        assert_int_equal(view_run(turn->loop.host.view, &input, count_rows, rows), R_OK);
}

static void on_update_done(struct completion *completion)
{
        struct turn *turn = (struct turn *)((char *)completion - offsetof(struct turn, completion));
        const uint8_t digest[API_KEY_DIGEST_SIZE] = {77};

        view_expire(turn->loop.host.view);
        look(turn, &turn->before);
        fixture_add_user(&turn->fixture, (struct uuid){{77}}, (struct uuid){{78}}, digest);
}

static void on_after_poll(uv_check_t *handle)
{
        struct turn *turn = handle->data;

        if (turn->before == 0) return;
        look(turn, &turn->after);
        uv_close((uv_handle_t *)handle, NULL);
        loop_stop(&turn->loop, LOOP_ENDS);
}

/* Behind a completion nothing is served from a snapshot that is older than what completed. */
static void test_completion_is_seen(void **state)
{
        static struct turn turn;

        (void)state;
        consumer_reset();
        fixture_init(&turn.fixture);
        assert_int_equal(loop_open(&turn.loop, turn.fixture.store, NULL), R_OK);
        assert_int_equal(uv_check_init(&turn.loop.uv, &turn.after_poll), 0);
        turn.after_poll.data = &turn;
        assert_int_equal(uv_check_start(&turn.after_poll, on_after_poll), 0);
        turn.completion.run = on_update_done;
        host_post(&turn.loop.host, &turn.completion);
        loop_run(&turn.loop);
        loop_close(&turn.loop);
        assert_true(turn.after > turn.before);
        fixture_fini(&turn.fixture);
}

/* ---- Timers ---- */

enum {
        TIMERS = 20
};

struct alarms {
        struct runner runner;
        struct host_timer timers[TIMERS];
        int64_t last_due_ns;
        int fired;
};

static struct alarms alarms;

static void on_fire(struct host_timer *timer)
{
        assert_true(timer->due_ns <= (int64_t)uv_hrtime());
        assert_true(timer->due_ns >= alarms.last_due_ns);
        assert_false(timer->is_set);
        alarms.last_due_ns = timer->due_ns;
        if (++alarms.fired == TIMERS / 2) loop_stop(&alarms.runner.loop, LOOP_ENDS);
}

/* Timers fire in order and never early; those that were cleared do not. */
static void test_timers(void **state)
{
        struct host *host = &alarms.runner.loop.host;
        int i;

        (void)state;
        runner_init(&alarms.runner);
        for (i = 0; i < TIMERS; i++) {
                alarms.timers[i].fire_cb = on_fire;
                host_timer_set(host, &alarms.timers[i], host_now_ns(host) + (int64_t)(TIMERS - i) * 1000000);
        }
        for (i = 0; i < TIMERS; i += 2)
                host_timer_clear(host, &alarms.timers[i]);
        loop_run(&alarms.runner.loop);
        loop_close(&alarms.runner.loop);
        commons_free(alarms.runner.loop.host.commons);
        assert_int_equal(alarms.fired, TIMERS / 2);
}

/* Connections are asked to end at different ages around the one that was set, or never. */
static void test_ages(void **state)
{
        struct runner runner;
        int64_t least = INT64_MAX;
        int64_t most = 0;
        int i;

        (void)state;
        runner_init(&runner);
        runner.loop.age_ms = 1000;
        for (i = 0; i < 1000; i++) {
                int64_t age_ns = loop_next_age_ns(&runner.loop);

                if (age_ns < least) least = age_ns;
                if (age_ns > most) most = age_ns;
        }
        assert_true(least >= 900000000 && least < 910000000);
        assert_true(most <= 1100000000 && most > 1090000000);
        runner.loop.age_ms = 0;
        assert_true(loop_next_age_ns(&runner.loop) > (int64_t)1 << 60);
        loop_close(&runner.loop);
        commons_free(runner.loop.host.commons);
}

/* ---- Listeners ---- */

/* A listener may be touched on its loop only, so this takes the wish there. */
struct stopper {
        struct completion completion;
        struct listener *listener;
};

static void on_stop(struct completion *completion)
{
        listen_stop(((struct stopper *)completion)->listener);
}

static void stop(struct runner *runner, struct listener *listener)
{
        struct stopper stopper = {.completion.run = on_stop, .listener = listener};

        host_post(&runner->loop.host, &stopper.completion);
        loop_stop(&runner->loop, LOOP_DRAINS);
        runner_join(runner);
}

static void ask(int fd, const void *name, socklen_t len)
{
        char buffer[1000];

        assert_int_equal(connect(fd, name, len), 0);
        SAY(fd, "GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_true(hear(fd, buffer, sizeof buffer) > 12);
        assert_memory_equal(buffer, "HTTP/1.1 204", 12);
        close(fd);
}

/* A TCP listener on a port of the system's choosing serves; a second one on the same port is refused in a sentence. */
static void test_listen_tcp(void **state)
{
        struct listener listener;
        struct listener second;
        struct listen_address address;
        struct runner runner;
        char why[LISTEN_WHY_SIZE];
        char bound[LISTEN_TEXT_SIZE];
        char again[LISTEN_TEXT_SIZE];

        (void)state;
        runner_init(&runner);
        assert_int_equal(listen_parse("127.0.0.1:0", &address, why), R_OK);
        assert_int_equal(listen_open_tcp(&listener, &address, bound, why), R_OK);
        assert_int_equal(listen_parse(bound, &address, why), R_OK);
        assert_int_equal(listen_open_tcp(&second, &address, again, why), R_HELD);
        assert_non_null(strstr(why, bound));
        assert_int_equal(listen_start(&listener, PLANE_PUBLIC, &runner.loop, 1), R_OK);
        runner_start(&runner);
        ask(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &address.storage, address.len);
        stop(&runner, &listener);
        assert_int_equal(runner.loop.host.counters.connections_accepted, 1);
}

/* A Unix listener has mode 0600 and any length of path, takes the place of a dead one and not of a living one, and
 * leaves nothing behind. */
static void test_listen_unix(void **state)
{
        struct listener listener;
        struct listener second;
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        struct runner runner;
        struct stat stat;
        char top[] = "/tmp/allod-XXXXXX";
        char dir[200];
        char path[220];
        char why[LISTEN_WHY_SIZE];
        int dead;

        (void)state;
        assert_non_null(mkdtemp(top));
        snprintf(dir, sizeof dir, "%s/%0120d", top, 0);
        assert_int_equal(mkdir(dir, 0700), 0);
        snprintf(path, sizeof path, "%s/s", dir);

        /* A file in the way is left alone. */
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(listen_open_unix(&listener, path, why), R_HELD);
        assert_int_equal(unlink(path), 0);

        /* A dead one: bound where its short name lies, then moved. */
        snprintf(name.sun_path, sizeof name.sun_path, "%s/short", top);
        dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(dead, (struct sockaddr *)&name, sizeof name), 0);
        close(dead);
        assert_int_equal(rename(name.sun_path, path), 0);

        runner_init(&runner);
        assert_int_equal(listen_open_unix(&listener, path, why), R_OK);
        assert_int_equal(listen_open_unix(&second, path, why), R_HELD);
        assert_int_equal(lstat(path, &stat), 0);
        assert_int_equal(stat.st_mode & 07777, 0600);
        assert_int_equal(listen_start(&listener, PLANE_ADMIN, &runner.loop, 1), R_OK);
        runner_start(&runner);
        assert_int_equal(link(path, name.sun_path), 0);
        ask(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &name, sizeof name);
        unlink(name.sun_path);
        stop(&runner, &listener);
        assert_int_equal(runner.loop.host.counters.connections_accepted, 2); /* one was the second listener's look */
        assert_int_equal(rmdir(dir), 0);
        assert_int_equal(rmdir(top), 0);
}

/* Addresses that are taken, and that are not; which of them are loopback. */
static void test_listen_parse(void **state)
{
        static const struct {
                const char *text;
                bool is_good, is_loopback;
        } rows[] = {
                {"127.0.0.1:8080", true, true},    {"127.9.9.9:0", true, true},
                {"0.0.0.0:65535", true, false},    {"[::1]:80", true, true},
                {"[::]:80", true, false},          {":80", true, false},
                {"192.0.2.1:1", true, false},      {"", false, false},
                {"127.0.0.1", false, false},       {"127.0.0.1:", false, false},
                {"127.0.0.1:65536", false, false}, {"127.0.0.1:-1", false, false},
                {"127.0.0.1:8o", false, false},    {"::1:80", false, false},
                {"[::1:80", false, false},         {"[]:80", false, false},
                {"localhost:80", false, false},    {"127.0.0.1 :80", false, false},
        };
        struct listen_address address;
        char why[LISTEN_WHY_SIZE];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                enum result r = listen_parse(rows[i].text, &address, why);

                if ((r == R_OK) != rows[i].is_good) fail_msg("%s", rows[i].text);
                if (r == R_OK) assert_int_equal(address.is_loopback, rows[i].is_loopback);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_versions),     cmocka_unit_test(test_slow_reader),
                cmocka_unit_test(test_peer_leaves),  cmocka_unit_test(test_drain),
                cmocka_unit_test(test_end),          cmocka_unit_test(test_posts),
                cmocka_unit_test(test_late_poster),  cmocka_unit_test(test_completion_is_seen),
                cmocka_unit_test(test_timers),       cmocka_unit_test(test_ages),
                cmocka_unit_test(test_listen_tcp),   cmocka_unit_test(test_listen_unix),
                cmocka_unit_test(test_listen_parse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
