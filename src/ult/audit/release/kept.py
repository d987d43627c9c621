"""The columns that shards keep in the clear: what each shows of people, alone and together.

A column is a risk in two ways. It may say who somebody is (`ult.data.looks`). Or its values may be so rare that a
record is recognised by them, by whoever knows the person: a date of birth, a postcode and a sex together single out
most people, though no column is a name. The second is counted: how many records are alone with their value.
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

from ult.data import looks
from ult.public.shards import Shards

SMALL = 5  # records that share a value: amber below, as statistical offices draw the line
ALONE = 0.20  # of records that are alone with their value: red above
MANY = 20  # different values, from which on few records to each of them are no accident of a small set
FEW = (
    0.50  # of records that share their value with fewer than `SMALL` - 1 others: red above, of more than `MANY` values
)
SHARED = 20  # records to a value, below which numbers or names, of more than `MANY` values, point at single people
CAP = 1 << 20  # different values that are counted one by one; of more, a share that is drawn by their hashes
PAIRED = 12  # columns, up to which all pairs are tried
LINE = (
    f"red if it looks like what names a person, or more than {ALONE:.0%} of records are alone with their value, or, "
    f"of more than {MANY} values, more than {FEW:.0%} of records share theirs with fewer than {SMALL - 1} others; "
    f"amber if it may name one, or any value is shared by fewer than {SMALL} records"
)


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """What a column in the clear shows, or several `columns` together; `level` is "told", "amber" or "red".

    Counts are of records; beyond `CAP` different values they are estimates, and `exact` is false: say "more than".
    """

    columns: tuple[str, ...]
    title: str  # the column's name, or what is taken together, fit for a page
    type: str  # Arrow's; "" of several together
    rows: int
    distinct: int  # different values, an empty one among them
    exact: bool
    alone: int  # records whose value no other has
    few: int  # records whose value fewer than `SMALL` have, they among them
    smallest: int  # of the groups of records that share a value: the smallest
    looks: str  # a kind of `ult.data.looks.KINDS`, or ""
    why: str  # what says so: "its header", "the form of 98% of its values"
    level: str
    found: str  # one sentence
    examples: tuple[str, ...]  # masked

    @property
    def share_alone(self) -> float:
        """Of all records those that are alone with their value, 0 to 1."""
        return self.alone / max(self.rows, 1)


def describe_kept(shards: Shards) -> tuple[KeptColumn, ...]:
    """Return what each column in the clear shows, then what several show together.

    Together are: all; those that are not red alone, if others are; and, of up to `PAIRED` of these, the two that single
    out the most. The parts are read twice at most, one at a time. Raises `FormatError` as `Shards.parts` does.
    """
    names = shards.manifest.kept
    if not names:
        return ()
    seen = [_Seen(name) for name in names]
    for part in shards.parts():
        for one in seen:
            one.add(part[one.name])
    found = [one.told() for one in seen]
    return (*found, *_together(shards, found))


def _together(shards: Shards, found: Sequence[KeptColumn]) -> list[KeptColumn]:
    names, rest = shards.manifest.kept, tuple(one.columns[0] for one in found if one.level != "red")
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
    told = [combination(columns, title, groups[columns]) for columns, title in asked.items()]
    if pairs:
        most = max(pairs, key=lambda pair: groups[pair].alone)
        told.append(combination(most, " and ".join(map(shown, most)) + " together", groups[most]))
    return told


def combination(columns: tuple[str, ...], title: str, groups: Groups) -> KeptColumn:
    """Return what columns show together whose joint values `groups` has counted."""
    return KeptColumn(
        columns=columns, title=title, type="", looks="", why="", level=_rarity(groups), examples=(),
        found=f"{title}: {groups.told('combinations')}", **groups.counts(),
    )  # fmt: skip


def _rarity(groups: Groups) -> str:
    """Return the level that rare values alone give."""
    few = groups.distinct > MANY and groups.few > FEW * groups.rows
    if groups.alone > ALONE * groups.rows or few:
        return "red"
    return "amber" if groups.rows and groups.smallest < SMALL else "told"


class Groups:
    """How many records share each value: by value, up to `CAP` of them; beyond, of those whose hash ends in zeros."""

    def __init__(self) -> None:
        self.hashes, self.sizes = np.empty(0, np.uint64), np.empty(0, np.int64)
        self.rows = self.zeros = 0

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Count records by the hashes (n,) of their values."""
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
        """Different values, or `CAP` if there are more."""
        return CAP if self.zeros else len(self.hashes)

    @property
    def alone(self) -> int:
        """Records whose value no other has."""
        return self._records(2)

    @property
    def few(self) -> int:
        """Records whose value fewer than `SMALL` have."""
        return self._records(SMALL)

    @property
    def smallest(self) -> int:
        """Records of the rarest value; 0 if there are none."""
        return int(self.sizes.min()) if len(self.sizes) else 0

    def counts(self) -> dict[str, Any]:
        """Return the counts of a `KeptColumn`."""
        names = ("rows", "distinct", "alone", "few", "smallest")
        return {**{name: getattr(self, name) for name in names}, "exact": not self.zeros}

    def told(self, things: str) -> str:
        """Return the counts in words; `things` are in the plural."""
        more, about = ("more than ", "about ") if self.zeros else ("", "")
        noun = things if self.distinct != 1 else things[:-1]
        return (
            f"{more}{self.distinct:,} different {noun} in {self.rows:,} records; "
            f"{about}{self.alone / max(self.rows, 1):.1%} of records are alone with theirs, the smallest group has "
            f"{self.smallest:,}"
        )


