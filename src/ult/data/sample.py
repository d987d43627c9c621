"""`sample:topics` and `sample:digits`: data from installed packages, for trying things out offline.

`sample:topics?owner=a&part=train`: the paragraphs of Python's own help topics, with the column `topic` to keep. A
paragraph of several topics belongs to the first, so that no two parts share one. Topics in order of size alternate
between the owners a and b, so that their halves are alike. Every fifth topic of an owner is in part test, the rest in
train. On Python 3.11 there are 2,071 paragraphs of 79 topics.
`sample:digits`: scikit-learn's 1797 handwritten digits, 8 x 8, with the column `label` to keep. Images alternate
between the owners; every fifth image of an owner is in part test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from ult.data.array import IMAGE
from ult.data.hub import parse
from ult.data.rows import ROWS, Chunk, Column, Rows
from ult.errors import MissingSource
from ult.host.extras import require

PREFIX = "sample:"
_OWNERS, _PARTS = ("a", "b"), ("train", "test")


class SampleRows(Rows):
    """The rows of a packaged sample."""

    def __init__(self, address: str) -> None:
        self.name = address
        sample, options = parse(address.removeprefix(PREFIX), address, ("owner", "part"))
        owner, part = options.get("owner"), options.get("part")
        if sample not in _SAMPLES or owner not in (None, *_OWNERS) or part not in (None, *_PARTS):
            raise MissingSource(
                f"{address} is no sample; expected topics or digits, owner a or b, part train or test",
                hint="sample:topics?owner=a&part=train",
            )
        self.types, self._columns = _SAMPLES[sample](owner, part)
        self.column = next(iter(self.types))

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of `columns`."""
        length = len(self._columns[columns[0]])
        for first in range(0, length, ROWS):
            values = {name: self._columns[name][first : first + ROWS] for name in columns}
            yield Chunk(self.name, first + 1, values, min(ROWS, length - first))


_Sample = tuple[dict[str, pa.DataType], dict[str, Column]]


def _chosen(number: int, owner: str | None, part: str | None) -> bool:
    """Return whether item `number` of a sample belongs to `owner` and `part`; None stands for all."""
    return owner in (None, "abba"[number % 4]) and part in (None, _PARTS[number // 2 % 5 == 4])


def _topics(owner: str | None, part: str | None) -> _Sample:
    from pydoc_data.topics import topics

    first: dict[str, tuple[str, str]] = {}  # paragraph, spaces normalised -> its first text and topic
    for name in sorted(topics):
        for text in re.split("\n\n+", topics[name].strip("\n")):
            first.setdefault(" ".join(text.split()), (text, name))
    size = Counter[str]()
    for text, name in first.values():
        size[name] += len(text)
    by_size = sorted(size, key=lambda name: (-size[name], name))
    names = {name for i, name in enumerate(by_size) if _chosen(i, owner, part)}
    rows = [(text, name) for text, name in first.values() if name in names]
    columns: dict[str, Column] = {"text": [text for text, _ in rows], "topic": [name for _, name in rows]}
    return {"text": pa.string(), "topic": pa.string()}, columns


def _digits(owner: str | None, part: str | None) -> _Sample:
    with require("scikit-learn", extra="demo"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    chosen = [i for i in range(len(digits.images)) if _chosen(i, owner, part)]
    images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # grey of 0 to 16 becomes 0 to 255
    return {"image": IMAGE, "label": pa.int64()}, {"image": images, "label": digits.target[chosen]}


_SAMPLES = {"topics": _topics, "digits": _digits}
