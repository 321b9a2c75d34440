"""The end of a server as its clients see it, and of connections that are old; what the service manager hears."""

import os
import signal
import socket
import struct

import pytest

import harness
import rpcs
from harness import BOUND_SECONDS, Raw, Server, Store, serving

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS, PING, GOAWAY = 1, 4, 6, 7
ACK = 1


@pytest.fixture
def small(tmp_path):
    return Store(tmp_path / "store")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def next_frame(raw, *kinds):
    """(kind, flags, stream, payload) of the next frame of these kinds; None at the end of the connection."""
    while True:
        while len(raw.buffer) < 9 or len(raw.buffer) < 9 + int.from_bytes(raw.buffer[:3], "big"):
            if not raw.fill():
                return None
        length = int.from_bytes(raw.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", raw.buffer[3:9])
        payload, raw.buffer = raw.buffer[9:9 + length], raw.buffer[9 + length:]
        if kind in kinds:
            return kind, flags, stream, payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def get(path, key):
    return (literal(b":method", b"GET") + literal(b":scheme", b"http") + literal(b":path", path) +
            literal(b":authority", b"a") + literal(b"x-api-key", key.encode()))


def greet(raw):
    raw.send(PREFACE + frame(SETTINGS, 0, 0))
    assert next_frame(raw, SETTINGS)[1] == 0
    raw.send(frame(SETTINGS, ACK, 0))


def test_goaways(small):
    """GOAWAY with the greatest id and a PING; a request that crosses them is answered; then GOAWAY with its id, the end."""
    server = Server(small.data)
    with Raw(server) as raw:
        greet(raw)
        raw.send(frame(PING, 0, 0, b"12345678"))
        assert next_frame(raw, PING)[1] == ACK
        server.child.send_signal(signal.SIGTERM)
        last, code = struct.unpack(">II", next_frame(raw, GOAWAY)[3][:8])
        assert (last, code) == (2**31 - 1, 0)
        ping = next_frame(raw, PING)
        raw.send(frame(HEADERS, 5, 1, get(b"/app", small.alice.key)) + frame(PING, ACK, 0, ping[3]))
        seen = [next_frame(raw, HEADERS, GOAWAY), next_frame(raw, HEADERS, GOAWAY)]
        assert {entry[0] for entry in seen} == {HEADERS, GOAWAY}
        goaway = next(entry for entry in seen if entry[0] == GOAWAY)
        assert struct.unpack(">II", goaway[3][:8]) == (1, 0)
        assert next_frame(raw, HEADERS) is None
    server.assert_ended_well()


def test_accept_queue(small):
    """Who had connected when the signal came is answered, though nobody had accepted it yet: the server stands still while
    they come, and a connection that says nothing holds nobody up."""
    server = Server(small.data, "--workers", "2")
    server.child.send_signal(signal.SIGSTOP)
    waiting = [Raw(server) for _ in range(80)]  # more than are accepted in one turn
    for raw in waiting[1:]:
        raw.send(b"GET /app HTTP/1.1\r\nHost: a\r\nx-api-key: " + small.alice.key.encode() + b"\r\n\r\n")
    server.child.send_signal(signal.SIGTERM)
    server.child.send_signal(signal.SIGCONT)
    for raw in waiting[1:]:
        answer = raw.answer()
        assert answer is not None and answer.status == 200
        assert raw.rest() == b""
        raw.socket.close()
    assert waiting[0].rest() == b""
    with pytest.raises(ConnectionRefusedError):
        Raw(server)
    server.assert_ended_well()


def test_kept_alive(small):
    """A request on its way to a connection that is kept alive is answered, with `Connection: close`: it is sent when the
    server has begun to drain. One that stays idle does not hold it up."""
    request = b"GET /app HTTP/1.1\r\nHost: a\r\nx-api-key: " + small.alice.key.encode() + b"\r\n\r\n"
    server = Server(small.data, "--drain-timeout", "1h")
    with Raw(server) as raw, Raw(server) as idle:
        for each in (raw, idle):
            each.send(request)
            assert each.answer().status == 200
        server.child.send_signal(signal.SIGTERM)
        server.wait_for(" draining ")
        raw.send(request)
        answer = raw.answer()
        assert answer is not None and answer.status == 200
        assert answer.headers["connection"] == "close"
        assert raw.rest() == idle.rest() == b""
        server.assert_ended_well()


def upload(small, raw):
    """A request under way: all of it but its last byte, which the server has begun to read."""
    body = b'{"name": "late", "configuration": {"gpu_tier": "STANDARD"}, "workflow": {"model_url": "https://e.com/m"}}'
    raw.send(b"POST /app HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nx-api-key: " +
             small.alice.key.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert raw.interim().startswith(b"HTTP/1.1 100")
    raw.send(body[:-1])
    return body[-1:]


def test_in_flight(small):
    """What is under way is finished after the signal, and says that the connection ends."""
    server = Server(small.data)
    with Raw(server) as raw:
        rest = upload(small, raw)
        server.child.send_signal(signal.SIGTERM)
        server.wait_for(" draining ")
        raw.send(rest)
        answer = raw.answer()
        assert answer.status in (201, 503)  # the writer takes updates only for a moment longer
        assert answer.headers["connection"] == "close"
    server.assert_ended_well()


def test_drain_timeout(small):
    """Whoever does not finish in time is left behind."""
    server = Server(small.data, "--drain-timeout", "1s")
    with Raw(server) as raw:
        upload(small, raw)
        server.child.send_signal(signal.SIGTERM)
        server.assert_ended_well()
        assert raw.rest() == b""


def test_second_signal(small):
    server = Server(small.data, "--drain-timeout", "1h")
    with Raw(server) as raw:
        upload(small, raw)
        server.child.send_signal(signal.SIGTERM)
        server.wait_for(" draining ")
        server.child.send_signal(signal.SIGTERM)
        server.assert_ended_well()
        assert raw.rest() == b""


def test_old_connections(small):
    """At its age a connection is asked to end, and the client goes on over another without a failure."""
    with serving(small.data, "--max-connection-age", "1s") as server:
        with Raw(server) as raw:
            greet(raw)
            assert struct.unpack(">II", next_frame(raw, GOAWAY)[3][:8]) == (2**31 - 1, 0)
            raw.send(frame(PING, ACK, 0, next_frame(raw, PING)[3]))
            assert struct.unpack(">II", next_frame(raw, GOAWAY)[3][:8]) == (0, 0)
            assert next_frame(raw, HEADERS) is None
        with rpcs.channel(server.address) as channel:
            client = rpcs.Client(channel, small.alice.headers())
            with Raw(server) as other:  # calls run from one end of another connection's life to the other
                greet(other)
                other.socket.setblocking(False)
                while True:
                    client("ListApps")
                    try:
                        if other.socket.recv(1000) == b"":
                            break
                    except BlockingIOError:
                        pass


def test_times(small):
    for option, value in (("--drain-timeout", "0"), ("--drain-timeout", "5"), ("--drain-timeout", "1d"),
                          ("--max-connection-age", "x"), ("--max-connection-age", "-1s")):
        answer = harness.tool("serve", "--data", small.data, option, value)
        assert answer.returncode == 2 and option in answer.stderr


# ---- The service manager ----

@pytest.mark.parametrize("is_abstract", [False, True])
def test_notify(small, tmp_path, monkeypatch, is_abstract):
    name = f"@allod-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(BOUND_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        with serving(small.data) as server:
            assert manager.recv(100) == b"READY=1"
            server.child.send_signal(signal.SIGHUP)
            assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1"


def test_no_core(small):
    """A core would hold keys. 1 and not 0: the kernel runs a core handler for 0, and for 1 nothing."""
    with serving(small.data) as server:
        with open(f"/proc/{server.child.pid}/limits") as limits:
            line = next(line for line in limits if line.startswith("Max core file size"))
        assert line.split()[4:6] == ["1", "1"]
