"""Numbers and dates as places on a scale, and the forms in which they are written: where bins are, and what fills them.

The form of a number is how many decimal places it is written with, and how many of them say something: `1.50` has the
form "2.1". That of a date is the number of its form among those of the field.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.record.date import Dates, form_of
from ult.codecs.record.field import Field
from ult.codecs.record.number import Numbers
from ult.codecs.record.typed import plain_of

PLACES = 9  # decimal places of a number that is made up, at most
_POSITIVE = np.array([float(f"{k}e{power}") for power in range(-6, 13) for k in (1, 2, 5)])
_GRID = np.concatenate([-_POSITIVE[::-1], [0.0], _POSITIVE])
_YEARS = (1, *range(1800, 2110, 10))
_TYPES = ("string", "large_string", "date32[day]")


Floats = NDArray[np.float64]


class Placed(NamedTuple):
    """The place of a cell on its scale, and its form."""

    value: float
    form: str


class Scale(Protocol):
    """Reads cells of a field as places, and spells places as cells."""

    forms: tuple[str, ...]
    grid: Floats  # places, increasing, between which cells are counted first; it ends where there is nothing more

    def read(self, cells: Sequence[str]) -> list[Placed | None]:
        """Return the place of each cell, None for one that has none."""

    def spell(self, value: float, form: str, forms: Collection[str]) -> str:
        """Return the last cell not above this place, in one form of the `forms` that the column has."""

    def written(self, forms: Sequence[str]) -> tuple[dict[str, float], float]:
        """Return how often each form is there if cells are written like these, and the least step between two."""


def has_scale(field: Field) -> bool:
    """Return whether cells of a field are plain numbers or dates, or text by text a category."""
    if field.kind == "number":
        plain = field.before == ("",) and field.after == ("",) and not field.thousands
        return plain and not field.levels and field.decimal == "."
    return field.kind == "date" and field.type in _TYPES and "d" in field.forms[0]


def scale_of(field: Field) -> Scale | None:
    """Return the scale of a field; None for a category."""
    if field.kind == "number":
        return _Numbers(field)
    return _Dates(field) if field.kind == "date" else None


class _Numbers:
    def __init__(self, field: Field) -> None:
        self._numbers, self._plain = Numbers(field), plain_of(field.type)
        self.grid = _GRID
        self.forms = tuple(f"{k}.{j}" for k in range(PLACES + 1) for j in range(k + 1))

    def read(self, cells: Sequence[str]) -> list[Placed | None]:
        column = Cells.of(cells)
        numbers = self._numbers.is_number(column.data, column.ends).tolist()
        return [
            self._placed(cell) if yes and cell not in self._numbers.missing else None
            for cell, yes in zip(cells, numbers, strict=True)
        ]

    def _placed(self, cell: str) -> Placed:
        value = Decimal(self._numbers.plain(cell))
        digits = f"{value:f}".partition(".")[2][:PLACES]
        return Placed(float(value), f"{len(digits)}.{len(digits.rstrip('0'))}")

    def spell(self, value: float, form: str, forms: Collection[str]) -> str:
        places, said = map(int, form.split("."))
        plain = self._plain
        if plain is not None:
            said = min(said, plain.most)
            value = min(max(value, float(plain.low or "-inf")), float(plain.high or "inf"))
        text = f"{Decimal(value).quantize(Decimal(1).scaleb(-said), ROUND_FLOOR):f}"
        kept = text.rstrip("0") if said else text
        if plain is not None:  # a type writes a number in one way
            kept = kept.rstrip(".") if said else kept
            return f"{Decimal(kept):.{plain.least}f}" if plain.least else _without_sign(kept)
        left = len(kept.partition(".")[2])
        if left < said and f"{places}.{left}" not in forms:  # no number here ends in such zeros
            return _without_sign(kept.rstrip("."))
        return _without_sign(f"{Decimal(text):.{places}f}")

    def written(self, forms: Sequence[str]) -> tuple[dict[str, float], float]:
        each = [tuple(map(int, form.split("."))) for form in forms]
        places = max(many for many, _ in each)
        padded = any(said < many for many, said in each)  # 1.50 is written as that, and not as 1.5
        return {f"{places}.{k}": float(k == places) for k in range(0 if padded else places, places + 1)}, 10.0**-places


def _without_sign(text: str) -> str:
    return text.removeprefix("-") if not text.strip("-0.") else text


class _Dates:
    def __init__(self, field: Field) -> None:
        self._dates, self._field = Dates(field), field
        self.forms = tuple(map(str, range(len(field.forms))))
        self.grid = np.array([date(year, 1, 1).toordinal() for year in _YEARS] + [date.max.toordinal() + 1], float)

    def read(self, cells: Sequence[str]) -> list[Placed | None]:
        dated = self._dates.is_date(Cells.of(cells)).tolist()
        return [
            Placed(float(self._dates.day(cell).number), self._form(cell))
            if yes and cell not in self._dates.missing
            else None
            for cell, yes in zip(cells, dated, strict=True)
        ]

    def _form(self, cell: str) -> str:
        day = date.fromordinal(self._dates.day(cell).number)
        alike = (k for k, form in enumerate(self._field.forms) if cell.startswith(form_of(day, form)))
        return str(next(alike, 0))

    def written(self, forms: Sequence[str]) -> tuple[dict[str, float], float]:
        return dict.fromkeys(forms, 1.0), 1.0

    def spell(self, value: float, form: str, forms: Collection[str]) -> str:
        day = date.fromordinal(min(max(int(value), 1), date.max.toordinal()))
        return form_of(day, self._field.forms[int(form)])
