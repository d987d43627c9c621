"""Shards: ids on disk, a folder of Parquet parts and a manifest, which an owner gives to a trainer.

`docs/format.md` describes the folder, `ult.public.shard_writer` writes it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ult.errors import FormatError, MissingSource
from ult.host import arguments
from ult.host.atomic import recover
from ult.host.disk import strangers
from ult.host.free import Kind
from ult.host.near import near_file
from ult.host.regular import read_text
from ult.host.remote import Address, located
from ult.host.shown import Facts, Shown, size
from ult.public.card import FILES
from ult.public.id_columns import count_ids, flat_ids, record_ids
from ult.public.manifest import FILE, FORMER, IDS, Manifest, Part, is_shards, manifest_of
from ult.public.vocabulary import Vocabulary

if TYPE_CHECKING:
    import datasets

_OURS = re.compile(rf"{re.escape(FILE)}|{re.escape(FORMER)}|part-\d+\.parquet|{FILES}")  # all that --force may replace
SHARDS = Kind("shards", is_shards, partial(strangers, ours=_OURS))
PART_IDS = 4_000_000  # ids of a part, after which a writer begins the next: 16 MB in memory
BATCH_ROWS = 2**15  # rows of a part that are read at a time
_MOST = 2**28  # bytes of a manifest: a million parts


class Shards(Shown):
    """A shards folder, read and verified a part at a time.

    `Shards(path)` reads the manifest alone. A path may be an address, such as `s3://bucket/notes.shards`, whose parts
    are streamed: no copy stays on the disk. `parts()` checks the SHA-256, the schema, the rows and the ids of a part
    before it yields the part. Both raise `MissingSource`, `FormatError` or `NewerFormat`.
    """

    @arguments.checked(path=arguments.place)
    def __init__(self, path: str | Path) -> None:
        self.path = located(path)
        if isinstance(self.path, Path):
            recover(self.path)
        manifest = manifest_of(self.path)
        try:
            text = _text(manifest)
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(self.path, Path) and not self.path.exists():
                raise MissingSource(
                    f"{self.path} is not there; expected shards", hint=near_file(self.path, "ult encode writes them")
                ) from error
            raise MissingSource(
                f"{self.path} is not a shards folder: it has no manifest.json, hidden or not",
                hint="ult encode writes one, hidden",
            ) from error
        except FormatError:
            raise
        except (OSError, ValueError) as error:
            raise FormatError(f"{manifest} cannot be read as text") from error
        self.manifest = Manifest.from_json(text, manifest)
        self.vocabulary = Vocabulary(self.manifest.vocabulary_size)

    def facts(self) -> Facts:
        """Return what the manifest says of the shards: how much they hold, and what of it is in the clear."""
        told = self.manifest
        return [
            ("folder", str(self.path)),
            ("records", f"{told.rows:,}"),
            ("ids", f"{told.ids:,}"),
            ("original data", size(told.bytes)),
            ("vocabulary", f"{told.vocabulary_size:,}"),
            ("codec", told.codec),
            ("table", told.table),
            ("begin and end ids", "none; to_datasets() puts them around"),
            ("in the clear", ", ".join(told.kept) or "nothing"),
        ]

    def __repr__(self) -> str:
        told = self.manifest
        return f"<Shards {self.path}: {told.rows:,} records, {told.ids:,} ids of {told.vocabulary_size:,}>"

    def parts(self) -> Iterator[pa.Table]:
        """Yield each part as an Arrow table: `input_ids` list<int32>, then the kept columns."""
        for part in self.manifest.parts:
            yield self._read(part)

    def part(self, number: int) -> pa.Table:
        """Return one part, from 0, as `parts` yields it. Raises `InvalidConfig` if there is none of that number."""
        return self._read(self._part(number))

    def batches(self, number: int) -> Iterator[pa.Table]:
        """Yield the rows of one part, from 0, some at a time, so that few of them are in memory.

        The SHA-256 and the schema are checked before the first are yielded, ids before theirs, and how many there are
        of all at the end. Raises as `part` does.
        """
        part, rows, ids = self._part(number), 0, 0
        path = self.path / part.name
        with _parquet(path):
            for batch in self._opened(part, path).iter_batches(BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                self._check(table, path)
                rows, ids = rows + table.num_rows, ids + count_ids(table)
                yield table
        _check_size(part, path, rows, ids)

    def _part(self, number: int) -> Part:
        if not isinstance(number, int) or not 0 <= number < len(self.manifest.parts):
            raise arguments.refusal("number", number, f"that of a part, from 0 to {len(self.manifest.parts) - 1}")
        return self.manifest.parts[number]

    def ids(self) -> Iterator[NDArray[np.uint32]]:
        """Yield the ids (n,) uint32 of each record, in order."""
        for table in self.parts():
            yield from record_ids(table)

    def kept_schema(self) -> pa.Schema:
        """Return the names and types of the kept columns. Raises `FormatError` as `parts` does."""
        return self._read(self.manifest.parts[0]).schema.remove(0)

    def to_arrow(self) -> pa.Table:
        """Return all parts as one Arrow table."""
        return pa.concat_tables(self.parts())

    @property
    def has_begin_and_end(self) -> bool:
        """Whether records carry a begin and an end id. None does today: `to_datasets` and trainings put them around."""
        return False

    def to_datasets(
        self, *, context: int | None = None, streaming: bool = False
    ) -> datasets.Dataset | datasets.IterableDataset:
        """Return the records as a Hugging Face dataset: `input_ids`, a list of int32 a row, then the kept columns.

        Each record stands between two `<eos>` (id 2), as `ult train` reads it, so that a model learns where records
        begin and end; any causal collator will do, `transformers.DataCollatorForLanguageModeling` for one. With
        `context`, at least 4, records that are longer with their ends are cut into rows of so many ids at most, which
        overlap by one id: nothing is dropped, and nothing predicted twice. With `streaming` parts are read, and
        verified, as they come, else all at once into memory; nothing is written to a cache.

        Raises `InvalidConfig`, `FormatError`, or `MissingExtra` without the package datasets.
        """
        from ult.public.hugging_face import to_datasets

        return to_datasets(self, context=context, streaming=streaming)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Say what a method of version 0.1.0 is called today."""
            now = "; it is to_arrow() now" if name == "table" else ""
            raise AttributeError(f"Shards has no attribute {name!r}{now}")

    def _read(self, part: Part) -> pa.Table:
        path = self.path / part.name
        with _parquet(path):
            table = self._opened(part, path).read()
            self._check(table, path)
        _check_size(part, path, table.num_rows, count_ids(table))
        return table

    def _opened(self, part: Part, path: Path | Address) -> pq.ParquetFile:
        """Return a part whose bytes, which are in memory, and metadata are as the manifest says."""
        data = _buffer(path)  # once, so that what is read is what was verified
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise FormatError(f"{path} is damaged: its SHA-256 is not the manifest's", hint="encode again")
        file = pq.ParquetFile(pa.BufferReader(data))
        self._check_told(file.metadata, part, path)
        return file

    def _check(self, table: pa.Table, path: Path | Address) -> None:
        """Raise `FormatError`, or Arrow's errors, unless rows of a part hold ids of the vocabulary."""
        table.validate(full=True)  # finds kept text that is no UTF-8, among others
        ids = flat_ids(table)
        if ids.dtype != np.int32 or table[IDS].null_count:
            met = f"{table.num_rows} rows, {len(ids)} ids, of which some are null"
            raise FormatError(f"{path} holds {met}; the manifest says otherwise")
        if len(ids) and int(ids.view(np.uint32).max()) >= self.vocabulary.size:  # a negative one is large
            raise FormatError(f"{path} holds an id outside the vocabulary of {self.vocabulary.size}")

    def _check_told(self, told: pq.FileMetaData, part: Part, path: Path | Address) -> None:
        """Raise `FormatError` unless the metadata of a part agrees with the manifest; nothing is unpacked for it."""
        schema, names = told.schema.to_arrow_schema(), [IDS, *self.manifest.kept]
        if schema.names != names:
            raise FormatError(f"{path} has columns {schema.names}; expected {names}")
        if not pa.types.is_list(kind := schema.types[0]) or kind.value_type != pa.int32():
            raise FormatError(f"{path} has columns of other types: {IDS} is {kind}; expected list<int32>")
        if told.num_rows > part.rows + PART_IDS:  # pyarrow 26 aborts the process at some damaged numbers of rows
            raise FormatError(f"{path} holds {told.num_rows} rows; the manifest says otherwise")


