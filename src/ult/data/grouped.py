"""Records of one unit each, such as a patient: its own fields, and its rows of one or of several tables of data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ult.codecs.record.field import Field
from ult.data import files
from ult.data.batch import Batch, Where
from ult.data.form import size_of
from ult.data.opening import scheme
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk
from ult.data.units import Held, Run, Strand
from ult.errors import MissingSource, SourceError

_NAMED = re.compile(r"([A-Za-z_][\w.-]*)(?::([^=:/]+))?=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Named:
    """An input `NAME=PATH` or `NAME:COLUMN=PATH`: the rows of field `field`, whose unit is in `column` if given."""

    field: str
    column: str
    path: str


def named(one: str) -> Named | None:
    """Return the parts of an input with a name, or None if it has none. A file that is there has no name.

    >>> named("labs=data/labs.csv")
    Named(field='labs', column='', path='data/labs.csv')
    >>> named("labs:PATIENT=labs.csv").column, named("labs.csv"), named("hf:org/name?split=train")
    ('PATIENT', None, None)
    """
    match = _NAMED.fullmatch(one)
    if match is None or scheme(one) or Path(one).exists():
        return None
    with suppress(MissingSource):
        if files.expand(one) != [one]:
            return None
    return Named(match[1], match[2] or "", match[3])


def joined(strands: Sequence[Strand], *, lead: bool) -> Iterator[tuple[Run | None, ...]]:
    """Yield the run of each strand, or None, for every unit, in the order in which the strands first have it.

    With `lead`, the first strand has every unit: raises `SourceError` for a row of another. Memory is bounded if the
    strands have the rows of a unit one after another and all the units in one order; else it is limited by `Held`.
    """
    held = Held()
    supplies = [_Supply(strand, held) for strand in strands]
    if lead:
        for strand in strands[1:]:
            _check_known(strand, strands[0])
    for k, supply in enumerate(supplies):
        for run in supply.rest():
            yield (*[None] * k, run, *(other.take(run.unit) for other in supplies[k + 1 :]))


class _Supply:
    """The runs of a strand, taken in the order of another."""

    def __init__(self, strand: Strand, held: Held) -> None:
        self._strand, self._held = strand, held
        self._runs = strand.whole(held)
        self._waiting: dict[str, Run] = {}

    def take(self, unit: str) -> Run | None:
        """Return the run of a unit, or None if there is none."""
        if run := self._waiting.pop(unit, None):
            self._held.drop(run)
            return run
        if not _holds(self._strand.hashes, hash(unit)):
            return None
        for run in self._runs:
            if run.unit == unit:
                return run
            self._held.add(run, self._strand)
            self._waiting[run.unit] = run
        return None

    def rest(self) -> Iterator[Run]:
        """Yield the runs that were not taken, in their order."""
        yield from self._waiting.values()
        self._waiting.clear()
        yield from self._runs


def _holds(hashes: Any, one: int) -> bool:
    at = int(np.searchsorted(hashes, one))
    return at < len(hashes) and int(hashes[at]) == one


def _check_known(strand: Strand, lead: Strand) -> None:
    """Raise `SourceError`, naming the row, if a unit of `strand` has no row in `lead`."""
    unknown = np.setdiff1d(strand.hashes, lead.hashes)
    if len(unknown):
        run = next(run for run in strand.runs() if _holds(unknown, hash(run.unit)))
        raise SourceError(
            f"{run.place}: its {strand.unit!r} has no row in {lead.name}; expected one for every unit, because "
            "fields of the record itself are read there",
            hint=f"leave such rows out of {strand.name}, or add theirs to {lead.name}",
        )


def batches(
    fields: Sequence[Field], strands: Mapping[str, Strand], main: Strand | None, kept: pa.Schema
) -> Iterator[Batch]:
    """Yield a record for each unit, in batches of at most `ROWS` records or about `CHUNK_BYTES` bytes.

    `strands` are those of the fields of kind rows, by name; `main` holds the other fields, if there are any.
    """
    every = list(dict.fromkeys([*([main] if main else []), *strands.values()]))
    records: list[Any] = []
    places: list[str] = []
    tables: list[pa.Table] = []
    names = tuple(one.name for one in fields)
    size = 0

    def batch() -> Batch:
        where = Where(((Chunk("", 1, {}, len(records), names=tuple(places)), 0, len(records)),), names)
        return Batch(records, pa.concat_tables([kept.empty_table(), *tables]), where)

    for runs in joined(every, lead=main is not None):
        of = dict(zip(every, runs, strict=True))
        first = next(run for run in runs if run is not None)
        records.append(_record(fields, {name: of[strand] for name, strand in strands.items()}, first.static))
        if main is not None and main not in strands.values() and len(first.rows) > 1:
            raise SourceError(
                f"{first.place} have one {main.unit!r}; expected one row for each, because no field of the "
                "schema holds the rows of this input",
                hint="each unit once",
            )
        places.append(first.place)
        tables += [first.kept] if first.kept is not None else []
        size += size_of(records[-1])
        if len(records) == ROWS or size >= CHUNK_BYTES:
            yield batch()
            records, places, tables, size = [], [], [], 0
    if records:
        yield batch()


def _record(fields: Sequence[Field], rows: Mapping[str, Run | None], static: Sequence[Any]) -> tuple[Any, ...]:
    cells = iter(static)
    return tuple(
        next(cells) if one.kind != "rows" else tuple(run.rows) if (run := rows[one.name]) else () for one in fields
    )
