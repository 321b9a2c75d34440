"""RFC 9113, a case for each requirement that a server can be seen to keep. Each is told by what the client does; its function
asks for what the RFC says of that, with the freedom that the RFC leaves."""

from link import *

CASES = []


def case(rfc, title, *pairs, is_greeted=True):
    """A case on a connection of its own; pairs are the client's SETTINGS."""
    def add(function):
        CASES.append((f"{rfc} {title}", function, pairs if is_greeted else None))
        return function
    return add


def get(c, *more):
    return c.target.get + list(more)


def post(c, *more):
    return c.target.post + list(more)


def changed(fields, name, *values):
    """With the field left out, or there as often as there are values."""
    out = []
    for field in fields:
        out += [(name, value) for value in values] if field[0] == name else [field]
    return out


def opened(c, stream=1):
    """A request whose body is awaited."""
    c.send(headers(stream, post(c), END_HEADERS))


def closed(c, stream=1):
    """A stream that both sides have ended."""
    c.send(headers(stream, get(c)))
    c.answer(stream, 200)


# ---- 3.4: the preface ----

@case("9113 3.4", "a preface, and SETTINGS come first", is_greeted=False)
def _(c):
    c.greet()


@case("9113 3.4", "no preface of HTTP/2", is_greeted=False)
def _(c):
    c.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings())
    while c._fill(len(c.buffer) + 1):  # GOAWAY may be left out, an answer of HTTP/1.1 is allowed
        pass
    if b" 200 " in c.buffer[:16]:
        raise Failure("it was served")


@case("9113 3.4", "a preface without SETTINGS", is_greeted=False)
def _(c):
    c.send(PREFACE, frame(PING, 0, 0, b"12345678"))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 3.4", "a request right behind the preface, before anything was acknowledged", is_greeted=False)
def _(c):
    c.send(PREFACE, settings(), headers(1, get(c)))
    c.answer(1, 200)


# ---- 4: frames ----

@case("9113 4.1", "a frame of unknown type")
def _(c):
    c.send(frame(0x16, 0, 0, b"12345678"), frame(0x16, 0xff, 1, b""))
    c.unmoved()


@case("9113 4.1", "flags that are not defined")
def _(c):
    c.send(frame(PING, 0xfe, 0, b"12345678"))
    c.unmoved()
    if (PING, ACK, 0, b"12345678") not in c.seen:
        raise Failure("PING was not answered")


@case("9113 4.1", "the reserved bit")
def _(c):
    c.send(headers(1, get(c)).replace(b"\0\0\0\x01", b"\x80\0\0\x01", 1))
    c.answer(1, 200)


@case("9113 4.2", "DATA of the greatest size")
def _(c):
    opened(c)
    c.send(frame(DATA, END_STREAM, 1, b" " * 16384))
    c.answer(1)


@case("9113 4.2", "DATA above the greatest size")
def _(c):
    opened(c)
    c.send(frame(DATA, END_STREAM, 1, b" " * 16385))
    c.stream_error(1, FRAME_SIZE_ERROR)


@case("9113 4.2", "HEADERS above the greatest size")
def _(c):
    c.send(headers(1, get(c, (b"x", b"y" * 16385))))
    c.connection_error(FRAME_SIZE_ERROR)


@case("9113 4.2", "SETTINGS above the greatest size")
def _(c):
    c.send(settings(*[(0xff, 0)] * 2731))
    c.connection_error(FRAME_SIZE_ERROR)


@case("9113 4.3", "a field block that does not decode")
def _(c):
    c.send(headers(1, b"\x00\x02" + b"xx" + b"\x7f\xff\xff"))
    c.connection_error(COMPRESSION_ERROR)


@case("9113 4.3", "PRIORITY within a field block")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 4.3", "HEADERS of another stream within a field block")
def _(c):
    c.send(headers(1, get(c), END_STREAM), headers(3, get(c)))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 4.3", "a field block of a stream that is refused still counts for the table", (ENABLE_PUSH, 0))
def _(c):
    bad = changed(get(c), b":method")
    c.send(headers(1, block(bad) + b"\x40" + text(b"x-later") + text(b"v")))
    c.stream_error(1, PROTOCOL_ERROR)
    c.send(headers(3, block(get(c)) + b"\xbe"))
    c.answer(3, 200)


# ---- 5.1: states ----

