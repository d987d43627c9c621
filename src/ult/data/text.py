"""Read and write files of lines: `.txt`, one record per line, and `.jsonl`, one JSON value per line.

Only "\\n" ends a line; every other character, including "\\r" and U+2028, belongs to the record. In a `.jsonl` a byte
order mark is skipped, and lines of white space are not records. In a `.txt` a byte order mark stays the first character
of the first record.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ult.codecs.cells import Cells
from ult.codecs.utf8 import as_lines, is_utf8
from ult.data import files
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Column, Rows, changed, existing_text, listed, not_utf8
from ult.errors import EmptySource, MissingColumn, OutputError, SourceError

BOM = "\ufeff"
BLOCK = 2**17  # bytes that are read at a time: they stay in the processor's cache
_LINE_FEED = 10
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_JSON_TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), type(None): pa.null()}


class LineRows(Rows):
    """The lines of a file, or of its part from byte `start` to byte `stop`."""

    splits = True
    start, stop = 0, sys.maxsize
    encoding = "utf-8"  # in which a line ends with one byte

    def split(self, nbytes: int) -> Iterator[Rows]:
        """Yield parts of whole lines, each at least `nbytes` except for the last."""
        for start, stop in itertools.pairwise(_starts(self.name, nbytes)):
            part = copy.copy(self)
            part.start, part.stop, part.nbytes = start, stop, stop - start
            yield part

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        return _lines(self.name, self.start, self.stop, encoding=self.encoding)

    def _chunk(self, first: int, columns: Mapping[str, Column], length: int) -> Chunk:
        return Chunk(self.name, first, columns, length, "line", self.start)


class TxtRows(LineRows):
    """The lines of a file as one column."""

    def __init__(self, name: str, column: str, reading: Reading = AS_IT_IS) -> None:
        self.name = existing_text(name, reading.encoding)
        self.encoding = reading.encoding or self.encoding
        self.column: str = column
        self.types = {column: pa.string()}

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the lines; raise `SourceError` if one is not UTF-8."""
        for first, lines in self._lines():
            yield self._chunk(first, {self.column: lines}, len(lines))

    def blocks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the lines as `Cells`, of UTF-8; raise `SourceError` if one is not."""
        if self.encoding != "utf-8":
            yield from self.chunks(columns)
            return
        first = 1
        for data in whole_lines(self.name, self.start, self.stop):
            if not is_utf8(data):
                for _ in self._lines():  # finds the line, and raises
                    pass
            lines = lines_of(data)
            yield self._chunk(first, {self.column: lines}, len(lines))
            first += len(lines)


class JsonlRows(LineRows):
    """The fields of JSON objects, one per line, or one column of JSON strings; the first line determines the fields."""

    def __init__(self, name: str, column: str, reading: Reading = AS_IT_IS) -> None:
        self.name = existing_text(name, reading.encoding)
        self.encoding = reading.encoding or self.encoding
        read = _lines(name, rows=1, encoding=self.encoding)
        number, line = next(((n, lines[0]) for n, lines in read if not _is_blank(lines[0])), (0, ""))
        if not number:
            raise EmptySource(f"{name} holds only blank lines; expected JSON values")
        first: Any = self._value(line, number)
        self.bare = isinstance(first, str)
        fields = {column: first} if self.bare else first
        if not isinstance(fields, dict) or not fields:
            raise SourceError(f"{name}, line {number} is neither a JSON object with fields nor a string")
        self.types = {name: _JSON_TYPES.get(type(value), pa.struct([])) for name, value in fields.items()}

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the fields `columns` of each line; raise `SourceError` or `MissingColumn` for a line without them."""
        for first, lines in self._lines():
            values = {first + i: self._value(line, first + i) for i, line in enumerate(lines) if not _is_blank(line)}
            fields = {name: [self._field(v, name, number) for number, v in values.items()] for name in columns}
            if values:
                numbers = () if len(values) == len(lines) else tuple(values)
                yield replace(self._chunk(first, fields, len(values)), numbers=numbers)

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of `keep` after reading the whole file: a field may be null or an integer before a float.

        Raises `SourceError` for a value that cannot be kept.
        """
        types = {name: pa.null() for name in keep}
        for chunk in self.chunks(keep) if keep else ():
            for name in keep:
                for i, value in enumerate(chunk.columns[name]):
                    if type(value) is float and math.isinf(value):  # such as 1e400; Infinity itself is a `_Constant`
                        raise SourceError(
                            f"{chunk.place(i)}: {name!r} is a number beyond float64; expected a smaller one"
                        )
                    if (kind := _JSON_TYPES.get(type(value))) is None:
                        raise SourceError(
                            f"{chunk.place(i)}: {name!r} is {_met(value)}; "
                            "expected a string, number, boolean or null to keep"
                        )
                    types[name] = self._wider(types[name], kind, name, chunk.place(i))
        return pa.schema(list(types.items()))

    def _wider(self, one: pa.DataType, other: pa.DataType, name: str, place: str) -> pa.DataType:
        if one == other or other == pa.null():
            return one
        if one == pa.null():
            return other
        if {one, other} == {pa.int64(), pa.float64()}:
            return pa.float64()
        raise SourceError(f"{place}: {name!r} is {other} here and {one} above; expected one type to keep")

    def _value(self, line: str, number: int) -> Any:
        if number == 1 and self.start == 0:
            line = line.removeprefix(BOM)
        try:
            return self._decoded(line)
        except _Twice as error:
            raise SourceError(
                f"{self._place(number)} has a field twice: {error.args[0]!r}; expected each field once"
            ) from None
        except (ValueError, RecursionError):
            raise SourceError(f"{self._place(number)} is not JSON") from None

    def _decoded(self, line: str) -> Any:
        return _DECODER.decode(line)

    def _field(self, value: Any, name: str, number: int) -> Any:
        if self.bare and isinstance(value, str):
            return value
        if self.bare or not isinstance(value, dict):
            expected = "string" if self.bare else "object"
            raise SourceError(f"{self._place(number)} is not a JSON {expected}, as the first line is")
        if name not in value:
            raise MissingColumn(f"{self._place(number)} has no field {name!r}; it has {listed(list(value))}")
        return value[name]

    def _place(self, number: int) -> str:
        return self._chunk(number, {}, 0).place(0)


class _Twice(Exception):
    """Raised for an object with the same field twice, because it is ambiguous which value counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return value