@contextmanager
def _parquet(path: Path | Address) -> Iterator[None]:
    """Turn any failure of Arrow to read a part into a `FormatError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last for names of columns
        raise FormatError(f"{path} is not a Parquet file") from error


def _check_size(part: Part, path: Path | Address, rows: int, ids: int) -> None:
    if (rows, ids) != (part.rows, part.ids):
        raise FormatError(f"{path} holds {rows} rows, {ids} ids; the manifest says otherwise")


def _text(path: Path | Address) -> str:
    return read_text(path, _MOST) if isinstance(path, Path) else path.read(_MOST).decode("utf-8")


def _buffer(path: Path | Address) -> pa.Buffer:
    """Return the bytes of a part. Raises `FormatError`, or `SourceError` if a store does not answer."""
    try:
        if isinstance(path, Address):
            return pa.py_buffer(path.read())
        if not path.is_file():
            raise MissingSource(f"{path} is not there")
        with opened(path) as file:
            return file.read_buffer()
    except MissingSource as error:
        raise FormatError(f"{path} is missing, though the manifest lists it", hint="encode again") from error
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path} is not a Parquet file") from error


def opened(path: Path) -> pa.NativeFile:
    """Return the file, opened for Arrow under any name: Arrow by itself takes names of UTF-8 alone."""
    return pa.OSFile(os.fsencode(path))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