for kind, name, body in ((DATA, "DATA", b"x"), (RST_STREAM, "RST_STREAM", b"\0\0\0\x08"), (WINDOW_UPDATE, "WINDOW_UPDATE", b"\0\0\0\x64"),
                         (CONTINUATION, "CONTINUATION", b"")):
    @case("9113 5.1", f"{name} on an idle stream")
    def _(c, kind=kind, body=body):
        c.send(frame(kind, END_HEADERS if kind == CONTINUATION else 0, 1, body))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "PRIORITY on an idle stream")
def _(c):
    c.send(frame(PRIORITY, 0, 1, b"\0\0\0\0\xff"))
    c.unmoved()
    c.send(headers(1, get(c)))
    c.answer(1, 200)


# The window of the answer is shut, so that the stream stays half closed.
@case("9113 5.1", "DATA on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), frame(DATA, END_STREAM, 1, b"x"))
    c.stream_error(1, STREAM_CLOSED)


@case("9113 5.1", "HEADERS on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), headers(1, get(c)))
    c.stream_error(1, STREAM_CLOSED)


@case("9113 5.1", "CONTINUATION on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


@case("9113 5.1", "WINDOW_UPDATE on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)))
    c.unmoved()
    c.send(window_update(1, 100_000))
    c.answer(1, 200)


@case("9113 5.1", "PRIORITY on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), frame(PRIORITY, 0, 1, b"\0\0\0\0\xff"))
    c.unmoved()


@case("9113 5.1", "RST_STREAM on a half-closed stream", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), rst(1), headers(3, get(c)), window_update(3, 100_000))
    c.answer(3, 200)
    c.unmoved()


# A closed stream: an error STREAM_CLOSED, or no notice at all (section 5.1: "MAY treat ... as a connection error").
for how in "reset", "ended":
    @case("9113 5.1", f"DATA on a stream that was {how}")
    def _(c, how=how):
        opened(c)
        c.send(rst(1) if how == "reset" else frame(DATA, END_STREAM, 1, b"{}"))
        if how == "ended":
            c.answer(1)
        c.send(frame(DATA, 0, 1, b"x"))
        if c.is_alive():
            if c.resets().get(1, STREAM_CLOSED) not in (STREAM_CLOSED, NO_ERROR):
                raise Failure(f"resets: {c.resets()}")
        else:
            c.connection_error(STREAM_CLOSED)

    # Section 5.1.1: a stream that is not new is PROTOCOL_ERROR; in 5.1 it is STREAM_CLOSED.
    @case("9113 5.1", f"HEADERS on a stream that was {how}")
    def _(c, how=how):
        opened(c)
        c.send(rst(1) if how == "reset" else frame(DATA, END_STREAM, 1, b"{}"))
        if how == "ended":
            c.answer(1)
        c.send(headers(1, get(c)))
        c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)

    @case("9113 5.1", f"CONTINUATION on a stream that was {how}")
    def _(c, how=how):
        opened(c)
        c.send(rst(1) if how == "reset" else frame(DATA, END_STREAM, 1, b"{}"))
        if how == "ended":
            c.answer(1)
        c.send(frame(CONTINUATION, END_HEADERS, 1))
        c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "trailers that crossed a reset by the server")
def _(c):
    c.send(headers(1, post(c, (b"content-length", b"1")), END_HEADERS), frame(DATA, 0, 1, b"{}"))
    c.stream_error(1, PROTOCOL_ERROR)
    c.send(headers(1, [(b"x-trailer", b"1")]), headers(3, get(c)))
    c.answer(3, 200)


@case("9113 5.1", "WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream")
def _(c):
    closed(c)
    c.send(window_update(1, 10), rst(1), frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"))
    c.unmoved()


@case("9113 5.1.1", "a stream of an even number")
def _(c):
    c.send(headers(2, get(c)))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 5.1.1", "a stream of a smaller number than the last one")
def _(c):
    c.send(headers(5, get(c)), headers(3, get(c)))
    c.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)  # stream 3 is closed by the first use of 5


@case("9113 5.1.1", "numbers that are left out")
def _(c):
    c.send(headers(7, get(c)), headers(1001, get(c)))
    c.answer(7, 200)
    c.answer(1001, 200)


@case("9113 5.1.1", "the greatest number, and then none is left")
def _(c):
    c.send(headers(0x7fffffff, get(c)))
    c.answer(0x7fffffff, 200)


@case("9113 5.1.2", "more streams than it said")
def _(c):
    limit = c.theirs.get(MAX_CONCURRENT_STREAMS)
    if limit is None or limit > 1000:
        raise Failure("it sets no limit")
    for number in range(limit + 1):
        opened(c, 2 * number + 1)
    c.stream_error(2 * limit + 1, PROTOCOL_ERROR, REFUSED_STREAM)


@case("9113 5.2.1", "it gives credit back for what it took")
def _(c):
    opened(c)
    for _ in range(64):  # 1 MiB and more than any first window
        c.send(frame(DATA, 0, 1, b" " * 16384))
        c.is_alive()
    granted = sum(int.from_bytes(payload, "big") for kind, _, stream, payload in c.seen if kind == WINDOW_UPDATE and stream == 0)
    if granted < 16384:
        raise Failure("no credit for the connection")


@case("9113 5.3.1", "a stream that depends on itself is no matter any more (RFC 7540 had it)")
def _(c):
    c.send(headers(1, b"\0\0\0\x01\xff" + block(get(c)), END_HEADERS | END_STREAM | PRIORITIZED))
    if c.is_alive():
        c.answer(1, 200) if 1 not in c.resets() else c.stream_error(1, PROTOCOL_ERROR)
    else:
        c.connection_error(PROTOCOL_ERROR)


@case("9113 5.4.1", "GOAWAY names the last stream, and the connection ends")
def _(c):
    closed(c)
    c.send(frame(PING, 0, 1, b"12345678"))
    c.connection_error(PROTOCOL_ERROR)
    last = [int.from_bytes(payload[:4], "big") for kind, _, _, payload in c.seen if kind == GOAWAY]
    if last[-1] != 1:
        raise Failure(f"last stream {last}, not 1")


@case("9113 5.4.2", "no reset is answered by a reset")
def _(c):
    opened(c)
    c.send(rst(1))
    c.unmoved()


@case("9113 5.5", "an extension's frame within a field block")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(0x16, 0, 0, b"x"), frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 5.5", "an extension's frame between a stream's frames")
def _(c):
    opened(c)
    c.send(frame(0x16, 0xff, 1, b"x" * 100), frame(DATA, END_STREAM, 1, b"{}"))
    c.answer(1)


# ---- 6.1, 6.2: DATA and HEADERS ----

@case("9113 6.1", "a body in several frames, padded and empty ones among them")
def _(c):
    opened(c)
    c.send(frame(DATA, 0, 1, b"{"), frame(DATA, PADDED, 1, b"\x05 " + bytes(5)), frame(DATA, 0, 1), frame(DATA, END_STREAM, 1, b"}"))
    c.answer(1)


@case("9113 6.1", "DATA on stream 0")
def _(c):
    c.send(frame(DATA, 0, 0, b"x"))
    c.connection_error(PROTOCOL_ERROR)


for size in 1, 2, 255:
    @case("9113 6.1", f"padding as long as DATA's payload or longer: {size} for 1")
    def _(c, size=size):
        opened(c)
        c.send(frame(DATA, PADDED | END_STREAM, 1, bytes([size])))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.1", "padded DATA without its length")
def _(c):
    opened(c)
    c.send(frame(DATA, PADDED | END_STREAM, 1))
    c.connection_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR)


@case("9113 6.2", "padded HEADERS")
def _(c):
    c.send(headers(1, b"\x08" + block(get(c)) + bytes(8), END_HEADERS | END_STREAM | PADDED))
    c.answer(1, 200)


@case("9113 6.2", "HEADERS with a priority")
def _(c):
    c.send(headers(1, b"\x80\0\0\0\xff" + block(get(c)), END_HEADERS | END_STREAM | PRIORITIZED))
    c.answer(1, 200)


@case("9113 6.2", "HEADERS without END_HEADERS, then PING")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(PING, 0, 0, b"12345678"))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.2", "HEADERS on stream 0")
def _(c):
    c.send(headers(0, get(c)))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.2", "padding longer than HEADERS's payload")
