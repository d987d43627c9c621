"""The evidence of an attack on a code: the distinct ids of records, numbered from 0, without their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.public.vocabulary import N_SPECIAL

PUBLIC = "public data"  # knowledge of an adversary who has only what is released
BEFORE = "the run that it started from, and that run's table"  # public where that run is
DOUBT = 0.003  # variance of the log share that is predicted from a rank; measured in `cooccurrence`
UNLIKELY = -2.5  # standard deviations of Spearman's rho below which ids are taken for ranks; a false alarm costs little
Guess = NDArray[np.int64]  # (kinds of the target,): the kind of the reference that each is matched with, or -1


@dataclass(frozen=True)
class Coded:
    """Records as sequences of kinds; a kind is a distinct id, numbered from 0 in the order of the ids.

    `kinds` (n,) int64 are the kinds of all records in order, `ends` (r,) where each record ends in them, and `ids` (k,)
    the id of each kind. `expected` (k,) is the log of the share of occurrences that the rank of each kind predicts, or
    None if ids are not taken for ranks.
    """

    kinds: NDArray[np.int64]
    ends: NDArray[np.int64]
    ids: NDArray[np.int64]
    expected: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, records: Sequence[NDArray[Any]]) -> Coded:
        """Return records of ids (n,) as kinds; raise `InvalidConfig` if there are no ids."""
        flat = np.concatenate([np.empty(0, np.int64), *records]).astype(np.int64)
        if not len(flat):
            raise InvalidConfig("there are no ids to attack")
        ids, kinds = np.unique(flat, return_inverse=True)
        return cls(kinds.astype(np.int64), np.cumsum([len(record) for record in records]), ids)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of occurrences of each kind, (k,) int64, at least 1."""
        return np.bincount(self.kinds, minlength=len(self.ids))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The kinds by decreasing share, ties by id, (k,) int64."""
        return np.argsort(-(self.counts if self.expected is None else self.shares), kind="stable")

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """The log of each kind's share of occurrences, (k,): observed, and averaged with what its rank predicts.

        The weights are inverse variances. Counts are Poisson, so the observed log share has variance 1 / count.
        """
        observed = np.log(self.counts / len(self.kinds))
        if self.expected is None:
            return observed
        return (self.counts * DOUBT * observed + self.expected) / (self.counts * DOUBT + 1)

    def ranked(self, reference: Coded) -> Coded:
        """Return the same evidence with `expected` shares: those of the phrases of the same rank in `reference`."""
        curve = np.log(np.sort(reference.counts)[::-1] / len(reference.kinds))
        beyond = curve[-1] - np.log(2)  # rarer than anything in the reference
        ranks = self.ids - N_SPECIAL
        expected = np.where(ranks < len(curve), curve[np.minimum(ranks, len(curve) - 1)], beyond)
        return Coded(self.kinds, self.ends, self.ids, expected)

    def hidden(self, rng: np.random.Generator) -> tuple[Coded, NDArray[np.int64]]:
        """Return the evidence with kinds renumbered at random, as under a secret order, and the new numbers (k,)."""
        order = rng.permutation(len(self.ids))
        places = np.argsort(order)
        return Coded(places[self.kinds], self.ends, self.ids[order]), places

    @cached_property
    def tells_ranks(self) -> bool:
        """Whether ids look like ranks: low ids are common, by more than in 99 of 100 random permutations."""
        if len(self.ids) < 3 or len(set(self.counts.tolist())) < 2:
            return False
        rho = float(np.corrcoef(_mid_ranks(self.counts), np.arange(len(self.ids)))[0, 1])  # Spearman's
        return rho * float(np.sqrt(len(self.ids) - 1)) < UNLIKELY

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each record starts in `kinds`, (r,) int64."""
        return np.append(0, self.ends[:-1])

    def framed(self, gap: int) -> NDArray[np.int64]:
        """Return `kinds` + 1 with `gap` zeros before, between and after the records."""
        lengths = self.ends - self.starts
        record = np.repeat(np.arange(len(lengths)), lengths)
        framed = np.zeros(len(self.kinds) + gap * (len(lengths) + 1), np.int64)
        framed[np.arange(len(self.kinds)) + gap * (record + 1)] = self.kinds + 1
        return framed


def _mid_ranks(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each count among all; equal counts share the middle of their ranks."""
    _, inverse, ties = np.unique(counts, return_inverse=True, return_counts=True)
    ends = np.cumsum(ties)
    ranks: NDArray[np.float64] = (ends - ties / 2)[inverse]
    return ranks
