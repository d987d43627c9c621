"""Samples of task "lm" that are of one record each, as a promise of privacy to records needs them.

A record is cut from its start into windows of `context` predictions; the last window may be shorter. The first window
reads the `<eos>` before the record, and each later one the last id of the window before it. As in `Blocks`, every id
and every record's `<eos>` is predicted exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.trainer.datasets.blocks import NONE, predicted
from ult.trainer.datasets.collator import Item
from ult.trainer.datasets.packing import Stream, given_ids, mapped_stream


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows in order: window k is of record r if `lasts[r - 1] <= k < lasts[r]`."""

    stream: Stream  # (1 + ids + rows,) starts with <eos>, which is not predicted
    ends: NDArray[np.int64]  # (rows,) the place in the stream of the <eos> after each record
    lasts: NDArray[np.int64]  # (rows,) how many windows there are up to each record, its own included
    context: int
    given: NDArray[np.int64] = field(default_factory=lambda: NONE)  # special ids that are read and never predicted
    label: ClassVar[None] = None
    classes: ClassVar[list[Any]] = []
    truncated: ClassVar[int] = 0
    longest: ClassVar[int] = 0  # no record is cut
    whole: ClassVar[bool] = True  # every id of the data is predicted

    @classmethod
    def open(cls, folder: Path, *, context: int) -> Windows:
        """Map what `ult.trainer.datasets.packing.pack` wrote."""
        stream, ends = mapped_stream(folder)
        return cls(stream, ends, np.cumsum(-(-np.diff(ends, prepend=0) // context)), context, given_ids(folder))

    @property
    def ids(self) -> int:
        """How many ids all windows read."""
        return len(self.stream) - 1

    @property
    def rows(self) -> int:
        """How many records there are."""
        return len(self.ends)

    def __len__(self) -> int:
        return int(self.lasts[-1])

    def __getitem__(self, k: int) -> Item:
        row = self._row(k)
        first = self._start(row) + (k - self._first(row)) * self.context
        window = self.stream[first : min(first + self.context, int(self.ends[row])) + 1].astype(np.int64)
        return {"input_ids": window[:-1], "labels": predicted(window[1:], self.given)}

    def window(self, row: int, share: float) -> Item:
        """Return the window of record `row` at `share`, from 0 to below 1, of the way through its windows."""
        first = self._first(row)
        return self[first + int(share * (int(self.lasts[row]) - first))]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many ids (rows,) of each record are predicted, its `<eos>` included."""
        return np.asarray(np.diff(self.ends, prepend=0) - (len(self.given) > 0))  # of all the modality, or of none

    def records(self, k: int) -> NDArray[np.int64]:
        """Return the record (n,) of each prediction of window k; all are the same."""
        return np.full(int((self[k]["labels"] >= 0).sum()), self._row(k))

    def _row(self, k: int) -> int:
        return int(np.searchsorted(self.lasts, k, side="right"))

    def _first(self, row: int) -> int:
        return int(self.lasts[row - 1]) if row else 0

    def _start(self, row: int) -> int:
        return int(self.ends[row - 1]) if row else 0
