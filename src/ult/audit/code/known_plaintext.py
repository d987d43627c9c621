"""Known plaintext: some records are known, beside their ids, but not which symbols each id spells.

Every way to cut a record's patches into as many phrases as it has ids is weighed, and each id comes to spell what it
can spell wherever it occurs: expectation-maximisation over the cuts, as words are aligned with their translations
(Brown et al., "The mathematics of statistical machine translation", 1993). Phrases of the adversary's own table are
likely from the start.
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

LONGEST = 24  # symbols of a phrase that can be found
LONGEST_RECORD = 4096  # ids; longer ones are passed over, as the work grows faster than their length
ROUNDS = 12
SLOTS = 1 << 22  # weights of (id, phrase), found by a hash; the few that share a slot blur one another
_FLOOR = 1e-6  # share of a phrase that the adversary's table lacks, so that nothing is impossible
_OWN = 0.1  # occurrences that the adversary's shares count for, beside those of an id in the known records
_NEVER = 1e-40  # share of the ways to a place, below which they are dropped

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class _Known(NamedTuple):
    """A known record: its kinds, and of each symbol where its patch begins and the phrases that end with it."""

    kinds: Ints
    begins: Ints
    phrases: NDArray[np.uint64]  # (symbols, LONGEST): hashes of the last 1, 2, ... symbols


class _Model(NamedTuple):
    """By slot, how likely a phrase is of any id, and how often it was found of one; how often each id was."""

    own: Floats
    found: Floats
    totals: Floats


def by_plaintext(target: Coded, known: Patches, own: Mapping[bytes, int]) -> list[bytes | None]:
    """Return the phrase of each kind of `target` that occurs in its first records, whose symbols are `known`.

    `own` says how often phrases, uint32 symbols as bytes, are in the adversary's records.
    """
    symbols = known.symbols.astype(np.uint32)
    sizes = np.diff(known.ends, prepend=0)
    begins = np.repeat(known.ends - sizes, sizes)  # of the patch of each symbol
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
    return [found.most_common(1)[0][0] if found else None for found in spelled]


def _likely(own: Mapping[bytes, int]) -> Floats:
    """Return, by slot, how many occurrences each phrase counts for before any is seen."""
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
    """Return how likely it is that an id spells a phrase."""
    found = model.found[_slot(kind, phrase)] + model.own[_slot(-1, phrase)]
    return float(found / (model.totals[kind] + _OWN))


@njit(cache=True)
def _forward(record: _Known, model: _Model, best: bool) -> tuple[Floats, Ints, Ints]:
    """Return what leads to each place after so many ids, all ways or the best, as shares; its last step; the lanes.

    A place is counted from its lane: cuts stay near the diagonal, as random walks do.
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
    """Add to `following` how often each id is expected to spell each phrase in a record."""
    ways, _, lanes = _forward(record, model, False)
    m, n, width = len(record.kinds), len(record.begins), ways.shape[1]
    after = np.zeros(width)
    if n - lanes[m] >= width or ways[m, n - lanes[m]] == 0:
        return  # there is no way
    after[n - lanes[m]] = 1
    for j in range(m, 0, -1):
        kind, rest, total = record.kinds[j - 1], np.zeros(width), 0.0
        for adding in range(2):  # first their sum, then their shares of it
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
    """Return where each id's phrase starts, and the end of the last; empty if there is no way."""
    ways, steps, lanes = _forward(record, model, True)
    m, n = len(record.kinds), len(record.begins)
    if n - lanes[m] >= ways.shape[1] or ways[m, n - lanes[m]] == 0:
        return np.empty(0, np.int64)
    ends = np.empty(m + 1, np.int64)
    ends[m] = n
    for j in range(m, 0, -1):
        ends[j - 1] = ends[j] - steps[j, ends[j] - lanes[j]]
    return ends
