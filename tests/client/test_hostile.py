"""What no honest client sends: answered as documented, or the connection ends; others are served as before."""

import os
import select
import socket
import struct
import threading
import time

import pytest

import harness
from harness import APP, JSON, Raw


@pytest.fixture(scope="module")
def key(store):
    return store.alice.key.encode()


@pytest.fixture(autouse=True)
def others_are_served(server, store):
    """A next request on a new connection works."""
    yield
    client = harness.Http1(server)
    assert client("GET", "/app?page_size=1", store.alice.headers()).status == 200
    client.close()


# ---- Heads ----

@pytest.mark.parametrize("size,status", [(8 << 10, 200), (20 << 10, 431), (32 << 10, 431), (64 << 10, 431)])
def test_huge_header(web, store, size, status):
    """431; in HTTP/2 a head of twice the bound is reset instead."""
    try:
        answer = web("GET", "/app?page_size=1", store.alice.headers() + [("x-filler", "x" * size)])
    except harness.Reset:
        assert web.version == "HTTP/2" and size >= 32 << 10
        return
    assert answer.status == status
    if status == 431:
        assert answer.error()


@pytest.mark.parametrize("count,status", [(100, 200), (420, 431), (1000, 431)])
def test_many_headers(web, store, count, status):
    headers = store.alice.headers() + [(f"x-h{i}", "1") for i in range(count)]
    try:
        answer = web("GET", "/app?page_size=1", headers)
    except harness.Reset:
        assert web.version == "HTTP/2" and count == 1000
        return
    assert answer.status == status


def test_long_path(web, store):
    too_long = 414 if web.version == "HTTP/1.1" else 431  # where the target is a header field among others
    for size, status in [(4000, 404), (20_000, too_long)]:
        answer = web("GET", "/app/" + "x" * size, store.alice.headers())
        assert answer.status == status, answer
        assert len(answer.error()) < 200, "not all of it is echoed"


def test_endless_header_line(server):
    """Refused before all of it has come."""
    with Raw(server) as raw:
        raw.send(b"GET /app HTTP/1.1\r\nHost: x\r\nx: ")
        for _ in range(64):
            if not raw.send(b"y" * 65536):
                break
        answer = raw.answer()
        assert answer is None or answer.status == 431


# ---- Requests that proxies would read differently (RFC 9112 sections 2.2, 5, 6.3, 7) ----

POST = b"POST /app HTTP/1.1\r\nHost: x\r\nx-api-key: KEY\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /app?smuggled HTTP/1.1\r\nHost: x\r\nx-api-key: KEY\r\n\r\n"

SMUGGLING = {
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   " + SMUGGLED,
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "lengths in a list": POST + b"Content-Length: 5, 5\r\n\r\n{}   " + SMUGGLED,
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked then identity": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "plus in length": POST + b"Content-Length: +5\r\n\r\n{}   " + SMUGGLED,
    "minus in length": POST + b"Content-Length: -5\r\n\r\n{}   " + SMUGGLED,
    "hex length": POST + b"Content-Length: 0x5\r\n\r\n{}   " + SMUGGLED,
    "empty length": POST + b"Content-Length: \r\n\r\n{}   " + SMUGGLED,
    "huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}   " + SMUGGLED,
    "length above 2^64": POST + b"Content-Length: 18446744073709551621\r\n\r\n{}   " + SMUGGLED,
    "folded": POST + b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "bare LF": POST.replace(b"\r\n", b"\n") + b"Content-Length: 5\n\n{}   " + SMUGGLED,
    "bare CR": POST + b"X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "NUL": POST + b"X-A: b\0c\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size with space": POST + b"Transfer-Encoding: chunked\r\n\r\n 2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk ends in LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + SMUGGLED,
    "huge chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "long chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 5000 + b"\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "no host": POST.replace(b"Host: x\r\n", b"") + b"Content-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "two hosts": POST + b"Host: y\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "space in target": POST.replace(b"/app", b"/app /x") + b"Content-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "HTTP/1.2 of a kind": POST.replace(b"HTTP/1.1", b"HTTP/9.9") + b"Content-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "no version": POST.replace(b" HTTP/1.1", b"") + b"Content-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "two spaces": POST.replace(b"POST ", b"POST  ") + b"Content-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "colon first": POST + b": x\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "no colon": POST + b"X-A\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
    "space in a name": POST + b"X A: b\r\nContent-Length: 5\r\n\r\n{}   " + SMUGGLED,
}


