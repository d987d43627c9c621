"""What a column of an Arrow type writes: a record that is made up holds no cell that its column could not have.

Only a part of what a type can hold is described, in the forms of `ult.data.cells`: floats in plain notation with so few
digits that they are the shortest of their bits, and no moments of time zones other than UTC.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ult.codecs.record.pattern import (
    Machine,
    Pattern,
    compile_pattern,
    digits,
    either,
    literal,
    maybe,
    one_of,
    repeat,
    sequence,
    texts,
)

_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_DECIMAL = re.compile(r"decimal\d+\((\d+), (\d+)\)")
_WRAPPED = re.compile(
    r"dictionary<values=(.+), indices=\w+, ordered=[01]>|run_end_encoded<run_ends: \w+, values: (.+)>"
)
_FLOATS = {"double": (10, 15), "float": (9, 6)}  # digits before the point, and digits in all, of plain notation
_TINY = "0.000001"  # the smallest float in plain notation


class Plain(NamedTuple):
    """How a type writes numbers: `least` to `most` decimal places, up to `whole` digits before them and `total` in all.

    `low` and `high` are the ends of its values, "" for none, and values other than 0 are at least `tiny` from 0.
    """

    least: int
    most: int
    whole: int
    total: int
    low: str = ""
    high: str = ""
    tiny: str = "1"


@lru_cache(maxsize=2**10)
def inner_type(kind: str) -> str:
    """Return the type of the values of a dictionary or of runs, else the type itself."""
    match = _WRAPPED.fullmatch(kind)
    return inner_type(match[1] or match[2]) if match else kind


@lru_cache(maxsize=2**10)
def plain_of(kind: str) -> Plain | None:
    """Return how a type writes numbers, or None if it holds texts or something else.

    >>> plain_of("int8"), plain_of("string")
    (Plain(least=0, most=0, whole=3, total=3, low='-128', high='127', tiny='1'), None)
    """
    kind = inner_type(kind)
    if match := _INTEGER.fullmatch("int64" if kind.startswith("duration[") else kind):
        bits = int(match[2])
        low, high = (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Plain(0, 0, len(str(high)), len(str(high)), str(low), str(high))
    if match := _DECIMAL.fullmatch(kind):
        total, scale = int(match[1]), int(match[2])
        tiny = f"1e-{scale}"
        return Plain(scale, scale, max(total - scale, 1), total, tiny=tiny) if scale <= total else None
    if kind in _FLOATS:
        return Plain(0, _FLOATS[kind][1], *_FLOATS[kind], tiny=_TINY)
    return None


@lru_cache(maxsize=2**10)
def machine_of(kind: str, absent: str | None) -> Machine | None:
    """Return the automaton of what a category, text or list of a type holds beside `absent`; None for any text."""
    kind = inner_type(kind)
    if kind == "bool":
        return compile_pattern(texts(sorted({"true", "false"} - {absent})))
    if re.fullmatch(r"(large_)?list<.+: (large_)?string( not null)?>", kind):
        item = sequence(literal('"'), repeat(_character(), 0, None), literal('"'))
        return compile_pattern(
            sequence(literal("["), maybe(item, repeat(sequence(literal(","), item), 0, None)), literal("]"))
        )
    plain = plain_of(kind)
    return None if plain is None else compile_pattern(_number(plain))


def _character() -> Pattern:
    """Return the pattern of a byte of a text in JSON; whether bytes are characters is looked at elsewhere."""
    plain = Pattern("byte", choice=frozenset(range(0x20, 256)) - frozenset(b'"\\'))
    return either(plain, sequence(literal("\\"), one_of('"\\nrt')))


def _number(plain: Plain) -> Pattern:
    if not plain.most:
        above = _up_to(plain.high)
        below = [sequence(literal("-"), _up_to(plain.low[1:]))] if plain.low.startswith("-") else []
        return either(literal("0"), above, *below)
    fixed = plain.least == plain.most
    whole = min(plain.whole, max(1, plain.total // 2))
    places = min(plain.most, plain.total - whole, 5)
    fraction = sequence(literal("."), digits(plain.most, plain.most) if fixed else _ends_well(places))
    from_one = _up_to("9" * (plain.whole if fixed else whole))
    after = fraction if fixed else maybe(fraction)
    return either(sequence(literal("0"), after), sequence(maybe(literal("-")), from_one, after))


def _ends_well(places: int) -> Pattern:
    """Return the pattern of 1 to `places` digits of which the last is not 0."""
    return sequence(digits(0, places - 1), one_of("123456789"))


def _up_to(most: str) -> Pattern:
    """Return the pattern of the integers from 1 to `most`, without zeros in front."""
    shorter = [sequence(one_of("123456789"), digits(0, len(most) - 2))] if len(most) > 1 else []
    choices, begun = [literal(most)], ""
    for k, digit in enumerate(most):
        lower = "".join(str(d) for d in range(0 if k else 1, int(digit)))
        left = len(most) - k - 1
        if lower:
            parts = [literal(begun)] if begun else []
            choices.append(sequence(*parts, one_of(lower), digits(left, left)))
        begun += digit
    return either(*shorter, *choices)
