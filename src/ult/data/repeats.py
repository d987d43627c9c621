"""Find the records that repeat an earlier one, of more than memory holds digests of: on the disk, by first bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ult.data.seen import Digests
from ult.host.buckets import Buckets

ROWS = 2**18  # records in a window
_PARTS = 2**8  # of the digests, by their first bits; one is in memory at a time
_MET = np.dtype([("digest", np.uint64, 2), ("place", np.int64)])
_BEFORE = -1  # the place of digests that were met before all others


class Repeats:
    """Which of many records repeat an earlier one, or one of the distinct digests `before`, while the block lasts.

    24 bytes a record are in a file beside the output `out`, which this process holds. Raises `OutputError`.
    """

    def __init__(self, out: Path, before: Digests) -> None:
        self._out, self._records = out, 0
        with ExitStack() as stack:
            self._met = stack.enter_context(Buckets(out, _MET))
            self._put(before, np.full(len(before), _BEFORE))
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._open.close()

    def add(self, digests: Digests) -> None:
        """Add the next records by their digests, (n, 2)."""
        self._put(digests, np.arange(self._records, self._records + len(digests)))
        self._records += len(digests)

    def _put(self, digests: Digests, places: NDArray[np.int64]) -> None:
        rows = np.empty(len(digests), _MET)
        rows["digest"], rows["place"] = digests, places
        self._met.add(digests[:, 0] % np.uint64(_PARTS), rows)

    def first(self) -> Iterator[NDArray[np.bool_]]:
        """Yield which of the added records repeat none, in order, (n,) of some at a time."""
        with Buckets(self._out, np.uint32) as repeated:
            for part in range(_PARTS):
                places = _repeated(self._met.part(part))
                repeated.add(places // ROWS, (places % ROWS).astype(np.uint32))
            for window, start in enumerate(range(0, self._records, ROWS)):
                first = np.ones(min(ROWS, self._records - start), np.bool_)
                first[repeated.part(window)] = False
                yield first


def _repeated(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the places of all rows whose digest an earlier row has."""
    digests = rows["digest"]
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # of equal digests the earlier first
    again = (digests[order[1:]] == digests[order[:-1]]).all(1)
    places: NDArray[np.int64] = rows["place"][order[1:][again]]
    return places
