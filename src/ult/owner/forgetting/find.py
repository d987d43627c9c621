"""`ult.forget.find`: find given records in shards, by exactly equal ids, and write which rows they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data import Source
from ult.data.duplicates import shingles
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord, MissingColumn
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked, number, path, switch
from ult.host.atomic import write_text
from ult.host.bar import shown
from ult.host.free import check_free
from ult.host.progress import Progress, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.owner.inputs import Inputs, Secret, check_encoded, opened, schema_of, secret, table_argument, texts
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.table import Table
from ult.public import folders
from ult.public.folders import Folders
from ult.public.gone import Gone, Lot
from ult.public.id_columns import record_ids
from ult.public.shards import Shards

_NAMED = 20  # places of records that a remark names
_BATCH = 1024  # records that are decoded at once
_HINT = "the options of files and columns that ult encode had; ids tell records apart by every space"


@dataclass(frozen=True, slots=True, repr=False)
class Found(Shown):
    """Records that were looked for in shards: which rows they are, and which of them were not there."""

    path: Path
    gone: Gone
    given: int  # records that were looked for
    found: int  # of these, how many have a row of equal ids
    missing: tuple[str, ...]  # the places of the others: file and row
    same_person: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # rows that were not asked for, by shards

    def facts(self) -> Facts:
        """Return how many records were found, and in how many rows; never what they say."""
        return [("file", str(self.path)), ("given", f"{self.given:,}"), ("found", f"{self.found:,}"), *self._rows()]

    def _rows(self) -> Facts:
        return [(name, value) for name, value in self.gone.facts() if name != "digest" and value != "0"]

    def remarks(self) -> list[str]:
        """Return what was not found, and what else is of the same person, in one sentence each."""
        said = []
        if self.missing:
            more = f" and {len(self.missing) - _NAMED:,} more" if len(self.missing) > _NAMED else ""
            said.append(
                f"{count(len(self.missing), 'record')} of {self.given:,} not found, so not in the file: "
                f"{'; '.join(self.missing[:_NAMED])}{more}"
            )
        for name, rows in self.same_person.items():
            shown_rows = ", ".join(map(str, rows[:_NAMED])) + (", ..." if len(rows) > _NAMED else "")
            said.append(
                f"{name} holds {count(len(rows), 'further record')} of the same persons, which the file does not name: "
                f"rows {shown_rows}; --person COLUMN names them"
            )
        said.append(f"{self.path} is as confidential as the shards: with them it tells who asked to be forgotten")
        return said


@checked(
    inputs=arguments.inputs,
    table=table_argument,
    shards=folders.folders_argument,
    out=path,
    **COLUMNS | {"keep": arguments.texts("the name of a column")},
    near=number,
    person=arguments.text("the name of one column"),
    drop=arguments.texts("the name of a column"),
    canonical=switch,
    side=arguments.text(),
    **KEYS,
    force=switch,
    progress=arguments.call,
)
@shown("finding")
def find(
    inputs: Inputs,
    table: Secret,
    shards: Folders,
    out: str | Path,
    *,
    column: str | None = None,
    keep: Sequence[str] = (),
    reading: Mapping[str, str | float] | None = None,
    near: float | None = None,
    person: str | None = None,
    drop: Sequence[str] = (),
    canonical: bool = False,
    side: str | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
    progress: Progress = on_stderr,
) -> Found:
    """Look for the records of `inputs` in `shards`, and write to `out` which rows have exactly their ids.

    The records are read as `ult.encode` read them: with the same `column`, `keep`, `drop`, `canonical`, `side` and
    `reading`. With `near`, from 0 to 1, the file also names texts that share this part of their runs of five words with
    one, and with `person`, a column that inputs and shards hold, all further records with a value that one has. Folders
    without any of them are named too, as searched.

    Raises `InvalidConfig` if none is found, and what `ult.encode` raises.

    For example, after `ult.encode`:

        ult.forget.find("gone.csv", "notes.ult", "notes.shards", "gone.rows", column="text", passphrase=getpass)
    """
    out = Path(out)
    check_free(out, force=force)
    key = secret(table, passphrase, identities)
    many = [Shards(one) for one in folders.paths(shards)]
    for one in many:
        check_encoded(one, key)
    if near is not None and (key.codec.modality != "text" or not 0 < near < 1):
        raise InvalidConfig(
            f"near is {near:g} for {key.codec.modality} records; expected it for texts, above 0, below 1"
        )
    layout = schema_of(key, texts(drop))
    unit = layout.unit if layout is not None and layout.unit not in layout.columns else ""
    names = _persons(person, unit, many)
    source = opened(
        inputs,
        modality=key.codec.modality,
        schema=layout,
        keep_identifier=True,  # nothing of it is kept
        column=column,
        keep=list(dict.fromkeys([*texts(keep), *([names] if names else [])])),
        canonical=canonical,
        side=side,
        reading=reading,
    )
    if layout is None and source.fields != key.fields:
        raise InvalidRecord(
            f"the input has {len(source.fields)} value columns that are not the table's {len(key.fields)}, in order",
            hint="the columns that the table was fitted on",
        )
    wanted = _Wanted.of(source, key, names, near, progress)
    lots, others = [], {}
    for one in many:
        lots.append(_search(one, key, wanted, names if person else "", progress))
        if rest := _others(one, wanted, names, lots[-1]) if names and not person else ():
            others[one.path.name] = rest
    if not any(lot.every for lot in lots):
        raise InvalidConfig(
            f"none of {count(wanted.given, 'record')} is in {', '.join(one.path.name for one in many)}: no row has "
            "exactly the ids of one",
            hint=_HINT if near is not None or key.codec.modality != "text" else f"{_HINT}; or --near 0.8",
        )
    gone = Gone(tuple(lots), out)
    write_text(out, gone.to_json())
    missing = tuple(place for digest, place in wanted.places if digest not in wanted.met)
    return Found(out, gone, wanted.given, wanted.given - len(missing), missing, others)


def _persons(person: str | None, unit: str, many: Sequence[Shards]) -> str:
    """Return the column by which shards tell persons apart: the one named, or that of the unit; "" if there is none."""
    if person is None:
        return unit if any(unit in one.manifest.kept for one in many) else ""
    if lacking := [one.path.name for one in many if person not in one.manifest.kept]:
        raise MissingColumn(f"{lacking[0]} keeps no column {person!r}", hint="a column that ult encode --keep kept")
    return person


@dataclass(slots=True)
class _Wanted:
    """The records to find: their ids by digest, the place of each, and, if asked for, their words and persons."""

    places: list[tuple[bytes, str]]
    digests: set[bytes]
    persons: set[str]
    near: float | None
    words: list[set[bytes]]
    by_word: dict[bytes, list[int]]
    met: set[bytes] = field(default_factory=set)  # digests of records that were found

    @property
    def given(self) -> int:
        """How many records are looked for."""
        return len(self.places)

    @classmethod
    def of(cls, source: Source, table: Table, person: str, near: float | None, progress: Progress) -> _Wanted:
        """Encode the records that are looked for. Raises `InvalidRecord` with file and row, or `InvalidConfig`."""
        found = cls([], set(), set(), near, [], {})
        with source.naming(table.codec):
            for batch in source.batches():
                for i, (record, ids) in enumerate(zip(batch.records, table.encode_batch(batch.records), strict=True)):
                    digest = _digest(ids)
                    found.places.append((digest, batch.where.place(i)))
                    if near is not None and digest not in found.digests:
                        found._add_words(record)
                    found.digests.add(digest)
                if person:
                    found.persons |= _values(batch.kept[person])
                progress("finding", batch.rows)
        if not found.places:
            raise InvalidConfig("there are no records to look for; expected at least one")
        return found

    def _add_words(self, record: str) -> None:
        runs = shingles(record)
        for run in runs:
            self.by_word.setdefault(run, []).append(len(self.words))
        self.words.append(runs)

    def similarity(self, record: str) -> float:
        """Return the greatest share of runs of five words that a text has in common with one that is looked for."""
        runs, common = shingles(record), dict[int, int]()
        for run in runs:
            for k in self.by_word.get(run, ()):
                common[k] = common.get(k, 0) + 1
        return max((n / (len(runs) + len(self.words[k]) - n) for k, n in common.items()), default=0.0)


def _digest(ids: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.asarray(ids, "<u4").tobytes(), digest_size=16).digest()


def _values(column: pa.ChunkedArray) -> set[str]:
    return {str(value) for value in column.to_pylist() if value is not None}


def _search(shards: Shards, table: Table, wanted: _Wanted, person: str, progress: Progress) -> Lot:
    """Return which rows of shards are looked for."""
    rows: list[int] = []
    near: dict[int, float] = {}
    same: list[int] = []
    first = 0
    for part in shards.parts():
        many = list(record_ids(part))
        equal = [digest in wanted.digests for digest in map(_digest, many)]
        wanted.met |= {_digest(ids) for ids, hit in zip(many, equal, strict=True) if hit}
        rows += [first + k for k, hit in enumerate(equal) if hit]
        if wanted.near is not None:
            for k, share in _resembling(many, equal, table, wanted):
                near[first + k] = max(1e-4, round(share, 4))  # as the file says it
        if person:
            named = [value is not None and str(value) in wanted.persons for value in part[person].to_pylist()]
            same += [first + k for k, hit in enumerate(named) if hit and not equal[k] and first + k not in near]
        first += part.num_rows
        progress("finding", part.num_rows)
    return Lot(shards.manifest.digest, shards.manifest.rows, tuple(rows), near, tuple(same))


def _others(shards: Shards, wanted: _Wanted, person: str, lot: Lot) -> tuple[int, ...]:
    """Return the rows of the same persons that a lot does not name."""
    if person not in shards.manifest.kept:
        return ()
    named, found, first = set(lot.every), [], 0
    for part in shards.parts():
        values = part[person].to_pylist()
        found += [first + k for k, value in enumerate(values) if value is not None and str(value) in wanted.persons]
        first += part.num_rows
    return tuple(row for row in found if row not in named)


def _resembling(
    many: Sequence[NDArray[Any]], equal: Sequence[bool], table: Table, wanted: _Wanted
) -> Iterator[tuple[int, float]]:
    """Yield which records of a part resemble one that is looked for, and how much; equal ones do not count."""
    places = [k for k, hit in enumerate(equal) if not hit]
    for start in range(0, len(places), _BATCH):
        some = places[start : start + _BATCH]
        for k, text in zip(some, _decoded([many[k] for k in some], table), strict=True):
            share = wanted.similarity(text) if text is not None else 0.0
            if wanted.near is not None and share >= wanted.near:
                yield k, share


def _decoded(many: Sequence[NDArray[Any]], table: Table) -> list[str | None]:
    """Return the texts of records of ids, None for one that is none, as in shards that a run wrote."""
    try:
        return list(table.decode_batch(many))
    except CorruptSymbols:
        found: list[str | None] = []
        for ids in many:
            try:
                found.append(table.decode(ids))
            except CorruptSymbols:
                found.append(None)
        return found
