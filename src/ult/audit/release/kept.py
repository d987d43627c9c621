"""The columns that shards keep in the clear: what each reveals about people, alone and in combination.

A column is a risk in two ways. It may identify people directly (`ult.data.columns.looks`), or its values are so rare
that somebody who knows a person recognises the record: date of birth, postcode and sex together single out most people,
although none of them is a name. The second risk is counted: how many records have a unique value.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ult.data.columns import looks
from ult.data.columns.identifier import MANY, judge
from ult.public.shards import Shards

SMALL = 5  # records that share a value: amber if fewer do, the threshold that statistical offices use
ALONE = 0.20  # share of records with a unique value: red above
FEW = 0.50  # share of records in groups of fewer than `SMALL`: red above, if there are more than `MANY` values
CAP = 1 << 20  # distinct values that are counted exactly; beyond, a sample by hash is
PAIRED = 12  # columns up to which all pairs are tried
LINE = (
    f"red if it looks like something that names a person, or if more than {ALONE:.0%} of records have a unique value, "
    f"or if, with more than {MANY} different values, more than {FEW:.0%} of records share theirs with fewer than "
    f"{SMALL - 1} others; amber if it may name a person, or if any value is shared by fewer than {SMALL} records"
)


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """What a column in the clear, or a combination of `columns`, shows; `level` is "told" (no flag), "amber" or "red".

    Beyond `CAP` distinct values the counts of records are estimates, and `exact` is false.
    """

    columns: tuple[str, ...]
    title: str  # the column's name, or a name for the combination, safe for a page
    type: str  # Arrow's; "" for a combination
    rows: int  # records
    distinct: int  # distinct values, the empty one included
    exact: bool
    alone: int  # records with a unique value
    few: int  # records in groups of fewer than `SMALL` that share a value
    smallest: int  # records in the smallest group
    looks: str  # a kind of `ult.data.columns.looks.KINDS`, or ""
    why: str  # the reason for `looks`: "its header", "the form of 98% of its values"
    level: str
    found: str  # one sentence
    examples: tuple[str, ...]  # masked

    @property
    def share_alone(self) -> float:
        """The share of records with a unique value, 0 to 1."""
        return self.alone / max(self.rows, 1)


def describe_kept(shards: Shards) -> tuple[KeptColumn, ...]:
    """Return what each column in the clear shows, then what combinations of them show.

    The combinations are: all columns; those that are not red alone, if others are; and, of at most `PAIRED` of these,
    the pair with the most unique records. The parts are read at most twice, one at a time. Raises `FormatError` as
    `Shards.parts` does.
    """
    names = shards.manifest.kept
    if not names:
        return ()
    columns = [_Column(name) for name in names]
    for part in shards.parts():
        for column in columns:
            column.add(part[column.name])
    single = [column.judged() for column in columns]
    return (*single, *_together(shards, single))


def _together(shards: Shards, single: Sequence[KeptColumn]) -> list[KeptColumn]:
    names, rest = shards.manifest.kept, tuple(column.columns[0] for column in single if column.level != "red")
    if len(names) < 2:
        return []
    asked = {names: "both columns together" if len(names) == 2 else f"all {len(names)} columns together"}
    if 2 <= len(rest) < len(names):
        asked[rest] = f"the {len(rest)} columns that are not red alone, together"
    pairs = list(combinations(rest, 2)) if 3 <= len(rest) <= PAIRED else []
    groups = {columns: Groups() for columns in [*asked, *pairs]}
    for part in shards.parts():
        hashes = {name: hashed(part[name])[0] for name in names}
        for columns, group in groups.items():
            group.add(mixed([hashes[name] for name in columns]))
    combined = [combination(columns, title, groups[columns]) for columns, title in asked.items()]
    if pairs:
        most = max(pairs, key=lambda pair: groups[pair].alone)
        combined.append(combination(most, " and ".join(map(shown, most)) + " together", groups[most]))
    return combined


def combination(columns: tuple[str, ...], title: str, groups: Groups) -> KeptColumn:
    """Return what a combination of columns shows; `groups` has counted its values."""
    return KeptColumn(
        columns=columns, title=title, type="", looks="", why="", level=_rarity(groups), examples=(),
        found=f"{title}: {groups.in_words('combinations')}", **groups.counts(),
    )  # fmt: skip


def _rarity(groups: Groups) -> str:
    """Return the level by the rarity of values."""
    few = groups.distinct > MANY and groups.few > FEW * groups.rows
    if groups.alone > ALONE * groups.rows or few:
        return "red"
    return "amber" if groups.rows and groups.smallest < SMALL else "told"


class Groups:
    """Counts the records that share each value: all values up to `CAP`, beyond that those whose hash ends in zeros."""

    def __init__(self) -> None:
        self.hashes, self.sizes = np.empty(0, np.uint64), np.empty(0, np.int64)
        self.rows = self.zeros = 0

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Count records, given the hashes (n,) of their values."""
        self.rows += len(hashes)
        new, sizes = np.unique(hashes[self._drawn(hashes)], return_counts=True)
        self.hashes, places = np.unique(np.concatenate([self.hashes, new]), return_inverse=True)
        sizes = np.concatenate([self.sizes, sizes])
        self.sizes = np.bincount(places, sizes, len(self.hashes)).astype(np.int64)
        while len(self.hashes) > CAP:
            self.zeros += 1
            drawn = self._drawn(self.hashes)
            self.hashes, self.sizes = self.hashes[drawn], self.sizes[drawn]

    def _drawn(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        drawn: NDArray[np.bool_] = hashes & np.uint64((1 << self.zeros) - 1) == 0
        return drawn

    def _records(self, below: int) -> int:
        return min(int(self.sizes[self.sizes < below].sum()) << self.zeros, self.rows)

    @property
    def distinct(self) -> int:
        """The number of distinct values, or `CAP` if there are more."""
        return CAP if self.zeros else len(self.hashes)

    @property
    def alone(self) -> int:
        """The number of records with a unique value."""
        return self._records(2)

    @property
    def few(self) -> int:
        """The number of records in groups of fewer than `SMALL`."""
        return self._records(SMALL)

    @property
    def smallest(self) -> int:
        """The number of records of the rarest value; 0 without records."""
        return int(self.sizes.min()) if len(self.sizes) else 0

    def counts(self) -> dict[str, Any]:
        """Return the counts of a `KeptColumn`."""
        names = ("rows", "distinct", "alone", "few", "smallest")
        return {**{name: getattr(self, name) for name in names}, "exact": not self.zeros}

    def in_words(self, things: str) -> str:
        """Return the counts in words; `things` is a plural noun."""
        more, about = ("more than ", "about ") if self.zeros else ("", "")
        noun = things if self.distinct != 1 else things[:-1]
        return (
            f"{more}{self.distinct:,} different {noun} in {self.rows:,} records; "
            f"{about}{self.alone / max(self.rows, 1):.1%} of records have a unique one, the smallest group has "
            f"{self.smallest:,}"
        )


@dataclass
class _Column:
    """Statistics of a column, over the parts read so far."""

    name: str
    type: str = ""
    fields: tuple[str, ...] = ()  # names within a nested type
    groups: Groups = field(default_factory=Groups)
    filled: int = 0  # records whose value is not empty
    formed: Counter[str] = field(default_factory=Counter)  # form -> records whose value has it
    examples: dict[str, None] = field(default_factory=dict)

    def add(self, column: pa.ChunkedArray) -> None:
        """Add the values of one part."""
        self.type, self.fields = str(column.type), tuple(_names(column.type))
        hashes, places, values = hashed(column)
        self.groups.add(hashes)
        sizes = np.bincount(places, minlength=len(values))
        filled = pc.not_equal(pc.utf8_trim_whitespace(values), "").to_numpy(zero_copy_only=False)
        self.filled += int(sizes[filled].sum())
        for form, which in {**looks.forms(values), "words": looks.wordy(values)}.items():
            self.formed[form] += int(sizes[which].sum())
        if len(self.examples) < 2:
            firsts = pc.utf8_slice_codeunits(values.filter(pa.array(filled)).slice(0, 2), 0, 400).to_pylist()
            self.examples.update(dict.fromkeys(firsts))

    def judged(self) -> KeptColumn:
        """Return the column with its level."""
        names, groups = (self.name, *self.fields), self.groups
        found = judge(names, self.formed, filled=self.filled, distinct=groups.distinct, rows=groups.rows)
        kind, why, level = found.kind, found.why, found.level
        level = max(level, _rarity(self.groups), key=("told", "amber", "red").index)
        likely = {"red": "looks like", "amber": "may be", "told": "may be"}[level]
        looked = f" {likely} {looks.KINDS[kind]} ({why});" if kind else ":"
        return KeptColumn(
            columns=(self.name,), title=shown(self.name), type=self.type, looks=kind, why=why, level=level,
            found=f"column {shown(self.name)}{looked} {self.groups.in_words('values')}",
            examples=looks.masked(list(self.examples)[:2]), **self.groups.counts(),
        )  # fmt: skip


def hashed(column: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.int64], pa.StringArray]:
    """Return, for a column of n records, hashes (n,), indices (n,) into the distinct values, and these as text."""
    encoded = pa.chunked_array(map(_text, _plain(column)), pa.large_string()).combine_chunks()
    encoded = encoded.dictionary_encode(null_encoding="encode")
    values, places = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    digests = b"".join(_digest(value) for value in values.to_pylist())
    return np.frombuffer(digests, "<u8").astype(np.uint64)[places], places, values.fill_null("")


