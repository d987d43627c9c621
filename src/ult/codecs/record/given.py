"""What may follow in a record some of whose cells are given: exactly these cells, wherever their fields stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ult.codecs.cells import Cells
from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.field import Field
from ult.codecs.record.grammar import Place, RecordGrammar
from ult.codecs.record.kind import Beside, Kind, Told

_ARRAYS = ("image", "series", "molecule")  # kinds whose columns are lists, and no `Cells`


class Due(NamedTuple):
    """The symbols that a given cell still needs, and where each of its patches ends, counted from its marker."""

    symbols: tuple[int, ...]
    ends: tuple[int, ...]


class Only(Kind):
    """A field that holds one given cell, which is not the one that is written by leaving the field out."""

    def __init__(self, kind: Kind, cell: Any) -> None:
        super().__init__(kind.field, kind.marker)
        self.kind, self.given = kind, cell
        self.more, self.lossless, self.max_patch = kind.more, kind.lossless, kind.max_patch

    def encode(self, cells: Any, beside: Beside) -> Patches:
        """Return the patches of a column."""
        return self.kind.encode(cells, beside)

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return a cell."""
        return self.kind.read(head, body, symbols, told)

    def start(self, told: Told) -> Any:
        """Return all symbols of the given cell but its marker."""
        column = [self.given] if self.field.kind in _ARRAYS else Cells.of([self.given])
        codes = Cells.of([told.code]) if self.field.by else None
        found = self.kind.encode(column, Beside(codes, before=np.array([told.day], np.int64)))
        return Due(tuple(found.symbols[1:].tolist()), tuple(found.ends.tolist()))

    def step(self, state: Any, symbol: int) -> Any:
        """Return what is due after the symbol that is due."""
        due = state.symbols
        return state._replace(symbols=due[1:]) if due and due[0] == symbol else None

    def least(self, state: Any) -> int:
        """Return how many symbols are due."""
        return len(state.symbols)

    def cell(self, state: Any) -> str | None:
        """Return the given cell."""
        return self.given if isinstance(self.given, str) else None

    def day(self, state: Any) -> int | None:
        """Return its day."""
        return None if self.given is None else self.kind.day_of(self.given)


class GivenGrammar(RecordGrammar):
    """The grammar of usual records of `fields` that have the `given` cells, each by the place of its field."""

    def __init__(
        self, fields: Sequence[Field], kinds: Sequence[Kind], first: int, max_length: int, given: Mapping[int, Any]
    ) -> None:
        places = [sum(1 + len(one.fields) for one in fields[:k]) for k in range(len(fields))]
        left = {k for k, cell in given.items() if cell == fields[k].left_out}
        self._left_out = {places[k] for k in left}
        held = list(kinds)
        for k in given.keys() - left:
            held[places[k]] = Only(kinds[places[k]], given[k])
        never = [
            replace(one, absent=None, required=True) if k in given and k not in left else one
            for k, one in enumerate(fields)
        ]
        super().__init__(never, held, first, max_length, usual=True)

    def _may_follow(self, state: Place, place: int) -> bool:
        """Return whether the marker `place` may stand there; not that of a field that the given cell leaves out."""
        return place not in self._left_out and super()._may_follow(state, place)
