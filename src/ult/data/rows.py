"""The common interface of all inputs: rows of named, typed columns, read a chunk at a time."""

from __future__ import annotations

import codecs
import glob
import shlex
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.reading import ENCODED
from ult.errors import EmptySource, MissingColumn, MissingSource, SourceError
from ult.host.near import near

Column = Any  # one value per row: a list, a pa.ChunkedArray, or an array (n, ...)

_MARKS = {  # byte order marks, longest first
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SPELLED = {"UTF-16LE": "utf-16-le", "UTF-16BE": "utf-16-be", "UTF-32LE": "utf-32-le", "UTF-32BE": "utf-32-be"}
_KINDS = {
    b"PK\3\4": "a zip file or a workbook of Excel",
    b"\x1f\x8b": "packed by gzip",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old workbook of Excel",
}
_UNPACK = {".gz": "gunzip -k", ".xz": "unxz -k", ".bz2": "bunzip2 -k", ".zst": "unzstd", ".zip": "unzip"}
_SAMPLE, _LEAST = 2**12, 16  # bytes from which the encoding is guessed, and the fewest that are enough

ROWS = 1024  # rows in a chunk, at most
BLOCK_ROWS = 2**14  # rows in a block of columns, at most
CHUNK_BYTES = 2**24  # a chunk ends with the row that brings it to this many bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one input; `first` is the number of the first row, from 1, without header lines.

    In a part of a file of lines, `first` counts from the line that begins at byte `start`.
    """

    name: str
    first: int
    columns: Mapping[str, Column]
    length: int
    unit: str = "row"
    start: int = 0
    numbers: Sequence[int] = ()  # of each row, counted like `first`, if rows were skipped
    names: Sequence[str] = ()  # of each row, if the rows are files

    def place(self, i: int) -> str:
        """Return the place of row `i` (from 0) of this chunk for an error: file and row."""
        if self.names:
            return self.names[i]
        number = self.numbers[i] if self.numbers else self.first + i
        return f"{self.name}, {self.unit} {number + files.count_lines(self.name, self.start)}"

    def without_values(self) -> Chunk:
        """Return the chunk without its values, which is enough for `place`."""
        return replace(self, columns={})


class Rows(ABC):
    """The rows of one input, which can be read any number of times."""

    name: str  # of the input, for errors
    types: Mapping[str, pa.DataType]  # of the columns, in order
    made: Sequence[str] = ()  # those of `types` that are made of the names of files
    column: str | None = None  # the records' column, if the input leaves no choice
    texts: bool = False  # whether each cell is text as it was written, also that of a number
    splits: bool = False  # whether `split` is implemented
    nbytes: int = 0  # approximate size of a part
    together: str = ""  # the column whose equal values the reader puts one after another
    layouts: str = ""  # which layouts make images of arrays that are none as they lie, as the option to type
    fields: Sequence[str] = ()  # the columns whose values in a row are a record, if the input leaves no choice
    beside: Sequence[str] = ()  # other files that are read
    told: Sequence[str] = ()  # sentences on what the last pass left out, for people

    @abstractmethod
    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of `columns`, in order."""

    def blocks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows as `chunks` does, or faster: more rows together, and texts as `Cells` or as Arrow has them."""
        return self.chunks(columns)

    def split(self, nbytes: int) -> Iterator[Rows]:
        """Yield parts of about `nbytes` each, in order, which other processes can read."""
        raise NotImplementedError

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the names and types of the columns `keep`, all of which exist."""
        return pa.schema([(name, self.types[name]) for name in keep])

    def identifies(self, name: str) -> str:
        """Return why a column may say who somebody is, if its standard tells, else the empty string."""
        return ""

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless all of `names` are columns."""
        for name in names:
            if name not in self.types:
                raise MissingColumn(f"{self.name} has no column {name!r}; it has {listed(list(self.types))}")

    def check_column(self, name: str) -> None:
        """Raise `MissingColumn` unless `name` is a column; the hint is one of nearly that name, if there is any.

        This is for the records' column: a hint that named a column to keep would lead to publish it.
        """
        try:
            self.check_columns([name])
        except MissingColumn as error:
            raise MissingColumn(error.what, hint=error.hint or near(name, self.types)) from None


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names quoted and joined for an error, at most `most` of them."""
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def inside(folder: str, suffixes: Sequence[str]) -> str:
    """Return a hint with a glob for the folder's readable files: those of the suffix that most of them have.

    A glob with `**` is quoted, as shells read that as `*`, and would leave out files of other depths without a word.
    """
    entries = [(name.count("/") > 0, PurePosixPath(name).suffix) for name in files.walk(folder)]
    known = Counter(suffix for _, suffix in entries if suffix.lower() in suffixes)
    if not known:
        return f"it holds no file that ends in {', '.join(suffixes)}"
    (suffix, _), *_ = known.most_common(1)
    deep = "/**" if any(nested for nested, ending in entries if ending == suffix) else ""
    place = glob.escape(folder.rstrip("/"))
    pattern = f"{place}{deep}/*{suffix}"
    plain = not deep and shlex.quote(place) == place
    return f"{pattern if plain else shlex.quote(pattern)} for the files in it"


def unpacking(name: str) -> str:
    """Return the command that makes a file that is read of one with such a suffix, or the empty string."""
    if files.suffix(name) == ".json":
        lines = PurePosixPath(name).with_suffix(".jsonl")
        return f"jq -c '.[]' {shlex.quote(name)} > {shlex.quote(str(lines))}, if it is a list of records"
    command = _UNPACK.get(files.suffix(name))
    return f"{command} {shlex.quote(name)}" if command else ""


def existing(name: str) -> str:
    """Return `name`; raise `MissingSource` unless it is a readable file, `EmptySource` if the file is empty."""
    _start(name)
    return name


def existing_text(name: str, encoding: str | None = None) -> str:
    """Return `name`; raise as `existing` does, and `SourceError` if the file is packed, binary, or UTF-16 or UTF-32.

    It is for readers that look for line ends in bytes, which an `encoding` that was asked for must then have.
    """
    start = _text_start(name)
    asked = encoding if encoding is not None and encoding.replace("-", "_").startswith(("utf_16", "utf_32")) else ""
    if found := asked or _wide(start):
        new = f"new{files.suffix(name)}"
        raise SourceError(
            f"{name} is {found.upper()}; expected an encoding in which a line ends with one byte, such as UTF-8",
            hint=f"iconv -f {found.lower()} -t utf-8 {shlex.quote(name)} > {new}",
        )
    if encoding is not None and "\n".encode(encoding) not in (b"\n", codecs.BOM_UTF8 + b"\n"):
        raise SourceError(
            f"lines do not end with one byte of line feed in {encoding}; expected another encoding",
            hint=f"iconv -f {encoding} -t utf-8 {shlex.quote(name)} > new{files.suffix(name)}",
        )
    return name


def encoding_of(name: str, asked: str | None) -> str:
    """Return the encoding of a file of cells: the one asked for, that of its byte order mark, or UTF-8.

    Raises as `existing_text` does, and `SourceError` for UTF-16 that neither was asked for nor says so.
    """
    start = _text_start(name)
    marked = next((encoding.lower() for mark, encoding in _MARKS.items() if start.startswith(mark)), None)
    if marked is None and (found := _wide(start)) and asked is None:
        raise SourceError(f"{name} is {found}; expected UTF-8", hint=f"--encoding {_SPELLED.get(found, found.lower())}")
    if marked is None and asked in ("utf-16", "utf-32"):
        raise SourceError(
            f"{name} has no byte order mark, which says which of two bytes comes first", hint=f"--encoding {asked}-le"
        )
    if marked is not None and (asked is None or asked.startswith(marked)):
        return marked
    return "utf-8-sig" if asked is None or asked == "utf-8" else asked


def changed(name: str, how: str = "") -> SourceError:
    """Return the error for an input that changed after the command began."""
    why = f": {how}" if how else ""
    return SourceError(f"{name} changed while it was read{why}", hint="run it again, once nothing writes to it")


def not_utf8(name: str, place: str, encoding: str = "utf-8") -> SourceError:
    """Return the error for text that is not in its encoding; the hint can name no other, which bytes do not say."""
    called = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8"}.get(encoding, encoding)
    if files.suffix(name) in ENCODED:
        hint = "--encoding NAME, where NAME is often cp1252" if called == "UTF-8" else "another --encoding"
    else:
        new = f"new{files.suffix(name)}"
        hint = f"iconv -f ENCODING -t utf-8 {shlex.quote(name)} > {new}, where ENCODING is often windows-1252"
    return SourceError(f"{place} is not {called}; expected {called} text", hint=hint)


def _text_start(name: str) -> bytes:
    """Return the first bytes of a file; raise as `existing` does, and `SourceError` if it is packed or binary."""
    start = _start(name)
    for mark, kind in _KINDS.items():
        if start.startswith(mark):
            raise SourceError(f"{name} is {kind}, whatever its name ends in; expected text")
    return start


def _start(name: str) -> bytes:
    """Return the first `_SAMPLE` bytes of a file; raise `MissingSource` or `EmptySource`."""
    if files.is_folder(name):
        raise MissingSource(f"{name} is a folder; expected a file", hint=inside(name, [files.suffix(name)]))
    if not files.is_file(name):
        raise files.missing(name, "a file")
    try:
        with files.open_file(name) as file:
            start = file.read(_SAMPLE)
    except SourceError:
        raise
    except OSError as error:
        raise MissingSource(f"{name} cannot be read: {error.strerror}") from error
    if not start:
        raise EmptySource(f"{name} is empty; expected records")
    return start


def _wide(start: bytes) -> str:
    """Return UTF-16 or UTF-32 if the first bytes of a file look like it, else the empty string."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if len(start) < _LEAST:
        return ""
    even, odd = (start[k::2].count(0) / len(start[k::2]) for k in (0, 1))
    if max(even, odd) > 0.9 and min(even, odd) > 0.4:  # three bytes of four are 0
        return "UTF-32LE" if odd > even else "UTF-32BE"
    if max(even, odd) > 0.7 and min(even, odd) < 0.1:  # in Latin text every other byte is 0
        return "UTF-16LE" if odd > even else "UTF-16BE"
    return ""