def _(c):
    c.send(headers(1, b"\xff" + block(get(c))[:100], END_HEADERS | END_STREAM | PADDED))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.2", "HEADERS too short for its priority")
def _(c):
    c.send(headers(1, b"\0\0", END_HEADERS | END_STREAM | PRIORITIZED))
    c.connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR)


# ---- 6.3, 6.4: PRIORITY and RST_STREAM ----

@case("9113 6.3", "PRIORITY on stream 0")
def _(c):
    c.send(frame(PRIORITY, 0, 0, b"\0\0\0\x01\x10"))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.3", "PRIORITY of a wrong length")
def _(c):
    opened(c)
    c.send(frame(PRIORITY, 0, 1, b"\0\0\0\0"))
    c.stream_error(1, FRAME_SIZE_ERROR)


@case("9113 6.4", "RST_STREAM on stream 0")
def _(c):
    c.send(rst(0))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.4", "RST_STREAM of a wrong length")
def _(c):
    opened(c)
    c.send(frame(RST_STREAM, 0, 1, b"\0\0\0"))
    c.connection_error(FRAME_SIZE_ERROR)


# ---- 6.5: SETTINGS ----

@case("9113 6.5", "an acknowledgement with a payload")
def _(c):
    c.send(frame(SETTINGS, ACK, 0, b"\0" * 6))
    c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.5", "SETTINGS on a stream")
