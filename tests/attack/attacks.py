"""The attacks. Each is a function of (target, seconds): it goes on for about that long, asserts that it was bounded as
documented, and returns what happened in a few words. Those that wait for a time-out take as long as that takes."""

import contextlib
import select
import socket
import struct
import time

import hpack

from target import (CANCEL, CONNECTIONS_PER_ADDRESS, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS,
                    IDLE_SECONDS, KEYLESS_CALLS, PATIENCE_SECONDS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, STREAMS,
                    TIMEOUT_SECONDS, WINDOW_UPDATE, Ended, Peer, frame, literal)
import harness
from test_hostile import SMUGGLING


def again(seconds):
    """Rounds, at least one."""
    end = time.monotonic() + seconds
    n = 0
    while n == 0 or time.monotonic() < end:
        yield n
        n += 1


def assert_lasted(begun):
    """What has ended now was let in, and had its time: to be refused at once is no defence against the slow."""
    assert time.monotonic() - begun >= TIMEOUT_SECONDS, "it ended before any time-out"


def window(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def setting(number, value):
    return struct.pack(">HI", number, value)


# ---- Resets ----

def calmed(target, seconds, make):
    """Connections that are sent away with ENHANCE_YOUR_CALM, one after the other."""
    codes = []
    for _ in again(seconds):
        with target.http2() as h2:
            codes.append(h2.flood(make(), 1))
    assert set(codes) <= {ENHANCE_YOUR_CALM, None}, codes
    assert ENHANCE_YOUR_CALM in codes, codes
    return f"{len(codes)} connections sent away"


def rapid_reset(target, seconds):
    """CVE-2023-44487: requests that are reset at once."""
    get = target.block()
    return calmed(target, seconds, lambda: b"".join(
        frame(HEADERS, END_STREAM | END_HEADERS, i, get) + frame(RST_STREAM, 0, i, b"\0\0\0\x08") for i in range(1, 4001, 2)))


def rapid_reset_of_writes(target, seconds):
    """The same with calls that are in the writer's queue by then."""
    post = target.block(b"POST", b"/app", (b"content-type", b"application/json"))
    body = (b'{"name":"x","configuration":{"gpu_tier":"BASIC"},"workflow":{"model_url":"https://example.com/x"}}')
    codes = []
    for _ in again(seconds):
        with target.http2() as h2:
            try:
                for i in range(1, 2001, 2):
                    h2.send(frame(HEADERS, END_HEADERS, i, post) + frame(DATA, END_STREAM, i, body))
                    h2.send(frame(RST_STREAM, 0, i, b"\0\0\0\x08"))
            except Ended:
                pass
            codes.append(h2.flood(b"", 0))
    assert ENHANCE_YOUR_CALM in codes and set(codes) <= {ENHANCE_YOUR_CALM, None}, codes
    return f"{len(codes)} connections sent away"


def made_you_reset(target, seconds):
    """CVE-2025-8671: frames that make the server reset what it works on."""
    get = target.block()
    kinds = [lambda i: frame(WINDOW_UPDATE, 0, i, b"\0\0\0\0"),
             lambda i: window(i, 0x7fffffff),
             lambda i: frame(DATA, END_STREAM, i, b"x")]
    said = []
    for kind in kinds:
        with target.http2() as h2:
            said.append(h2.flood(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, i, get) + kind(i) for i in range(1, 4001, 2)), 1))
    codes = []
    for n in again(seconds):
        with target.http2() as h2:
            codes.append(h2.flood(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, i, get) + kinds[n % 2](i)
                                           for i in range(1, 4001, 2)), 1))
    assert ENHANCE_YOUR_CALM in said + codes, (said, codes)
    return f"{len(said + codes)} connections ended"


# ---- Heads ----

def continuation_flood(target, seconds):
    """CVE-2024-28182: a header block without end."""
    ends = 0
    for n in again(seconds):
        filler = b"\x00\x01x\x7f\x80\x07" + b"y" * 1023  # a field of 1 KiB
        with target.http2() as h2:
            h2.flood(frame(HEADERS, 0, 1, target.block()) + frame(CONTINUATION, 0, 1, b"" if n % 2 else filler) * 3000, 3)
            ends += 1
    return f"{ends} connections ended"


