"""Deal each row by itself, with the disk for memory: in the order of labels and hashes, then back in that of the files.

`Singly` deals as `ult.data.parts.dealing.dealt` deals units of one row, in memory that does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice, repeat
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ult.data.parts.dealing import in_turn
from ult.host.buckets import Buckets

ROWS = 2**17  # in a window of a file, and, about, in what is sorted at once
_STEP = 2**14  # rows whose hashes are Python's objects at once
_DRAWN = np.dtype([("drawn", np.uint64), ("label", np.int32), ("place", np.int64)])
_DEALT = np.dtype([("row", np.uint32), ("part", np.int8)])


class Labels:
    """The labels of the rows of a first file, of which `cells` has some at a time; `others` of other files have none.

    `length` is how many rows the first file has, `spelled` are all labels, in order, among them "" for none, and
    `counts` (l,) says how many rows have each. Raises `OutputError`.
    """

    def __init__(self, out: Path, cells: Iterable[Sequence[str | None]], others: int) -> None:
        with ExitStack() as stack:
            self._met, self.length = stack.enter_context(Buckets(out, np.int32)), 0
            self._count(cells, others)
            self._open = stack.pop_all()

    def _count(self, cells: Iterable[Sequence[str | None]], others: int) -> None:
        numbers, counts = dict[str, int](), list[int]()
        for some in cells:
            of = np.fromiter((numbers.setdefault(str(cell), len(numbers)) for cell in some), np.int32, len(some))
            self._met.add(np.arange(self.length, self.length + len(of)) // ROWS, of)
            self.length += len(of)
            counts += [0] * (len(numbers) - len(counts))
            for number, n in zip(*(one.tolist() for one in np.unique(of, return_counts=True)), strict=True):
                counts[number] += n
        if others:
            self._none = numbers.setdefault("", len(numbers))
            counts += [0] * (len(numbers) - len(counts))
            counts[self._none] += others
        self.spelled = sorted(numbers)
        met = np.array([numbers[one] for one in self.spelled], np.int64)
        self.counts = np.array(counts, np.int64)[met]
        self._ordered = met.argsort().astype(np.int32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._open.close()

    def of(self, file: int, window: int) -> NDArray[np.int32] | np.int32:
        """Return the labels of a window of a file, as numbers in order: (n,), or one number if all are none."""
        found: NDArray[np.int32] | np.int32 = self._ordered[self._none if file else self._met.part(window)]
        return found


class Singly:
    """The part of each row of files with so many rows, `sizes`, while the `with` block lasts.

    `rows` (files, parts) and `labelled` (labels, parts) say how many rows each part has, of each file, and of each
    label in the first file. Rows are ordered by label and 8 bytes of a hash, which of a billion are equal for some pair
    once in 40 times; the first of such a pair stands first. Raises `OutputError`.
    """

    def __init__(
        self, out: Path, sizes: Sequence[int], shares: Sequence[float], seed: int, labels: Labels | None
    ) -> None:
        self._sizes, self._shares = sizes, shares
        counts = np.array([sum(sizes)]) if labels is None else labels.counts
        self.rows = np.zeros((len(sizes), len(shares)), np.int64)
        self.labelled = np.zeros((len(counts), len(shares)), np.int64)
        self._before = np.append(0, np.cumsum([-(-size // ROWS) for size in sizes]))  # windows, before each file
        with ExitStack() as stack:
            self._dealt = stack.enter_context(Buckets(out, _DEALT))
            with Buckets(out, _DRAWN) as order:
                self._draw(order, seed, labels, counts)
                self._deal(order)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._open.close()

    def of(self, file: int) -> Iterator[NDArray[np.int8]]:
        """Yield the parts of the rows of a file, in order, window by window, (n,) each."""
        for window, first in enumerate(range(0, self._sizes[file], ROWS), int(self._before[file])):
            rows = self._dealt.part(window)
            parts = np.empty(min(ROWS, self._sizes[file] - first), np.int8)
            parts[rows["row"]] = rows["part"]
            yield parts

    def _draw(self, order: Buckets, seed: int, labels: Labels | None, counts: NDArray[np.int64]) -> None:
        """Put each row into the bucket of where about it stands in the order, which no bucket disturbs."""
        lower = np.cumsum(counts) - counts
        for file, size in enumerate(self._sizes):
            for k, first in enumerate(range(0, size, ROWS)):
                rows = np.empty(min(ROWS, size - first), _DRAWN)
                rows["drawn"] = _hashes(seed, file, first, len(rows))
                rows["label"] = 0 if labels is None else labels.of(file, k)
                rows["place"] = np.arange(len(rows)) + ROWS * (int(self._before[file]) + k)
                about = lower[rows["label"]] + counts[rows["label"]] * (rows["drawn"] / 2.0**64)
                order.add(about.astype(np.int64) // ROWS, rows)

    def _deal(self, order: Buckets) -> None:
        """Deal the rows in order, a bucket at a time, and put each part where its row stands in the files."""
        turn, width = in_turn(repeat(1), self._shares), len(self._shares)
        file_of = np.repeat(np.arange(len(self._sizes)), np.diff(self._before))
        for bucket in range(sum(self._sizes) // ROWS + 1):
            rows = order.part(bucket)
            rows = rows[np.lexsort((rows["drawn"], rows["label"]))]
            dealt = np.empty(len(rows), _DEALT)
            dealt["part"] = np.fromiter(islice(turn, len(rows)), np.int8, len(rows))
            windows, dealt["row"] = np.divmod(rows["place"], ROWS)
            if not len(rows):
                continue
            self._dealt.add(windows, dealt)
            files, parts = file_of[windows], dealt["part"].astype(np.int64)
            self.rows += np.bincount(files * width + parts, minlength=self.rows.size).reshape(-1, width)
            least, most = int(rows["label"][0]), int(rows["label"][-1]) + 1
            of = ((rows["label"] - least) * width + parts)[files == 0]
            self.labelled[least:most] += np.bincount(of, minlength=(most - least) * width).reshape(-1, width)


def _hashes(seed: int, file: int, first: int, n: int) -> NDArray[np.uint64]:
    """Return the first 8 bytes of what `drawn` returns of n rows of a file, called by their numbers."""
    found, head = np.empty(n, np.uint64), f"{seed}\0{file} "
    for k in range(0, n, _STEP):
        last = min(k + _STEP, n)
        digests = [blake2b(f"{head}{first + i}".encode(), digest_size=16).digest() for i in range(k, last)]
        found[k:last] = np.frombuffer(b"".join(digests), ">u8")[::2]
    return found
