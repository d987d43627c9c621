"""Keep the body of a model as it is while the embedding rows of a new table and the head are learned."""

from __future__ import annotations

from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.models.embeddings import Model
from ult.trainer.models.presets import PRESETS
from ult.trainer.recipe import Recipe

with require("transformers", extra="train"):
    from transformers import TrainerCallback


def check_freeze_body(recipe: Recipe) -> None:
    """Raise `InvalidConfig` if the body is to be kept, by `freeze_body` or `lora`, and was never trained."""
    if (recipe.freeze_body or recipe.lora) and recipe.from_run is None and (recipe.model or "tiny") in PRESETS:
        name = "freeze_body" if recipe.freeze_body else "lora"
        raise InvalidConfig(
            f"{name} keeps the body as it is, and it is drawn at random", hint="--from RUN or --model FOLDER"
        )


class FreezeBody(TrainerCallback):
    """Removes the gradients of the body in the first `steps` steps, so that the optimizer, decay included, skips it.

    Every checkpoint holds the number of steps done, so a resumed training frees the body when an uninterrupted one
    would.
    """

    def __init__(self, model: Model, steps: int) -> None:
        rows = model.get_input_embeddings().weight
        self.body, self.steps = [weight for weight in model.base_model.parameters() if weight is not rows], steps

    def frozen(self, step: int) -> set[int]:
        """Return the Python `id` of each weight that a step leaves as it is; steps count from 0."""
        return {id(weight) for weight in self.body} if step < self.steps else set()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Remove the body's gradients."""
        if state.global_step < self.steps:
            for weight in self.body:
                weight.grad = None
