"""Ids on disk: a folder of Parquet parts and a manifest; what an owner gives to a trainer.

`docs/format.md` describes the folder. It appears whole or not at all: parts are written into a hidden folder beside
it, read back, and renamed at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists, writing
from ult.host.atomic import Claim, recover
from ult.host.disk import strangers
from ult.host.regular import read_text
from ult.public.card import FILES, write_shards_card
from ult.public.manifest import (
    CONTROL,
    FILE,
    FORMER,
    IDS,
    Canaries,
    Coin,
    Manifest,
    Part,
    is_shards,
    manifest_of,
    part_name,
)
from ult.public.vocabulary import Vocabulary

if TYPE_CHECKING:
    import datasets

_OURS = re.compile(rf"{re.escape(FILE)}|{re.escape(FORMER)}|part-\d+\.parquet|{FILES}")  # all that --force may replace
_MOST = 2**28  # bytes of a manifest: a million parts
PART_IDS = 4_000_000  # a part is closed once it holds so many ids: 16 MB in memory


class ShardWriter:
    """Writes a shards folder; leave the `with` block without an error and it appears, whole.

    Raises `OutputExists` before anything is written if `path` is there and `force` is not set.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        vocabulary: Vocabulary,
        table: str,
        codec: str,
        column: str,
        kept: pa.Schema | None = None,
        canaries: Canaries | None = None,
        coin: Coin | None = None,
        public_table: bool = False,
        part_ids: int = PART_IDS,
        force: bool = False,
    ) -> None:
        self.path = Path(path)
        check_free(self.path, force=force)
        self._force = force
        self._claim = Claim(self.path)
        self._folder = self._claim.folder / "shards"
        if kept is not None:
            check_kept(kept)
        self.vocabulary, self.table, self.codec, self.column = vocabulary, table, codec, column
        self.kept = kept if kept is not None else pa.schema([])
        self._told: dict[str, Any] = {"canaries": canaries, "coin": coin, "public_table": public_table}
        self.part_ids = part_ids
        self.parts: list[Part] = []
        self.manifest: Manifest  # once the `with` block is left
        self._pending: list[pa.Table] = []
        self._pending_ids = self._pending_bytes = 0

    def __enter__(self) -> Self:
        self._claim.__enter__()
        try:
            with writing(self.path):
                self._folder.mkdir()
        except BaseException:
            self._claim.__exit__(*sys.exc_info())
            raise
        return self

    def write(self, ids: Sequence[NDArray[np.uint32]], nbytes: int, kept: pa.Table | None = None) -> None:
        """Add records: `ids` (n,) uint32 each, `nbytes` bytes of original data together, `kept` a row a record."""
        flat, ends = np.concatenate([np.empty(0, np.uint32), *ids]), np.cumsum([0, *map(len, ids)])[1:]
        self._pending.append(ids_table(flat, ends, kept, self.vocabulary, self.kept))
        self._pending_ids += len(flat)
        self._pending_bytes += nbytes
        if self._pending_ids >= self.part_ids:
            self._flush()

    def _flush(self) -> None:
        path = self._folder / part_name(len(self.parts))
        self.parts.append(write_part(path, pa.concat_tables(self._pending), self._pending_bytes))
        self._pending = []
        self._pending_ids = self._pending_bytes = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            self._claim.__exit__(*sys.exc_info())
            raise
        self._claim.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self._pending or not self.parts:
            self._pending = self._pending or [shards_schema(self.kept).empty_table()]
            self._flush()
        self.manifest = Manifest.of(
            self.parts,
            vocabulary=self.vocabulary,
            table=self.table,
            codec=self.codec,
            column=self.column,
            kept=self.kept,
            **self._told,
        )
        with writing(self.path):
            (self._folder / FILE).write_text(self.manifest.to_json(), encoding="utf-8")
            write_shards_card(self._folder, self.manifest)
        check_free(self.path, force=self._force)
        self._claim.publish(self._folder)


