"""`omop:FOLDER`: events of the tables of the OMOP common data model, as `.csv` or `.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.composed.fields import texts
from ult.data.events.concepts import Concepts
from ult.data.events.omop_tables import DERIVED, TABLES, Cells, empty
from ult.data.events.rows import COLUMNS, KEY, SUBJECT, Table, checked
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import Chunk, Rows, existing_text, listed
from ult.data.tables.tabular import CsvRows, ParquetRows
from ult.errors import EmptySource, MissingColumn, MissingSource, SourceError

_INNER = (*COLUMNS, KEY)


class OmopRows(Table):
    """The events of one table of the model, in the order of its files."""

    keyed = True

    def __init__(self, table: str, opened: Sequence[Rows], concepts: Concepts, others: Sequence[str]) -> None:
        self.name, self._table, self._opened, self._concepts = opened[0].name, table, opened, concepts
        self._others = list(others)
        self.types = dict.fromkeys(_INNER, pa.string())
        self._names = [_names(rows, table) for rows in opened]

    def unread(self) -> list[str]:
        """Return the names of files of the folder that are not read."""
        return self._others

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the events in the order of the rows. Raises `SourceError`, naming file and row."""
        if list(columns) == [SUBJECT]:  # of a pass that looks only for the order of the subjects
            yield from self._persons()
            return
        places = [_INNER.index(name) for name in columns]
        read = TABLES[self._table].events
        for rows, names in zip(self._opened, self._names, strict=True):
            for chunk in rows.chunks(list(names.values())):
                found: list[tuple[Any, ...]] = []
                numbers: list[int] = []
                cells = {name: texts(chunk, theirs) for name, theirs in names.items()}
                for i in range(chunk.length):
                    one = Cells({name: values[i] for name, values in cells.items()}, chunk, i, self._concepts)
                    person, key = one.needed("person_id"), one.get(f"{self._table}_id")
                    for time, code, *rest in read(one):
                        found.append((person, checked(time, chunk, i), code, *rest, key))
                        numbers.append(chunk.numbers[i] if chunk.numbers else chunk.first + i)
                        key = None
                values = {name: [row[k] for row in found] for name, k in zip(columns, places, strict=True)}
                if found:
                    yield Chunk(chunk.name, numbers[0], values, len(found), chunk.unit, numbers=numbers)

    def _persons(self) -> Iterator[Chunk]:
        for rows, names in zip(self._opened, self._names, strict=True):
            for chunk in rows.chunks([names["person_id"]]):
                persons = texts(chunk, names["person_id"])
                if not all(persons):
                    raise empty(chunk, next(i for i, one in enumerate(persons) if not one), "person_id")
                yield replace(chunk, columns={SUBJECT: persons})


def tables(addresses: Sequence[str]) -> list[Table]:
    """Return a reader for each table that events are read of. Raises `SourceError`, `MissingColumn`."""
    found: dict[str, list[str]] = {}
    others: list[str] = []
    for folder in addresses:
        for name in _walk(folder):
            table = name.partition("/")[0].partition(".")[0].lower()
            known = files.suffix(name) in _READERS and (table in TABLES or table == "concept")
            (found.setdefault(table, []) if known else others).append(files.join(folder, name))
    for derived, of in DERIVED.items():
        if of in found:
            others += found.pop(derived, [])
    concepts = Concepts(_opened(found.pop("concept", [])))
    opened = {table: rows for table in TABLES if (rows := _opened(found.get(table, [])))}
    if not opened:
        raise EmptySource(f"{addresses[0]} holds no table of OMOP with rows; expected such as {', '.join(TABLES)}")
    first, *_ = opened
    return [OmopRows(one, rows, concepts, others if one == first else ()) for one, rows in opened.items()]


def _csv(path: str) -> Rows:
    """Return the rows of a `.csv`; the vocabularies of Athena are files of that name with tabs between the cells."""
    with files.open_file(existing_text(path)) as file:
        header = file.readline(2**16)
    return CsvRows(path, Reading(separator="\t") if b"\t" in header and b"," not in header else AS_IT_IS)


_READERS: Mapping[str, Callable[[str], Rows]] = {".csv": _csv, ".parquet": ParquetRows}


def _walk(folder: str) -> list[str]:
    expected = "a folder with the tables of OMOP, such as PERSON.csv"
    if files.is_file(folder):
        raise MissingSource(f"{folder} is a file; expected {expected}")
    if not files.is_folder(folder):
        raise files.missing(folder, expected)
    return files.walk(folder)


def _opened(paths: Sequence[str]) -> list[Rows]:
    """Return the readers of the files of a table that have rows. Raises `SourceError` for one that is there twice."""
    if len({files.suffix(path) for path in paths}) > 1:
        raise SourceError(f"{paths[0]} is there again as {paths[-1]}; expected each table once")
    found: list[Rows] = []
    for path in paths:
        try:
            found.append(_READERS[files.suffix(path)](path))
        except EmptySource:
            continue
    return found


def _names(rows: Rows, table: str) -> dict[str, str]:
    """Return how the file spells the columns that are read. Raises `MissingColumn` if one is missing that has to be."""
    spelled = {name.lower(): name for name in rows.types}
    if missing := [name for name in TABLES[table].needed if name not in spelled]:
        raise MissingColumn(f"{rows.name} has no column {listed(missing)}; it has {listed(list(rows.types))}")
    return {name: spelled[name] for name in dict.fromkeys((*TABLES[table].columns, f"{table}_id")) if name in spelled}
