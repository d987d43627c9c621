"""Fit the model `ngrams`: count the n-grams of a stream of ids, and choose the rest by records that are not counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require
from ult.public.vocabulary import EOS, Vocabulary
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.models.ngrams import RECENT, Ngrams, Read, recent

with require("torch", extra="train"):
    import torch

Told = Callable[[float | None], None]  # called after each order with a mean cost, in nats
Numbers = NDArray[np.int64]
Costs = NDArray[np.float64]

ORDERS = (2, 3, 4, 5)  # of which other records choose
ORDER = 4  # where there are none
BESIDE_IDS = 2**21  # of a training, up to which n-grams are counted beside it: seconds, and 400 MB
_HELD_OUT = 5  # without validation, about one in so many records is held out to choose by
_BLOCKS, _ROUNDS = 64, 30  # blocks that are asked at once, and rounds in which shares are fitted


def fit(model: Ngrams, data: Blocks, validation: Blocks | None, *, seed: int, told: Told = lambda cost: None) -> None:
    """Count `data` up to the order that is asked for, or to the one that predicts the validation records best.

    These choose the shares of what stands in the record so far too. Without them, a fifth of the records to train on
    chooses, and then all are counted. `told(cost)` is called after each order with what a prediction on validation
    costs, in nats; None without validation.
    """
    known, held = (data, validation) if validation is not None else _apart(data, seed)
    if held is None:
        count(model, data, model.asked or ORDER)
        told(None)
        return
    asked, orders = _Asked.of(held), (model.asked,) if model.asked else ORDERS
    tried = []
    for order in orders:
        count(model, known, order)
        tried.append(asked.fitted(model))
        told(None if validation is None else tried[-1][0])
    best = min(range(len(orders)), key=lambda k: tried[k][0])
    if best != len(orders) - 1 or validation is None:
        count(model, data, orders[best])
    model.shares.copy_(torch.from_numpy(tried[best][1]))


def beside(data: Blocks, validation: Blocks, size: int) -> float:
    """Return what a prediction on validation costs, in nats, by n-grams of `data`, whose ids are below `size`."""
    costs: list[Any] = []
    fit(Ngrams.of(Vocabulary(size), ORDER), data, validation, seed=0, told=costs.append)
    return float(costs[-1])


def count(model: Ngrams, data: Blocks, order: int) -> None:
    """Count the n-grams of the stream of `data`, of up to `order` ids: shorter ones by how many ids stand before them.

    An id that names a modality is read and never predicted. It takes up to 200 bytes of memory an id.
    """
    size, keys = model.config.vocab_size, []
    ids, predicted = _padded(np.asarray(data.stream), data.given, order)
    node, nodes = ids.copy(), [ids[predicted]]  # of n-grams of each length, by the place of their last id
    for n in range(2, order + 1):
        longer = node[n - 2 : -1] * size + ids[n - 1 :]
        found, node[n - 1 :] = np.unique(longer, return_inverse=True)
        keys.append(found)
        nodes.append(node[predicted])
    counts = [np.bincount(nodes[-1], minlength=len(keys[-1]))]
    for n in range(order - 1, 0, -1):
        different = np.unique(nodes[n], return_index=True)[1]  # one place of each n-gram that is one id longer
        counts.insert(0, np.bincount(nodes[n - 1][different], minlength=len(keys[n - 2]) if n > 1 else size))
    single, *counts = counts
    last = counts[-1] > 0  # of the longest n-grams, those that only stand before a first id are contexts of none
    keys[-1], counts[-1] = keys[-1][last], counts[-1][last]
    base = _discount(single)
    rows = (np.maximum(single - base, 0) + base * (single > 0).sum() / size) / single.sum()
    model.put(rows, list(zip(keys, counts, strict=True)), [_discount(one) for one in counts])


def _padded(stream: NDArray[Any], given: Numbers, order: int) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return the stream with `order` - 1 `<eos>` in the place of each, and which of its ids (n,) are predicted."""
    repeats = np.where(stream == EOS, order - 1, 1)
    predicted = np.zeros(int(repeats.sum()), np.bool_)
    predicted[(np.cumsum(repeats) - repeats)[1:]] = ~np.isin(stream[1:], given)
    return np.repeat(stream, repeats).astype(np.int64), predicted


def _discount(counts: Numbers) -> float:
    once, twice = (int((counts == k).sum()) for k in (1, 2))
    return once / (once + 2 * twice) if once else 0.5


def _apart(data: Blocks, seed: int) -> tuple[Blocks, Blocks | None]:
    """Return `data` without a fifth of its records, and these; None where that would be none or all."""
    held = np.random.default_rng(seed).random(len(data.ends)) < 1 / _HELD_OUT
    if held.all() or not held.any():
        return data, None
    return _of(data, ~held), _of(data, held)


def _of(data: Blocks, chosen: NDArray[np.bool_]) -> Blocks:
    lengths = np.diff(data.ends, prepend=0)
    stream = np.asarray(data.stream)
    own = np.concatenate([stream[:1], stream[1:][np.repeat(chosen, lengths)]])
    return replace(data, stream=own, ends=np.cumsum(lengths[chosen]))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Predictions by which is chosen, and how often what stands in the record so far says the right thing."""

    read: list[tuple[Read, torch.Tensor, torch.Tensor]]  # ids, labels (b, n), and which of these count (b, n)
    right: Costs  # (RECENT, predictions): of what followed the last 0, 1, .. ids before, the share that is the label
    known: NDArray[np.bool_]  # (RECENT, predictions): whether anything did

    @classmethod
    def of(cls, data: Blocks) -> _Asked:
        read, found = [], []
        for first in range(0, len(data), _BLOCKS):
            batch = collate([data[k] for k in range(first, min(first + _BLOCKS, len(data)))])
            ids = Read.after(None, batch["input_ids"], batch.get("position_ids"))
            counted, labels = batch["labels"] != IGNORED, batch["labels"].clamp(min=0)
            read.append((ids, labels, counted))
            found.append(recent(ids, labels)[..., counted])
        times, total = torch.cat(found, -1).double().numpy().swapaxes(0, 1)
        return cls(read, times / np.maximum(total, 1), total > 0)

    def fitted(self, model: Ngrams) -> tuple[float, NDArray[np.float32]]:
        """Return what a prediction costs with the best shares, in nats, and these shares (RECENT,)."""
        each = [model.counted(ids, labels)[counted] for ids, labels, counted in self.read]
        base, shares = torch.cat(each).double().numpy(), np.full(RECENT, 0.1)
        for _ in range(_ROUNDS):
            shares = self._again(base, shares)
        *_, chance = self._mixed(base, shares)
        return float(-np.log(chance).mean()), shares.astype(np.float32)

    def _mixed(self, base: Costs, shares: Costs) -> list[Costs]:
        """Return the probabilities of the labels by counts, and after each share is given."""
        found = [base]
        for share, right, known in zip(shares, self.right, self.known, strict=True):
            found.append(np.where(known, (1 - share) * found[-1] + share * right, found[-1]))
        return found

    def _again(self, base: Costs, shares: Costs) -> Costs:
        """Return better shares: how often each part was the one that said the label, by the shares that there are."""
        mixed, reach, better = self._mixed(base, shares), np.ones(len(base)), shares.copy()
        for m in range(RECENT - 1, -1, -1):
            known = self.known[m]
            said = np.where(known, shares[m] * self.right[m] / mixed[m + 1], 0)
            better[m] = (reach * said)[known].sum() / max(1.0, reach[known].sum())
            reach = reach * (1 - said)
        return better
