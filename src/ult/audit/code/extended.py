"""Read the ids that a table takes over of a public one: whoever has that table knows them, and guesses the others."""

from __future__ import annotations

import numpy as np

from ult.audit.code.adversary import Adversary
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.owner.bpe.extended import Base
from ult.public.vocabulary import N_SPECIAL

PUBLIC_TABLE = "public table"


def by_public_table(target: Coded, adversary: Adversary, base: Base) -> tuple[list[bytes | None], set[bytes]]:
    """Return the phrase guessed for each kind of `target`, and all phrases of the public table.

    The table of `adversary` extends `base` as the owner's does, so these ids say the same under both. Ids that are the
    owner's own are matched by their neighbours, of which most are known.
    """
    spelled = adversary.spelled[: base.ids]
    ranks = target.ids - N_SPECIAL
    place = {rank: kind for kind, rank in enumerate(adversary.known_ranks)}
    seeds = np.array([place.get(rank, -1) if rank < base.ids else -1 for rank in ranks.tolist()])
    named = adversary.named(by_context(target, adversary.reference, seeds))
    known = [spelled[rank] if rank < base.ids else guess for rank, guess in zip(ranks.tolist(), named, strict=True)]
    return known, set(spelled)
