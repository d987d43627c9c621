"""A column as classes: its common cells, each a class of its own, then bins of a scale, then all other cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.synth.marginals.scale import Scale, scale_of

Cell = str | None
Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
_LEAST = 1e-3  # of a part's share, so that none is empty


@dataclass(frozen=True)
class Column:
    """What is known of a column by noisy counts: `atoms` are cells that are common, `counts` how often each is there.

    `edges` are the inner edges of the bins of all other cells of a scale, increasing. `stops` are where parts of the
    scale begin and end, and `shares` how many cells lie in each part. `forms` says how often each form is there.
    A column is `closed` if it was declared what its cells may be: what lies beyond the ends is of all other cells.
    """

    field: Field
    atoms: tuple[Cell, ...] = ()
    counts: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    stops: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    forms: Mapping[str, float] | None = None
    closed: bool = False

    @cached_property
    def scale(self) -> Scale | None:
        """The scale, None for a category."""
        return scale_of(self.field)

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.edges) + 1 if self.scale else 0

    @property
    def classes(self) -> int:
        """How many classes there are; the last one is that of all other cells."""
        return len(self.atoms) + self.bins + 1

    def codes(self, cells: Sequence[Cell]) -> Codes:
        """Return the class (n,) of each cell."""
        known: dict[Cell, int] = {cell: k for k, cell in enumerate(self.atoms)}
        new = [cell for cell in dict.fromkeys(cells) if cell not in known]
        if self.scale is not None:
            texts = [cell for cell in new if cell is not None]
            for cell, placed in zip(texts, self.scale.read(texts), strict=True):
                if placed is not None and not (self.closed and self._beyond(placed.value)):
                    k = int(np.searchsorted(self.edges, placed.value, side="right"))
                    known[cell] = len(self.atoms) + k
        return np.array([known.get(cell, self.classes - 1) for cell in cells], np.int64)

    def _beyond(self, place: float) -> bool:
        return not self.stops[0] <= place < self.stops[-1]

    def cells(self, codes: Codes, rng: np.random.Generator) -> list[Cell]:
        """Return a cell of each class (n,): of a bin any number, as often as its part of the scale, in a usual form."""
        where, forms = self._places(codes, rng.random(len(codes))), self._forms(len(codes), rng)
        return [self._cell(*one) for one in zip(codes.tolist(), where.tolist(), forms, strict=True)]

    def _forms(self, n: int, rng: np.random.Generator) -> list[str]:
        usual = self.forms or {"0.0" if self.field.kind == "number" else "0": 1.0}
        weights = np.array(list(usual.values()))
        return [str(one) for one in rng.choice(list(usual), n, p=weights / weights.sum())]

    def _places(self, codes: Codes, at: Floats) -> Floats:
        """Return a place for each class (n,) of a bin, the share `at` (n,) of the bin's cells below it; else NaN."""
        found, bins = np.full(len(codes), np.nan), codes - len(self.atoms)
        inner = (bins >= 0) & (bins < self.bins)
        if not inner.any():
            return found
        stops, low = np.array(self.stops), bins[inner]
        below = np.append(0, np.cumsum(np.array(self.shares) + _LEAST))
        parts = np.concatenate([[0], np.interp(self.edges, stops, below), below[-1:]])
        place = parts[low] + at[inner] * (parts[low + 1] - parts[low])
        found[inner] = np.minimum(np.interp(place, below, stops), np.nextafter(stops[-1], -np.inf))
        return found

    def _cell(self, code: int, place: float, form: str) -> Cell:
        if code < len(self.atoms):
            return self.atoms[code]
        if self.scale is None or code == self.classes - 1:
            return self.field.absent
        return self.scale.spell(place, form, self.forms or (form,))

    def document(self) -> dict[str, Any]:
        """Return what was counted, as JSON values."""
        named = ("atoms", "counts", "edges", "stops", "shares", "forms", "closed")
        return {name: getattr(self, name) for name in named}

    @classmethod
    def read(cls, field: Field, told: Mapping[str, Any]) -> Column:
        """Return the column of a document."""
        of: dict[str, Any] = {name: tuple(told[name]) for name in ("atoms", "counts", "edges", "stops", "shares")}
        return cls(field, **of, forms=told["forms"], closed=told["closed"])
