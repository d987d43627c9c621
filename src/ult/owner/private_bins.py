"""Edges of the bins of numbers, learnt from private records at a stated part of epsilon, where the schema gives none.

A record counts with one of its numbers in each field: with its own, or with that of one of its rows, drawn at random.
So one record more or less, which may be a person with all visits, is one number more or less a field, and takes part in
`draws(bins)` draws of it (`ult.privacy.quantiles`). A cell that is no number counts nowhere here; the codec refuses
it, with its place, before anything is written. `ult audit mechanism --of bins` tests this code against the promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells as Column
from ult.codecs.record.field import Field
from ult.codecs.record.number import Numbers
from ult.data.columns.bins import BINS, CHOICES
from ult.data.columns.measure import Numbers as Measured
from ult.errors import InvalidConfig
from ult.host.shown import count
from ult.privacy import accountant
from ult.privacy.quantiles import NO_CELLS, Cells, draws, epsilon_of_draw, private_edges, rank_error
from ult.privacy.randomness import SAMPLE, Secure
from ult.public.guarantee import Spent

SHARE = 0.1  # of epsilon and of delta that edges cost, if any are learnt


@dataclass(frozen=True, slots=True)
class Learnt:
    """Fields with edges, and what these cost.

    `fields` are those of the records. `names` are the numbers whose edges were learnt, and `error` is by how many
    records the first edge of each is off its rank in one half, at most, in 19 of 20 fits. `records` is their number,
    and `helps` says what helps if edges are noise.
    """

    fields: tuple[Field, ...]
    spent: Spent | None = None
    names: tuple[str, ...] = ()
    bins: int = BINS
    records: int = 0
    error: int = 0
    helps: str = "--bins 8, fewer columns, or edges in the schema"

    def remarks(self) -> list[str]:
        """Return what the owner should know of the edges, in one sentence each."""
        found = []
        if lost := [one.name for one in _flat(self.fields) if one.name in self.names and not one.edges]:
            found.append(
                f"no edges of bins were learnt of {', '.join(map(repr, lost))}, of which too few cells are numbers at "
                f"this epsilon; {self.helps} help"
            )
        if self.names and self.error > self.records / self.bins:
            found.append(
                f"the edges of bins are mostly noise: {self.records:,} records are few for {self.bins} bins of "
                f"{count(len(self.names), 'number')} at this epsilon; {self.helps} help"
            )
        return found


def learnt(
    fields: Sequence[Field], batches: Iterable[Sequence[Any]], *, bins: int, epsilon: float, delta: float | None
) -> Learnt:
    """Return the fields with edges for the numbers that have none, at `SHARE` of (epsilon, delta).

    `batches` are lists of records, each a tuple of cells in the order of `fields`; they are read if a field needs it.
    Raises `InvalidConfig`.
    """
    if bins not in CHOICES:
        raise InvalidConfig(f"bins are {bins}; expected one of {', '.join(map(str, CHOICES))}")
    without = [(k, one) for k, one in enumerate(_flat(fields)) if _is_open(one)]
    if not without or bins == 1:
        return Learnt(tuple(fields))
    counted, records = _counted(fields, batches)
    delta = accountant.default_delta(records) if delta is None else delta
    accountant.check(epsilon, delta, records)
    spent = Spent(SHARE * epsilon, SHARE * delta)
    edges, draw = edges_of([counted[k] for k, _ in without], bins, spent)
    of = dict(zip([k for k, _ in without], edges, strict=True))
    names = tuple(one.name for _, one in without)
    return Learnt(_with_edges(fields, of), spent, names, bins, records, rank_error(draw))


def edges_of(counted: Sequence[Cells], bins: int, spent: Spent) -> tuple[list[tuple[str, ...]], float]:
    """Return the edges of each field, which together cost `spent`, and the epsilon of each draw."""
    draw = epsilon_of_draw(*spent, len(counted) * draws(bins))
    return [private_edges(cells, bins, epsilon=draw) for cells in counted], draw


def _counted(fields: Sequence[Field], batches: Iterable[Sequence[Any]]) -> tuple[dict[int, Cells], int]:
    """Return one number of each record for each open field, by its place in `_flat`, and the number of records."""
    readers = {k: _Reader(one) for k, one in enumerate(_flat(fields)) if _is_open(one)}
    found = dict.fromkeys(readers, NO_CELLS)
    records = 0
    for batch in batches:
        records += len(batch)
        for k, values in _one_each(fields, batch, readers):
            found[k] = found[k].with_those(Cells.of(values))
    return found, records


def _one_each(
    fields: Sequence[Field], batch: Sequence[Any], readers: dict[int, _Reader]
) -> Iterable[tuple[int, NDArray[np.float64]]]:
    """Yield for each open field, by its place, one number of each record that has any."""
    place = 0
    for j, one in enumerate(fields):
        if place in readers:
            yield place, readers[place].values([record[j] for record in batch])[1]
        place += 1
        for i, _ in enumerate(one.fields):
            if place in readers:
                rows = [row[i] for record in batch for row in record[j]]
                sizes = np.fromiter((len(record[j]) for record in batch), np.int64, len(batch))
                yield place, _drawn(*readers[place].values(rows), np.repeat(np.arange(len(batch)), sizes))
            place += 1


def _drawn(at: NDArray[np.int64], values: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one of the values (n,) of each owner; `at` are their rows, and `owner` says whose a row is."""
    mine = owner[at]
    order = np.lexsort((Secure().at(SAMPLE, 0).random(len(at)), mine))
    first = np.diff(mine[order], prepend=-1) > 0
    drawn: NDArray[np.float64] = values[order][first]
    return drawn


class _Reader:
    """The values of the cells of one field of numbers."""

    def __init__(self, field: Field) -> None:
        self._numbers = Numbers(field)
        self._none = {field.absent, None, *field.missing}
        options = {name: getattr(field, name) for name in ("before", "after", "decimal", "thousands")}
        self._plain = Measured(options, 1, 0).plain

    def values(self, cells: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return which of the cells (n,) are numbers, and their values."""
        there = [i for i, cell in enumerate(cells) if cell not in self._none]
        texts = [cells[i] for i in there]
        column = Column.of(texts)
        is_number = self._numbers.is_number(column.data, column.ends).tolist()
        kept = [(i, text) for i, text, yes in zip(there, texts, is_number, strict=True) if yes]
        values = np.array([float(self._plain(text)) for _, text in kept], np.float64)
        return np.array([i for i, _ in kept], np.int64), values


def _is_open(one: Field) -> bool:
    return one.kind == "number" and not one.edges and not one.edges_by and not one.levels


def _flat(fields: Sequence[Field]) -> list[Field]:
    return [inner for one in fields for inner in (one, *one.fields)]


def _with_edges(fields: Sequence[Field], edges: dict[int, tuple[str, ...]]) -> tuple[Field, ...]:
    """Return the fields with the edges of those that have some, by their places in `_flat`."""
    found, place = [], 0
    for one in fields:
        own = edges.get(place, one.edges)
        inner = [replace(each, edges=edges.get(place + 1 + i, each.edges)) for i, each in enumerate(one.fields)]
        found.append(replace(one, edges=own, fields=tuple(inner)) if own or inner else one)
        place += 1 + len(inner)
    return tuple(found)
