"""Exposure: how well a run has memorised planted canaries (Carlini et al. 2019, The Secret Sharer).

A canary is drawn from a space of |R| = 10^8 possible ones. Its exposure is log2 |R| - log2(rank), in bits, where rank
is its rank among all of them by probability: some 1.44 on average if the run knows nothing of it, log2 |R| if it is the
likeliest of all. The rank is estimated from a sample of alternatives.
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
from ult.owner.canaries import SPACE, canary_record, secret_digits
from ult.owner.table import Table
from ult.public.run import Run
from ult.trainer.models.embeddings import Model
from ult.trainer.models.together import load_predictor

with require("scipy", extra="audit"):
    from scipy import stats

ALTERNATIVES = 1000  # canaries of the same name that were not planted, with which each is compared


def exposure(
    run: Run,
    table: Table,
    n: int | Sequence[int],
    *,
    alternatives: int = ALTERNATIVES,
    seed: int = 0,
    batch_size: int = 16,
    model: Model | None = None,
    advance: Callable[[int], None] = lambda records: None,
) -> dict[str, Any]:
    """Return, as JSON values, the exposure of the first `n` canaries of a table in a run trained on its shards.

    `n` may also be the numbers of some canaries, from 0.

    `model` is what predicts in place of the run's own, if it is loaded already.

    Raises `WrongTable` if the run was not trained on shards of the table, `InvalidConfig` for under 10 `alternatives`.
    """
    if table.fingerprint not in run.tables:
        raise WrongTable(
            f"{run.path} was trained on shards of table {', '.join(sorted(run.tables))}; this one is "
            f"{table.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    if alternatives < 10:
        raise InvalidConfig(f"alternatives is {alternatives}; expected at least 10")
    rng, model, losses = np.random.default_rng(seed), model or load_predictor(run), []
    names = range(n) if isinstance(n, int) else n
    planted = secret_digits(table, n if isinstance(n, int) else max(n, default=-1) + 1)
    for name in names:
        digits = planted[name]
        drawn = rng.choice(SPACE - 1, alternatives, replace=False)
        candidates = [digits, *(drawn + (drawn >= digits)).tolist()]
        ids = table.encode_batch([canary_record(table, name, candidate) for candidate in candidates])
        # The common prefix has the same loss in all. Canaries are short, so larger batches take no more memory.
        prefix = _common_prefix(ids)
        together = max(batch_size, batch_size * run.context // (4 * max(map(len, ids))))
        options: dict[str, Any] = {
            "modality": table.codec.family,
            "batch_size": together,
            "model": model,
            "advance": advance,
        }
        losses.append(-predict_ids(run, ids, moments=False, given=prefix, **options).totals)
    return rate(np.array(losses))


def _common_prefix(records: Sequence[NDArray[np.uint32]]) -> int:
    """Return the length of the longest common prefix of all records, in ids."""
    length = min(map(len, records))
    same = (np.stack([ids[:length] for ids in records]) == records[0][:length]).all(0)
    return int(np.argmin(np.append(same, False)))


def rate(losses: NDArray[np.float64]) -> dict[str, Any]:
    """Return, as JSON values, exposures from losses (canaries, 1 + alternatives) in nats, each canary's own first.

    `interpolated` ranks a canary among its alternatives and itself, so it is at most `most` bits. `extrapolated`
    estimates the rank by a skew normal distribution fitted to the alternatives, at most log2 |R|; `fit` is the p-value
    of the Kolmogorov-Smirnov test of that fit. `p_value` is the probability of exposures with at least this sum if
    nothing was memorised, when exposures are exponentially distributed; `chance_interval` is the 95 % interval of their
    mean in that case.
    """
    own, others = losses[:, 0], losses[:, 1:]
    n, most = len(own), math.log2(losses.shape[1])
    inner = most - np.log2(1 + (others < own[:, None]).sum(1) + (others == own[:, None]).sum(1) / 2)
    with np.errstate(all="ignore"):  # tails may underflow; the result is clipped below
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
    """Return the interval, in bits, of the mean exposure of `n` canaries that a run knows nothing of."""
    ends: ArrayLike = stats.gamma.ppf([miss / 2, 1 - miss / 2], n) / n / math.log(2)
    return [float(end) for end in np.asarray(ends)]
