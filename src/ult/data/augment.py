"""Augment a small set of labelled series by mixtures of two records of a class, before a table is fitted.

A mixture is as private as the records that it is made of. Make mixtures of training records only: one with a test
record as a parent would leak the test data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.errors import InvalidConfig, InvalidRecord

Floats = NDArray[np.float64]


def mixtures(
    values: ArrayLike, labels: ArrayLike, *, each: int, alpha: float = 1.0, jitter: float = 0.0, seed: int = 0
) -> tuple[Floats, NDArray[np.generic]]:
    """Return `each` new records for every class, (classes * each, m) float64, and their labels (classes * each,).

    A new record is `b + t (a - b)` for two records a, b of the class, drawn with replacement, and t from Beta(alpha,
    alpha): mixup (Zhang et al., 2018) within a class, which keeps labels unmixed. All classes become equally large.
    `jitter` adds normal noise to every value, in standard deviations of its column in `values`: it teaches a model that
    neighbouring levels, whose ids have nothing in common, mean nearly the same (Bishop, 1995, "Training with Noise is
    Equivalent to Tikhonov Regularization"). NaN in a or b stays NaN. Raises `InvalidRecord` unless `values` is (n, m)
    and `labels` (n,), and `InvalidConfig` for options out of range.

    >>> mixed, labels = mixtures([[0.0, 1.0], [1.0, 1.0], [5.0, 5.0]], ["a", "a", "b"], each=2)
    >>> labels.tolist(), mixed[2:].tolist(), bool((mixed[:2, 0] <= 1).all())
    (['a', 'a', 'b', 'b'], [[5.0, 5.0], [5.0, 5.0]], True)
    """
    records, classes = np.asarray(values, np.float64), np.asarray(labels)
    if records.ndim != 2 or classes.shape != records.shape[:1]:
        raise InvalidRecord(f"records are {records.shape} with labels {classes.shape}; expected (n, m) and (n,)")
    if not 0 <= jitter < np.inf:
        raise InvalidConfig(f"jitter is {jitter!r}; expected deviations, 0 or more")
    if each < 1 or not 0 < alpha < np.inf or not len(records):
        raise InvalidConfig(f"{each} of each class of {len(records)} records, alpha {alpha!r}; expected at least one")
    rng, names = np.random.default_rng(seed), np.unique(classes)
    mixtures_of_class = []
    for name in names:
        members = records[classes == name]
        first, second = members[rng.integers(0, len(members), (2, each))]
        share = rng.beta(alpha, alpha, (each, 1))
        mixtures_of_class.append(second + share * (first - second))
    mixed = np.concatenate(mixtures_of_class)
    if jitter:
        deviations = np.ma.masked_where(np.isnan(records), records).std(axis=0).filled(0.0)
        mixed += jitter * deviations * rng.standard_normal(mixed.shape)
    return mixed, np.repeat(names, each)
