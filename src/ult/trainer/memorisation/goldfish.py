"""Goldfish loss (Hans et al., arXiv:2406.10209): leave some ids out of the loss, so that no text is recited whole.

Whether an id is left out depends only on the ids before it. A passage that occurs many times therefore has the same
gaps each time, wherever blocks begin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.public.vocabulary import EOS
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED, Item
from ult.trainer.datasets.packing import Stream

BEFORE = 13  # ids before one that decide, as in the paper; at the start of a record, those from its <eos> on
_MIX = np.uint64(0x9E3779B97F4A7C15)


def dropped(stream: Stream, first: int, n: int, one_in: int) -> NDArray[np.bool_]:
    """Return which of `stream[first:first + n]` (n,) are left out of the loss: on average one in `one_in`."""
    start = max(0, first - BEFORE)
    ids = stream[start : first + n].astype(np.uint64)
    places = np.arange(first - start, first - start + n)
    hashes, inside = np.zeros(n, np.uint64), np.ones(n, bool)
    for back in range(1, BEFORE + 1):
        inside &= places >= back
        before = ids[np.maximum(places - back, 0)]
        hashes = np.where(inside, (hashes ^ (before + np.uint64(1))) * _MIX, hashes)
        hashes ^= hashes >> np.uint64(32)
        inside &= before != EOS
    return np.asarray((hashes * _MIX >> np.uint64(11)).astype(np.float64) * 2.0**-53 < 1 / one_in)


@dataclass(frozen=True, slots=True)
class Goldfish:
    """Blocks to train on, of whose predictions one in `one_in` is left out."""

    blocks: Blocks
    one_in: int

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, k: int) -> Item:
        item = self.blocks[k]
        gaps = dropped(self.blocks.stream, k * self.blocks.context + 1, len(item["labels"]), self.one_in)
        return item | {"labels": np.where(gaps, IGNORED, item["labels"])}
