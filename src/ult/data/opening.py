"""Open the inputs that a command names: find out their kind, which all of them share, and the reader of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ult.data import files, hub, record, sample, sequence
from ult.data.array import ArrayRows
from ult.data.composed import linked
from ult.data.composed.json_record import JsonRecordRows
from ult.data.events.addresses import PREFIXES, event_folder, open_events
from ult.data.images import image_folder
from ult.data.images.image import JPEG
from ult.data.images.image_folder import FolderRows
from ult.data.images.layout import Layout
from ult.data.matrices import h5ad
from ult.data.molecules import sdf
from ult.data.reading import AS_IT_IS, COMMA_FILES, Reading
from ult.data.rows import Rows, inside, listed, unpacking
from ult.data.series import edf, wav, wfdb
from ult.data.tables import arrow, excel, postgres, sql
from ult.data.tables.tabular import CsvRows, ParquetRows
from ult.data.text import JsonlRows, TxtRows
from ult.errors import EmptySource, InvalidConfig, MissingSource, SourceError

_TABLES = (*arrow.SUFFIXES, *excel.SUFFIXES, ".tsv", ".data")
_TEXTS = (".txt", ".jsonl", ".csv", ".parquet", ".ndjson", *_TABLES)
SUFFIXES = {
    "text": (*_TEXTS, *sequence.SUFFIXES),
    "molecule": (*_TEXTS, *sdf.SUFFIXES),
    "image": (*image_folder.SUFFIXES, ".parquet", ".npy", ".npz", *arrow.SUFFIXES),
    "jpeg": (*JPEG, ".parquet", *arrow.SUFFIXES),
    "series": (".csv", ".parquet", ".npy", ".npz", *_TABLES, h5ad.SUFFIX, wfdb.SUFFIX, *edf.SUFFIXES, wav.SUFFIX),
    "record": (".csv", ".jsonl", ".parquet", ".ndjson", *_TABLES),
}
_CODECS = {"series": "series/mulaw", "molecule": "molecule/smiles", "image": "image/dct", "text": "text/bytes"}
_NAMING = (
    "ult fit --codec {codec} for {what} alone; as a field beside others, a table with the unit and a column that "
    "names a file a row: --form COLUMN={kind}"
)
_SAVED = {
    "text": "save it as .txt with a record a line, or as .csv with a record a row",
    "molecule": "save it as .txt with a molecule a line, or as .csv with one a row",
    "image": "save it as .png, or name the folder of images that it is of",
    "jpeg": "--codec image/dct for images of other kinds",
    "series": "save it as .csv with a record a row, or as .npy",
    "record": "save it as .csv with a record a row and the names of the columns in line 1",
}
_PACKED = tuple(one for every in SUFFIXES.values() for one in every if one.count(".") > 1)  # such as .fasta.gz


def open_inputs(
    inputs: Sequence[str | Path], modality: str, reading: Reading = AS_IT_IS
) -> tuple[list[Rows], list[str]]:
    """Return the inputs that hold records, and the names of files without records that are passed over."""
    if not inputs:
        raise MissingSource("no input was named; expected files, a folder of images, or hf:org/name")
    names = [name for one in inputs for name in ([str(one)] if scheme(str(one)) else files.expand(str(one)))]
    named: dict[object, str] = {}
    for name in names:
        mark = files.mark(name)
        if before := named.get(mark):
            again = "is named twice" if before == name else f"is {postgres.shown(before)} again"
            raise SourceError(f"{postgres.shown(name)} {again}: its records would count twice", hint="each input once")
        named[mark] = name
    kinds = {_kind(name, modality) for name in names}
    if len(kinds) > 1:
        raise SourceError(
            f"the inputs are of several kinds: {listed(sorted(kinds))}; expected one kind",
            hint="name files of one kind alone, or save the others as such",
        )
    kind = kinds.pop()
    reading.check(kind)
    if kind in PREFIXES:
        return [open_events(kind, names)], []
    if reading.layout and modality != "image":
        raise InvalidConfig(f"--layout is for images; the codec reads {modality} records")
    opened: list[Rows] = []
    empty: dict[str, EmptySource] = {}
    for name in names:
        try:
            opened.append(_reader(name, kind, modality, reading))
        except EmptySource as error:
            empty[postgres.shown(name)] = error
    if not opened:
        first, *_ = empty.values()
        raise first
    passed = [one for rows in opened if isinstance(rows, FolderRows) for one in rows.passed]
    return opened, [*empty, *passed]


def scheme(name: str) -> str:
    """Return the prefix, such as `hf:` or `fhir:`, if the name starts with it, else the empty string."""
    if postgres.is_address(name):
        return postgres.PREFIX
    if name.startswith(sql.PREFIX):
        return sql.PREFIX
    return next(
        (s for s in (hub.PREFIX, sample.PREFIX, *PREFIXES) if name.startswith(s) and not files.is_url(name)), ""
    )


def _kind(name: str, modality: str) -> str:
    """Return the kind of the input `name`: a scheme, "image", or a suffix; raise if it is none of the modality's."""
    if prefix := scheme(name):
        return prefix
    suffix = next((one for one in _PACKED if name.lower().endswith(one)), files.suffix(name))
    if modality == "jpeg" and (files.is_folder(name) or suffix in JPEG):
        return "image"
    if modality == "image" and (files.is_folder(name) or image_folder.is_image(name)):
        return "image"
    if files.is_folder(name):
        raise MissingSource(f"{name} is a folder; expected files", hint=_of_folder(name, modality))
    if suffix in SUFFIXES[modality]:
        return suffix
    if not files.is_file(name):
        raise files.missing(name, f"a file that ends in {', '.join(SUFFIXES[modality])}")
    plain = [one for one in SUFFIXES[modality] if one not in _PACKED]
    ends = f"ends in {suffix!r}" if suffix else "has no suffix"
    of = "records of fields" if modality == "record" else f"{modality} records"
    what = f"{name} {ends}; expected {', '.join(plain)} for {of}"
    raise SourceError(what, hint=unpacking(name) or _codec(suffix, modality) or _header(name) or _SAVED[modality])


