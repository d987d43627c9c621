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

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns, Nested
from ult.codecs.record.field import Field
from ult.data import files
from ult.data.batch import Batch, Where, size_of
from ult.data.composed import linked
from ult.data.composed.joining import joined
from ult.data.composed.runs import Piece, Places, Run
from ult.data.composed.units import Strand
from ult.data.opening import scheme
from ult.data.rows import BLOCK_ROWS, CHUNK_BYTES, ROWS, Chunk
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


def batches(
    fields: Sequence[Field], strands: Mapping[str, Strand], main: Strand | None, kept: pa.Schema
) -> Iterator[Batch]:
    """Yield a record for each unit, in batches of at most `BLOCK_ROWS` records or about `CHUNK_BYTES` bytes.

    `strands` are those of the fields of kind rows, by name; `main` holds the other fields, if there are any.
    """
    every = list(dict.fromkeys([*([main] if main else []), *strands.values()]))
    names = tuple(one.name for one in fields)
    arrays = any(inner.kind in linked.KINDS for one in fields for inner in (one, *one.fields))
    pending: list[dict[str, Run | None]] = []  # of each unit, the rows of each field of rows, and its own as ""
    made: list[Any] = []  # the records, if they hold arrays
    size = 0

    def batch() -> Batch:
        own = [of[""] for of in pending if of[""] is not None]
        records = made if arrays else _columns(fields, pending, [run.static for run in own])
        where = Where(((Chunk("", 1, {}, len(own), names=Places(own)), 0, len(own)),), names)
        tables = [run.kept for run in own if run.kept is not None]
        return Batch(records, pa.concat_tables([kept.empty_table(), *tables]), where)

    for runs in joined(every, lead=main is not None):
        of = dict(zip(every, runs, strict=True))
        first = next(run for run in runs if run is not None)
        if main is not None and main not in strands.values() and first.length > 1:
            raise SourceError(
                f"{first.place} have one {main.unit!r}; expected one row for each, because no field of the "
                "schema holds the rows of this input",
                hint="each unit once",
            )
        pending.append({"": first, **{name: of[strand] for name, strand in strands.items()}})
        if arrays:
            made.append(_made(_record(fields, pending[-1], first.static)))
        size += size_of(made[-1]) if arrays else sum(run.nbytes for run in runs if run is not None)
        if len(pending) == (ROWS if arrays else BLOCK_ROWS) or size >= CHUNK_BYTES:
            yield batch()
            pending, made, size = [], [], 0
    if pending:
        yield batch()


def _columns(
    fields: Sequence[Field], units: Sequence[Mapping[str, Run | None]], static: Sequence[tuple[Any, ...]]
) -> Columns:
    """Return a record for each unit, by column."""
    own = zip(*static, strict=True)
    found = [
        Cells.of(next(own)) if one.kind != "rows" else _nested(one, [of[one.name] for of in units]) for one in fields
    ]
    return Columns(found, len(units))


def _nested(one: Field, runs: Sequence[Run | None]) -> Nested:
    """Return the rows of runs, None for a unit that has none; pieces that follow one another are taken together."""
    parts: list[Piece] = []
    for run in runs:
        for piece in run.pieces if run is not None else ():
            if parts and parts[-1].columns is piece.columns and parts[-1].stop == piece.start:
                parts[-1] = parts[-1]._replace(stop=piece.stop)
            else:
                parts.append(piece)
    rows = [part.columns[part.start : part.stop] for part in parts]
    columns = Columns.concatenate(rows).columns if rows else [Cells.of([]) for _ in one.fields]
    return Nested(columns, np.cumsum([run.length if run is not None else 0 for run in runs]))


def _record(fields: Sequence[Field], rows: Mapping[str, Run | None], static: Sequence[Any]) -> tuple[Any, ...]:
    cells = iter(static)
    return tuple(
        next(cells) if one.kind != "rows" else tuple(run.rows) if (run := rows[one.name]) else () for one in fields
    )


def _made(record: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a record with the files read that its cells, and those of its rows, name."""
    return linked.made(tuple([tuple(map(linked.made, one)) if isinstance(one, tuple) else one for one in record]))
