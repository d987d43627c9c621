"""How many ids a record has: what the context of the training is chosen by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ult.privacy.choose import chosen
from ult.public.shards import Shards
from ult.synth.plan import CONTEXTS, LONGER


def lengths(shards: Shards) -> NDArray[np.int64]:
    """Return how many ids (n,) each record has, the end of it included."""
    return np.array([len(ids) + 1 for ids in shards.ids()], np.int64)


def private_context(found: NDArray[np.int64], epsilon: float) -> int:
    """Return a context that few of the records are longer than, drawn at a cost of `epsilon`.

    The next greater one is worth it for a share `LONGER` of the records. One record more or less changes how many are
    longer than a context by at most 1; the number of all is public.
    """
    step = math.ceil(LONGER * len(found))
    return CONTEXTS[chosen([int((found > one).sum()) + k * step for k, one in enumerate(CONTEXTS)], epsilon)]


def plain_context(found: NDArray[np.int64]) -> int:
    """Return the least context that no record is longer than, or the greatest."""
    longest = int(found.max(initial=1))
    return next((one for one in CONTEXTS if one >= longest), CONTEXTS[-1])
