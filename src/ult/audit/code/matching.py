"""What the matching attacks share: who stands beside whom, and the best assignment. The one door to SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy.optimize import linear_sum_assignment, quadratic_assignment
    from scipy.sparse import csr_matrix


MOST = 3072  # kinds that are matched at once, the commonest: the work grows with their cube


def assign(similarity: NDArray[Any]) -> Guess:
    """Return, for each row, a column of its own so that the sum is greatest; -1 for rows left over."""
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    guess = np.full(len(similarity), -1)
    guess[rows] = columns
    return guess


def align_graphs(first: NDArray[Any], second: NDArray[Any], start: Guess) -> Guess:
    """Return for each row of `first` (n, n) one of `second` (n, n), so that their entries agree best, from `start`.

    Fast approximate quadratic assignment (FAQ; Vogelstein et al., PLOS ONE 2015), as SciPy has it. It climbs from
    half way between `start` and no guess at all.
    """
    n = len(first)
    begin = np.full((n, n), 0.5 / n)
    begin[np.arange(n), start] += 0.5
    found = quadratic_assignment(
        first, second, method="faq", options={"maximize": True, "P0": begin, "rng": np.random.default_rng(0)}
    )
    guess: Guess = found.col_ind
    return guess


def neighbours(coded: Coded, distances: range) -> list[Any]:
    """Return who follows and who precedes each kind at each distance: sparse (1 + k, 1 + k) counts, float32.

    Row and column 0 are the edge of a record, which an attacker sees as well as the owner does.
    """
    framed, size = coded.framed(distances[-1]), len(coded.ids) + 1
    found = []
    for distance in distances:
        here, there = framed[:-distance], framed[distance:]
        inside = (here > 0) | (there > 0)
        here, there = here[inside], there[inside]
        after = csr_matrix((np.ones(len(here), np.float32), (here, there)), shape=(size, size))
        found += [after, after.T.tocsr()]
    return found
