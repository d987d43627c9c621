"""Decode the parts of shards, in order: here, or texts of many parts by several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from ult.codecs.batches import COLUMNS_BATCH
from ult.codecs.cells import Cells
from ult.codecs.text import TextBytes
from ult.data.batch import Batch
from ult.errors import FormatError
from ult.owner.pipeline.engine import Local, in_order
from ult.owner.pipeline.pieces import Handed
from ult.owner.table import Table
from ult.public.id_columns import ragged_ids
from ult.public.manifest import IDS
from ult.public.shards import Shards

LEAST = 4  # parts that are worth the start of processes
_AHEAD = 2  # parts a process that may be decoded before the one that comes next


def decoded(shards: Shards, table: Table, workers: int) -> Iterator[Batch]:
    """Yield the records of shards in order, each with its kept columns, in batches that need little memory.

    With several `workers`, each reads, verifies and decodes a part at a time. Raises what `Shards.parts` and
    `Table.decode_ragged` raise, or `EngineError`.
    """
    many = len(shards.manifest.parts)
    if workers == 1 or many < LEAST or not isinstance(table.codec, TextBytes) or not isinstance(shards.path, Path):
        for number in range(many):
            yield from _of_part(shards, table, number)
        return
    workers = min(workers, many)
    state = (Handed(table), str(shards.path.absolute()), shards.manifest.digest)
    tasks = ((number, (number,)) for number in range(many))
    with closing(Local(workers, ahead=_AHEAD * workers).map(_decoder, state, tasks)) as answers:
        for batch in in_order(answers):
            yield from _cut(batch)


def _of_part(shards: Shards, table: Table, number: int) -> Iterator[Batch]:
    for rows in shards.batches(number):
        kept, first = rows.drop_columns([IDS]), 0
        for records in table.decode_cells(*ragged_ids(rows)):
            yield Batch(records, kept.slice(first, len(records)))
            first += len(records)


def _decoder(handed: Handed, path: str, digest: str) -> Callable[[int], Batch]:
    shards = Shards(path)
    if shards.manifest.digest != digest:
        raise FormatError(f"{path} changed while it was read", hint="run it again, once nothing writes to it")

    def work(number: int) -> Batch:
        part = shards.part(number)
        many = list(handed.table.decode_cells(*ragged_ids(part)))
        cells = [records for records in many if isinstance(records, Cells)]
        whole = (
            Cells.concatenate(cells) if cells and len(cells) == len(many) else [one for some in many for one in some]
        )
        return Batch(whole, part.drop_columns([IDS]))

    return work


def _cut(batch: Batch) -> Iterator[Batch]:
    for first in range(0, batch.rows, COLUMNS_BATCH):
        some = batch.records[first : first + COLUMNS_BATCH]
        yield Batch(some, batch.kept.slice(first, len(some)))
