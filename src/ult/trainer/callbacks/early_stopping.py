"""Keep the best weights of a training that is evaluated while it runs, and stop when nothing better is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import TrainingError
from ult.host.extras import require

with require("transformers", extra="train"):
    from transformers import TrainerCallback

METRIC = "eval_bits"  # bits that a prediction costs on average, in the trainer's log


def validation_bits(history: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return [step, bits a prediction] for each evaluation in a trainer's log."""
    return [[entry["step"], entry[METRIC]] for entry in history if METRIC in entry]


def best(bits: Sequence[Sequence[float]]) -> int:
    """Return the index of the lowest value in a list of [step, bits]; of equal values, the first.

    >>> best([[10, 5.0], [20, 4.0], [30, 4.0]])
    1
    """
    return min(range(len(bits)), key=lambda k: bits[k][1])


class EarlyStopping(TrainerCallback):
    """Evaluates after the last step too, and stops after `patience` evaluations in a row without a better one.

    Whether patience is spent follows from the log, which every checkpoint holds, so a resumed training stops where an
    uninterrupted one would.
    """

    def __init__(self, folder: Path, patience: int | None) -> None:
        self.folder, self.patience = folder, patience

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Point at the best checkpoint in its present folder, which may have another path than before an interrupt."""
        if state.best_global_step:
            kept = self.folder / f"checkpoint-{state.best_global_step}"
            if not kept.is_dir():
                raise TrainingError(f"the best checkpoint, of step {state.best_global_step}, is gone", hint="--force")
            state.best_model_checkpoint = str(kept)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate after the last step; do nothing more if patience was spent before an interrupt."""
        spent = self._is_spent(state)
        control.should_training_stop |= spent
        control.should_save &= not spent
        control.should_evaluate = not spent and (control.should_evaluate or state.global_step == state.max_steps)

    def on_evaluate(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Stop if patience is spent. Raises `TrainingError` if the bits are not finite."""
        bits: float = told["metrics"][METRIC]
        if not math.isfinite(bits):
            raise TrainingError(
                f"a prediction on validation costs {bits} bits at step {state.global_step}",
                hint="a lower --learning-rate",
            )
        control.should_training_stop |= self._is_spent(state)

    def _is_spent(self, state: Any) -> bool:
        bits = validation_bits(state.log_history)
        return self.patience is not None and bool(bits) and len(bits) - 1 - best(bits) >= self.patience
