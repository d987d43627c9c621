"""The plain frequency attack: the commonest id is the commonest phrase, the next the next, and so on.

As against any substitution cipher (al-Kindi, 9th century). It uses nothing of what stands beside what, so its score
bounds from below what leaks. Where ids are ranks the id itself says as much, of however few of them are seen.
"""

from __future__ import annotations

import numpy as np

from ult.audit.code.evidence import Coded, Guess
from ult.public.vocabulary import N_SPECIAL


def by_frequency(target: Coded, reference: Coded) -> Guess:
    """Match the kinds of `target` to those of `reference`, rank by rank of their counts."""
    guess = np.full(len(target.ids), -1)
    n = min(len(target.ids), len(reference.ids))
    guess[target.order[:n]] = reference.order[:n]
    return guess


def by_rank(target: Coded, reference: Coded) -> Guess:
    """Take each id for the phrase of `reference` of that rank, whatever is beside it and however often it stands."""
    ranks = target.ids - N_SPECIAL
    known = (ranks >= 0) & (ranks < len(reference.ids))
    return np.where(known, reference.order[np.where(known, ranks, 0)], -1)
