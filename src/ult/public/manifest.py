"""The manifest of a shards folder: its parts, what encoded them, and what an audit may rely on.

A manifest is written in the oldest format that can hold it: `ult-shards/3` only for canaries, for halves drawn by coin
and for a public table, `ult-shards/4` only where records were
taken out, or written by a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from ult.errors import FormatError, InvalidConfig
from ult.host.distribution import upgrade
from ult.host.remote import Address
from ult.public.guarantee import Guarantee
from ult.public.vocabulary import Vocabulary, check_format

FILE = ".manifest.json"  # a name that pandas, pyarrow and datasets pass over where they read a folder of Parquet
FORMER = "manifest.json"  # the name that shards were written with before; it is read as well
FORMAT = "ult-shards/1"
PRIVATE = "ult-shards/2"  # of a table with a guarantee
TOLD = "ult-shards/3"  # with canaries, a coin or a public table
LINEAGE = "ult-shards/4"  # with tombstones of records that were taken out, or the run that wrote them
IDS = "input_ids"  # the column of ids, list<int32>: the name and type that Hugging Face trainers read
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal obeys; tab and line feed are harmless
SIDES = ("members", "nonmembers")  # of a coin: those to train on, those to compare with
UNTOLD = "0" * 32  # in place of the fingerprint of a table that a released run does not name
CODECS = frozenset(
    {
        "image/dct",
        "image/jpeg",
        "molecule/smiles",
        "record/columns",
        "series/levels",
        "series/mulaw",
        "text/bwt",
        "text/bytes",
    }
)  # those that there are
_MOST = 2**53  # whole numbers up to here are the same in every reader of JSON


def manifest_of(folder: Path | Address) -> Path | Address:
    """Return the path of a shards folder's manifest, under its former name where only that is there.

    Raises `FormatError` if the folder has one under each name.
    """
    there = [name for name in (FILE, FORMER) if _is_there(folder / name)]
    if len(there) > 1:
        raise FormatError(f"{folder} has two manifests, {FILE} and {FORMER}; expected one", hint="encode again")
    return folder / (there or [FILE])[0]


def _is_there(path: Path | Address) -> bool:
    return os.path.lexists(path) if isinstance(path, Path) else path.exists()


def is_shards(folder: Path) -> bool:
    """Return whether the folder has a manifest, and so holds shards; the manifest is not read."""
    return any((folder / name).is_file() for name in (FILE, FORMER))


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: its rows, ids, bytes of the original data, and the SHA-256 of the file."""

    name: str
    rows: int
    ids: int
    bytes: int
    sha256: str

    @classmethod
    def read(cls, document: object, path: object) -> Self:
        """Return the part that a JSON object describes; raise `FormatError` naming `path`."""
        return cls(**_fields(document, cls, path))


@dataclass(frozen=True, slots=True)
class Canaries:
    """What `ult encode --canaries` planted among the records: `count` texts, `repeats` times each."""

    count: int  # at least 1
    repeats: int  # at least 1

    @property
    def rows(self) -> int:
        """How many records are canaries."""
        return self.count * self.repeats

    @classmethod
    def read(cls, document: object, path: object) -> Self:
        """Return what a JSON object describes; raise `FormatError` naming `path`."""
        found = cls(**_fields(document, cls, path))
        if not (0 < found.count < _MOST and 0 < found.repeats < _MOST):
            raise FormatError(f"{path}: canaries are {found.count} times {found.repeats}; expected at least 1 of both")
        return found


