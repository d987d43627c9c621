"""The direct way: logistic regression that is itself private, by gradients that are clipped and noisy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Domain = dict[str, dict[str, Any]]  # of a column what is public: {"lower", "upper"} or {"categories"}
STEPS, CLIP, RATE = 60, 1.0, 2.0


def features(rows: Sequence[Sequence[str]], domain: Domain, label: str) -> tuple[Floats, Floats]:
    """Return the features (n, m) and the label (n,) 0 or 1, scaled by what is public alone."""
    found = [np.ones(len(rows))]
    for k, (name, one) in enumerate(domain.items()):
        cells = [row[k] for row in rows]
        if name == label:
            truth = np.array([cell == one["categories"][-1] for cell in cells], float)
        elif "categories" in one:
            found += [np.array([cell == value for cell in cells], float) for value in one["categories"]]
        else:
            low, high = one["lower"], one["upper"]
            gone = np.array([cell in ("", "?") for cell in cells])
            values = np.array([low if none else float(cell) for cell, none in zip(cells, gone, strict=True)])
            values = np.clip(values, low, high)
            for scaled in ((values - low) / (high - low), np.log1p(values - low) / math.log1p(high - low)):
                found.append(np.where(gone, 0.0, 2 * scaled - 1))
            found.append(gone.astype(float))
    return np.array(found).T, truth


def fitted(inputs: Floats, truth: Floats, *, epsilon: float, delta: float, seed: int) -> Floats:
    """Return the weights after `STEPS` steps on all records; one record more or less is (epsilon, delta)-private.

    The steps are Gaussian mechanisms, composed as zero-concentrated privacy (Bun and Steinke 2016, proposition 1.3).
    """
    rho = (math.sqrt(math.log(1 / delta) + epsilon) - math.sqrt(math.log(1 / delta))) ** 2
    noise = CLIP * math.sqrt(STEPS / (2 * rho))
    rng, weights, total = np.random.default_rng(seed), np.zeros(inputs.shape[1]), np.zeros(inputs.shape[1])
    for step in range(STEPS):
        slopes = inputs * (1 / (1 + np.exp(-inputs @ weights)) - truth)[:, None]
        slopes *= np.minimum(1, CLIP / np.maximum(np.linalg.norm(slopes, axis=1), 1e-12))[:, None]
        weights = weights - RATE * (slopes.sum(0) + rng.normal(0, noise, len(weights))) / len(inputs)
        total += weights * (step >= STEPS // 2)
    return total / (STEPS - STEPS // 2)
