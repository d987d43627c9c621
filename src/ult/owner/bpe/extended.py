"""Phrases beside those of a public table: its merges and ids are taken over, and what follows is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Patches, Symbols
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.learner import learned
from ult.owner.bpe.patch_table import Holders


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What a table takes over of a public one: `merges` (m, 2) and `ranks` (n,) int32 as there, and its fingerprint.

    The first n ids from `N_SPECIAL` on stand for the same phrases under both, so whoever has the public table reads
    them.
    """

    merges: NDArray[np.int32]
    ranks: NDArray[np.int32]
    table: str

    @property
    def ids(self) -> int:
        """The number of ids taken over, special ones aside."""
        return len(self.ranks)

    def learn(
        self,
        symbols: Symbols,
        ends: Ends,
        weight: NDArray[np.int64],
        holders: Holders,
        *,
        room: int,
        min_records: int,
        longest: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return these merges and up to `room` more, (m + k, 2) int32, and how often each unit occurs (units,).

        The patches are as for `learned`; `longest` is the most symbols of one.
        """
        units = len(self.ranks)
        alphabet = units - len(self.merges)
        segmenter = Segmenter(self.merges, np.arange(units, dtype=np.uint32), alphabet, longest)
        found, stops = segmenter.ids(Patches(symbols.astype(np.uint32), ends, np.arange(1, len(ends) + 1)))
        own, uses = learned(found, stops.astype(np.int64), weight, holders, units, room, min_records)
        return np.concatenate([self.merges, own]), uses

    def ranked(self, uses: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return all units by id: these as they were, then the owner's phrases by how often they occur."""
        own = np.arange(len(self.ranks), len(uses))
        order = np.lexsort((own, -uses[own]))
        return np.concatenate([self.ranks, own[order]]).astype(np.int32)
