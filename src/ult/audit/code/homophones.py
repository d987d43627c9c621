"""Homophones: a code that writes a phrase by any of several ids, so that all are about as common.

The adversary spreads its own text over as many ids in the same way, which is public or can be guessed, matches those,
and then takes each id for the phrase whose neighbours are most like its own, however many ids that phrase gets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.cooccurrence import by_context, named_alike
from ult.audit.code.evidence import Coded, Guess

# Of neighbours named by the round before. The papers' code with 1,127 homophones, 1.1 M characters: 95.7 % before, then
# 99.4, 99.6, 99.4, 99.6 %; 125,000 characters: 62.3 %, then 90.9, 97.1, 97.4, 97.6 %.
ROUNDS = 4


def by_homophones(target: Coded, reference: Coded) -> Guess:
    """Match kinds of the target, of which several may mean the same, to those of the reference."""
    many, meant = spread(reference, len(target.ids), np.random.default_rng(0))
    guess = meant[by_context(target, many)]
    for _ in range(ROUNDS):
        guess = named_alike(target, reference, guess).argmax(1)
    return guess


def spread(coded: Coded, kinds: int, rng: np.random.Generator) -> tuple[Coded, NDArray[np.int64]]:
    """Return the code with `kinds` kinds, drawn at each occurrence, and what each of them means.

    One at a time goes to the kind whose own are then the commonest.
    """
    homophones = np.ones(len(coded.ids), np.int64)
    for _ in range(kinds - len(coded.ids)):
        homophones[np.argmax(coded.counts / homophones)] += 1
    firsts = np.cumsum(homophones) - homophones
    drawn = firsts[coded.kinds] + (rng.random(len(coded.kinds)) * homophones[coded.kinds]).astype(np.int64)
    seen, drawn = np.unique(drawn, return_inverse=True)
    meant = np.repeat(np.arange(len(coded.ids)), homophones)[seen]
    return Coded(drawn, coded.ends, seen), meant
