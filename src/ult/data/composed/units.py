"""Rows of one unit, such as a patient, come together: as they follow one another, or held in memory up to a limit."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns
from ult.codecs.record.field import Field
from ult.data import record
from ult.data.composed.alike import Spellings, check_alike, nameless
from ult.data.composed.fields import cells, column
from ult.data.composed.gathered import Gathering
from ult.data.composed.runs import Block, Piece, Run, same
from ult.data.rows import Chunk, Rows, changed
from ult.errors import SourceError

HELD_BYTES = 2**30  # of rows that wait in memory for others of their unit, about
_FIRST_CHECK = 2**16  # runs after which it is first looked whether units come again
PASS_BYTES = 2**26  # of rows that are brought together in memory, about; for a moment they are there twice


class Held:
    """How many bytes of rows wait in memory."""

    def __init__(self) -> None:
        self.nbytes = 0

    def add(self, run: Run, strand: Strand) -> None:
        """Count a run, which owns its rows from now on; raise `SourceError` at more than `HELD_BYTES`."""
        run.own()
        self.nbytes += run.nbytes
        if self.nbytes > HELD_BYTES:
            raise SourceError(
                f"{strand.name} has its {strand.unit!r} in another order than other inputs, and over "
                f"{HELD_BYTES >> 20:,} MiB of them would wait in memory; expected the rows of one after another",
                hint=f"sort every input by {strand.unit!r}, and keep the order of the rows of each",
            )

    def drop(self, run: Run) -> None:
        """Count a run that waits no more."""
        self.nbytes -= run.nbytes


class Strand:
    """The rows of inputs of the same columns, in runs of one `unit`."""

    def __init__(
        self,
        opened: Sequence[Rows],
        unit: str,
        *,
        name: str,
        static: Sequence[Field] = (),
        inner: Sequence[Field] = (),
        kept: pa.Schema | None = None,
    ) -> None:
        self.opened, self.unit, self.name = tuple(opened), unit, name
        self.static, self.inner, self.kept = tuple(static), tuple(inner), kept if kept is not None else pa.schema([])
        names = [unit, *(one.name for one in (*self.static, *self.inner)), *self.kept.names]
        self.columns = tuple(dict.fromkeys(names))
        self.spellings, self._noted = Spellings(), False  # whether they are those of all units, and checked

    def runs(self) -> Iterator[Run]:
        """Yield rows that follow one another and have one unit."""
        run: Run | None = None
        for block in self._blocks():
            n, kept, chunk = len(block.units), block.kept, block.chunk
            fresh = ~block.units.repeats()
            starts, odd = np.flatnonzero(fresh), [*block.odd(fresh).tolist(), n]
            bytes_to = np.append(0, np.cumsum(block.inner.sizes)).tolist()
            units, statics = block.units.taken(starts).tolist(), list(block.static.taken(starts))
            bounds = itertools.pairwise([*starts.tolist(), n])
            for unit, static, (start, stop) in zip(units, statics, bounds, strict=True):
                if run is None or run.unit != unit:
                    if run is not None:
                        yield run
                    run = Run(str(unit), static, (chunk, start), kept=None if kept is None else kept.slice(start, 1))
                else:
                    self._check_same(run, static, None if kept is None else kept.slice(start, 1), (chunk, start))
                while odd[0] < stop:
                    k = odd.pop(0)
                    self._check_same(run, block.static[k], None if kept is None else kept.slice(k, 1), (chunk, k))
                run.last = chunk, stop - 1
                run.pieces.append(Piece(block.inner, start, stop))
                run.nbytes += bytes_to[stop] - bytes_to[start]
                if run.nbytes > HELD_BYTES:
                    raise self._too_many(run.place)
        if run is not None:
            yield run

    def _blocks(self) -> Iterator[Block]:
        """Yield the rows of all inputs."""
        for chunk in self._chunks(self.columns):
            kept = record.kept(chunk, self.kept) if self.kept.names else None
            static, inner = ([cells(chunk, one) for one in fields] for fields in (self.static, self.inner))
            columns = Columns(static, chunk.length), Columns(inner, chunk.length)
            yield Block(chunk.without_values(), self._units(chunk), *columns, kept)
        self._check_alike(lambda: self.hashes)

    def whole(self) -> Iterator[Run]:
        """Yield one run for each unit, in the order in which units are first met.

        Rows of a unit that do not follow one another are held in memory, or put aside on the disk if they are many.
        """
        if self.trusted:
            return self.runs()
        if self._in_turn is not None:
            return self._counted(len(self._in_turn))
        return iter(Gathering(self._blocks, PASS_BYTES, self._check_same, self._check_few))

    def _counted(self, units: int) -> Iterator[Run]:
        """Yield the runs; raise `SourceError` if they are not as many as the units that were met in turn before."""
        n = 0
        for run in self.runs():
            n += 1
            yield run
        if n != units:
            raise changed(self.name, f"the rows of one {self.unit!r} followed one another, and do no more")

    @property
    def trusted(self) -> bool:
        """Whether the reader itself puts the rows of a unit together."""
        return len(self.opened) == 1 and self.opened[0].together == self.unit

    @cached_property
    def hashes(self) -> NDArray[np.int64]:
        """The hashes of all units, sorted."""
        if self._in_turn is not None:
            return self._in_turn
        return np.array(sorted({hash(unit) for units in self._changes() for unit in units}))

    @cached_property
    def _in_turn(self) -> NDArray[np.int64] | None:
        """The hashes of all units, sorted, if the rows of each follow one another; else None."""
        starts, last, check = array("q"), None, _FIRST_CHECK
        for units in self._changes():
            starts.extend(map(hash, units[units[0] == last :]))
            last = units[-1]
            if len(starts) >= check:
                check *= 2
                if len(np.unique(np.array(starts, np.int64))) < len(starts):
                    return None
        found = np.unique(np.array(starts, np.int64))
        self._check_alike(lambda: found)
        return found if len(found) == len(starts) else None

    def _changes(self) -> Iterator[list[str | None]]:
        """Yield the units of chunks of rows, each once where it comes several times in a row."""
        for chunk in self._chunks([self.unit]):
            units = self._units(chunk)
            if changed := units.taken(~units.repeats()).tolist():
                yield changed

    def _chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        for rows in self.opened:
            yield from rows.blocks(columns)

    def _units(self, chunk: Chunk) -> Cells:
        """Return the unit of each row; raise `SourceError` for a row without one."""
        units = column(chunk, self.unit)
        if (wrong := nameless(units)) >= 0:
            what = "says that there is none" if units[wrong] else "is empty"
            place = chunk.place(wrong)
            raise SourceError(f"{place}: {self.unit!r} {what}; expected the unit that the row belongs to")
        if not self._noted:
            self.spellings.add(units)
        return units

    def placed(self) -> Iterator[tuple[Chunk, Cells]]:
        """Yield the units of the rows of each chunk."""
        return ((chunk.without_values(), self._units(chunk)) for chunk in self._chunks([self.unit]))

    def _check_alike(self, hashes: Callable[[], NDArray[np.int64]]) -> None:
        """Raise `SourceError` if two units, all of which were met, differ in their spelling alone."""
        if not self._noted:
            self._noted = True
            check_alike([self.spellings], lambda: [hashes()], self.placed)

    def _check_few(self, nbytes: int) -> None:
        """Raise `SourceError` if the rows of one unit, which has the most, have more than `HELD_BYTES`."""
        if nbytes > HELD_BYTES:
            raise self._too_many(self.name)

    def _too_many(self, place: str) -> SourceError:
        return SourceError(
            f"{place}: one {self.unit!r} has over {HELD_BYTES >> 20:,} MiB of rows; expected fewer",
            hint="is it the column of the unit?",
        )

    def _check_same(self, run: Run, static: tuple[Any, ...], kept: pa.Table | None, place: tuple[Chunk, int]) -> None:
        """Raise `SourceError` unless a row has the cells that all rows of its unit share."""
        both = zip(self.static, run.static, static, strict=True)
        names = [one.name for one, a, b in both if a is not b and not same(a, b)]
        if kept is not None and run.kept is not None:
            names += [name for name in self.kept.names if kept[name] != run.kept[name]]
        if not names:
            return
        (chunk, i), (before, j) = place, run.first
        raise SourceError(
            f"{chunk.place(i)}: {names[0]!r} is not what it is in {before.place(j)}, which has the same {self.unit!r}; "
            "expected one value a unit",
            hint=f"ult describe FILE --unit {self.unit} makes it a field of the rows",
        )
