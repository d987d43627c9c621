"""What becomes of a run in other hands: weights rounded to few bits, or trained a little further.

Forgetting that only suppresses comes back: by rounding (Zhang et al., arXiv:2410.16454) and by learning anything of the
same kind, or a few of the forgotten records (Hu et al., arXiv:2406.13356). A retrained run has nothing to bring back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.model.predicted import counted, items_of
from ult.audit.model.record import Record
from ult.host.extras import require
from ult.public.run import Run
from ult.trainer.datasets.collator import collate
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch

BITS = (8, 4)  # of rounded weights
BATCH = 8  # records in a step
RATE = 1e-3  # the learning rate of AdamW, constant


def rounded(model: Model, bits: int) -> Model:
    """Return a copy whose matrices are rounded to `bits` bits: whole multiples of a step of their own for each row."""
    found = copy.deepcopy(model)
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in found.parameters():
            if weight.ndim > 1:
                step = weight.abs().amax(-1, keepdim=True).clamp_(min=1e-12) / most
                weight.copy_((weight / step).round_() * step)
    return found


@dataclass(frozen=True, slots=True)
class Relearned:
    """A run that was trained further, and what forgotten records cost it on the way."""

    model: Model
    steps: tuple[int, ...]  # at which was measured, from 0
    cost: NDArray[np.float64]  # (steps,) nats an id, mean over the measured records


def relearn(
    run: Run,
    model: Model,
    records: Sequence[Record],
    *,
    modality: str,
    steps: int,
    seed: int,
    cost: Callable[[Model], float],
) -> Relearned:
    """Return a copy of a run's model trained on `records` for so many steps; its cost is measured at 0, 1, 2, 4, ..."""
    found = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(found.parameters(), lr=RATE, weight_decay=0.0)
    items = items_of(run, found, modality)
    windows = [window for record in records for window in items(record)]
    rng, at, costs = np.random.default_rng(seed), [0], [cost(found)]
    order: list[int] = []
    for step in range(1, steps + 1):
        while len(order) < min(BATCH, len(windows)):
            order += rng.permutation(len(windows)).tolist()
        taken, order = order[:BATCH], order[BATCH:]
        batch = {name: one.to(found.device) for name, one in collate([windows[k] for k in taken]).items()}
        logits, labels = counted(found, batch)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(found.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step & (step - 1) == 0 or step == steps:
            at.append(step)
            costs.append(cost(found))
    return Relearned(found, tuple(at), np.array(costs))


def steps_to(level: float, at: Sequence[int], cost: NDArray[np.float64]) -> float | None:
    """Return after how many steps the cost fell to a level, between measured ones by a line; None if it never did.

    >>> steps_to(1.5, [0, 4, 8], np.array([3.0, 2.0, 1.0]))
    6.0
    """
    below = np.flatnonzero(cost <= level)
    if not len(below):
        return None
    k = int(below[0])
    if k == 0:
        return 0.0
    share = (cost[k - 1] - level) / (cost[k - 1] - cost[k])
    return float(at[k - 1] + share * (at[k] - at[k - 1]))
