"""Stop before a model learns by heart: how much of its training data it writes again, watched while it is trained.

The n-gram score (`ult.trainer.memorisation.ngrams`, Slack and Al Moubayed, TACL 2025) rises before whole passages are
recited, so a training that ends when it passes a share has learnt what is general and recites little.
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

METRIC = "memorised"  # in the trainer's log
# Blocks, evenly over the data: the first half of each is given, the other compared up to the end of its record. With
# what lies beyond, which nothing tells, a model that recited 23 of 40 records had a share of 0.2 alone.
PASSAGES = 64


class Memorisation(TrainerCallback):  # type: ignore[misc]
    """Ends a training once the mean n-gram score of greedy continuations of its own data is above `most`."""

    def __init__(self, model: Model, data: Blocks, most: float, every: int) -> None:
        whole = data.ids // data.context  # blocks, of which the last may be shorter
        places = np.unique(np.linspace(0, max(0, whole - 1), PASSAGES).astype(int))
        passages = np.stack([data[int(k)]["input_ids"] for k in places])
        half = passages.shape[1] // 2
        self.prefixes, self.suffixes = passages[:, :half], passages[:, half:]
        self.compared = [_within(suffix) for suffix in self.suffixes]
        self.model, self.most, self.every = model, most, every

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure every so many steps and after the last; stop if it is too much."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            state.log_history.append({"step": state.global_step, METRIC: self.share()})
            if state.log_history[-1][METRIC] > self.most:
                control.should_training_stop = True
                control.should_save = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let a training that had stopped do nothing more when it is resumed."""
        found = curve(state.log_history)
        control.should_training_stop |= bool(found) and found[-1][1] > self.most

    def share(self) -> float:
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
    """Return the ids of a suffix up to the end of its record: which record comes next, nothing tells."""
    ends = np.flatnonzero(suffix == EOS)
    return suffix[: ends[0]] if len(ends) else suffix


def curve(history: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return the steps of a trainer's log at which it was measured, each with the share that was memorised."""
    return [[entry["step"], entry[METRIC]] for entry in history if METRIC in entry]


def told(history: Sequence[dict[str, Any]], most: float) -> dict[str, Any]:
    """Return what `metrics.json` says: the limit, the shares by step, and the step at which the training ended."""
    found = curve(history)
    stopped = found[-1][0] if found and found[-1][1] > most else None
    return {"most": most, "passages": PASSAGES, "shares": found, "stopped_at": stopped}
