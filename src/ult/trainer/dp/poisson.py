"""The batches of a private training: each step draws every record independently, with the same small probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ult.privacy.randomness import SAMPLE, Source
from ult.trainer.datasets.collator import Item
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.pairs import Pairs
from ult.trainer.datasets.windows import Windows


@dataclass(frozen=True, slots=True)
class PoissonSamples:
    """A Poisson sample for each of `steps`, which holds each record with probability `rate` and may be empty.

    A record of several windows is represented by one of them, drawn at random.
    """

    data: Windows | Labelled | Pairs
    rate: float
    steps: int
    source: Source

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Item]:
        draw = self.source.at(SAMPLE, step)
        records = self.data.rows if isinstance(self.data, Windows) else len(self.data)
        drawn = np.flatnonzero(draw.random(records) < self.rate)
        if not isinstance(self.data, Windows):
            return [self.data[int(k)] for k in drawn]
        shares = draw.random(len(drawn))
        return [self.data.window(int(k), float(share)) for k, share in zip(drawn, shares, strict=True)]
