"""The order in which a training sees its samples: pass after pass, or drawn from several folders in given shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from ult.errors import InvalidConfig
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.pairs import Pairs
from ult.trainer.datasets.per_table import PerTable

_CHUNK = 1 << 16  # samples of an order in memory at once


@dataclass(frozen=True, slots=True)
class Order:
    """The numbers of the samples, below `samples`, that a training sees: `total` in all, each pass shuffled by `seed`.

    A batch may reach into the next pass, so every batch is full. What step n sees depends only on the seed and the
    batch size, not on the number of processes nor on where a training was interrupted.
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


def check_mixture(weights: Sequence[float] | None, shards: Sequence[Shards]) -> None:
    """Raise `InvalidConfig` unless `weights` is None or has one for each of the shards folders."""
    if weights is not None and len(weights) != len(shards):
        raise InvalidConfig(
            f"mixture has {len(weights)} weights for {len(shards)} shards folders; expected one for each"
        )


def mixture(
    weights: Sequence[float],
    shards: Sequence[Shards],
    data: Blocks | PerTable | Labelled | Pairs,
    rows: Sequence[int] | None = None,
) -> Mixture:
    """Return which samples of `data` are of which shards folder, and the weight of each folder.

    `rows` is how many records of each folder are in `data`, by default all.

    A block belongs to the folder of its first prediction. Raises `InvalidConfig` for a folder that has no sample.
    """
    each = [one.manifest.rows for one in shards] if rows is None else rows
    starts = [0, *(data.sample_of(before) for before in accumulate(each))]
    for one, (first, end) in zip(shards, pairwise(starts), strict=True):
        if first == end:
            raise InvalidConfig(
                f"{one.path} is too small for a share of its own: no block starts in it", hint="a smaller --context"
            )
    return Mixture(tuple(starts), tuple(weights))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Folder i has the samples `starts[i]` to `starts[i + 1]`, and the share `weights[i] / sum(weights)`."""

    starts: tuple[int, ...]  # one more than folders
    weights: tuple[float, ...]  # above 0

    def order(self, total: int, seed: int) -> MixedOrder:
        """Return the order of the `total` samples that a training sees."""
        return MixedOrder(self, total, seed)


@dataclass(frozen=True, slots=True)
class MixedOrder:
    """The order of `total` samples of a mixture: each is of the folder that is furthest behind its share.

    Sample t (from 0) is of the folder with the greatest `share * (t + 1) - samples so far`; of equal folders, the
    first. A folder is therefore never off its share by as many samples as there are folders. Folder i gives its samples
    pass after pass, in the `Order` of seed + i.
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
