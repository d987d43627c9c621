"""The known-plaintext attack: some records and their ids are known, but not which symbols each id stands for.

Expectation-maximisation over all ways to cut a record's patches into as many phrases as it has ids, as words are
aligned with their translations (Brown et al., "The mathematics of statistical machine translation", 1993): each id
converges to the phrase that fits all its occurrences. Phrases of the adversary's own table have a higher prior.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.codecs.patches import Patches
from ult.host.kernel import njit

LONGEST = 24  # symbols in the longest phrase that can be recovered
LONGEST_RECORD = 4096  # ids; longer records are skipped, because the work grows faster than their length
ROUNDS = 12
SLOTS = 1 << 22  # hash slots for the weights of (id, phrase); a few collisions blur the weights
_FLOOR = 1e-6  # prior share of a phrase that the adversary's table lacks, so that nothing is impossible
_OWN = 0.1  # weight of the prior, in occurrences of an id in the known records
_NEVER = 1e-40  # paths of a smaller share are dropped

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class _Known(NamedTuple):
    """A known record: its kinds, and for each symbol the start of its patch and the phrases that end with it."""

    kinds: Ints
    begins: Ints
    phrases: NDArray[np.uint64]  # (symbols, LONGEST): hashes of the last 1, 2, ... symbols


class _Model(NamedTuple):
    """The weights: the prior of each phrase, expected counts of each (id, phrase), and of each id."""

    own: Floats  # (SLOTS,), by slot of the phrase
    found: Floats  # (SLOTS,), by slot of the id and phrase
    totals: Floats  # (kinds,)


def by_plaintext(target: Coded, known: Patches, own: Mapping[bytes, int]) -> list[bytes | None]:
    """Return the phrase guessed for each kind of `target`, or None if it does not occur in the known records.

    `known` are the symbols of the target's first records. `own` counts the phrases (uint32 symbols as bytes) of the
    adversary's records.
    """
    symbols = known.symbols.astype(np.uint32)
    sizes = np.diff(known.ends, prepend=0)
    begins = np.repeat(known.ends - sizes, sizes)  # the start of each symbol's patch
    stops = np.append(0, known.ends)[known.records].tolist()
    records, texts = [], []
    for k, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        kinds = target.kinds[target.starts[k] : target.ends[k]]
        if 0 < len(kinds) <= LONGEST_RECORD:
            text, inside = symbols[start:stop], begins[start:stop] - start
            records.append(_Known(kinds, inside, _hashes(text, inside)))
            texts.append(text)
    nothing = np.zeros(len(target.ids))
    model = _Model(_likely(own), np.zeros(SLOTS), nothing)
    for _ in range(ROUNDS):
        following = _Model(model.own, np.zeros(SLOTS), nothing.copy())
        for record in records:
            _weigh(record, model, following)
        model = following
    spelled: list[Counter[bytes]] = [Counter() for _ in target.ids]
    for record, text in zip(records, texts, strict=True):
        ends = _best(record, model)
        for kind, start, stop in zip(record.kinds.tolist(), ends.tolist(), ends[1:].tolist(), strict=False):
            spelled[kind][text[start:stop].tobytes()] += 1
    return [counts.most_common(1)[0][0] if counts else None for counts in spelled]


def _likely(own: Mapping[bytes, int]) -> Floats:
    """Return the prior of each phrase in occurrences, by slot, (SLOTS,) float64."""
    likely, total = np.full(SLOTS, _FLOOR * _OWN), sum(own.values())
    for phrase, count in own.items():
        text = np.frombuffer(phrase, np.uint32)
        if len(text) <= LONGEST:
            hashed = _hashes(text, np.zeros(len(text), np.int64))[-1, len(text) - 1]
            likely[_slot(-1, hashed)] += _OWN * count / total
    return likely


@njit(cache=True)
def _hashes(text: NDArray[np.uint32], begins: Ints) -> NDArray[np.uint64]:
    hashes = np.zeros((len(text), LONGEST), np.uint64)
    for i in range(len(text)):
        key = np.uint64(0)
        for length in range(min(LONGEST, i + 1 - begins[i])):
            key = (key ^ np.uint64(text[i - length] + 1)) * np.uint64(0xFF51AFD7ED558CCD)
            key ^= key >> np.uint64(32)
            hashes[i, length] = key
    return hashes


@njit(cache=True)
def _slot(kind: int, phrase: np.uint64) -> np.uint64:
    key = (phrase ^ np.uint64(kind + 1)) * np.uint64(0x9E3779B97F4A7C15)
    return (key ^ (key >> np.uint64(32))) & np.uint64(SLOTS - 1)


@njit(cache=True)
def _chance(kind: int, phrase: np.uint64, model: _Model) -> float:
    """Return the probability that an id stands for a phrase."""
    found = model.found[_slot(kind, phrase)] + model.own[_slot(-1, phrase)]
    return float(found / (model.totals[kind] + _OWN))


@njit(cache=True)
def _forward(record: _Known, model: _Model, best: bool) -> tuple[Floats, Ints, Ints]:
    """Return the forward weights (m + 1, width), the last step of the best path, and the first place of each band.

    Entry (j, at) covers all paths (or, if `best`, the best one) by which j ids end at symbol lanes[j] + at; each row
    sums to 1. Only a band around the diagonal is kept, because cuts stay near it as random walks do.
    """
    m, n = len(record.kinds), len(record.begins)
    half = int(8 * np.sqrt(m)) + 16
    lanes = np.array([min(max(0, n * j // m - half), max(0, n - 2 * half)) for j in range(m + 1)])
    width = min(n, 2 * half) + 1
    ways, steps = np.zeros((m + 1, width)), np.zeros((m + 1, width), np.int64)
    ways[0, 0] = 1
    for j in range(1, m + 1):
        kind, total = record.kinds[j - 1], 0.0
        for end in range(max(1, lanes[j]), min(n, lanes[j] + width - 1) + 1):
            at = end - lanes[j]
            for start in range(max(record.begins[end - 1], end - LONGEST, lanes[j - 1]), end):
                before = start - lanes[j - 1]
                if before >= width or ways[j - 1, before] < _NEVER:
                    continue
                way = ways[j - 1, before] * _chance(kind, record.phrases[end - 1, end - start - 1], model)
                if not best:
                    ways[j, at] += way
                elif way > ways[j, at]:
                    ways[j, at], steps[j, at] = way, end - start
            total += ways[j, at]
        if total > 0:
            ways[j] /= total
    return ways, steps, lanes


@njit(cache=True)
def _weigh(record: _Known, model: _Model, following: _Model) -> None:
    """Add to `following` the expected number of times that each id stands for each phrase in a record."""
    ways, _, lanes = _forward(record, model, False)
    m, n, width = len(record.kinds), len(record.begins), ways.shape[1]
    after = np.zeros(width)
    if n - lanes[m] >= width or ways[m, n - lanes[m]] == 0:
        return  # no path fits the record
    after[n - lanes[m]] = 1
    for j in range(m, 0, -1):
        kind, rest, total = record.kinds[j - 1], np.zeros(width), 0.0
        for adding in range(2):  # the first pass sums the weights, the second adds their shares
            for end in range(max(1, lanes[j]), min(n, lanes[j] + width - 1) + 1):
                if after[end - lanes[j]] < _NEVER or ways[j, end - lanes[j]] == 0:
                    continue
                for start in range(max(record.begins[end - 1], end - LONGEST, lanes[j - 1]), end):
                    before = start - lanes[j - 1]
                    if before >= width or ways[j - 1, before] < _NEVER:
                        continue
                    phrase = record.phrases[end - 1, end - start - 1]
                    way = after[end - lanes[j]] * _chance(kind, phrase, model)
                    if adding:
                        following.found[_slot(kind, phrase)] += way * ways[j - 1, before] / total
                    else:
                        rest[before] += way
                        total += way * ways[j - 1, before]
            if total == 0:
                return
        following.totals[kind] += 1
        after = rest / rest.max()


@njit(cache=True)
def _best(record: _Known, model: _Model) -> Ints:
    """Return the best path: where each id's phrase starts, and the end of the last; empty if no path fits."""
    ways, steps, lanes = _forward(record, model, True)
    m, n = len(record.kinds), len(record.begins)
    if n - lanes[m] >= ways.shape[1] or ways[m, n - lanes[m]] == 0:
        return np.empty(0, np.int64)
    ends = np.empty(m + 1, np.int64)
    ends[m] = n
    for j in range(m, 0, -1):
        ends[j - 1] = ends[j] - steps[j, ends[j] - lanes[j]]
    return ends
