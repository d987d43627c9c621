"""Frequency analysis: the commonest id is guessed to be the commonest phrase, and so on.

It is the classic attack on substitution ciphers (al-Kindi, 9th century). It ignores context, so its score is a lower
bound on what leaks. Where ids are ranks, the id itself gives the rank, however few ids are seen.
"""

from __future__ import annotations

import numpy as np

from ult.audit.code.evidence import Coded, Guess
from ult.public.vocabulary import N_SPECIAL


def by_frequency(target: Coded, reference: Coded) -> Guess:
    """Match the kinds of `target` with those of `reference` by the rank of their counts."""
    guess = np.full(len(target.ids), -1)
    n = min(len(target.ids), len(reference.ids))
    guess[target.order[:n]] = reference.order[:n]
    return guess


def by_rank(target: Coded, reference: Coded) -> Guess:
    """Match each id, taken as a rank, with the kind of that rank in `reference`, ignoring counts and context."""
    ranks = target.ids - N_SPECIAL
    known = (ranks >= 0) & (ranks < len(reference.ids))
    return np.where(known, reference.order[np.where(known, ranks, 0)], -1)
