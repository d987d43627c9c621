"""Canaries: records with random digits among the owner's records, by which an audit measures what a model memorises.

They are derived from the table, which is secret. Whoever has the table can derive them again, so nothing else needs to
be stored. To the trainer they are ids like all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ult.codecs.record import RecordColumns
from ult.data import Batch
from ult.errors import InvalidConfig
from ult.owner.table import Table

if TYPE_CHECKING:
    from ult.data import Unread
    from ult.owner.coin import Half

    Piece = Batch | Unread | Half

DIGITS = 8
SPACE = 10**DIGITS  # the number of possible canaries of each name
_TEXTS = ("string", "large_string", "string_view")
_LABEL = b"ult-canaries/1\n"


def canary(name: int, digits: int) -> str:
    """Return the text of a canary.

    >>> canary(3, 1234)
    'the random number of canary 3 is 00001234'
    """
    return f"the random number of canary {name} is {digits:0{DIGITS}d}"


def canary_record(table: Table, name: int, digits: int) -> Any:
    """Return a canary as a record of the table: its text, or a record of fields with the text in one of them.

    That is the first field of free text, else of a category, of the record or of its rows; all other cells are left
    out, or null. Raises `InvalidConfig` if the table's records hold no text.
    """
    text, codec = canary(name, digits), table.codec
    if codec.modality == "text":
        return text
    outer = codec.fields if isinstance(codec, RecordColumns) else ()
    spots: list[tuple[int, int | None]] = [(k, None) for k, one in enumerate(outer) if not one.fields]
    spots += [(k, j) for k, one in enumerate(outer) for j in range(len(one.fields))]
    leaves = {(k, j): outer[k] if j is None else outer[k].fields[j] for k, j in spots}
    for kind in ("text", "category"):
        for (k, j), leaf in leaves.items():
            if leaf.kind == kind and leaf.type in _TEXTS:
                record: list[Any] = [() if one.fields else one.absent for one in outer]
                row = [text if i == j else one.absent for i, one in enumerate(outer[k].fields)]
                record[k] = text if j is None else (tuple(row),)
                return tuple(record)
    raise InvalidConfig(f"canaries are texts; the table's records, of {codec.id}, hold none")


def holds_canaries(table: Table) -> bool:
    """Return whether canaries can be records of the table."""
    try:
        canary_record(table, 0, 0)
    except InvalidConfig:
        return False
    return True


def secret_digits(table: Table, n: int) -> list[int]:
    """Return the digits of canaries 0 to n - 1, integers in `range(SPACE)`.

    Raises `InvalidConfig` if the table's records hold no text or `n` is below 1.
    """
    canary_record(table, 0, 0)
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
    texts = [canary_record(table, name, digits) for name, digits in enumerate(secret_digits(table, n))]
    if repeats < 1:
        raise InvalidConfig(f"repeats is {repeats}; expected at least 1")
    pieces = sum(1 for _ in read())
    if not pieces:
        raise InvalidConfig("there are no records to plant canaries among")
    rng = np.random.default_rng(list(_derived(table, "places")))
    places = rng.random(n * repeats) * max(1, pieces - 1)
    for number, piece in enumerate(read()):
        here = np.flatnonzero(places.astype(int) == number)
        plants = sorted(((float(places[k] - number), texts[k % n]) for k in here), key=lambda one: one[0])
        yield Planted(piece, tuple(plants)) if plants else piece


@dataclass(frozen=True, slots=True)
class Planted:
    """A piece with canaries among its records. It can be sent to another process."""

    piece: Piece
    plants: Sequence[tuple[float, Any]]  # the place of each canary in the piece, from 0 to 1 and rising, and its record

    @property
    def rows(self) -> int | None:
        """The number of records, canaries included; None if it is not known before the piece is read."""
        return None if self.piece.rows is None else self.piece.rows + len(self.plants)

    def batches(self) -> Iterator[Batch]:
        """Yield what `read` returns."""
        yield self.read()

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
