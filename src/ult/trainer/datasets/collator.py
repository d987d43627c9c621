"""Samples of unequal lengths stacked into one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ult.public.vocabulary import PAD

if TYPE_CHECKING:
    import torch


IGNORED = -100  # a label that counts in no loss; torch.nn.functional.cross_entropy's own default

Item = dict[str, NDArray[np.int64]]


def collate(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    """Stack items and pad them on the right. Causal models need no mask for that, as no id looks to its right.

    Everything but the labels is input of the model.
    """
    import torch

    def padded(name: str, value: int) -> torch.Tensor:
        width = max(len(item[name]) for item in items)
        out = np.full((len(items), width), value, np.int64)
        for row, item in zip(out, items, strict=True):
            row[: len(item[name])] = item[name]
        return torch.from_numpy(out)

    def stacked(name: str) -> torch.Tensor:
        if items[0][name].ndim == 0:  # one number a sample: its class, its table, or what it is labelled with
            return torch.from_numpy(np.stack([item[name] for item in items]))
        # An attention mask, which only encoders have, is padded with zeros: `PAD` is 0.
        return padded(name, IGNORED if name == "labels" else PAD)

    return {name: stacked(name) for name in items[0]}
