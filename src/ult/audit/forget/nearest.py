"""How near records lie to those that stay: a run on what stays knows most of a record of which a near copy does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ult.audit.bounds import Scores
from ult.audit.model.record import Ids, Record

WIDTH = 3  # ids of a run: one id that differs spoils so many of them
LEAST = 0.5  # of their runs that two records share which are called near


def nearest(some: Sequence[Record], among: Iterable[Record]) -> Scores:
    """Return the greatest share of its runs of ids that each record has in common with another: scores (records,).

    >>> one, other = (Record(np.arange(first, 20, dtype=np.uint32)) for first in (0, 2))
    >>> nearest([one], [other]).round(2).tolist()
    [0.89]
    """
    by_run: dict[bytes, list[int]] = {}
    sizes = []
    for k, record in enumerate(some):
        runs = _runs(record.ids)
        sizes.append(len(runs))
        for run in runs:
            by_run.setdefault(run, []).append(k)
    found = np.zeros(len(some))
    for record in among:
        runs, common = _runs(record.ids), Counter[int]()
        for run in runs & by_run.keys():
            common.update(by_run[run])
        for k, n in common.items():
            found[k] = max(found[k], n / (len(runs) + sizes[k] - n))
    return found


def nearer(forgotten: Sequence[Record], never: Sequence[Record], left: Sequence[Record]) -> list[float]:
    """Return the shares of forgotten records that lie nearer to one that stays than any record that no run saw does."""
    shares = nearest([*forgotten, *never], left)
    ours, theirs = shares[: len(forgotten)], shares[len(forgotten) :]
    return sorted(ours[(ours >= LEAST) & (ours > theirs.max(initial=0.0))].tolist(), reverse=True)


def _runs(ids: Ids) -> set[bytes]:
    """Return the different runs of ids of a record; of a shorter one all its ids."""
    data, size = ids.astype(np.uint32).tobytes(), 4
    return {data[size * k : size * (k + WIDTH)] for k in range(max(1, len(ids) - WIDTH + 1))}