class Shards:
    """A shards folder, read and verified a part at a time.

    `Shards(path)` reads the manifest alone. `parts()` checks each part's SHA-256, schema, rows and ids before
    giving it. Raises `MissingSource`, `FormatError` or `NewerFormat`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        recover(self.path)
        manifest = manifest_of(self.path)
        try:
            text = read_text(manifest, _MOST)
        except (FileNotFoundError, NotADirectoryError) as error:
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

    def parts(self) -> Iterator[pa.Table]:
        """Give each part as a table: `input_ids` list<int32>, then the kept columns."""
        for part in self.manifest.parts:
            yield self._read(part)

    def part(self, number: int) -> pa.Table:
        """Return one part, from 0, as `parts` gives it."""
        return self._read(self.manifest.parts[number])

    def ids(self) -> Iterator[NDArray[np.uint32]]:
        """Give the ids (n,) uint32 of each record, in order."""
        for table in self.parts():
            yield from record_ids(table)

    def kept_schema(self) -> pa.Schema:
        """Return the names and types of the kept columns. Raises `FormatError` as `parts` does."""
        return self._read(self.manifest.parts[0]).schema.remove(0)

    def to_arrow(self) -> pa.Table:
        """Return all parts as one table."""
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
        if not path.is_file():
            raise FormatError(f"{path} is missing, though the manifest lists it", hint="encode again")
        try:
            with _opened(path) as file:
                data = file.read_buffer()  # once, so that what is read is what was verified
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise FormatError(f"{path} is damaged: its SHA-256 is not the manifest's", hint="encode again")
            self._check_told(pq.read_metadata(pa.BufferReader(data)), part, path)
            table = pq.read_table(pa.BufferReader(data), partitioning=None)
            table.validate(full=True)  # or text that is no UTF-8 would be found by whoever looks at it
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of names of columns
            raise FormatError(f"{path} is not a Parquet file") from error
        ids = _flat(table)
        if ids.dtype != np.int32 or table[IDS].null_count or (table.num_rows, len(ids)) != (part.rows, part.ids):
            raise FormatError(f"{path} holds {table.num_rows} rows, {len(ids)} ids; the manifest says otherwise")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary.size:
            raise FormatError(f"{path} holds an id outside the vocabulary of {self.vocabulary.size}")
        return table

    def _check_told(self, told: pq.FileMetaData, part: Part, path: Path) -> None:
        """Raise `FormatError` unless a part says of itself what the manifest does; before anything is unpacked."""
        schema, names = told.schema.to_arrow_schema(), [IDS, *self.manifest.kept]
        if schema.names != names:
            raise FormatError(f"{path} has columns {schema.names}; expected {names}")
        if not pa.types.is_list(kind := schema.types[0]) or kind.value_type != pa.int32():
            raise FormatError(f"{path} has columns of other types: {IDS} is {kind}; expected list<int32>")
        if told.num_rows > part.rows + PART_IDS:  # ids only columns' metadata tell: damaged, they make pyarrow 26 abort
            raise FormatError(f"{path} holds {told.num_rows} rows; the manifest says otherwise")


def check_free(path: Path, *, force: bool) -> None:
    """Raise `OutputExists` if `path` is there, unless it is shards, nothing else, and `force` is set."""
    recover(path)
    replaceable = is_shards(path)
    if path.exists() and not (force and replaceable):
        hint = "another --out, or --force to replace it" if replaceable else "another --out"
        raise OutputExists(f"{path} exists already", hint=hint)
    if others := strangers(path, _OURS) if path.exists() else []:
        raise OutputExists(f"{path} holds {others[0]}, which is no part of shards", hint="move it, or another --out")


def check_kept(kept: pa.Schema) -> None:
    """Raise `InvalidConfig` unless the columns can stand beside the ids."""
    if IDS in kept.names:
        raise InvalidConfig(f"column {IDS!r} cannot be kept: it is the name of the ids", hint="rename it")
    if len(set(kept.names)) < len(kept.names):
        raise InvalidConfig("a column is kept twice")
    if hidden := [name for name in kept.names if CONTROL.search(name)]:
        raise InvalidConfig(f"column {hidden[0]!r} has control characters in its name", hint="rename it")


def shards_schema(kept: pa.Schema) -> pa.Schema:
    """Return the names and types of a part's columns."""
    return pa.schema([pa.field(IDS, pa.list_(pa.int32())), *kept])


def ids_table(
    ids: NDArray[np.uint32], ends: NDArray[np.int64], kept: pa.Table | None, vocabulary: Vocabulary, schema: pa.Schema
) -> pa.Table:
    """Return rows of a part: records, whose ids end at `ends` in `ids` (n,), and beside them `kept`, of `schema`."""
    if ids.size and int(ids.max()) >= vocabulary.size:
        raise InvalidConfig(f"an id is outside the vocabulary of {vocabulary.size}")
    offsets = np.append(0, ends).astype(np.int32)
    column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids.astype(np.int32)))
    columns = [column, *((kept[name] for name in schema.names) if kept is not None else ())]
    return pa.table(columns, schema=shards_schema(schema))


def _opened(path: Path) -> pa.NativeFile:
    """Return the file open for Arrow, which by itself would take any name for UTF-8."""
    return pa.OSFile(os.fsencode(path))


def write_part(path: Path, table: pa.Table, nbytes: int) -> Part:
    """Write a part of `nbytes` bytes of original data to disk and read it back. Raises `OutputError`."""
    try:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", store_schema=True)
        data = buffer.getvalue()
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sha256 = sha256_of(path)
        with _opened(path) as back:
            rows = pq.read_metadata(back).num_rows
    except (pa.ArrowException, OSError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise OutputError(f"cannot write {path.name} to {path.parent}: {reason}") from error
    if sha256 != hashlib.sha256(data).hexdigest() or rows != table.num_rows:
        raise OutputError(f"{path.name} in {path.parent} reads back other than it was written", hint="check the disk")
    return Part(path.name, rows, len(_flat(table)), nbytes, sha256)


def record_ids(table: pa.Table) -> list[NDArray[np.uint32]]:
    """Return the ids (n,) uint32 of each row of a part."""
    ids, ends = ragged_ids(table)
    stops = ends.tolist()
    return [ids[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def ragged_ids(table: pa.Table) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the ids (n,) of a part, one row after the other, and where each row ends in them (r,) int64."""
    lengths = [chunk.value_lengths().to_numpy() for chunk in table[IDS].chunks]
    return _flat(table).astype(np.uint32), np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]), dtype=np.int64)


def _flat(table: pa.Table) -> NDArray[np.int32]:
    chunks = (chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[IDS].chunks)
    return np.concatenate([np.empty(0, np.int32), *chunks])


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
