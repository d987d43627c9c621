"""Samples of task "classify": each record by itself, with its label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import Item
from ult.trainer.datasets.packing import Stream, mapped_labels, mapped_numbers, mapped_stream

if TYPE_CHECKING:
    import torch

_CHUNK = 1 << 16  # lengths of records in memory at once


@dataclass(frozen=True, slots=True)
class Labelled:
    """Each record between two `<eos>`, cut to `context` ids in all, with the number of its class."""

    stream: Stream  # (1 + ids + rows,)
    ends: NDArray[np.int64]  # (rows,) the place in the stream of the <eos> after each record
    labels: NDArray[Any]  # (rows,) int64 in range(len(classes)); float32 in units of the scale without classes
    label: str
    classes: list[Any]
    context: int
    scale: tuple[float, float] | None = None  # of numbers: their mean and standard deviation
    masked: bool = False  # whether samples have an attention mask, which models that look ahead need beside padding

    @classmethod
    def open(cls, folder: Path, *, context: int, label: str, classes: list[Any]) -> Labelled:
        """Map what `pack` wrote of this label and these classes."""
        return cls(*mapped_stream(folder), mapped_labels(folder), label, classes, context)

    @classmethod
    def of_numbers(cls, folder: Path, *, context: int, label: str, scale: Sequence[float]) -> Labelled:
        """Map what `pack` wrote of this column of numbers, of which `scale` is the mean and the deviation."""
        mean, deviation = scale
        labels = ((mapped_numbers(folder) - mean) / deviation).astype(np.float32)
        return cls(*mapped_stream(folder), labels, label, [], context, (mean, deviation))

    @property
    def ids(self) -> int:
        """How many ids a pass reads."""
        return sum(int(np.minimum(lengths, self.context - 2).sum()) + 2 * len(lengths) for lengths in self._lengths())

    @property
    def truncated(self) -> int:
        """How many records are longer than the context holds."""
        return sum(int((lengths > self.context - 2).sum()) for lengths in self._lengths())

    @property
    def longest(self) -> int:
        """The context that would hold every record whole."""
        return 2 + max(int(lengths.max()) for lengths in self._lengths())

    def _lengths(self) -> Iterator[NDArray[np.int64]]:
        for first in range(0, len(self), _CHUNK):
            before = self.ends[first - 1] if first else 0
            yield np.diff(self.ends[first : first + _CHUNK], prepend=before) - 1

    def flat(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of records `rows`, one after the other, each cut as in its sample, and how many each has."""
        starts = np.where(rows > 0, self.ends[rows - 1], 0) + 1
        lengths = np.minimum(self.ends[rows] - starts, self.context - 2)
        before = np.cumsum(lengths) - lengths
        places = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
        return self.stream[places].astype(np.int32), lengths

    def __len__(self) -> int:
        return len(self.ends)

    def sample_of(self, row: int) -> int:
        """Return the sample that record `row` is."""
        return row

    def __getitem__(self, k: int) -> Item:
        start, end = int(self.ends[k - 1]) if k else 0, int(self.ends[k])
        ids = self.stream[start : min(end, start + self.context - 1) + 1].astype(np.int64)
        ids[-1] = EOS
        mask = {"attention_mask": np.ones_like(ids)} if self.masked else {}
        return {"input_ids": ids, **mask, "labels": self.labels[k]}


def balanced_weights(data: Labelled) -> torch.Tensor:
    """Return how much a record of each class counts (classes,), so that all classes count the same, and 1 on average.

    A class that does not occur counts 0.
    """
    import torch

    counts = np.bincount(data.labels, minlength=len(data.classes))
    weights = np.where(counts > 0, len(data) / np.maximum(counts, 1) / (counts > 0).sum(), 0.0)
    return torch.from_numpy(weights.astype(np.float32))
