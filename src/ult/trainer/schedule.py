"""The learning rate of `--schedule infinite`: after its peak it falls to a constant, from which a training can go on.

A cosine ends at zero, and a training that goes on from there has to raise the rate again, which unlearns what was
learned last. Here a run stands at the constant when it ends, the next one starts there, and only a run that is to be
used lets the rate fall to zero in its last steps (arXiv:2503.02844).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ult.public.run import Run
from ult.trainer.recipe import Recipe

INFINITE = "infinite"
COOLDOWN = 0.3  # of the steps after the warm-up, in which the rate falls from the peak to the constant
CONSTANT = 0.4  # of the peak


def goes_on(recipe: Recipe) -> bool:
    """Return whether a training goes on from a run of this schedule, so that it does without the peak."""
    return recipe.from_run is not None and Run.open(recipe.from_run).metrics.get("schedule") == INFINITE


def shares_of_peak(recipe: Recipe) -> Callable[[int], float] | None:
    """Return the share of the peak that the learning rate is at step n, from 0 on; None for another schedule.

    >>> share = shares_of_peak(Recipe(schedule="infinite", steps=100, warmup=10, anneal=20))
    >>> [round(share(step), 3) for step in (0, 5, 10, 37, 79, 80, 90, 100)]
    [0.0, 0.5, 1.0, 0.4, 0.4, 0.4, 0.2, 0.0]
    """
    if recipe.schedule != INFINITE:
        return None
    steps, warmup, anneal = recipe.steps, recipe.warmup_steps, recipe.anneal
    top = CONSTANT if goes_on(recipe) else 1.0
    cooldown = COOLDOWN * (steps - warmup) if top > CONSTANT else 0.0

    def share(step: int) -> float:
        if step < warmup:
            found = top * step / warmup
        elif step < warmup + cooldown:
            found = CONSTANT + (1 - CONSTANT) * (1 + math.cos(math.pi * (step - warmup) / cooldown)) / 2
        else:
            found = CONSTANT
        return found * min(1.0, (steps - step) / anneal) if anneal else found

    return share
