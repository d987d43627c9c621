"""Read a table, or what a query selects, of a PostgreSQL database: `postgresql://HOST/DATABASE?table=visits`.

Rows come as Arrow from the driver of ADBC, a batch at a time, in a transaction that may only read. A numeric keeps its
digits, JSON, UUID and enumerations are texts. The password is best left to PGPASSWORD or ~/.pgpass; one that an address
holds is never shown and never stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa
import pyarrow.types as pat

from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, changed, listed
from ult.data.tables.digest import NOTHING, Digest, digest
from ult.errors import EmptySource, InvalidConfig, SourceError
from ult.host.extras import require
from ult.host.later import compute as pc

PREFIX = "postgresql:"
_STARTS = ("postgresql://", "postgres://")
_ADDRESS = re.compile(r"postgres(?:ql)?://(?:[^@/?#]*@)?([\w.,:\[\]-]*)(?:/([\w.%-]*))?(?:\?.*)?", re.DOTALL)
_TABLES = (
    "select case when table_schema = current_schema() then '' else table_schema || '.' end || table_name, "
    "quote_ident(table_schema) || '.' || quote_ident(table_name), table_type = 'BASE TABLE' "
    "from information_schema.tables "
    "where table_schema not in ('pg_catalog', 'information_schema') order by 1"
)
_SESSION = (  # nothing is written, and two passes over a table have its rows in one order
    "set session characteristics as transaction isolation level repeatable read, read only",
    "set synchronize_seqscans = off",
    "set max_parallel_workers_per_gather = 0",
    "set enable_indexonlyscan = off",  # by an index on patients, their column alone would come sorted
)
_WAIT = {"connect_timeout": "10"}  # seconds
_WHY = {  # what of libpq's messages is told, in words of our own: a message may hold the address
    "password authentication failed": "the user or the password is wrong",
    "no password supplied": "it asks for a password",
    "Connection refused": "no server listens there",
    "could not translate host name": "there is no such host",
    "timeout": "the server does not answer",
    "does not exist": "there is no such database or user",
    "pg_hba.conf": "the server does not let this user in from here",
    "invalid URI": "the address is no valid URI",
}
_WROTE, _SYNTAX = "25006", "42"  # SQLSTATE of a write in such a transaction; the class of errors in a query


def is_address(name: str) -> bool:
    """Return whether an input is the address of a database of PostgreSQL."""
    return name.startswith(_STARTS)


def shown(name: str) -> str:
    """Return an input's name as it may be shown and stored: an address without user, password and options.

    >>> shown("postgresql://me:secret@db.example:5432/clinic?table=visits&password=secret")
    'postgresql://db.example:5432/clinic?table=visits'
    >>> shown("notes.csv")
    'notes.csv'
    """
    if not is_address(name):
        return name
    match = _ADDRESS.fullmatch(name)
    if match is None or re.search(r":(?!\d+(,|$))", match[1].rpartition("]")[2]):
        return "postgresql://"
    table = dict(parse_qsl(name.partition("?")[2])).get("table", "")
    return f"postgresql://{match[1]}/{match[2] or ''}" + f"?table={table}" * bool(table)


class PostgresRows(Rows):
    """The columns of a table or of a query."""

    def __init__(self, name: str, reading: Reading = AS_IT_IS) -> None:
        self.name = shown(name)
        address, _, options = name.partition("?")
        asked = dict(parse_qsl(options, keep_blank_values=True))
        table = asked.pop("table", None)
        if table is not None and reading.query is not None:
            raise InvalidConfig(f"{self.name} names a table beside --query; expected one of the two")
        self._address = f"{address}?{urlencode(_WAIT | asked)}"
        with self._opened() as cursor:
            self._from, self._stored = (
                (f"({reading.query.strip().rstrip(';')}\n) as ult", False)
                if reading.query
                else self._table(cursor, table)
            )
            schema, batches = self._select(cursor, ["*"])
            if not schema.names:
                raise InvalidConfig("the query selects no columns; expected one select", hint="--query 'select ...'")
            if len(set(schema.names)) != len(schema.names):
                raise SourceError(f"{self.name} has a column twice: {listed(schema.names)}; expected different names")
            if not any(batch.num_rows for batch in batches):
                raise EmptySource(f"{self.name} has no rows; expected records")
        self._raw = schema
        self.types = {field.name: _type(field.type) for field in schema}
        self._count: int | None = None  # rows of the first pass
        self._digests: dict[str, Digest] = {}  # of the columns of earlier passes

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`; raise `SourceError` if a pass before had other ones, or others in its order.

        Of a view or a query, which the server may plan anew for every choice of columns, all columns are asked for, so
        that the rows come in one order.
        """
        done, digests = 0, dict.fromkeys(columns, NOTHING)
        asked = [_quoted(name) for name in (columns if self._stored else self._raw.names)]
        with self._opened() as cursor:
            schema, batches = self._select(cursor, asked)
            if any(schema.field(name).type != self._raw.field(name).type for name in columns):
                raise changed(self.name, "a column has another type")
            for batch in batches:
                cells = {name: _plain(batch.column(name), self.types[name]) for name in columns}
                digests = {name: digest(values, digests[name]) for name, values in cells.items()}
                step = max(1, min(ROWS, CHUNK_BYTES * batch.num_rows // max(batch.nbytes, 1)))
                for start in range(0, batch.num_rows, step):
                    part = {name: pa.chunked_array([values.slice(start, step)]) for name, values in cells.items()}
                    yield Chunk(self.name, done + start + 1, part, min(step, batch.num_rows - start))
                done += batch.num_rows
        if self._count is not None and done != self._count:
            raise changed(self.name, f"it had {self._count:,} rows and has {done:,}")
        if other := [name for name in columns if self._digests.get(name, digests[name]) != digests[name]]:
            raise changed(self.name, f"column {other[0]!r} has other cells than before, or others in its order")
        self._count = done
        self._digests |= digests

    def _select(self, cursor: Any, columns: Sequence[str]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        cursor.execute(f"select {', '.join(columns)} from {self._from}")  # noqa: S608 - in a transaction that reads
        reader = cursor.fetch_record_batch()
        return reader.schema, iter(reader)

    def _table(self, cursor: Any, asked: str | None) -> tuple[str, bool]:
        """Return a table as SQL names it, and whether it is one, or a view.

        Raises `SourceError` if it is not there, or none is asked for of several.
        """
        cursor.execute(_TABLES)
        tables = {name: (quoted, stored) for name, quoted, stored in cursor.fetchall()}
        if asked is None and len(tables) == 1:
            return next(iter(tables.values()))
        if asked is None or asked not in tables:
            met = f"has {len(tables)} tables" if asked is None else f"has no table {asked!r}"
            raise SourceError(
                f"{self.name} {met}; it has {listed(list(tables))}",
                hint="postgresql://HOST/DATABASE?table=NAME, or --query 'select ...'",
            )
        return tables[asked]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Give a cursor of a connection of its own, in a transaction that may only read."""
        with require("adbc-driver-manager", "adbc-driver-postgresql", extra="sql"):
            import adbc_driver_manager as adbc
            from adbc_driver_postgresql import dbapi
        try:
            base = dbapi.connect(self._address)
        except adbc.Error as error:
            raise self._unopened(str(error)) from None  # whose message may hold the address
        try:
            with base, base.cursor() as cursor:
                for statement in _SESSION:
                    cursor.execute(statement)
                base.commit()
                yield cursor
        except (adbc.Error, pa.ArrowException, OSError) as error:
            raise self._refused(error) from None  # whose message may hold values

    def _unopened(self, message: str) -> SourceError:
        why = next((told for sign, told in _WHY.items() if sign in message), "")
        return SourceError(
            f"{self.name} cannot be opened{': ' * bool(why)}{why}",
            hint="PGPASSWORD or ~/.pgpass holds the password" * ("password" in why)
            + "postgresql://USER@HOST/DATABASE?table=NAME, and options of libpq" * ("URI" in why),
        )

    def _refused(self, error: Exception) -> SourceError:
        state = str(getattr(error, "sqlstate", None) or "")
        if state == _WROTE:
            return SourceError(f"{self.name}: the query writes; expected one that selects")
        if state.startswith(_SYNTAX):
            found = re.search(r"ERROR:\s*(.*)", str(error))
            return SourceError(f"{self.name}: the query is refused: {found[1] if found else state}")
        return SourceError(f"{self.name} cannot be read{f': error {state} of the server' if state else ''}")


def _type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's cells; that of the driver where they have no text, such as an interval."""
    if not isinstance(kind, pa.BaseExtensionType):
        return kind
    return pa.string() if kind.extension_name == "arrow.uuid" or pat.is_string(kind.storage_type) else kind


def _plain(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return cells of type `kind` without the extension that the driver gives it."""
    if not isinstance(values, pa.ExtensionArray) or kind == values.type:
        return values
    if pat.is_fixed_size_binary(values.storage.type):
        digits = pa.array([None if one is None else one.hex() for one in values.storage.to_pylist()], pa.string())
        return pc.replace_substring_regex(digits, "^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5")
    return values.storage


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
