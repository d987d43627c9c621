"""Exposure: how far a run betrays planted canaries (Carlini et al. 2019, The Secret Sharer).

A canary is one of |R| = 10^8 that there could be. Its exposure is log2 |R| less log2 of its rank among all of them by
probability, in bits: some 1.44 on average if the run knows nothing of it, log2 |R| if it is the likeliest of all. The
rank is told from a sample of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.audit.model.predicted import predict_ids
from ult.errors import InvalidConfig, WrongTable
from ult.host.extras import require
from ult.owner.canaries import SPACE, canary, secret_digits
from ult.owner.table import Table
from ult.public.run import Run
from ult.trainer.models.load import load_trained

with require("scipy", extra="audit"):
    from scipy import stats

ALTERNATIVES = 1000  # canaries of the same name that were not planted, to compare each with


def exposure(
    run: Run,
    table: Table,
    n: int,
    *,
    alternatives: int = ALTERNATIVES,
    seed: int = 0,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda records: None,
) -> dict[str, Any]:
    """Return, as JSON values, the exposure of the first `n` canaries of a table under a run trained on its shards.

    Raises `WrongTable` or `InvalidConfig`.
    """
    if table.fingerprint not in run.tables:
        raise WrongTable(
            f"{run.path} was trained on shards of table {', '.join(sorted(run.tables))}; this one is "
            f"{table.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    if alternatives < 10:
        raise InvalidConfig(f"alternatives is {alternatives}; expected at least 10")
    rng, model, losses = np.random.default_rng(seed), load_trained(run), []
    for name, digits in enumerate(secret_digits(table, n)):
        drawn = rng.choice(SPACE - 1, alternatives, replace=False)
        many = [digits, *(drawn + (drawn >= digits)).tolist()]
        ids = table.encode_batch([canary(name, other) for other in many])
        # All begin alike, which costs them alike; and they are short, so that many take no more memory than records.
        alike = _alike(ids)
        together = max(batch_size, batch_size * run.context // (4 * max(map(len, ids))))
        options: dict[str, Any] = {"modality": "text", "batch_size": together, "model": model, "advance": advance}
        losses.append(-predict_ids(run, ids, moments=False, given=alike, **options).totals)
    return rate(np.array(losses))


def _alike(many: Sequence[NDArray[np.uint32]]) -> int:
    """Return how many first ids all records share."""
    length = min(map(len, many))
    same = (np.stack([ids[:length] for ids in many]) == many[0][:length]).all(0)
    return int(np.argmin(np.append(same, False)))


def rate(losses: NDArray[np.float64]) -> dict[str, Any]:
    """Return the exposure of canaries by their losses (canaries, 1 + alternatives) in nats, each canary's own first.

    `interpolated` ranks a canary among its alternatives and itself, so it is at most `most` bits; `extrapolated` reads
    the rank off a skew normal fitted to the alternatives, at most log2 |R|, and `fit` is the p-value of Kolmogorov and
    Smirnov's test of that fit. `p_value` is how probable exposures of this sum are if nothing was memorised: sums of
    exponential deviates, as are their `chance_interval`s for the mean (95 %).
    """
    own, others = losses[:, 0], losses[:, 1:]
    n, most = len(own), math.log2(losses.shape[1])
    inner = most - np.log2(1 + (others < own[:, None]).sum(1) + (others == own[:, None]).sum(1) / 2)
    with np.errstate(all="ignore"):  # of tails that a float does not hold, which `most` bounds
        fits = [stats.skewnorm.fit(row) for row in others]
        tails = [-stats.skewnorm.logcdf(x, *fit) / math.log(2) for x, fit in zip(own, fits, strict=True)]
        right = [stats.kstest(row, stats.skewnorm(*fit).cdf).pvalue for row, fit in zip(others, fits, strict=True)]
    outer = np.nan_to_num(np.array(tails), nan=math.log2(SPACE), posinf=math.log2(SPACE)).clip(0, math.log2(SPACE))
    return {
        "space": SPACE,
        "alternatives": losses.shape[1] - 1,
        "most": most,
        "interpolated": inner.tolist(),
        "interpolated_mean": float(inner.mean()),
        "extrapolated": outer.tolist(),
        "extrapolated_mean": float(outer.mean()),
        "fit": [float(p) for p in right],
        "chance_mean": most - float(np.log2(np.arange(1, losses.shape[1] + 1)).mean()),
        "chance_interval": chance_interval(n),
        "p_value": float(stats.gamma.sf(inner.sum() * math.log(2), n)),
    }


def chance_interval(n: int, miss: float = 0.05) -> list[float]:
    """Return where the mean exposure of `n` canaries lies if a run knows nothing of them, in bits."""
    ends: ArrayLike = stats.gamma.ppf([miss / 2, 1 - miss / 2], n) / n / math.log(2)
    return [float(end) for end in np.asarray(ends)]