def _(c):
    c.send(frame(SETTINGS, 0, 1, b""))
    c.connection_error(PROTOCOL_ERROR)


for size in 3, 5, 7:
    @case("9113 6.5", f"SETTINGS of {size} bytes")
    def _(c, size=size):
        c.send(frame(SETTINGS, 0, 0, b"\0" * size))
        c.connection_error(FRAME_SIZE_ERROR)


for name, value, code in ((ENABLE_PUSH, 2, PROTOCOL_ERROR), (INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
                          (MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR), (MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR)):
    @case("9113 6.5.2", f"setting {name} of {value}")
    def _(c, name=name, value=value, code=code):
        c.send(settings((name, value)))
        c.connection_error(code)


for name, value in ((HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 0xffffffff), (ENABLE_PUSH, 0), (ENABLE_PUSH, 1), (MAX_CONCURRENT_STREAMS, 0),
                    (INITIAL_WINDOW_SIZE, 0x7fffffff), (MAX_FRAME_SIZE, 16384), (MAX_FRAME_SIZE, (1 << 24) - 1),
                    (MAX_HEADER_LIST_SIZE, 0xffffffff), (0xffff, 7)):
    @case("9113 6.5.2", f"setting {name} of {value} is good")
    def _(c, name=name, value=value):
        if name == HEADER_TABLE_SIZE:
            c.decoder.max_allowed_table_size = value
        c.send(settings((name, value)))
        c.send(headers(1, get(c)))
        c.answer(1, 200)


@case("9113 6.5.2", "its own settings are such as the RFC allows")
def _(c):
    if c.theirs.get(ENABLE_PUSH, 0) != 0 or c.theirs.get(INITIAL_WINDOW_SIZE, 0) >= 1 << 31:
        raise Failure(f"settings: {c.theirs}")
    if not 16384 <= c.theirs.get(MAX_FRAME_SIZE, 16384) < 1 << 24:
        raise Failure(f"settings: {c.theirs}")


@case("9113 6.5.3", "the last of the same setting counts", (INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1))
def _(c):
    c.send(headers(1, get(c)))
    while not c.answers.get(1, [0, 0, b""])[2]:
        if c.read() is None:
            raise Failure("it closed")
    c.unmoved()
    if len(c.answers[1][2]) != 1:
        raise Failure(f"{len(c.answers[1][2])} bytes, not 1")


@case("9113 6.5.3", "each SETTINGS is acknowledged")
def _(c):
    c.send(settings(), settings((MAX_FRAME_SIZE, 20000)), settings((0xfff, 1)))
    c.unmoved()
    count = sum(kind == SETTINGS and flags & ACK for kind, flags, _, _ in c.seen)
    if count != 4:
        raise Failure(f"{count} acknowledgements, not 4")


# ---- 6.6: PUSH_PROMISE ----

@case("9113 8.4", "PUSH_PROMISE from a client")
def _(c):
    opened(c)
    c.send(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + block(get(c))))
    c.connection_error(PROTOCOL_ERROR)


# ---- 6.7, 6.8: PING and GOAWAY ----

@case("9113 6.7", "PING is answered with its own bytes")
def _(c):
    c.send(frame(PING, 0, 0, b"\0\x01\xfe\xffabcd"))
    c.unmoved()
    if (PING, ACK, 0, b"\0\x01\xfe\xffabcd") not in c.seen:
        raise Failure("no answer")


