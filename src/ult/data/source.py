"""Read records from files of one kind, a folder of images, a dataset of the Hub, or a packaged sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ult.codecs.batches import batched
from ult.data.batch import Batch, blamed, joined
from ult.data.form import Form, Unread, kept_schema, unread
from ult.data.molecules.molecule import SIDES, Canonicaliser, Invalid, Rewriting, rewritten
from ult.data.opening import SUFFIXES, open_inputs
from ult.data.reading import Reading, remembered, typed
from ult.data.rows import listed
from ult.data.stamp import Snapshot
from ult.errors import InvalidConfig, InvalidRecord, MissingSource, SourceError

if TYPE_CHECKING:
    from ult.codecs.base import Codec
    from ult.data.columns.schema import Schema

PIECE_RECORDS = 2**18


class Source:
    """Records of one or more inputs, read any number of times, in batches of bounded size.

    `column` names the records' column. `fields` are the columns that make up a record where each row of numbers is one
    record, else empty. After a pass, `invalid` counts the SMILES that could not be made canonical. `empty` names the
    inputs without records, and files in image folders that may be images of unsupported formats. `left_out` are the
    columns of the inputs that are neither read as records nor kept. A pass ends with a `SourceError` if an input
    changed since it was opened.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Batch]],
        *,
        column: str,
        kept_schema: pa.Schema,
        fields: Sequence[str] = (),
        rewritten: Rewriting | None = None,
        split: Callable[[int], Iterator[Unread]] | None = None,
        seen: Snapshot | None = None,
        empty: Sequence[str] = (),
        told: Callable[[], list[str]] = list,
        left_out: Sequence[str] = (),
    ) -> None:
        self.column, self.fields, self.kept_schema = column, tuple(fields), kept_schema
        self.invalid = Invalid()
        self.empty, self._told, self.left_out = tuple(empty), told, tuple(left_out)
        self._seen = seen or Snapshot(())
        self._read, self._split = read, split
        self._rewritten = rewritten

    def batches(self) -> Iterator[Batch]:
        """Yield the records in order, in batches of at most about `CHUNK_BYTES` bytes."""
        if self._rewritten is None:
            yield from self._read()
        else:
            self.invalid, first = Invalid(), 1
            with closing(self._rewritten(self._read())) as found:
                for batch, invalid in found:
                    for i in invalid:
                        self.invalid.add(first + i)
                    first += len(batch.records)
                    yield batch
        self.check_unchanged()

    @property
    def told(self) -> list[str]:
        """Sentences on what the last pass left out of the inputs, such as annotations."""
        return self._told()

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

    @property
    def apart(self) -> bool:
        """Whether the pieces are `Unread`, so that other processes can read them."""
        return self._split is not None and self._rewritten is None

    def pieces(self, nbytes: int) -> Iterator[Batch | Unread]:
        """Yield the records in order, in pieces of at least about `nbytes`, except for the last.

        Pieces of an input that can be split are `Unread`; others are read here and end at `PIECE_RECORDS` records.
        """
        if self._split and not self._rewritten:
            yield from self._split(nbytes)
            return
        pending: list[Batch] = []
        size = n = 0
        for batch in self.batches():
            pending.append(batch)
            size += batch.size
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
    schema: Schema | None = None,
    reading: Mapping[str, str | float] | None = None,
    rewritten: Rewriting = rewritten,
) -> Source:
    """Return a `Source` of the records of `inputs`, which are all of one kind and have the same columns.

    Texts and molecules are read from `.txt` (one record per line), `.jsonl`, `.csv` and `.parquet`; images from
    folders, image files, and columns of `.parquet`, `.npy` and `.npz`. Series are read from `.npy`, `.npz`, a Parquet
    column of lists, a file of number columns (each row is a record, each column not kept one of its values), or, named
    by `column`, a single column of numbers (each file is one record). Sequences are read from FASTA and FASTQ,
    molecules from SDF, cells from `.h5ad`, channels of signals from WFDB and EDF; `reading` says which matrix ("layer")
    of cells, and how many seconds of a signal ("window") are a record, and of text files the "separator", the
    "encoding", and whether there is a "header". All modalities are also read from `hf:org/name`
    and from `sample:topics` or `sample:digits`. A file name may be a glob, and an address `s3://`, `gs://` or `hf://`.

    Records of modality "record" are tuples with a cell for each field of `schema`, one for each row of `.csv`, `.jsonl`
    or `.parquet` files, or one for each unit of the schema. With a unit, an input `labs=labs.csv` holds the rows of
    field `labs`, and `labs:PATIENT=labs.csv` has the unit in the column PATIENT.

    `column` names the records' column; it may be left out if only one column fits. `keep` names the columns that travel
    with the records. `canonical` rewrites SMILES by RDKit, as `rewritten` does; `side` takes the "left" or "right" part
    of reaction SMILES.
    Raises `MissingSource`, `MissingColumn`, `SourceError`, or `InvalidConfig` for options that do not fit the modality.
    """
    if modality not in SUFFIXES:
        raise InvalidConfig(f"modality is {modality!r}; expected {listed(list(SUFFIXES))}")
    if canonical and modality != "molecule":
        raise InvalidConfig(f"canonical is for molecules; the codec reads {modality} records")
    if canonical:
        Canonicaliser()  # refuses to begin without RDKit
    if side is not None and (modality != "molecule" or side not in SIDES):
        raise InvalidConfig(f"side is {side!r} of {modality} records; expected {listed(SIDES)} of molecule records")
    if (schema is not None) != (modality == "record"):
        raise InvalidConfig(
            f"the codec reads {modality} records, " + ("which have no schema" if schema else "which need a schema"),
            hint="" if schema else "ult describe FILE -o schema.json",
        )
    keep = tuple(dict.fromkeys(keep))
    seen = None
    if schema is not None:
        return _of_fields(inputs, schema, keep, column, reading)
    with suppress(MissingSource):  # opening the inputs below gives the better message
        seen = Snapshot(inputs)
    opened, empty = open_inputs(inputs, modality, Reading.of(reading))
    if beside := [name for rows in opened for name in rows.beside]:
        seen = Snapshot([*inputs, *beside])
    for rows in opened:
        rows.check_columns(keep)
        if column is not None:
            rows.check_column(column)
    if column in keep:
        raise SourceError(f"column {column!r} holds the records; expected other columns to keep")
    form = replace(Form.of(opened[0], modality, column, keep), side=side)
    for rows in opened[1:]:
        form.check_same(opened[0], rows, keep)
    schema = kept_schema(opened, keep)
    apart = not form.whole and all(rows.splits for rows in opened) and modality != "image"
    return Source(
        lambda: (batch for rows in opened for batch in form.batches(rows, schema)),
        split=(lambda nbytes: unread(opened, form, schema, nbytes)) if apart else None,
        column=form.column,
        fields=form.fields,
        kept_schema=schema,
        rewritten=rewritten if canonical else None,
        seen=seen,
        empty=empty,
        told=lambda: [one for rows in opened for one in rows.told],
        left_out=form.left_out(opened, keep),
    )


def _of_fields(
    inputs: Sequence[str | Path],
    schema: Schema,
    keep: Sequence[str],
    column: str | None,
    reading: Mapping[str, str | float] | None,
) -> Source:
    """Return the source of records of the fields of a schema."""
    from ult.data.composed import records

    if column is not None:
        raise InvalidConfig("column is for records of one column; these have the fields of a schema")
    seen, names = None, records.paths(inputs)
    with suppress(MissingSource):
        seen = Snapshot(names)
    chosen = remembered(schema.reading, reading, names)
    more = {name: value for name, value in chosen.items() if name not in (reading or {})}
    told = [f"files are read as the schema of the records says: {typed(more)}"] if more else []
    found = records.open_records(inputs, schema, keep, Reading.of(chosen))
    if found.beside:
        seen = Snapshot(names, found.beside)
    return Source(
        found.read,
        split=found.split,
        column=found.column,
        kept_schema=found.kept_schema,
        seen=seen,
        empty=found.empty,
        told=lambda: [*told, *found.told()],
    )
