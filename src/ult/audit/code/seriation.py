"""Order: ids of a series that follow one another lie near one another, so a code of levels can be laid out on a line.

The adversary lays out the target's ids and its own by who follows whom (the Fiedler vector of that graph, as in
Atkins, Boman and Hendrickson, "A spectral algorithm for seriation", 1998), and matches equal shares of both lines: the
histogram of the values. A line has two ends; the one that fits the bigrams better is taken first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import neighbours


def by_order(target: Coded, reference: Coded) -> Guess:
    """Match kinds by their place on the line that neighbours lay out, share by share."""
    line, other = layout(target), layout(reference)
    guesses = [_quantiles(target, each, reference, other) for each in (line, line[::-1])]
    return max(guesses, key=lambda guess: _fit(target, reference, guess))


def layout(coded: Coded) -> NDArray[np.int64]:
    """Return the kinds in the order of the line, from either end."""
    beside = neighbours(coded, range(1, 2))[0].toarray()[1:, 1:].astype(np.float64)
    beside += beside.T + 1e-9  # so that no kind stands apart
    scale = 1 / np.sqrt(beside.sum(1))
    vectors = np.linalg.eigh(scale[:, None] * beside * scale)[1]
    order: NDArray[np.int64] = np.argsort(vectors[:, -2] * scale, kind="stable")
    return order


def _quantiles(target: Coded, line: NDArray[np.int64], reference: Coded, other: NDArray[np.int64]) -> Guess:
    """Take each kind for the one of the reference that holds the middle of its share."""
    shares, others = target.counts[line] / len(target.kinds), reference.counts[other] / len(reference.kinds)
    place = np.searchsorted(np.cumsum(others), np.cumsum(shares) - shares / 2)
    guess = np.empty(len(line), np.int64)
    guess[line] = other[np.minimum(place, len(other) - 1)]
    return guess


def _fit(target: Coded, reference: Coded, guess: Guess) -> float:
    """Return how well the shares of bigrams, and of first and last ids, of the guess agree with the reference's."""
    after, theirs = (neighbours(coded, range(1, 2))[0].toarray() for coded in (target, reference))
    size, places = len(theirs), np.append(0, guess + 1)
    said = np.bincount((places[:, None] * size + places).ravel(), after.ravel(), minlength=size * size)
    return float(np.sqrt(said) @ np.sqrt(theirs.ravel()))
