"""Compute the logits of a batch and the cross-entropy of its predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ult.host.extras import require
from ult.trainer.chunked import Chunked
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.pairs import Pairs
from ult.trainer.datasets.windows import Windows
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch


def cross_entropy(
    model: Model,
    data: Blocks | Windows | Labelled | Pairs,
    batch_size: int,
    *,
    part: int = 0,
    parts: int = 1,
    split: bool = False,
) -> tuple[float, int]:
    """Return the total cost of the predictions in nats, and their number, in batches `part`, `part + parts`, ...

    With `split` weights, every part computes as many batches as the others, since all gather each layer together.
    """
    nats, predictions = 0.0, 0
    for numbers, batch in _collated(model, data, batch_size, part, parts, together=split):
        labels, chunked = batch["labels"], None if split else Chunked.of(model, batch)
        with torch.no_grad() if split else torch.inference_mode():
            if not numbers:
                predict(model, batch)
                continue
            if chunked is not None:
                nats += float(chunked.nats(model, batch))
            elif labels.is_floating_point():
                nats += float(number_costs(predict(model, batch), labels).cpu().double().sum())
            else:
                losses = torch.nn.functional.cross_entropy(
                    predict(model, batch).flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none"
                )
                nats += float(losses.cpu().double().sum())
        predictions += int((labels != IGNORED).sum())
    return nats, predictions


def number_costs(outputs: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Return what numbers (b,) cost in nats, given the means (b, 1) of Gaussians of deviation 1."""
    return 0.5 * (outputs.flatten() - numbers.flatten()).square() + 0.5 * math.log(2 * math.pi)


def soft_cost(teacher: Model, logits: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
    """Return the total cost in nats of what `logits` say of a batch where a teacher's probabilities are the truth.

    It is least where they are equal, and is then the teacher's own doubt.
    """
    counted = (batch["labels"] != IGNORED).flatten()
    with torch.no_grad():
        true = predict(teacher, batch).flatten(0, -2)[counted].softmax(-1)
    return torch.nn.functional.cross_entropy(logits.flatten(0, -2)[counted], true, reduction="sum")


def batches(
    model: Model, data: Blocks | Windows | Labelled | Pairs, batch_size: int, part: int = 0, parts: int = 1
) -> Iterator[tuple[range, torch.Tensor, torch.Tensor]]:
    """Yield the sample numbers, logits and labels of each batch; only of batches `part`, `part + parts`, ..."""
    for numbers, batch in _collated(model, data, batch_size, part, parts):
        with torch.inference_mode():
            yield numbers, predict(model, batch), batch["labels"]


def _collated(
    model: Model,
    data: Blocks | Windows | Labelled | Pairs,
    batch_size: int,
    part: int,
    parts: int,
    *,
    together: bool = False,
) -> Iterator[tuple[range, dict[str, torch.Tensor]]]:
    """Yield batches; `together` with the other parts, also one of no number where only these have one left."""
    for first in range(0, len(data), parts * batch_size):
        start = first + part * batch_size
        numbers = range(start, min(start + batch_size, len(data)))
        if numbers or together:
            samples = [data[k] for k in numbers or range(1)]
            yield numbers, {name: one.to(model.device) for name, one in collate(samples).items()}


def predict(model: Model, batch: dict[str, Any]) -> torch.Tensor:
    """Return the logits (b, n, ids) or (b, classes), in float32, of a batch that `collate` made."""
    read = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits: torch.Tensor = model(**read, use_cache=False).logits
    return logits.float()