@pytest.mark.parametrize("form", SMUGGLING)
def test_smuggling(server, key, form):
    """One answer at most, an error, and the connection ends: what follows is never taken for a request."""
    with Raw(server) as raw:
        raw.send(SMUGGLING[form].replace(b"KEY", key))
        answer = raw.answer()
        assert answer is None or answer.status in (400, 413, 414, 431, 501, 505), answer
        assert raw.answer() is None
        if answer is not None:
            assert answer.error()
            assert answer.headers.get("connection") == "close"


def test_head_of_another_protocol(server):
    """TLS, SSH, garbage and nothing at all."""
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), b"SSH-2.0-OpenSSH_9.2\r\n",
                 os.urandom(4096),
                 b"\0" * 100_000, b"\r\n\r\n\r\n\r\n", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                 b"\xff" * 24):
        with Raw(server) as raw:
            raw.send(data)
            raw.socket.shutdown(socket.SHUT_WR)
            rest = raw.rest()
            assert b" 200 " not in rest[:20]


@pytest.mark.parametrize("cut", [1, 20, 60, 100, -1])
@pytest.mark.parametrize("is_reset", [False, True])
def test_half_a_request_then_gone(server, key, cut, is_reset):
    request = POST.replace(b"KEY", key) + b"Content-Length: 200\r\n\r\n" + harness.encode(APP)
    raw = Raw(server)
    raw.send(request[:cut])
    if is_reset:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


def test_half_a_body_then_end(server, key):
    with Raw(server) as raw:
        raw.send(POST.replace(b"KEY", key) + b"Content-Length: 2000\r\n\r\n" + harness.encode(APP))
        raw.socket.shutdown(socket.SHUT_WR)
        answer = raw.answer()
        assert answer is None or answer.status == 400


