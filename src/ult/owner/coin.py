"""A fair coin that decides, after the table was fitted, for each record by itself whether it is a member or not.

The theorems on one-run audits require such a coin (`ult.audit.onerun`). It is a function of the table's secret
document, the input and a record's place in it. So a command that goes on after a kill tosses the same coins, and nobody
without the table can predict them. Equal records have a coin each: one coin for several would prove too much.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.data import Batch
from ult.owner.table import Table
from ult.public.manifest import SIDES, Manifest

if TYPE_CHECKING:
    from ult.data import Unread

    Whole = Batch | Unread

_LABEL = b"ult-coin/1\n"


@dataclass(frozen=True, slots=True)
class Half:
    """The records of a piece that are on one side; it can be sent to another process of the owner."""

    rows: ClassVar[None] = None  # the number of records is known once they are read
    piece: Whole
    seed: bytes
    side: str

    def batches(self) -> Iterator[Batch]:
        """Yield what `read` returns."""
        yield self.read()

    def read(self) -> Batch:
        """Return the records on this side, in order."""
        batch = self.piece.read()
        heads = tosses(self.seed, len(batch.records))
        here = np.flatnonzero(heads if self.side == SIDES[0] else ~heads)
        kept = batch.kept.take(here) if batch.kept.num_columns else batch.kept
        records = list(batch.records)
        return Batch([records[k] for k in here], kept, batch.where.taken([int(k) for k in here]))

    def __repr__(self) -> str:
        return f"<Half, {self.side}>"


def tosses(seed: bytes, n: int) -> NDArray[np.bool_]:
    """Return `n` tosses (n,) of a fair coin; the first ones do not depend on `n`."""
    stream = np.frombuffer(hashlib.shake_256(_LABEL + seed).digest(n // 8 + 1), np.uint8)
    return np.unpackbits(stream)[:n].astype(bool)


def derived(table: Table, what: str, of: object) -> bytes:
    """Return 32 bytes that only who has the table can tell, of JSON values and for one purpose."""
    key = hashlib.sha256(_LABEL + table.cleartext()).digest()
    return hmac.new(key, f"{what}\n{json.dumps(of, sort_keys=True)}".encode(), "sha256").digest()


def halves(many: Iterable[Whole], table: Table, inputs: object, side: str) -> Iterator[Half]:
    """Give the pieces, of `side` alone; of `inputs` the same table tosses the same, whatever column is read."""
    for number, piece in enumerate(many):
        yield Half(piece, derived(table, "seed", [inputs, number]), side)


def drawn_by_coin(members: Sequence[Manifest], nonmembers: Sequence[Manifest]) -> bool:
    """Return whether a fair coin decided of each record alone on which side it is, and all of them are here.

    That is so if both sides are the halves of the same splits, each once and whole. Canaries, which no coin put among
    the members, are for whoever audits to leave out.
    """
    sides = []
    for side, many in zip(SIDES, (members, nonmembers), strict=True):
        found = {one.coin.split: one for one in many if one.coin is not None and one.coin.side == side}
        if len(found) != len(many):
            return False
        sides.append(found)
    inside, outside = sides
    if not inside or inside.keys() != outside.keys():
        return False
    return all(_whole(inside[split], outside[split]) for split in inside)


def _whole(inside: Manifest, outside: Manifest) -> bool:
    if inside.coin is None or outside.coin is None or inside.table != outside.table:
        return False
    planted = inside.canaries.rows if inside.canaries else 0
    return inside.coin.records == outside.coin.records == inside.rows - planted + outside.rows