@dataclass(frozen=True, slots=True)
class _Constant:
    """NaN or an infinity, which is not JSON; refused if its field is read, ignored in other fields."""

    name: str


def _met(value: Any) -> str:
    return f"{value.name}, which is not JSON" if isinstance(value, _Constant) else f"a JSON {type(value).__name__}"


def _is_blank(line: str) -> bool:
    """Return whether a line holds only JSON white space and byte order marks."""
    return not line.strip(f" \t\r\n{BOM}")


# Shared instances: `json.loads` and `json.dumps` with options create one per call, which takes three times as long.
def json_decoder(number: Callable[[str], Any] | None = None) -> json.JSONDecoder:
    """Return a decoder that refuses a field twice; `number` makes numbers of their texts."""
    return json.JSONDecoder(object_pairs_hook=_object, parse_constant=_Constant, parse_int=number, parse_float=number)


_DECODER = json_decoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ESCAPER = json.JSONEncoder(allow_nan=False)


def _lines(
    name: str, start: int = 0, stop: int = sys.maxsize, rows: int = ROWS, encoding: str = "utf-8"
) -> Iterator[tuple[int, list[str]]]:
    """Yield lists of lines without "\\n", each with the number of its first line, counted from 1 at byte `start`."""
    first, lines, size, at = 1, [], 0, start
    try:
        with files.open_file(name) as file:
            file.seek(start)
            for line in file:
                lines.append(line.removesuffix(b"\n").decode(encoding))
                size += len(line)
                at += len(line)
                if len(lines) == rows or size >= CHUNK_BYTES:
                    yield first, lines
                    first, lines, size = first + len(lines), [], 0
                if at >= stop:
                    break
    except UnicodeDecodeError:
        number = first + len(lines) + files.count_lines(name, start)
        raise not_utf8(name, f"{name}, line {number}", encoding) from None
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from error
    if at < stop < sys.maxsize:
        raise changed(name, f"it ended after {at} bytes; expected {stop}")
    if lines:
        yield first, lines


