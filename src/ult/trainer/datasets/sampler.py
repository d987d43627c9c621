"""Which samples a training sees, one after another: of one stream, or of several in given shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ult.errors import InvalidConfig
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.pairs import Pairs

_CHUNK = 1 << 16  # samples of an order in memory at once


@dataclass(frozen=True, slots=True)
class Order:
    """Which of `samples` a training sees, one after another: pass after pass, each shuffled by seed, `total` in all.

    A batch may reach into the next pass, so every one is full, and what step n sees depends on nothing but the seed
    and the batch size: neither on the number of processes nor on where a training was interrupted.
    """

    samples: int
    total: int
    seed: int

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        for first in range(0, self.total, self.samples):
            order = np.random.default_rng([self.seed, first // self.samples]).permutation(self.samples)
            order = order[: self.total - first]
            for start in range(0, len(order), _CHUNK):
                yield from order[start : start + _CHUNK].tolist()


def check_mixture(weights: Sequence[float] | None, many: Sequence[Shards]) -> None:
    """Raise `InvalidConfig` unless there is a weight for each of the shards folders, or none at all."""
    if weights is not None and len(weights) != len(many):
        raise InvalidConfig(f"mixture has {len(weights)} weights for {len(many)} shards folders; expected one for each")


def mixture(weights: Sequence[float], many: Sequence[Shards], data: Blocks | Labelled | Pairs) -> Mixture:
    """Return the samples of each shards folder, in a stream of all of them, with its weight.

    A block belongs to the folder of its first prediction. Raises `InvalidConfig` for a folder that has no sample.
    """
    starts, rows = [0], 0
    for shards in many:
        rows += shards.manifest.rows
        starts.append(data.sample_of(rows))
    for shards, (first, end) in zip(many, pairwise(starts), strict=True):
        if first == end:
            raise InvalidConfig(
                f"{shards.path} is too small for a share of its own: no block starts in it", hint="a smaller --context"
            )
    return Mixture(tuple(starts), tuple(weights))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Folder i has the samples `starts[i]` to `starts[i + 1]`, and the share `weights[i] / sum(weights)`."""

    starts: tuple[int, ...]  # one more than folders
    weights: tuple[float, ...]  # above 0

    def order(self, total: int, seed: int) -> MixedOrder:
        """Return which samples a training of `total` samples sees."""
        return MixedOrder(self, total, seed)


@dataclass(frozen=True, slots=True)
class MixedOrder:
    """As `Order`, for a mixture: `total` samples, each of the folder that is the furthest behind its share.

    That is, sample t (from 0) is of the folder with the greatest `share * (t + 1) - samples so far`, the first of
    equals, so no share is ever off by as much as the number of folders. Folder i gives its own samples
    pass after pass, as `Order` shuffles them with seed + i.
    """

    mixture: Mixture
    total: int
    seed: int

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        starts, weights = self.mixture.starts, self.mixture.weights
        orders = [
            iter(Order(end - first, self.total, self.seed + i)) for i, (first, end) in enumerate(pairwise(starts))
        ]
        shares, seen = [weight / sum(weights) for weight in weights], [0] * len(weights)
        for t in range(1, self.total + 1):
            behind = [share * t - done for share, done in zip(shares, seen, strict=True)]
            i = behind.index(max(behind))
            seen[i] += 1
            yield starts[i] + next(orders[i])
