"""What a record is cut into: its symbols, and the patches of symbols that phrases never cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# (n,) uint32, every value < codec.alphabet; batches may use a narrower dtype if the alphabet fits it.
Symbols = NDArray[Any]
Ends = NDArray[np.int64]  # exclusive ends, non-decreasing


@dataclass(frozen=True, slots=True)
class Patches:
    """The symbols of one or more records, cut into the patches that phrases never cross.

    `symbols` is (n,) uint32, or uint8 where an `encode_batch` works on bytes. `ends` is (p,) int64: where each patch
    ends in `symbols`, strictly increasing, the last is n. `records` is (r,) int64: where each record ends in `ends`,
    non-decreasing (a record may be empty), the last is p.
    """

    symbols: Symbols
    ends: Ends
    records: Ends

    @classmethod
    def one(cls, symbols: Symbols, ends: Ends) -> Patches:
        """Return the patches of a single record."""
        return cls(symbols, ends, np.array([len(ends)], np.int64))

    @classmethod
    def concatenate(cls, batches: Sequence[Patches]) -> Patches:
        """Return the records of all `batches` as one batch, in order."""
        if not batches:
            return cls(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64))
        symbol_base = np.cumsum([0] + [len(batch.symbols) for batch in batches[:-1]])
        patch_base = np.cumsum([0] + [len(batch.ends) for batch in batches[:-1]])
        return cls(
            np.concatenate([batch.symbols for batch in batches]),
            np.concatenate([batch.ends + base for batch, base in zip(batches, symbol_base, strict=True)]),
            np.concatenate([batch.records + base for batch, base in zip(batches, patch_base, strict=True)]),
        )


def cut(array: NDArray[Any], ends: Ends) -> list[NDArray[Any]]:
    """Return views of the pieces of `array` that end at `ends`; eight times as fast as `np.split`."""
    stops = ends.tolist()
    return [array[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
