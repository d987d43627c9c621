"""What noisy counts of columns and of pairs say together. No record is looked at here.

What a pair has beyond its columns is shrunk as a whole. Shrinking its singular values (arXiv:1405.7511), and keeping
slow waves of bins alone, were tried on adult and on bank at epsilon 1 and 3, and made nothing better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ult.codecs.record.field import Field
from ult.synth.marginals.column import Column, Floats
from ult.synth.marginals.persons import Persons

ROUNDS = 30  # of proportional fitting
LEAST = 1e-9
STRAYS = 3.0  # deviations of the noise from which on cells are there that were not declared


@dataclass(frozen=True)
class Pair:
    """Noisy counts (classes of `first`, classes of `second`) of two columns; `noise` is their deviation."""

    first: int
    second: int
    counts: Floats
    noise: float


@dataclass(frozen=True)
class Measured:
    """All that is known of the records; `noise` is the deviation of the counts of `columns`."""

    records: int
    columns: tuple[Column, ...]
    noise: float
    pairs: tuple[Pair, ...]
    persons: Persons | None = None  # if records are persons with several rows

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        pairs = [[one.first, one.second, one.counts.tolist(), one.noise] for one in self.pairs]
        columns = [one.document() for one in self.columns]
        persons = self.persons and [self.persons.sizes, self.persons.stays]
        return {"records": self.records, "columns": columns, "noise": self.noise, "pairs": pairs, "persons": persons}

    @classmethod
    def read(cls, told: dict[str, Any], fields: Sequence[Field]) -> Measured:
        """Return what a document says of such fields."""
        columns = tuple(Column.read(*one) for one in zip(fields, told["columns"], strict=True))
        pairs = tuple(Pair(a, b, np.array(counts, float), noise) for a, b, counts, noise in told["pairs"])
        persons = told["persons"] and Persons(*map(tuple, told["persons"]))
        return cls(told["records"], columns, told["noise"], pairs, persons)


class Known:
    """What noisy counts say of each column, and of each pair that was counted."""

    def __init__(self, n: int, columns: Sequence[Column], noise: float, pairs: Sequence[Pair]) -> None:
        self.n, self.columns = n, columns
        self.alone = [self._alone(k, column, noise, pairs) for k, column in enumerate(columns)]
        self.pairs: dict[tuple[int, int], Floats] = {}
        for one in pairs:
            alone = self.alone[one.first], self.alone[one.second]
            found = shrunk(fitted(one.counts, *alone), *alone, one.noise)
            self.pairs[one.first, one.second], self.pairs[one.second, one.first] = found, found.T

    def _alone(self, k: int, column: Column, noise: float, pairs: Sequence[Pair]) -> Floats:
        """Return how many records have each class, by all that was counted, each by how little noise it has."""
        said, weight = np.zeros(column.classes), np.zeros(column.classes)
        many = len(column.atoms)
        if any(column.counts) and noise:
            said[:many], weight[:many] = np.array(column.counts) / noise**2, 1 / noise**2
        if column.bins:  # those of quantiles have equal counts, or nearly so
            share = max(self.n - sum(column.counts), 1.0) / column.bins
            said[many:-1], weight[many:-1] = 1 / share, 1 / share**2
        for one in pairs:
            if k in (one.first, one.second):
                other = 1 if one.first == k else 0
                precision = 1 / (one.counts.shape[other] * one.noise**2)
                said += one.counts.sum(other) * precision
                weight += precision
        found = np.divide(said, weight, out=np.zeros_like(said), where=weight > 0)
        if column.closed and found[-1] * weight[-1] ** 0.5 < STRAYS:
            found[-1] = -self.n  # what was not declared is not there, as far as noise tells
        return projected(found, self.n)

    def expected(self, one: int, other: int) -> Floats:
        """Return the counts of two columns as far as they are known: as both go with the label, or apart."""
        if (0, one) in self.pairs and (0, other) in self.pairs:
            label = np.maximum(self.alone[0], LEAST)
            return np.asarray(self.pairs[one, 0] / label @ self.pairs[0, other])
        return np.outer(self.alone[one], self.alone[other]) / self.n


def projected(counts: Floats, total: float) -> Floats:
    """Return the nearest counts that are not negative and sum up to `total`.

    >>> projected(np.array([5.0, -1.0, 2.0]), 4.0)
    array([3.5, 0. , 0.5])
    """
    falling = np.sort(counts)[::-1]
    over = (np.cumsum(falling) - total) / np.arange(1, len(counts) + 1)
    return np.asarray(np.maximum(counts - over[np.flatnonzero(falling > over)[-1]], 0))


def shrunk(counts: Floats, rows: Floats, columns: Floats, noise: float) -> Floats:
    """Return the counts of a pair, nearer to those of columns apart by how much of the difference is noise.

    That is the estimator of James and Stein.

    >>> shrunk(np.array([[30.0, 20.0], [20.0, 30.0]]), np.array([50.0, 50.0]), np.array([50.0, 50.0]), noise=5.0)
    array([[28.75, 21.25],
           [21.25, 28.75]])
    """
    apart = np.outer(rows, columns) / max(rows.sum(), LEAST)
    free = max(int((rows > 0).sum()) - 1, 1) * max(int((columns > 0).sum()) - 1, 1)
    beyond = counts - apart
    return np.asarray(apart + max(0.0, 1 - noise**2 * free / max((beyond**2).sum(), LEAST)) * beyond)


def fitted(counts: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return the counts of a pair with the sums that are known of both of its columns, none negative."""
    found = np.maximum(counts, LEAST)
    for _ in range(ROUNDS):
        found = found * (rows / np.maximum(found.sum(1), LEAST))[:, None]
        found = found * (columns / np.maximum(found.sum(0), LEAST))
    return found
