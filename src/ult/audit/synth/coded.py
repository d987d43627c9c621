"""Columns as numbers, the same on every side: a code of each value, a class of the commonest, and what is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.synth.cells import MEASURED, NONE, Canonical, Floats, measured
from ult.audit.synth.side import Side
from ult.codecs.record.field import Field

PARTS = 10  # parts of equal numbers of real records, of a column that is measured
COMMON = 30  # values of any other column that have a class of their own
WORDY = ("text",)  # kinds whose number of words is measured
SYNTHETIC, REAL, HELD_OUT = "synthetic", "real", "held-out"
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """One column: `codes` are equal where values are, `classes` are those of the marginals, from 0 to `many`.

    `values` (kept,) are numbers, days, or numbers of words, NaN where there is none; None for other columns. `wrong`
    (kept,) says which cells are invalid. Code 0 is a missing cell.
    """

    field: Field
    codes: Mapping[str, Codes]
    classes: Mapping[str, Codes]
    many: int
    values: Mapping[str, Floats] | None
    wrong: Mapping[str, NDArray[np.bool_]]

    @property
    def is_text(self) -> bool:
        """Whether the cells are texts of several words."""
        return self.field.kind in WORDY


def coded(field: Field, sides: Mapping[str, Side]) -> Coded:
    """Return a column of all sides, by the real records."""
    spell = Canonical(field)
    spelled = {name: [spell(cell) for cell in side.columns[field.name]] for name, side in sides.items()}
    numbers: dict[str, int] = {NONE: 0}
    codes = {
        name: np.array([numbers.setdefault(one, len(numbers)) for one in each], np.int64)
        for name, each in spelled.items()
    }
    wrong = {name: np.zeros(len(each), bool) for name, each in codes.items()}
    values: dict[str, Floats] | None = None
    if field.kind in MEASURED:
        both = {name: measured(field, side.columns[field.name]) for name, side in sides.items()}
        values, wrong = ({name: one[k] for name, one in both.items()} for k in (0, 1))  # type: ignore[assignment]
    elif field.kind in WORDY:
        values = {name: _words(each) for name, each in spelled.items()}
    if values is not None:
        edges = _edges(values[REAL])
        classes = {name: _parted(values[name], wrong[name], edges) for name in values}
        return Coded(field, codes, classes, len(edges) + 3, values, wrong)
    classes, many = _commonest(codes)
    return Coded(field, codes, classes, many, None, wrong)


def _words(cells: Sequence[str]) -> Floats:
    return np.array([float(len(cell.split())) if cell != NONE else np.nan for cell in cells])


def _edges(values: Floats) -> Floats:
    there = values[~np.isnan(values)]
    cuts = np.arange(1, PARTS) / PARTS
    return np.unique(np.quantile(there, cuts, method="inverted_cdf")) if len(there) else np.zeros(0)


def _parted(values: Floats, wrong: NDArray[np.bool_], edges: Floats) -> Codes:
    """Return the part of each value; then come a class for missing cells, and one for invalid ones."""
    parts = np.searchsorted(edges, values, side="right")
    parts[np.isnan(values)] = len(edges) + 1
    parts[wrong] = len(edges) + 2
    return parts.astype(np.int64)


def _commonest(codes: Mapping[str, Codes]) -> tuple[dict[str, Codes], int]:
    """Return classes: of the real records' commonest values, of their others, of values that they never have."""
    counts = Counter(codes[REAL].tolist())
    common = {code: k for k, (code, _) in enumerate(counts.most_common(COMMON))}
    others, never = len(common), len(common) + 1
    top = max(int(each.max(initial=0)) for each in codes.values()) + 1
    every = np.array([common.get(code, others if code in counts else never) for code in range(top)], np.int64)
    return {name: every[each] for name, each in codes.items()}, never + 1
