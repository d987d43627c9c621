"""What an attack on a code sees: ids of records, numbered from 0, without a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.public.vocabulary import N_SPECIAL

PUBLIC = "public data"  # what an attacker knows who has nothing of the owner's but what is released
BEFORE = "the run that it started from, and that run's table"  # public where that run is
DOUBT = 0.003  # variance of the logarithm of a share that a rank lets expect; measured in context.py
UNLIKELY = -2.5  # deviations at which counts fall as ids rise; to try ranks in vain costs little
Guess = NDArray[np.int64]  # (kinds of the target,): the kind of the reference that each is taken for, or -1


@dataclass(frozen=True)
class Coded:
    """Records as kinds: `kinds` (n,) int64 are the distinct ids in the order of their values, numbered from 0.

    `ends` (r,) says where each record ends in them, `ids` (k,) which id each kind is. `expected` (k,) is the logarithm
    of the share of occurrences that is expected of each kind, for its rank, or None.
    """

    kinds: NDArray[np.int64]
    ends: NDArray[np.int64]
    ids: NDArray[np.int64]
    expected: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, records: Sequence[NDArray[Any]]) -> Coded:
        """Return the ids (n,) of each record as kinds. Raises `InvalidConfig` if there are none."""
        flat = np.concatenate([np.empty(0, np.int64), *records]).astype(np.int64)
        if not len(flat):
            raise InvalidConfig("there are no ids to attack")
        ids, kinds = np.unique(flat, return_inverse=True)
        return cls(kinds.astype(np.int64), np.cumsum([len(record) for record in records]), ids)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How often each kind occurs, (k,) int64, never 0."""
        return np.bincount(self.kinds, minlength=len(self.ids))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The kinds by falling share, equal ones by their id."""
        return np.argsort(-(self.counts if self.expected is None else self.shares), kind="stable")

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """The logarithm of each kind's share of occurrences, (k,): what is seen, and what its rank lets expect.

        Counts scatter as Poisson's do, so what is seen weighs in proportion to the count.
        """
        seen = np.log(self.counts / len(self.kinds))
        if self.expected is None:
            return seen
        return (self.counts * DOUBT * seen + self.expected) / (self.counts * DOUBT + 1)

    def ranked(self, reference: Coded) -> Coded:
        """Return the same, knowing that ids are ranks: of each what the `reference` says of phrases of that rank."""
        curve = np.log(np.sort(reference.counts)[::-1] / len(reference.kinds))
        beyond = curve[-1] - np.log(2)  # as rare as what the reference does not hold
        ranks = self.ids - N_SPECIAL
        expected = np.where(ranks < len(curve), curve[np.minimum(ranks, len(curve) - 1)], beyond)
        return Coded(self.kinds, self.ends, self.ids, expected)

    def hidden(self, rng: np.random.Generator) -> tuple[Coded, NDArray[np.int64]]:
        """Return the same as after a secret permutation of ids: kinds (k,) numbered in any order; and which each is."""
        order = rng.permutation(len(self.ids))
        places = np.argsort(order)
        return Coded(places[self.kinds], self.ends, self.ids[order]), places

    @cached_property
    def tells_ranks(self) -> bool:
        """Whether ids look like ranks: common ones are low, more so than in 99 of 100 permutations."""
        if len(self.ids) < 3 or len(set(self.counts.tolist())) < 2:
            return False
        together = float(np.corrcoef(_middles(self.counts), np.arange(len(self.ids)))[0, 1])  # Spearman's
        return together * float(np.sqrt(len(self.ids) - 1)) < UNLIKELY

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each record starts."""
        return np.append(0, self.ends[:-1])

    def framed(self, gap: int) -> NDArray[np.int64]:
        """Return the kinds plus 1, with `gap` zeros before, between and after the records."""
        lengths = self.ends - self.starts
        record = np.repeat(np.arange(len(lengths)), lengths)
        framed = np.zeros(len(self.kinds) + gap * (len(lengths) + 1), np.int64)
        framed[np.arange(len(self.kinds)) + gap * (record + 1)] = self.kinds + 1
        return framed


def _middles(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the place of each count among all, equal ones in the middle of theirs."""
    _, inverse, many = np.unique(counts, return_inverse=True, return_counts=True)
    ends = np.cumsum(many)
    middles: NDArray[np.float64] = (ends - many / 2)[inverse]
    return middles
