"""Write a shards folder: parts of ids and kept columns, and the manifest that says what they are."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ult.errors import OutputError, writing
from ult.host import arguments
from ult.host.arguments import checked, integer, kind, one_or_more, switch, text
from ult.host.atomic import Claim
from ult.host.free import check_free
from ult.public.card import write_shards_card
from ult.public.guarantee import Guarantee
from ult.public.id_columns import check_kept, count_ids, ids_table, shards_schema
from ult.public.manifest import FILE, Canaries, Coin, Manifest, Part, Tombstone, part_name
from ult.public.shards import PART_IDS, SHARDS, opened, sha256_of
from ult.public.vocabulary import Vocabulary

_AT_ONCE = 2**16  # ids that Arrow lays out at a time; by its default of 1,024 a part takes a tenth longer to write


class ShardWriter:
    """Writes a shards folder, which appears whole once the `with` block ends without an error.

    `table` is the fingerprint of the table, 32 hexadecimal digits; `codec` and `column` say of what the ids are; `kept`
    is the schema of the columns that travel in the clear; `force` allows to replace other shards. Raises `OutputExists`
    before anything is written if something else is at `path`.
    """

    @checked(
        path=arguments.path,
        vocabulary=kind(Vocabulary, "ult.Vocabulary"),
        table=text("a table's fingerprint"),
        codec=text("a codec's id"),
        column=text("the name of one column"),
        kept=kind(pa.Schema, "a schema of Arrow"),
        canaries=kind(Canaries, "Canaries"),
        coin=kind(Coin, "Coin"),
        privacy=kind(Guarantee, "Guarantee"),
        public_table=switch,
        forgotten=one_or_more(kind(Tombstone, "Tombstone"), "tombstones", none=True),
        written_by=text("the digest of a run"),
        part_ids=integer(1),
        force=switch,
    )
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
        privacy: Guarantee | None = None,
        public_table: bool = False,
        forgotten: Sequence[Tombstone] = (),
        written_by: str | None = None,
        part_ids: int = PART_IDS,
        force: bool = False,
    ) -> None:
        self.path = Path(path)
        check_free(self.path, SHARDS, force=force)
        self._force = force
        self._claim = Claim(self.path)
        self._folder = self._claim.folder / "shards"
        if kept is not None:
            check_kept(kept)
        self.vocabulary, self.table, self.codec, self.column = vocabulary, table, codec, column
        self.kept = kept if kept is not None else pa.schema([])
        self._told: dict[str, Any] = {"canaries": canaries, "coin": coin, "public_table": public_table}
        self._told |= {"privacy": privacy, "forgotten": forgotten, "written_by": written_by}
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
        check_free(self.path, SHARDS, force=self._force)
        self._claim.publish(self._folder)


def write_part(path: Path, table: pa.Table, nbytes: int) -> Part:
    """Write a part of `nbytes` bytes of original data to disk and read it back. Raises `OutputError`."""
    try:
        data = _parquet(table)
        digest = _sha256(data)
        _store(path, data)
        found, rows = _stored(path)
    except (pa.ArrowException, OSError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise OutputError(f"cannot write {path.name} to {path.parent}: {reason}") from error
    if found != digest or rows != table.num_rows:
        raise OutputError(f"{path.name} in {path.parent} reads back other than it was written", hint="check the disk")
    return Part(path.name, rows, count_ids(table), nbytes, digest)


def _sha256(data: pa.Buffer) -> str:
    return hashlib.sha256(data).hexdigest()


def _store(path: Path, data: pa.Buffer) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _stored(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a part as it is read back, and how many rows it has."""
    digest = sha256_of(path)
    with opened(path) as back:
        return digest, pq.read_metadata(back).num_rows


def _parquet(table: pa.Table) -> pa.Buffer:
    """Return a part as Parquet. The bytes of ids are written apart, highest with highest, which zstd packs best.

    A dictionary of ids is a tenth larger and takes half as long again to write (`dev/log.md`).
    """
    told = pa.BufferOutputStream()
    pq.write_metadata(table.schema, told)
    columns = pq.read_metadata(pa.BufferReader(told.getvalue())).schema
    ids, *others = [columns.column(place).path for place in range(len(columns))]
    apart = {} if ids in others else {"use_dictionary": others, "column_encoding": {ids: "BYTE_STREAM_SPLIT"}}
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", store_schema=True, write_batch_size=_AT_ONCE, **apart)
    return buffer.getvalue()