def header_reference_flood(target, seconds):
    """A field of 4,000 bytes in the table, named by one byte thousands of times: 60 MiB of fields in a block of 16 KiB."""
    large = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000  # literal with incremental indexing
    resets = 0
    for _ in again(seconds):
        with target.http2() as h2:
            try:
                h2.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, target.block() + large))
                for i in range(3, 203, 2):
                    h2.send(frame(HEADERS, END_STREAM | END_HEADERS, i, target.block() + b"\xbe" * 16000))
                h2.until_closed(*range(1, 203, 2))
                resets += len(h2.resets)
                assert len(h2.resets) >= 100, h2.resets
            except Ended:
                resets += 1
    assert resets > 0
    return f"{resets} resets"


# ---- Frames that ask for nothing ----

def flood_of(make, is_calmed=True):
    def attack(target, seconds):
        codes = []
        for _ in again(seconds):
            with target.http2() as h2:
                codes.append(h2.flood(make(target), 100))
        assert set(codes) <= {ENHANCE_YOUR_CALM, None} and (ENHANCE_YOUR_CALM in codes or not is_calmed), set(codes)
        return f"{len(codes)} connections sent away"
    return attack


# nghttp2 ends the connection without a word if 1,000 answers wait, which may be before our budget is overdrawn.
settings_flood = flood_of(lambda target: SETTINGS * 2000, is_calmed=False)
ping_flood = flood_of(lambda target: frame(PING, 0, 0, b"12345678") * 2000)
priority_flood = flood_of(lambda target: frame(PRIORITY, 0, 3, b"\0\0\0\0\x10") * 2000)


def empty_frame_flood(target, seconds):
    """CVE-2019-9518: DATA without data."""
    post = target.block(b"POST", b"/app", (b"content-type", b"application/json"))
    codes = []
    for _ in again(seconds):
        with target.http2() as h2:
            h2.send(frame(HEADERS, END_HEADERS, 1, post))
            codes.append(h2.flood(frame(DATA, 0, 1) * 2000, 100))
    assert set(codes) <= {ENHANCE_YOUR_CALM, None} and ENHANCE_YOUR_CALM in codes, codes
    return f"{len(codes)} connections sent away"


def unread_pings(target, seconds):
    """CVE-2019-9512 as it is told: questions whose answers nobody reads."""
    ends = 0
    for _ in again(seconds):
        with target.http2(receive=4096) as h2:
            h2.socket.settimeout(1)
            for _ in range(1000):
                if not h2.try_send(frame(PING, 0, 0, b"12345678") * 500):
                    break
            h2.socket.settimeout(PATIENCE_SECONDS)
            assert h2.has_ended(PATIENCE_SECONDS)
            ends += 1
    return f"{ends} connections ended"


# ---- Peers that do not read ----

def zero_window(target, seconds):
    """Large answers are asked for with every window shut, and behind them small ones that need no window."""
    none = setting(4, 0)
    peers = []
    for _ in range(8):
        begun = time.monotonic()
        h2 = target.http2(none)
        for i in range(1, 120, 2):
            h2.send(frame(HEADERS, END_STREAM | END_HEADERS, i, target.block(b"GET", target.job.encode())))
        peers.append(h2)
    resets, other = 0, 121
    end = time.monotonic() + PATIENCE_SECONDS
    while peers and time.monotonic() < end:
        time.sleep(0.2)
        asked = range(other, other + 2 * 40, 2)
        other += 2 * 40
        for h2 in list(peers):
            try:
                # Its answer has no body, and so needs no window. There are enough of them to keep the connection's pace.
                for i in asked:
                    h2.send(frame(HEADERS, END_STREAM | END_HEADERS, i, target.block(b"OPTIONS", b"/app")))
                h2.until_closed(*asked)
                done = [i for i in range(1, 120, 2) if i in h2.resets]
            except Ended:
                done = range(1, 120, 2)
            if len(done) == 60:
                assert set(h2.resets.values()) <= {CANCEL}, h2.resets
                resets += 60
                h2.socket.close()
                peers.remove(h2)
    assert not peers, f"{len(peers)} connections still hold answers"
    assert_lasted(begun)
    return f"{resets} answers given up"


def small_windows(target, seconds):
    """A byte of window now and then for each of many answers."""
    begun = time.monotonic()
    h2 = target.http2(setting(4, 1))
    streams = range(1, 60, 2)
    for i in streams:
        h2.send(frame(HEADERS, END_STREAM | END_HEADERS, i, target.block(b"GET", target.job.encode())))
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while not h2.closed >= set(streams):
            assert time.monotonic() < end, "answers are kept for a byte each now and then"
            for i in set(streams) - h2.closed:
                h2.send(window(i, 1))
            while select.select([h2.socket], [], [], 0.2)[0]:
                h2.next()
        said = f"{len(h2.resets)} answers given up"
    except Ended:
        said = "the connection ended"
    finally:
        h2.socket.close()
    assert_lasted(begun)
    return said