def whole_lines(name: str, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `stop`, which begin lines, in blocks of whole lines. Raises `SourceError`."""
    at, begun = start, list[bytes]()  # of a line whose end is not read yet
    try:
        with files.open_file(name) as file:
            file.seek(start)
            while at < stop and (more := file.read(min(BLOCK, stop - at))):
                at += len(more)
                if end := more.rfind(b"\n") + 1:
                    yield b"".join([*begun, more[:end]])
                    begun = []
                begun.append(more[end:])
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from error
    if at < stop < sys.maxsize:
        raise changed(name, f"it ended after {at} bytes; expected {stop}")
    if rest := b"".join(begun):
        yield rest


def line_blocks(name: str, start: int = 0, stop: int = sys.maxsize) -> Iterator[memoryview]:
    """Yield what `whole_lines` does, each block in the memory of the one before. Raises `SourceError`."""
    held, used, at = bytearray(BLOCK), 0, start
    try:
        with files.open_file(name) as file:
            file.seek(start)
            while more := file.readinto(memoryview(held)[used : used + stop - at]):  # type: ignore[attr-defined]
                end = held.rfind(b"\n", used, used + more) + 1
                used += more
                at += more
                if end:
                    yield memoryview(held)[:end]
                    held[: used - end] = held[end:used]
                    used -= end
                if used == len(held):
                    held = held + bytearray(len(held))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from error
    if at < stop < sys.maxsize:
        raise changed(name, f"it ended after {at} bytes; expected {stop}")
    if used:
        yield memoryview(held)[:used]


def lines_of(data: bytes) -> Cells:
    """Return the lines of UTF-8 without "\\n"; the last one may lack it.

    >>> lines_of(b"a\\n\\nbc").tolist()
    ['a', '', 'bc']
    """
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_FEED)
    ends -= np.arange(len(ends))
    texts = np.frombuffer(data.replace(b"\n", b""), np.uint8)
    if data and not data.endswith(b"\n"):
        ends = np.append(ends, len(texts))
    return Cells(texts, ends, np.zeros(len(ends), np.bool_))


def _starts(name: str, nbytes: int) -> Iterator[int]:
    """Yield the byte at which each part starts, always the start of a line, and then the size of the file."""
    at, size = 0, files.size(name)
    yield at
    try:
        with files.open_file(name) as file:
            while at + nbytes < size:
                file.seek(at + nbytes - 1)
                file.readline()
                at = file.tell()
                if at < size:
                    yield at
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from error
    yield size


class TxtWriter:
    """Writes one record per line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def write(self, records: Sequence[str] | Cells, kept: pa.Table) -> None:
        """Write lines; raise `OutputError` for a record with a line break or a lone surrogate."""
        if isinstance(records, Cells):
            lines = as_lines(records.data, records.ends)
            if lines is None:
                raise _broken()
            self._file.write(lines.data)
            return
        if any("\n" in record for record in records):
            raise _broken()
        self._file.write(b"".join(encoded(record, ".txt") + b"\n" for record in records))

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


def _broken() -> OutputError:
    return OutputError("a record holds a line break, which .txt cannot", hint=".jsonl, .csv or .parquet")


class JsonlWriter:
    """Writes one JSON object per line: the kept columns, then the record."""

    def __init__(self, path: Path, column: str) -> None:
        self._file, self.column = path.open("xb"), column

    def write(self, records: Sequence[str], kept: pa.Table) -> None:
        """Write lines; raise `OutputError` for a value that JSON cannot hold."""
        rows: list[dict[str, Any]] = kept.to_pylist() if kept.num_columns else [{}] * len(records)
        for row, record in zip(rows, records, strict=True):
            self._file.write(json_line({**row, self.column: record}))

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


def json_line(row: Mapping[str, Any]) -> bytes:
    """Return a line with one JSON object; raise `OutputError` for a value that JSON cannot hold."""
    if _is_paired(row):
        raise OutputError("a record holds two lone surrogates in a row, which JSON reads as one character")
    try:
        return _ENCODER.encode(row).encode() + b"\n"
    except UnicodeEncodeError:
        return _ESCAPER.encode(row).encode() + b"\n"
    except ValueError:
        raise OutputError("a kept column holds NaN or an infinity, which JSON cannot", hint=".parquet") from None


def _is_paired(value: Any) -> bool:
    if isinstance(value, str):
        return _PAIRS.search(value) is not None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_is_paired, inner))


def encoded(text: str, suffix: str) -> bytes:
    """Return `text` as UTF-8; raise `OutputError` if it holds a lone surrogate, which `suffix` files cannot hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(f"a record holds a lone surrogate, which {suffix} cannot", hint=".jsonl") from None