def test_gone_before_the_answer(server, key):
    """A write whose client has left is done or not, and nothing breaks."""
    body = harness.encode(APP)
    for _ in range(30):
        raw = Raw(server)
        raw.send(POST.replace(b"KEY", key) + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.socket.close()


# ---- HTTP/2 frames ----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4, 0, 0)


def literal(name, value):
    """HPACK: a literal field without indexing, its name new. RFC 7541 section 6.2.2."""
    def text(data):
        length = len(data)
        if length < 127:
            return bytes([length]) + data
        out, length = b"\x7f", length - 127
        while length >= 128:
            out += bytes([length & 127 | 128])
            length >>= 7
        return out + bytes([length]) + data
    return b"\x00" + text(name) + text(value)


def request_block(path=b"/app", method=b"GET", *more):
    return b"".join(literal(name, value) for name, value in [(b":method", method), (b":path", path),
                                                             (b":scheme", b"http"),
                                                             (b":authority", b"x"), *more])


FRAMES = {
    "frame too large": frame(0, 0, 1, b"x" * 20_000),
    "data on stream 0": frame(0, 0, 0, b"x"),
    "headers on an even stream": frame(1, 5, 2, request_block()),
    "window of zero": frame(8, 0, 0, b"\0\0\0\0"),
    "window overflow": frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "bad settings length": frame(4, 0, 0, b"xxx"),
    "settings on a stream": frame(4, 0, 1, b""),
    "bad initial window": frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"),
    "continuation alone": frame(9, 4, 1, b""),
    "push promise": frame(5, 4, 1, b"\0\0\0\2"),
    "bad padding": frame(0, 8, 1, b"\xff"),
    "bad huffman": frame(1, 5, 1, b"\x00\x85\xff\xff\xff\xff\xff\x01x"),
    "bad index": frame(1, 5, 1, b"\xff\xff\xff\xff\x0f"),
    "hpack table size": frame(1, 5, 1, b"\x3f\xff\xff\xff\xff\x0f"),
    "ping of wrong size": frame(6, 0, 0, b"x"),
    "reset of an idle stream": frame(3, 0, 7, b"\0\0\0\0"),
    "garbage": os.urandom(2000),
    "settings flood": SETTINGS * 5000,
    "ping flood": frame(6, 0, 0, b"12345678") * 5000,
    "empty data flood": frame(1, 4, 1, request_block(method=b"POST")) + frame(0, 0, 1) * 5000,
    "priority flood": frame(2, 0, 3, b"\0\0\0\0\x10") * 5000,
    "rapid reset": b"".join(frame(1, 5, i, request_block()) + frame(3, 0, i, b"\0\0\0\x08") for i in range(1, 4001, 2)),
    "continuation flood": frame(1, 0, 1, request_block()) + frame(9, 0, 1, literal(b"x", b"y" * 1000)) * 2000,
    "streams without end": b"".join(frame(1, 4, i, request_block(method=b"POST")) for i in range(1, 801, 2)),
}


@pytest.mark.parametrize("form", FRAMES)
def test_frames(server, form):
    """An error of the connection or the stream, never a crash."""
    with Raw(server) as raw:
        raw.send(PREFACE + SETTINGS)
        raw.send(FRAMES[form])
        try:
            raw.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        raw.rest()


MALFORMED = {
    "no path": b"".join(literal(n, v) for n, v in [(b":method", b"GET"), (b":scheme", b"http")]),
    "upper case name": request_block(b"/app", b"GET", (b"X-Api-Key", b"x")),
    "pseudo after others": literal(b"x", b"y") + request_block(),
    "unknown pseudo": request_block(b"/app", b"GET", (b":x", b"y")),
    "path twice": request_block(b"/app", b"GET", (b":path", b"/x")),
    "connection header": request_block(b"/app", b"GET", (b"connection", b"close")),
    "transfer-encoding": request_block(b"/app", b"POST", (b"transfer-encoding", b"chunked")),
    "newline in a value": request_block(b"/app", b"GET", (b"x", b"a\r\nx-api-key: b")),
    "NUL in a value": request_block(b"/app", b"GET", (b"x", b"a\0b")),
    "newline in a path": request_block(b"/app\r\nx: y"),
    "space in a path": request_block(b"/app x"),
    "empty path": request_block(b""),
    "no slash": request_block(b"app"),
    "wrong length": request_block(b"/app", b"POST", (b"content-length", b"5")),
}


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_http2_request(server, form):
    """A stream error or a refusal; the next request of the same connection is answered."""
    good = frame(1, 5, 3, request_block())
    with Raw(server) as raw:
        raw.send(PREFACE + SETTINGS + frame(1, 5, 1, MALFORMED[form]) + good)
        seen = {}
        while 3 not in seen:
            while len(raw.buffer) < 9 or len(raw.buffer) < 9 + int.from_bytes(raw.buffer[:3], "big"):
                assert select.select([raw.socket], [], [], harness.BOUND_SECONDS)[0]
                assert raw.fill(), f"the connection ended, after {seen}"
            length, kind, stream = int.from_bytes(raw.buffer[:3],
                                                  "big"), raw.buffer[3], int.from_bytes(raw.buffer[5:9], "big")
            raw.buffer = raw.buffer[9 + length:]
            if stream:
                seen.setdefault(stream, []).append(kind)
        assert 1 in seen[3], "headers of the answer"
        assert 1 in seen and (3 in seen[1] or 1 in seen[1]), "reset or refused"


# ---- Slowness ----

def test_slow_readers(server, store, http1):
    """Fifty clients that ask for much and read nothing hold up nobody and cost a bounded buffer."""
    headers = store.alice.headers()
    app = http1("POST", "/app", headers + JSON, APP).json()["data"]["id"]
    body = b'{"input":{"x":"' + b"x" * 1_000_000 + b'"}}'
    job = http1("POST", f"/app/{app}/run_async", headers + JSON, body).json()["job_id"]
    before = resident(server)
    raws = [Raw(server) for _ in range(50)]
    request = f"GET /app/{app}/job/{job} HTTP/1.1\r\nHost: x\r\nx-api-key: {store.alice.key}\r\n\r\n".encode()
    for raw in raws:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(request * 50)
    for raw in raws:
        assert select.select([raw.socket], [], [], harness.BOUND_SECONDS)[0], "its first answer has begun"
    assert http1("GET", f"/app/{app}", headers).status == 200
    grown = resident(server) - before
    assert grown < 250 << 20 or harness.is_sanitized(), "sanitizers have memory of their own"
    for raw in raws:
        raw.socket.close()


def test_crowd_of_slow_readers(tmp_path):
    """Without a key, and a little for each: what waits for one address is bounded, those end that have been slow for longest, and
    another address that reads slowly, for longer than they, misses nothing."""
    share = 32 << 20
    count = 20_000
    requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * count
    harness.tool("init", "--data", tmp_path / "store")
    with harness.serving(tmp_path / "store", "--limit-loopback", "--workers", "1", "--write-timeout", "10m") as server:
        def reader(address):
            """A connection that is not read, and whose requests have gone or fill all buffers."""
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.bind((address, 0))
            raw.connect(("127.0.0.1", server.port))
            raw.settimeout(harness.BOUND_SECONDS)
            try:
                raw.sendall(requests)
            except OSError:
                pass
            return raw

        neighbour = reader("127.0.0.2")
        before = resident(server)
        crowd = [reader("127.0.0.1") for _ in range(600)]
        poll = select.poll()
        for raw in crowd:
            poll.register(raw, 0)
        until = time.monotonic() + harness.BOUND_SECONDS
        while (ended := len(poll.poll(0))) < 50 and time.monotonic() < until:
            time.sleep(0.05)
        print(f"{ended} of {len(crowd)} ended, {(resident(server) - before) >> 20} MiB")
        assert 50 <= ended < len(crowd)
        assert resident(server) - before < 2.5 * share or harness.is_sanitized(), "what waits, and requests; of all: 110 MiB"
        neighbour.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: neighbour.recv(1 << 20), b""))
        assert answers.count(b"HTTP/1.1 404 ") == count + 1
        for raw in [neighbour, *crowd]:
            raw.close()


