"""Differential privacy for the records that a table is fitted on: bounded, noisy counts of patches.

Each record counts once in each of at most `patches` of its distinct patches, drawn at random. So adding or removing one
record changes at most `patches` counts, by 1 each. Gaussian noise is added to every count that is not zero. A patch is
released only if its noisy count, before rounding, is above a threshold that a patch of a single record passes with
small probability (the set union of arXiv:2002.09745 with equal weights, whose sums are counts). Phrases, ranks and the
counts that a table stores are computed from the released patches and counts alone. The alphabet is public, so all of
its symbols have ids. The number of records is public as well, and the table stores it: neighbouring data sets differ in
one record, in whose place the other set has nothing. `ult audit mechanism` tests this code against the promise.
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
from ult.public.guarantee import Guarantee, Spent

PATCHES = 64  # default number of distinct patches that a record counts in; see dev/log.md, 2026-11-21
ROOM = 16 * CAPACITY  # symbols of distinct patches; large, as a second pass (`counts`) would draw other patches


def check_asked(
    epsilon: float | None, delta: float | None, patches: int | None, min_records: int | None, *, public: bool = False
) -> int | None:
    """Return in how many patches a record counts at most; None if `epsilon` is None.

    Raises `InvalidConfig` if the settings contradict each other or `patches` is outside 1 to 2**20.
    """
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
    """Return a codec of this kind whose config depends on no record. Raises `InvalidConfig` if it needs records."""
    if kind.calibrates and not {"low", "high"} <= set(options) and "columns" not in options:
        raise InvalidConfig(
            f"{kind.id} takes its range from the records, which epsilon does not cover; expected a given one",
            hint="--codec series/mulaw --option low=-1 --option high=1, as is known without the records",
        )
    return kind(**{**kind.preferred, **options})


def promise(
    epsilon: float, delta: float | None, *, patches: int, records: int, edges: Spent | None = None
) -> Guarantee:
    """Return the guarantee for a table fitted on so many records. Raises `InvalidConfig` or `MissingExtra`.

    `delta` is records^-1.1 by default. `edges` is what the edges of bins have spent; the counts get the rest. One half
    of its delta pays for the noise. The other half bounds the probability that any of the patches that a single record
    holds, at most `patches` of them, passes the threshold.
    """
    delta = accountant.default_delta(records) if delta is None else delta
    accountant.check(epsilon, delta, records)
    length = math.sqrt(patches)  # the L2 norm of the change that one record makes to the counts
    spent = edges or Spent(0.0, 0.0)
    half = (delta - spent.delta) / 2
    noise = length * accountant.noise_multiplier(epsilon - spent.epsilon, half, rate=1.0, steps=1)
    tail = -math.expm1(math.log1p(-half) / patches)  # the probability for each patch alone
    threshold = 1 + noise * -NormalDist().inv_cdf(tail)
    return Guarantee(float(epsilon), delta, patches, noise, threshold, *spent)


def release(
    counts: PatchCounts, kept: Guarantee, *, draw: Draw | None = None
) -> tuple[Symbols, Ends, NDArray[np.int64], Holders]:
    """Return the patches above the threshold with noisy counts, in the form of `PatchCounts.patches`, without holders.

    The records in `counts` must have been `bounded`. The threshold applies to noisy counts before rounding: after it,
    counts of up to half an occurrence less would pass. The returned counts are rounded, so that no fraction reveals
    anything of the sum. Raises `InvalidConfig` if `counts` is over capacity.
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
    """Return the records with at most `most` of the distinct patches of each, drawn at random, each patch once."""
    hashes = _hashes(patches.symbols, patches.ends)
    record_of = np.repeat(np.arange(len(patches.records)), np.diff(patches.records, prepend=0))
    _, distinct = np.unique(np.stack([record_of.astype(np.uint64), hashes], axis=1), axis=0, return_index=True)
    draw = Secure().at(SAMPLE, 0) if draw is None else draw
    order = distinct[np.lexsort((draw.random(len(distinct)), record_of[distinct]))]
    drawn_from = record_of[order]
    position = np.arange(len(drawn_from)) - np.searchsorted(drawn_from, drawn_from)
    kept = np.sort(order[position < most])
    records = np.cumsum(np.bincount(record_of[kept], minlength=len(patches.records)))
    return Patches(*_chosen(patches.symbols, patches.ends, kept), records)


@njit(cache=True)
def _hashes(symbols: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each patch (p,). Patches of one record with equal hashes count as one; privacy is unaffected."""
    out = np.empty(len(ends), np.uint64)
    start = 0
    for k in range(len(ends)):
        out[k] = hash_run(symbols, start, ends[k])
        start = ends[k]
    return out


def _chosen(symbols: Symbols, ends: Ends, order: NDArray[np.int64]) -> tuple[Symbols, Ends]:
    """Return the symbols and ends of the patches numbered `order` (k,), in that order."""
    lengths = np.diff(ends, prepend=0)[order]
    stops = np.cumsum(lengths)
    places = np.arange(int(lengths.sum())) + np.repeat(ends[order] - stops, lengths)
    return symbols[places], stops


def _canonical(symbols: Symbols, ends: Ends, which: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `which` patches sorted by their symbols, because the order in which they were met depends on records."""
    starts = ends - np.diff(ends, prepend=0)
    spelt = {int(k): symbols[starts[k] : ends[k]].tolist() for k in which}
    return np.array(sorted(spelt, key=spelt.__getitem__), np.int64)
