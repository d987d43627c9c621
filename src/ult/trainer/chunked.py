"""Compute the cross-entropy of predictions part by part, with its gradients, so that a batch's logits never exist.

The logits of 16 x 2,048 predictions of 65,536 ids take 8.6 GB, and their gradient as much again. Here the output layer
is applied to some predictions at a time, and what they send back is computed while their logits are at hand, as Liger
kernels do it (Hsu et al., arXiv:2410.10989). Nothing is computed twice, and logits that fit a cache are not waited for:
on one core the output layer of 2,048 predictions of 8,192 ids takes 0.16 s where the whole takes 0.27, of 65,536 ids
1.43 where it takes 2.81; its three products of matrices alone take 0.16 and 1.43.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ult.host.extras import require
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch

PARTS = {"cpu": 2**21}  # logits of a part, at least those of `_LEAST` predictions; elsewhere:
_ELSEWHERE = 2**25
_LEAST = 128
_TRIED = 4  # predictions by which a model is tried
_CLOSE = 1e-3  # the rounding of two ways to compute a logit, as a share of the largest
_LAST: WeakKeyDictionary[Any, tuple[Any, bool]] = WeakKeyDictionary()  # of each model: a layer, whether it is the last


@dataclass(frozen=True, slots=True)
class Chunked:
    """The output layer of a model, applied to some predictions at a time."""

    head: Any  # a torch.nn.Linear

    @classmethod
    def of(cls, model: Model, batch: dict[str, Any]) -> Chunked | None:
        """Return the output layer of `model` if what it returns are the logits of the labels of a batch, else None.

        Some models scale or bend what their output layer returns; of these the logits are computed whole.
        """
        head, labels = model.get_output_embeddings(), batch["labels"]
        if type(head) is not torch.nn.Linear or labels.ndim != 2:
            return None
        tried, last = _LAST.get(model, (None, False))
        if tried is not head:
            last = _plain(model) and _is_last(model, head, batch)
            _LAST[model] = head, last
        return cls(head) if last else None

    def nats(self, model: Any, batch: dict[str, Any], smoothing: float = 0.0) -> torch.Tensor:
        """Return what the predictions of a batch cost together; `model` may be wrapped for several processes."""
        read = {name: tensor for name, tensor in batch.items() if name != "labels"}
        with _skipped(self.head):
            hidden = model(**read, use_cache=False).logits.flatten(0, -2)
        labels = batch["labels"].flatten()
        counted = labels != IGNORED
        if not bool(counted.all()):
            hidden, labels = hidden[counted], labels[counted]
        weight, bias = self.head.weight, self.head.bias
        if torch.is_grad_enabled():
            total: torch.Tensor = _Cost.apply(hidden, weight, bias, labels, smoothing)  # type: ignore[no-untyped-call]
            return total
        return _sum([cost for _, cost, _ in _parts(hidden, _layer(hidden, weight, bias), labels, smoothing)], hidden)


class _Cost(torch.autograd.Function):
    """The cost of predictions, whose gradients are computed with it."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: Any, *rest: Any) -> torch.Tensor:
        """Return the cost in nats of hidden states (n, d), a layer's weight (ids, d) and bias, and labels (n,)."""
        layer = _layer(hidden, weight, bias)
        states, weights = torch.empty_like(hidden), torch.zeros_like(weight)
        biases = None if bias is None else torch.zeros_like(bias)
        costs, at = [], 0
        with torch.autocast(hidden.device.type, enabled=False):
            for part, cost, sent in _parts(hidden, layer, *rest):
                costs.append(cost)
                back = sent.to(part.dtype)
                states[at : at + len(part)] = back @ layer[0]
                at += len(part)
                if weights.dtype == part.dtype:
                    weights.addmm_(back.T, part)
                else:
                    weights += back.T @ part
                if biases is not None:
                    biases += sent.sum(0)
        ctx.bias = bias is not None
        ctx.save_for_backward(states, weights, *([biases] if ctx.bias else []))
        return _sum(costs, hidden)

    @staticmethod
    def backward(ctx: Any, *sent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of what `forward` was given."""
        scaled = [one * sent[0].to(one.dtype) for one in ctx.saved_tensors]
        return (*scaled, None, None) if ctx.bias else (*scaled, None, None, None)


def _layer(hidden: torch.Tensor, weight: torch.Tensor, bias: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight and bias as they are computed with, in autocast's type if that is on."""
    place = hidden.device.type
    kind = torch.get_autocast_dtype(place) if torch.is_autocast_enabled(place) else weight.dtype
    return weight.detach().to(kind), None if bias is None else bias.detach().to(kind)


def _parts(
    hidden: torch.Tensor, layer: tuple[torch.Tensor, torch.Tensor | None], labels: torch.Tensor, smoothing: float
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield the states (rows, d) of some predictions, their cost, and what they send back to their logits (rows, ids).

    What they send back is good until the next part.
    """
    rows = max(_LEAST, PARTS.get(hidden.device.type, _ELSEWHERE) // len(layer[0]))
    for states, true in zip(hidden.detach().split(rows), labels.split(rows), strict=True):
        part = states.to(layer[0].dtype)
        yield part, *_told(torch.nn.functional.linear(part, *layer).float(), true[:, None], smoothing)


def _told(logits: torch.Tensor, true: torch.Tensor, smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what predictions (rows, ids) cost in nats, and its gradient, which takes their place in memory."""
    said, highest = logits.gather(1, true), logits.amax(1, keepdim=True)
    mean = logits.mean(1, keepdim=True) if smoothing else said
    odds = logits.sub_(highest).exp_()
    sums = odds.sum(1, keepdim=True)
    cost = (sums.log() + highest - (1 - smoothing) * said - smoothing * mean).sum()
    sent = odds.div_(sums)
    if smoothing:
        sent.sub_(smoothing / logits.shape[1])
    return cost, sent.scatter_add_(1, true, torch.full_like(said, smoothing - 1))


def _sum(costs: list[torch.Tensor], hidden: torch.Tensor) -> torch.Tensor:
    return torch.stack(costs).sum() if costs else hidden.new_zeros((), dtype=torch.float32)


def _plain(model: Model) -> bool:
    return not any("logit" in name and value not in (None, 1, False) for name, value in model.config.to_dict().items())


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