def resident(server):
    with open(f"/proc/{server.child.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_many_idle_connections(server, http1, store):
    raws = [Raw(server) for _ in range(600)]
    assert http1("GET", "/app?page_size=1", store.alice.headers()).status == 200
    for raw in raws:
        raw.socket.close()


def test_nobody_reads_the_log(tmp_path):
    """A pipe that nobody reads any more (SIGPIPE) does not end the server, whatever it has to say."""
    store = harness.Store(tmp_path / "store")
    server = harness.subprocess.Popen([harness.ALLOD, "serve", "--data", store.data, *harness.SERVE_OPTIONS, *harness.MAP_SIZE],
                                      stderr=harness.subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline()
        port = int(line.partition("listening address=127.0.0.1:")[2].split()[0])
        server.stderr.close()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=harness.BOUND_SECONDS) as raw:
                raw.sendall(b"GET /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert raw.recv(65536).startswith(b"HTTP/1.1 403")
        server.terminate()
        assert server.wait(timeout=harness.BOUND_SECONDS) == 0
    finally:
        server.kill()
        server.wait()


def test_storm_of_connections(server, store):
    """Connections that come, ask and go, from several threads."""
    failures = []

    def work():
        for _ in range(60):
            client = harness.Http1(server)
            try:
                if client("GET", "/app?page_size=1", store.alice.headers() + [("Connection", "close")]).status != 200:
                    failures.append("status")
            except Exception as error:  # told below
                failures.append(error)
            finally:
                client.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=harness.BOUND_SECONDS)
    assert failures == []
