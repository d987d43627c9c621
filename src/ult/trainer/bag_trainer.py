"""Fit the model `bag` in the place of the steps of a training."""

from __future__ import annotations

import math
from typing import Any

from ult.trainer.bag_fit import fit
from ult.trainer.callbacks.early_stopping import METRIC
from ult.trainer.id_trainer import IdTrainer
from ult.trainer.models.bag import PENALTIES


class BagTrainer(IdTrainer):
    """Fits a bag; a step is a penalty, and the last one is the first that is worse than the one before."""

    def train(self, *_: Any, **__: Any) -> Any:
        """Fit the weights to all records with the penalty that predicts others best."""
        self.state.max_steps = len(PENALTIES)
        self.control = self.callback_handler.on_train_begin(self.args, self.state, self.control)
        fit(self.model, self.train_dataset, self.eval_dataset, self.args.seed, self._told)
        self.state.max_steps = self.state.global_step

    def _told(self, loss: float, cost: float) -> None:
        self.state.global_step += 1
        self.log({"loss": loss} | ({METRIC: cost / math.log(2)} if self.eval_dataset is not None else {}))
        self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