def slow_read(target, seconds):
    """HTTP/1.1: many large answers, a few bytes of which are read now and then."""
    peers = []
    request = target.head("GET", target.job) + b"\r\n"
    for _ in range(40):
        try:
            begun = time.monotonic()
            peer = target.http1(receive=4096)
            peer.send(request * 20)
            peers.append(peer)
        except Ended:
            pass
    assert peers
    count = len(peers)
    end = time.monotonic() + PATIENCE_SECONDS
    while established(target) > 0 and time.monotonic() < end:
        time.sleep(0.2)
        for peer in list(peers):
            try:
                peer.fill(20)
            except Ended:
                peer.socket.close()
                peers.remove(peer)
    left = established(target)
    for peer in peers:
        peer.socket.close()
    assert left == 0, f"{left} connections are still open"
    assert_lasted(begun)
    return f"{count} connections ended"


def established(target):
    """How many connections from the attacker's address the server has open, as the kernel counts."""
    mine = "0100007F"
    port = f"{target.server.port:04X}"
    count = 0
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            _, local, remote, state = line.split()[:4]
            count += local == f"{mine}:{port}" and remote.startswith(mine) and state == "01"
    return count


# ---- Slowloris ----

def dribble(*groups):
    """Groups are peers and a piece that each of them gets now and then, until the other side has enough of all."""
    alive = [(peer, piece) for peers, piece in groups for peer in peers]
    count = len(alive)
    end = time.monotonic() + PATIENCE_SECONDS
    while alive and time.monotonic() < end:
        for peer, piece in list(alive):
            if peer.has_ended(0) or not peer.try_send(piece) or peer.has_ended(0):
                assert_lasted(peer.begun)
                alive.remove((peer, piece))
        time.sleep(0.3)
    for peers, _ in groups:
        for peer in peers:
            peer.socket.close()
    assert not alive, f"{len(alive)} of {count} are still open after {PATIENCE_SECONDS} s"
    return f"{count} connections ended"


def peers_of(make, count=8):
    """What is made, each with the time at which that was begun."""
    peers = []
    for _ in range(count):
        begun = time.monotonic()
        peers.append(make())
        peers[-1].begun = begun
    return peers


def bare(target):
    """Connections without the handshake of TLS."""
    return peers_of(lambda: Peer(target.connect()))


def slow_tcp(target, seconds):
    """Connected, and not a byte."""
    return dribble((bare(target), b""))


def slow_handshake(target, seconds):
    """TLS: a hello that comes byte by byte."""
    peers = bare(target)
    for peer in peers:
        peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return dribble((peers, b"x"))


def slow_preface(target, seconds):
    """Most of the preface of HTTP/2; and all of it, but no SETTINGS."""
    starts = [*(PREFACE[:14 + i] for i in range(4)), *[PREFACE] * 4]

    def make():
        peer = Peer(target.connect("h2"))
        peer.send(starts.pop())
        return peer
    return dribble((peers_of(make, len(starts)), b""))


def slow_head(target, seconds):
    """HTTP/1.1: a head that goes on, field by field; and in HTTP/2 a block that is never whole, a frame that is not."""
    def make1():
        peer = target.http1()
        peer.send(target.head("GET", "/app"))
        return peer

    def make2():
        h2 = target.http2()
        h2.send(frame(HEADERS, 0, 1, target.block()))
        return h2

    def make3():
        h2 = target.http2()
        h2.send(frame(HEADERS, END_HEADERS, 1, b"x" * 1000)[:30])
        return h2
    return dribble((peers_of(make1), b"x: y\r\n"), (peers_of(make2), b""), (peers_of(make3), b"x"))


def slow_body(target, seconds):
    """HTTP/1.1: a body that goes on, a byte at a time."""
    def make():
        peer = target.http1()
        peer.send(target.head("POST", "/app", "Content-Type: application/json", "Content-Length: 100000") + b"\r\n{")
        return peer

    def make_chunked():
        peer = target.http1()
        peer.send(target.head("POST", "/app", "Content-Type: application/json", "Transfer-Encoding: chunked") + b"\r\n")
        return peer
    return dribble((peers_of(make), b" "), (peers_of(make_chunked), b"1\r\n \r\n"))


