"""Rows of events, whatever they are read from: those of a subject one after another, in the order of time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from ult.codecs.record.field import Field
from ult.data.composed.joining import joined
from ult.data.composed.runs import Run
from ult.data.composed.units import Strand
from ult.data.events.moment import UNKNOWN, moment
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows
from ult.errors import EmptySource, SourceError

SUBJECT = "subject_id"
COLUMNS = (SUBJECT, "time", "code", "value", "unit", "text")
KEY = "\0key"  # a column of tables: what makes a resource or a row of data the only one, else null
BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"  # the codes of MEDS for them
_TIME, _CODE = 0, 1  # of a row without its subject


class Table(Rows):
    """Events as one file, or files of one kind, has them: in any order, with `COLUMNS`, `more` and maybe `KEY`."""

    more: tuple[str, ...] = ()
    keyed = False

    @property
    def inner(self) -> tuple[str, ...]:
        """The columns beside the subject's."""
        return (*COLUMNS[1:], *self.more, *([KEY] if self.keyed else []))

    @abstractmethod
    def unread(self) -> list[str]:
        """Return what was not read in the last pass, such as `3 Claim`."""


class EventRows(Rows):
    """The events of all subjects, in tables that have the same columns: unknown times first, then in the order of time.

    Events of one time are in the order of `tables`. Memory is bounded if every table has its subjects one after
    another, and all tables have them in one order. Else the tables that have not are held in memory; more than
    `units.HELD_BYTES` of them are refused. After a pass, `told` says what was not read.
    """

    together = SUBJECT

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        self.name, self._tables = name, list(tables)
        self.types = dict.fromkeys((*COLUMNS, *(one for table in self._tables for one in table.more)), pa.string())
        if not self._tables:
            raise EmptySource(f"{name} holds no events")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the events, in chunks of about `CHUNK_BYTES`; raise `SourceError` if one cannot be read."""
        found: list[tuple[str, tuple[Any, ...], str]] = []  # subject, the other cells, place
        size = 0.0
        for runs in joined(self._strands, lead=False):
            there = [(run, table) for run, table in zip(runs, self._tables, strict=True) if run is not None]
            for run, table in there:
                _check_once(run, table)
            rows = [(run.unit, row, place) for run, _ in there for place in [run.place] for row in run.rows]
            rows.sort(key=_when)
            each = sum(run.nbytes for run, _ in there) / max(len(rows), 1)
            for first in range(0, len(rows), ROWS):
                some = rows[first : first + ROWS]
                found += some
                size += each * len(some)
                if len(found) >= ROWS or size >= CHUNK_BYTES:
                    yield self._chunk(columns, found)
                    found, size = [], 0
        if found:
            yield self._chunk(columns, found)
        unread = [one for table in self._tables for one in table.unread()]
        self.told = (f"not read: {', '.join(unread)}",) if unread else ()

    def _chunk(self, columns: Sequence[str], found: list[tuple[str, tuple[Any, ...], str]]) -> Chunk:
        cells: dict[str, list[Any]] = {}
        for name in columns:
            k = -1 if name == SUBJECT else self._tables[0].inner.index(name)
            cells[name] = [subject if k < 0 else row[k] for subject, row, _ in found]
        return Chunk(self.name, 1, cells, len(found), names=[row[2] for row in found])

    @cached_property
    def _strands(self) -> list[Strand]:
        return [
            Strand([table], SUBJECT, name=table.name, inner=[Field(name=one, kind="text") for one in table.inner])
            for table in self._tables
        ]


def checked(time: str | None, chunk: Chunk, i: int = 0) -> str | None:
    """Return a time as it is written; raise `SourceError`, naming row `i` of the chunk, if it is none that exists."""
    if time and moment(time) is None:
        raise SourceError(
            f"{chunk.place(i)}: the time of the event is no date or time that exists; expected such as "
            "2020-02-29T10:00:00+01:00"
        )
    return time or None


def _when(event: tuple[str, tuple[Any, ...], str]) -> tuple[int, bool]:
    """Return by what an event is sorted: its time, and whether it is a death, the last of its time."""
    row = event[1]
    if row[_TIME] is None:
        return UNKNOWN, False
    return moment(row[_TIME]) or 0, row[_CODE] == DEATH  # every table has `checked` its times


def _check_once(run: Run, table: Table) -> None:
    """Raise `SourceError` if a resource, or a row with a number of its own, is there twice."""
    if not table.keyed:
        return
    keys = [row[-1] for row in run.rows if row[-1] is not None]
    if len(set(keys)) < len(keys):
        again = next(key for key in keys if keys.count(key) > 1)
        places = [
            chunk.place(i)
            for chunk in table.chunks([SUBJECT, KEY])
            for i, key in enumerate(chunk.columns[KEY])
            if key == again and chunk.columns[SUBJECT][i] == run.unit
        ]
        raise SourceError(
            f"{places[1]} has the id of {places[0]}; expected each once, because its events would count twice",
            hint="take one of the two out",
        )
