"""Rows of one unit, such as a patient, come together: as they follow one another, or held in memory up to a limit."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.data import record
from ult.data.batch import size_of
from ult.data.composed.fields import cells, texts
from ult.data.rows import Chunk, Rows
from ult.errors import SourceError

HELD_BYTES = 2**30  # of rows that wait in memory for others of their unit, about
_FIRST_CHECK = 2**16  # runs after which it is first looked whether units come again
_CELL_BYTES = 56  # of a text in memory beside its letters


@dataclass(slots=True)
class Run:
    """Rows of one unit: the `static` cells that all of them share, and the other cells of each row."""

    unit: str
    static: tuple[Any, ...]
    first: tuple[Chunk, int]
    last: tuple[Chunk, int] = field(init=False)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    kept: pa.Table | None = None  # one row
    nbytes: int = 0

    @property
    def place(self) -> str:
        """The place of the rows, for errors."""
        chunk, i = self.first
        last, j = self.last
        begin, end = chunk.place(i), last.place(j)
        common = begin.rpartition(" ")[0]
        number = end.removeprefix(common).strip()
        return begin if begin == end or not number.isdigit() else f"{begin} to {number}"


class Held:
    """How many bytes of rows wait in memory."""

    def __init__(self) -> None:
        self.nbytes = 0

    def add(self, run: Run, strand: Strand) -> None:
        """Count a run; raise `SourceError` if there are more than `HELD_BYTES`."""
        self.nbytes += run.nbytes
        if self.nbytes > HELD_BYTES:
            raise SourceError(
                f"{strand.name} has its rows of one {strand.unit!r} apart, or in another order than other inputs, and "
                f"over {HELD_BYTES >> 20:,} MiB of them would wait in memory; expected the rows of one after another",
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

    def runs(self) -> Iterator[Run]:
        """Yield rows that follow one another and have one unit."""
        run: Run | None = None
        for chunk in self._chunks(self.columns):
            units, (static, _) = self._units(chunk), _tuples(chunk, self.static)
            inner, nbytes = _tuples(chunk, self.inner)
            kept, bare = record.kept(chunk, self.kept) if self.kept.names else None, chunk.without_values()
            each = _CELL_BYTES * len(self.inner) + nbytes / max(chunk.length, 1)
            starts = [i for i, (a, b) in enumerate(itertools.pairwise(["", *units])) if a != b]
            for i, stop in itertools.pairwise([*starts, len(units)]):
                if run is None or run.unit != units[i]:
                    if run is not None:
                        yield run
                    run = Run(units[i], static[i], (bare, i), kept=None if kept is None else kept.slice(i, 1))
                if kept is not None or static[i:stop].count(run.static) < stop - i:
                    for k in range(i, stop):
                        self._check_same(run, static[k], None if kept is None else kept.slice(k, 1), (bare, k))
                run.last = bare, stop - 1
                run.rows += inner[i:stop]
                run.nbytes += int(each * (stop - i))
                if run.nbytes > HELD_BYTES:
                    raise SourceError(
                        f"{run.place}: one {self.unit!r} has over {HELD_BYTES >> 20:,} MiB of rows; expected fewer",
                        hint="is it the column of the unit?",
                    )
        if run is not None:
            yield run

    def whole(self, held: Held) -> Iterator[Run]:
        """Yield one run for each unit, in the order in which units are first met.

        Raises `SourceError` if the rows of a unit do not follow one another and are too many to be held in memory.
        """
        return self.runs() if self.trusted or self._in_turn is not None else iter(self._gathered(held).values())

    @property
    def trusted(self) -> bool:
        """Whether the reader itself puts the rows of a unit together."""
        return len(self.opened) == 1 and self.opened[0].together == self.unit

    @cached_property
    def hashes(self) -> NDArray[np.int64]:
        """The hashes of all units, sorted."""
        if self._in_turn is not None:
            return self._in_turn
        return np.array(sorted({hash(unit) for chunk in self._chunks([self.unit]) for unit in self._units(chunk)}))

    @cached_property
    def _in_turn(self) -> NDArray[np.int64] | None:
        """The hashes of all units, sorted, if the rows of each follow one another; else None."""
        starts, last, check = array("q"), None, _FIRST_CHECK
        for chunk in self._chunks([self.unit]):
            for unit in self._units(chunk):
                if unit != last:
                    starts.append(hash(unit))
                    last = unit
            if len(starts) >= check:
                check *= 2
                if len(np.unique(np.array(starts, np.int64))) < len(starts):
                    return None
        found = np.unique(np.array(starts, np.int64))
        return found if len(found) == len(starts) else None

    def _gathered(self, held: Held) -> dict[str, Run]:
        """Return a run for each unit, of rows that do not follow one another."""
        found: dict[str, Run] = {}
        for run in self.runs():
            held.add(run, self)
            if (whole := found.setdefault(run.unit, run)) is not run:
                self._check_same(whole, run.static, run.kept, run.first)
                whole.rows += run.rows
                whole.nbytes += run.nbytes
                whole.last = run.last
        return found

    def _chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        for rows in self.opened:
            yield from rows.chunks(columns)

    def _units(self, chunk: Chunk) -> Sequence[str]:
        """Return the unit of each row; raise `SourceError` for a row without one."""
        units = texts(chunk, self.unit)
        if not all(units):
            wrong = chunk.place(next(i for i, unit in enumerate(units) if not unit))
            raise SourceError(f"{wrong}: {self.unit!r} is empty; expected the unit that the row belongs to")
        return units  # type: ignore[return-value]

    def _check_same(self, run: Run, static: tuple[Any, ...], kept: pa.Table | None, place: tuple[Chunk, int]) -> None:
        """Raise `SourceError` unless a row has the cells that all rows of its unit share."""
        both = zip(self.static, run.static, static, strict=True)
        names = [one.name for one, a, b in both if a is not b and not _same(a, b)]
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


def _tuples(chunk: Chunk, fields: Sequence[Field]) -> tuple[list[tuple[Any, ...]], int]:
    """Return the cells of `fields` of each row, and about how many bytes they have together."""
    columns = [cells(chunk, one) for one in fields]
    rows = list(zip(*columns, strict=True)) if fields else [()] * chunk.length
    return rows, sum(size_of(tuple(column)) for column in columns)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(one == other)
