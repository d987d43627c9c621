"""Count the patches of UTF-8 records by the kernel in C, in the arrays of `ult.owner.bpe.patch_table`.

`ult.codecs.pretokenizer.cut_words` and `ult.owner.bpe.patch_table.count_patches` do it in two; tests compare them.
"""

from __future__ import annotations

import ctypes
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols
from ult.owner.bpe.patch_table import Holders, Sieve, Unique
from ult.owner.bpe.text import array, function, new_memory

ROOM = 1 << 16  # bytes that are counted at a time: there must be room for as many patches, symbols and holders
_NO_PAIRS, _NO_UNITS = np.empty((0, 2), np.int32), np.empty(0, np.uint32)


class TextTally:
    """Counts patches with a memory of their numbers in one `Unique`, which must not be numbered anew meanwhile."""

    def __init__(self, library: ctypes.PyDLL) -> None:
        """Remember no patch. `library` is that of `ult.host.native`. Raises `MemoryError`."""
        self._memory = new_memory(library, _NO_PAIRS, _NO_UNITS)
        self._count = function(library, "ult_text_count")

    def __reduce__(self) -> Never:
        raise TypeError("counts of records are as secret as they are, and are neither pickled nor copied")

    def add(
        self,
        data: NDArray[np.uint8],
        stops: Ends,
        first: int,
        limit: int,
        sieve: Sieve,
        unique: Unique,
        *,
        plain: bool = False,
    ) -> int:
        """Count the records from number `first` on, which end at `stops` (r,) in UTF-8 `data`.

        Return the first record for which there is no room in `unique`, or which has `ROOM` bytes or more; or r. The
        rest is as in `count_patches`.
        """
        told = _Told.of(unique, sieve, limit)
        span = (ctypes.c_int64(first), ctypes.c_int64(len(stops)), ctypes.byref(told), ctypes.c_int(plain))
        return int(self._count(self._memory.at, array(data)[0], array(stops)[0], *span))


def merge_counts(
    library: ctypes.PyDLL,
    symbols: Symbols,
    ends: Ends,
    times: NDArray[np.int64],
    theirs: Holders,
    limit: int,
    sieve: Sieve,
    unique: Unique,
) -> None:
    """Add distinct patches that occur `times` (p,) each, and their holders, as `merge_patches` does."""
    told = _Told.of(unique, sieve, limit)
    _, last, record, link = theirs
    patches: tuple[NDArray[Any], ...] = (np.ascontiguousarray(symbols, np.uint32), ends, times)
    holders: tuple[NDArray[Any], ...] = (last, record, link)
    given = (*(array(one)[0] for one in patches), ctypes.c_int64(len(ends)), *(array(one)[0] for one in holders))
    library.ult_merge_counts(ctypes.byref(told), *given)


class _Told(ctypes.Structure):
    """A `Tally` of ult/native/count.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("size", "slots", "hashes", "pool", "ends", "counts")),
        *((name, ctypes.c_void_p) for name in ("held", "last", "record", "link", "grades")),
        *((name, ctypes.c_int64) for name in ("slot_count", "pool_room", "holder_room", "buckets", "least", "limit")),
        ("begin", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("hash", ctypes.c_uint64),
        ("hashed", ctypes.c_int),
    )

    @classmethod
    def of(cls, unique: Unique, sieve: Sieve, limit: int) -> _Told:
        """Return where the arrays lie, and how long they are."""
        size, slots, hashes, pool, ends, counts, holders = unique
        grades, least = sieve
        rooms = (len(slots), len(pool), len(holders.record), grades.shape[1])
        arrays: tuple[NDArray[Any], ...] = (size, slots, hashes, pool, ends, counts, *holders, grades)
        found = cls(*(one.ctypes.data for one in arrays), *rooms, least, limit)
        found.kept = arrays  # as long as it says where they lie
        return found
