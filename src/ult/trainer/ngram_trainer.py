"""Count n-grams for the model `ngrams` in the place of the steps of a training."""

from __future__ import annotations

import math
from typing import Any

from ult.trainer.callbacks.early_stopping import METRIC
from ult.trainer.id_trainer import IdTrainer
from ult.trainer.ngram_fit import ORDERS, fit


class NgramTrainer(IdTrainer):
    """Counts n-grams; a step is an order that is tried, the length of the longest ones."""

    def train(self, *_: Any, **__: Any) -> Any:
        """Count all records up to the order that predicts others best, or up to the one that was asked for."""
        self.state.max_steps = len(ORDERS)
        self.control = self.callback_handler.on_train_begin(self.args, self.state, self.control)
        fit(self.model, self.train_dataset, self.eval_dataset, seed=self.args.seed, told=self._told)
        self.state.max_steps = self.state.global_step

    def _told(self, cost: float | None) -> None:
        self.state.global_step += 1
        self.log({} if cost is None else {METRIC: cost / math.log(2)})
        self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
