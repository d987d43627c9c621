"""Dates as they were written: the first of a record in full, each later one as days since the date before it.

A time of day, fractions of seconds and a time zone follow as they were written. A date of another form than the
field's first is written in full wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells, Flags
from ult.codecs.record.field import Field
from ult.codecs.record.ordinal import NO_DAY as NO_DAY
from ult.codecs.record.ordinal import Layout, differences, ordinals
from ult.codecs.record.pattern import (
    Pattern,
    compile_pattern,
    digits,
    either,
    literal,
    maybe,
    one_of,
    sequence,
)

_WIDTH = {"Y": 4, "m": 2, "d": 2}
_KEPT = 2**16  # distinct texts whose days are remembered


class Day(NamedTuple):
    """A date: its ordinal number (0001-01-01 is 1), and how many characters of the text it takes."""

    number: int
    width: int


class Dates:
    """The texts of a field of dates."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.named = frozenset(field.missing)
        self.missing = self.named | {""}
        self.machine = compile_pattern(sequence(either(*map(calendar, field.forms)), _time()))
        self._counted = "d" in field.forms[0]  # whether a difference in days leads back to every date of the form
        later = [difference(), *map(calendar, field.forms[1:])] if self._counted else [*map(calendar, field.forms)]
        self.later = compile_pattern(sequence(either(*later), _time()))  # after another date
        self._days: dict[str, Day] = {}
        self._forms = [(form, compile_pattern(sequence(calendar(form), _time()))) for form in field.forms]
        self._layouts = [Layout.of(form) for form in field.forms]

    def is_date(self, cells: Cells) -> Flags:
        """Return (n,) bool: which of the n cells are dates of the field's forms."""
        return self.machine.matches(cells.data, cells.ends)

    def days(self, cells: Cells, dated: Flags) -> NDArray[np.int64]:
        """Return the ordinal of each date, (n,), NO_DAY for a cell that is none; `dated` are those that are."""
        found, left = np.full(len(cells), NO_DAY, np.int64), dated
        for (_, machine), layout in zip(self._forms, self._layouts, strict=True):
            one = left & machine.matches(cells.data, cells.ends) if len(self._forms) > 1 else left
            ordinals(cells.data, cells.ends, one, layout, found)
            left = left & ~one
        return found

    def differences(self, cells: Cells, days: NDArray[np.int64], before: NDArray[np.int64]) -> Cells:
        """Return what is written for each cell after the day `before`, (n,): a difference, or the cell as it is."""
        later = (days != NO_DAY) & (before != NO_DAY)
        if not self._counted or not later.any():
            return cells
        if len(self._forms) > 1:
            later &= self._forms[0][1].matches(cells.data, cells.ends)
        data, ends = differences(cells.data, cells.ends, later, days, before, self._layouts[0].width)
        return Cells(data, ends, cells.nulls)

    def day(self, cell: str) -> Day:
        """Return the date with which a cell begins."""
        if cell not in self._days:
            if len(self._days) >= _KEPT:
                self._days.clear()
            written = cell.encode("utf-8", "surrogatepass")
            form = next(form for form, machine in self._forms if machine.accepts(written))
            self._days[cell] = _parse(cell, form)
        return self._days[cell]

    def read(self, text: str, before: int) -> str | None:
        """Return the cell for which `text` was written after the day `before`, or None if there is none."""
        if text[:1] not in ("+", "-"):
            return text
        size = 1
        while size < len(text) and text[size] in "0123456789":
            size += 1
        if before == NO_DAY or not self._counted or not 1 < size <= 8:
            return None
        number = before + int(text[:size])
        if not 1 <= number <= date.max.toordinal():
            return None
        return form_of(date.fromordinal(number), self.field.forms[0]) + text[size:]


def form_of(day: date, form: str) -> str:
    """Return a date as text.

    >>> form_of(date(2024, 3, 9), "d.m.Y")
    '09.03.2024'
    """
    parts = {"Y": f"{day.year:04d}", "m": f"{day.month:02d}", "d": f"{day.day:02d}"}
    return "".join(parts.get(sign, sign) for sign in form)


def _parse(cell: str, form: str) -> Day:
    at, parts = 0, {"Y": 1, "m": 1, "d": 1}
    for sign in form:
        width = _WIDTH.get(sign, 1)
        if sign in parts:
            parts[sign] = int(cell[at : at + width])
        at += width
    return Day(date(parts["Y"], parts["m"], parts["d"]).toordinal(), at)


def calendar(form: str, years: Pattern | None = None, leap_years: Pattern | None = None) -> Pattern:
    """Return the pattern of the dates of a form, those that exist alone: no 30 February, no year 0.

    With `years`, of which some are `leap_years`, those of these years alone.
    """
    years, leap_years = years or _years(), leap_years or _leap_years()
    if form == "Y":
        return years
    if "d" not in form:
        return _laid(form, {"Y": years, "m": _numbers(range(1, 13))})
    choices = []
    for months, most in ((range(1, 13), 28), ((1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), 30), ((1, 3, 5, 7, 8, 10, 12), 31)):
        last = range(1, 29) if most == 28 else (29, 30) if most == 30 else (31,)
        choices.append({"Y": years, "m": _numbers(months), "d": _numbers(last)})
    choices.append({"Y": leap_years, "m": _numbers([2]), "d": _numbers([29])})
    return either(*(_laid(form, choice) for choice in choices))


def _laid(form: str, parts: dict[str, Pattern]) -> Pattern:
    return sequence(*(parts[sign] if sign in parts else literal(sign) for sign in form))


def _numbers(values: Sequence[int]) -> Pattern:
    return either(*(literal(f"{value:02d}") for value in values))


def _years() -> Pattern:
    ten, nine = one_of("0123456789"), one_of("123456789")
    zero = literal("0")
    return either(
        sequence(nine, ten, ten, ten), sequence(zero, nine, ten, ten), sequence(zero, zero, nine, ten),
        sequence(zero, zero, zero, nine),
    )  # fmt: skip


def _leap_years() -> Pattern:
    fours = [f"{value:02d}" for value in range(0, 100, 4)]
    within = sequence(digits(2, 2), either(*(literal(four) for four in fours if four != "00")))
    return either(within, *(literal(four + "00") for four in fours if four != "00"))


def difference() -> Pattern:
    """Return the pattern of days since a date: +0, -12."""
    some = sequence(one_of("123456789"), digits(0, 6))
    return either(literal("+0"), sequence(one_of("+-"), some))


def _time() -> Pattern:
    """Return the pattern of nothing, or of a time of day with what may follow it."""
    sixty = sequence(one_of("012345"), digits(1, 1))
    hours = either(sequence(one_of("01"), digits(1, 1)), sequence(literal("2"), one_of("0123")))
    colon = literal(":")
    seconds = maybe(colon, sixty, maybe(one_of(".,"), digits(1, 9)))
    zone = either(literal("Z"), literal("UTC"), sequence(one_of("+-"), hours, maybe(maybe(colon), sixty)))
    return maybe(one_of("T "), hours, colon, sixty, seconds, maybe(maybe(literal(" ")), zone))
