"""Rows of units that do not follow one another, brought together: in memory, or on the disk if they are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from ult.codecs.cells import Cells
from ult.data.composed.runs import Block, Piece, Run
from ult.data.composed.spilled import Lot, Spill, in_order
from ult.data.rows import Chunk

Check = Callable[[Run, tuple[Any, ...], pa.Table | None, tuple[Chunk, int]], None]
_EACH = 2**13  # units whose rows are put aside together


class Gathering:
    """Yields one run for each unit, in the order in which units are first met.

    `read` yields the rows. Those that have more than `limit` bytes are put aside on the disk, if all their cells are
    texts; else they are read again and again, and at each time those of the next units are held. `check` is called for
    a row that has not the static cells of its unit, and `check_few` with the bytes that the rows of a unit have.
    """

    def __init__(
        self, read: Callable[[], Iterator[Block]], limit: int, check: Check, check_few: Callable[[int], None]
    ) -> None:
        self._read, self._limit, self._check, self._check_few = read, limit, check, check_few
        self._chunks: list[Chunk] = []

    def __iter__(self) -> Iterator[Run]:
        held: list[Lot] = []
        nbytes = 0
        for lot in (lots := self._lots()):
            held.append(lot)
            nbytes += int(lot.sizes.sum())
            if nbytes > self._limit:
                break
        else:
            yield from self._runs(held)
            return
        if held[0].plain:
            yield from self._aside(_chained(held, lots), _EACH)
        else:
            del held, lots
            yield from self._in_passes()

    def _lots(self) -> Iterator[Lot]:
        self._chunks = []
        for block in self._read():
            n = len(block.units)
            self._chunks.append(block.chunk)
            yield Lot(*block[1:], np.full(n, len(self._chunks) - 1), np.arange(n))

    def _aside(self, lots: Iterable[Lot], each: int) -> Iterator[Run]:
        """Yield the runs of rows that are put aside first, in parts of `each` units; again if these are large."""
        with closing(Spill(each)) as spill:
            for lot in lots:
                spill.add(lot)
            for part, nbytes, units in spill.parts():
                if units == 1:
                    self._check_few(nbytes)
                if nbytes <= self._limit or units == 1:
                    yield from self._runs(list(part))
                else:
                    yield from self._aside(part, max(1, units * self._limit // (2 * nbytes)))

    def _in_passes(self) -> Iterator[Run]:
        """Yield the runs of rows that are read again for the units of every `limit` bytes."""
        numbers: dict[str, int] = {}
        sizes = np.zeros(0, np.int64)
        for lot in self._lots():
            of = np.array([numbers.setdefault(unit, len(numbers)) for unit in lot.units.tolist()])  # type: ignore[arg-type]
            more = np.bincount(of, lot.sizes, len(numbers)).astype(np.int64)
            sizes = more + np.pad(sizes, (0, len(more) - len(sizes)))
        ends, first = np.cumsum(sizes), 0
        while first < len(ends):
            before = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + self._limit, "right")))
            self._check_few(int(sizes[first]))
            held = []
            for lot in self._lots():
                of = np.array([numbers.get(unit, -1) for unit in lot.units.tolist()])  # type: ignore[arg-type]
                here = np.flatnonzero((of >= first) & (of < last))
                if len(here):
                    held.append(lot.taken(here))
            yield from self._runs(held)
            first = last

    def _runs(self, lots: list[Lot]) -> Iterator[Run]:
        """Yield the rows of each unit together, and forget `lots`."""
        if not lots:
            return
        of, n = Cells.concatenate([lot.units for lot in lots]).numbered()
        order, ends = in_order(of, n)
        firsts = np.append(0, ends[:-1])
        lot = Lot.joined(lots, order)
        lots.clear()
        _, static, inner, kept, chunk, row = lot
        inner_to, all_to = (np.append(0, np.cumsum(sizes)) for sizes in (inner.sizes, lot.sizes))
        self._check_few(int((all_to[ends] - all_to[firsts]).max()))
        fresh = np.zeros(len(order), np.bool_)
        fresh[firsts] = True
        wrong = [*Block(self._chunks[0], *lot[:4]).odd(fresh).tolist(), len(order)]
        places = zip(*(each[rows].tolist() for rows in (firsts, ends - 1) for each in (chunk, row)), strict=True)
        spans, nbytes = zip(firsts.tolist(), ends.tolist(), strict=True), (inner_to[ends] - inner_to[firsts]).tolist()
        every = zip(lot.units.taken(firsts).tolist(), static.taken(firsts), spans, places, nbytes, strict=True)
        for unit, cells, (start, stop), (a, i, b, j), size in every:
            run = Run(str(unit), cells, (self._chunks[a], i), kept=None if kept is None else kept.slice(start, 1))
            while wrong[0] < stop:
                k = wrong.pop(0)
                here = self._chunks[int(chunk[k])], int(row[k])
                self._check(run, static[k], None if kept is None else kept.slice(k, 1), here)
            run.last, run.nbytes, run.pieces = (self._chunks[b], j), size, [Piece(inner, start, stop)]
            yield run


def _chained(held: list[Lot], lots: Iterator[Lot]) -> Iterator[Lot]:
    """Yield the lots that are held, which are forgotten one by one, and then the others."""
    while held:
        yield held.pop(0)
    yield from lots