@case("9113 6.7", "an answer to PING that nobody sent is not answered")
def _(c):
    c.send(frame(PING, ACK, 0, b"strange!"))
    c.unmoved()
    if any(kind == PING and payload == b"strange!" for kind, _, _, payload in c.seen):
        raise Failure("it was answered")


@case("9113 6.7", "PING on a stream")
def _(c):
    c.send(frame(PING, 0, 1, b"12345678"))
    c.connection_error(PROTOCOL_ERROR)


for size in 0, 7, 9:
    @case("9113 6.7", f"PING of {size} bytes")
    def _(c, size=size):
        c.send(frame(PING, 0, 0, b"\0" * size))
        c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.8", "GOAWAY on a stream")
def _(c):
    c.send(frame(GOAWAY, 0, 1, b"\0" * 8))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.8", "GOAWAY too short")
def _(c):
    c.send(frame(GOAWAY, 0, 0, b"\0" * 7))
    c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.8", "GOAWAY lets streams in flight finish", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), frame(GOAWAY, 0, 0, b"\0" * 8 + b"words"), window_update(1, 100_000))
    c.answer(1, 200)


# ---- 6.9: WINDOW_UPDATE ----

@case("9113 6.9", "no increment for the connection")
def _(c):
    c.send(window_update(0, 0))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.9", "no increment for a stream")
def _(c):
    opened(c)
    c.send(window_update(1, 0))
    c.stream_error(1, PROTOCOL_ERROR)


@case("9113 6.9", "WINDOW_UPDATE of a wrong length")
def _(c):
    c.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01"))
    c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.9.1", "a stream's window is kept to", (INITIAL_WINDOW_SIZE, 1))
def _(c):
    c.send(headers(1, get(c)))
    for size in 1, 4:
        while len(c.answers.get(1, [0, 0, b""])[2]) < size:
            if c.read() is None:
                raise Failure("it closed")
        c.unmoved()
        if len(c.answers[1][2]) != size:
            raise Failure(f"{len(c.answers[1][2])} bytes, not {size}")
        c.send(window_update(1, 3))


@case("9113 6.9.1", "the connection's window is kept to", (INITIAL_WINDOW_SIZE, 1 << 20))
def _(c):
    stream, total = 1, 0
    while total < 65535:  # as many answers as the window has room for
        c.send(headers(stream, get(c)))
        while not c.answers.get(stream, [0, 0, 0, False])[3] and total < 65535:
            if c.read() is None:
                raise Failure("it closed")
            total = sum(len(answer[2]) for answer in c.answers.values())
        stream += 2
    c.send(headers(stream, get(c)))
    c.unmoved()
    total = sum(len(answer[2]) for answer in c.answers.values())
    if total != 65535:
        raise Failure(f"{total} bytes, not 65535")
    c.send(window_update(0, 100_000))
    c.answer(stream, 200)


@case("9113 6.9.1", "a window of the connection above the greatest")
def _(c):
    c.send(window_update(0, 0x7fffffff), window_update(0, 0x7fffffff))
    c.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.9.1", "a window of a stream above the greatest")
def _(c):
    opened(c)
    c.send(window_update(1, 0x7fffffff), window_update(1, 0x7fffffff))
    c.stream_error(1, FLOW_CONTROL_ERROR)


@case("9113 6.9.1", "more DATA than the stream's window")
def _(c):
    opened(c)
    window = c.theirs.get(INITIAL_WINDOW_SIZE, 65535)
    spent = 0
    while spent <= window:  # in one write, so that no credit comes between
        spent += 16384
    opened_frames = frame(DATA, 0, 1, bytes(16384)) * (spent // 16384 * 8)
    c.send(opened_frames)
    if c.is_alive() and 1 not in c.resets() and not c.answers:
        granted = sum(int.from_bytes(payload, "big") for kind, _, stream, payload in c.seen if kind == WINDOW_UPDATE and stream == 1)
        if window + granted < len(opened_frames) // 16393 * 16384:
            raise Failure("it took more than it had granted")
    elif c.goaways() and c.goaways()[-1] != FLOW_CONTROL_ERROR:
        raise Failure(f"GOAWAY {c.goaways()}")


@case("9113 6.9.2", "a new initial window counts for streams that are there", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)))
    c.unmoved()
    c.send(settings((INITIAL_WINDOW_SIZE, 1)))
    while len(c.answers.get(1, [0, 0, b""])[2]) < 1:
        if c.read() is None:
            raise Failure("it closed")
    c.unmoved()
    if len(c.answers[1][2]) != 1:
        raise Failure(f"{len(c.answers[1][2])} bytes, not 1")


