"""How many symbols a record still needs for its required fields."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

from ult.codecs.record.date import NO_DAY
from ult.codecs.record.field import NEVER, Field, LeftOut
from ult.codecs.record.kind import Kind, Told
from ult.codecs.record.runs import Node
from ult.codecs.record.texts import Mark

_FEW = 64  # kinds of cells before a field, up to which its best run is looked for
_SOME_DAY = 730_000


class At(Protocol):
    """A place in a record: `ult.codecs.record.grammar.Place`."""

    @property
    def marker(self) -> int:
        """The last marker, -1 before the first."""

    @property
    def body(self) -> Any:
        """The state of its cell."""

    @property
    def row(self) -> tuple[LeftOut, ...]:
        """The cells that the next row leaves out."""


def _fewest(kind: Kind, start: Any, node: Node | None) -> int:
    """Return the fewest symbols of a cell after the marker, or after the best run that begins with it."""
    best = int(kind.least(start))
    pending = [(start, node)] if node is not None else []
    while pending and best:
        state, at = pending.pop()
        if at.runs:
            best = min(best, int(kind.least(state)))
        steps = [(kind.step(state, symbol), child) for symbol, child in at.inside.items()]
        pending += [(after, child) for after, child in steps if after is not None]
    return best


class Rest:
    """The fewest symbols that write the required fields of which nothing is written yet.

    With the `root` of a tree of runs it is instead so many runs as suffice, if each symbol is a run of its own.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        kinds: Sequence[Kind],
        order: Sequence[tuple[int, int]],
        *,
        usual: bool,
        root: Node | None = None,
    ) -> None:
        self._kinds, self._order, self._usual, self._root = kinds, order, usual, root
        self._costs: dict[int, int] = {}
        places = [place for place, (_, inner) in enumerate(order) if not inner]
        rows = [tuple(inner.left_out for inner in one.fields) for one in fields]
        costs = [
            (self._rows_cost(place, row) if row else self._cost(place)) if one.left_out is NEVER else 0
            for one, place, row in zip(fields, places, rows, strict=True)
        ]
        self._sums = [0, *itertools.accumulate(costs)]  # of all fields before each

    def of(self, state: At) -> int:
        """Return the fewest symbols of all required fields after the last marker."""
        return self.of_row(state) + self.of_fields(self._order[state.marker][0] if state.marker >= 0 else -1)

    def of_fields(self, last: int, until: int | None = None) -> int:
        """Return those of the fields of the record after field `last` and before `until`."""
        return self._sums[-1 if until is None else until] - self._sums[last + 1]

    def of_row(self, state: At) -> int:
        """Return those of the row that has begun."""
        if NEVER not in state.row or state.body is Mark.NONE:
            return 0
        found = self._of_inner(state.marker, self._order[state.marker][1], state.row)
        return min(1, found) if state.body is Mark.FIRST else found  # NULL, which says that there are no rows

    def _of_inner(self, marker: int, inner: int, row: tuple[LeftOut, ...]) -> int:
        return sum(self._cost(marker + j - inner + 1) for j in range(inner, len(row)) if row[j] is NEVER)

    def _cost(self, place: int) -> int:
        """Return the fewest symbols of a required field that holds no rows, its marker included."""
        if place not in self._costs:
            kind = self._kinds[place]
            edges = kind.field.edges_by if self._usual else {}
            codes = [None, *{several: code for code, several in edges.items()}.values()]
            days = (NO_DAY, _SOME_DAY) if self._usual and kind.field.kind == "date" else (NO_DAY,)
            starts = [kind.start(Told(code, day, NEVER, self._usual)) for code in codes for day in days]
            node = self._root.markers.get(kind.marker) if self._root is not None and len(starts) <= _FEW else None
            self._costs[place] = 1 + max(_fewest(kind, start, node) for start in starts)  # whatever stands before it
        return self._costs[place]

    def _rows_cost(self, place: int, row: tuple[LeftOut, ...]) -> int:
        """Return the fewest symbols of required rows."""
        found = 1 + self._of_inner(place, 0, row)
        return found if self._usual else min(2, found)  # two say that there are none
