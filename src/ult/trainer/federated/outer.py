"""The outer step: what the changes that owners send make of the group's body.

`average` adds the mean of the changes (FedAvg, arXiv:1602.05629, every owner counting the same). `nesterov` takes it as
a gradient and gives it momentum (DiLoCo, arXiv:2311.08105, whose rate 0.7 and momentum 0.9 these are).
"""

from __future__ import annotations

from collections.abc import Sequence

from ult.host.extras import require
from ult.trainer.federated.body import Body

with require("torch", extra="train"):
    import torch

RATE, MOMENTUM = 0.7, 0.9


def mean_of(changes: Sequence[Body]) -> Body:
    """Return the mean of changes of one body, each owner counting the same."""
    names = sorted(changes[0])
    return {name: torch.stack([one[name].double() for one in changes]).mean(0).float() for name in names}


def step(body: Body, mean: Body, rule: str, velocity: Body | None = None) -> tuple[Body, Body | None]:
    """Return the next body and the next velocity, given the mean change of the body and the velocity so far.

    Only `nesterov` has a velocity; None stands for one of zero.
    """
    if rule == "average":
        return {name: body[name] + mean[name] for name in body}, None
    before = velocity or {name: torch.zeros_like(body[name]) for name in body}
    after = {name: MOMENTUM * before[name] + mean[name] for name in body}
    return {name: body[name] + RATE * (mean[name] + MOMENTUM * after[name]) for name in body}, after
