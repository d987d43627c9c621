"""Byte-pair encoding in plain Python: learn merges of the symbols inside patches, and apply them to new patches.

A *unit* is a base symbol (`range(alphabet)`) or a phrase (`alphabet + k` for merge k, which joins two earlier units).
`learn` and `merge` do the same as the compiled loops in `merges` and `encoder`; tests compare the results.

Method: P. Gage, "A new algorithm for data compression" (1994); R. Sennrich et al., ACL 2016.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pair = tuple[int, int]


class Counted(NamedTuple):
    """A patch that occurs `times` times; `holders` are the numbers of the distinct records that hold it."""

    symbols: tuple[int, ...]
    times: int
    holders: frozenset[int]


def learn(patches: Iterable[Counted], *, alphabet: int, merges: int, min_records: int = 1) -> list[Pair]:
    """Return up to `merges` pairs of units: each time the most frequent pair that at least `min_records` records hold.

    Of equally frequent pairs the lower one is taken, so the result depends on the multiset of patches alone.
    """
    state = [(list(patch.symbols), patch) for patch in patches]
    learned: list[Pair] = []
    while len(learned) < merges:
        counts: Counter[Pair] = Counter()
        holders: dict[Pair, set[int]] = {}
        for units, patch in state:
            for pair in itertools.pairwise(units):
                counts[pair] += patch.times
                holders.setdefault(pair, set()).update(patch.holders)
        allowed = [pair for pair in counts if min_records <= 1 or len(holders[pair]) >= min_records]
        if not allowed:
            break
        best = min(allowed, key=lambda pair: (-counts[pair], pair))
        unit = alphabet + len(learned)
        learned.append(best)
        state = [(replace(units, best, unit), patch) for units, patch in state]
    return learned


def merge(symbols: Sequence[int], learned: Sequence[Pair], alphabet: int) -> list[int]:
    """Return the units of one patch: all merges are applied in the order they were learned, each from left to right."""
    units = list(symbols)
    for k, pair in enumerate(learned):
        units = replace(units, pair, alphabet + k)
    return units


def replace(units: list[int], pair: Pair, unit: int) -> list[int]:
    """Return `units` with each occurrence of `pair`, from left to right, replaced by `unit`."""
    out: list[int] = []
    at = 0
    while at < len(units):
        if at + 1 < len(units) and (units[at], units[at + 1]) == pair:
            out.append(unit)
            at += 2
        else:
            out.append(units[at])
            at += 1
    return out
