"""Fit the model `bag`: with one penalty after the other, of which the one is kept that predicts other records best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.models.bag import Records

with require("torch", extra="train"):
    import torch

Told = Callable[[float, float], None]  # called after each penalty with two mean losses, in nats: own, of the others

_HELD_OUT = 5  # without validation, about one in so many records is held out to choose the penalty


def fit(bag: Any, data: Labelled, validation: Labelled | None, seed: int, told: Told = lambda loss, cost: None) -> None:
    """Fit a bag, with the penalty that predicts the validation records best.

    Without them, a fifth of the records to train on choose it; then all are fitted with that penalty.
    """
    every = np.arange(len(data))
    if validation is not None:
        _chosen(bag, _records(data, every), _records(validation, np.arange(len(validation))), told)
        return
    apart = np.random.default_rng(seed).random(len(data)) < 1 / _HELD_OUT
    if apart.any() and not apart.all():
        chosen = _chosen(bag, _records(data, every[~apart]), _records(data, every[apart]), told)
        _fitted_again(bag, _records(data, every), chosen)
        return
    _chosen(bag, _records(data, every), _records(data, every), told)


def _chosen(bag: Any, known: Records, others: Records, told: Told) -> int:
    """Fit `known` until a penalty is worse than the one before, keep the best weights, and return the penalty's place.

    What is best is what predicts `others` best.
    """
    costs: list[float] = []
    kept: dict[str, torch.Tensor] = {}
    bag.to("cpu").choose(known)
    for loss in bag.fitted(known):
        costs.append(bag.cost(others))
        if costs[-1] == min(costs):
            kept = {name: value.clone() for name, value in bag.state_dict().items()}
        told(loss, costs[-1])
        if costs[-1] > min(costs):
            break
    bag.load_state_dict(kept)
    return costs.index(min(costs))


def _fitted_again(bag: Any, known: Records, chosen: int) -> None:
    """Fit `known` with the penalties up to the chosen one."""
    bag.choose(known)
    fits: Iterator[float] = bag.fitted(known)
    for _ in range(chosen + 1):
        next(fits)


def _records(data: Labelled, rows: NDArray[np.int64]) -> Records:
    ids, lengths = data.flat(rows)
    record = np.repeat(np.arange(len(rows)), lengths)
    labels = np.asarray(data.labels[rows])
    labels = labels.astype(np.float32 if data.scale else np.int64)
    return Records(*map(torch.from_numpy, (ids.astype(np.int64), record, labels)))
