"""Work on a source in pieces: count them to fit a table, or encode each to one part. Every engine gives the same bytes.

Where a piece ends depends only on the input and on the number of bytes per piece.
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
from ult.codecs.batches import batched
from ult.data.batch import blamed
from ult.errors import InvalidRecord, SourceError
from ult.owner.bpe.counts import CAPACITY, Counted, PatchCounts
from ult.owner.bpe.private_counts import ROOM, bounded
from ult.owner.pipeline.summing import Aside, Tree, check_seen, runs
from ult.owner.table import Table
from ult.public.id_columns import ids_table, shards_schema
from ult.public.manifest import Canaries, Coin, Manifest, Part, part_name
from ult.public.shard_writer import write_part

if TYPE_CHECKING:
    from ult.codecs.base import Codec
    from ult.data import Batch, Unread
    from ult.owner.canaries import Planted
    from ult.owner.coin import Half
    from ult.owner.pipeline.engine import Engine
    from ult.owner.pipeline.resume import Partial
    from ult.owner.pipeline.summing import Run, Task

    Piece = Batch | Unread | Planted | Half
    Advance = Callable[[int], None]  # called with the number of further records that are done
    Check = Callable[[], None]  # raises if the input changed

PIECE_BYTES = 2**24  # bytes of records in a piece; its ids, about 4 million for text, are one part


def count(
    read: Callable[[], Iterable[Batch | Unread]],
    codec: Codec[Any],
    *,
    min_records: int,
    engine: Engine,
    capacity: int = CAPACITY,
    most: int | None = None,
    aside: Path | None = None,
    advance: Advance = lambda _: None,
) -> PatchCounts:
    """Return the counts of all pieces, for `Table.from_counts`.

    If the distinct patches have more than `capacity` symbols, the pieces are read a second time. With `most`, a record
    counts in at most so many patches, as `ult.owner.bpe.private_counts.bounded` draws them, and there is no second
    reading. With `aside`, an empty folder that all workers see, they add up the counts in a tree. Raises
    `InvalidRecord`, `EngineError`, or `SourceError` if the second reading finds another input.
    """
    empty = PatchCounts(min_records=min_records, capacity=capacity if most is None else max(capacity, ROOM))
    counts = _counted(read(), codec, empty, engine, advance, most, aside)
    if most is not None or not counts.over_capacity:
        return counts
    records, counts = counts.records, counts.second_pass()  # frees the weights of the first pass
    counts = _counted(read(), codec, counts, engine, advance, None, aside)
    if counts.records != records:
        raise SourceError("the input is not what it was when it was first read", hint="run it again")
    return counts


def _counted(
    pieces: Iterable[Batch | Unread],
    codec: Codec[Any],
    total: PatchCounts,
    engine: Engine,
    advance: Advance,
    most: int | None,
    folder: Path | None,
) -> PatchCounts:
    """Add the counts of all pieces to `total`, which is empty before, and return it."""
    aside = None if folder is None else Aside.at(folder)
    state = (codec.id, codec.config(), total.settings(), most, aside)
    if aside is None:
        with closing(engine.map(_counter, state, enumerate((run, ()) for run in runs(pieces)))) as answers:
            for _, (records, counted) in answers:
                total.merge(counted)
                advance(records)
        return total
    tree = Tree(aside)
    tasks: Iterable[tuple[int, Task]] | None = tree.tasks(runs(pieces))
    while tasks is not None:
        with closing(engine.map(_counter, state, tasks)) as answers:
            for number, (records, name) in answers:
                tree.done(number, name)
                advance(records)
        tasks = tree.rest()
    for counted in tree.last():
        total.merge(counted)
    return total


def _counter(
    codec_id: str, config: dict[str, Any], settings: dict[str, Any], most: int | None, aside: Aside | None
) -> Callable[[Run, tuple[str, ...]], tuple[int, Counted | str]]:
    codec = codec_class(codec_id)(**config)

    def work(run: Run, names: tuple[str, ...]) -> tuple[int, Counted | str]:
        """Return the records of a run, and its counts with those of the files `names`, or the file that holds them."""
        counts = PatchCounts(**settings)
        for piece in run:
            for read in piece.batches():
                _add(counts, codec, read, most)
        records = counts.records
        if aside is None:
            return records, counts.counted()
        for name in names:
            counts.merge(aside.get(name))
        return records, aside.put(counts.counted())

    return work


def _add(counts: PatchCounts, codec: Codec[Any], read: Batch, most: int | None) -> None:
    for batch in batched(read.records):
        try:
            if most is None:
                counts.add_records(codec, batch)
            else:
                counts.add(bounded(codec.encode_batch(batch), most))
        except InvalidRecord as error:
            raise blamed(error, codec, [read]) from None


def encode(
    pieces: Iterable[Piece],
    table: Table,
    partial: Partial,
    *,
    column: str,
    kept: pa.Schema,
    engine: Engine,
    canaries: Canaries | None = None,
    check: Check = lambda: None,
    advance: Advance = lambda _: None,
) -> None:
    """Write every piece that `partial` does not have yet as a part, and publish the shards. Raises as `write_parts`."""
    write_parts(pieces, table, partial, kept=kept, engine=engine, check=check, advance=advance)
    publish(table, partial, column=column, kept=kept, canaries=canaries)


def write_parts(
    pieces: Iterable[Piece],
    table: Table,
    partial: Partial,
    *,
    kept: pa.Schema,
    engine: Engine,
    check: Check = lambda: None,
    advance: Advance = lambda _: None,
) -> None:
    """Write every piece that `partial` does not have yet as a part, then `check` that the input has not changed.

    Raises `InvalidRecord`, `EngineError`, `OutputError`, or `SourceError` if the input has changed.
    """
    state = (Handed(table), kept, str(partial.scratch.absolute()))
    with closing(engine.map(_encoder, state, _missing(pieces, partial))) as answers:
        for number, part in answers:
            partial.commit(number, part)
            advance(part.rows)
    check()


def publish(
    table: Table,
    partial: Partial,
    *,
    column: str,
    kept: pa.Schema,
    canaries: Canaries | None = None,
    coin: Coin | None = None,
) -> None:
    """Publish the parts with a manifest that describes them and names the table by its fingerprint."""
    manifest = Manifest.of(
        [part for _, part in sorted(partial.parts.items())],
        vocabulary=table.vocabulary,
        table=table.fingerprint,
        codec=table.codec.id,
        column=column,
        kept=kept,
        privacy=table.privacy,
        canaries=canaries,
        coin=coin,
        public_table=table.public,
    )
    partial.publish(manifest)


def _missing(pieces: Iterable[Piece], partial: Partial) -> Iterator[tuple[int, tuple[int, Piece]]]:
    number = -1
    for number, piece in enumerate(pieces):
        if number not in partial.parts:
            yield number, (number, piece)
        elif piece.rows not in (None, partial.parts[number].rows):
            raise SourceError("the input is not what it was when the command first ran", hint="run it again")
    if extra := [n for n in partial.parts if n > number]:
        raise SourceError(f"the input ends before part {min(extra)}, which is written already", hint="run it again")


class Handed:
    """A table for workers of its owner: other processes get its cleartext, on purpose; this one gets the table."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __reduce__(self) -> tuple[Callable[[bytes], Handed], tuple[bytes]]:
        return Handed._of, (self.table.cleartext(),)

    @staticmethod
    def _of(cleartext: bytes) -> Handed:
        return Handed(Table.from_cleartext(cleartext))


def _encoder(handed: Handed, kept: pa.Schema, scratch: str) -> Callable[[int, Piece], Part]:
    check_seen(scratch)
    table = handed.table

    def work(number: int, piece: Piece) -> Part:
        done, nbytes = [], 0
        lines = table.encode_lines(piece)
        if lines is not None:
            (ids, ends), nbytes = lines
            done = [ids_table(ids, ends, None, table.vocabulary, kept)]
        for batch in piece.batches() if lines is None else ():
            first = 0
            for records in batched(batch.records):
                rows = batch.kept.slice(first, len(records))
                try:
                    ids, ends = table.encode_ragged(records, warn=False)  # the command counts clipped values itself
                except InvalidRecord as error:
                    raise blamed(error, table.codec, [batch]) from None
                done.append(ids_table(ids, ends, rows, table.vocabulary, kept))
                nbytes += table.codec.nbytes_of_batch(records)
                first += len(records)
        name = part_name(number)
        own = Path(scratch) / f"{name}.{token_hex(4)}"  # a worker that is thought lost may still write this part
        part = write_part(own, pa.concat_tables(done or [shards_schema(kept).empty_table()]).combine_chunks(), nbytes)
        own.replace(own.with_name(name))
        return replace(part, name=name)

    return work
