"""The head of a classifier that goes on from an earlier one: what that one knew of each label stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ult.host.extras import require
from ult.public.run import Run
from ult.trainer.models.embeddings import Model
from ult.trainer.models.load import load_trained

with require("torch", extra="train"):
    import torch


def keep_labels(model: Model, run: Run, classes: Sequence[Any]) -> None:
    """Give a classifier of `classes` the head of an earlier run, in which new labels keep what was drawn for them.

    If the two have no label in common, the head stays as it was drawn.
    """
    both = [(k, run.classes.index(label)) for k, label in enumerate(classes) if label in run.classes]
    if not both:
        return
    new, old = (torch.tensor(places) for places in zip(*both, strict=True))
    held = {name: weight.cpu() for name, weight in load_trained(run).named_parameters()}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(f"{model.base_model_prefix}.") or name not in held:
                continue
            if weight.shape == held[name].shape and weight.shape[0] != len(classes):
                weight.copy_(held[name])  # of a layer before the last
            elif weight.shape[1:] == held[name].shape[1:] and len(held[name]) == len(run.classes):
                weight[new] = held[name][old]
