"""Rows of units that do not follow one another, brought together in as many passes as memory needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.record.cells import Cells
from ult.codecs.record.columns import Columns
from ult.data.composed.runs import Block, Piece, Run
from ult.data.rows import Chunk

Numbers = NDArray[np.int64]
Check = Callable[[Run, tuple[Any, ...], pa.Table | None, tuple[Chunk, int]], None]


def gathered(
    read: Callable[[], Iterator[Block]], limit: int, check: Check, check_few: Callable[[int], None]
) -> Iterator[Run]:
    """Yield one run for each unit, in the order in which units are first met.

    If the rows have more than `limit` bytes, they are read again and again, and at each time those of the next units
    are held. `check` is called for a row that has not the static cells of its unit, and `check_few` with the most
    bytes that the rows of one unit have. Memory also takes some 100 bytes a unit.
    """
    numbers: dict[str, int] = {}
    sizes = np.zeros(0, np.int64)
    held: _Held | None = _Held()
    for block in read():
        of = np.array([numbers.setdefault(unit, len(numbers)) for unit in block.units.tolist()], np.int64)  # type: ignore[arg-type]
        more = np.bincount(of, block.inner.sizes + block.static.sizes, len(numbers)).astype(np.int64)
        sizes = more + np.pad(sizes, (0, len(more) - len(sizes)))
        if held is not None and held.nbytes <= limit:
            held.add(block, of, None)
        else:
            held = None
    check_few(int(sizes.max(initial=0)))
    if held is not None:
        yield from held.runs(list(numbers), 0, check)
        return
    names, ends, first = list(numbers), np.cumsum(sizes), 0
    while first < len(names):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + limit, "right")))
        held = _Held()
        for block in read():
            of = np.array([numbers.get(unit, -1) for unit in block.units.tolist()], np.int64)  # type: ignore[arg-type]
            here = np.flatnonzero((of >= first) & (of < last))
            if len(here):
                held.add(block, of[here], here)
        yield from held.runs(names[first:last], first, check)
        first = last


class _Held:
    """Rows in memory, with the numbers of their units."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._units: list[Numbers] = []
        self._rows: list[Numbers] = []  # of each part, the rows of its chunk
        self._parts: list[Block] = []

    def add(self, block: Block, of: Numbers, here: Numbers | None) -> None:
        """Hold a block, or its rows `here`; `of` are the numbers of their units."""
        if here is not None:
            kept = None if block.kept is None else block.kept.take(here)
            block = Block(block.chunk, block.units, block.static.taken(here), block.inner.taken(here), kept)
        self._units.append(of)
        self._rows.append(np.arange(len(of)) if here is None else here)
        self._parts.append(block._replace(units=Cells.of([])))
        self.nbytes += int(block.inner.sizes.sum() + block.static.sizes.sum())

    def runs(self, names: Sequence[str], base: int, check: Check) -> Iterator[Run]:
        """Yield the rows of each unit, whose numbers are counted from `base`, together."""
        if not self._parts:
            return
        of, rows, parts = np.concatenate(self._units) - base, np.concatenate(self._rows), self._parts
        offsets = np.cumsum([0, *map(len, self._units)])
        chunks = [part.chunk for part in parts]
        order = np.argsort(of, kind="stable")
        kept = None if parts[0].kept is None else pa.concat_tables([part.kept for part in parts]).take(order)
        static = _sorted([part.static for part in parts], order)
        inner = _sorted([part.inner for part in parts], order)
        self._parts = parts = []
        starts = np.searchsorted(of[order], np.arange(len(names)))
        stops = np.append(starts[1:], len(order))
        fresh = np.zeros(len(order), np.bool_)
        fresh[starts] = True
        odd = Block(chunks[0], Cells(np.empty(0, np.uint8), np.zeros(len(order), np.int64), fresh), static, inner, kept)
        wrong = [*odd.odd(fresh).tolist(), len(order)]
        bytes_to = np.append(0, np.cumsum(inner.sizes))

        def at(k: int) -> tuple[Chunk, int]:
            row = int(order[k])
            return chunks[int(np.searchsorted(offsets, row, "right")) - 1], int(rows[row])

        firsts = list(static.taken(starts))
        for name, cells, start, stop in zip(names, firsts, starts.tolist(), stops.tolist(), strict=True):
            run = Run(name, cells, at(start), kept=None if kept is None else kept.slice(start, 1))
            while wrong[0] < stop:
                k = wrong.pop(0)
                check(run, static[k], None if kept is None else kept.slice(k, 1), at(k))
            run.last, run.nbytes = at(stop - 1), int(bytes_to[stop] - bytes_to[start])
            run.pieces = [Piece(inner, start, stop)]
            yield run


def _sorted(parts: list[Columns], order: Numbers) -> Columns:
    """Return the rows of all parts in an order; a column at a time, so that memory holds only one of them twice."""
    width = len(parts[0].columns)
    found: list[Any] = []
    for k in range(width):
        column = Columns.concatenate([Columns(part.columns[k : k + 1], len(part)) for part in parts])
        found += column.taken(order).columns
    return Columns(found, len(order))
