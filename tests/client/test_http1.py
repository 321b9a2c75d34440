"""What HTTP/1.1 alone has: connections kept alive, pipelines, chunks, expectations, and requests of half a meaning."""

import threading

import pytest

import harness
from harness import APP, JSON, Raw


@pytest.fixture(scope="module")
def key(store):
    return store.alice.key.encode()


def get(path, key, more=b""):
    return b"GET %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\n%s\r\n" % (path, key, more)


def post(path, key, body, more=b""):
    return (b"POST %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
            % (path, key, len(body), more, body))


BODY = harness.encode(APP)
CHUNKED = (b"POST /app HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Type: application/json\r\n"
           b"Transfer-Encoding: chunked\r\n\r\n")


def test_keep_alive(server, key):
    with Raw(server) as raw:
        for _ in range(5):
            raw.send(get(b"/app", key))
            assert raw.answer().status == 200


def test_errors_keep_the_connection(server, key):
    with Raw(server) as raw:
        for request, status in [(get(b"/nothing", key), 404), (get(b"/app", b"bad"), 403), (get(b"/app/x", key), 404),
                                (post(b"/app", key, b"{"), 400), (b"DELETE /app HTTP/1.1\r\nHost: x\r\n\r\n", 405),
                                (get(b"/app", key), 200)]:
            raw.send(request)
            assert raw.answer().status == status


def test_connection_close(server, key):
    with Raw(server) as raw:
        raw.send(get(b"/app", key, b"Connection: close\r\n"))
        answer = raw.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert raw.rest() == b""


def test_http10(server, key):
    with Raw(server) as raw:
        raw.send(b"GET /app HTTP/1.0\r\nx-api-key: " + key + b"\r\n\r\n")
        assert raw.answer().status == 200
        assert raw.rest() == b""


def test_pipeline_is_answered_in_order(server, key):
    """Fast and slow requests (a write waits for the disk) in one packet."""
    with Raw(server) as raw:
        raw.send(post(b"/app", key, BODY) + get(b"/app/x1", key) + post(b"/app", key, BODY) + get(b"/nothing", key)
                 + get(b"/app?page_size=2", key))
        answers = [raw.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [201, 404, 201, 404, 200]
    assert "x1" in answers[1].error()
    made = [answers[0].json()["data"]["id"], answers[2].json()["data"]["id"]]
    assert [app["id"] for app in answers[4].json()["data"]] == made[::-1]


def test_long_pipeline(server, key):
    """More requests than any buffer holds: back pressure, not loss."""
    with Raw(server) as raw:
        count = 3000
        sender = threading.Thread(target=lambda: raw.send(get(b"/app/zz", key) * count), daemon=True)
        sender.start()
        assert {raw.answer().status for _ in range(count)} == {404}
        sender.join(timeout=harness.BOUND_SECONDS)


def test_head_in_a_pipeline(server, key):
    with Raw(server) as raw:
        raw.send(get(b"/app", key).replace(b"GET", b"HEAD", 1) + get(b"/app/y", key))
        head = raw.answer(is_head=True)
        assert head.status == 200 and int(head.headers["content-length"]) > 0
        assert raw.answer().status == 404


@pytest.mark.parametrize("step", [1, 7, 64])
def test_request_in_pieces(server, key, step):
    request = post(b"/app", key, BODY)
    with Raw(server) as raw:
        raw.socket.setsockopt(harness.socket.IPPROTO_TCP, harness.socket.TCP_NODELAY, 1)
        for start in range(0, len(request), step):
            raw.send(request[start:start + step])
        assert raw.answer().status == 201


def test_chunked_body(server, key):
    head = CHUNKED % key
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i:i + 10]), BODY[i:i + 10]) for i in range(0, len(BODY), 10))
    with Raw(server) as raw:
        for _ in range(2):
            raw.send(head + chunks + b"0\r\n\r\n")
            assert raw.answer().status == 201
        raw.send(head + chunks + b"0\r\nTrailer: x\r\n\r\n" + get(b"/app/q", key))
        assert [raw.answer().status, raw.answer().status] == [201, 404]


def test_chunked_body_too_large(server, key):
    head = CHUNKED % key
    with Raw(server) as raw:
        raw.send(head)
        for _ in range(80):
            if not raw.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n"):
                break
        assert raw.answer().status == 413


def test_expect_continue(server, key):
    with Raw(server) as raw:
        request = post(b"/app", key, BODY, b"Expect: 100-continue\r\n")
        head = request[:-len(BODY)]
        raw.send(head)
        assert raw.interim() == b"HTTP/1.1 100 Continue"
        raw.send(BODY)
        assert raw.answer().status == 201


@pytest.mark.parametrize("path,key_text,length,status",
                         [(b"/app", None, 5 << 20, 413), (b"/app", b"bad", 10, 403), (b"/x", None, 10, 404)])
def test_expect_continue_is_refused_before_the_body(server, key, path, key_text, length, status):
    """The final answer comes in place of 100."""
    with Raw(server) as raw:
        raw.send(b"POST %s HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                 b"Expect: 100-continue\r\n\r\n" % (path, key_text or key, length))
        while b"\r\n" not in raw.buffer:
            assert raw.fill()
        assert raw.buffer.startswith(b"HTTP/1.1 %d " % status)


def test_unknown_expectation_is_ignored(server, key):
    with Raw(server) as raw:
        raw.send(post(b"/app", key, BODY, b"Expect: 200-ok\r\n"))
        assert raw.answer().status == 201


def test_curl_sends_a_large_body(server, store):
    """curl waits for 100 with bodies above 1 MiB."""
    web = harness.Curl(server, "--http1.1")
    assert web("POST", "/app", store.alice.headers() + JSON, harness.encode(APP) + b" " * (2 << 20)).status == 201


def test_curl_chunked(server, store):
    web = harness.Curl(server, "--http1.1")
    assert web("POST", "/app", store.alice.headers() + JSON + [("Transfer-Encoding", "chunked")], APP).status == 201


def test_absolute_target(server, key):
    """RFC 9112 section 3.2.2: a server must take it."""
    with Raw(server) as raw:
        raw.send(get(b"http://x/app", key))
        assert raw.answer().status == 200


def test_empty_lines_before_a_request(server, key):
    """RFC 9112 section 2.2: at least one is ignored."""
    with Raw(server) as raw:
        raw.send(b"\r\n" + get(b"/app", key))
        assert raw.answer().status == 200


def test_upgrade_is_ignored(server, key):
    with Raw(server) as raw:
        raw.send(get(b"/app", key, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"))
        assert raw.answer().status == 200
