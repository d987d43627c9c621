"""Bigram graph matching: the matrix of who follows whom, of the target, is laid over that of the reference."""

from __future__ import annotations

import numpy as np

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import align_graphs, neighbours
from ult.audit.code.position import by_position

LARGEST = 384  # kinds, the commonest of either side; each step costs their cube


def by_graph(target: Coded, reference: Coded) -> Guess:
    """Refine what positions say by the bigrams of the commonest kinds; the others stay as positions say."""
    guess = by_position(target, reference)
    n = min(LARGEST, len(target.ids), len(reference.ids))
    rows, columns = target.order[:n], reference.order[:n]
    first, second = (
        np.sqrt(neighbours(coded, range(1, 2))[0][kinds + 1][:, kinds + 1].toarray() / len(coded.kinds))
        for coded, kinds in ((target, rows), (reference, columns))
    )
    found = columns[align_graphs(first, second, _start(guess[rows], columns))]
    guess[np.isin(guess, columns)] = -1  # each is somebody's now
    guess[rows] = found
    return guess


def _start(guess: Guess, columns: Guess) -> Guess:
    """Return `guess` as places in `columns`, a permutation: what lies outside takes the places left, in order."""
    place = {column: k for k, column in enumerate(columns.tolist())}
    start = np.array([place.get(kind, -1) for kind in guess.tolist()])
    start[start < 0] = np.setdiff1d(np.arange(len(columns)), start)
    return start