@case("9113 6.9.2", "a window that became negative", (INITIAL_WINDOW_SIZE, 3))
def _(c):
    c.send(headers(1, get(c)))
    while len(c.answers.get(1, [0, 0, b""])[2]) < 3:
        if c.read() is None:
            raise Failure("it closed")
    c.send(settings((INITIAL_WINDOW_SIZE, 2)))
    c.unmoved()
    c.send(window_update(1, 1))
    c.unmoved()
    if len(c.answers[1][2]) != 3:
        raise Failure(f"{len(c.answers[1][2])} bytes, not 3")
    c.send(window_update(1, 2))
    while len(c.answers[1][2]) < 5:
        if c.read() is None:
            raise Failure("it closed")
    c.unmoved()
    if len(c.answers[1][2]) != 5:
        raise Failure(f"{len(c.answers[1][2])} bytes, not 5")


@case("9113 6.9.2", "an initial window that makes a stream's overflow")
def _(c):
    opened(c)
    c.send(window_update(1, 0x7fffffff - 65535), settings((INITIAL_WINDOW_SIZE, 65536)))
    c.connection_error(FLOW_CONTROL_ERROR)


# ---- 6.10: CONTINUATION ----

@case("9113 6.10", "a field block in five frames, one of them empty")
def _(c):
    fields = block(get(c))
    c.send(headers(1, fields[:7], END_STREAM), frame(CONTINUATION, 0, 1, fields[7:8]), frame(CONTINUATION, 0, 1), frame(CONTINUATION, 0, 1, fields[8:20]),
           frame(CONTINUATION, END_HEADERS, 1, fields[20:]))
    c.answer(1, 200)


@case("9113 6.10", "CONTINUATION, then another frame")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(CONTINUATION, 0, 1), frame(DATA, END_STREAM, 1))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION on stream 0")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(CONTINUATION, END_HEADERS, 0))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION of another stream")
def _(c):
    c.send(headers(1, get(c), END_STREAM), frame(CONTINUATION, END_HEADERS, 3))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION behind HEADERS with END_HEADERS")
