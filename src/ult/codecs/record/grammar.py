"""What may follow in a record: fields in their order, each with a cell that its kind can finish."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols
from ult.codecs.record.date import NO_DAY
from ult.codecs.record.field import NEVER, Field, LeftOut
from ult.codecs.record.kind import Kind, Told
from ult.codecs.record.texts import Mark

_REMEMBERED = 256  # states whose followers are remembered


class Place(NamedTuple):
    """A place in a record: the last marker (-1 before the first), the state of its cell, and the last date before it.

    `row` are the cells that the next row leaves out, one for each field of the rows; NEVER where the field is written.
    """

    marker: int = -1
    body: Any = ()
    day: int = NO_DAY
    row: tuple[LeftOut, ...] = ()
    size: int = 0


class RecordGrammar(Grammar[Place]):
    """The grammar of records of `fields`; `kinds` are those of the markers from `first` on.

    With `usual`, records that hold what is unusual are refused as well, such as null in a required field (`Told`).
    """

    def __init__(
        self, fields: Sequence[Field], kinds: Sequence[Kind], first: int, max_length: int, *, usual: bool = False
    ) -> None:
        self.kinds, self.first, self.max_length, self.usual = kinds, first, max_length, usual
        self._order: list[tuple[int, int]] = []  # of each marker: its field, and its place in a row from 1, 0 outside
        for k, one in enumerate(fields):
            self._order.append((k, 0))
            self._order += [(k, 1 + j) for j in range(len(one.fields))]
        self._by = [kind.field.by != "" for kind in kinds]
        self._rest = Rest(fields, kinds, self._order, usual=usual)
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
            if self._unfinished(state) or not self._may_follow(state, place):
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
        left = kind.field.left_out
        if not inner and self._left(state.marker, place):
            row = tuple(one.left_out for one in kind.field.fields)
        elif not inner:
            left = None  # required rows of which there is one already
        known = Told(self._code(state, place, row), day, row[inner - 1] if inner else left, self.usual)
        return Place(place, kind.start(known), day, row, state.size + 1)

    def _code(self, state: Place, place: int, row: tuple[LeftOut, ...]) -> str | None:
        """Return the cell of the category before a number that names it, which may have been left out."""
        if not self._by[place]:
            return None
        before, inner = self.kinds[place - 1], self._order[place][1]
        if state.marker == place - 1:
            return before.cell(state.body)
        left = row[inner - 2] if inner else before.field.absent
        return left if isinstance(left, str) else None

    def _left(self, before: int, place: int) -> bool:
        """Return whether the marker `place` begins another field than that of the marker before it."""
        return before < 0 or self._order[before][0] != self._order[place][0]

    def _may_follow(self, state: Place, place: int) -> bool:
        """Return whether the marker `place` may stand after the cell before it, which is finished."""
        field, inner = self._order[place]
        if state.marker < 0:
            return inner == 0 and not self._rest.of_fields(-1, field)
        last, last_inner = self._order[state.marker]
        if inner:
            in_turn = last == field and inner > last_inner and state.body is not Mark.NONE
            return in_turn and NEVER not in state.row[last_inner : inner - 1]
        if self._rest.of_row(state):
            return False
        again = field == last and self.kinds[place].field.kind == "rows" and state.body is not Mark.NONE
        return again or (field > last and not self._rest.of_fields(last, field))

    def _unfinished(self, state: Place) -> int:
        """Return the fewest symbols that complete the last cell."""
        return self.kinds[state.marker].least(state.body) if state.marker >= 0 else 0

    def advance(self, state: Place, symbols: Symbols) -> Place | None:
        """Return the state after `symbols`, or None if no record goes on with them."""
        now: Place | None = state
        for symbol in np.asarray(symbols).tolist():
            now = self.step(now, symbol) if now is not None else None
            if now is None:
                return None
        return now if now is None or now.size + self.least(now) <= self.max_length else None

    def least(self, state: Place) -> int:
        """Return the fewest symbols that complete a record: its last cell, and required fields after that."""
        return self._unfinished(state) + self._rest.of(state)

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


class Rest:
    """The fewest symbols that write the required fields of which nothing is written yet."""

    def __init__(
        self, fields: Sequence[Field], kinds: Sequence[Kind], order: Sequence[tuple[int, int]], *, usual: bool
    ) -> None:
        self._kinds, self._order, self._usual = kinds, order, usual
        places = [place for place, (_, inner) in enumerate(order) if not inner]
        rows = [tuple(inner.left_out for inner in one.fields) for one in fields]
        costs = [
            self._cost(place, row) if one.left_out is NEVER else 0
            for one, place, row in zip(fields, places, rows, strict=True)
        ]
        self._sums = [0, *itertools.accumulate(costs)]  # of all fields before each

    def of(self, state: Place) -> int:
        """Return the fewest symbols of all required fields after the last marker."""
        return self.of_row(state) + self.of_fields(self._order[state.marker][0] if state.marker >= 0 else -1)

    def of_fields(self, last: int, until: int | None = None) -> int:
        """Return those of the fields of the record after field `last` and before `until`."""
        return self._sums[-1 if until is None else until] - self._sums[last + 1]

    def of_row(self, state: Place) -> int:
        """Return those of the row that has begun."""
        if NEVER not in state.row or state.body is Mark.NONE:
            return 0
        found = self._of_inner(state.marker, self._order[state.marker][1], state.row)
        return min(1, found) if state.body is Mark.FIRST else found  # NULL, which says that there are no rows

    def _of_inner(self, marker: int, inner: int, row: tuple[LeftOut, ...]) -> int:
        return sum(self._cost(marker + j - inner + 1, ()) for j in range(inner, len(row)) if row[j] is NEVER)

    @functools.cache  # noqa: B019
    def _cost(self, place: int, row: tuple[LeftOut, ...]) -> int:
        """Return the fewest symbols of a field that is required, its marker included."""
        kind = self._kinds[place]
        codes = [None, *kind.field.edges_by] if self._usual else [None]
        starts = [kind.start(Told(code, NO_DAY, NEVER, self._usual)) for code in codes]
        own = 1 + max(map(kind.least, starts))  # whatever the code before it turns out to be
        if kind.field.kind != "rows":
            return own
        inner = 1 + self._of_inner(place, 0, row)
        return inner if self._usual else min(2, inner)


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
