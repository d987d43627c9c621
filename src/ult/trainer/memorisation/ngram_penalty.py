"""Penalise n-grams of the training data that become much likelier than an earlier run has them, as recited ones do.

Slack and Al Moubayed (TACL 2025, arXiv:2510.11372) penalise n-grams whose confidence exceeds the base model's by a
margin. The form and strength of the penalty here are our own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.loss import predict
from ult.trainer.memorisation.ngrams import SIZES
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch


@dataclass(frozen=True, slots=True)
class NgramPenalty:
    """Adds to the loss, in nats, for n-grams that are likelier than `base` has them by more than `margin`."""

    base: Model  # the model as the training began
    margin: float

    @classmethod
    def of(cls, model: Model, embeddings: str, margin: float) -> NgramPenalty:
        """Return the penalty for a model about to be trained. Raises `InvalidConfig` if its rows are drawn afresh."""
        if embeddings != "keep":
            raise InvalidConfig(
                "restrain_ngrams compares with an earlier run, which reads no ids of another table",
                hint="a run on shards of the same table, or ult align, then --embeddings keep",
            )
        return cls(copy.deepcopy(model).requires_grad_(False).eval(), margin)

    def __call__(self, inputs: dict[str, Any], logits: torch.Tensor) -> torch.Tensor:
        """Return the penalty, summed over the n-grams of a batch that is predicted with these logits (b, n, ids)."""
        labels = inputs["labels"]
        with torch.no_grad():
            base = predict(self.base.to(logits.device), inputs)
        return penalty(_log(logits, labels), _log(base, labels), labels != IGNORED, self.margin)


def penalty(log: torch.Tensor, base: torch.Tensor, counted: torch.Tensor, margin: float) -> torch.Tensor:
    """Return the penalty for log probabilities (b, n) of predicted ids and those of the base, where `counted` (b, n).

    An n-gram's confidence is the geometric mean of its ids' probabilities. Confidence above the base's by more than the
    margin is summed, averaged over n in `SIZES`, and multiplied by 2 / margin. The cross-entropy pushes the log
    probability of an id up with a force of 1; inside a passage whose n-grams all exceed the margin, the penalty pushes
    it down with more than 2. So a passage comes down however often it is rewarded, while a single likely n-gram stays.
    """
    total = log.new_zeros(())
    for size in (size for size in SIZES if size <= log.shape[1]):
        mine, theirs = (each.unfold(1, size, 1).mean(-1).exp() for each in (log, base))
        whole = counted.unfold(1, size, 1).all(-1)
        total = total + ((mine - theirs - margin).clamp(min=0) * whole).sum()
    return total * 2 / margin / len(SIZES)


def _log(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")
