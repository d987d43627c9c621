"""Make SMILES canonical on all cores: batches are read here, rewritten by workers, and go on in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from ult.data.molecules.molecule import Canonicaliser, Rewriting, Rewritten, rewritten
from ult.host import portable
from ult.owner.pipeline.engine import Local, Piece, in_order

if TYPE_CHECKING:
    from ult.data import Batch
    from ult.owner.pipeline.engine import Engine

_ALONE = 4  # batches, of some 1,000 molecules, in which workers would not have started yet
_AHEAD = 2  # batches a process that may be rewritten before the one that comes next


def rewriting(engine: Engine) -> Rewriting:
    """Return what rewrites batches as `rewritten` does, with the processes of a local engine or else all cores here."""
    many = engine.workers if isinstance(engine, Local) else portable.cpus()
    if many < 2:
        return rewritten

    def work(batches: Iterator[Batch]) -> Generator[Rewritten, None, None]:
        yield from rewritten(itertools.islice(batches, _ALONE))
        sent: deque[Batch] = deque()
        failed: list[Exception] = []  # a reading that fails ends what is read, after the batches before it

        def pieces() -> Iterator[Piece]:
            try:
                for number, batch in enumerate(batches):
                    sent.append(batch)
                    yield number, (batch.records,)
            except Exception as error:
                failed.append(error)

        with closing(Local(many, ahead=_AHEAD * many).map(_rewriter, (), pieces())) as answers:
            for records, invalid in in_order(answers):
                yield replace(sent.popleft(), records=records), invalid
        for error in failed:
            raise error

    return work


def _rewriter() -> Callable[[Sequence[str]], tuple[list[str], list[int]]]:
    return Canonicaliser().rewrite
