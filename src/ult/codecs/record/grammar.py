"""What may follow in a record: fields in their order, each with a cell that its kind can finish."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols
from ult.codecs.record.date import NO_DAY
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Kind, Told

_REMEMBERED = 256  # states whose followers are remembered


class Place(NamedTuple):
    """A place in a record: the last marker (-1 before the first), the state of its cell, and the last date before it.

    `row` are the cells that the next row leaves out, one for each field of the rows.
    """

    marker: int = -1
    body: Any = ()
    day: int = NO_DAY
    row: tuple[str | None, ...] = ()
    size: int = 0


class RecordGrammar(Grammar[Place]):
    """The grammar of records of `fields`; `kinds` are those of the markers from `first` on."""

    def __init__(self, fields: Sequence[Field], kinds: Sequence[Kind], first: int, max_length: int) -> None:
        self.kinds, self.first, self.max_length = kinds, first, max_length
        self._order: list[tuple[int, int]] = []  # of each marker: its field, and its place in a row from 1, 0 outside
        for k, one in enumerate(fields):
            self._order.append((k, 0))
            self._order += [(k, 1 + j) for j in range(len(one.fields))]
        self._by = [kind.field.by != "" for kind in kinds]
        self._runs: Symbols | None = None  # the runs that `after` was asked about last, and their tree
        self._tree = _Node()
        self._known: OrderedDict[Place, NDArray[np.int64]] = OrderedDict()

    def start(self) -> Place:
        """Return the state of an empty record."""
        return Place()

    def step(self, state: Place, symbol: int) -> Place | None:
        """Return the state after one symbol, or None if no record goes on with it."""
        place = symbol - self.first
        if state.size == self.max_length:
            return None
        if 0 <= place < len(self.kinds):
            if state.marker == place and self.kinds[place].field.kind == "list":
                body = self.kinds[place].step(state.body, symbol)
                return None if body is None else state._replace(body=body, size=state.size + 1)
            if self.least(state) or not self._may_follow(state.marker, place):
                return None
            return self._begun(state, place)
        if state.marker < 0:
            return None
        body = self.kinds[state.marker].step(state.body, symbol)
        return None if body is None else state._replace(body=body, size=state.size + 1)

    def _begun(self, state: Place, place: int) -> Place:
        """Return the state after the marker `place`, when the cell before it is finished."""
        day, row = state.day, state.row
        if state.marker >= 0:
            kind, inner = self.kinds[state.marker], self._order[state.marker][1]
            told = kind.day(state.body)
            day = day if told is None else told
            if kind.field.carried:
                row = (*row[: inner - 1], kind.cell(state.body), *row[inner:])
        kind, (_, inner) = self.kinds[place], self._order[place]
        if not inner and (kind.field.kind != "rows" or state.row == () or self._left(state.marker, place)):
            row = tuple(one.absent for one in kind.field.fields)
        absent = row[inner - 1] if inner else kind.field.absent
        return Place(place, kind.start(Told(self._code(state, place, row), day, absent)), day, row, state.size + 1)

    def _code(self, state: Place, place: int, row: tuple[str | None, ...]) -> str | None:
        """Return the cell of the category before a number that names it, which may have been left out."""
        if not self._by[place]:
            return None
        before, inner = self.kinds[place - 1], self._order[place][1]
        if state.marker == place - 1:
            return before.cell(state.body)
        return row[inner - 2] if inner else before.field.absent

    def _left(self, before: int, place: int) -> bool:
        """Return whether the marker `place` begins another field than that of the marker before it."""
        return before < 0 or self._order[before][0] != self._order[place][0]

    def _may_follow(self, before: int, place: int) -> bool:
        """Return whether the marker `place` may stand after the marker `before`."""
        field, inner = self._order[place]
        if before < 0:
            return inner == 0
        last, last_inner = self._order[before]
        if inner:
            return last == field and inner > last_inner
        return field > last or (field == last and self.kinds[place].field.kind == "rows")

    def advance(self, state: Place, symbols: Symbols) -> Place | None:
        """Return the state after `symbols`, or None if no record goes on with them."""
        now: Place | None = state
        for symbol in np.asarray(symbols).tolist():
            now = self.step(now, symbol) if now is not None else None
            if now is None:
                return None
        return now if now is None or now.size + self.least(now) <= self.max_length else None

    def least(self, state: Place) -> int:
        """Return the fewest symbols that complete a record: those that its last cell needs."""
        return self.kinds[state.marker].least(state.body) if state.marker >= 0 else 0

    def after(self, state: Place, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED; run i ends at `ends[i]` in `symbols`."""
        if self._runs is not symbols:
            self._runs, self._tree = symbols, _Node.of(symbols, ends)
            self._known.clear()
        longest = int(np.diff(ends, prepend=0).max(initial=0))
        near_the_end = state.size + longest + 2**10 > self.max_length  # where the size matters
        if near_the_end or (state.marker >= 0 and not self.kinds[state.marker].hashable):
            return self._after(state, len(ends))
        key = state._replace(size=0)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.popitem(last=False)
            self._known[key] = self._after(key, len(ends))
        self._known.move_to_end(key)
        return self._known[key]

    def _after(self, state: Place, n: int) -> NDArray[np.int64]:
        found = np.full(n, REFUSED)
        pending = [(state, self._tree)]
        while pending:
            at, node = pending.pop()
            if node.runs:
                least = self.least(at)
                if at.size + least <= self.max_length:
                    found[node.runs] = least
            for symbol, child in node.children.items():
                after = self.step(at, symbol)
                if after is not None:
                    pending.append((after, child))
        return found


class _Node:
    """A node of the tree of runs: the runs that end here, and a child for each symbol."""

    __slots__ = ("children", "runs")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.runs: list[int] = []

    @classmethod
    def of(cls, symbols: Symbols, ends: Ends) -> _Node:
        """Return the tree of runs that end at `ends`."""
        root, start, flat = cls(), 0, np.asarray(symbols).tolist()
        for run, end in enumerate(ends.tolist()):
            node = root
            for symbol in flat[start:end]:
                node = node.children.setdefault(symbol, cls())
            node.runs.append(run)
            start = end
        return root
