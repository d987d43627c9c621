"""Match ids by aligning the bigram graph of the target with that of the reference."""

from __future__ import annotations

import numpy as np

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import align_graphs, neighbours
from ult.audit.code.position import by_position

LARGEST = 384  # the most kinds (the commonest) of either side; each step costs their cube


def by_graph(target: Coded, reference: Coded) -> Guess:
    """Refine the guess of `by_position` for the commonest kinds by their bigrams; keep it for the others."""
    guess = by_position(target, reference)
    n = min(LARGEST, len(target.ids), len(reference.ids))
    rows, columns = target.order[:n], reference.order[:n]
    first, second = (
        np.sqrt(neighbours(coded, range(1, 2))[0][kinds + 1][:, kinds + 1].toarray() / len(coded.kinds))
        for coded, kinds in ((target, rows), (reference, columns))
    )
    aligned = columns[align_graphs(first, second, _start(guess[rows], columns))]
    guess[np.isin(guess, columns)] = -1  # these are assigned to the commonest kinds now
    guess[rows] = aligned
    return guess


def _start(guess: Guess, columns: Guess) -> Guess:
    """Return `guess` as indices into `columns`, a permutation; guesses outside take the unused indices in order."""
    place = {column: k for k, column in enumerate(columns.tolist())}
    start = np.array([place.get(kind, -1) for kind in guess.tolist()])
    start[start < 0] = np.setdiff1d(np.arange(len(columns)), start)
    return start
