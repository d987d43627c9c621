"""Ids of records some of whose cells are given, as a condition on what a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.codecs.patches import cut
from ult.codecs.record import RecordColumns
from ult.codecs.record.given import GivenGrammar, Only
from ult.data.rows import listed
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord, MissingColumn
from ult.host.near import near
from ult.owner.constrained import TableGrammar
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL

WHOLE = ("image", "series", "rows")  # kinds whose cells nobody can type


class Conditioned(NamedTuple):
    """A state: that of records with the given cells, that of any record, and the ids that are due."""

    held: Any
    free: Any
    due: tuple[int, ...] = ()


class GivenCells:
    """Allows an id if a record with the given cells may go on with it; `free` says which ids may come without them.

    A given cell that shares no phrase with another field is spelled in the ids that the table encodes it to; one that
    may do so, a code and the number behind it, in any ids of the same symbols. Raises `InvalidConfig` or
    `MissingColumn` for cells that the table's records cannot have.
    """

    def __init__(self, table: Table, given: Mapping[str, str | None]) -> None:
        self.table, self.codec = table, _codec(table)
        self.cells = {k: _checked(self.codec, k, cell) for k, cell in _places(self.codec, given).items()}
        codec = self.codec
        self._grammar = GivenGrammar(codec.fields, codec.kinds, codec.first_marker, codec.max_length, self.cells)
        self._held, self._free = TableGrammar(table, self._grammar), TableGrammar(table)
        self._first = [int(spelling[0]) for spelling in table.spellings()]  # symbol of each id from N_SPECIAL on
        begins = np.array(self._first)
        self._begins = {  # of the marker of each cell with ids of its own: the ids that begin with it
            marker: N_SPECIAL + np.flatnonzero(begins == marker) for marker in self._alone()
        }
        self._ids: dict[Any, tuple[int, ...]] = {}

    def _alone(self) -> list[int]:
        """Return the markers of the given cells that share no patch with another field."""
        fields, kinds = self.codec.fields, self._grammar.kinds
        behind = {one.by for one in fields}
        return [
            kind.marker
            for kind in kinds
            if isinstance(kind, Only) and not kind.field.by and kind.field.name not in behind
        ]

    def start(self, ids: ArrayLike) -> Conditioned:
        """Return the state after no ids; raise `CorruptSymbols` for a prompt."""
        if np.asarray(ids).size:
            raise CorruptSymbols("a record with given cells was given a beginning too; expected none")
        return Conditioned(self._grammar.start(), self._free.start(ids))

    def advance(self, state: Conditioned, written: int) -> Conditioned:
        """Return the state after an id that is allowed."""
        due = state.due[1:]
        if not state.due and (marker := self._first[written - N_SPECIAL]) in self._begins:
            due = self._spelled(state, marker)[1:]
        return Conditioned(self._held.advance(state.held, written), self._free.advance(state.free, written), due)

    def allowed(self, state: Conditioned, room: int) -> NDArray[np.bool_]:
        """Return which ids (vocabulary,) may come next with room for so many; `<eos>` where a record may end."""
        if state.due:
            allowed = np.zeros(self._held.vocabulary_size, np.bool_)
            allowed[state.due[0]] = True
            return allowed
        allowed = self._held.allowed(state.held, room)
        for marker, ids in self._begins.items():
            if allowed[ids].any():
                allowed[ids] = False
                allowed[self._spelled(state, marker)[0]] = True
        return allowed

    def free(self, state: Conditioned, room: int) -> NDArray[np.bool_]:
        """Return which ids (vocabulary,) may come next if no cell were given."""
        return self._free.allowed(state.free, room)

    def holds(self, record: tuple[Any, ...]) -> bool:
        """Return whether a record has the given cells."""
        return all(record[k] == cell for k, cell in self.cells.items())

    def _spelled(self, state: Conditioned, marker: int) -> tuple[int, ...]:
        """Return the ids of a given cell at this place of a record."""
        begun = self._grammar.step(state.held, marker)
        if begun is None:
            raise CorruptSymbols("a given cell was written where it cannot stand")
        key = (marker, begun.body)
        if key not in self._ids:
            symbols = np.array([marker, *begun.body.symbols], np.uint32)
            phrases = self.table.encode_phrases(cut(symbols, np.array(begun.body.ends)))
            self._ids[key] = tuple(np.concatenate(phrases).tolist())
        return self._ids[key]


def _codec(table: Table) -> RecordColumns:
    if not isinstance(table.codec, RecordColumns):
        raise InvalidConfig(f"the table is of {table.codec.id}, whose records have no columns to give cells of")
    return table.codec


def _places(codec: RecordColumns, given: Mapping[str, str | None]) -> dict[int, str | None]:
    """Return the given cells by the places of their fields."""
    names, found = [one.name for one in codec.fields], {}
    for name, cell in given.items():
        if holders := [one.name for one in codec.fields if name in [inner.name for inner in one.fields]]:
            raise InvalidConfig(
                f"{name!r} is a column of the rows {holders[0]!r}, of which a record has many; expected a column of "
                f"which it has one cell: {listed([one.name for one in codec.fields if not one.fields]) or 'none is'}"
            )
        if name not in names:
            raise MissingColumn(f"the table has no column {name!r}; it has {listed(names)}", hint=near(name, names))
        found[names.index(name)] = cell
    return found


def _checked(codec: RecordColumns, k: int, cell: str | None) -> str | None:
    """Return a given cell; raise `InvalidConfig` if its field cannot hold it as it is."""
    one = codec.fields[k]
    if one.kind in WHOLE:
        raise InvalidConfig(f"{one.name!r} is of kind {one.kind}, whose cells cannot be given")
    alone = RecordColumns(fields=[one.alone])
    try:
        symbols = alone.encode((cell,)).symbols
        (back,) = alone.decode(symbols)
    except (InvalidRecord, CorruptSymbols) as error:
        raise InvalidConfig(f"the given cell {cell!r:.40} of {error.what}") from None
    if back != cell:
        raise InvalidConfig(
            f"the given cell {cell!r:.40} of {one.name!r} would become {back!r:.40}: the table keeps only its bin",
            hint=f"one of {listed(one.levels)}",
        )
    usual = alone.usual_grammar()
    state = usual.advance(usual.start(), symbols)
    if state is None or usual.least(state):
        raise InvalidConfig(
            f"the given cell {cell!r:.40} of {one.name!r} says that there is no value, as no record did that the table "
            "was fitted on; expected a value"
        )
    return cell
