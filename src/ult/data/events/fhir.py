"""`fhir:FOLDER`: events of FHIR's bulk data, files of one resource a line, of one type a file, maybe packed by gzip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.batch import size_of
from ult.data.composed.units import HELD_BYTES
from ult.data.events.resource import Resource
from ult.data.events.resources import KINDS, events, subject
from ult.data.events.rows import COLUMNS, KEY, Table
from ult.data.packed import open_plain
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk
from ult.errors import EmptySource, MissingSource, SourceError

LINE_BYTES = 2**26  # of a resource, at most
_SUFFIXES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
_NAME_BYTES = 200  # about, of a medication in memory beside its code
_INNER = (*COLUMNS, KEY)


class FhirRows(Table):
    """The events of the resources of one type, in the order of its files."""

    keyed = True

    def __init__(self, kind: str, paths: Sequence[str], medications: Medications, others: Others | None) -> None:
        self.name, self._kind, self._paths = paths[0], kind, paths
        self._medications, self._others = medications, others
        self._skipped: Counter[str] = Counter()
        self.types = dict.fromkeys(_INNER, pa.string())

    def unread(self) -> list[str]:
        """Return how many resources, and parts of them, were not read in the last pass."""
        return [f"{n:,} {what}" for what, n in self._skipped.items()] + (self._others.counted if self._others else [])

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the events in the order of the lines. Raises `SourceError`, naming file and line."""
        self._skipped.clear()
        places = [_INNER.index(name) for name in columns]
        for path in self._paths:
            rows: list[tuple[Any, ...]] = []
            lines: list[int] = []
            size = 0
            for number, resource in resources(path, self._kind):
                for row in self._rows(resource):
                    rows.append(row)
                    lines.append(number)
                    size += size_of(row)
                if len(rows) >= ROWS or size >= CHUNK_BYTES:
                    yield _chunk(path, columns, places, rows, lines)
                    rows, lines, size = [], [], 0
            if rows:
                yield _chunk(path, columns, places, rows, lines)

    def _rows(self, resource: Resource) -> Iterator[tuple[Any, ...]]:
        if of := subject(resource, self._skip):
            key: str | None = resource.text("id") or None
            for event in events(resource, self._medications.code, self._skip):
                yield of, *event, key
                key = None

    def _skip(self, what: str) -> None:
        self._skipped[what] += 1


class Medications:
    """The codes of the medications that requests refer to."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def code(self, resource: Resource, reference: str) -> str:
        """Return the code of a medication. Raises `SourceError` if it is not there."""
        if reference.startswith("#"):
            inside = [one for one in resource.parts("contained") if one.text("id") == reference[1:]]
            if inside:
                return inside[0].code("code")
        elif (found := self._codes.get(reference.partition("/_history/")[0].rpartition("/")[2])) is not None:
            return found
        raise SourceError(
            f"{resource.place}: medicationReference names a Medication that is not in the folder",
            hint="Medication.ndjson of the same export beside it",
        )

    @cached_property
    def _codes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        size = 0
        for path in self._paths:
            for _, resource in resources(path, "Medication"):
                name, code = resource.text("id"), resource.code("code")
                if found.setdefault(name, code) != code:
                    raise SourceError(f"{resource.place} has the id of a Medication above it, and another code")
                size += len(name) + len(code) + _NAME_BYTES
                if size > HELD_BYTES:
                    raise SourceError(f"{path} holds over {HELD_BYTES >> 20:,} MiB of medications; expected fewer")
        return found


class Others:
    """Files of types that are not read, whose resources are counted when somebody asks."""

    def __init__(self, paths: dict[str, list[str]]) -> None:
        self._paths = paths

    @cached_property
    def counted(self) -> list[str]:
        """How many resources of each type there are."""
        return [f"{sum(map(_count, paths)):,} {kind}" for kind, paths in sorted(self._paths.items())]


def tables(addresses: Sequence[str]) -> list[Table]:
    """Return a table for each type of resource that events are read of. Raises `MissingSource` or `SourceError`."""
    kinds: dict[str, list[str]] = {}
    for path in dict.fromkeys(path for one in addresses for path in _paths(one)):
        if kind := _kind(path):
            kinds.setdefault(kind, []).append(path)
    medications = Medications(kinds.pop("Medication", []))
    others = Others({kind: paths for kind, paths in kinds.items() if kind not in KINDS})
    found: list[Table] = [
        FhirRows(kind, kinds[kind], medications, others if k == 0 else None)
        for k, kind in enumerate(kind for kind in KINDS if kind in kinds)
    ]
    if not found:
        raise EmptySource(f"{addresses[0]} holds no resource of {', '.join(KINDS)}")
    return found


def resources(path: str, kind: str) -> Iterator[tuple[int, Resource]]:
    """Yield the resources of a file with the numbers of their lines. Raises `SourceError` for one of another type."""
    for number, line in _lines(path):
        resource = Resource.read(line, f"{path}, line {number}")
        if resource.kind != kind:
            raise SourceError(
                f"{resource.place} is of type {resource.kind[:40]!r}; expected {kind} as in the lines above it",
                hint="a file for each type, as bulk data has them",
            )
        yield number, resource


def _paths(address: str) -> list[str]:
    """Return the files of a folder, of a glob, or the file itself."""
    found: list[str] = []
    for one in files.expand(address):
        if files.is_folder(one):
            found += [files.join(one, name) for name in files.walk(one) if name.lower().endswith(_SUFFIXES)]
        elif files.is_file(one):
            found.append(one)
        else:
            raise files.missing(one, "a folder of .ndjson files")
    if not found:
        raise MissingSource(f"{address} holds no file that ends in {', '.join(_SUFFIXES[:2])}")
    return found


def _kind(path: str) -> str:
    """Return the type of the first resource of a file, or the empty string if it has none."""
    try:
        number, line = next(_lines(path), (0, b""))
    except EmptySource:
        return ""
    return Resource.read(line, f"{path}, line {number}").kind if line else ""


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers. Raises `SourceError` for one over `LINE_BYTES`."""
    with open_plain(path) as file:
        number = 0
        while line := file.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                raise SourceError(
                    f"{path}, line {number} has over {LINE_BYTES >> 20} MiB; expected resources of less",
                    hint="leave it out",
                )
            if line.strip():
                yield number, line


def _count(path: str) -> int:
    return sum(1 for _ in _lines(path))


def _chunk(
    path: str, columns: Sequence[str], places: Sequence[int], rows: list[tuple[Any, ...]], lines: list[int]
) -> Chunk:
    cells = {name: [row[k] for row in rows] for name, k in zip(columns, places, strict=True)}
    return Chunk(path, lines[0], cells, len(rows), "line", numbers=lines)
