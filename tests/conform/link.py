"""One connection of HTTP/2 as a client that may do wrong: frames out as told, frames in as they come, and what is expected of them.

Nothing here waits for time to pass. Whether a server took a frame without a word is known from two PINGs behind it: a server
may answer a PING before all that it already has to say, but the second one only after that.
"""

import socket
import ssl
import struct

import hpack

BOUND_SECONDS = 20

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR) = range(10)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Failure(AssertionError):
    """The server did not do what the RFC says."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, bits, first=0):
    """RFC 7541 section 5.1."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out, value = [first | top], value - top
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def text(value):
    return number(len(value), 7) + value


def literal(name, value):
    """A field without indexing, its name new: RFC 7541 section 6.2.2."""
    return b"\x00" + text(name) + text(value)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


def headers(stream, fields, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, fields if isinstance(fields, bytes) else block(fields))


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


class Link:
    """seen: all frames that came, (kind, flags, stream, payload); answers: by stream, [status, fields, body, is ended]."""

    def __init__(self, target):
        self.target = target
        self.socket = target.connect("h2")
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.fragment = b""
        self.seen = []
        self.answers = {}
        self.pings = 0
        self.is_over = False

    def close(self):
        self.socket.close()

    # ---- Bytes and frames ----

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            pass  # it has ended the connection; why is there to be read

    def _fill(self, size):
        while len(self.buffer) < size and not self.is_over:
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                raise Failure("it says nothing and does not close") from None
            except (ConnectionError, ssl.SSLError):
                data = b""
            self.is_over = data == b""
            self.buffer += data
        return len(self.buffer) >= size

    def read(self):
        """The next frame, or None at the end."""
        if not self._fill(9):
            return None
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        if not self._fill(9 + length):
            return None
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        if length > 16384:
            raise Failure(f"a frame of {length} bytes, and we never said that we take those")
        got = (kind, flags, stream, payload)
        self.seen.append(got)
        self._note(*got)
        return got

    def _note(self, kind, flags, stream, payload):
        if kind in (HEADERS, CONTINUATION):
            self.fragment += payload
            if flags & END_HEADERS:
                fields = self.decoder.decode(self.fragment, raw=True)
                self.fragment = b""
                self._head(stream, fields)
        elif kind == DATA:
            self.answers[stream][2] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.answers[stream][3] = True

    def _head(self, stream, fields):
        answer = self.answers.get(stream)
        if answer is not None and answer[0] >= 200:
            return  # trailers
        names = [name for name, _ in fields]
        if names[0] != b":status" or any(name.startswith(b":") for name in names[1:]):
            raise Failure(f"pseudo-header fields of an answer: {names}")
        if any(name != name.lower() for name in names):
            raise Failure(f"upper case in an answer: {names}")
        if {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"} & set(names):
            raise Failure(f"fields of HTTP/1.1 in an answer: {names}")
        self.answers[stream] = [int(fields[0][1]), fields, b"", False]

    def greet(self, *pairs):
        """The prefaces of both sides, and their acknowledgements."""
        self.send(PREFACE, settings(*pairs))
        is_greeted = is_acknowledged = False
        while not (is_greeted and is_acknowledged):
            got = self.read()
            if got is None:
                raise Failure("it closed in place of greeting")
            if not is_greeted and (got[0] != SETTINGS or got[1] & ACK):
                raise Failure(f"its first frame is of type {got[0]}, not SETTINGS")
            if got[0] == SETTINGS and got[1] & ACK:
                is_acknowledged = True
            elif got[0] == SETTINGS:
                is_greeted = True
                self.theirs = dict(struct.iter_unpack(">HI", got[3]))
                self.send(frame(SETTINGS, ACK, 0))
        return self

    def is_alive(self):
        """Read all that it has to say about what was sent so far. False: it ended the connection."""
        for _ in range(2):
            self.pings += 1
            word = b"ping%04d" % self.pings
            self.send(frame(PING, 0, 0, word))
            while True:
                got = self.read()
                if got is None:
                    return False
                if got[0] == PING and got[1] & ACK and got[3] == word:
                    break
        return True

    def resets(self):
        return {stream: int.from_bytes(payload, "big") for kind, _, stream, payload in self.seen if kind == RST_STREAM}

    def goaways(self):
        return [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in self.seen if kind == GOAWAY]

    # ---- What is expected ----

    def connection_error(self, *codes):
        """GOAWAY with one of the codes, and the end."""
        if self.is_alive():
            raise Failure(f"the connection goes on; resets: {self.resets()}, answers: {self._statuses()}")
        if not self.goaways():
            raise Failure("it closed without GOAWAY")
        if self.goaways()[-1] not in codes:
            raise Failure(f"GOAWAY with {self.goaways()[-1]}, not {codes}")

    def stream_error(self, stream, *codes):
        """RST_STREAM with one of the codes; or GOAWAY, since a server may make more of it (RFC 9113 section 5.4.1)."""
        if not self.is_alive() or self.goaways():
            if self.goaways() and self.goaways()[-1] in codes:
                return
            raise Failure(f"it ended the connection: GOAWAY {self.goaways()}")
        if self.resets().get(stream) not in codes:
            raise Failure(f"resets: {self.resets()}, answers: {self._statuses()}")

    def malformed(self, stream):
        """A stream error PROTOCOL_ERROR, maybe behind an answer 400 (RFC 9113 section 8.1.1)."""
        self.stream_error(stream, PROTOCOL_ERROR)
        if self.answers.get(stream, [400])[0] != 400:
            raise Failure(f"answers: {self._statuses()}")

    def unmoved(self):
        """Neither reset nor GOAWAY."""
        if not self.is_alive() or self.goaways():
            raise Failure(f"it ended the connection: GOAWAY {self.goaways()}")
        if self.resets():
            raise Failure(f"resets: {self.resets()}")

    def answer(self, stream, status=None):
        """The whole answer, with this status if one is given. A stream may be reset behind it with NO_ERROR."""
        while not self.answers.get(stream, [0, 0, 0, False])[3]:
            if self.read() is None:
                raise Failure(f"it ended the connection: GOAWAY {self.goaways()}")
            if self.resets().get(stream, NO_ERROR) != NO_ERROR:
                raise Failure(f"resets: {self.resets()}")
        answer = self.answers[stream]
        if status is not None and answer[0] != status:
            raise Failure(f"status {answer[0]}, not {status}")
        return answer

    def _statuses(self):
        return {stream: answer[0] for stream, answer in self.answers.items()}