def _plain(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    for chunk in column.chunks:
        array = chunk.storage if isinstance(chunk.type, pa.BaseExtensionType) else chunk
        yield array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _text(array: pa.Array) -> pa.Array:
    """Return values as text; nested ones, which Arrow cannot convert, as a list of what they hold."""
    try:
        return array.cast(pa.large_string())
    except pa.ArrowException:
        texts = [None if value is None else ", ".join(_leaves(value)) for value in array.to_pylist()]
        return pa.array(texts, pa.large_string())


def _leaves(value: Any) -> Iterator[str]:
    """Yield the leaves of a nested value as text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _names(type_: pa.DataType) -> Iterator[str]:
    """Yield the names of all fields within a nested type."""
    for k in range(type_.num_fields):
        yield type_.field(k).name
        yield from _names(type_.field(k).type)


def _digest(value: str | None) -> bytes:
    return hashlib.blake2b(b"\xff" if value is None else value.encode(), digest_size=8).digest()


def mixed(hashes: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return the hash (n,) of each row of several columns, from the columns' hashes (n,)."""
    combined = np.zeros(len(hashes[0]), np.uint64)
    for column in hashes:
        combined = (combined ^ column) * np.uint64(0x9E3779B97F4A7C15)
        combined ^= combined >> np.uint64(29)
    return combined


def shown(name: str) -> str:
    """Return a column's name as a page may show it: one line of bounded length, without control characters."""
    plain = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign)[0] in "CZ" and sign != " " else sign for sign in name
    )
    return plain if len(plain) <= 60 else plain[:59] + "…"
