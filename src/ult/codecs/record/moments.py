"""Dates as a column of an Arrow type writes them: which a record that is made up may hold."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from ult.codecs.record.date import calendar, difference
from ult.codecs.record.pattern import (
    Machine,
    Pattern,
    compile_pattern,
    digits,
    either,
    literal,
    maybe,
    one_of,
    sequence,
)
from ult.codecs.record.typed import inner_type

_FORM = "Y-m-d"
_STAMP = re.compile(r"timestamp\[(s|ms|us|ns)(, tz=UTC)?\]")
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_FIRST, _LAST = date(1000, 1, 1), date(8999, 12, 31)  # a year of four digits, far from the ends of a calendar
_FIRST_NS, _LAST_NS = date(1700, 1, 1), date(2199, 12, 31)  # int64 holds the nanoseconds of so many years


class Typed(NamedTuple):
    """The automata of the first date of a record and of a later one, and the range of their days."""

    machine: Machine
    later: Machine
    days: range


@lru_cache(maxsize=2**10)
def typed_dates(kind: str, form: str) -> Typed | None:
    """Return what dates a column of a type holds whose form is `form`, or None if it holds any text."""
    kind = inner_type(kind)
    stamp = _STAMP.fullmatch(kind)
    if form != _FORM or not (stamp or kind.startswith("date")):
        return None
    narrow = stamp is not None and stamp[1] == "ns"
    time = _time(_DIGITS[stamp[1]], utc=bool(stamp[2])) if stamp else sequence()
    first, last = (_FIRST_NS, _LAST_NS) if narrow else (_FIRST, _LAST)
    years = _narrow_years() if narrow else _wide_years()
    machine, later = (compile_pattern(sequence(begin, time)) for begin in (calendar(_FORM, *years), difference()))
    return Typed(machine, later, range(first.toordinal(), last.toordinal() + 1))


def _time(places: int, *, utc: bool) -> Pattern:
    """Return the pattern of a time of day without zeros at its end; without a zone, there is none at midnight."""
    hour = either(sequence(one_of("01"), digits(1, 1)), sequence(literal("2"), one_of("0123")))
    sixty = sequence(one_of("012345"), digits(1, 1))
    parts = [sequence(literal("."), digits(0, places - 1), one_of("123456789"))] if places else []
    fraction = maybe(*parts) if parts else sequence()
    colon, blank = literal(":"), literal(" ")
    if utc:
        return sequence(blank, hour, colon, sixty, colon, sixty, fraction, literal("Z"))
    some = either(*(literal(f"{value:02d}") for value in range(1, 60)))
    late = either(*(literal(f"{value:02d}") for value in range(1, 24)))
    zero = literal("00:")
    times = [
        sequence(late, colon, sixty, colon, sixty, fraction),
        sequence(zero, some, colon, sixty, fraction),
        sequence(zero, zero, some, fraction),
        *(sequence(zero, zero, literal("00"), part) for part in parts),
    ]
    return maybe(blank, either(*times))


def _wide_years() -> tuple[Pattern, Pattern]:
    """Return the patterns of the years 1000 to 8999, and of their leap years."""
    within = [f"{value:02d}" for value in range(4, 100, 4)]
    leap = either(
        sequence(one_of("12345678"), digits(1, 1), either(*map(literal, within))),
        *(literal(f"{century}00") for century in range(12, 90, 4)),
    )
    return sequence(one_of("12345678"), digits(3, 3)), leap


def _narrow_years() -> tuple[Pattern, Pattern]:
    """Return the patterns of the years 1700 to 2199, and of their leap years."""
    centuries = [literal(str(century)) for century in range(17, 22)]
    within = [literal(f"{value:02d}") for value in range(4, 100, 4)]
    leap = either(sequence(either(*centuries), either(*within)), literal("2000"))
    return sequence(either(*centuries), digits(2, 2)), leap


def fewest_digits(text: str, day: int, days: range) -> int | None:
    """Return how many digits are missing to a difference that begins with `text` and leads from `day` into `days`."""
    ends = (days[0] - day, days[-1] - day) if text[0] == "+" else (day - days[-1], max(day - days[0], 0))
    low, high, digits_ = max(ends[0], 0 if text[0] == "+" else 1), ends[1], text[1:]
    for more in range(8 - len(digits_)):
        if (not digits_ and not more) or (digits_ == "0" and more):
            continue
        begin = int(digits_) * 10**more if digits_ else 10 ** (more - 1) if more > 1 else 0
        end = begin + 10**more - 1 if digits_ else 10**more - 1
        if begin <= high and end >= low:
            return more
    return None
