"""Kernels of dates: the days of a column's texts, and the texts as days since the dates before them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends
from ult.host.kernel import njit

NO_DAY = -(2**62)
_WIDTH = {"Y": 4, "m": 2, "d": 2}
_SIGNED = 8  # bytes of a difference at most, with its sign


class Layout(NamedTuple):
    """Where a form has its parts, in bytes: the year, the month and the day (-1 for none), and its end."""

    year: int
    month: int
    day: int
    width: int

    @classmethod
    def of(cls, form: str) -> Layout:
        """Return the layout of a form such as `d.m.Y`."""
        at, parts = 0, {"Y": -1, "m": -1, "d": -1}
        for sign in form:
            if sign in parts:
                parts[sign] = at
            at += _WIDTH.get(sign, len(sign.encode()))
        return cls(parts["Y"], parts["m"], parts["d"], at)


@njit(cache=True)
def ordinals(
    data: NDArray[np.uint8], ends: Ends, dated: NDArray[np.bool_], layout: Layout, found: NDArray[np.int64]
) -> None:
    """Write the ordinal (0001-01-01 is 1) of each date of one form to `found`, (n,)."""
    for i in range(len(ends)):
        if not dated[i]:
            continue
        start = ends[i - 1] if i else 0
        year = _number(data, start + layout.year, 4)
        month = _number(data, start + layout.month, 2) if layout.month >= 0 else 1
        day = _number(data, start + layout.day, 2) if layout.day >= 0 else 1
        past = year - (month <= 2)  # the year begins in March, so that a leap day is its last
        months = month + (9 if month <= 2 else -3)
        found[i] = 365 * past + past // 4 - past // 100 + past // 400 + (153 * months + 2) // 5 + day - 306


@njit(cache=True)
def _number(data: NDArray[np.uint8], at: int, width: int) -> int:
    value = 0
    for k in range(at, at + width):
        value = 10 * value + int(data[k]) - 48
    return value


@njit(cache=True)
def differences(
    data: NDArray[np.uint8],
    ends: Ends,
    later: NDArray[np.bool_],
    days: NDArray[np.int64],
    before: NDArray[np.int64],
    width: int,
) -> tuple[NDArray[np.uint8], Ends]:
    """Return the texts of which each `later` date has, in place of its first `width` bytes, the days since `before`."""
    out = np.empty(len(data) + _SIGNED * len(ends), np.uint8)
    stops = np.empty(len(ends), np.int64)
    digits = np.empty(20, np.uint8)
    at = start = 0
    for i in range(len(ends)):
        if later[i]:
            more = days[i] - before[i]
            out[at] = 43 if more >= 0 else 45
            at += 1
            more = abs(more)
            size = 0
            while size == 0 or more:
                digits[size] = 48 + more % 10
                more //= 10
                size += 1
            for k in range(size):
                out[at + k] = digits[size - 1 - k]
            at += size
            start += width
        for k in range(start, ends[i]):
            out[at] = data[k]
            at += 1
        stops[i] = at
        start = ends[i]
    return out[:at], stops
