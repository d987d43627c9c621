"""Stop a training before the model learns its data by heart.

The n-gram score (`ult.trainer.memorisation.ngrams`) rises before whole passages are recited. A training that stops when
the score passes a limit has learned general patterns and recites little (Slack and Al Moubayed, TACL 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require
from ult.public.vocabulary import EOS
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.memorisation.ngrams import SIZES, memorised
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import write

with require("torch", "transformers", extra="train"):
    import torch
    from transformers import TrainerCallback

METRIC = "memorised"  # the mean score, 0 to 1, in the trainer's log
PASSAGES = 64  # blocks that are measured, spread evenly over the data


class StopMemorised(TrainerCallback):
    """Stops once the mean n-gram score of greedy continuations of the training data exceeds `limit`.

    The model is given the first half of each passage and continues it. Compare up to the record's end only: scoring
    past it gave 0.2 for a model that recited 23 of 40 records, because the next record cannot be predicted.
    """

    def __init__(self, model: Model, data: Blocks, limit: float, every: int) -> None:
        whole = data.ids // data.context  # blocks, of which the last may be shorter
        places = np.unique(np.linspace(0, max(0, whole - 1), PASSAGES).astype(int))
        passages = np.stack([data[int(k)]["input_ids"] for k in places])
        half = passages.shape[1] // 2
        self.prefixes, self.suffixes = passages[:, :half], passages[:, half:]
        self.compared = [_within(suffix) for suffix in self.suffixes]
        self.model, self.limit, self.every = model, limit, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure every `every` steps and after the last one; stop if the score is above the limit."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            state.log_history.append({"step": state.global_step, METRIC: self.score()})
            if state.log_history[-1][METRIC] > self.limit:
                control.should_training_stop = True
                control.should_save = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Do nothing more if the training had stopped before it is resumed."""
        scores = memorisation_scores(state.log_history)
        control.should_training_stop |= bool(scores) and scores[-1][1] > self.limit

    def score(self) -> float:
        """Return the mean score of the passages now, 0 to 1."""
        training = self.model.training
        self.model.eval()
        try:
            given = torch.from_numpy(self.prefixes).to(self.model.device)
            asked = {"input_ids": given, "attention_mask": torch.ones_like(given)}
            with torch.inference_mode():
                written = write(self.model, asked, max_new_tokens=self.suffixes.shape[1], do_sample=False)
        finally:
            self.model.train(training)
        rows = written[:, given.shape[1] :].cpu().numpy()
        pairs = [(row[: len(true)], true) for row, true in zip(rows, self.compared, strict=True)]
        return float(np.mean([memorised(*pair) for pair in pairs if len(pair[1]) >= min(SIZES)] or [0.0]))


def _within(suffix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ids of a suffix up to the end of its record."""
    ends = np.flatnonzero(suffix == EOS)
    return suffix[: ends[0]] if len(ends) else suffix


def memorisation_scores(history: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return [step, mean score] for each measurement in a trainer's log."""
    return [[entry["step"], entry[METRIC]] for entry in history if METRIC in entry]


def memorisation_facts(history: Sequence[dict[str, Any]], limit: float | None) -> dict[str, Any] | None:
    """Return what `metrics.json` says: the limit, the scores and the step of the stop; None without a limit."""
    if limit is None:
        return None
    scores = memorisation_scores(history)
    stopped = scores[-1][0] if scores and scores[-1][1] > limit else None
    return {"most": limit, "passages": PASSAGES, "shares": scores, "stopped_at": stopped}
