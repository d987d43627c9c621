"""Find repeated records on all cores: pieces are read and their prints taken by workers, and compared here in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from ult.data.duplicates import Duplicates, Prints, prints_of
from ult.host import portable
from ult.owner.pipeline.engine import Local, in_order
from ult.owner.pipeline.pieces import PIECE_BYTES

if TYPE_CHECKING:
    from ult.data import Batch, Source, Unread

_AHEAD = 2  # pieces a process that may be read before the one that comes next


def distinct(source: Source, duplicates: Duplicates, workers: int | None) -> Iterator[Batch]:
    """Yield the records of a source without their duplicates, in order, each with its kept columns.

    With several `workers`, each reads a piece at a time, if the input can be split. Raises what reading the source
    raises, or `EngineError`.
    """
    if not source.apart:
        yield from duplicates.distinct(source.batches())
        return
    many = portable.cpus() if workers is None else workers
    engine = Local(many, ahead=_AHEAD * many)
    tasks = ((number, (piece,)) for number, piece in enumerate(source.pieces(PIECE_BYTES)))
    with closing(engine.map(_printer, (duplicates.near,), tasks)) as answers:
        for found in in_order(answers):
            for batch, prints in found:
                yield duplicates.without(batch, prints)
    source.check_unchanged()


def _printer(near: float | None) -> Callable[[Batch | Unread], list[tuple[Batch, Prints]]]:
    def work(piece: Batch | Unread) -> list[tuple[Batch, Prints]]:
        return [(batch, prints_of(batch.records, near=near is not None)) for batch in piece.batches()]

    return work
