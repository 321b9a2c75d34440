"""json_scan and json_write against Python's json module, over texts that are generated and then damaged.

Both must accept the same texts and read the same values from them, numbers compared as written. Where the contract differs
from Python (a trailing comma, NaN, duplicate keys, depth), the oracle is told so. A lone surrogate in a key comes back as
three bytes, which surrogatepass reads.
"""

import json
import os
import random
import re
import struct
import subprocess

SEED = 20250102
TEXT_COUNT = 3000  # each comes whole and in DAMAGE_COUNT damaged versions
DAMAGE_COUNT = 6
DEPTH_MAX = 64

VERDICT = os.path.join(os.environ.get("ALLOD_BUILD", "build"), "tests/unit/json_verdict")


class Number(str):
    """A number as it was written."""


def unique(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def refuse(constant):
    raise ValueError(constant)


def loads(text):
    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=Number, parse_int=Number)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[^"]', re.S)
TRAILING = re.compile(r",[ \t\r\n]*[}\]]")


def without_trailing_commas(text):
    """Drops each comma that stands between a value and a closing bracket."""
    out, before = [], ""
    for token in TOKEN.finditer(text):
        drop = token.group() == "," and before not in ("", "[", "{", ",", ":") and TRAILING.match(text, token.start())
        if not drop:
            out.append(token.group())
        if token.group() not in " \t\r\n":
            before = token.group()
    return "".join(out)


def oracle(data):
    """The value of a text, or ValueError."""
    text = data.decode()
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")
    value = loads(without_trailing_commas(text))
    if depth(value) > DEPTH_MAX:
        raise ValueError("too deep")
    return value


def space(rng):
    return "".join(rng.choices(" \t\r\n", k=rng.choice([0, 0, 0, 1, 2])))


def string(rng):
    parts = []
    for _ in range(rng.choice([0, 1, 1, 2, 5, 20])):
        parts.append(rng.choice([
            lambda: rng.choice("abcXYZ019 /{}[],:'~\x7f"),
            lambda: rng.choice("éß€中\u2028\uffff😀𝄞"),
            lambda: "\\" + rng.choice('"\\/bfnrt'),
            lambda: f"\\u{rng.randrange(0x10000):04x}",
            lambda: f"\\u{rng.randrange(0xD7F0, 0xE010):04X}",
            lambda: "\\ud83d\\uDE%02X" % rng.randrange(256),
        ])())
    return '"' + "".join(parts) + '"'


def number(rng):
    text = rng.choice(["", "-"]) + rng.choice(["0", "7", "10", str(rng.getrandbits(70) + 1)])
    if rng.random() < 0.4:
        text += "." + rng.choice(["0", "5", "00125", str(rng.getrandbits(60))])
    if rng.random() < 0.4:
        text += rng.choice("eE") + rng.choice(["", "+", "-"]) + rng.choice(["0", "3", "007", "400"])
    return text


def items(rng, opening, closing, make):
    parts = [space(rng) + make() + space(rng) for _ in range(rng.choice([0, 1, 2, 3, 6]))]
    trailing = "," + space(rng) if parts and rng.random() < 0.1 else ""
    return opening + (",".join(parts) or space(rng)) + trailing + closing


def value(rng, level=0):
    kind = rng.randrange(8 if level < 6 else 5)
    if kind < 5:
        return [string, number, lambda _: "true", lambda _: "false", lambda _: "null"][kind](rng)
    if kind == 5:
        return items(rng, "[", "]", lambda: value(rng, level + 1))
    return items(rng, "{", "}", lambda: string(rng) + space(rng) + ":" + space(rng) + value(rng, level + 1))


PIECES = [b",", b":", b"[", b"]", b"{", b"}", b'"', b"\\", b"\\u", b"0", b"1", b"-", b"+", b".", b"e", b"E", b" ", b"\n",
          b"\0", b"\x1f", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff", b"\xef\xbb\xbf",
          b"NaN", b"Infinity", b"true", b"nul", b"/**/", b"//", b"'", b"\x0c", b"\xc2\xa0", b'"a":1,', b"[]", b"{}", b",,"]


def damage(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        end = at + rng.choice([0, 0, 1, 1, 2, 5])
        data[at:end] = rng.choice(PIECES) if rng.random() < 0.8 else bytes([rng.randrange(256)])
    return bytes(data)


def texts():
    rng = random.Random(SEED)
    for _ in range(TEXT_COUNT):
        data = (space(rng) + value(rng) + space(rng)).encode()
        yield data
        for _ in range(DAMAGE_COUNT):
            yield damage(rng, data)
    for levels in (63, 64, 65, 66):
        yield b"[" * levels + b"]" * levels
        yield b'{"a":' * levels + b"1" + b"}" * levels


def test_same_verdict_and_value():
    corpus = list(texts())
    packed = b"".join(struct.pack(">I", len(data)) + data for data in corpus)
    done = subprocess.run([VERDICT], input=packed, stdout=subprocess.PIPE, check=True, timeout=300)
    lines = done.stdout.split(b"\n")[:-1]
    assert len(lines) == len(corpus)
    accepted = 0
    for data, line in zip(corpus, lines):
        try:
            expected = oracle(data)
        except ValueError:
            assert line.startswith(b"! "), (SEED, data, line)
            continue
        assert not line.startswith(b"! "), (SEED, data, line)
        assert loads(line.decode(errors="surrogatepass")) == expected, (SEED, data, line)
        accepted += 1
    assert len(corpus) * 0.15 < accepted < len(corpus) * 0.85  # both verdicts were tested
