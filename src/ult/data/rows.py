"""What every input is before it is records: rows of named, typed columns, read a chunk at a time."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.errors import EmptySource, MissingColumn, MissingSource, SourceError

Column = Any  # one value a row: a list, a pa.ChunkedArray, or an array (n, ...)

_MARKS = {  # byte order marks, the longer first
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_KINDS = {
    b"PK\3\4": "a zip file or a workbook of Excel",
    b"\x1f\x8b": "packed by gzip",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old workbook of Excel",
}
_UNPACK = {".gz": "gunzip -k", ".xz": "unxz -k", ".bz2": "bunzip2 -k", ".zst": "unzstd", ".zip": "unzip"}
_SAMPLE, _LEAST = 2**12, 16  # bytes that tell, and how few of them tell nothing

ROWS = 1024  # rows in a chunk, at most
CHUNK_BYTES = 2**24  # a chunk is closed once its records hold so many bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one input; `first` is the number of the first, from 1, header lines not counted.

    Of lines it is counted from byte `start` of the input on.
    """

    name: str
    first: int
    columns: Mapping[str, Column]
    length: int
    unit: str = "row"
    start: int = 0
    numbers: Sequence[int] = ()  # of the rows, where they do not follow one another; like `first`
    names: Sequence[str] = ()  # of the files that the rows are, if they are files

    def place(self, i: int) -> str:
        """Return where row `i` of this chunk stands, for an error."""
        if self.names:
            return self.names[i]
        number = self.numbers[i] if self.numbers else self.first + i
        return f"{self.name}, {self.unit} {number + files.count_lines(self.name, self.start)}"

    def without_values(self) -> Chunk:
        """Return where the rows stand, and nothing of what they hold."""
        return replace(self, columns={})


class Rows(ABC):
    """The rows of one input, which can be read again and again."""

    name: str  # of the input, for errors
    types: Mapping[str, pa.DataType]  # of the columns, in order
    column: str | None = None  # of the records, where the input leaves no choice
    splits: bool = False  # whether `split` gives parts
    nbytes: int = 0  # of a part, about

    @abstractmethod
    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Give the rows of `columns`, in order."""

    def split(self, nbytes: int) -> Iterator[Rows]:
        """Give parts of about `nbytes` each, in order, which any process can read by itself."""
        raise NotImplementedError

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of the columns `keep`, which are there."""
        return pa.schema([(name, self.types[name]) for name in keep])

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless every one of `names` is there."""
        for name in names:
            if name not in self.types:
                raise MissingColumn(f"{self.name} has no column {name!r}; it has {listed(list(self.types))}")


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names quoted for an error, no more than `most` of them."""
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def inside(folder: str, suffixes: Sequence[str]) -> str:
    """Return a glob of the files in a folder that can be read, those of the suffix that most have."""
    found = [(name.count("/") > 0, files.suffix(name)) for name in files.walk(folder)]
    known = Counter(suffix for _, suffix in found if suffix in suffixes)
    if not known:
        return f"it holds no file that ends in {', '.join(suffixes)}"
    (suffix, _), *_ = known.most_common(1)
    deep = "/**" if any(inner for inner, one in found if one == suffix) else ""
    return f"{shlex.quote(folder.rstrip('/'))}{deep}/*{suffix} for the files in it"


def unpacking(name: str) -> str:
    """Return the command that unpacks or renames a file, as its name says that it needs it, or nothing."""
    if files.suffix(name) == ".ndjson":
        return f"cp {shlex.quote(name)} {shlex.quote(name[: -len('.ndjson')] + '.jsonl')}, for that is the same"
    command = _UNPACK.get(files.suffix(name))
    return f"{command} {shlex.quote(name)}" if command else ""


def existing(name: str) -> str:
    """Return `name`; raise `MissingSource` unless it is of a file, `EmptySource` unless it holds something."""
    _start(name)
    return name


def existing_text(name: str) -> str:
    """Return `name`; raise as `existing` does, and `SourceError` if the file looks like UTF-16 or UTF-32."""
    start = _start(name)
    for mark, kind in _KINDS.items():
        if start.startswith(mark):
            raise SourceError(f"{name} is {kind}, whatever its name ends in; expected text")
    if encoding := _wide(start):
        new = f"new{files.suffix(name)}"
        raise SourceError(
            f"{name} is {encoding}; expected UTF-8",
            hint=f"iconv -f {encoding.lower()} -t utf-8 {shlex.quote(name)} > {new}",
        )
    return name


def changed(name: str, how: str = "") -> SourceError:
    """Return the error for an input that is no longer what it was when the command began."""
    why = f": {how}" if how else ""
    return SourceError(f"{name} changed while it was read{why}", hint="run it again, once nothing writes to it")


def not_utf8(name: str, place: str) -> SourceError:
    """Return the error for text that is not UTF-8; which encoding it is, no bytes say for certain."""
    new = f"new{files.suffix(name)}"
    return SourceError(
        f"{place} is not UTF-8; expected it, whatever wrote the file",
        hint=f"iconv -f ENCODING -t utf-8 {shlex.quote(name)} > {new}, with the one it was written in: windows-1252?",
    )


def _start(name: str) -> bytes:
    """Return the first bytes of a file."""
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
    """Return the encoding of two or four bytes a character that a file begins in, or nothing."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if len(start) < _LEAST:
        return ""
    even, odd = (sum(byte == 0 for byte in start[k::2]) / len(start[k::2]) for k in (0, 1))
    if max(even, odd) > 0.9 and min(even, odd) > 0.4:  # three bytes of four
        return "UTF-32LE" if odd > even else "UTF-32BE"
    if max(even, odd) > 0.7 and min(even, odd) < 0.1:  # of text in Latin letters every other byte is 0
        return "UTF-16LE" if odd > even else "UTF-16BE"
    return ""
