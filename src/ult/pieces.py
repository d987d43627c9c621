"""A source in pieces: counted to fit a table, or each encoded to one part; by whatever workers, the same bytes.

Where a piece ends depends on the records and on `nbytes` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ult.codecs import codec_class
from ult.counting import Counted, PatchCounts
from ult.errors import EngineError, SourceError
from ult.shards import Manifest, Part, ids_table, part_name, write_part
from ult.table import Table, batched

if TYPE_CHECKING:
    from ult.codecs.base import Codec
    from ult.data import Batch
    from ult.engine import Engine
    from ult.partial import Partial

PIECE_BYTES = 2**24  # of records; their ids, some 4 million of text, are a part


def count(pieces: Iterable[Batch], codec: Codec[Any], *, min_records: int, engine: Engine) -> PatchCounts:
    """Return the counts of all pieces, for `Table.from_counts`."""
    total = PatchCounts(min_records=min_records)
    tasks = ((number, (piece.records,)) for number, piece in enumerate(pieces))
    with closing(engine.map(_counter, (codec.id, codec.config(), min_records), tasks)) as answers:
        for _, counted in answers:
            total.merge(counted)
    return total


def _counter(codec_id: str, config: dict[str, Any], min_records: int) -> Callable[[list[Any]], Counted]:
    codec = codec_class(codec_id)(**config)

    def work(records: list[Any]) -> Counted:
        counts = PatchCounts(min_records=min_records)
        for batch in batched(records):
            counts.add(codec.encode_batch(batch))
        return counts.counted()

    return work


def encode(
    pieces: Iterable[Batch], table: Table, partial: Partial, *, column: str, kept: pa.Schema, engine: Engine
) -> None:
    """Write every piece that `partial` does not have yet as a part, and publish the shards."""
    state = (table.cleartext(), kept, str(partial.scratch.absolute()))
    with closing(engine.map(_encoder, state, _missing(pieces, partial))) as answers:
        for number, part in answers:
            partial.commit(number, part)
    manifest = Manifest.of(
        [part for _, part in sorted(partial.parts.items())],
        vocabulary=table.vocabulary,
        table=table.fingerprint,
        codec=table.codec.id,
        column=column,
        kept=kept,
    )
    partial.publish(manifest)


def _missing(pieces: Iterable[Batch], partial: Partial) -> Iterator[tuple[int, tuple[int, Batch]]]:
    number = -1
    for number, piece in enumerate(pieces):
        if number not in partial.parts:
            yield number, (number, piece)
        elif partial.parts[number].rows != len(piece.records):
            raise SourceError("the input is not what it was when the command first ran", hint="run it again")
    if extra := [n for n in partial.parts if n > number]:
        raise SourceError(f"the input ends before part {min(extra)}, which is written already", hint="run it again")


def _encoder(cleartext: bytes, kept: pa.Schema, scratch: str) -> Callable[[int, Batch], Part]:
    if not Path(scratch).is_dir():
        raise EngineError(
            f"a node of the cluster does not see the folder {scratch}", hint="--out in a folder that all nodes share"
        )
    table = Table.from_cleartext(cleartext)

    def work(number: int, piece: Batch) -> Part:
        done, nbytes, first = [], 0, 0
        for records in batched(piece.records):
            rows = piece.kept.slice(first, len(records))
            done.append(ids_table(table.encode_batch(records), rows, table.vocabulary, kept))
            nbytes += sum(map(table.codec.nbytes, records))
            first += len(records)
        name = part_name(number)
        own = Path(scratch) / f"{name}.{token_hex(4)}"  # a worker that was given up for lost may be at the same part
        part = write_part(own, pa.concat_tables(done).combine_chunks(), nbytes)
        own.replace(own.with_name(name))
        return replace(part, name=name)

    return work
