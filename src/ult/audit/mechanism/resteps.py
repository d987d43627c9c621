"""Test the promise of `ult train --epsilon` by private training steps, done many times with one record and without it.

The steps are those of `ult.trainer.dp.dp_trainer`: its plan, samples, clipping and noise. The model is the smallest in
which one record can dominate the gradient: one weight per id. The record consists of an id that no other record has,
and its gradient is longer than the clipping norm. The noisy gradients of all steps are observed, which reveal more than
the final weights; the weights are not updated.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ult.audit.mechanism import claims
from ult.host.extras import require
from ult.public.vocabulary import EOS
from ult.trainer.datasets.windows import Windows
from ult.trainer.dp.clipping import clipped_sum
from ult.trainer.dp.dp_trainer import Plan, PrivateTrainer
from ult.trainer.id_trainer import training_arguments
from ult.trainer.recipe import Privacy, Recipe

with require("torch", "accelerate", extra="train"):
    import torch
    from accelerate import PartialState

_IDS, _LENGTH = 96, 24
_CLIP = 0.1  # a tenth of the norm of the record's gradient
_RECORDS, _BATCH, _STEPS = 6, 3, 2  # so that a record is in half of the samples


class _OneWeightPerId(torch.nn.Module):
    """Predicts each id by its own weight, independently of the ids before."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(_IDS))
        self.config = SimpleNamespace()
        self.device = torch.device("cpu")

    def set_attn_implementation(self, kind: str) -> None:
        """Do nothing: the model has no attention."""

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.weight.expand(*input_ids.shape, _IDS))


def restep(epsilon: float, delta: float, *, trials: int, miss: float, advance: Callable[[int], None]) -> dict[str, Any]:
    """Return, as JSON values, whether `trials` trainings of each kind refute a promise of (epsilon, delta)."""
    recipe = Recipe(steps=_STEPS, batch_size=_BATCH, context=_LENGTH)
    plan = Plan.of(recipe, Privacy(epsilon, delta, _CLIP), _RECORDS, PartialState(cpu=True))
    promised = plan.facts()
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        made = {whole: _trainer(recipe, plan, Path(folder), whole=whole) for whole in (True, False)}
        direction = _direction(made[True])
        found: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(trials):
            for whole, trainer in made.items():
                found[whole].append(_outcome(trainer, direction))
            advance(len(made))
    scores, without = np.array(found[True]), np.array(found[False])
    claimed = claims.alike("noisy gradients of all steps", scores, without, promised["epsilon"], delta, miss=miss)
    about = {
        name: promised[name] for name in ("epsilon", "delta", "noise_multiplier", "clip", "sampling_rate", "steps")
    }
    return {"mechanism": "training", **about, "records": _RECORDS, "claims": [claimed]}


def _trainer(recipe: Recipe, plan: Plan, folder: Path, *, whole: bool) -> PrivateTrainer:
    """Return a trainer on all records if `whole`, else on all but one, without a replacement for it."""
    records = [np.full(_LENGTH - 1, _IDS - 1 - k) for k in range(_RECORDS - (not whole))][::-1]
    stream = np.concatenate([[EOS], *(np.append(ids, EOS) for ids in records)]).astype(np.int32)
    ends = np.arange(1, len(records) + 1) * _LENGTH
    model = _OneWeightPerId()
    return PrivateTrainer(
        plan,
        model=model,
        args=training_arguments(recipe, folder, PartialState(cpu=True), parameters=_IDS, validated=False),
        train_dataset=Windows(stream, ends, np.arange(1, len(records) + 1), _LENGTH),
        frozen=None,
    )


def _direction(trainer: PrivateTrainer) -> torch.Tensor:
    """Return the direction of the clipped gradient of the first record, which only one of the trainers has."""
    weights = dict(trainer.model.named_parameters())
    record = trainer.train_dataset.data[0]
    sums, _ = clipped_sum(trainer.model, weights, [record], clip=1.0, part=1)
    direction: torch.Tensor = sums["weight"] / sums["weight"].norm()
    return direction


def _outcome(trainer: PrivateTrainer, direction: torch.Tensor) -> float:
    """Return the log-likelihood ratio of the noisy gradients of all steps, with / without the record."""
    plan, total = trainer.plan, 0.0
    for step in range(plan.steps):
        trainer.state.global_step = step
        trainer.training_step(trainer.model, trainer.train_dataset[step])
        along = float(trainer.model.weight.grad @ direction) * plan.batch_size / plan.asked.clip
        gained = (along - 0.5) / plan.noise**2
        total += float(np.logaddexp(math.log1p(-plan.rate), math.log(plan.rate) + gained))
    return total
