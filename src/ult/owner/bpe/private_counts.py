"""Differential privacy for the records that a table is fitted on: bounded, noisy counts of patches.

Each record counts in at most so many of its distinct patches, drawn at random, once in each: a record more or less
changes a vector of counts by 1 in at most so many places. Gaussian noise is added to every count that is not zero, and
a patch is released only if what comes out, before it is rounded, is above a threshold that patches of a single record
hardly ever pass (the union of sets of arXiv:2002.09745 with equal weights, whose sums are counts). Phrases, ranks and
the counts that a table stores are computed from what is released and from nothing else. The alphabet is public, so its
symbols are always in; so is the number of records, which a table tells: neighbours differ by one record, in whose place
the other set has nothing. `ult audit mechanism` holds the code against the promise.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.patches import Ends, Patches, Symbols
from ult.errors import InvalidConfig
from ult.host.kernel import njit
from ult.owner.bpe.counts import CAPACITY, PatchCounts
from ult.owner.bpe.hashtable import EMPTY, hash_run
from ult.owner.bpe.patch_table import Holders
from ult.privacy import accountant
from ult.privacy.randomness import NOISE, SAMPLE, Draw, Secure
from ult.public.guarantee import Guarantee

PATCHES = 64  # distinct ones that a record counts in, unless said; see dev/log.md, 2026-11-21
ROOM = 16 * CAPACITY  # symbols of distinct patches: a second pass, which `ult.owner.bpe.counts` has, would draw others


def check_asked(
    epsilon: float | None, delta: float | None, patches: int | None, min_records: int | None, *, public: bool = False
) -> int | None:
    """Return in how many patches a record may count; None without an epsilon. Raises `InvalidConfig`."""
    if epsilon is None:
        for name, given in (("delta", delta), ("patches_per_record", patches)):
            if given is not None:
                raise InvalidConfig(f"{name} was given without an epsilon", hint="--epsilon 8")
        return None
    if public:
        raise InvalidConfig("public and an epsilon were both given; public records need no promise")
    if (min_records or 1) > 1:
        raise InvalidConfig(
            f"min_records is {min_records}, which counts holders without noise; expected 1 with an epsilon",
            hint="leave it out: noisy counts have a higher threshold",
        )
    most = PATCHES if patches is None else patches
    check_option("patches_per_record", most, 1, 2**20)
    return most


def without_records(kind: type[Codec[Any]], options: dict[str, Any]) -> Codec[Any]:
    """Return a codec whose config rests on no record. Raises `InvalidConfig` if it would."""
    if kind.calibrates and not {"low", "high"} <= set(options):
        raise InvalidConfig(
            f"{kind.id} takes its range from the records, which epsilon does not cover; expected a given one",
            hint="--option low=-1 --option high=1, as is known without the records",
        )
    return kind(**options)


def promise(epsilon: float, delta: float | None, *, patches: int, records: int) -> Guarantee:
    """Return the guarantee for a table fitted on so many records. Raises `InvalidConfig` or `MissingExtra`.

    Half of `delta`, by default records^-1.1, pays for the noise, half for patches that a single record holds: with no
    greater probability does any of at most `patches` such pass the threshold.
    """
    delta = accountant.default_delta(records) if delta is None else delta
    accountant.check(epsilon, delta, records)
    length = math.sqrt(patches)  # of the change that a record makes to the counts
    noise = length * accountant.noise_multiplier(epsilon, delta / 2, rate=1.0, steps=1)
    tail = -math.expm1(math.log1p(-delta / 2) / patches)  # of each patch alone
    return Guarantee(float(epsilon), delta, patches, noise, 1 + noise * -NormalDist().inv_cdf(tail))


def release(
    counts: PatchCounts, kept: Guarantee, *, draw: Draw | None = None
) -> tuple[Symbols, Ends, NDArray[np.int64], Holders]:
    """Return what may be known of `counts`, as `PatchCounts.patches` does: noisy counts, and nobody's holders.

    The records of `counts` were `bounded`. The threshold is for counts with all of their noise: rounded first, those of
    up to half a count less would pass. What is stored is rounded, so no bit below 1 tells of the sum. Raises
    `InvalidConfig` if there were too many patches to count.
    """
    if counts.over_capacity:
        raise InvalidConfig(
            f"the distinct patches have more than {counts.capacity} symbols; private counts may leave none out",
            hint="fewer records, or fewer --patches-per-record",
        )
    symbols, ends, times, _ = counts.patches()
    draw = Secure().at(NOISE, 0) if draw is None else draw
    noisy = times + kept.noise * draw.standard_normal((len(times),))
    order = _canonical(symbols, ends, np.flatnonzero(noisy > kept.threshold))
    none = np.full(len(order), EMPTY, np.int32)
    holders = Holders(np.zeros(len(order), np.int32), none, np.empty(0, np.uint64), np.empty(0, np.int32))
    return *_chosen(symbols, ends, order), np.rint(noisy[order]).astype(np.int64), holders


def bounded(patches: Patches, most: int, *, draw: Draw | None = None) -> Patches:
    """Return the same records with at most `most` distinct patches each, drawn at random, once each."""
    hashes = _hashes(patches.symbols, patches.ends)
    owner = np.repeat(np.arange(len(patches.records)), np.diff(patches.records, prepend=0))
    _, distinct = np.unique(np.stack([owner.astype(np.uint64), hashes], axis=1), axis=0, return_index=True)
    draw = Secure().at(SAMPLE, 0) if draw is None else draw
    order = distinct[np.lexsort((draw.random(len(distinct)), owner[distinct]))]
    of = owner[order]
    place = np.arange(len(of)) - np.searchsorted(of, of)
    kept = np.sort(order[place < most])
    records = np.cumsum(np.bincount(owner[kept], minlength=len(patches.records)))
    return Patches(*_chosen(patches.symbols, patches.ends, kept), records)


@njit(cache=True)
def _hashes(symbols: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each patch; two patches of a record with the same would count as one, and hide no more."""
    out = np.empty(len(ends), np.uint64)
    start = 0
    for k in range(len(ends)):
        out[k] = hash_run(symbols, start, ends[k])
        start = ends[k]
    return out


def _chosen(symbols: Symbols, ends: Ends, order: NDArray[np.int64]) -> tuple[Symbols, Ends]:
    """Return the symbols and ends of some of the patches, in that order."""
    lengths = np.diff(ends, prepend=0)[order]
    stops = np.cumsum(lengths)
    places = np.arange(int(lengths.sum())) + np.repeat(ends[order] - stops, lengths)
    return symbols[places], stops


def _canonical(symbols: Symbols, ends: Ends, which: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `which` patches in the order of what they spell, for that in which they were met is the records'."""
    starts = ends - np.diff(ends, prepend=0)
    spelt = {int(k): symbols[starts[k] : ends[k]].tolist() for k in which}
    return np.array(sorted(spelt, key=spelt.__getitem__), np.int64)
