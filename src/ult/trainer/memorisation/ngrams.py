"""The share of a text's n-grams that a model wrote again. It rises before whole passages are recited."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (4, 5, 6)


def memorised(written: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the share of the n-grams of `true` (n,) that `written` (m,) holds, averaged over n in `SIZES`.

    This is the score of Slack and Al Moubayed (TACL 2025) for a greedy continuation and the true one. A size above the
    length of `true` is left out; without any size the score is 0.

    >>> memorised(np.arange(8), np.arange(2, 8)), memorised(np.arange(8), np.arange(5, 11))
    (1.0, 0.0)
    """
    shares = []
    for size in (size for size in SIZES if size <= len(true)):
        held = {part.tobytes() for part in _parts(written, size)}
        shares.append(np.mean([part.tobytes() in held for part in _parts(true, size)]))
    return float(np.mean(shares)) if shares else 0.0


def _parts(ids: NDArray[Any], size: int) -> list[NDArray[np.int64]]:
    array = np.asarray(ids, np.int64)
    return [array[k : k + size] for k in range(len(array) - size + 1)]
