"""Count how often each patch occurs and how many distinct records hold it, which is all that fitting a table needs.

`capacity` bounds memory, here and in `merges`: it is the number of symbols that all distinct patches may have together.
Records whose patches have more are read twice. The first pass then keeps weights instead of patches: a count-min sketch
adds the count of each patch to one bucket per row, and the weight of a patch, the least of its buckets, is never below
its count. The second pass gets each weight as a grade of one byte (`_grade`) and counts only the patches whose grade is
at least the lowest one for which they fit into `capacity`. So every patch that occurs at least `exact_from` times is
counted exactly, and some of the rarer ones are left out.

The result depends on the records alone. Sums and maxima do not depend on order, so the counts of parts, merged in any
order, are the counts of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec
from ult.codecs.patches import Ends, Patches, Symbols
from ult.codecs.pretokenizer import cut_words
from ult.codecs.text import TextBytes
from ult.errors import InvalidConfig
from ult.host import native
from ult.owner.bpe.patch_table import (
    BUCKETS,
    ROWS,
    Holders,
    Sieve,
    count_patches,
    least_that_fits,
    leave_out,
    merge_patches,
    no_patches,
    roomier,
    weigh,
)
from ult.owner.bpe.tally import ROOM, TextTally, merge_counts

CAPACITY = 2**22  # symbols, about 450,000 patches: as many as 250 MB of Python sources have
_SLACK = 17 / 16  # multiple of the capacity at which a second pass sieves; above 1, so that it sieves rarely
_NO_SIEVE: NDArray[np.uint8] = np.zeros((ROWS, 1), np.uint8)
_GRADE_BITS = np.int64(50)  # the low bits of a float64, which its grade leaves out


class Counted(NamedTuple):
    """The counts of one `PatchCounts`, as arrays for another one to `merge`. They are as secret as the records."""

    min_records: int
    capacity: int
    sieved: bool
    least_grade: int
    records: int
    weights: NDArray[np.int64] | None
    symbols: Symbols
    ends: Ends
    counts: NDArray[np.int64]
    holders: Holders


class PatchCounts:
    """Counts of distinct patches. The order and the batches in which records are added or merged change no count.

    Each patch keeps at most `min_records` of its holders. A holder is identified by a hash of its symbols, so a record
    that is added twice is one holder. `capacity` bounds the symbols of all distinct patches. Once there are more,
    `over_capacity` is true, and `second_pass` returns empty counts to add all records to again. Every patch that occurs
    at least `exact_from` times is counted exactly.

    Raises `InvalidConfig` for a `min_records` or `capacity` below 1.
    """

    def __init__(
        self, *, min_records: int = 1, capacity: int = CAPACITY, sieve: NDArray[np.uint8] | None = None
    ) -> None:
        for name, value in (("min_records", min_records), ("capacity", capacity)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InvalidConfig(f"{name} is {value!r}; expected an integer of at least 1")
        self.min_records, self.capacity = int(min_records), int(capacity)
        self.records = 0
        self._least = self._sieved = 0  # the least grade that passes, and the one that the patches were sieved with
        self._sieve = sieve
        self._weights: NDArray[np.int64] | None = None  # instead of patches, once there are too many
        self._unique = no_patches()
        self._tally: TextTally | None = None  # of the present numbers of patches, and the present least grade

    def add_records(self, codec: Codec[Any], records: Sequence[Any]) -> None:
        """Count every patch of every record as `codec` cuts it. Raises `InvalidRecord`."""
        library = native.library() if isinstance(codec, TextBytes) and self._weights is None else None
        if library is None or not isinstance(codec, TextBytes):
            self.add(codec.encode_batch(records))
            return
        data, stops = codec.joined(records)
        stops, done = np.ascontiguousarray(stops, np.int64), 0
        room = min(ROOM, len(data) + len(stops))  # so many patches, symbols and holders there may be at most
        while done < len(stops):
            if self._weights is not None or stops[done] - (stops[done - 1] if done else 0) >= ROOM:
                last = len(stops) if self._weights is not None else done + 1
                start = int(stops[done - 1]) if done else 0
                part, ends = data[start : stops[last - 1]], stops[done:last] - start
                self.add(Patches(part, *cut_words(part, ends)))
                done = last
                continue
            self._unique = roomier(self._unique, room, room, room)
            self._tally = self._tally or TextTally(library)
            more = self._tally.add(data, stops, done, self.min_records, self._filter(), self._unique)
            self.records += more - done
            done = more
            self._bound()

    def add(self, patches: Patches) -> None:
        """Count every patch of every record in `patches`."""
        self.records += len(patches.records)
        if self._weights is not None:
            weigh(patches.symbols, patches.ends, np.ones(len(patches.ends), np.int64), self._weights)
            return
        done = 0
        while True:
            done = count_patches(
                patches.symbols,
                patches.ends,
                patches.records,
                done,
                self.min_records,
                self._filter(),
                self._unique,
            )
            if done == len(patches.ends):
                break
            longest = int(np.diff(patches.ends, prepend=0).max())
            self._unique = roomier(self._unique, 1, longest, 1)
        self._bound()

    def merge(self, other: Counted) -> None:
        """Add the counts of `other`, as if its records had been added here.

        Raises `InvalidConfig` unless `other` has the same `min_records` and `capacity` and is from the same pass.
        """
        for name in ("min_records", "capacity"):
            if getattr(other, name) != getattr(self, name):
                raise InvalidConfig(f"counts are for {name} {getattr(other, name)}; expected {getattr(self, name)}")
        if other.sieved != (self._sieve is not None):
            raise InvalidConfig("counts of a first pass and of a second one do not add up")
        self.records += other.records
        self._least, self._tally = max(self._least, other.least_grade), None
        if self._weights is None and other.weights is not None:
            self._overflow()
        if self._weights is not None:
            weigh(other.symbols, other.ends, other.counts, self._weights)
            if other.weights is not None:
                self._weights += other.weights
            return
        self._unique = roomier(self._unique, len(other.counts), len(other.symbols), len(other.holders.record))
        library = native.library()
        merge = merge_patches if library is None else partial(merge_counts, library)
        merge(other.symbols, other.ends, other.counts, other.holders, self.min_records, self._filter(), self._unique)
        self._bound()

    def _filter(self) -> Sieve:
        return Sieve(_NO_SIEVE if self._sieve is None else self._sieve, self._least)

    def _bound(self) -> None:
        """Keep memory within bounds: a first pass keeps weights only from now on, a second pass sieves."""
        if self._sieve is None and self._unique.size[1] > self.capacity:
            self._overflow()
        elif self._unique.size[1] > _SLACK * self.capacity:
            self._settle()

    def _overflow(self) -> None:
        self._weights = np.zeros((ROWS, BUCKETS), np.int64)
        symbols, ends, counts, _ = self._arrays()
        weigh(symbols, ends, counts, self._weights)
        self._unique, self._tally = no_patches(), None

    def _settle(self) -> None:
        """Remove the patches that cannot pass the final sieve, by what has been counted so far."""
        if self._sieve is None:
            return
        self._least = max(self._least, least_that_fits(self._unique, self._sieve, self.capacity))
        if self._least > self._sieved:
            leave_out(self._unique, self._filter())
            self._tally = None
            self._sieved = self._least

    @property
    def over_capacity(self) -> bool:
        """Whether the distinct patches have more than `capacity` symbols, so that only weights of them are known."""
        return self._weights is not None

    @property
    def exact_from(self) -> int:
        """The number of occurrences from which every patch is counted; 0 if all patches are."""
        self._settle()
        return _occurrences(self._least)

    def second_pass(self) -> Self:
        """Return empty counts for a second pass over the same records, which counts the patches of greatest weight."""
        sieve = None if self._weights is None else _grade(self._weights)
        return type(self)(min_records=self.min_records, capacity=self.capacity, sieve=sieve)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that make empty counts for the same pass. They are as secret as the records."""
        return {"min_records": self.min_records, "capacity": self.capacity, "sieve": self._sieve}

    def counted(self) -> Counted:
        """Return the counts as arrays, for another `PatchCounts` to `merge`."""
        self._settle()
        about = (self.min_records, self.capacity, self._sieve is not None, self._least, self.records, self._weights)
        return Counted(*about, *self._arrays())

    def patches(self) -> tuple[Symbols, Ends, NDArray[np.int64], Holders]:
        """Return the distinct patches: their symbols (n,), ends (p,) int64, counts (p,) int64 and holders.

        Raises `InvalidConfig` if `over_capacity`.
        """
        if self.over_capacity:
            raise InvalidConfig(
                f"the distinct patches have more than {self.capacity} symbols", hint="count again into `second_pass()`"
            )
        self._settle()
        return self._arrays()

    def _arrays(self) -> tuple[Symbols, Ends, NDArray[np.int64], Holders]:
        n, symbols, nodes = (int(size) for size in self._unique.size)
        held, last, record, link = self._unique.holders
        holders = Holders(held[:n], last[:n], record[:nodes], link[:nodes])
        return self._unique.pool[:symbols], self._unique.ends[1 : n + 1], self._unique.counts[:n], holders


def _grade(weights: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return a grade for each weight: the top bits of a float64, four grades per doubling, never falling with it."""
    bits = np.maximum(weights, 1).astype(np.float64).view(np.int64) >> _GRADE_BITS
    return (bits - (1023 << 2)).astype(np.uint8)


def _occurrences(grade: int) -> int:
    """Return the lowest count whose grade is at least `grade`; 0 for grade 0, which every count reaches."""
    lowest = np.array([(grade + (1023 << 2)) << 50]).view(np.float64)[0]
    return int(np.ceil(lowest)) if grade else 0
