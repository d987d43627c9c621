"""Evaluation during training, on shards of the same tables: which weights are best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import TrainingError
from ult.host.extras import require

with require("transformers", extra="train"):
    from transformers import TrainerCallback

METRIC = "eval_bits"  # that a prediction costs on average, in the trainer's log


def curve(history: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return the steps of a trainer's log at which it was evaluated, each with the bits that a prediction cost."""
    return [[entry["step"], entry[METRIC]] for entry in history if METRIC in entry]


def best(bits: Sequence[Sequence[float]]) -> int:
    """Return the place in a curve of its lowest value, the first of equals.

    >>> best([[10, 5.0], [20, 4.0], [30, 4.0]])
    1
    """
    return min(range(len(bits)), key=lambda k: bits[k][1])


class Watch(TrainerCallback):  # type: ignore[misc]
    """Evaluates after the last step too, and ends a training that found nothing better `patience` times in a row."""

    def __init__(self, folder: Path, patience: int | None) -> None:
        self.folder, self.patience = folder, patience

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Say where the best checkpoint is now, whatever folder an interrupted training knew it by."""
        if state.best_global_step:
            kept = self.folder / f"checkpoint-{state.best_global_step}"
            if not kept.is_dir():
                raise TrainingError(f"the best checkpoint, of step {state.best_global_step}, is gone", hint="--force")
            state.best_model_checkpoint = str(kept)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide whether to evaluate; a training resumed after its patience was spent does nothing more."""
        spent = self._spent(state)
        control.should_training_stop |= spent
        control.should_save &= not spent
        control.should_evaluate = not spent and (control.should_evaluate or state.global_step == state.max_steps)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        """Stop if patience is spent; raise `TrainingError` if the bits are not finite."""
        if not math.isfinite(metrics[METRIC]):
            raise TrainingError(
                f"a prediction on validation costs {metrics[METRIC]} bits at step {state.global_step}",
                hint="a lower --learning-rate",
            )
        control.should_training_stop |= self._spent(state)

    def _spent(self, state: Any) -> bool:
        bits = curve(state.log_history)
        return self.patience is not None and bool(bits) and len(bits) - 1 - best(bits) >= self.patience
