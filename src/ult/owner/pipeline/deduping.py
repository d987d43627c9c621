"""Find repeated records on all cores: pieces are read and their prints taken by workers, and compared here in order.

Once memory should hold no more digests, the rest of an input is read twice: first its digests alone are taken, and
compared on the disk, then the records that repeat none are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ult.data.duplicates import Duplicates, Prints, prints_of, rows_of
from ult.data.repeats import Repeats
from ult.errors import SourceError
from ult.host import portable
from ult.host.buckets import Lane
from ult.owner.pipeline.engine import Local, in_order

if TYPE_CHECKING:
    from ult.data import Batch, Source, Unread
    from ult.data.seen import Digests

PIECE_BYTES = 2**22  # of records in a piece
_AHEAD = 2  # pieces a process that may be read before the one that comes next


def distinct(source: Source, duplicates: Duplicates, workers: int | None, out: Path) -> Iterator[Batch]:
    """Yield the records of a source without their duplicates, in order, each with its kept columns.

    With several `workers`, each reads a piece at a time, if the input can be split. Digests that memory should not hold
    are put beside the output `out`, which this process holds. Raises what reading the source raises, `EngineError` or
    `OutputError`.
    """
    if not source.apart:
        yield from duplicates.distinct(source.batches())
        return
    many = portable.cpus() if workers is None else workers
    engine, done = Local(many, ahead=_AHEAD * many), 0
    with closing(engine.map(_printer, (duplicates.near,), _tasks(source, 0))) as answers:
        for found in in_order(answers):
            for batch, prints in found:
                yield duplicates.without(batch, prints)
            done += 1
            if duplicates.many:
                break
    if duplicates.many:
        yield from _rest(source, duplicates, engine, done, out)
    source.check_unchanged()


def _rest(source: Source, duplicates: Duplicates, engine: Local, done: int, out: Path) -> Iterator[Batch]:
    """Yield the records of the pieces after the first `done` ones without those that repeat one of any piece."""
    with Repeats(out, duplicates.handed_over()) as repeats:
        with closing(engine.map(_digester, (), _tasks(source, done))) as answers:
            for digests in in_order(answers):
                repeats.add(digests)
        first = Lane(repeats.first())
        with closing(engine.map(_reader, (), _tasks(source, done))) as answers:
            for batch in (batch for found in in_order(answers) for batch in found):
                rows = np.flatnonzero(kept := first.take(batch.rows))
                if len(kept) < batch.rows:
                    raise SourceError("the input is not what it was when it was first read", hint="run it again")
                duplicates.exact += batch.rows - len(rows)
                yield rows_of(batch, rows.tolist())


def _tasks(source: Source, done: int) -> Iterator[tuple[int, tuple[Batch | Unread]]]:
    """Yield the pieces after the first `done` ones, numbered from 0."""
    return enumerate((piece,) for piece in islice(source.pieces(PIECE_BYTES), done, None))


def _printer(near: float | None) -> Callable[[Batch | Unread], list[tuple[Batch, Prints]]]:
    def work(piece: Batch | Unread) -> list[tuple[Batch, Prints]]:
        return [(batch, prints_of(batch.records, near=near is not None)) for batch in piece.batches()]

    return work


def _digester() -> Callable[[Batch | Unread], Digests]:
    def work(piece: Batch | Unread) -> Digests:
        found = [prints_of(batch.records, near=False).digests for batch in piece.batches()]
        return np.concatenate(found) if found else np.empty((0, 2), np.uint64)

    return work


def _reader() -> Callable[[Batch | Unread], list[Batch]]:
    def work(piece: Batch | Unread) -> list[Batch]:
        return list(piece.batches())

    return work
