"""Records that are to be forgotten, named by their places in shards: what `ult forget find` writes, `gone.rows`.

It names shards by the digest of their manifest and records by their number from 0, and holds neither ids nor text. It
is confidential all the same: who has the shards can tell who asked to be forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.host import arguments
from ult.host.arguments import checked
from ult.host.regular import read_text
from ult.host.shown import Facts, Shown, count
from ult.public.manifest import is_hex
from ult.public.shards import Shards
from ult.public.vocabulary import check_format

FORMAT = "ult-gone/1"
_MOST = 2**28  # bytes of a file
_LOT = {"digest", "records", "rows", "near", "person"}


@dataclass(frozen=True, slots=True)
class Lot:
    """Records of one shards folder: their numbers from 0, ascending, and each in one list only.

    `rows` have exactly the ids of a record that is to be forgotten; `near` resemble one, with a similarity above 0, to
    1; `person` are others of the same person.
    """

    digest: str  # of the shards' manifest
    records: int  # how many the shards hold
    rows: tuple[int, ...]
    near: Mapping[int, float] = field(default_factory=dict)
    person: tuple[int, ...] = ()

    @property
    def every(self) -> list[int]:
        """The numbers of all these records, ascending."""
        return sorted({*self.rows, *self.near, *self.person})

    def stays(self) -> NDArray[np.bool_]:
        """Return which records (records,) of the shards are not to be forgotten."""
        stays = np.ones(self.records, np.bool_)
        stays[self.every] = False
        return stays

    def document(self) -> dict[str, Any]:
        """Return the lot as JSON values."""
        near = [[row, round(self.near[row], 4)] for row in sorted(self.near)]
        rows, person = list(self.rows), list(self.person)
        return {"digest": self.digest, "records": self.records, "rows": rows, "near": near, "person": person}

    @classmethod
    def read(cls, document: object, path: object) -> Self:
        """Return the lot that `document` wrote; raise `FormatError` naming `path`."""
        if not isinstance(document, dict) or set(document) != _LOT:
            raise FormatError(f"{path}: shards has other fields; expected {sorted(_LOT)}")
        digest, records = document["digest"], document["records"]
        if not is_hex(digest, 64) or type(records) is not int or not 0 < records < 2**53:
            raise FormatError(f"{path}: digest or records of shards is none")
        pairs = document["near"]
        if not isinstance(pairs, list) or not all(isinstance(one, list) and len(one) == 2 for one in pairs):
            raise FormatError(f"{path}: near is no list of pairs")
        if not all(type(share) is float and 0 < share <= 1 for _, share in pairs):
            raise FormatError(f"{path}: near names a similarity that is no number above 0, to 1")
        lists = (document["rows"], [row for row, _ in pairs], document["person"])
        for rows in lists:
            _check_rows(rows, records, path)
        if len({row for rows in lists for row in rows}) != sum(map(len, lists)):
            raise FormatError(f"{path}: it names a record of {digest[:16]} twice")
        return cls(digest, records, tuple(lists[0]), dict(pairs), tuple(lists[2]))


def _check_rows(rows: object, records: int, path: object) -> None:
    if not isinstance(rows, list) or not all(type(row) is int and 0 <= row < records for row in rows):
        raise FormatError(f"{path}: it names a record that is no number from 0 to {records - 1:,}")
    if any(one >= after for one, after in pairwise(rows)):
        raise FormatError(f"{path}: its records are not in ascending order")


@dataclass(frozen=True, slots=True, repr=False)
class Gone(Shown):
    """Records of one or more shards folders that are to be forgotten, at least one."""

    lots: tuple[Lot, ...]
    path: Path | None = None  # where it was read

    def __post_init__(self) -> None:
        if not self.rows:
            raise InvalidConfig("no record is named that is to be forgotten; expected at least one")

    @property
    def rows(self) -> int:
        """How many records are named."""
        return sum(len(lot.every) for lot in self.lots)

    @property
    def digest(self) -> str:
        """The SHA-256 of what `to_json` writes, in hexadecimal digits: by it runs and shards say what they forgot."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def of(self, shards: Shards) -> Lot | None:
        """Return the records of these shards; None if none is named. Raises `FormatError` for another number of them.

        Shards are found by their digest, wherever they lie.
        """
        digest = shards.manifest.digest
        found = next((lot for lot in self.lots if lot.digest == digest and lot.every), None)
        if found is not None and found.records != shards.manifest.rows:
            raise FormatError(
                f"{self.path or 'the rows'} names shards of {found.records:,} records; {shards.path} has "
                f"{shards.manifest.rows:,}"
            )
        return found

    def to_json(self) -> str:
        """Return the file's text: JSON with sorted keys."""
        document = {"format": FORMAT, "shards": [lot.document() for lot in self.lots]}
        return json.dumps(document, sort_keys=True) + "\n"

    @classmethod
    @checked(path=arguments.path)
    def read(cls, path: str | Path) -> Self:
        """Read the file that `ult forget find` wrote. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
        path = Path(path)
        try:
            document = json.loads(read_text(path, _MOST))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingSource(f"{path} is not there", hint="ult forget find writes it") from error
        except FormatError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{path} is not JSON", hint="ult forget find writes such a file") from error
        check_format(document, FORMAT, path)
        lots = document.get("shards")
        if set(document) != {"format", "shards"} or not isinstance(lots, list):
            raise FormatError(f"{path} has other fields; expected a list of shards")
        found = tuple(Lot.read(lot, path) for lot in lots)
        if len({lot.digest for lot in found}) != len(found):
            raise FormatError(f"{path} names the same shards twice")
        if not any(lot.every for lot in found):
            raise FormatError(f"{path} names no record")
        return cls(found, path)

    def facts(self) -> Facts:
        """Return how many records are named, of how many shards."""
        return [
            ("records to forget", f"{self.rows:,}"),
            ("equal to a given one", f"{sum(len(lot.rows) for lot in self.lots):,}"),
            ("near copies", f"{sum(len(lot.near) for lot in self.lots):,}"),
            ("others of the same person", f"{sum(len(lot.person) for lot in self.lots):,}"),
            ("of", count(len(self.lots), "shards folder")),
            ("digest", self.digest),
        ]


def as_gones(rows: Gone | str | Path | Sequence[Gone | str | Path]) -> tuple[Gone, ...]:
    """Return one or several files of records to forget, read unless they are. Raises as `Gone.read`."""
    several = [rows] if isinstance(rows, Gone | str | Path) else rows
    return tuple(one if isinstance(one, Gone) else Gone.read(one) for one in several)


gone_argument = arguments.one_or_more(
    arguments.path_or(
        "a file of ult forget find: its path, or what ult.forget.find returned", lambda v: isinstance(v, Gone)
    ),
    "files of ult forget find",
)
