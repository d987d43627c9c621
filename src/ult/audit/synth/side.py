"""Read the three sides of an audit: synthetic records, the real ones that they were made from, and held-out ones.

All records are counted, and each is hashed; at most `MOST` of a side, drawn at random, are kept to be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.synth.cells import Canonical
from ult.codecs.record.field import Field
from ult.data.columns.describe import describe
from ult.data.composed.fields import texts
from ult.data.opening import open_inputs
from ult.data.reading import Reading
from ult.data.record import COLUMN
from ult.data.rows import Chunk, Rows, listed
from ult.errors import MissingColumn, SourceError

MOST = 100_000  # records of a side that are kept
CELLS = 4_000_000  # cells of a side that are kept
CHARACTERS = 2**28  # of a side that are kept
ARRAYS = ("image", "series")
Keys = NDArray[np.uint64]
Cell = str | None


@dataclass(frozen=True)
class Side:
    """The records of one side: how many there are, and the cells of those that were drawn.

    `keys` (records,) are hashes of all records, equal where every compared cell has the same value. `drawn` (kept,) are
    the numbers of the records, from 0, that `columns` and `units` hold.
    """

    name: str
    digest: str
    keys: Keys
    drawn: NDArray[np.int64]
    columns: Mapping[str, list[Cell]]
    units: list[Cell] | None

    @property
    def records(self) -> int:
        """How many records the files hold."""
        return len(self.keys)

    def document(self) -> dict[str, object]:
        """Return what the side is, as JSON values."""
        return {"digest": self.digest, "records": self.records, "compared": len(self.drawn)}


@dataclass(frozen=True)
class Compared:
    """Which columns are compared, as fields, and the names of those that are not, with the reason."""

    fields: tuple[Field, ...]
    left_out: tuple[str, ...]
    unread: tuple[str, ...]  # columns of the synthetic records, of these, that nobody asked to leave out
    texts_alone: bool  # whether each line, or the only column, is a text


def opened(inputs: Sequence[str], reading: Reading) -> list[Rows]:
    """Return the inputs as rows: of a `.txt` each line is a row with one text. Raises `SourceError`."""
    lines = all(name.lower().endswith(".txt") for name in inputs)
    return open_inputs(inputs, "text" if lines else "record", reading)[0]


def compared(
    real: Sequence[str], synthetic: Sequence[Rows], *, only: Sequence[str], drop: Sequence[str],
    forms: Mapping[str, str], reading: Mapping[str, str | float] | None, unit: str = "",
) -> Compared:  # fmt: skip
    """Return the fields of the real records that the synthetic ones have too, without the column `unit`.

    Raises `MissingColumn` or `SourceError`.
    """
    if all(name.lower().endswith(".txt") for name in real):
        return Compared((Field(name=COLUMN["text"], kind="text"),), (), (), texts_alone=True)
    found = describe(list(real), column=list(only), drop=list(drop), forms=forms, reading=reading)
    fields = () if found.schema is None else found.schema.fields
    there = set(synthetic[0].types)
    for name in only:
        synthetic[0].check_column(name)
    kept = tuple(one for one in fields if one.name in there and one.kind not in ARRAYS)
    if not kept:
        met = listed(list(synthetic[0].types))
        raise MissingColumn(f"{synthetic[0].name} has none of the real records' columns; it has {met}")
    names = {one.name for one in fields}
    reasons = {one.name: "its cells are arrays" for one in fields if one.kind in ARRAYS}
    reasons |= {one.name: "the synthetic records lack it" for one in fields if one.name not in there}
    reasons |= {name: "the real records lack it" for name in there - names - {*drop, unit} if not only}
    left = tuple(f"{name!r} ({why})" for name, why in sorted(reasons.items()))
    unread = () if only else tuple(sorted(there - {one.name for one in kept} - {*drop, unit}))
    return Compared(kept, left, unread, texts_alone=len(kept) == 1 and kept[0].kind == "text")


def read(
    name: str, rows: Sequence[Rows], fields: Sequence[Field], *, unit: str, seed: int, advance: Callable[[int], None]
) -> Side:
    """Return a side. Raises `SourceError`, with file and row, or `MissingColumn`."""
    names = [one.name for one in fields]
    for one in rows:
        one.check_columns([*names, *([unit] if unit else [])])
    kept = _Kept(len(names), seed)
    whole, keys = hashlib.sha256(), []
    machines = [Canonical(one) for one in fields]
    for chunk in _chunks(rows, [*names, *([unit] if unit else [])]):
        columns = [texts(chunk, column) for column in names]
        said = list(zip(*([machine(cell) for cell in cells] for machine, cells in zip(machines, columns, strict=True)),
                        strict=True))  # fmt: skip
        digests = [hashlib.blake2b(_joined(one), digest_size=8).digest() for one in said]
        block = b"".join(digests)
        whole.update(block)
        keys.append(np.frombuffer(block, np.uint64))
        kept.add(list(zip(*columns, strict=True)), texts(chunk, unit) if unit else None)
        advance(chunk.length)
    if not keys:
        raise SourceError(f"the {name} records are none; expected some")
    return Side(name, whole.hexdigest(), np.concatenate(keys), *kept.taken(names, with_units=bool(unit)))


def _chunks(rows: Sequence[Rows], names: Sequence[str]) -> Iterator[Chunk]:
    for one in rows:
        yield from one.blocks(list(dict.fromkeys(names)))


def _joined(cells: Sequence[str]) -> bytes:
    return "".join(f"{len(cell)}:{cell}" for cell in cells).encode("utf-8", "surrogatepass")


class _Kept:
    """Records drawn at random, each as likely as any other; half of them go whenever they become too many."""

    def __init__(self, width: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._most = max(1, min(MOST, CELLS // max(width, 1)))
        self._share, self._seen, self._size = 1.0, 0, 0
        self._rows: list[tuple[int, tuple[Cell, ...], Cell]] = []

    def add(self, rows: Sequence[tuple[Cell, ...]], units: Sequence[Cell] | None) -> None:
        """Add consecutive records."""
        wanted = self._random.random(len(rows)) < self._share
        for place in np.flatnonzero(wanted).tolist():
            self._rows.append((self._seen + place, rows[place], None if units is None else units[place]))
            self._size += _length(rows[place])
        self._seen += len(rows)
        while len(self._rows) > 1 and (len(self._rows) > self._most or self._size > CHARACTERS):
            self._share /= 2
            kept = self._random.random(len(self._rows)) < 0.5
            self._rows = [one for one, left in zip(self._rows, kept, strict=True) if left]
            self._size = sum(_length(cells) for _, cells, _ in self._rows)

    def taken(
        self, names: Sequence[str], *, with_units: bool
    ) -> tuple[NDArray[np.int64], dict[str, list[Cell]], list[Cell] | None]:
        """Return the numbers, the cells by column, and the units of the records that were kept."""
        drawn = np.array([number for number, *_ in self._rows], np.int64)
        columns = {name: [cells[k] for _, cells, _ in self._rows] for k, name in enumerate(names)}
        return drawn, columns, [unit for *_, unit in self._rows] if with_units else None


def _length(cells: Sequence[Cell]) -> int:
    return sum(len(cell) for cell in cells if cell is not None)
