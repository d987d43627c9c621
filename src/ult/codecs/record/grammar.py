"""What may follow in a record: fields in their order, each with a cell that its kind can finish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols
from ult.codecs.record.date import NO_DAY
from ult.codecs.record.field import NEVER, Field, LeftOut
from ult.codecs.record.kind import Kind, Told
from ult.codecs.record.rest import Rest
from ult.codecs.record.runs import Found, Node, Runs
from ult.codecs.record.texts import Mark

_REMEMBERED = 2**12  # places of which a part of the tree of runs remembers what may follow


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

    With `usual`, records that hold what is unusual are refused as well, such as null in a required field (`Told`). Then
    `least` is so many runs as suffice for the required fields, of those that `after` was asked about last.
    """

    def __init__(
        self, fields: Sequence[Field], kinds: Sequence[Kind], first: int, max_length: int, *, usual: bool = False
    ) -> None:
        self._fields, self.kinds, self.first, self.max_length, self.usual = fields, kinds, first, max_length, usual
        self._order: list[tuple[int, int]] = []  # of each marker: its field, and its place in a row from 1, 0 outside
        for k, one in enumerate(fields):
            self._order.append((k, 0))
            self._order += [(k, 1 + j) for j in range(len(one.fields))]
        self._by = [kind.field.by != "" for kind in kinds]
        self._rest = Rest(fields, kinds, self._order, usual=usual)
        self._carried = [tuple(inner.carried for inner in fields[k].fields) for k, _ in self._order]
        self._dates = frozenset(place for place, kind in enumerate(kinds) if kind.field.kind == "date")
        self._runs: Runs | None = None  # those that `after` was asked about last

    def start(self) -> Place:
        """Return the state of an empty record."""
        return Place()

    def step(self, state: Place, symbol: int) -> Place | None:
        """Return the state after one symbol, or None if no record goes on with it."""
        place = symbol - self.first
        if state.size == self.max_length:
            return None
        if 0 <= place < len(self.kinds):
            return self._marked(state, place, self._unfinished(state))
        if state.marker < 0:
            return None
        body = self.kinds[state.marker].step(state.body, symbol)
        return None if body is None else state._replace(body=body, size=state.size + 1)

    def _marked(self, state: Place, place: int, unfinished: int) -> Place | None:
        """Return the state after a marker, if `unfinished` symbols are missing to the cell before it."""
        if state.marker == place and self.kinds[place].field.kind == "list":
            body = self.kinds[place].step(state.body, place + self.first)
            return None if body is None else state._replace(body=body, size=state.size + 1)
        return None if unfinished or not self._may_follow(state, place) else self._begun(state, place)

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
        if self._runs is None or self._runs.symbols is not symbols:
            self._runs = Runs(symbols, ends, range(self.first, self.first + len(self.kinds)))
            if self.usual:
                self._rest = Rest(self._fields, self.kinds, self._order, usual=True, root=self._runs.root)
        found = np.full(len(ends), REFUSED)
        if state.size + self._runs.longest + 2**10 > self.max_length:  # where the size matters
            for several, missing, size in self._every(state, self._runs.root):
                found[several] = missing if size + missing <= self.max_length else REFUSED
            return found
        found[self._runs.root.runs] = self.least(state)  # runs without a symbol
        for runs, least in self._parts(state._replace(size=0), self._runs.root):
            found[runs] = least
        return found

    def _every(self, state: Place, node: Node) -> Iterator[tuple[list[int], int, int]]:
        """Yield runs that may follow from `node` on, what is missing after them, and the size of the record."""
        pending = [(state, node)]
        while pending:
            at, node = pending.pop()
            if node.runs:
                yield node.runs, self.least(at), at.size
            for symbol, child in (*node.inside.items(), *node.markers.items()):
                after = self.step(at, symbol)
                if after is not None:
                    pending.append((after, child))

    def _parts(self, at: Place, root: Node) -> Iterator[Found]:
        """Yield the runs that may follow, and what is missing after each: those that begin in the cell, and others."""
        unfinished = self._unfinished(at)
        if at.marker >= 0:
            yield self._remembered(at, root, inside=True)
        if unfinished and self.kinds[at.marker].field.kind != "list":
            return
        for symbol, child in root.markers.items():
            after = self._marked(at, symbol - self.first, unfinished)
            if after is not None:
                yield self._remembered(after, child)

    def _remembered(self, at: Place, node: Node, *, inside: bool = False) -> Found:
        """Return what `_found` does, which is the same for all places that differ in nothing that matters to it."""
        if not self.kinds[at.marker].hashable:
            return self._found(at, node, inside=inside)
        known, beneath = (node.known_inside, node.inside_markers) if inside else (node.known, node.all_markers)
        key = self._that_matters(at, beneath)
        if key not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = self._found(key, node, inside=inside)
        return known[key]

    def _that_matters(self, at: Place, markers: frozenset[int]) -> Place:
        """Return a place without what makes no difference to runs that have no other markers than these."""
        body, day, row = at.body, at.day, at.row
        needed = at.marker + 1 in markers and self._by[at.marker + 1]  # as the code of a number, or in the next row
        if not needed and not (at.marker in markers and self.kinds[at.marker].field.carried):
            body = self.kinds[at.marker].alike(body)
        if self._dates.isdisjoint(markers):
            day = NO_DAY
        if any(isinstance(cell, str) for cell in row):
            first = at.marker - self._order[at.marker][1] + 1
            kept = [first + j in markers or first + j + 1 in markers for j in range(len(row))]
            row = tuple(cell if keep or cell is NEVER else None for cell, keep in zip(row, kept, strict=True))
        return at._replace(body=body, day=day, row=row)

    def _found(self, at: Place, node: Node, *, inside: bool) -> Found:
        """Return the runs from `node` on, without those that begin with a marker if `inside`."""
        runs: list[int] = []
        least: list[int] = []
        others: list[Found] = []
        pending = [(at, node, not inside)]
        while pending:
            at, node, whole = pending.pop()
            if node.runs and whole:
                runs += node.runs
                least += [self.least(at)] * len(node.runs)
            for symbol, child in node.inside.items():
                after = self.step(at, symbol)
                if after is not None:
                    pending.append((after, child, True))
            unfinished = self._unfinished(at) if whole and node.markers else 0
            for symbol, child in node.markers.items() if whole else ():
                after = self._marked(at, symbol - self.first, unfinished)
                if after is not None:
                    others.append(self._remembered(after, child))
        return Found.of(runs, least, others)
