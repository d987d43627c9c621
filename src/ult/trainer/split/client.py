"""What an owner does in a round of a split training: learn without the server, choose records, learn with it.

All rounds are one training: one optimizer and one schedule of the learning rate. Between rounds an owner keeps its rows
and the moments of its optimizer, of which it tells nobody; what it averages with others are the weights of `shared_of`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ult.errors import FormatError
from ult.host.extras import require
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.datasets.sampler import Order
from ult.trainer.federated.body import Body, put
from ult.trainer.id_trainer import peak_learning_rate
from ult.trainer.loss import predict
from ult.trainer.models.embeddings import rows_of
from ult.trainer.models.prompted import Prompted
from ult.trainer.recipe import Recipe
from ult.trainer.split.cut import Ask, Gap, ends_of, shared_of
from ult.trainer.split.plan import Split
from ult.trainer.split.pruning import el2n, kept, only
from ult.trainer.split.steps import Steps

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save

UP, DOWN, FLOPS = "up", "down", "flops"  # bytes of messages to the server and back, and operations of the owner


@dataclass(frozen=True, slots=True)
class Kept:
    """What an owner keeps between rounds: rows and moments by name, what it counted so far, and its losses."""

    tensors: Mapping[str, Any]
    counted: Mapping[str, int]  # of all rounds: `UP`, `DOWN`, `FLOPS`
    losses: tuple[float, ...] = ()  # nats a prediction with the server's blocks, the mean of each round

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Read what `packed` gave. Raises `FormatError`."""
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
                told = json.loads(file.metadata()["told"])
                return cls(tensors, told["counted"], tuple(told["losses"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path} is not what an owner kept of a round", hint="--force to start again") from error

    def packed(self) -> bytes:
        """Return it as a safetensors file."""
        told = json.dumps({"counted": dict(self.counted), "losses": self.losses})
        return bytes(save({name: one.contiguous() for name, one in self.tensors.items()}, {"told": told}))


class Client:
    """An owner in training. It has one side of the model `whole`, shares its weights, and uses no others of it."""

    def __init__(self, whole: Prompted, data: Blocks, recipe: Recipe, split: Split, rounds: int, local: int) -> None:
        self.whole, self.data, self.split = whole, data, split
        self.alone, self.local = split.self_update * -(-len(data) // recipe.batch_size), local
        self.recipe = replace(recipe, steps=rounds * (self.alone + local)).of_samples(len(data))
        self.rate = peak_learning_rate(self.recipe, whole.num_parameters())
        self.rows = {name: one for name, one in whole.named_parameters() if any(one is row for row in rows_of(whole))}
        self.counted: Counter[str] = Counter()

    def turn(self, number: int, shared: Body, before: Kept | None, ask: Ask) -> tuple[Body, Kept]:
        """Train in round `number`, from 0, from the group's weights; return how they changed, and what to keep.

        `before` is what was kept of the round before, `ask` the server.
        """
        self.counted = Counter(before.counted if before else {})
        put(self.whole, shared)
        if before:
            put(self.whole, {name: before.tensors[name] for name in self.rows})
        gap = Gap(self.split.prompts, self.split.wire, lambda what, message: self._asked(ask, what, message))
        ends = ends_of(self.whole, self.split.blocks, gap)
        weights = {name: one for name, one in self.whole.named_parameters() if name in shared or name in self.rows}
        done = number * (self.alone + self.local)
        step = Steps(weights, self.recipe, self.rate, done, before.tensors if before else {})

        gap.wired = True
        for batch in self._batches(self.data, self.alone, number):
            step(self._cost(ends, batch))
        stay = only(self.data, kept(self._scores(ends), self.split.prune)) if self.split.prune else self.data
        gap.wired, costs = False, []
        for batch in self._batches(stay, self.local, number):
            step(cost := self._cost(ends, batch))
            costs.append(float(cost.detach()))

        change = {name: one - shared[name] for name, one in shared_of(self.whole, self.split.blocks).items()}
        rows = {name: one.detach().cpu().clone() for name, one in self.rows.items()}
        losses = (*(before.losses if before else ()), float(np.mean(costs)))
        return change, Kept({**rows, **step.tensors()}, dict(self.counted), losses)

    def _batches(self, data: Blocks, steps: int, number: int) -> Iterator[dict[str, Any]]:
        """Yield the batches of a round."""
        size = self.recipe.batch_size
        order = list(Order(len(data), steps * size, self.recipe.seed + number))
        for first in range(0, len(order), size):
            batch = collate([data[k] for k in order[first : first + size]])
            yield {name: one.to(self.whole.device) for name, one in batch.items()}

    def _cost(self, ends: Prompted, batch: dict[str, Any]) -> torch.Tensor:
        """Return the mean cost of the predictions of a batch in nats, and count a step on it."""
        blocks, ids = batch["input_ids"].shape
        self.counted[FLOPS] += 3 * self._forward(blocks, blocks * ids)  # backward: of weights, and of what they got
        logits = predict(ends, batch)
        return torch.nn.functional.cross_entropy(logits.flatten(0, -2), batch["labels"].flatten(), ignore_index=IGNORED)

    def _scores(self, ends: Prompted) -> np.ndarray[Any, np.dtype[np.float64]]:
        self.counted[FLOPS] += self._forward(len(self.data), self.data.ids)
        return el2n(ends, self.data, self.recipe.batch_size)

    def _forward(self, blocks: int, ids: int) -> int:
        """Return the operations of a forward pass: two for each weight of a matrix that a vector meets."""
        matrices = [one for name, one in self.whole.named_parameters() if one.ndim > 1 and ".layers." in name]
        held = 2 * self.split.blocks * sum(one.numel() for one in matrices) // len(self.whole.model.layers)
        rows = int(self.whole.lm_head.weight.numel())
        return 2 * (held * (ids + blocks * self.split.prompts) + rows * ids)

    def _asked(self, ask: Ask, what: str, message: bytes) -> bytes:
        answer = ask(what, message)
        self.counted[UP] += len(message)
        self.counted[DOWN] += len(answer)
        return answer
