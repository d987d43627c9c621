"""Deal units to parts so that each part has its share of the rows, of every label alike."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Unit:
    """What is never cut: the rows of one person, or a single row; `labels` counts those of its rows."""

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """The most frequent label, of equal ones the first in order; the empty string without any."""
        return min(self.labels, key=lambda one: (-self.labels[one], one), default="")


def dealt(units: Mapping[str, Unit], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Return the part of each unit, by name.

    Units are ordered by label, and within a label by a hash of seed and name, so the order of rows does not matter.
    Each goes to the part that is furthest behind its share of the rows so far, so every run of units of one label is
    shared out alike, and what is left over of rare labels too.
    """
    order = sorted(units, key=lambda name: (units[name].label, _drawn(seed, name)))
    return dict(zip(order, _in_turn((max(units[name].rows, 1) for name in order), shares), strict=True))


def dealt_singly(
    names: Iterable[str], labels: NDArray[np.int32], shares: Sequence[float], seed: int
) -> NDArray[np.int8]:
    """Return the part of each of n units of one row, (n,), as `dealt` does; `labels` (n,) number labels in order.

    It needs some 40 bytes of memory a unit.
    """
    drawn = bytearray()
    for name in names:
        drawn += _drawn(seed, name)
    high, low = np.frombuffer(drawn, ">u8").reshape(-1, 2).T
    order = np.lexsort((low, high, labels))
    found = np.empty(len(order), np.int8)
    found[order] = np.fromiter(_in_turn(repeat(1, len(order)), shares), np.int8, len(order))
    return found


def _in_turn(sizes: Iterable[int], shares: Sequence[float]) -> Iterator[int]:
    """Yield for each unit, of so many rows, the part that is furthest behind its share."""
    got, total = [0] * len(shares), 0
    for size in sizes:
        total += size
        behind = [share * total - rows for share, rows in zip(shares, got, strict=True)]
        part = behind.index(max(behind))
        got[part] += size
        yield part


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
