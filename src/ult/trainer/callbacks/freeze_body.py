"""A body that stays as it is while the rows of a new table are learned: the first steps train these and the head."""

from __future__ import annotations

from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.models.embeddings import Model
from ult.trainer.models.presets import PRESETS
from ult.trainer.recipe import Recipe

with require("transformers", extra="train"):
    from transformers import TrainerCallback


def check_frozen(recipe: Recipe) -> None:
    """Raise `InvalidConfig` if the body to keep as it is was never trained, or is to be kept for too long."""
    if (recipe.freeze_body or recipe.lora) and recipe.from_run is None and (recipe.model or "tiny") in PRESETS:
        name = "freeze_body" if recipe.freeze_body else "lora"
        raise InvalidConfig(
            f"{name} keeps the body as it is, and it is drawn at random", hint="--from RUN or --model FOLDER"
        )


class Frozen(TrainerCallback):  # type: ignore[misc]
    """Takes the body's gradients away for the first `steps` steps, so that the optimizer, decay included, skips it.

    How many steps were done stands in each checkpoint, so a resumed training frees the body when the whole would.
    """

    def __init__(self, model: Model, steps: int) -> None:
        rows = model.get_input_embeddings().weight
        self.body, self.steps = [weight for weight in model.base_model.parameters() if weight is not rows], steps

    def held(self, step: int) -> set[int]:
        """Return the ids, as Python's `id`, of the weights that stay as they are in a step."""
        return {id(weight) for weight in self.body} if step < self.steps else set()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Drop what the step would do to the body."""
        if state.global_step < self.steps:
            for weight in self.body:
                weight.grad = None
