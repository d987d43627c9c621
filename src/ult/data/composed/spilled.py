"""Rows of units that do not follow one another, put aside in a file: those of some units in each part of it.

The file has no name, and what is written is encrypted for a key that only this process has, in memory: however the
process ends, nothing of the records can be read from the disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyrage
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.patches import Ends
from ult.codecs.record.columns import Columns
from ult.errors import OutputError
from ult.host.kernel import njit
from ult.host.shown import size

Numbers = NDArray[np.int64]
_WINDOW = 2**26  # bytes of rows that wait to be written together, about
_LASTING = "/var/tmp"  # noqa: S108  # where large files belong: /tmp is often in memory
_SIZES = (np.uint8, np.uint16, np.uint32)  # of cells, whichever is enough


class Lot(NamedTuple):
    """Rows of several units; `chunk` (n,) is the number of the chunk of each, and `row` (n,) its number there."""

    units: Cells
    static: Columns
    inner: Columns
    kept: pa.Table | None
    chunk: Numbers
    row: Numbers

    @property
    def sizes(self) -> Numbers:
        """About how many bytes of memory each row takes, (n,)."""
        return self.inner.sizes + self.static.sizes

    @property
    def plain(self) -> bool:
        """Whether all cells are texts."""
        return all(isinstance(column, Cells) for column in (*self.static.columns, *self.inner.columns))

    def taken(self, which: Numbers) -> Lot:
        """Return some of the rows."""
        kept = None if self.kept is None else _taken(self.kept, which)
        static, inner = self.static.taken(which), self.inner.taken(which)
        return Lot(self.units.taken(which), static, inner, kept, self.chunk[which], self.row[which])

    @classmethod
    def joined(cls, lots: Sequence[Lot], order: Numbers) -> Lot:
        """Return the rows of all lots in an order; a column at a time, so that memory holds only one of them twice."""
        kept = None if lots[0].kept is None else _taken(pa.concat_tables([lot.kept for lot in lots]), order)
        static, inner = (_sorted(parts, order) for parts in ([lot.static for lot in lots], [lot.inner for lot in lots]))
        chunk, row = (np.concatenate([lot[k] for lot in lots])[order] for k in (4, 5))
        units = Cells.concatenate([lot.units for lot in lots]).taken(order)
        return cls(units, static, inner, kept, chunk, row)


@dataclass(slots=True)
class _Part:
    """Where the rows of some units are: the first byte, and how many, of each piece; and the memory that they take."""

    pieces: list[tuple[int, int]] = field(default_factory=list)
    nbytes: int = 0


class Spill:
    """Rows put aside, in parts of `each` units, in the order in which units are first met; all cells are texts.

    Memory takes some 40 bytes a unit. Units whose hashes are equal share a part, and nothing else. Raises `OutputError`
    if there is no room on the disk.
    """

    def __init__(self, each: int) -> None:
        self._each, self._key = each, pyrage.x25519.Identity.generate()
        self._slots = np.zeros(2**10, np.uint64), np.full(2**10, -1, np.int64)  # hashes, and the part of each
        self._units = self._waits = self._end = 0
        self._waiting: list[tuple[Lot, Numbers]] = []
        self._parts: list[_Part] = []
        folder = os.environ.get("TMPDIR") or (_LASTING if os.access(_LASTING, os.W_OK) else None)
        self._folder = folder or tempfile.gettempdir()
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        except OSError as error:
            raise self._unwritten(error) from error

    def add(self, lot: Lot) -> None:
        """Put rows aside."""
        while 2 * (self._units + len(lot.units)) > len(self._slots[0]):
            self._slots = _grown(*self._slots)
        of, self._units = _parts(*self._slots, lot.units.data, lot.units.ends, self._units, self._each)
        self._waiting.append((lot, of))
        self._waits += int(lot.sizes.sum())
        if self._waits >= _WINDOW:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        self._parts += [_Part() for _ in range(-(-self._units // self._each) - len(self._parts))]
        order, stops = in_order(np.concatenate([of for _, of in self._waiting]), len(self._parts))
        lot = Lot.joined([one for one, _ in self._waiting], order)
        self._waiting, self._waits = [], 0
        bytes_to, public = np.append(0, np.cumsum(lot.sizes)), self._key.to_public()
        try:
            for part, start, stop in zip(self._parts, np.append(0, stops[:-1]).tolist(), stops.tolist(), strict=True):
                if start < stop:
                    data = pyrage.encrypt(_packed(lot, start, stop), [public])
                    self._file.write(data)
                    part.pieces.append((self._end, len(data)))
                    part.nbytes += int(bytes_to[stop] - bytes_to[start])
                    self._end += len(data)
            self._file.flush()
        except OSError as error:
            raise self._unwritten(error) from error

    def parts(self) -> Iterator[tuple[Iterator[Lot], int, int]]:
        """Yield the rows of each part, the bytes of memory that they take, and how many units they are of."""
        self.flush()
        for k, part in enumerate(self._parts):
            yield map(self._read, part.pieces), part.nbytes, min(self._each, self._units - k * self._each)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _read(self, piece: tuple[int, int]) -> Lot:
        at, nbytes = piece
        self._file.seek(at)
        return _unpacked(pyrage.decrypt(self._file.read(nbytes), [self._key]))

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot put rows aside in {self._folder}, after {size(self._end)}: {error.strerror}; "
            "the rows of a unit do not follow one another, and memory is for few",
            hint="TMPDIR=FOLDER, on a disk with room for as much as the input has; or sort the input by the unit",
        )


def in_order(of: Numbers, n: int) -> tuple[Numbers, Numbers]:
    """Return the rows in the order of their numbers `of`, each less than n, and where those of each number end."""
    stops = np.cumsum(np.bincount(of, minlength=n)).astype(np.int64)
    return _order(of, np.append(0, stops[:-1])), stops


def _taken(table: pa.Table, which: Numbers) -> pa.Table:
    """Return some rows; Arrow cannot take those of a view of texts, which are other texts for as long as that takes."""
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    plain = pa.schema([one.with_type(views.get(one.type, one.type)) for one in table.schema])
    return table.cast(plain).take(which).cast(table.schema) if plain != table.schema else table.take(which)


def _sorted(parts: Sequence[Columns], order: Numbers) -> Columns:
    found: list[Any] = []
    for k in range(len(parts[0].columns)):
        column = Columns.concatenate([Columns(part.columns[k : k + 1], len(part)) for part in parts])
        found += column.taken(order).columns
    return Columns(found, len(order))


def _packed(lot: Lot, start: int, stop: int) -> bytes:
    """Return some rows as bytes."""
    columns = [column[start:stop] for column in (lot.units, *lot.static.columns, *lot.inner.columns)]
    head, body = [stop - start, len(lot.static.columns), len(lot.inner.columns)], []
    for column in columns:
        sizes = column.sizes
        kind = int(np.searchsorted([2**8, 2**16], sizes.max(initial=0), "right"))
        head += [kind, len(column.data), int(column.nulls.any())]
        body += [sizes.astype(_SIZES[kind]), column.data, *([column.nulls] if head[-1] else [])]
    kept = b"" if lot.kept is None else _kept_bytes(lot.kept.slice(start, stop - start))
    body += [lot.chunk[start:stop].astype(np.uint32), lot.row[start:stop].astype(np.uint32)]
    return b"".join([np.array([*head, len(kept)], np.int64).tobytes(), *(one.tobytes() for one in body), kept])


def _unpacked(data: bytes) -> Lot:
    """Return the rows that `_packed` made bytes of."""
    at = 0

    def taken(kind: Any, n: int) -> Any:
        nonlocal at
        found = np.frombuffer(data, kind, n, at)
        at += found.nbytes
        return found

    n, static, inner = taken(np.int64, 3).tolist()
    heads = taken(np.int64, 3 * (1 + static + inner)).reshape(-1, 3).tolist()
    (kept,) = taken(np.int64, 1).tolist()
    columns = []
    for kind, nbytes, nulls in heads:
        sizes, texts = taken(_SIZES[kind], n), taken(np.uint8, nbytes)
        columns.append(Cells(texts, np.cumsum(sizes, dtype=np.int64), taken(np.bool_, n) if nulls else _none(n)))
    chunk, row = (taken(np.uint32, n).astype(np.int64) for _ in range(2))
    table = pa.ipc.open_stream(pa.py_buffer(data[at:])).read_all() if kept else None
    mine, others = columns[1 : 1 + static], columns[1 + static :]
    return Lot(columns[0], Columns(mine, n), Columns(others, n), table, chunk, row)


def _none(n: int) -> NDArray[np.bool_]:
    return np.zeros(n, np.bool_)


def _kept_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _grown(hashes: NDArray[np.uint64], parts: Numbers) -> tuple[NDArray[np.uint64], Numbers]:
    """Return slots twice as many, with the same hashes."""
    slots = np.zeros(2 * len(hashes), np.uint64), np.full(2 * len(parts), -1, np.int64)
    _moved(hashes, parts, *slots)
    return slots


@njit(cache=True)
def _moved(hashes: NDArray[np.uint64], parts: Numbers, to: NDArray[np.uint64], new: Numbers) -> None:
    for k in range(len(hashes)):
        if parts[k] >= 0:
            at = _slot(to, new, hashes[k])
            to[at], new[at] = hashes[k], parts[k]


@njit(cache=True)
def _slot(hashes: NDArray[np.uint64], parts: Numbers, key: np.uint64) -> int:
    """Return the slot of a hash, or the empty one where it belongs."""
    mask = np.uint64(len(hashes) - 1)
    at = np.int64(key & mask)
    while parts[at] >= 0 and hashes[at] != key:
        at = np.int64(np.uint64(at + 1) & mask)
    return int(at)


@njit(cache=True)
def _parts(
    hashes: NDArray[np.uint64], parts: Numbers, data: NDArray[np.uint8], ends: Ends, units: int, each: int
) -> tuple[Numbers, int]:
    """Return the part of the unit of each row, and how many units there are now. A new unit gets the last part."""
    found = np.empty(len(ends), np.int64)
    start = 0
    for i in range(len(ends)):
        key = np.uint64(0xCBF29CE484222325)
        for k in range(start, ends[i]):
            key = (key ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
        key ^= key >> np.uint64(29)
        start = ends[i]
        at = _slot(hashes, parts, key)
        if parts[at] < 0:
            hashes[at], parts[at] = key, units // each
            units += 1
        found[i] = parts[at]
    return found, units


@njit(cache=True)
def _order(of: Numbers, starts: Numbers) -> Numbers:
    """Return the rows in the order of their numbers; `starts`, where those of each number begin, are used up."""
    found = np.empty(len(of), np.int64)
    for i in range(len(of)):
        found[starts[of[i]]] = i
        starts[of[i]] += 1
    return found
