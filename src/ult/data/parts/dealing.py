"""Deal units to parts so that each part has its share of the rows, of every label alike."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


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
    order = sorted(units, key=lambda name: (units[name].label, drawn(seed, name)))
    return dict(zip(order, in_turn((max(units[name].rows, 1) for name in order), shares), strict=True))


def in_turn(sizes: Iterable[int], shares: Sequence[float]) -> Iterator[int]:
    """Yield for each unit, of so many rows, the part that is furthest behind its share."""
    got, total, others = [0] * len(shares), 0, list(enumerate(shares))[1:]
    for size in sizes:
        total += size
        part, most = 0, shares[0] * total - got[0]
        for other, share in others:
            if (behind := share * total - got[other]) > most:
                part, most = other, behind
        got[part] += size
        yield part


def drawn(seed: int, name: str) -> bytes:
    """Return the hash, 16 bytes, by which units of one label are ordered."""
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
