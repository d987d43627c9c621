"""Canaries: records with random digits among the owner's records, by which an audit measures what a model memorises.

They are derived from the table, which is secret. Whoever has the table can derive them again, so nothing else needs to
be stored. To the trainer they are ids like all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ult.data import Batch
from ult.errors import InvalidConfig
from ult.owner.table import Table

if TYPE_CHECKING:
    from ult.data import Unread
    from ult.owner.coin import Half

    Piece = Batch | Unread | Half

DIGITS = 8
SPACE = 10**DIGITS  # the number of possible canaries of each name
_LABEL = b"ult-canaries/1\n"


def canary(name: int, digits: int) -> str:
    """Return the text of a canary.

    >>> canary(3, 1234)
    'the random number of canary 3 is 00001234'
    """
    return f"the random number of canary {name} is {digits:0{DIGITS}d}"


def secret_digits(table: Table, n: int) -> list[int]:
    """Return the digits of canaries 0 to n - 1, integers in `range(SPACE)`.

    Raises `InvalidConfig` if the table is not for texts or `n` is below 1.
    """
    if table.codec.modality != "text":
        raise InvalidConfig(f"canaries are texts; the table's codec reads {table.codec.modality} records")
    if n < 1:
        raise InvalidConfig(f"canaries is {n}; expected at least 1")
    return [int.from_bytes(_derived(table, name), "big") % SPACE for name in range(n)]


def _derived(table: Table, name: object) -> bytes:
    return hashlib.sha256(_LABEL + f"{name}\n".encode() + table.cleartext()).digest()


def plant(read: Callable[[], Iterable[Piece]], table: Table, n: int, repeats: int) -> Iterator[Piece | Planted]:
    """Yield the pieces with `n` canaries of the table among their records, each of them `repeats` times.

    `read` is called twice: to count the pieces, and to yield them. The places of the canaries are derived from the
    table too. The last of several pieces, which may be small, gets none. Raises `InvalidConfig`.
    """
    texts = [canary(name, digits) for name, digits in enumerate(secret_digits(table, n))]
    if repeats < 1:
        raise InvalidConfig(f"repeats is {repeats}; expected at least 1")
    pieces = sum(1 for _ in read())
    if not pieces:
        raise InvalidConfig("there are no records to plant canaries among")
    rng = np.random.default_rng(list(_derived(table, "places")))
    places = rng.random(n * repeats) * max(1, pieces - 1)
    for number, piece in enumerate(read()):
        here = np.flatnonzero(places.astype(int) == number)
        plants = sorted((float(places[k] - number), texts[k % n]) for k in here)
        yield Planted(piece, tuple(plants)) if plants else piece


@dataclass(frozen=True, slots=True)
class Planted:
    """A piece with canaries among its records. It can be sent to another process."""

    piece: Piece
    plants: Sequence[tuple[float, str]]  # the place of each canary in the piece, from 0 to 1 and rising, and its text

    @property
    def rows(self) -> int | None:
        """The number of records, canaries included; None if it is not known before the piece is read."""
        return None if self.piece.rows is None else self.piece.rows + len(self.plants)

    def read(self) -> Batch:
        """Return all records. A canary has the kept values of a record beside it.

        Raises `InvalidConfig` if values are kept and the piece has no record of its own.
        """
        batch = self.piece.read()
        rows = len(batch.records)
        before = np.array([int(place * (rows + 1)) for place, _ in self.plants])
        order = np.insert(np.arange(rows), before, np.arange(rows, rows + len(before)))
        records = [*batch.records, *(text for _, text in self.plants)]
        kept = batch.kept
        if kept.num_columns and not rows:
            raise InvalidConfig(
                "a canary has the kept values of the record beside it, and no record of a piece is on this side",
                hint="a greater --part-bytes",
            )
        if kept.num_columns:
            beside = np.concatenate([np.arange(rows), np.minimum(before, rows - 1)])
            kept = kept.take(beside[order])
        return Batch([records[k] for k in order], kept, batch.where.taken(order.tolist()))

    def __repr__(self) -> str:
        return f"<Planted, {len(self.plants)} canaries>"
