"""The values of cells: a number or a date as a float, anything else as its text, whoever wrote them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.date import Dates
from ult.codecs.record.field import Field
from ult.codecs.record.number import Numbers
from ult.data.missing import MISSING

MEASURED = ("number", "date")
NONE = ""  # what stands for a missing cell
_KEPT = 2**16  # texts whose values are remembered
Floats = NDArray[np.float64]


class Values:
    """Reads the cells of a field of numbers or dates: a float, NaN where there is none, or None for an invalid cell."""

    def __init__(self, field: Field) -> None:
        self._numbers = Numbers(field) if field.kind == "number" else None
        self._dates = Dates(field) if field.kind == "date" else None
        self._missing = {*field.missing, ""}
        self._known: dict[str, float | None] = {}

    def __call__(self, cell: str | None) -> float | None:
        """Return the value of a cell."""
        if cell is None:
            return math.nan
        if cell not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[cell] = self._read(cell)
        return self._known[cell]

    def _read(self, cell: str) -> float | None:
        if cell in self._missing:
            return math.nan
        data = cell.encode("utf-8", "surrogatepass")
        if self._dates is not None:
            return float(self._dates.day(cell).number) if self._dates.machine.accepts(data) else _missing(cell)
        if self._numbers is not None and self._numbers.machine.accepts(data):
            return _finite(self._numbers.plain(cell))
        found = _finite(cell)  # written otherwise, such as 1e5 for 100000: it says the same
        return _missing(cell) if found is None else found

    def step(self, cells: Sequence[str | None]) -> float:
        """Return the greatest number of which all numbers of these cells are multiples; of dates a day."""
        if self._numbers is None:
            return 1.0
        found: list[Decimal] = []
        for cell in dict.fromkeys(cells):
            value = None if cell is None else self(cell)
            if cell is None or value is None or math.isnan(value):
                continue
            accepted = self._numbers.machine.accepts(cell.encode("utf-8", "surrogatepass"))
            found.append(Decimal(self._numbers.plain(cell) if accepted else cell))
        places = max((-int(one.as_tuple().exponent) for one in found), default=0)
        scale = Decimal(10) ** min(max(places, 0), 12)
        whole = [int(abs(one) * scale) for one in found]
        return float(math.gcd(*whole) / float(scale)) if any(whole) else 1.0


def _finite(text: str) -> float | None:
    try:
        value = float(Decimal(text.strip()))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _missing(cell: str) -> float | None:
    return math.nan if cell.strip().lower() in MISSING else None


class Canonical:
    """Spells cells of a field so that two are the same exactly if they say the same: 1.0 and 1, null and nothing."""

    def __init__(self, field: Field) -> None:
        self._values = Values(field) if field.kind in MEASURED else None
        self._date = field.kind == "date"

    def __call__(self, cell: str | None) -> str:
        """Return the spelling of a cell."""
        if cell is None or self._values is None:
            return cell or NONE
        value = self._values(cell)
        if value is None:
            return f"!{cell}"
        return NONE if math.isnan(value) else cell if self._date else repr(value)


def measured(field: Field, cells: Sequence[str | None]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the values of cells (n,), NaN where there is none, and (n,) bool: which are invalid."""
    read = Values(field)
    found = [read(cell) for cell in cells]
    wrong = np.array([one is None for one in found], bool)
    return np.array([math.nan if one is None else one for one in found], float), wrong
