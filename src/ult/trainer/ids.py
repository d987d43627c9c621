"""Check ids that a caller gives, and cut ids that a model wrote to a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.errors import CorruptSymbols
from ult.public.vocabulary import EOS, N_SPECIAL, PAD

Ids = NDArray[np.uint32]


def given_ids(ids: ArrayLike, size: int, what: str, reserved: Sequence[int] = ()) -> NDArray[np.int64]:
    """Return ids (n,) that a caller gave; errors call them `what`, such as "prompt".

    `size` is that of the vocabulary; `reserved` are special ids that are allowed. Raises `CorruptSymbols` if a record
    cannot hold the ids.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "ui"):
        raise CorruptSymbols(f"{what} ids are {array.dtype} {array.shape}; expected integers (n,)")
    if not (((array >= N_SPECIAL) & (array < size)) | np.isin(array, list(reserved))).all():
        raise CorruptSymbols(f"a {what} id is outside {N_SPECIAL} to {size - 1}")
    return array.astype(np.int64)


def record_of(row: NDArray[np.int64]) -> Ids:
    """Return the ids (m,) of a row (n,) that a model wrote, up to its first `<eos>` or padding."""
    ends = np.flatnonzero((row == EOS) | (row == PAD))
    return row[: ends[0] if len(ends) else len(row)].astype(np.uint32)
