"""Learn merges by the kernel in C where it was built, else by its twin in Numba, `ult.owner.bpe.merges`."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols
from ult.host import native
from ult.owner.bpe.merges import learn_merges
from ult.owner.bpe.patch_table import Holders
from ult.owner.bpe.text import array, function


def learned(
    symbols: Symbols, ends: Ends, weight: NDArray[np.int64], holders: Holders, alphabet: int, most: int, limit: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return up to `most` merges (m, 2) int32 and the uses of each unit (alphabet + m,) int64, as `learn_merges` does.

    A pair becomes a merge only if `limit` distinct records hold it. Raises `MemoryError`.
    """
    library = native.library()
    if library is None:
        return learn_merges(symbols, ends, weight, holders, alphabet, most, limit)  # type: ignore[no-any-return]
    merges, uses = np.empty((most, 2), np.int32), np.zeros(alphabet + most, np.int64)
    given: list[NDArray[Any]] = [np.ascontiguousarray(symbols, np.uint32), np.ascontiguousarray(ends, np.int64)]
    held, last, record, link = holders
    limit = min(limit, len(record) + 2)  # which no pair has enough holders for, either
    more: list[NDArray[Any]] = [np.ascontiguousarray(weight, np.int64), held, last, record, link]
    asked = (ctypes.c_int32(alphabet), ctypes.c_int64(most), ctypes.c_int64(limit))
    told = (*(one for values in given for one in array(values)), *(array(values)[0] for values in more))
    made = function(library, "ult_learn")(*told, *asked, array(merges)[0], array(uses)[0])
    if made < 0:
        raise MemoryError
    return merges[:made].copy(), uses[: alphabet + made].copy()
