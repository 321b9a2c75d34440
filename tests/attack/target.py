"""The server that is attacked, as its attacker sees it: sockets from 127.0.0.1, frames of HTTP/2, bytes of HTTP/1.1."""

import os
import re
import select
import socket
import ssl
import struct
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "client"))

from test_hostile import PREFACE, SETTINGS, frame, literal  # noqa: E402

# What the server is told, so that what takes 10 or 30 seconds by itself can be seen.
HEAD_SECONDS = 2
BODY_SECONDS = 2
WRITE_SECONDS = 2
IDLE_SECONDS = 5
CONNECTIONS_PER_ADDRESS = 64
# From the first byte that is late to the end: one span to be seen, one to be judged, and a slow machine.
PATIENCE_SECONDS = 30
# What ends before the shortest time-out, whose clock is that of a loop and so a little early, was refused.
TIMEOUT_SECONDS = 0.9 * min(HEAD_SECONDS, BODY_SECONDS, WRITE_SECONDS, IDLE_SECONDS)



def limit(name):
    """A number of rpc/limits.h."""
    with open(os.path.join(ROOT, "rpc", "limits.h")) as file:
        number, shift = re.search(rf"^#define {name} +\(?(?:\(size_t\))?(\d+)(?: << (\d+)\))?", file.read(), re.M).groups()
    return int(number) << int(shift or 0)


STREAM_WINDOW = limit("H2_STREAM_WINDOW")  # the server's, for each stream
STREAMS = limit("H2_STREAMS_MAX")  # of a connection, and the calls of methods without a key that may be open in all:
KEYLESS_CALLS = limit("CALLS_OPEN_MAX") // limit("KEYLESS_SHARE")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS_FRAME, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
CANCEL, ENHANCE_YOUR_CALM = 8, 11


class Ended(Exception):
    """The connection is closed or reset."""


class Target:
    def __init__(self, server, is_encrypted, key, stranger, job):
        self.server = server
        self.is_encrypted = is_encrypted
        self.key = key  # the attacker's own
        self.stranger = stranger  # a right key that was never used from this address
        self.job = job  # path of a job of the attacker whose answer is large
        self.address = "127.0.0.1"

    def connect(self, protocol=None, receive=None):
        """A socket; with TLS up to the end of the handshake, unless `protocol` is None."""
        raw = socket.socket()
        raw.settimeout(PATIENCE_SECONDS)
        if receive:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        raw.bind((self.address, 0))
        try:
            raw.connect(("127.0.0.1", self.server.port))
            if not self.is_encrypted or protocol is None:
                return raw
            context = ssl._create_unverified_context()
            context.set_alpn_protocols([protocol])
            return context.wrap_socket(raw)
        except (OSError, ssl.SSLError) as error:
            raw.close()
            raise Ended(error)

    def http1(self, receive=None):
        return Peer(self.connect("http/1.1", receive))

    def http2(self, settings=b"", receive=None):
        return Frames(self.connect("h2", receive), settings)

    def head(self, method, path, *lines, key=None):
        """Of HTTP/1.1, without its end."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"x-api-key: {key or self.key}", *lines, ""]).encode()

    def block(self, method=b"GET", path=b"/app?page_size=1", *more):
        return b"".join(literal(name, value) for name, value in [
            (b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"x"), (b"x-api-key", self.key.encode()),
            *more])


class Peer:
    """A socket that says when it has ended."""

    def __init__(self, raw):
        self.socket = raw
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (OSError, ssl.SSLError) as error:
            raise Ended(error)

    def try_send(self, data):
        """What the socket takes; False: it has ended."""
        try:
            self.send(data)
            return True
        except Ended:
            return False

    def fill(self, size=65536):
        try:
            data = self.socket.recv(size)
        except (TimeoutError, socket.timeout):
            raise AssertionError("nothing came for a long time")
        except (OSError, ssl.SSLError):
            data = b""
        if not data:
            raise Ended()
        self.buffer += data

    def has_ended(self, seconds):
        """Whether the other side ends the connection within that time; what comes until then is thrown away."""
        end = time.monotonic() + seconds
        while True:
            left = max(0, end - time.monotonic())
            pending = getattr(self.socket, "pending", lambda: 0)()
            if not pending and not select.select([self.socket], [], [], left)[0]:
                return False
            try:
                self.fill()
                self.buffer = b""
            except Ended:
                return True

    def answers(self):
        """Statuses of all answers up to the end of the connection."""
        try:
            while True:
                self.fill()
        except Ended:
            pass
        return [int(part[:3]) for part in self.buffer.split(b"HTTP/1.1 ")[1:]]

    def answer(self):
        """(status, head, body) of the next one, which has a length."""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(fields.get("content-length", 0))
        while len(self.buffer) < length:
            self.fill()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(lines[0].split()[1]), fields, body


class Frames(Peer):
    """A connection of HTTP/2."""

    def __init__(self, raw, settings=b""):
        super().__init__(raw)
        self.goaway = None
        self.resets = {}
        self.closed = set()
        self.windows = {0: 65535}  # of the peer, as far as it has told
        self.send(PREFACE + (frame(SETTINGS_FRAME, 0, 0, settings) if settings else SETTINGS))

    def next(self):
        """(type, flags, stream, payload)"""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            self.fill()
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        if kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])[1]
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", payload)[0]
            self.closed.add(stream)
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, STREAM_WINDOW) + struct.unpack(">I", payload)[0]
        elif kind in (DATA, HEADERS) and flags & END_STREAM:
            self.closed.add(stream)
        return kind, flags, stream, payload

    def upload(self, stream, data):
        """The body of a request, as fast as it is taken, until the answer is there."""
        self.windows.setdefault(stream, STREAM_WINDOW)
        while data and stream not in self.closed:
            room = min(self.windows[0], self.windows[stream], 16384)
            if room == 0 or select.select([self.socket], [], [], 0)[0]:
                self.next()
                continue
            part, data = data[:room], data[room:]
            self.windows[0] -= len(part)
            self.windows[stream] -= len(part)
            self.send(frame(DATA, 0 if data else END_STREAM, stream, part))

    def until_closed(self, *streams):
        while not self.closed >= set(streams):
            self.next()

    def flood(self, data, rounds):
        """Send it again and again, then read to the end. The code of the GOAWAY, None if there was none. A connection
        that does not end fails."""
        self.socket.settimeout(0.5)
        for _ in range(rounds):
            if not self.try_send(data):
                break
            if select.select([self.socket], [], [], 0)[0]:
                try:
                    while select.select([self.socket], [], [], 0)[0]:
                        self.next()
                except (Ended, AssertionError):
                    break
        self.socket.settimeout(PATIENCE_SECONDS)
        try:
            while True:
                self.next()
        except Ended:
            return self.goaway
