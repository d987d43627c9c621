"""Areas under ROC curves of several seeds, each with test records of its own, and their 95 % intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.interval import BOTH, RESAMPLES
from lib.outcomes import Floats, auroc, of_places


class Areas:
    """The mean area over seeds of each system, and again with seeds and records drawn anew, the same for all systems.

    `right` are the records of each seed, `scores` those of each system and seed.
    """

    def __init__(self, right: Sequence[NDArray[np.bool_]], scores: Mapping[Hashable, Sequence[Floats]]) -> None:
        rng, seeds = np.random.default_rng(0), range(len(right))
        sizes = [len(one) for one in right]
        drawn = []
        for _ in range(RESAMPLES):
            of = rng.integers(0, len(right), len(right)).tolist()
            drawn.append([(k, np.bincount(rng.integers(0, sizes[k], sizes[k]), minlength=sizes[k])) for k in of])
        self._values: dict[Hashable, float] = {}
        self._again: dict[Hashable, Floats] = {}
        for system, found in scores.items():
            ranks = [np.unique(one, return_inverse=True)[1] for one in found]
            self._values[system] = float(np.mean([auroc(right[k], found[k]) for k in seeds]))
            again = [np.mean([of_places(right[k], ranks[k], w.astype(float)) for k, w in one]) for one in drawn]
            self._again[system] = np.array(again)

    def of(self, system: Hashable) -> dict[str, Any]:
        """Return the area of a system and its interval, as `metric` takes it."""
        return _ends(self._values[system], self._again[system])

    def more(self, system: Hashable, than: Hashable) -> dict[str, Any]:
        """Return how much greater the area of a system is than that of another, and the paired interval."""
        return _ends(self._values[system] - self._values[than], self._again[system] - self._again[than])


def _ends(value: float, again: Floats) -> dict[str, Any]:
    low, high = np.quantile(again, [0.025, 0.975])
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high)), "interval": BOTH}
