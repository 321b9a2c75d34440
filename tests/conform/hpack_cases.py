"""RFC 7541, as a server decodes it. Errors in a field block are the connection's: COMPRESSION_ERROR (RFC 9113 section 4.3)."""

from h2_cases import case, get
from link import *


def bad(title, more):
    @case("7541 " + title.split(" ", 1)[0], title.split(" ", 1)[1])
    def _(c):
        c.send(headers(1, block(get(c)) + more))
        c.connection_error(COMPRESSION_ERROR)


def good(title, more, *again):
    """again: the blocks' last parts for further requests."""
    @case("7541 " + title.split(" ", 1)[0], title.split(" ", 1)[1])
    def _(c):
        for number, part in enumerate((more,) + again):
            c.send(headers(2 * number + 1, block(get(c)) + part))
            c.answer(2 * number + 1, 200)


bad("2.3.3 an index beyond both tables", b"\xc6")
bad("2.3.3 a name's index beyond both tables", b"\x7f\x46" + text(b"v"))
bad("5.1 an index that overflows", b"\xff" + b"\xff" * 10 + b"\x0f")
bad("5.1 a length that overflows", b"\x00\x7f" + b"\xff" * 10 + b"\x0f")
bad("5.2 a string longer than its block", b"\x00\x01x\x0aabc")
bad("5.2 a name longer than its block", b"\x00\x7e")
bad("5.2 Huffman: padding of eight bits", b"\x00\x01x\x82\x1f\xff")
bad("5.2 Huffman: padding of zeros", b"\x00\x01x\x81\x18")
bad("5.2 Huffman: EOS", b"\x00\x01x\x84\xff\xff\xff\xfc")
bad("5.2 Huffman: EOS in full, with padding", b"\x00\x01x\x84\xff\xff\xff\xff")
bad("6.1 index 0", b"\x80")
bad("4.2 a new size of the table at the block's end", b"\x20")

good("5.2 Huffman, and plain", b"\x00\x81\xf3\x81\x1f" + b"\x00" + text(b"x") + text(b"v"))
good("6.1 a field of the static table", b"\x90")  # accept-encoding: gzip, deflate
good("6.2.1 literals that are indexed, and their indexes in a later request", b"\x40" + text(b"x-one") + text(b"1") + b"\x40" + text(b"x-two") + text(b"2"),
     b"\xbe\xbf", b"\x7f\x00" + text(b"3"))
good("6.2.2 literals without indexing, of an indexed name and of a new one", b"\x0f\x0a" + text(b"x") + b"\x00" + text(b"x-new") + text(b"1"))
good("6.2.3 literals never indexed", b"\x1f\x0a" + text(b"x") + b"\x10" + text(b"x-new") + text(b"1"))
good("4.4 a field larger than the table empties it", b"\x40" + text(b"x-big") + text(b"y" * 4100), b"\x40" + text(b"x-new") + text(b"1"), b"\xbe")


@case("7541 4.4", "what was evicted is gone")
def _(c):
    c.send(headers(1, block(get(c)) + b"\x40" + text(b"x-old") + text(b"1")))
    c.answer(1, 200)
    c.send(headers(3, b"\x20" + block(get(c)) + b"\xbe"))
    c.connection_error(COMPRESSION_ERROR)


@case("7541 4.2", "new sizes of the table, twice before a block")
def _(c):
    c.send(headers(1, b"\x20" + number(4096, 5, 0x20) + block(get(c))))
    c.answer(1, 200)


@case("7541 6.3", "a table larger than allowed")
def _(c):
    c.send(headers(1, number(c.theirs.get(HEADER_TABLE_SIZE, 4096) + 1, 5, 0x20) + block(get(c))))
    c.connection_error(COMPRESSION_ERROR)


@case("7541 4.2", "its own encoder keeps to a smaller table", (HEADER_TABLE_SIZE, 0))
def _(c):
    c.decoder.max_allowed_table_size = 0
    for stream in 1, 3:
        c.send(headers(stream, get(c)))
        c.answer(stream, 200)
    if c.decoder.header_table_size != 0:
        raise Failure("it did not say that its table is smaller")


@case("7541 2.2", "its table outlives requests: many answers decode")
def _(c):
    c.send(window_update(0, 1 << 20))
    for stream in range(1, 41, 2):
        c.send(headers(stream, get(c)))
        c.answer(stream, 200)
