"""Test the promise of the edges of bins by learning them many times, with one record and without it.

Each trial runs what `ult fit --epsilon` runs: cells are read as numbers, one of each record counts, and edges are drawn
at the stated share of epsilon. The record is a worst case: it has more rows than count, and all its numbers are above
every edge, so that it lies on one side of each draw that it takes part in. The others are spread evenly over one power
of ten, in which the edges are then drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from ult.audit.mechanism import claims
from ult.codecs.record.field import Field
from ult.owner.private_bins import SHARE, learnt

_BINS, _ROWS = 16, 12
_FIELDS = (Field(name="rows", kind="rows", fields=(Field(name="value", kind="number", exponent=True),)),)
_TOP = "9e20"
_OTHERS = [(((f"{10 + 0.45 * k:.2f}",),),) for k in range(200)]
_RECORD = (((_TOP,),) * _ROWS,)
_DELTA = SHARE * 0.9 / (1 + len(_OTHERS))  # the largest share that a promise to so few records can have


def rebin(epsilon: float, *, trials: int, miss: float, advance: Callable[[int], None]) -> dict[str, Any]:
    """Return, as JSON values, whether `trials` of each kind refute that edges cost `epsilon`.

    `advance(n)` is called for each n finished trials. Raises `InvalidConfig`.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(trials):
        for whole, seen in found.items():
            records = [*_OTHERS, _RECORD] if whole else _OTHERS
            made = learnt(_FIELDS, [records], bins=_BINS, epsilon=epsilon / SHARE, delta=_DELTA / SHARE)
            seen.append(_score(made.fields[0].fields[0].edges))
        advance(len(found))
    spread = np.array(found[True] + found[False])
    unit = epsilon / max(1.0, float(np.abs(spread).max()))  # of a draw, as only the order of outcomes counts
    scores, without = unit * np.array(found[True]), unit * np.array(found[False])
    claimed = claims.alike("edges of bins", scores, without, epsilon, _DELTA, miss=miss)
    about = {"epsilon": epsilon, "delta": _DELTA, "bins": _BINS, "records": 1 + len(_OTHERS)}
    return {"mechanism": "bins", **about, "claims": [claimed]}


def _score(edges: tuple[str, ...]) -> float:
    """Return in how many more of the draws above which the record lies the edge is high rather than low.

    A draw is high if more of the others that it parts are below the edge than above it.
    """
    left = sorted(Decimal(record[0][0][0]) for record in _OTHERS)
    total, low, high = 0, 0, len(edges)
    while low < high:
        edge = Decimal(edges[(low + high) // 2])  # that of the draw which parts what lies above the last one
        under = sum(one < edge for one in left)
        total += 1 if 2 * under > len(left) else -1
        left, low = left[under:], (low + high) // 2 + 1
    return float(total)
