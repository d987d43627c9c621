"""The plain frequency attack: the commonest id is the commonest phrase, the next the next, and so on.

The adversary holds shards and other data of the same kind, and knows the codec, but not the table. It fits a table of
its own on its data and matches ranks to ranks, as against any substitution cipher (al-Kindi, 9th century). This is
the weakest attack on a code, so its score bounds from below what leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.errors import CorruptSymbols, InvalidConfig
from ult.table import Table
from ult.vocabulary import N_SPECIAL


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an attack recovered; each share is from 0 to 1, and higher is worse for the owner.

    `n` occurrences of `types` different ids were attacked. `occurrences` and `distinct` are the shares of them whose
    phrase was guessed exactly. `blind` is the share of occurrences that one guess for all, the adversary's commonest
    phrase, gets right; `ceiling` the share whose phrase the adversary's table holds at all.
    """

    n: int
    types: int
    occurrences: float
    distinct: float
    blind: float
    ceiling: float


def frequency_attack(ids: Sequence[NDArray[np.uint32]], *, known: Table, truth: Table) -> Recovered:
    """Match the ranks of `ids` (n,) each to those of `known`, the adversary's own table, and score by `truth`.

    `truth`, the table that encoded, serves the score alone. A guess is right if the phrases are the same symbols.
    Ids that occur equally often are taken in the order of the ids. Raises `InvalidConfig` if the tables are of
    different codecs or there are no ids, `CorruptSymbols` if an id is none of `truth`.
    """
    if (known.codec.id, known.codec.config()) != (truth.codec.id, truth.codec.config()):
        raise InvalidConfig(
            f"the tables are of codecs {known.codec.id} {known.codec.config()} and "
            f"{truth.codec.id} {truth.codec.config()}; expected the same"
        )
    counts = _counts(ids, truth)
    seen = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    secret, guesses = phrases(truth), phrases(known)
    uses = counts[seen]
    right = np.array([i < len(guesses) and guesses[i] == secret[rank] for i, rank in enumerate(seen)])
    total, held = int(uses.sum()), set(guesses)
    return Recovered(
        n=total,
        types=len(seen),
        occurrences=float(uses[right].sum() / total),
        distinct=float(right.mean()),
        blind=float(uses[[secret[rank] == guesses[0] for rank in seen]].sum() / total),
        ceiling=float(uses[[secret[rank] in held for rank in seen]].sum() / total),
    )


def phrases(table: Table) -> list[bytes]:
    """Return the symbols of each rank, as bytes that can be compared."""
    return [spelled.tobytes() for spelled in table.spellings()]


def _counts(ids: Sequence[NDArray[np.uint32]], truth: Table) -> NDArray[np.int64]:
    flat = np.concatenate([np.empty(0, np.uint32), *ids]).astype(np.int64)
    if not len(flat):
        raise InvalidConfig("there are no ids to attack")
    if not N_SPECIAL <= int(flat.min()) <= int(flat.max()) < truth.size:
        raise CorruptSymbols(f"an id is special or outside the table; expected {N_SPECIAL} to {truth.size - 1}")
    return np.bincount(flat - N_SPECIAL, minlength=truth.size - N_SPECIAL)