def slow_bodies(target, seconds):
    """HTTP/2: bodies that go on a byte at a time, beside requests that are answered."""
    post = target.block(b"POST", b"/app", (b"content-type", b"application/json"))
    streams = range(1, 100, 2)
    begun = time.monotonic()
    with target.http2() as h2:
        for i in streams:
            h2.send(frame(HEADERS, END_HEADERS, i, post))
        other = 101
        end = time.monotonic() + PATIENCE_SECONDS
        while not h2.closed >= set(streams):
            assert time.monotonic() < end, f"{len(set(streams) - h2.closed)} bodies are still awaited"
            time.sleep(0.2)
            for i in set(streams) - h2.closed:
                h2.send(frame(DATA, 0, i, b" "))
            h2.send(frame(HEADERS, END_STREAM | END_HEADERS, other, target.block()))
            while other not in h2.closed:
                h2.next()
            other += 2
        assert h2.goaway is None
    assert_lasted(begun)
    return f"{len(streams)} streams ended"


def idle(target, seconds):
    """Connections that were of use once, and stay."""
    def make1():
        peer = target.http1()
        peer.send(target.head("GET", "/app?page_size=1") + b"\r\n")
        assert peer.answer()[0] == 200
        return peer
    peers = peers_of(make1) + peers_of(lambda: target.http2())
    return dribble((peers, b""))


# ---- Too many ----

def connection_flood(target, seconds):
    """As many connections as there may be, again and again: only so many of them are served at a time."""
    most = refused = 0
    request = target.head("GET", "/app?page_size=1") + b"\r\n"
    for _ in again(seconds):
        started = time.monotonic()
        peers, served = [], 0
        for _ in range(3 * CONNECTIONS_PER_ADDRESS):
            try:
                peer = target.http1()
                peers.append(peer)
                peer.send(request)
                served += peer.answer()[0] == 200
            except Ended:
                refused += 1
        for peer in peers:
            peer.socket.close()
        # On a machine so slow that the first are idle for too long before the last have come, nothing is to be said.
        if time.monotonic() - started < IDLE_SECONDS:
            assert served <= CONNECTIONS_PER_ADDRESS, f"{served} are served at a time"
            most = max(most, served)
    assert refused > 0
    return f"{most} served at a time, {refused} refused"


def handshake_flood(target, seconds):
    """TLS: handshakes for nothing."""
    count = 0
    for _ in again(seconds):
        try:
            target.connect("h2").close()
            count += 1
        except Ended:
            pass
    assert count > 0, "no handshake was done"
    return f"{count} handshakes"


