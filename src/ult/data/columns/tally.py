"""Count what the cells of a column look like, in one pass and bounded memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from ult.codecs.cells import Cells
from ult.data.cells import arrow_of
from ult.data.columns import looks
from ult.host.later import compute as pc

_MISSING = """
na n/a #n/a nan -nan nat <na> null #null! none nil - -- --- . ? \\n missing unknown unk undefined unspecified nd n.d.
k.a. inf -inf +inf 1.#qnan
"""
MISSING = frozenset(_MISSING.split()) | {"", "not available", "not applicable", "keine angabe"}  # in lower case
SODIUM = "Na"  # beside K and Cl it is no missing value, as it is among numbers
ENTRIES = 2**20  # distinct texts of all columns together that are counted exactly
MOST, LEAST = 2**15, 2**6  # of one column
SHAPES = 512  # different shapes from which on a column is no number and no date
LONG = 100  # characters of a text that is counted by its hash
SKETCH = 2**12  # smallest hashes that are kept to estimate how many texts differ
LOOKED = 2**16  # rows from which on only every 16th chunk is searched for forms of personal data
SEPARATORS = "|;,"
_WIDE = 48  # characters beyond which a text is no number and no date
ZERO, OTHER = "\x00", "\x01"  # marks in front of a shape: a number that begins with 0; and the shape of long texts


class Tally:
    """What the cells of one column look like, over the chunks added so far.

    A *shape* is a cell with each digit replaced by 9; `shapes` counts the cells of each, without those that spell a
    missing value, and is None if there are too many. A shape begins with `ZERO` if the number in the cell does.
    """

    def __init__(self, most: int = MOST) -> None:
        self.rows = self.nulls = self.empty = self.longest = self.chunks = 0
        self.counts: Counter[str] = Counter()  # of each text, the first `most`
        self.spelled: Counter[str] = Counter()  # of each text that may say "missing"
        self.shapes: Counter[str] | None = Counter()
        self.first: dict[str, str] = {}  # shape -> a cell of it
        self.late = [0, 0]  # cells `a/b/...` whose a is over 12, and whose b is
        self.formed: Counter[str] = Counter()
        self.looked = 0  # cells that were searched for forms and are not empty
        self.inside: Counter[str] = Counter()  # of `looks.INSIDE`: cells of free text that hold it
        self.parted: Counter[str] = Counter()  # separator -> cells with it
        self.examples: dict[str, None] = {}
        self._most, self._over = most, False
        self._sodium: bool | None = None  # whether "Na" is a word of this column: among words, not among numbers
        self._pending: list[tuple[pa.Array, np.ndarray]] = []
        self._hashes = np.empty(0, np.uint64)

    def add(self, texts: Sequence[str | None]) -> None:
        """Add the cells of one chunk; a column of `Cells` is of UTF-8."""
        try:
            column = arrow_of(texts) if isinstance(texts, Cells) else pa.array(texts, pa.large_string())
        except UnicodeEncodeError:  # a lone surrogate
            texts = [None if text is None else text.encode("utf-8", "replace").decode() for text in texts]
            column = pa.array(texts, pa.large_string())
        self.rows += len(column)
        self.nulls += column.null_count
        self.chunks += 1
        found = pc.value_counts(column.drop_null())
        values, sizes = found.field("values"), np.asarray(found.field("counts"))
        if not len(values):
            return
        self.longest = max(self.longest, pc.max(pc.utf8_length(values)).as_py())
        self._count(values, sizes)
        low = pc.utf8_lower(pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(values, 0, 2 * _WIDE)))
        gone = np.array(pc.is_in(low, pa.array(MISSING, pa.large_string())))
        sodium = np.asarray(pc.equal(values, SODIUM))
        if sodium.any():
            if self._sodium is None:
                rest = np.asarray(pc.match_substring_regex(values, "[0-9]"))[~gone]
                self._sodium = 2 * int(sizes[~gone][rest].sum()) < int(sizes[~gone].sum())
            gone &= ~(sodium & self._sodium)
        for text, size in zip(values.filter(pa.array(gone)).to_pylist(), sizes[gone].tolist(), strict=True):
            if len(self.spelled) < SHAPES or text in self.spelled:
                self.spelled[text] += size
        present, sizes = values.filter(pa.array(~gone)), sizes[~gone]
        if len(present):
            self._shape(present, sizes)
            self._look(present, sizes)

    @property
    def cells(self) -> int:
        """The number of cells that are neither null nor spell a missing value."""
        return self.rows - self.nulls - sum(self.spelled.values())

    @property
    def exact(self) -> bool:
        """Whether all different texts were counted."""
        return not self._over

    @property
    def distinct(self) -> int:
        """The number of different texts, missing ones included; an estimate unless `exact`."""
        if not self._over:
            return len(self.counts)
        if len(self._hashes) < SKETCH:
            return max(len(self._hashes), len(self.counts))
        return int((SKETCH - 1) / (float(self._hashes[-1]) / 2.0**64))

    @property
    def different(self) -> int:
        """The number of different texts that are not missing."""
        return max(self.distinct - len(self.spelled), 0)

    @property
    def whole(self) -> bool:
        """Whether no cell has a point or a comma."""
        return self.shapes is not None and not any(mark in shape for shape in self.shapes for mark in ".,")

    @property
    def present(self) -> list[str]:
        """The texts that were counted and are not missing; of a long one its hash."""
        return [text for text in self.counts if text not in self.spelled]

    def _count(self, values: pa.Array, sizes: np.ndarray) -> None:
        texts = [text if len(text) <= LONG else _digest(text).hex() for text in values.to_pylist()]
        for text, size in zip(texts, sizes.tolist(), strict=True):
            if text in self.counts or len(self.counts) < self._most:
                self.counts[text] += size
            elif not self._over:
                self._over = True
                self._sketch(list(self.counts))
        if self._over:
            self._sketch(texts)

    def _sketch(self, texts: list[str]) -> None:
        new = np.frombuffer(b"".join(map(_digest, texts)), "<u8")
        if len(self._hashes) == SKETCH:
            new = new[new < self._hashes[-1]]
        if len(new):
            self._hashes = np.unique(np.concatenate([self._hashes, new]))[:SKETCH]

    def _shape(self, values: pa.Array, sizes: np.ndarray) -> None:
        for mark in SEPARATORS:
            self.parted[mark] += int(sizes[np.asarray(pc.match_substring(values, mark))].sum())
        if self.shapes is None:
            return
        wide = pc.greater(pc.utf8_length(values), _WIDE)
        shapes = pc.replace_substring_regex(pc.utf8_slice_codeunits(values, 0, _WIDE), "[0-9]", "9")
        zero = pc.match_substring_regex(values, r"^[^0-9]*0[0-9.,]")
        shapes = pc.if_else(zero, _join(ZERO, shapes), shapes)
        shapes = pc.if_else(wide, _join(OTHER, shapes), shapes)
        encoded = pc.dictionary_encode(shapes)
        names, which = encoded.dictionary.to_pylist(), np.asarray(encoded.indices)
        totals = np.bincount(which, sizes, len(names)).astype(np.int64).tolist()
        firsts = np.unique(which, return_index=True)[1]
        for name, total, text in zip(names, totals, values.take(pa.array(firsts)).to_pylist(), strict=True):
            self.shapes[name] += total
            self.first.setdefault(name, text[: 2 * _WIDE])
        if len(self.shapes) > SHAPES:
            self.shapes = None
            return
        if any("9/9" in name or "9-9" in name for name in names):
            for k, pattern in enumerate((r"^(1[3-9]|[23][0-9])[/-]", r"^[0-9]+[/-](1[3-9]|[23][0-9])[/-]")):
                self.late[k] += int(sizes[np.asarray(pc.match_substring_regex(values, pattern))].sum())

    def _look(self, values: pa.Array, sizes: np.ndarray) -> None:
        if not self.examples:
            self.examples.update(dict.fromkeys(values.slice(0, 1).to_pylist()))
        if self.rows <= LOOKED or self.chunks % 16 == 0:
            self._pending.append((pc.utf8_slice_codeunits(values, 0, 2**12), sizes))

    def waiting(self) -> list[tuple[pa.Array, np.ndarray]]:
        """Return the values that `look` has not searched yet, each with how often it occurs."""
        pending, self._pending = self._pending, []
        return pending


def look(tallies: Iterable[Tally]) -> None:
    """Search the values that were added since the last call for forms of personal data, those of all columns at once.

    The patterns take so long to compile that a call for each column would take a minute for a thousand columns.
    """
    parts = [(one, values, sizes) for one in tallies for values, sizes in one.waiting()]
    if not parts:
        return
    every = pa.chunked_array([values for _, values, _ in parts]).combine_chunks()
    found = {**looks.forms(every), "words": looks.wordy(every)}
    start = 0
    for one, values, sizes in parts:
        stop = start + len(values)
        one.looked += int(sizes.sum())
        for form, which in found.items():
            one.formed[form] += int(sizes[which[start:stop]].sum())
        worded = found["words"][start:stop]
        if worded.any():
            for what, which in looks.inside(values.filter(pa.array(worded))).items():
                one.inside[what] += int(sizes[worded][which].sum())
        start = stop


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _join(mark: str, texts: pa.Array) -> pa.Array:
    """Return texts with a mark in front of each."""
    return pc.binary_join_element_wise(pa.scalar(mark, texts.type), texts, pa.scalar("", texts.type))
