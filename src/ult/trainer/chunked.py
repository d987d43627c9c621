"""Compute the cross-entropy of a large vocabulary part by part, so that the logits of a batch never exist at once.

The logits of 16 x 2,048 predictions of 65,536 ids take 8.6 GB, and their gradient as much again. Here the output layer
is applied to some predictions at a time, and once more when their gradient is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ult.host.extras import require
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch
    from torch.utils.checkpoint import checkpoint

MOST = 2**28  # logits of a batch that are computed whole: 1 GB in float32, and some copies
_PARTS = 8  # a part has at most so many times less
# Measured on a CPU (tiny, 4 x 512 predictions of 65,536 ids, in parts of 512): memory above the start 463 MB where the
# whole takes 1,580, for 1.5 times the CPU time, as the output layer is nearly all of such a model.
_TRIED = 4  # predictions by which a model is tried
_CLOSE = 1e-3  # the rounding of two ways to compute a logit, as a share of the largest


@dataclass(frozen=True, slots=True)
class Chunked:
    """The output layer of a model, applied to some predictions at a time."""

    head: Any  # a torch.nn.Linear
    most: int  # logits of a part

    @classmethod
    def of(cls, model: Model, batch: dict[str, Any], *, most: int | None = None) -> Chunked | None:
        """Return the output layer of `model` if a batch has more logits than `most`, by default `MOST`; else None.

        Some models scale or bend what their output layer returns; of these the logits are computed whole.
        """
        head, labels, most = model.get_output_embeddings(), batch["labels"], most or MOST
        if type(head) is not torch.nn.Linear or labels.ndim != 2 or labels.numel() * head.out_features <= most:
            return None
        if any("logit" in name and value not in (None, 1, False) for name, value in model.config.to_dict().items()):
            return None
        return cls(head, most // _PARTS) if _is_last(model, head, batch) else None

    def nats(self, model: Any, batch: dict[str, Any], smoothing: float = 0.0) -> torch.Tensor:
        """Return what the predictions of a batch cost together; `model` may be wrapped for several processes."""
        read = {name: tensor for name, tensor in batch.items() if name != "labels"}
        with _skipped(self.head):
            hidden = model(**read, use_cache=False).logits
        rows = max(1, self.most // self.head.out_features)
        total: torch.Tensor = hidden.new_zeros((), dtype=torch.float32)
        for part, labels in zip(hidden.flatten(0, -2).split(rows), batch["labels"].flatten().split(rows), strict=True):
            if torch.is_grad_enabled():
                total = total + checkpoint(self._nats, part, labels, smoothing, use_reentrant=False)
            else:
                total = total + self._nats(part, labels, smoothing)
        return total

    def _nats(self, hidden: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
        logits = self.head(hidden).float()
        return torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        )


@contextmanager
def _skipped(head: Any) -> Iterator[None]:
    """Let a layer return what it is given."""
    head.forward = _same
    try:
        yield
    finally:
        del head.forward


def _same(hidden: torch.Tensor) -> torch.Tensor:
    return hidden


def _is_last(model: Model, head: Any, batch: dict[str, Any]) -> bool:
    """Return whether the logits of a model are what its output layer returns, as some predictions show."""
    first = {name: tensor[:1, :_TRIED] for name, tensor in batch.items() if name != "labels"}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            whole = type(model).forward(model, **first, use_cache=False).logits
            with _skipped(head):
                hidden = type(model).forward(model, **first, use_cache=False).logits
            apart = head(hidden)
    except (RuntimeError, ValueError):
        return False  # something else is added to the logits, of another size than what was given
    finally:
        model.train(training)
    return bool((whole - apart).abs().max() <= _CLOSE * whole.abs().max())