def _(c):
    opened(c)
    c.send(frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION behind CONTINUATION with END_HEADERS")
def _(c):
    c.send(headers(1, post(c), 0), frame(CONTINUATION, END_HEADERS, 1), frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION behind DATA")
def _(c):
    opened(c)
    c.send(frame(DATA, 0, 1, b" "), frame(CONTINUATION, END_HEADERS, 1))
    c.connection_error(PROTOCOL_ERROR)


# ---- 7: error codes ----

@case("9113 7", "GOAWAY with an unknown code", (INITIAL_WINDOW_SIZE, 0))
def _(c):
    c.send(headers(1, get(c)), frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"), window_update(1, 100_000))
    c.answer(1, 200)


@case("9113 7", "RST_STREAM with an unknown code")
def _(c):
    opened(c)
    c.send(rst(1, 0xff), headers(3, get(c)))
    c.answer(3, 200)
    c.unmoved()


# ---- 8.1: requests ----

@case("9113 8.1", "GET")
def _(c):
    c.send(headers(1, get(c)))
    c.answer(1, 200)


@case("9113 8.1", "HEAD has no body")
def _(c):
    c.send(headers(1, changed(get(c), b":method", b"HEAD")))
    if c.answer(1, 200)[2]:
        raise Failure("a body")


@case("9113 8.1", "POST with a body")
def _(c):
    opened(c)
    c.send(frame(DATA, END_STREAM, 1, b"{}"))
    c.answer(1)


@case("9113 8.1", "POST with trailers")
def _(c):
    opened(c)
    c.send(frame(DATA, 0, 1, b"{}"), headers(1, [(b"x-trailer", b"1")]))
    c.answer(1)


@case("9113 8.1", "trailers without END_STREAM")
def _(c):
    opened(c)
    c.send(frame(DATA, 0, 1, b"{}"), headers(1, [(b"x-trailer", b"1")], END_HEADERS))
    c.malformed(1)


@case("9113 8.1", "a second head in place of trailers")
def _(c):
    opened(c)
    c.send(headers(1, post(c)))
    c.malformed(1)


@case("9113 8.1", "many requests at a time")
def _(c):
    c.send(window_update(0, 1 << 20), *[headers(stream, get(c)) for stream in range(1, 100, 2)])
    for stream in range(1, 100, 2):
        c.answer(stream, 200)


for form, body in (("one frame", (b"{}",)), ("two frames", (b"{", b"}")), ("none", ())):
    for length in b"1", b"3":
        if form == "none" and length == b"3":
            continue

        @case("9113 8.1.1", f"content-length {length.decode()} for 2 bytes in {form}" if body else "content-length 1 for no body")
        def _(c, body=body, length=length):
            more = (b"content-length", length)
            if body:
                c.send(headers(1, post(c, more), END_HEADERS), *[frame(DATA, 0, 1, part) for part in body[:-1]], frame(DATA, END_STREAM, 1, body[-1]))
            else:
                c.send(headers(1, post(c, more)))
            c.malformed(1)


for values in ((b"2", b"3"), (b"-2",), (b"two",), (b"",), (b"18446744073709551618",)):
    @case("9113 8.1.1", f"content-length {', '.join(value.decode() for value in values) or 'empty'}")
    def _(c, values=values):
        c.send(headers(1, post(c, *[(b"content-length", value) for value in values]), END_HEADERS), frame(DATA, END_STREAM, 1, b"{}"))
        c.malformed(1)


@case("9113 8.1.1", "content-length 0 and no body; padding is none")
def _(c):
    c.send(headers(1, post(c, (b"content-length", b"0")), END_HEADERS), frame(DATA, END_STREAM | PADDED, 1, b"\x03\0\0\0"))
    c.answer(1)


# ---- 8.2: fields ----

for name, why in ((b"X-Up", "upper case"), (b"x y", "a space"), (b"x\0y", "NUL"), (b"x\x7fy", "DEL"), (b"x\xc3\xa4", "a letter beyond ASCII"),
                  (b"x:y", "a colon within"), (b"", "nothing"), (b"x\r\ny", "CR LF"), (b"x\ty", "a tab")):
    @case("9113 8.2.1", f"a field's name with {why}")
    def _(c, name=name):
        c.send(headers(1, get(c, (name, b"1"))))
        c.malformed(1)


for value, why in ((b"a\0b", "NUL"), (b"a\rb", "CR"), (b"a\nb", "LF"), (b"a\r\nx: b", "CR LF"), (b" a", "a space first"), (b"a ", "a space last"),
                   (b"\ta", "a tab first"), (b"a\t", "a tab last")):
    @case("9113 8.2.1", f"a field's value with {why}")
    def _(c, value=value):
        c.send(headers(1, get(c, (b"x-odd", value))))
        c.malformed(1)


@case("9113 8.2.1", "a field's value with what HTTP calls obs-text, and an empty one")
def _(c):
    c.send(headers(1, get(c, (b"x-odd", b"\xc3\xa4 \t!"), (b"x-empty", b""))))
    c.answer(1, 200)


for name, value in ((b"connection", b"keep-alive"), (b"keep-alive", b"1"), (b"proxy-connection", b"keep-alive"), (b"transfer-encoding", b"chunked"),
                    (b"upgrade", b"foo"), (b"te", b"trailers, deflate;q=0.5"), (b"te", b"gzip")):
    @case("9113 8.2.2", f"{name.decode()}: {value.decode()}")
    def _(c, name=name, value=value):
        c.send(headers(1, get(c, (name, value))))
        c.malformed(1)


@case("9113 8.2.2", "te: trailers is allowed")
def _(c):
    c.send(headers(1, get(c, (b"te", b"trailers"))))
    c.answer(1, 200)


@case("9113 8.2.3", "cookies in several fields")
def _(c):
    c.send(headers(1, get(c, (b"cookie", b"a=b"), (b"cookie", b"c=d"))))
    c.answer(1, 200)


# ---- 8.3: pseudo-header fields ----

@case("9113 8.3", "an unknown pseudo-header field")
def _(c):
    c.send(headers(1, [(b":test", b"1")] + get(c)))
    c.malformed(1)


@case("9113 8.3", "a pseudo-header field of answers")
def _(c):
    c.send(headers(1, [(b":status", b"200")] + get(c)))
    c.malformed(1)


@case("9113 8.3", "a pseudo-header field in trailers")
def _(c):
    opened(c)
    c.send(frame(DATA, 0, 1, b"{}"), headers(1, [(b":method", b"POST")]))
    c.malformed(1)


@case("9113 8.3", "a pseudo-header field behind a regular one")
def _(c):
    c.send(headers(1, [(b"x-first", b"1")] + get(c)))
    c.malformed(1)


for name in b":method", b":scheme", b":path":
    @case("9113 8.3.1", f"no {name.decode()}")
    def _(c, name=name):
        c.send(headers(1, changed(get(c), name)))
        c.malformed(1)

for name in b":method", b":scheme", b":path", b":authority":
    @case("9113 8.3.1", f"two {name.decode()}")
    def _(c, name=name):
        value = dict(get(c))[name]
        c.send(headers(1, changed(get(c), name, value, value)))
        c.malformed(1)

for name, value, why in ((b":path", b"", "empty"), (b":path", b"app", "without its slash"), (b":path", b"*", "* but for OPTIONS"),
                         (b":path", b"/a b", "with a space"), (b":path", b"/a\0b", "with NUL"),
                         (b":method", b"", "empty"), (b":method", b"G T", "no token"), (b":scheme", b"", "empty"), (b":scheme", b"ht tp", "no scheme"),
                         (b":authority", b"user@host", "with userinfo"), (b":authority", b"a b", "with a space"), (b":authority", b"a/b", "with a slash")):
    @case("9113 8.3.1", f"{name.decode()} {why}")
    def _(c, name=name, value=value):
        c.send(headers(1, changed(get(c), name, value)))
        # What does not resolve may as well be answered: 400, and 501 for a method that nobody knows.
        if c.is_alive() and 1 not in c.resets():
            if c.answer(1)[0] not in (400, 501):
                raise Failure(f"status {c.answers[1][0]}")
        else:
            c.malformed(1)


@case("9113 8.3.1", "host in place of :authority")
def _(c):
    c.send(headers(1, changed(get(c), b":authority") + [(b"host", b"localhost")]))
    c.answer(1, 200)


@case("9113 8.3.1", "host and :authority that differ")
def _(c):
    c.send(headers(1, get(c, (b"host", b"other"))))
    c.is_alive()
    if c.resets().get(1, PROTOCOL_ERROR) != PROTOCOL_ERROR:
        raise Failure(f"resets: {c.resets()}")
    if 1 not in c.resets() and c.answer(1)[0] not in (200, 400):  # "SHOULD treat as malformed": both are allowed
        raise Failure(f"status {c.answers[1][0]}")


@case("9113 8.3.1", "two hosts")
def _(c):
    c.send(headers(1, changed(get(c), b":authority") + [(b"host", b"localhost"), (b"host", b"other")]))
    c.is_alive()
    if 1 in c.resets():
        c.malformed(1)
    elif c.answer(1)[0] != 400:
        raise Failure(f"status {c.answers[1][0]}")


@case("9113 8.3.1", "OPTIONS *")
def _(c):
    c.send(headers(1, changed(changed(get(c), b":path", b"*"), b":method", b"OPTIONS")))
    c.answer(1)


@case("9113 8.5", "CONNECT with :scheme and :path")
def _(c):
    c.send(headers(1, changed(get(c), b":method", b"CONNECT"), END_HEADERS))
    c.malformed(1)


@case("9113 8.5", "CONNECT without :authority")
def _(c):
    c.send(headers(1, [(b":method", b"CONNECT")], END_HEADERS))
    c.malformed(1)


@case("9113 8.5", ":protocol, which was not offered (RFC 8441)")
def _(c):
    c.send(headers(1, [(b":protocol", b"websocket")] + changed(get(c), b":method", b"CONNECT"), END_HEADERS))
    c.malformed(1)


# ---- 10.5 ----

@case("9113 10.5.1", "a head above what it said: 431 or a reset, and the connection goes on")
def _(c):
    fields = block(get(c, *[(b"x-%d" % i, b"y" * 1000) for i in range(40)]))
    c.send(headers(1, fields[:16000], END_STREAM), frame(CONTINUATION, 0, 1, fields[16000:32000]), frame(CONTINUATION, END_HEADERS, 1, fields[32000:]))
    if not c.is_alive():
        raise Failure(f"it ended the connection: GOAWAY {c.goaways()}")
    if 1 not in c.resets() and c.answer(1)[0] not in (431, 200):
        raise Failure(f"status {c.answers[1][0]}")
