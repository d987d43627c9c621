"""Mutations that know what they change: bytes, JSON, safetensors; the same generator draws the same."""

from __future__ import annotations

import json
import random
from typing import Any

NUMBERS = (
    "0", "-1", "1", "2", "31", "32", "33", "255", "256", "4096", "65535", "65537", "235125", "235126", "1000000",
    "268435456", "2147483647", "2147483648", "4294967296", "9007199254740992", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "-9223372036854775809", "1e5", "1.0", "-0.0", "1e-320", "1e308",
    "1e999", "NaN", "-Infinity", "1" + "0" * 400, "1" + "0" * 5000,
)  # fmt: skip
_WORDS = (
    "a", "ult-table/1", "ult-table/9", "ult-run/2", "ult-shards/1", "text/bytes", "image/dct", "../../etc/passwd",
    "/dev/zero", "part-00000.parquet", "<script>", "%s", "[/b]", "[link=x]", "evil/kernel", "gpt2", "t5", "float32",
    "F64", "F8_E8M0", "I32", "{{ 1 }}", r"\u0000", r"\ud800", r"\udc00\ud800", r"\u001b[2J", r"\n", "", "a" * 5000,
)  # fmt: skip
STRINGS = tuple(f'"{word}"' for word in _WORDS)
OTHERS = ("null", "true", "false", "[]", "{}", "[[]]", "[null]", '{"a":1}', "[1,2]", '[["a"]]', "", "#", "{", '"')
DEPTHS = (2, 50, 300, 600, 900, 950, 980, 1000, 3000, 100_000)
BYTES = (b"\0", b"\xff", b"\x7f", b"\x80", bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b'"', b"\n", b"\r", b"{", b",")


class Raw(str):
    """A piece of JSON as it is to be written."""


class Pairs(list):  # type: ignore[type-arg]
    """A JSON object as pairs, so that a key may stand there twice."""


def loads(text: str) -> Any:
    """Return JSON with its objects as `Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def dumps(value: Any) -> str:
    """Return the text of what `loads` gave, with `Raw` pieces as they are."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{dumps(key)}:{dumps(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        whole = all(type(one) is int for one in value)  # as ranks and counts mostly are
        return "[" + ",".join(map(str if whole else dumps, value)) + "]"
    return str(value) if type(value) is int else json.dumps(value)


def strange(rng: random.Random) -> Raw:
    """Return a value that is hardly what was expected."""
    kind = rng.random()
    if kind < 0.5:
        return Raw(rng.choice(NUMBERS))
    if kind < 0.72:
        return Raw(rng.choice(STRINGS))
    if kind < 0.95:
        return Raw(rng.choice(OTHERS))
    depth = rng.choice(DEPTHS)
    return Raw("[" * depth + "]" * depth if rng.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Change a value, a key or the order somewhere in a JSON document; sometimes its bytes."""
    if rng.random() < 0.15:
        return mutate_bytes(data, rng)
    document = loads(data.decode("utf-8"))
    for _ in range(1 + int(rng.expovariate(1.5))):
        document = _changed(document, rng)
    return dumps(document).encode("utf-8", "surrogatepass")


def mutate_jsonl(data: bytes, rng: random.Random) -> bytes:
    """Mutate a line as JSON, or any bytes."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    if rng.random() < 0.3 or not lines[at] or not lines[at].isascii():
        return mutate_bytes(data, rng)
    lines[at] = mutate_json(lines[at], rng)
    return b"\n".join(lines)


def _changed(document: Any, rng: random.Random) -> Any:
    """Walk to a random place, at each step as likely into any child, and change what is there."""
    if not isinstance(document, list) or not document or rng.random() < 0.03:
        return _near(document, rng) if rng.random() < 0.25 else strange(rng)
    at, act = rng.randrange(len(document)), rng.random()
    if act < 0.06:
        del document[at]
    elif act < 0.12:
        document.insert(at, document[rng.randrange(len(document))])  # a key twice, a list longer
    elif act < 0.15:
        rng.shuffle(document)
    elif isinstance(document, Pairs):
        key, value = document[at]
        document[at] = (strange_key(rng), value) if act < 0.2 else (key, _changed(value, rng))
    else:
        document[at] = _changed(document[at], rng)
    return document


def _near(value: Any, rng: random.Random) -> Any:
    """Return something of the same type, where there is one."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + rng.choice((-1, 1, -2, 256, 2**16, 2**40))
    if isinstance(value, float):
        return value * rng.choice((-1, 0, 2, 1e9, 1e-9))
    if isinstance(value, str):
        return value + rng.choice("0a/ ")
    return Raw("[]")


def strange_key(rng: random.Random) -> Raw:
    """Return a key: an empty one, a known one, one of half a character."""
    return Raw(rng.choice(('""', '"a"', '"format"', '"\\ud800"', '"__class__"', '"self"', '"codec"')))


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, copy, insert or overwrite some bytes, once or a few times."""
    found = bytearray(data)
    for _ in range(1 + int(rng.expovariate(1.0))):
        n, act = len(found), rng.randrange(8)
        at = rng.randrange(n + 1)
        span = min(n - at, 1 << rng.randrange(10))
        if act <= 2 and n:
            found[at % n] ^= 1 << rng.randrange(8)
        elif act == 3 and n:
            found[at % n] = rng.randrange(256)
        elif act == 4:
            found[at:at] = rng.choice(BYTES)
        elif act == 5:
            del found[at : at + span]
        elif act == 6:
            to = rng.randrange(n + 1)
            found[to:to] = found[at : at + span]
        elif n:
            piece = rng.choice(BYTES)
            found[at % n : at % n + len(piece)] = piece
    return bytes(found[: 1 << 20])


def mutate_tail(data: bytes, rng: random.Random) -> bytes:
    """Mutate the last bytes, where Parquet and zip say what is where; else any."""
    at = max(0, len(data) - (400 if rng.random() < 0.7 else len(data)))
    return data[:at] + mutate_bytes(data[at:], rng)


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
    """Mutate the JSON header, of right or wrong length, or any bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    size = int.from_bytes(data[:8], "little")
    header = mutate_json(data[8 : 8 + size], rng)
    said = len(header) if rng.random() < 0.9 else rng.choice((0, 7, 2**31, 2**63, len(header) + 1))
    return said.to_bytes(8, "little") + header + data[8 + size :]
