"""Let a run write synthetic records under the grammar, decode all of them, and put them in place with what says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.data.sink import Sink, kind_of
from ult.errors import CorruptSymbols, writing
from ult.host.atomic import Claim, publish_together
from ult.host.free import FILE, check_free
from ult.owner.constrained import read_written
from ult.owner.table import Table
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic, beside, digest_of
from ult.synth.working import Working

LOT = 512  # records that are written at a time, and kept after a kill
Ids = NDArray[np.uint32]


def lots(rows: int) -> list[int]:
    """Return how many records each lot has.

    >>> lots(1300)
    [512, 512, 276]
    """
    return [min(LOT, rows - first) for first in range(0, rows, LOT)]


def write_lots(work: Working, table: Table, rows: int, write: Callable[[int, int], list[Ids]]) -> None:
    """Let `write(number, n)` write the records of each lot that is not there yet, and keep their ids."""
    for number, n in enumerate(lots(rows)):
        if not work.written(number).exists():
            save(work.written(number), write(number, n), table)


def save(path: Path, records: list[Ids], table: Table) -> None:
    """Write records of ids as shards of a table."""
    of: dict[str, Any] = {"table": table.fingerprint, "codec": table.codec.id, "column": "record"}
    with ShardWriter(path, vocabulary=table.vocabulary, **of) as shards:
        shards.write(records, nbytes=0)


def decoded(work: Working, table: Table, rows: int) -> Iterator[list[Any]]:
    """Yield the records of each lot. Raises `CorruptSymbols` if one does not decode as it is."""
    for number, n in enumerate(lots(rows)):
        ids = list(Shards(work.written(number)).ids())
        found = read_written(ids, table)
        if found.whole != n:
            raise CorruptSymbols(f"{n - found.whole} of {n} synthetic records do not decode")
        yield found.records


def check_places(out: Path, *, force: bool) -> None:
    """Raise `OutputExists` or `OutputError` unless the records, and what lies beside them, can be written."""
    check_free(out, kind_of(out), force=force)
    check_free(beside(out), FILE, force=force)


def publish(
    many: Iterator[list[Any]],
    sink: Callable[[Path], Sink],
    out: Path,
    told: Callable[[str], Synthetic],
    *,
    force: bool,
    advance: Callable[[int], None],
) -> Synthetic:
    """Write records to `out` by what `sink(path)` opens, and beside them what `told(digest)` says: both or neither."""
    with ExitStack() as held:
        claims = [held.enter_context(Claim(one)) for one in (out, beside(out))]
        new, said = claims[0].folder / f"new{out.suffix}", claims[1].folder / "new"
        with sink(new) as file:
            for records in many:
                file.write(records)
                advance(len(records))
        found = told(digest_of(new))
        with writing(out):
            said.write_text(found.to_json(), encoding="utf-8")
        check_places(out, force=force)
        publish_together((claims[0], new, False), (claims[1], said, False))
    return found
