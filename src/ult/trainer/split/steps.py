"""An optimizer whose state is tensors by name, so that it is kept between rounds in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ult.host.extras import require
from ult.trainer.recipe import Recipe

with require("torch", "transformers", extra="train"):
    import torch
    from transformers import get_cosine_schedule_with_warmup

BETAS, LONGEST = (0.9, 0.95), 1.0  # of AdamW, and the length that a gradient is cut to: those of `ult train`
_MOMENTS = ("exp_avg", "exp_avg_sq")  # as torch calls them


class Steps:
    """AdamW on some weights, from step `done` of a recipe on; `kept` are the tensors that `tensors` gave there."""

    def __init__(
        self, named: Mapping[str, Any], recipe: Recipe, rate: float, done: int, kept: Mapping[str, Any]
    ) -> None:
        self.named, self.done = named, done
        decayed = [one for one in named.values() if one.ndim > 1]
        others = [one for one in named.values() if one.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=BETAS)
        schedule = get_cosine_schedule_with_warmup(self.optimizer, recipe.warmup_steps, recipe.steps)
        self.rates = [rate * schedule.lr_lambdas[0](step) for step in range(recipe.steps)]
        if kept:
            for name, one in named.items():
                moments = {moment: kept[f"{moment}/{name}"].clone() for moment in _MOMENTS}
                self.optimizer.state[one] = {"step": torch.tensor(float(done)), **moments}

    def __call__(self, loss: torch.Tensor) -> None:
        """Take a step against the gradients of a loss."""
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), LONGEST)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[self.done]
        self.optimizer.step()
        self.done += 1

    def tensors(self) -> dict[str, Any]:
        """Return the moments of all weights, by name."""
        state = self.optimizer.state
        return {f"{moment}/{name}": state[one][moment].cpu() for name, one in self.named.items() for moment in _MOMENTS}
