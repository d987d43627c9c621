"""Records that a model has most to learn from, by EL2N (arXiv:2107.07075): how long the error of its prediction is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.loss import batches


def el2n(model: Any, data: Blocks, batch_size: int) -> NDArray[np.float64]:
    """Return the score (records,) of each record: the mean of its predictions' errors, from 0 to the root of 2.

    An error is the length of the probabilities less 1 at the id that came.
    """
    sums = np.zeros(len(data.ends))
    for numbers, logits, labels in batches(model, data, batch_size):
        counted = labels != IGNORED
        odds = logits[counted].softmax(-1)
        said = odds.gather(1, labels[counted][:, None])[:, 0]
        lengths = (odds.square().sum(-1) + 1 - 2 * said).clamp(min=0).sqrt()
        np.add.at(sums, np.concatenate([data.records(k) for k in numbers]), lengths.double().cpu().numpy())
    return np.asarray(sums / data.counts)


def kept(scores: NDArray[np.float64], prune: float) -> NDArray[np.int64]:
    """Return the numbers (n,) of the records that stay, increasing: those of the highest scores, one at least.

    >>> kept(np.array([0.3, 0.9, 0.1, 0.5]), 0.5).tolist()
    [1, 3]
    """
    many = max(1, math.ceil((1 - prune) * len(scores)))
    return np.sort(np.argsort(-scores, kind="stable")[:many])


def only(data: Blocks, records: NDArray[np.int64]) -> Blocks:
    """Return the blocks of the stream of these records alone."""
    starts = np.concatenate([[0], data.ends[:-1]])
    parts = [data.stream[starts[k] + 1 : data.ends[k] + 1] for k in records]  # each with its <eos>
    ends = np.cumsum([len(part) for part in parts])
    return Blocks(np.concatenate([data.stream[:1], *parts]), ends, data.context)
