"""Cells that are too long for a record of fields, which would take gigabytes of memory: refused with their place."""

from __future__ import annotations

import shlex

import numpy as np
from numpy.typing import NDArray

from ult.data.rows import Chunk
from ult.errors import SourceError
from ult.host.shown import size

LONGEST = 2**26  # bytes of a cell


def check_sizes(sizes: NDArray[np.int64], chunk: Chunk, name: str) -> None:
    """Raise `SourceError` if one of the cells of a column has more than `LONGEST` bytes."""
    if len(sizes) and int(sizes.max()) > LONGEST:
        i = int(np.argmax(sizes))
        raise refusal(chunk.place(i), name, size(int(sizes[i])))


def refusal(place: str, column: str, met: str) -> SourceError:
    """Return the error for a cell that has `met` bytes, in words."""
    return SourceError(
        f"{place}, column {column!r}: cell has {met}; expected at most {size(LONGEST)} in a record of fields",
        hint=f"--drop {shlex.quote(column)}; --codec text/bytes reads long texts, alone",
    )
