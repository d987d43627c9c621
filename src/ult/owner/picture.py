"""A record with its ids, piece by piece: which id says what. Only the owner of the table can see this."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.pieces import pieces as parts_of
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import KEYS, checked
from ult.owner.inputs import Secret, check_encoded, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.table import Table
from ult.public import folders
from ult.public.folders import Folder
from ult.public.id_columns import record_ids
from ult.public.shards import Shards
from ult.public.vocabulary import N_SPECIAL


class Piece(NamedTuple):
    """What one id says of one field; `goes_on` if the id began in the line before, such as a code with its value."""

    id: int
    text: str
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A cell: its field, the number of its row, from 0, if it is in one, and the pieces that its ids say.

    A cell without pieces needs no id: it is what the field is without one. A row itself has a line, its
    `head`, without a cell.
    """

    field: str
    row: int | None
    cell: str
    pieces: tuple[Piece, ...] = ()
    head: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Record number `record`, from 0, of `records`: its `ids` (n,) uint32, and a line a cell."""

    record: int
    records: int
    ids: NDArray[np.uint32]
    lines: tuple[Line, ...]


@checked(shards=folders.shards_argument, table=table_argument, record=arguments.integer(0), **KEYS)
def picture(
    shards: Folder,
    table: Secret,
    record: int = 0,
    *,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
) -> Picture:
    """Return record number `record`, from 0, of shards, with what each of its ids says.

    A record of fields has a line for each cell that is there; of other codecs the record is one line. Raises what
    `ult.decode` raises, and `InvalidConfig` if there is no such record.
    """
    opened = folders.opened(shards)
    key = secret(table, passphrase, identities)
    check_encoded(opened, key)
    ids = _ids(opened, record)
    return Picture(record, opened.manifest.rows, ids, tuple(lines(key, ids)))


def lines(table: Table, ids: NDArray[np.uint32]) -> list[Line]:
    """Return what the ids (n,) of one record say, a line a cell. Raises `CorruptSymbols` if they spell no record."""
    record = table.decode(ids)
    every, codec = table.spellings(), table.codec
    spelled = [every[one - N_SPECIAL] for one in ids.tolist()]
    if not isinstance(codec, RecordColumns):
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        texts = [
            characters.decode(one.astype(np.uint8).tobytes()) if codec.id == "text/bytes" else f"({len(one)} symbols)"
            for one in spelled
        ]
        return [Line("", None, _cell(record), tuple(map(Piece, ids.tolist(), texts)))]
    ends = np.cumsum([len(one) for one in spelled], dtype=np.int64)
    symbols = np.concatenate(spelled) if spelled else np.empty(0, np.uint32)
    said: dict[tuple[str, str, int | None], list[Piece]] = {}
    for one, parts in zip(ids.tolist(), parts_of(codec, record, symbols, ends), strict=True):
        for number, part in enumerate(parts):
            said.setdefault((part.of, part.field, part.row), []).append(Piece(one, part.text, number > 0))
    return [
        Line(field, row, cell, tuple(said.get((of, field, row), ())), head=row is not None and not of)
        for of, field, row, cell in _cells(codec, record)
    ]


def _cells(codec: RecordColumns, record: tuple[Any, ...]) -> Iterator[tuple[str, str, int | None, str]]:
    """Yield the field, the field of its row, the number of the row, and the text of each cell of a record."""
    for one, cell in zip(codec.fields, record, strict=True):
        if one.kind != "rows":
            yield "", one.name, None, _cell(cell)
            continue
        for number, row in enumerate(cell):
            yield "", one.name, number, ""
            for inner, written in zip(one.fields, row, strict=True):
                yield one.name, inner.name, number, _cell(written)


def _cell(cell: Any) -> str:
    """Return a cell as text; an array is told by its size."""
    if isinstance(cell, np.ndarray):
        return f"{' x '.join(map(str, cell.shape))} values"
    return "null" if cell is None else str(cell)


def _ids(shards: Shards, record: int) -> NDArray[np.uint32]:
    before = 0
    for number, part in enumerate(shards.manifest.parts):
        if record < before + part.rows:
            return list(record_ids(shards.part(number)))[record - before]
        before += part.rows
    raise InvalidConfig(f"record {record} is not there; expected one from 0 to {before - 1} of {shards.path}")
