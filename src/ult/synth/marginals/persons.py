"""Persons who have several rows: each counts as one in all, with few of its rows, and equal parts of one for each.

At most `MOST` of a person's rows count, neighbours of each other, which are drawn at random. Of m rows each counts with
one m-th, so that no person changes any histogram by more than 1, whatever its rows hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.privacy.randomness import Draw
from ult.synth.marginals.column import Cell

MOST = 8
WHOLE = math.lcm(*range(1, MOST + 1))  # parts of a person, so that each row counts with a whole number of them

Row = Sequence[Cell]
Person = Sequence[Row]


class Rows(NamedTuple):
    """Rows that count, and with how many parts of `whole` each does."""

    cells: Sequence[Row]
    parts: Sequence[int]
    whole: int


@dataclass(frozen=True)
class Persons:
    """Noisy counts: of persons with 1, 2, .. rows, the last also with more, and of cells that are as in the row before.

    `sizes` has `MOST` counts. `stays` has one for each column that is not the same in all rows of a person, by persons
    with several rows.
    """

    sizes: tuple[float, ...]
    stays: tuple[float, ...]


def drawn(persons: Sequence[Person], draw: Draw) -> Iterator[Person]:
    """Yield the rows of each person that count."""
    for person, at in zip(persons, draw.random(len(persons)).tolist(), strict=True):
        first = int(at * (max(len(person) - MOST, 0) + 1))
        yield person[first : first + MOST]


def rows_of(persons: Iterable[Person]) -> Rows:
    """Return the rows of persons, with equal parts of each person."""
    found = [(row, WHOLE // len(person)) for person in persons for row in person]
    return Rows([row for row, _ in found], [parts for _, parts in found], WHOLE)


def followed(persons: Iterable[Person], fixed: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many persons have 1, 2, .. rows, and how often cells of `width` columns are as in the row before.

    The first `fixed` columns are left out, as all rows of a person are the same there. A person with several rows
    counts as one for each column.
    """
    sizes, stays = np.zeros(MOST, np.int64), np.zeros(width - fixed, np.int64)
    for person in persons:
        sizes[len(person) - 1] += 1
        for before, row in itertools.pairwise(person):
            same = [one == other for one, other in zip(before[fixed:], row[fixed:], strict=True)]
            stays += np.array(same, np.int64) * (WHOLE // (len(person) - 1))
    return sizes.astype(float), stays / WHOLE