@dataclass(frozen=True, slots=True)
class Coin:
    """One half of a `split`: a fair coin put each of `records` records into this half or the other one."""

    split: str  # 32 hexadecimal digits, the same in both halves
    side: str  # one of `SIDES`
    records: int  # of both halves

    @classmethod
    def read(cls, document: object, path: object) -> Self:
        """Return what a JSON object describes; raise `FormatError` naming `path`."""
        found = cls(**_fields(document, cls, path))
        if not is_hex(found.split, 32):
            raise FormatError(f"{path}: split of coin is not 32 hexadecimal digits")
        if found.side not in SIDES:
            raise FormatError(f"{path}: side of coin is {found.side[:40]!r}; expected {' or '.join(SIDES)}")
        return found


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What `ult forget shards` left in place of records that are to be forgotten: how many, of which shards, and when.

    `of` is the digest of the shards that held them, `gone` that of the file that named them: neither says which records
    they were, though whoever guesses one and has all others can confirm it by `of`.
    """

    of: str  # 64 hexadecimal digits, like `gone`
    rows: int  # at least 1
    gone: str
    when: str  # a day, as 2026-11-30

    @classmethod
    def read(cls, document: object, path: object) -> Self:
        """Return the tombstone that a JSON object describes; raise `FormatError` naming `path`."""
        found = cls(**_fields(document, cls, path))
        if not (is_hex(found.of, 64) and is_hex(found.gone, 64) and 0 < found.rows < _MOST):
            raise FormatError(f"{path}: forgotten names no shards, no file or no record")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", found.when, re.ASCII):
            raise FormatError(f"{path}: when of forgotten is {found.when[:40]!r}; expected a day, as 2026-11-30")
        return found


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a manifest. `column` is the records' column, `kept` are the columns kept in the clear."""

    vocabulary_size: int
    table: str
    codec: str
    column: str
    kept: tuple[str, ...]
    rows: int
    ids: int
    bytes: int
    parts: tuple[Part, ...]
    privacy: Guarantee | None = None  # the promise of the table to the records that it was fitted on
    canaries: Canaries | None = None
    coin: Coin | None = None
    public_table: bool = False  # the owner declared that the table was fitted on records that everyone may read
    forgotten: tuple[Tombstone, ...] = ()  # of records that were taken out, the first ones first
    written_by: str | None = None  # the digest of the run that wrote them

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        *,
        vocabulary: Vocabulary,
        table: str,
        codec: str,
        column: str,
        kept: pa.Schema,
        privacy: Guarantee | None = None,
        canaries: Canaries | None = None,
        coin: Coin | None = None,
        public_table: bool = False,
        forgotten: Sequence[Tombstone] = (),
        written_by: str | None = None,
    ) -> Self:
        """Return the manifest of `parts`, in order; raise `FormatError` if its figures contradict each other."""
        manifest = cls(
            vocabulary_size=vocabulary.size,
            table=table,
            codec=codec,
            column=column,
            kept=tuple(kept.names),
            rows=sum(part.rows for part in parts),
            ids=sum(part.ids for part in parts),
            bytes=sum(part.bytes for part in parts),
            parts=tuple(parts),
            privacy=privacy,
            canaries=canaries,
            coin=coin,
            public_table=public_table,
            forgotten=tuple(forgotten),
            written_by=written_by,
        )
        manifest._check_told("the manifest")
        return manifest

    @property
    def format(self) -> str:
        """The oldest format that can hold this manifest."""
        if self.forgotten or self.written_by:
            return LINEAGE
        if self.canaries or self.coin or self.public_table:
            return TOLD
        return PRIVATE if self.privacy else FORMAT

    @property
    def digest(self) -> str:
        """The identity of these shards: the SHA-256, in hexadecimal digits, of what `to_json` writes.

        It covers every part by its SHA-256. It depends neither on the folder's name nor on how the file is indented.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the manifest as JSON, with sorted keys."""
        document = {"format": self.format, **asdict(self)}
        document |= {"privacy": self.privacy.document()} if self.privacy else {}
        for name in _unsaid(self.format):
            del document[name]
        return json.dumps(document, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, path: object) -> Self:
        """Return the manifest that `to_json` wrote; raise `FormatError` or `NewerFormat` naming `path`."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path} is not JSON") from error
        said = document.get("format") if isinstance(document, dict) else None
        check_format(document, said if said in (PRIVATE, TOLD, LINEAGE) else FORMAT, path)
        del document["format"]
        found = _fields(document, cls, path, without=_unsaid(said))
        found["parts"] = tuple(Part.read(part, path) for part in found["parts"])
        found["kept"] = tuple(found["kept"])
        for name, kind in _NESTED.items():
            if found.get(name) is not None:
                found[name] = kind.read(found[name], path)
        found["forgotten"] = tuple(Tombstone.read(one, path) for one in found.get("forgotten", ()))
        manifest = cls(**found)
        if manifest.format != said:
            raise FormatError(f"{path} is {said}, though it says no more than {manifest.format} can")
        manifest._check(path)
        return manifest

    def _check(self, path: object) -> None:
        for total in ("rows", "ids", "bytes"):
            found = sum(getattr(part, total) for part in self.parts)
            if found != getattr(self, total):
                raise FormatError(f"{path}: {total} is {getattr(self, total)}, but its parts add up to {found}")
        for number, part in enumerate(self.parts):
            if part.name != part_name(number):
                raise FormatError(f"{path}: part {number} is called {part.name!r}; expected {part_name(number)}")
            if not is_hex(part.sha256, 64):
                raise FormatError(f"{path}: sha256 of {part.name} is not 64 hexadecimal digits")
        if not self.parts:
            raise FormatError(f"{path}: it lists no parts; expected at least one, empty or not")
        if len({IDS, *self.kept}) <= len(self.kept):
            raise FormatError(f"{path}: kept names a column twice")
        if hidden := [name for name in (self.column, *self.kept) if CONTROL.search(name)]:
            raise FormatError(f"{path}: column {hidden[0]!r} has control characters in its name")
        if self.written_by is not None and not is_hex(self.written_by, 64):
            raise FormatError(f"{path}: written_by is no digest of a run")
        if self.codec not in CODECS and not _COMPARED.fullmatch(self.codec):
            raise FormatError(
                f"{path}: codec is {self.codec[:40]!r}; expected one of {', '.join(sorted(CODECS))}", hint=upgrade()
            )
        if not is_hex(self.table, 32):
            raise FormatError(f"{path}: table is not a fingerprint of 32 hexadecimal digits")
        try:
            Vocabulary(self.vocabulary_size)
        except InvalidConfig as error:
            raise FormatError(f"{path}: {error.what}") from error
        self._check_told(path)

    def _check_told(self, path: object) -> None:
        """Raise `FormatError` if the canaries or the coin need more records than there are."""
        planted = self.canaries.rows if self.canaries else 0
        if planted > self.rows:
            raise FormatError(f"{path}: canaries are {planted} of its {self.rows} records")
        if self.coin and self.coin.records < self.rows - planted:
            raise FormatError(f"{path}: coin is of {self.coin.records} records, fewer than are here")


_COMPARED = re.compile(r"(raw|paper)/[a-z0-9-]{1,32}")  # codes of no table, which `runs/` compares with ours
_NESTED: dict[str, Any] = {"privacy": Guarantee, "canaries": Canaries, "coin": Coin}


def _unsaid(said: str | None) -> tuple[str, ...]:
    """Return the fields of a manifest that `said`, its format, does not have."""
    told = ("canaries", "coin", "public_table")
    made = ("forgotten", "written_by")
    if said in (LINEAGE, TOLD):
        return () if said == LINEAGE else made
    return (*told, *made) if said == PRIVATE else ("privacy", *told, *made)


def is_hex(text: object, digits: int) -> bool:
    """Return whether this is a text of so many hexadecimal digits, in lower case."""
    return isinstance(text, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) is not None


def may_be_same(table: str, other: str) -> bool:
    """Return whether two fingerprints are equal, or one of them is untold, so that they may be."""
    return table == other or UNTOLD in (table, other)


def part_name(number: int) -> str:
    """Return the file name of part `number`."""
    return f"part-{number:05d}.parquet"


def _fields(document: object, cls: type[Any], path: object, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of `cls` from a JSON object, each checked; raise `FormatError` naming `path`."""
    kinds = {name: field.type for name, field in cls.__dataclass_fields__.items() if name not in without}
    called = cls.__name__.lower()
    if not isinstance(document, dict) or set(document) != set(kinds):
        found = sorted(document)[:20] if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{path}: {called} has {found}; expected {sorted(kinds)}")
    for name, kind in kinds.items():
        if not _is(kind, document[name], name):
            raise FormatError(f"{path}: {name} is not a valid {called} field")
    return dict(document)


def _is(kind: object, value: object, name: str) -> bool:
    if kind == "int":
        return type(value) is int and value >= 0
    if kind in ("str", "bool"):
        return isinstance(value, str if kind == "str" else bool)
    if kind == "str | None":
        return value is None or isinstance(value, str)
    if name in _NESTED:
        return value is None or isinstance(value, dict)
    return isinstance(value, list) and (name in ("parts", "forgotten") or all(isinstance(v, str) for v in value))
