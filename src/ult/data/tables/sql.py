"""Read a table, or what a query selects, of an SQLite database: `sqlite:patients.db?table=visits`.

A cell is the text of its value: an integer, a real with the fewest digits that give it again, a text as it is; null is
null. The database is opened to read only, and a query may do nothing but select.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import pyarrow as pa

from ult.data import files
from ult.data.cells import written
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, existing, listed
from ult.errors import EmptySource, InvalidConfig, SourceError

PREFIX = "sqlite:"
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_TABLES = "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite~_%' escape '~'"


def path_of(address: str) -> str:
    """Return the path of the database; `sqlite:///a.db` is a.db, and `sqlite:////a.db` is /a.db.

    >>> path_of("sqlite:a.db?table=t"), path_of("sqlite:///a.db"), path_of("sqlite:////a.db")
    ('a.db', 'a.db', '/a.db')
    """
    path = address.removeprefix(PREFIX).partition("?")[0]
    return path[3:] if path.startswith("///") else path


class SqliteRows(Rows):
    """The columns of a table or of a query."""

    texts = True

    def __init__(self, name: str, reading: Reading = AS_IT_IS) -> None:
        self.name, self._path = name, existing(path_of(name))
        files.check_regular(self._path)
        asked = dict(parse_qsl(name.partition("?")[2], keep_blank_values=True))
        if set(asked) - {"table"} or (asked and reading.query is not None):
            raise InvalidConfig("an address of SQLite has another option than a table; expected sqlite:PATH?table=NAME")
        with self._opened() as base:
            table = "" if reading.query else _quoted(self._table(base, asked.get("table")))
            self._query = reading.query or f"select * from {table}"  # noqa: S608
            cursor = base.execute(self._query)
            names = [column[0] for column in cursor.description or ()]
            if not names:
                raise InvalidConfig("the query selects no columns; expected one select", hint="--query 'select ...'")
            if len(set(names)) != len(names):
                raise SourceError(f"{name} has a column twice: {listed(names)}; expected different names")
            if cursor.fetchone() is None:
                raise EmptySource(f"{name} has no rows; expected records")
        self.types = dict.fromkeys(names, pa.string())

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`; raise `SourceError`, with row and column, for one that has no text."""
        names = list(self.types)
        places = [(names.index(name), name) for name in columns]
        pending: list[list[str | None]] = []
        first, size = 1, 0
        with self._opened() as base:
            for number, row in enumerate(base.execute(self._query), 1):
                cells = [self._text(row[place], number, name) for place, name in places]
                pending.append(cells)
                size += sum(len(cell) for cell in cells if cell)
                if len(pending) == ROWS or size >= CHUNK_BYTES:
                    yield self._chunk(columns, first, pending)
                    first, pending, size = number + 1, [], 0
        if pending:
            yield self._chunk(columns, first, pending)

    def _chunk(self, columns: Sequence[str], first: int, rows: list[list[str | None]]) -> Chunk:
        return Chunk(self.name, first, {name: [row[i] for row in rows] for i, name in enumerate(columns)}, len(rows))

    def _text(self, value: object, number: int, name: str) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            return written(pa.array([value]))[0]
        raise SourceError(f"{self.name}, row {number}: {name!r} is binary data; expected a text, a number or null")

    def _table(self, base: sqlite3.Connection, asked: str | None) -> str:
        base.set_authorizer(None)
        tables = [name for (name,) in base.execute(_TABLES)]
        base.set_authorizer(_only_select)
        if asked is None and len(tables) == 1:
            return str(tables[0])
        if asked is None or asked not in tables:
            met = f"has {len(tables)} tables" if asked is None else f"has no table {asked!r}"
            raise SourceError(
                f"{self.name} {met}; it has {listed(tables)}", hint=f"{PREFIX}PATH?table=NAME, or --query 'select ...'"
            )
        return asked

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{Path(self._path).resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as base:
                base.set_authorizer(_only_select)
                yield base
        except sqlite3.Warning as error:
            raise SourceError(f"{self.name}: the query is more than one statement; expected one select") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{self.name} cannot be read: {error}") from error


def _only_select(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