def _of_folder(name: str, modality: str) -> str:
    """Return a hint on how the files of a folder are read: by the codec of images, or named by a glob."""
    if modality == "record" and (events := event_folder(name)):
        return f"{events} for the events of patients in it"
    inner = files.walk(name)
    images = sum(map(image_folder.is_image, inner))
    others = sum(files.suffix(one) in SUFFIXES[modality] for one in inner)
    if images > (0 if modality == "record" else others):
        return _codec(".png", modality)
    return inside(name, SUFFIXES[modality])


def _codec(suffix: str, modality: str) -> str:
    """Return a hint with the codec whose records files of this suffix hold, if there is one."""
    holds = next((one for one in _CODECS if suffix in SUFFIXES[one]), "")
    if modality == "record" and holds in linked.KINDS:
        what = "cells" if suffix == h5ad.SUFFIX else {"image": "images"}.get(holds, holds)
        return _NAMING.format(what=what, kind=holds, codec=_CODECS[holds])
    verb = "ult fit " if modality == "record" else ""
    return f"its records are of modality {holds}: {verb}--codec {_CODECS[holds]}" if holds else ""


def _header(name: str) -> str:
    """Return a hint with the header of a WFDB record whose data file is named, if it is there."""
    header = str(PurePosixPath(name).with_suffix(wfdb.SUFFIX)) if not files.is_url(name) else ""
    return f"{shlex.quote(header)}, its header" if header and files.is_file(header) else ""


def _reader(name: str, kind: str, modality: str, reading: Reading) -> Rows:
    column = record.COLUMN[modality]
    if kind == hub.PREFIX:
        return hub.HubRows(name)
    if kind == sample.PREFIX:
        return sample.SampleRows(name)
    if kind == sql.PREFIX:
        return sql.SqliteRows(name, reading)
    if kind == postgres.PREFIX:
        return postgres.PostgresRows(name, reading)
    if kind == ".txt":
        return TxtRows(name, column, reading)
    if kind in (".jsonl", ".ndjson"):
        return (JsonRecordRows if column == record.COLUMN["record"] else JsonlRows)(name, column, reading)
    if kind in COMMA_FILES:
        return CsvRows(name, reading)
    if kind == ".parquet":
        return ParquetRows(name)
    if kind in arrow.SUFFIXES:
        return arrow.ArrowRows(name)
    if kind in excel.SUFFIXES:
        return excel.ExcelRows(name, reading)
    if kind in sequence.SUFFIXES:
        return sequence.SequenceRows(name)
    if kind in sdf.SUFFIXES:
        return sdf.MoleculeRows(name)
    if kind == h5ad.SUFFIX:
        return h5ad.H5adRows(name, reading.layer)
    if kind == wfdb.SUFFIX:
        return wfdb.WfdbRows(name, reading.window)
    if kind == wav.SUFFIX:
        return wav.WavRows(name, reading.window)
    if kind in edf.SUFFIXES:
        return edf.EdfRows(name, reading.window)
    if kind == "image":
        return FolderRows(name, column, skip=reading.skip_unreadable, jpeg=modality == "jpeg")
    return ArrayRows(name, column, Layout.of(reading.layout) if reading.layout else None)
