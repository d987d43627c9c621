"""Show a progress bar on a terminal while a model trains, elsewhere a line now and then; one line at the end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from ult.errors import TrainingError
from ult.host.bar import Bar
from ult.host.extras import require
from ult.host.shown import count
from ult.public.run import MEMBERS, Run

with require("transformers", extra="train"):
    from transformers import TrainerCallback


def say(text: str) -> None:
    """Print a line on stderr."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


class Progress(TrainerCallback):
    """Shows step, loss and ids per second on stderr; stops a training whose loss is not finite."""

    def __init__(self, ids: float) -> None:
        self.ids = ids  # read in a step, on average
        self.first_step = self.last_step = 0
        self.seconds = self.speed = 0.0
        self._said = ""
        self.bar = Bar("training", ends=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, and the bar at the step of the checkpoint if there is one."""
        self.first_step = self.last_step = state.global_step
        self._started = time.perf_counter()
        if not state.is_world_process_zero:
            self.bar.mute()
        self.bar.show("", state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance the bar, or print a line if it is time for one."""
        self.seconds, self.last_step = time.perf_counter() - self._started, state.global_step
        self.speed = (state.global_step - self.first_step) * self.ids / self.seconds
        self.bar.show(self._said, state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Show the loss. Raises `TrainingError` if it is not finite."""
        logs: dict[str, float] = told["logs"]
        if "loss" in logs and not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {state.global_step}", hint="a lower --learning-rate"
            )
        if "loss" in logs:
            self._said = f"loss {logs['loss']:.3f}, {self.speed:,.0f} ids/s"

    def tell_cut(self, data: Any, context: int) -> None:
        """Print how many records are cut to the context, if any is."""
        if data.truncated:
            say(
                f"note: {data.truncated:,} of {count(len(data), 'record')} are longer than the context of {context}: "
                f"the rest of each is not read; --context {data.longest} reads all"
            )

    def tell_fresh(self, run: Run) -> None:
        """Print why rows of an earlier run were not kept, unless it came without any."""
        if not run.withheld:
            say(
                f"note: {run.path} has no rows of the table of these shards, so embedding rows are drawn anew; "
                "its owner moves rows to another table by ult align"
            )

    def done(self, out: Path, loss: list[list[float]], validation: dict[str, Any] | None) -> None:
        """Print the line that stays. A private training shows no loss, because no noise was added to it."""
        gained = f"loss {loss[0][1]:.3f} -> {loss[-1][1]:.3f}, " if loss else ""
        speed = f"{self.last_step - self.first_step} steps in {self.seconds:.1f} s, {self.speed:,.0f} ids/s"
        if validation:
            step = validation["best_step"]
            speed += f"; step {step} is kept: {dict(validation['bits'])[step]:.3f} bits a prediction on validation"
        if validation and "ngrams_bits" in validation:
            speed += f", by n-grams of the same ids {validation['ngrams_bits']:.3f}"
        if validation and "accuracy" in validation:
            speed += (
                f"; {validation['accuracy']:.1%} of its labels are right, by a bag of the same ids "
                f"{validation['bag_accuracy']:.1%}, by the most frequent label {validation['majority']:.1%}"
            )
        if validation and "mean_error" in validation:
            speed += (
                f"; its numbers are {validation['mean_error']:.4g} off on average, by a bag of the same ids "
                f"{validation['bag_mean_error']:.4g}, by the mean {validation['mean_error_of_mean']:.4g}"
            )
        name = f"{MEMBERS}/{out.name}" if out.parent.name == MEMBERS else out.name
        say(f"{name}: {gained}{speed}")
