"""Samples of task "lm" with rows per table: blocks of each shards folder by itself, which name their table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ult.errors import TrainingError
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import Item


@dataclass(frozen=True, slots=True)
class PerTable:
    """The blocks of all folders, one folder after the other; no block reaches into the next folder."""

    parts: Sequence[Blocks]
    tables: Sequence[int]  # (parts,) the number of each one's table
    label: ClassVar[None] = None
    classes: ClassVar[list[Any]] = []
    truncated: ClassVar[int] = 0
    whole: ClassVar[bool] = True  # every id of the data is predicted

    @classmethod
    def open(
        cls, folder: Path, shards: Sequence[Shards], tables: Sequence[str], *, context: int, apart: bool = False
    ) -> PerTable:
        """Map what `pack` wrote of each of `shards` into its place in `folder`; `tables` are numbered in order."""
        parts = [Blocks.open(part_of(folder, number), context=context, apart=apart) for number in range(len(shards))]
        return cls(parts, [tables.index(one.manifest.table) for one in shards])

    @property
    def ids(self) -> int:
        """How many ids a pass reads."""
        return sum(part.ids for part in self.parts)

    @property
    def context(self) -> int:
        """The ids of a block."""
        return self.parts[0].context

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, k: int) -> Item:
        ends = list(accumulate(map(len, self.parts)))
        number = bisect_right(ends, k)
        part = self.parts[number]
        return {**part[k - ends[number] + len(part)], "tables": np.array(self.tables[number], np.int64)}

    def sample_of(self, row: int) -> int:
        """Return the first block whose first prediction is of record `row`, of all folders', or a later one."""
        before = 0
        for part in self.parts:
            if row < len(part.ends):
                return before + part.sample_of(row)
            before, row = before + len(part), row - len(part.ends)
        return before


def part_of(folder: Path, number: int) -> Path:
    """Return where the ids of shards folder `number` are packed in `folder`."""
    return folder / f"part-{number}"


def check_filled(shards: Sequence[Shards]) -> None:
    """Raise `TrainingError` if one of the folders holds no record, and so no block of its own."""
    for one in shards:
        if not one.manifest.rows:
            raise TrainingError(f"no record in {one.path}", hint="leave it out")