@dataclass
class _Seen:
    """A column as far as it was read."""

    name: str
    type: str = ""
    fields: tuple[str, ...] = ()  # names within a nested type
    groups: Groups = field(default_factory=Groups)
    filled: int = 0  # records whose value is not empty
    formed: Counter[str] = field(default_factory=Counter)  # records by the form of their value
    examples: dict[str, None] = field(default_factory=dict)

    def add(self, column: pa.ChunkedArray) -> None:
        """Read the column of a part."""
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

    def told(self) -> KeptColumn:
        """Return what was seen, judged."""
        kind, why, level = self._looks()
        level = max(level, _rarity(self.groups), key=("told", "amber", "red").index)
        likely = {"red": "looks like", "amber": "may be", "told": "may be"}[level]
        looked = f" {likely} {looks.KINDS[kind]} ({why});" if kind else ":"
        return KeptColumn(
            columns=(self.name,), title=shown(self.name), type=self.type, looks=kind, why=why, level=level,
            found=f"column {shown(self.name)}{looked} {self.groups.told('values')}",
            examples=looks.masked(list(self.examples)[:2]), **self.groups.counts(),
        )  # fmt: skip

    def _looks(self) -> tuple[str, str, str]:
        """Return what the column looks like, what says so, and the level that this alone gives."""
        shares = {form: count / max(self.filled, 1) for form, count in self.formed.items()}
        headers = [looks.header(name) for name in (self.name, *self.fields)]
        kind, sure = next((told for told in headers if told[1]), headers[0])
        scattered = self.groups.distinct > MANY and self.groups.rows < SHARED * self.groups.distinct
        dated = shares.get("date", 0) >= looks.SEEN
        if kind and sure:
            flag = self.groups.distinct <= 2 and self.groups.rows > MANY  # "has telephone"
            return kind, "its header", "amber" if flag else "red"
        if kind == "birth" and dated:
            return kind, "its header, and the form of its values", "red"
        for form in sorted(looks.FORMS, key=lambda form: -shares.get(form, 0)):
            least = looks.TELLING if form in looks.TELLING_FORMS else looks.SEEN
            if shares.get(form, 0) < least:
                continue
            said = f"the form of {shares[form]:.0%} of its values"
            if form in looks.SURE_FORMS:
                return looks.FORMS[form], said, "red"
            if form == "date":
                return "date", said, "amber"
            if scattered and kind != "place":
                return looks.FORMS[form], said, "red"
            if form == "code" and not kind and self.groups.distinct > MANY:
                return "number", said, "amber"
        if shares.get("words", 0) >= looks.SEEN:
            return "text", f"the length of {shares['words']:.0%} of its values", "amber"
        if kind in ("name", "number") and self.groups.distinct > 2:
            return kind, "its header", "red" if scattered else "amber"
        return (kind, "its header", "amber") if kind == "place" else ("", "", "told")


def hashed(column: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.int64], pa.StringArray]:
    """Return of a column of n records: hashes (n,), which of the different values each has (n,), and those, as text."""
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
    """Return values as text; of nested ones, which Arrow writes no text of, what they hold."""
    try:
        return array.cast(pa.large_string())
    except pa.ArrowException:
        shown = [None if value is None else ", ".join(_leaves(value)) for value in array.to_pylist()]
        return pa.array(shown, pa.large_string())


def _leaves(value: Any) -> Iterator[str]:
    """Give what a nested value holds, as text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    else:
        yield value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _names(type_: pa.DataType) -> Iterator[str]:
    """Give the names of all fields within a nested type."""
    for k in range(type_.num_fields):
        yield type_.field(k).name
        yield from _names(type_.field(k).type)


def _digest(value: str | None) -> bytes:
    return hashlib.blake2b(b"\xff" if value is None else value.encode(), digest_size=8).digest()


def mixed(hashes: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return a hash (n,) of what stands beside each other in several columns."""
    mixed = np.zeros(len(hashes[0]), np.uint64)
    for one in hashes:
        mixed = (mixed ^ one) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def shown(name: str) -> str:
    """Return a column's name as a page may show it: one line, no codes that turn text around, of bounded length."""
    plain = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign)[0] in "CZ" and sign != " " else sign for sign in name
    )
    return plain if len(plain) <= 60 else plain[:59] + "…"
