"""Read records from files of one kind, a folder of images, a dataset of the Hub, or a packaged sample."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from ult.codecs.batches import batched
from ult.data import files, hub, image, record, sample, wide
from ult.data.array import ArrayRows
from ult.data.batch import Batch, Where, blamed, joined
from ult.data.image import FolderRows
from ult.data.molecule import SIDES, Canonicaliser, Invalid, sides
from ult.data.rows import CHUNK_BYTES, Chunk, Rows, inside, listed, unpacking
from ult.data.stamp import Snapshot
from ult.data.tabular import CsvRows, ParquetRows
from ult.data.text import JsonlRows, TxtRows
from ult.errors import EmptySource, InvalidConfig, InvalidRecord, MissingColumn, MissingSource, SourceError

if TYPE_CHECKING:
    from ult.codecs.base import Codec

SUFFIXES = {
    "text": (".txt", ".jsonl", ".csv", ".parquet"),
    "molecule": (".txt", ".jsonl", ".csv", ".parquet"),
    "image": (*image.SUFFIXES, ".parquet", ".npy", ".npz"),
    "series": (".csv", ".parquet", ".npy", ".npz"),
}
PIECE_RECORDS = 2**18


class Source:
    """Records of one or more inputs, read any number of times, in batches of bounded size.

    `column` names the records' column. `fields` are the columns that make up a record where each row of numbers is one
    record, else empty. After a pass, `invalid` counts the SMILES that could not be made canonical. `empty` names the
    inputs without records, and files in image folders that may be images of unsupported formats. A pass ends with a
    `SourceError` if an input changed since it was opened.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Batch]],
        *,
        column: str,
        kept_schema: pa.Schema,
        fields: Sequence[str] = (),
        canonical: bool = False,
        split: Callable[[int], Iterator[Unread]] | None = None,
        seen: Snapshot | None = None,
        empty: Sequence[str] = (),
    ) -> None:
        self.column, self.fields, self.kept_schema = column, tuple(fields), kept_schema
        self.invalid = Invalid()
        self.empty = tuple(empty)
        self._seen = seen or Snapshot(())
        self._read, self._split = read, split
        self._canonicaliser = Canonicaliser() if canonical else None

    def batches(self) -> Iterator[Batch]:
        """Yield the records in order, in batches of at most `ROWS` records or about `CHUNK_BYTES` bytes."""
        self.invalid, first = Invalid(), 1
        for batch in self._read():
            if self._canonicaliser:
                batch = replace(batch, records=self._canonicaliser.rewrite(batch.records, first, self.invalid))
            first += len(batch.records)
            yield batch
        self.check_unchanged()

    @property
    def stamp(self) -> list[list[Any]]:
        """The state of the inputs when they were opened, as JSON values: one list for each input."""
        return self._seen.stamp()

    def check_apart(self, out: Path) -> None:
        """Raise `OutputError` if `out` is one of the inputs, because writing it would destroy that input."""
        self._seen.check_apart(out)

    def check_unchanged(self) -> None:
        """Raise `SourceError` if an input changed since it was opened: old and new records may have been mixed."""
        self._seen.check()

    @contextmanager
    def naming(self, codec: Codec[Any]) -> Iterator[None]:
        """Add file and row to an `InvalidRecord` of the `with` block, by reading the records again up to that one."""
        try:
            yield
        except InvalidRecord as error:
            raise blamed(error, codec, self.batches()) from None

    def pieces(self, nbytes: int) -> Iterator[Batch | Unread]:
        """Yield the records in order, in pieces of at least about `nbytes`, except for the last.

        Pieces of an input that can be split are `Unread`; others are read here and end at `PIECE_RECORDS` records.
        """
        if self._split and not self._canonicaliser:
            yield from self._split(nbytes)
            return
        pending: list[Batch] = []
        size = n = 0
        for batch in self.batches():
            pending.append(batch)
            size += sum(map(_size, batch.records))
            n += len(batch.records)
            if size >= nbytes or n >= PIECE_RECORDS:
                yield joined(pending)
                pending, size, n = [], 0, 0
        if pending:
            yield joined(pending)

    def records(self, codec: Codec[Any]) -> list[Any]:
        """Return all records; raise `InvalidRecord`, with file and row, if `codec` refuses one."""
        records = list(self)
        with self.naming(codec):
            for batch in batched(records):
                codec.encode_batch(batch)
        return records

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches():
            yield from batch.records


