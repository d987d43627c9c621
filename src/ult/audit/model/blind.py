"""The blind test: can members be told from nonmembers without the run? Then the audit does not measure membership.

A logistic regression on ids, pairs of ids and lengths is fitted on four fifths of the records and predicts the rest. On
sides that a coin decided it can find nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import auc, blind_interval
from ult.audit.model.record import Record
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import optimize, sparse, special

FOLDS = 5
BUCKETS = 2**15  # hash buckets for ids and pairs of ids
MOST = 20_000  # the most records of a side that are used
_RIDGE = 1.0  # weight of the L2 penalty
Floats = NDArray[np.float64]


def blind(members: list[Record], nonmembers: list[Record], *, seed: int = 0) -> dict[str, Any]:
    """Return, as JSON values, the AUC with which the two sides can be told apart by the records alone.

    It is the mean over cross-validation folds. These are not independent, so the interval is that of fewer records, by
    the factor of Nadeau and Bengio (2003): without it 14 of 120 draws from one source looked like a shift, with it none
    of 80. `shift` is whether the interval lies above 0.5.
    """
    rng = np.random.default_rng(seed)
    sides = [[side[int(k)] for k in rng.permutation(len(side))[:MOST]] for side in (members, nonmembers)]
    counts = [len(side) for side in sides]
    folds = min(FOLDS, *counts)
    features = _features([record for side in sides for record in side])
    truth = np.repeat([1.0, -1.0], counts)
    fold = np.concatenate([np.arange(n) % folds for n in counts])
    areas = []
    for k in range(folds):
        known = fold != k
        guessed = features[~known] @ _fitted(features[known], truth[known])
        inside = truth[~known] > 0
        areas.append(auc(guessed[inside], guessed[~inside]))
    area = float(np.mean(areas))
    interval = blind_interval(area, counts[0], counts[1], folds)
    return {
        "classifier": "logistic regression of ids, pairs of ids and length",
        "folds": folds,
        "members": counts[0],
        "nonmembers": counts[1],
        "auc": area,
        "auc_interval": interval,
        "shift": interval[0] > 0.5,
    }


def _features(records: list[Record]) -> sparse.csr_matrix:
    """Return the features (records, BUCKETS + 2): normalised log counts by bucket, the log length, and a constant."""
    rows, columns, values = [], [], []
    for row, record in enumerate(records):
        ids = record.ids.astype(np.uint64)
        target = np.empty(0, np.uint64) if record.target is None else record.target.astype(np.uint64) + np.uint64(2**20)
        label = np.array([] if record.label is None else [2**40 + record.label], np.uint64)
        pairs = [(run[:-1] << np.uint64(24)) ^ run[1:] ^ np.uint64(2**50) for run in (ids, target)]
        hashed = np.concatenate([ids, target, label, *pairs]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(49)
        bucket, count = np.unique(hashed, return_counts=True)
        weight = np.log1p(count)
        rows.append(np.full(len(bucket) + 2, row))
        columns.append(np.concatenate([bucket.astype(np.int64), [BUCKETS, BUCKETS + 1]]))
        length = np.log1p(len(ids) + len(target)) / 4
        values.append(np.concatenate([weight / max(1e-9, float(np.linalg.norm(weight))), [length, 1.0]]))
    flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(flat, shape=(len(records), BUCKETS + 2))


def _fitted(features: sparse.csr_matrix, truth: Floats) -> Floats:
    """Return the weights (features,) of the L2-regularised logistic regression of `truth` (records,), -1 or 1."""

    def cost(weights: Floats) -> tuple[float, Floats]:
        margins = truth * (features @ weights)
        slope = features.T @ (-truth * special.expit(-margins))
        total = -special.log_expit(margins).sum() + _RIDGE / 2 * float(weights @ weights)
        return float(total), np.asarray(slope + _RIDGE * weights)

    start = np.zeros(features.shape[1])
    result = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return np.asarray(result.x)
