"""Building blocks of the matching attacks, from SciPy: counts of neighbours, and the best assignment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.host.extras import require
from ult.host.kernel import njit

with require("scipy", extra="audit"):
    from scipy.optimize import linear_sum_assignment, quadratic_assignment
    from scipy.sparse import csr_matrix


_COUNTED = 2**21  # places whose neighbours are counted at once, in some 50 MB
MOST = 3072  # the most kinds (the commonest) that are matched at once; the work grows with their cube


def assign(similarity: NDArray[Any]) -> Guess:
    """Return the one-to-one assignment of rows to columns with the largest sum, (rows,); -1 for rows left over."""
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    guess = np.full(len(similarity), -1)
    guess[rows] = columns
    return guess


def align_graphs(first: NDArray[Any], second: NDArray[Any], start: Guess) -> Guess:
    """Return a permutation of the nodes of `second` (n, n) that aligns it with `first` (n, n), starting from `start`.

    Uses SciPy's fast approximate quadratic assignment (FAQ; Vogelstein et al., PLOS ONE 2015). The search starts half
    way between `start` and the uniform (uninformed) assignment.
    """
    n = len(first)
    begin = np.full((n, n), 0.5 / n)
    begin[np.arange(n), start] += 0.5
    result = quadratic_assignment(
        first, second, method="faq", options={"maximize": True, "P0": begin, "rng": np.random.default_rng(0)}
    )
    guess: Guess = result.col_ind
    return guess


def neighbours(coded: Coded, distances: range) -> list[Any]:
    """Return counts of what follows and of what precedes each kind at each distance: sparse (1 + k, 1 + k), float32.

    Row and column 0 stand for the edge of a record, which an adversary sees too.
    """
    framed, size = coded.framed(distances[-1]), len(coded.ids) + 1
    matrices = []
    for distance in distances:
        after = csr_matrix((size, size), dtype=np.float32)
        for first in range(0, len(framed) - distance, _COUNTED):
            stop = min(first + _COUNTED, len(framed) - distance)
            here, there = framed[first:stop], framed[first + distance : stop + distance]
            inside = (here > 0) | (there > 0)
            here, there = here[inside], there[inside]
            after += csr_matrix((np.ones(len(here), np.float32), (here, there)), shape=(size, size))
        matrices += [after, after.T.tocsr()]
    return matrices


def add_products(sums: NDArray[np.float32], first: Any, second: Any, more: NDArray[np.float32], weight: float) -> None:
    """Add to `sums` (n, m) the inner products of the rows of two sparse matrices (n, k) and (m, k), with `more` (n, m).

    All are float32 and weighted by `weight`. Few rows share a column, and only these are multiplied: SciPy's product
    with a dense matrix takes ten times as long, and that of two sparse ones builds a third.
    """
    by_column = second.tocsc()
    few = (first.indptr, first.indices, first.data, by_column.indptr, by_column.indices, by_column.data)
    _add_products(sums, *few, more, np.float32(weight))


@njit(cache=True)
def _add_products(
    sums: NDArray[np.float32],
    ends: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    others_ends: NDArray[np.int32],
    rows: NDArray[np.int32],
    others: NDArray[np.float32],
    more: NDArray[np.float32],
    weight: np.float32,
) -> None:
    row = np.empty(sums.shape[1], np.float32)
    for i in range(len(ends) - 1):
        row[:] = 0
        for at in range(ends[i], ends[i + 1]):
            value = values[at]
            for j in range(others_ends[columns[at]], others_ends[columns[at] + 1]):
                row[rows[j]] += value * others[j]
        for j in range(len(row)):
            sums[i, j] += weight * (row[j] + more[i, j])
