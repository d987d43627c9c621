"""Clip the gradient of each record to one length, and sum them: all that a private step knows of its records.

`torch.func` computes the gradients of several records at once, for any model that it can trace. No layer needs a hook,
so tied rows, adapters and relative positions are right by construction. Tests compare Llama, GPT-2, T5, BART,
classifiers and adapters with a loop over single records.
"""

from __future__ import annotations

from collections.abc import Sequence

from ult.errors import TrainingError
from ult.host.extras import require
from ult.trainer.datasets.collator import IGNORED, Item, collate
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch
    from torch.func import functional_call, grad_and_value, vmap

Tensors = dict[str, torch.Tensor]
_TINY = 1e-6  # keeps rounding from making a clipped gradient longer than the limit


def clipped_sum(
    model: Model, weights: Tensors, items: Sequence[Item], *, clip: float, part: int
) -> tuple[Tensors, torch.Tensor]:
    """Return the sum of the gradients of `items`, each clipped to length `clip`, and the sum of their losses.

    `weights` are the weights to differentiate by, named as in the model. The loss of an item is the mean cost of its
    predictions, in nats. `part` items of similar length are computed at once; memory grows with `part` times the size
    of `weights`. Raises `TrainingError` if a gradient is not finite.
    """
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    losses = torch.zeros((), device=model.device)
    each = vmap(
        grad_and_value(lambda values, sample: _loss(model, values, sample)), in_dims=(None, 0), randomness="different"
    )
    ordered = sorted(items, key=lambda item: len(item["input_ids"]))
    for first in range(0, len(ordered), part):
        samples = {k: v.to(model.device) for k, v in collate(ordered[first : first + part]).items()}
        gradients, costs = each({name: weight.detach() for name, weight in weights.items()}, samples)
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients.values()])
        lengths = squares.sum(0).sqrt()
        if not bool(torch.isfinite(lengths).all()):
            raise TrainingError("the gradient of a record is not finite", hint="a lower --learning-rate")
        factors = (clip / (lengths + _TINY)).clamp(max=1.0)
        for name, gradient in gradients.items():
            sums[name] += torch.tensordot(factors, gradient, dims=1)
        losses += costs.sum()
    return sums, losses


def _loss(model: Model, weights: Tensors, sample: Tensors) -> torch.Tensor:
    """Return the mean nats of a sample's predictions."""
    read = {name: tensor[None] for name, tensor in sample.items() if name != "labels"}
    if "attention_mask" in read:
        read["attention_mask"] = _added(read["attention_mask"])
    logits = functional_call(model, weights, (), {**read, "use_cache": False}).logits.float()
    labels = sample["labels"].reshape(-1)
    total = torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def _added(mask: torch.Tensor) -> torch.Tensor:
    """Return what is added to scores (1, heads, asking, asked), so that transformers looks at no value of a mask."""
    lowest = torch.finfo(torch.bfloat16).min  # which float32 has too
    return ((1 - mask).to(torch.float32) * lowest)[:, None, None, :]
