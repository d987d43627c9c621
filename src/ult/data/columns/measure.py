"""The second pass over a column: values of its numbers for the edges of bins, and whether all its dates exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from ult.data.columns.bins import quantile_edges
from ult.data.columns.infer import Reading
from ult.host.later import compute as pc

SAMPLES = 2**22  # values of all columns together from which edges are computed
MOST = 2**15  # of one column
_TIME = re.compile(
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?( ?(Z|UTC|[+-]([01]\d|2[0-3])(:?[0-5]\d)?))?)?", re.ASCII
)
_PARTS = {"Y": r"(?P<Y>\d{4})", "m": r"(?P<m>\d\d)", "d": r"(?P<d>\d\d)"}


class Numbers:
    """Values of numbers that are written in one way: their range, and a sample of at most `most`.

    The cell `absent`, which a record leaves out, is not in the sample: no bin is spent on it.
    """

    wrong = False

    def __init__(self, options: dict[str, Any], most: int, seed: int, absent: str | None = None) -> None:
        self._options, self._most, self._absent = options, most, absent
        self._random = np.random.default_rng(seed)
        self._values, self._share = np.empty(0), 1.0
        self._range: list[tuple[Decimal, str]] = []
        sides = (sorted(options[side], key=len, reverse=True) for side in ("before", "after"))
        before, after = ("|".join(map(re.escape, texts)) for texts in sides)
        self._strip = re.compile(rf"(?:{before})(.*?)(?:{after})", re.DOTALL)

    def add(self, texts: Sequence[str]) -> Any:
        """Add cells, all of which are numbers."""
        found = pc.value_counts(pa.array(texts, pa.large_string()))
        cells, sizes = found.field("values").to_pylist(), np.asarray(found.field("counts"))
        plain = [Decimal(self.plain(cell)) for cell in cells]
        ends = [*self._range, min(zip(plain, cells, strict=True)), max(zip(plain, cells, strict=True))]
        self._range = [min(ends), max(ends)]
        sizes = np.where([cell == self._absent for cell in cells], 0, sizes)
        values = np.repeat(np.array([float(one) for one in plain]), sizes)
        values = values[np.isfinite(values)]
        if self._share < 1:
            values = values[self._random.random(len(values)) < self._share]
        self._values = np.concatenate([self._values, values])
        while len(self._values) > self._most:
            self._share /= 2
            self._values = self._values[self._random.random(len(self._values)) < 0.5]

    def plain(self, cell: str) -> str:
        """Return the number alone, as Python writes it."""
        match = self._strip.fullmatch(cell)
        text = match[1] if match else cell
        if thousands := self._options["thousands"]:
            text = text.replace(thousands, "")
        return text.replace(self._options["decimal"], ".")

    def edges(self, bins: int) -> tuple[str, ...]:
        """Return the edges of the bins."""
        return quantile_edges(self._values, bins)

    @property
    def range(self) -> tuple[str, str]:
        """The smallest and the largest number, as they are written."""
        return (self._range[0][1], self._range[1][1]) if self._range else ("", "")


class Dates:
    """Dates of some forms: their range, and whether each exists."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._parsers = [_parser(form) for form in options["forms"]]
        self._days: dict[str, date | None] = {}  # of texts that were met
        self._range: list[tuple[date, str]] = []
        self.wrong = False

    def add(self, texts: Sequence[str]) -> int | None:
        """Add cells; return the number of the first that is no date, from 0, or None."""
        new = set(texts) - self._days.keys()
        if len(new) + len(self._days) > MOST:
            self._days, new = {}, set(texts)
        days = {text: next((day for parse in self._parsers if (day := parse(text)) is not None), None) for text in new}
        if None in days.values():
            self.wrong = True
            return next(i for i, text in enumerate(texts) if text in days and days[text] is None)
        self._days |= days
        found = [(day, text) for text, day in days.items() if day is not None]
        self._range = [min([*self._range[:1], *found]), max([*self._range[1:], *found])] if found else self._range
        return None

    @property
    def range(self) -> tuple[str, str]:
        """The first and the last date, as they are written."""
        return (self._range[0][1], self._range[1][1]) if self._range else ("", "")


def _parser(form: str) -> Callable[[str], date | None]:
    whole = re.compile("".join(_PARTS.get(sign, re.escape(sign)) for sign in form), re.ASCII)

    def parse(text: str) -> date | None:
        match = whole.match(text)
        if match is None or not _TIME.fullmatch(text, match.end()):
            return None
        parts = {"m": "1", "d": "1", **match.groupdict()}
        try:
            return date(int(parts["Y"]), int(parts["m"]), int(parts["d"]))
        except ValueError:
            return None

    return parse


def measure_of(reading: Reading, most: int, seed: int, absent: str | None = None) -> Numbers | Dates | None:
    """Return what measures the cells of a column with this reading in a second pass, or None if nothing does."""
    if reading.kind == "number":
        return Numbers(reading.options, most, seed, absent)
    return Dates(reading.options) if reading.kind == "date" else None
