"""Write UTF-8 records as ids by the kernel in C, which cuts, looks up and merges in one pass over the bytes.

`ult.codecs.pretokenizer.cut_words` and `ult.owner.bpe.encoder.Segmenter` do the same in two; tests compare them.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends

_ROWS = 1 << 19  # patches and gaps in memory, at most: 16 MB
_SPARE = 2  # ids that are written beyond the last one
_Array = NDArray[Any]


class TextSegmenter:
    """Writes records as the ids of one table, with a memory of the patches that it has met."""

    def __init__(self, library: ctypes.PyDLL, merges: NDArray[np.int32], ids: NDArray[np.uint32]) -> None:
        """Prepare to apply `merges` (m, 2) over bytes; `ids` (units,) uint32 holds the id of each unit.

        `library` is that of `ult.host.native`. Raises `MemoryError`.
        """
        pairs, units = np.ascontiguousarray(merges, np.int32), np.ascontiguousarray(ids, np.uint32)
        make, free, self._ids_of = library.ult_text_new, library.ult_text_free, library.ult_text_ids
        make.restype, free.restype, self._ids_of.restype = ctypes.c_void_p, None, ctypes.c_int64
        told = (*_array(pairs), ctypes.c_int32(256), *_array(units), ctypes.c_int64(_ROWS))
        self._memory = ctypes.c_void_p(make(*told))
        if not self._memory:
            raise MemoryError
        weakref.finalize(self, free, self._memory)

    def __reduce__(self) -> Never:
        raise TypeError("a table's memory is as secret as the table, and is neither pickled nor copied")

    def ids(self, data: NDArray[np.uint8], stops: Ends, *, plain: bool = False) -> tuple[NDArray[np.uint32], Ends]:
        """Return the ids of all records, (n,) uint32, and where each record ends in them, (r,) int64.

        `data` (bytes,) is UTF-8, in which records end at `stops` (r,) int64. With `plain`, no instruction is used that
        a processor may lack.
        """
        out, ends = np.empty(len(data) + _SPARE, np.uint32), np.empty(len(stops), np.int64)
        stops = np.ascontiguousarray(stops, np.int64)
        n = self._ids_of(
            self._memory, *_array(data), *_array(stops), _array(out)[0], _array(ends)[0], ctypes.c_int(plain)
        )
        return out[:n].copy(), ends


def _array(array: _Array) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
    return ctypes.c_void_p(array.ctypes.data), ctypes.c_int64(len(array))
