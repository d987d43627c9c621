"""Samples of task "lm": the stream of all records, cut into blocks of equal length."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.trainer.datasets.collator import IGNORED, Item
from ult.trainer.datasets.packing import Stream, given_ids, mapped_stream

NONE = np.empty(0, np.int64)


def predicted(ids: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels (n,) of ids (n,): the ids, with `IGNORED` in place of those `given`, which name a modality."""
    return np.where(np.isin(ids, given), IGNORED, ids)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The stream of all records, cut into blocks of `context` predictions; the last block may be shorter.

    Block k reads `stream[k * context :][:context]` and predicts the ids one further on. Every id after the first is
    thus predicted exactly once, each record's `<eos>` included.
    """

    stream: Stream  # (1 + ids + rows,) starts with <eos>, which is not predicted
    ends: NDArray[np.int64]  # (rows,) how many predictions there are up to the <eos> of each record, included
    context: int
    apart: bool = False  # whether samples have positions that begin anew with each record, by which models part them
    given: NDArray[np.int64] = field(default_factory=lambda: NONE)  # special ids that are read and never predicted
    label: ClassVar[None] = None
    classes: ClassVar[list[Any]] = []
    truncated: ClassVar[int] = 0
    longest: ClassVar[int] = 0  # no record is cut
    whole: ClassVar[bool] = True  # every id of the data is predicted

    @classmethod
    def open(cls, folder: Path, *, context: int, apart: bool = False) -> Blocks:
        """Map what `pack` wrote."""
        return cls(*mapped_stream(folder), context, apart=apart, given=given_ids(folder))

    @property
    def ids(self) -> int:
        """How many ids a pass reads: those of all records, their modality ids if there are any, and an `<eos>` each."""
        return len(self.stream) - 1

    def __len__(self) -> int:
        return -(-self.ids // self.context)

    def __getitem__(self, k: int) -> Item:
        window = self.stream[k * self.context : (k + 1) * self.context + 1].astype(np.int64)
        positions = {"position_ids": self._positions(k, len(window) - 1)} if self.apart else {}
        return {"input_ids": window[:-1], **positions, "labels": predicted(window[1:], self.given)}

    def _positions(self, k: int, n: int) -> NDArray[np.int64]:
        """Return how many ids of its record stand before each of the `n` ids of block k, in the block."""
        places = np.arange(k * self.context, k * self.context + n)
        begun = np.concatenate([[0], self.ends])[np.searchsorted(self.ends, places, side="right")]
        return np.asarray(places - np.maximum(begun, k * self.context))

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many ids (rows,) of each record are predicted, its `<eos>` included."""
        return np.asarray(np.diff(self.ends, prepend=0) - (len(self.given) > 0))  # of all the modality, or of none

    def sample_of(self, row: int) -> int:
        """Return the first block whose first prediction is of record `row` or a later one."""
        return -(-int(self.ends[row - 1]) // self.context) if row else 0

    def records(self, k: int) -> NDArray[np.int64]:
        """Return the record (n,) that each prediction of block k belongs to."""
        places = np.arange(k * self.context, min((k + 1) * self.context, self.ids))
        return np.asarray(np.searchsorted(self.ends, places[self[k]["labels"] != IGNORED], side="right"))