def keyless_streams(target, seconds):
    """Health/Watch, which takes no key, on every stream there may be: so many are open as may be without a key, and the rest is
    told that there are too many. Who has a key is served, and so is the operator."""
    watch = b"".join(literal(name, value) for name, value in [
        (b":method", b"POST"), (b":path", b"/grpc.health.v1.Health/Watch"), (b":scheme", b"http"), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")])
    streams = range(1, 2 * STREAMS, 2)
    ask = b"".join(frame(HEADERS, END_HEADERS, i, watch) + frame(DATA, END_STREAM, i, bytes(5)) for i in streams)
    for _ in again(seconds):
        counts = {"open": 0, "8": 0}  # by grpc-status: RESOURCE_EXHAUSTED
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTIONS_PER_ADDRESS - 4):
                h2 = stack.enter_context(target.http2())
                h2.send(ask)
                heads, decoder = {}, hpack.Decoder()
                while len(heads) < len(streams):
                    kind, _, stream, payload = h2.next()
                    if kind == HEADERS:
                        heads.setdefault(stream, dict(decoder.decode(payload)).get("grpc-status", "open"))
                for status in heads.values():
                    counts[status] += 1
            peer = stack.enter_context(target.http1())
            peer.send(target.head("GET", "/app?page_size=1") + b"\r\n")
            assert peer.answer()[0] == 200
            told = harness.tool("user", "list", "--data", target.server.data)
            assert told.returncode == 0 and "mallory" in told.stdout, told
        assert 0 < counts["open"] <= KEYLESS_CALLS and counts["8"] > 0, counts
    return f"{counts['open']} open at a time, {counts['8']} refused"


def smuggling(target, seconds):
    """Requests that two parsers read differently: one error at most, and the connection ends."""
    count = 0
    for _ in again(seconds):
        for form, data in SMUGGLING.items():
            with target.http1() as peer:
                if peer.try_send(data.replace(b"KEY", target.key.encode())):
                    statuses = peer.answers()
                    assert len(statuses) <= 1 and all(status >= 400 for status in statuses), (form, statuses)
            count += 1
    return f"{count} requests refused"


# ---- Keys ----

def key_guessing(target, seconds):
    """Wrong keys on one connection after the other: a hundred are looked up. Then the right one, of somebody who was
    never here, makes no difference, while the attacker's own key goes on."""
    statuses = {}
    waits = set()
    n = 0

    def ask(peer, key):
        peer.send(target.head("GET", "/app?page_size=1", key=key) + b"\r\n")
        status, fields, _ = peer.answer()
        if status == 429:
            waits.add(int(fields["retry-after"]))
        return status

    with target.http1() as peer:
        assert ask(peer, target.key) == 200
    for _ in again(seconds):
        with target.http1() as peer:
            for _ in range(200):
                status = ask(peer, f"guess-{n}")
                statuses[status] = statuses.get(status, 0) + 1
                n += 1
    with target.http1() as peer:
        assert ask(peer, target.stranger) == 429
        assert ask(peer, target.key) == 200
    assert set(statuses) == {403, 429} and statuses[403] <= 100 + seconds / 6 + 10, statuses
    assert all(0 < wait <= 12 for wait in waits), waits
    return f"{statuses[403]} looked up, {statuses[429]} refused"


# ---- Bodies ----

def bodies(target, seconds):
    """As many of the largest bodies as one key can start: its share is taken, and no more."""
    size = (4 << 20) - 1000
    started, refused = [], 0
    for _ in range(CONNECTIONS_PER_ADDRESS - 4):
        peer = target.http1()
        peer.send(target.head("POST", "/app", "Content-Type: application/json", f"Content-Length: {size}") + b"\r\n")
        sent = 0
        while sent + 65536 < size and not select.select([peer.socket], [], [], 0)[0]:
            if not peer.try_send(b" " * 65536):
                break
            sent += 65536
        started.append(peer)
    for peer in started:
        statuses = peer.answers() if select.select([peer.socket], [], [], 0)[0] else []
        refused += any(status in (429, 503) for status in statuses)
        peer.socket.close()
    assert refused > 0, f"{refused} of {len(started)} refused"
    return f"{refused} of {len(started)} refused"


def post(target, body, path="/app"):
    with target.http1() as peer:
        peer.try_send(target.head("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}") + b"\r\n" + body)
        return peer.answer()[0]


def nesting(target, seconds):
    """JSON that is as deep as it is long."""
    count = 0
    for _ in again(seconds):
        for body in (b"[" * 4000000, b'{"a":' * 700000, b'{"name":' + b"[" * 65 + b"]" * 65 + b"}",
                     # Nothing is wrong with this one but its depth.
                     b'{"name":"x","configuration":{"gpu_tier":"BASIC"},"workflow":{"model_url":"https://example.com/x","tools":'
                     + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}}"):
            assert post(target, body) == 400
            count += 1
    return f"{count} refused"


def hash_flood(target, seconds):
    """Objects with as many members as fit, whose names collide in hash functions without a key: 'Aa' and 'BB' in that of
    Java, and long rows of NUL-free bytes that differ in one place."""
    def names(n):
        return "".join("Aa" if n >> bit & 1 else "BB" for bit in range(18))
    members = ",".join(f'"{names(n)}":0' for n in range(1 << 16)).encode()
    count = 0
    for _ in again(seconds):
        assert post(target, b'{"name":"x","configuration":{"gpu_tier":"BASIC"},"workflow":{"model_url":"https://example.com/x",'
                    b'"tools":{' + members + b"}}}") == 400
        assert post(target, b'{"input":{' + members + b"}}", target.job.partition("/job/")[0] + "/run_async") in (200, 400, 413)
        count += 2
    return f"{count} answered"


def many_elements(target, seconds):
    """A message of millions of empty elements, two bytes each, which would be a hundred bytes each in memory."""
    def field(number, data):
        length, out = len(data), bytes([number << 3 | 2])
        while length >= 128:
            out += bytes([length & 127 | 128])
            length >>= 7
        return out + bytes([length]) + data
    loras = b"\x12\x00" * 2000000
    deep = b""
    for _ in range(1000):
        deep = field(5, deep)
    groups = b"\x1b" * 100000  # of a kind that nobody uses any more
    statuses = []
    for _ in again(seconds):
        for message in (field(1, field(5, loras)), field(1, deep), groups):
            with target.http2() as h2:
                h2.send(frame(HEADERS, END_HEADERS, 1, target.block(
                    b"POST", b"/allod.v1.AppService/CreateApp", (b"content-type", b"application/grpc"), (b"te", b"trailers"))))
                h2.upload(1, struct.pack(">BI", 0, len(message)) + message)
                h2.until_closed(1)
                statuses.append(h2.goaway)
    assert set(statuses) == {None}, statuses
    return f"{len(statuses)} refused"
