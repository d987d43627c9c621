"""Linear classifiers that are tuned alike, whatever they see: values, or ids as a bag; bent by a kernel if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Data = tuple[Floats, NDArray[Any], Floats]  # features to train on (n, m), their labels (n,), features to tell (k, m)
STRENGTHS, INNER = (0.01, 0.1, 1.0, 10.0), 3  # inverse penalties; folds within what is trained on that choose one
STRAIGHT, BENDS = (0.0,), (0.0, 1.0, 2.0)  # of a kernel; 0 is none, which leaves the model linear


def told(
    make: Callable[[NDArray[np.int64], NDArray[np.int64]], Data],
    labels: NDArray[Any],
    bends: Sequence[float] = STRAIGHT,
) -> NDArray[Any]:
    """Return the labels of what is to be told, by logistic regression that folds of the known records have tuned.

    `make(train, held)` returns the data of two sets of places in `labels` (n,), those known, or what is to be told if
    `held` is empty; all that looks at records, as mixtures do, it does on `train` alone. The penalty, and which of
    `bends`, are chosen by balanced accuracy, of equal ones the least bent and the strongest penalty.
    """
    from sklearn.model_selection import StratifiedKFold

    every, settings = np.arange(len(labels)), list(product(bends, STRENGTHS))
    right = np.zeros((len(settings), len(labels)))
    for train, held in StratifiedKFold(INNER, shuffle=True, random_state=0).split(every, labels):
        answers = _each(make(train, held), settings)
        right[:, held] = np.stack(answers) == labels[held]
    score = np.mean([right[:, labels == name].mean(1) for name in np.unique(labels)], axis=0)
    return _each(make(every, every[:0]), [settings[int(np.argmax(score))]])[0]


def _each(data: Data, settings: Sequence[tuple[float, float]]) -> list[NDArray[Any]]:
    """Return what is told with each bend and strength."""
    from sklearn.linear_model import LogisticRegression

    known, labels, asked = data
    turned = {bend: _turned(known, asked, bend) for bend in {bend for bend, _ in settings}}
    found = []
    for bend, strength in settings:
        x, y = turned[bend]
        found.append(LogisticRegression(C=strength, max_iter=1000).fit(x, labels).predict(y))
    return found


def _turned(known: Floats, asked: Floats, bend: float) -> tuple[Floats, Floats]:
    """Return both sets of features in as many coordinates as there are known records.

    That changes no logistic regression: its penalty is the same whichever way the features are turned. With a `bend`
    they are those of the Gaussian kernel exp(-bend d), d being the squared distance over its mean, of a mean size as
    the features had.
    """
    mean = known.mean(0)
    known, asked = known - mean, asked - mean
    products, crossed = known @ known.T, asked @ known.T
    if bend:
        size, sizes = np.diag(products), (asked**2).sum(1)
        apart, across = (a[:, None] + size - 2 * b for a, b in ((size, products), (sizes, crossed)))
        scale = bend / apart.mean()
        products, crossed = (np.exp(-scale * one) * size.mean() for one in (apart, across))
        off = products.mean(0)
        crossed = crossed - crossed.mean(1, keepdims=True) - off + off.mean()
        products = products - off[:, None] - off + off.mean()
    spread, turned = np.linalg.eigh(products)
    kept = spread > 1e-6 * spread[-1]
    scale = np.sqrt(spread[kept])
    return turned[:, kept] * scale, crossed @ turned[:, kept] / scale
