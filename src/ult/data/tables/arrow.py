"""Read files of Arrow's own format: `.arrow` and `.feather`, as a file or as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, changed, existing, listed
from ult.errors import EmptySource, SourceError

SUFFIXES = (".arrow", ".feather")
_FILE, _OLD = b"ARROW1", b"FEA1"  # how a file begins; a stream begins with a length
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream


class ArrowRows(Rows):
    """The columns of a file of Arrow. One of its batches is held in memory at a time, of the columns that are read."""

    def __init__(self, name: str) -> None:
        self.name = existing(name)
        with self._opened() as (schema, batches):
            if len(set(schema.names)) != len(schema.names):
                raise SourceError(f"{name} names a column twice: {listed(schema.names)}")
            if not schema.names or not any(batch.num_rows for batch in batches):
                raise EmptySource(f"{name} has no rows; expected records")
        self.types = {field.name: field.type for field in schema}

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the values of `columns`; raise `SourceError` if the file is damaged or changed."""
        first = 1
        with self._opened(columns) as (schema, batches):
            if {field.name: field.type for field in schema} != self.types:
                raise changed(self.name)
            for batch in batches:
                try:
                    batch.validate(full=True)  # offsets that lead out of the file, texts that are not UTF-8
                except pa.ArrowException:
                    raise SourceError(f"{self.name} is damaged after row {first - 1}") from None
                step = max(1, min(ROWS, CHUNK_BYTES * batch.num_rows // max(batch.nbytes, 1)))
                for start in range(0, batch.num_rows, step):
                    table = pa.Table.from_batches([batch.slice(start, step)])
                    yield Chunk(self.name, first, {name: table[name] for name in columns}, len(table))
                    first += len(table)

    @contextmanager
    def _opened(self, columns: Sequence[str] = ()) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Give the schema, and the batches with these columns, or without any with the first, to count the rows."""
        try:
            with files.open_arrow(self.name) as file:
                start = file.read(len(_FILE))
                file.seek(0)
                if start.startswith(_OLD):
                    raise SourceError(
                        f"{self.name} is of the first version of Feather; expected the second, which is Arrow's format"
                    )
                if start != _FILE:
                    _check_end(file, self.name)
                opened = pa.ipc.open_file if start == _FILE else pa.ipc.open_stream
                schema = opened(file).schema
                file.seek(0)
                wanted = [schema.names.index(name) for name in columns if name in schema.names]
                options = pa.ipc.IpcReadOptions(included_fields=wanted or [0], use_threads=False)
                yield schema, _each(opened(file, options=options))
        except SourceError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.name} is not a file of Arrow, or it is damaged or cut short") from error


def _check_end(file: pa.NativeFile, name: str) -> None:
    """Raise `SourceError` if a stream lacks its end, without which one cut between two batches reads like a whole."""
    file.seek(max(0, file.size() - len(_END)))
    if file.read() != _END:
        raise SourceError(f"{name} is not a file of Arrow, or it is cut short: its end is missing")
    file.seek(0)


def _each(reader: Any) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file or a stream."""
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)
