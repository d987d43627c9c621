"""Fit the model `bag` in the place of the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require
from ult.trainer.callbacks.early_stopping import METRIC
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.id_trainer import IdTrainer
from ult.trainer.models.bag import PENALTIES, Records

with require("torch", extra="train"):
    import torch

_HELD_OUT = 5  # without validation, about one in so many records is held out to choose the penalty


class BagTrainer(IdTrainer):
    """Fits a bag once for each of `PENALTIES`, and keeps the weights that predict held-out records best.

    These are the validation records, or a fifth of those to train on; then all are fitted with the penalty chosen.
    """

    def train(self, *_: Any, **__: Any) -> Any:
        """Fit the weights; a step is a penalty, and the last one is the first that is worse than the one before."""
        self.state.max_steps = len(PENALTIES)
        self.control = self.callback_handler.on_train_begin(self.args, self.state, self.control)
        data: Labelled = self.train_dataset
        every = np.arange(len(data))
        if self.eval_dataset is not None:
            validation: Labelled = self.eval_dataset
            return self._fit(_records(data, every), _records(validation, np.arange(len(validation))))
        apart = np.random.default_rng(self.args.seed).random(len(data)) < 1 / _HELD_OUT
        if apart.any() and not apart.all():
            chosen = self._fit(_records(data, every[~apart]), _records(data, every[apart]))
            return self._refit(_records(data, every), chosen)
        return self._fit(_records(data, every), _records(data, every))

    def _fit(self, known: Records, others: Records) -> int:
        """Fit `known` with each penalty, keep the weights that predict `others` best, and return their number."""
        costs: list[float] = []
        kept: dict[str, torch.Tensor] = {}
        self.model.to("cpu").choose(known)
        for loss in self.model.fitted(known):
            self.state.global_step += 1
            costs.append(self.model.cost(others))
            if costs[-1] == min(costs):
                kept = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.log({"loss": loss} | ({METRIC: costs[-1] / math.log(2)} if self.eval_dataset is not None else {}))
            self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
            if costs[-1] > min(costs):
                break
        self.state.max_steps = self.state.global_step
        self.model.load_state_dict(kept)
        return costs.index(min(costs))

    def _refit(self, known: Records, chosen: int) -> None:
        """Fit `known` with the penalties up to the chosen one."""
        self.model.choose(known)
        fits: Iterator[float] = self.model.fitted(known)
        for _ in range(chosen + 1):
            next(fits)


def _records(data: Labelled, rows: NDArray[np.int64]) -> Records:
    ids, lengths = data.flat(rows)
    record = np.repeat(np.arange(len(rows)), lengths)
    return Records(*(torch.from_numpy(one.astype(np.int64)) for one in (ids, record, np.asarray(data.labels[rows]))))
