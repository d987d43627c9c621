"""Match the ids of series by order: successive values are close, so the ids of levels can be arranged on a line.

The adversary sorts the target's ids and its own by the Fiedler vector of their bigram graphs (Atkins, Boman and
Hendrickson, "A spectral algorithm for seriation", 1998), and matches equal quantiles of both orders. Of the two
directions of an order, the one that fits the bigrams better is chosen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import neighbours


def by_order(target: Coded, reference: Coded) -> Guess:
    """Match kinds by the quantiles of their order on the line."""
    line, other = layout(target), layout(reference)
    guesses = [_quantiles(target, each, reference, other) for each in (line, line[::-1])]
    return max(guesses, key=lambda guess: _fit(target, reference, guess))


def layout(coded: Coded) -> NDArray[np.int64]:
    """Return the kinds in the order of the line, (k,) int64, in either direction."""
    beside = neighbours(coded, range(1, 2))[0].toarray()[1:, 1:].astype(np.float64)
    beside += beside.T + 1e-9  # so that the graph is connected
    scale = 1 / np.sqrt(beside.sum(1))
    vectors = np.linalg.eigh(scale[:, None] * beside * scale)[1]
    order: NDArray[np.int64] = np.argsort(vectors[:, -2] * scale, kind="stable")
    return order


def _quantiles(target: Coded, line: NDArray[np.int64], reference: Coded, other: NDArray[np.int64]) -> Guess:
    """Match each kind with the kind of the reference at the same quantile, that of the middle of its share."""
    shares, others = target.counts[line] / len(target.kinds), reference.counts[other] / len(reference.kinds)
    place = np.searchsorted(np.cumsum(others), np.cumsum(shares) - shares / 2)
    guess = np.empty(len(line), np.int64)
    guess[line] = other[np.minimum(place, len(other) - 1)]
    return guess


def _fit(target: Coded, reference: Coded, guess: Guess) -> float:
    """Return how well the bigram counts under the guess, record edges included, agree with the reference's."""
    after, theirs = (neighbours(coded, range(1, 2))[0].toarray() for coded in (target, reference))
    size, places = len(theirs), np.append(0, guess + 1)
    said = np.bincount((places[:, None] * size + places).ravel(), after.ravel(), minlength=size * size)
    return float(np.sqrt(said) @ np.sqrt(theirs.ravel()))
