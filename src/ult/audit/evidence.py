"""What an attack on a code sees: ids of records, numbered from 0, without a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig

PUBLIC = "public data"  # what an attacker knows who has nothing of the owner's but what is released
BEFORE = "the run that it started from, and that run's table"  # public where that run is
Guess = NDArray[np.int64]  # (kinds of the target,): the kind of the reference that each is taken for, or -1


@dataclass(frozen=True)
class Coded:
    """Records as kinds: `kinds` (n,) int64 are the distinct ids in the order of their values, numbered from 0.

    `ends` (r,) says where each record ends in them, `ids` (k,) which id each kind is.
    """

    kinds: NDArray[np.int64]
    ends: NDArray[np.int64]
    ids: NDArray[np.int64]

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
        """The kinds by falling count, equal ones by their id."""
        return np.argsort(-self.counts, kind="stable")

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