def open_source(
    inputs: Sequence[str | Path],
    *,
    modality: str,
    column: str | None = None,
    keep: Sequence[str] = (),
    canonical: bool = False,
    side: str | None = None,
) -> Source:
    """Return a `Source` of the records of `inputs`, which are all of one kind and have the same columns.

    Texts and molecules are read from `.txt` (one record per line), `.jsonl`, `.csv` and `.parquet`; images from
    folders, image files, and columns of `.parquet`, `.npy` and `.npz`. Series are read from `.npy`, `.npz`, a Parquet
    column of lists, a file of number columns (each row is a record, each column not kept one of its values), or, named
    by `column`, a single column of numbers (each file is one record). All modalities are also read from `hf:org/name`
    and from `sample:topics` or `sample:digits`. A file name may be a glob, and an address `s3://`, `gs://` or `hf://`.

    `column` names the records' column; it may be left out if only one column fits. `keep` names the columns that travel
    with the records. `canonical` rewrites SMILES by RDKit; `side` takes the "left" or "right" part of reaction SMILES.
    Raises `MissingSource`, `MissingColumn`, `SourceError`, or `InvalidConfig` for options that do not fit the modality.
    """
    if modality not in SUFFIXES:
        raise InvalidConfig(f"modality is {modality!r}; expected {listed(list(SUFFIXES))}")
    if canonical and modality != "molecule":
        raise InvalidConfig(f"canonical is for molecules; the codec reads {modality} records")
    if side is not None and (modality != "molecule" or side not in SIDES):
        raise InvalidConfig(f"side is {side!r} of {modality} records; expected {listed(SIDES)} of molecule records")
    keep = tuple(dict.fromkeys(keep))
    seen = None
    with suppress(MissingSource):  # opening the inputs below gives the better message
        seen = Snapshot(inputs)
    opened, empty = _open(inputs, modality)
    for rows in opened:
        rows.check_columns([*keep, *([column] if column is not None else [])])
    if column in keep:
        raise SourceError(f"column {column!r} holds the records; expected other columns to keep")
    form = replace(_Form.of(opened[0], modality, column, keep), side=side)
    for rows in opened[1:]:
        form.check_same(opened[0], rows, keep)
    schema = _kept_schema(opened, keep)
    apart = not form.whole and all(rows.splits for rows in opened) and modality != "image"
    return Source(
        lambda: (batch for rows in opened for batch in form.batches(rows, schema)),
        split=(lambda nbytes: _unread(opened, form, schema, nbytes)) if apart else None,
        column=form.column,
        fields=form.fields,
        kept_schema=schema,
        canonical=canonical,
        seen=seen,
        empty=empty,
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """How rows become records: each value of `column` (or its `side`), each row of `fields`, or `whole` inputs."""

    modality: str
    column: str
    fields: tuple[str, ...] = ()
    whole: bool = False
    side: str | None = None

    @classmethod
    def of(cls, rows: Rows, modality: str, column: str | None, keep: Sequence[str]) -> _Form:
        """Return the form of `rows`, the first input; raise `SourceError` or `MissingColumn` if it holds no records."""
        if modality != "series":
            column = record.choose(rows, modality, keep) if column is None else column
            if not record.fits(rows, modality, column):
                raise SourceError(
                    f"{rows.name}: column {column!r} is {rows.types[column]}; expected {modality} records"
                )
            if modality == "image" and isinstance(rows, ArrayRows):
                rows.check_images(column)
            return cls(modality, column)
        others = {name: kind for name, kind in rows.types.items() if name not in keep}
        if column is None and isinstance(rows, ArrayRows):
            column = _only_array(rows, others)
        if column is None and not any(map(record.is_series, others.values())):
            return cls(modality, record.COLUMN[modality], wide.fields(rows, others))
        column = record.choose(rows, modality, keep) if column is None else column
        if record.fits(rows, modality, column):
            return cls(modality, column)
        if not isinstance(rows, CsvRows) and not record.is_number(rows.types[column]):
            raise SourceError(f"{rows.name}: column {column!r} is {rows.types[column]}; expected numbers")
        if keep:
            raise SourceError(
                f"{rows.name}: column {column!r} is one record, so {listed(keep)} has no value for it to keep",
                hint="leave out --column, and every row is a record",
            )
        return cls(modality, column, whole=True)

    def check_same(self, first: Rows, rows: Rows, keep: Sequence[str]) -> None:
        """Raise `SourceError` or `MissingColumn` unless `rows` has the columns of `first`, with the same types."""
        rows.check_columns(self.fields or [self.column])
        if self.fields and (more := [name for name in rows.types if name not in {*self.fields, *keep}]):
            raise SourceError(
                f"{rows.name} has columns that {first.name} has not: {listed(more)}; expected the same values a record"
            )
        for name in self.fields or [self.column]:
            kind, other = first.types[name], rows.types[name]
            if kind != other and not isinstance(rows, JsonlRows) and not self._alike(kind, other):
                raise SourceError(
                    f"column {name!r} is {kind} in {first.name} and {other} in {rows.name}; expected one type"
                )
        if self.modality == "image" and isinstance(rows, ArrayRows):
            rows.check_images(self.column)

    def _alike(self, kind: pa.DataType, other: pa.DataType) -> bool:
        """Return whether two column types are interchangeable: both fit the modality, or both are numbers."""
        fits = record.is_number if self.fields or self.whole else record.FITS[self.modality]
        return fits(kind) and fits(other)

    def batches(self, rows: Rows, schema: pa.Schema) -> Iterator[Batch]:
        """Yield the records of one input, with the kept columns as `schema`."""
        if self.whole:
            values = [record.numbers(chunk, self.column) for chunk in rows.chunks([self.column])]
            place = Chunk(rows.name, 1, {}, 1, names=(f"{rows.name}, column {self.column!r}",))
            yield Batch([np.concatenate(values)], schema.empty_table(), Where(((place, 0, 1),)))
            return
        for chunk in rows.chunks([*(self.fields or [self.column]), *schema.names]):
            yield from self._bounded(chunk, record.kept(chunk, schema))

    def _bounded(self, chunk: Chunk, kept: pa.Table) -> Iterator[Batch]:
        """Yield the records of a chunk with their rows of `kept`, in batches of about `CHUNK_BYTES` at most."""
        pending: list[Any] = []
        first = size = 0

        def batch() -> Batch:
            runs = ((chunk.without_values(), first, len(pending)),)
            return Batch(pending, kept.slice(first, len(pending)), Where(runs, self.fields))

        for item in self._records(chunk):
            pending.append(item)
            size += _size(item)
            if size >= CHUNK_BYTES:
                yield batch()
                first, pending, size = first + len(pending), [], 0
        if pending:
            yield batch()

    def _records(self, chunk: Chunk) -> Iterator[Any]:
        if self.fields:
            return record.wide(chunk, self.fields)
        records = record.records(chunk, self.modality, self.column)
        return records if self.side is None else sides(records, self.side, chunk)


@dataclass(frozen=True, slots=True)
class Unread:
    """A piece of the records that has not been read yet; it can be pickled and sent to another process."""

    rows: ClassVar[None] = None  # the number of records is not known before they are read
    parts: tuple[Rows, ...]
    form: _Form
    schema: pa.Schema

    def read(self) -> Batch:
        """Return the records; raise what reading them from a `Source` raises."""
        batches = (batch for rows in self.parts for batch in self.form.batches(rows, self.schema))
        return joined([Batch([], self.schema.empty_table()), *batches])


def _unread(opened: Sequence[Rows], form: _Form, schema: pa.Schema, nbytes: int) -> Iterator[Unread]:
    pending: list[Rows] = []
    size = 0
    for rows in opened:
        for part in rows.split(nbytes):
            pending.append(part)
            size += part.nbytes
            if size >= nbytes:
                yield Unread(tuple(pending), form, schema)
                pending, size = [], 0
    if pending:
        yield Unread(tuple(pending), form, schema)


def _size(item: Any) -> int:
    return len(item) if isinstance(item, str) else int(item.nbytes)


def _only_array(rows: ArrayRows, others: dict[str, pa.DataType]) -> str:
    series = [name for name, kind in others.items() if record.is_series(kind) or record.is_number(kind)]
    if len(series) == 1:
        return series[0]
    met = f"{len(series)} arrays of series: {listed(series)}" if series else "no array of series, 1-D or 2-D numbers"
    raise MissingColumn(
        f"{rows.name} has {met}; expected to be told which" if series else f"{rows.name} has {met}",
        hint=f"--column {shlex.quote(series[0])}" if series else "",
    )


def _kept_schema(opened: Sequence[Rows], keep: Sequence[str]) -> pa.Schema:
    schema = opened[0].kept_schema(keep)
    for rows in opened[1:]:
        try:
            schema = record.common_schema(schema, rows.kept_schema(keep))
        except pa.ArrowException:
            raise SourceError(f"a kept column of {rows.name} has another type than in {opened[0].name}") from None
    return schema


def _open(inputs: Sequence[str | Path], modality: str) -> tuple[list[Rows], list[str]]:
    """Return the inputs that hold records, and the names of files without records that are passed over."""
    if not inputs:
        raise MissingSource("no input was named; expected files, a folder of images, or hf:org/name")
    names = [name for one in inputs for name in ([str(one)] if _scheme(str(one)) else files.expand(str(one)))]
    named: dict[object, str] = {}
    for name in names:
        mark = files.mark(name)
        if before := named.get(mark):
            again = "is named twice" if before == name else f"is {before} again"
            raise SourceError(f"{name} {again}: its records would count twice", hint="each input once")
        named[mark] = name
    kinds = {_kind(name, modality) for name in names}
    if len(kinds) > 1:
        raise SourceError(f"the inputs are of several kinds: {listed(sorted(kinds))}; expected one kind")
    kind = kinds.pop()
    opened: list[Rows] = []
    empty: dict[str, EmptySource] = {}
    for name in names:
        try:
            opened.append(_rows(name, kind, record.COLUMN[modality]))
        except EmptySource as error:
            empty[name] = error
    if not opened:
        first, *_ = empty.values()
        raise first
    passed = [one for rows in opened if isinstance(rows, FolderRows) for one in rows.passed]
    return opened, [*empty, *passed]


def _scheme(name: str) -> str:
    """Return `hf:` or `sample:` if the name starts with it, else the empty string."""
    return next((s for s in (hub.PREFIX, sample.PREFIX) if name.startswith(s) and not files.is_url(name)), "")


def _kind(name: str, modality: str) -> str:
    """Return the kind of the input `name`: a scheme, "image", or a suffix; raise if it is none of the modality's."""
    if scheme := _scheme(name):
        return scheme
    suffix = files.suffix(name)
    if modality == "image" and (suffix in image.SUFFIXES or files.is_folder(name)):
        return "image"
    if files.is_folder(name):
        raise MissingSource(f"{name} is a folder; expected files", hint=inside(name, SUFFIXES[modality]))
    if suffix in SUFFIXES[modality]:
        return suffix
    if not files.is_file(name):
        raise files.missing(name, f"a file that ends in {', '.join(SUFFIXES[modality])}")
    what = f"{name} ends in {suffix!r}; expected {', '.join(SUFFIXES[modality])} for {modality} records"
    raise SourceError(what, hint=unpacking(name))


def _rows(name: str, kind: str, column: str) -> Rows:
    if kind == hub.PREFIX:
        return hub.HubRows(name)
    if kind == sample.PREFIX:
        return sample.SampleRows(name)
    if kind == ".txt":
        return TxtRows(name, column)
    if kind == ".jsonl":
        return JsonlRows(name, column)
    if kind == ".csv":
        return CsvRows(name)
    if kind == ".parquet":
        return ParquetRows(name)
    return FolderRows(name, column) if kind == "image" else ArrayRows(name, column)
