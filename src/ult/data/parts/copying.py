"""Copy the rows of one file to several, as they stand: lines of text byte for byte, rows of Parquet cell by cell."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import compress
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from ult.data import files
from ult.data.reading import COMMA_FILES, Reading
from ult.data.rows import ROWS, Rows, changed, encoding_of
from ult.data.text import whole_lines
from ult.errors import SourceError
from ult.host.buckets import Lane

SUFFIXES = (".csv", ".tsv", ".data", ".jsonl", ".ndjson", ".txt", ".parquet")
_BLANK = b" \t\r\n\xef\xbb\xbf"


def copy_rows(rows: Rows, reading: Reading, parts: Lane, outs: Sequence[Path]) -> None:
    """Write each row of the file that `rows` reads to the one of `outs` that `parts` says.

    Every output gets the header. Raises `SourceError` if the file changed since its rows were counted, and `OSError`.
    """
    suffix = files.suffix(rows.name)
    if suffix == ".parquet":
        _copy_parquet(rows, parts, outs)
        return
    with ExitStack() as stack:
        opened = [stack.enter_context(out.open("xb")) for out in outs]
        if suffix in COMMA_FILES:
            _copy_csv(rows, reading, parts, opened)
        else:
            _copy_lines(rows, parts, opened, blank=suffix == ".txt")


def _copy_lines(rows: Rows, parts: Lane, opened: Sequence[IO[bytes]], *, blank: bool) -> None:
    """Copy the lines, a block at a time; without `blank` those of white space are no rows, and left out."""
    for block in whole_lines(rows.name, 0, sys.maxsize):
        lines = block.removesuffix(b"\n").split(b"\n")
        if not blank:
            lines = [line for line in lines if line.strip(_BLANK)]
        here = parts.take(len(lines))
        if len(here) < len(lines):
            raise changed(rows.name)
        for number, file in enumerate(opened):
            if some := list(compress(lines, (here == number).tolist())):
                file.write(b"\n".join(some) + b"\n")
    if len(parts.take(1)):
        raise changed(rows.name)


def _copy_csv(rows: Rows, reading: Reading, parts: Lane, opened: Sequence[IO[bytes]]) -> None:
    each = parts.each()
    for is_row, text in _csv(rows, reading):
        part = next(each, None) if is_row else 0
        if part is None:
            raise changed(rows.name)
        for file in [opened[part]] if is_row else opened:
            file.write(text if text.endswith((b"\n", b"\r")) else text + b"\n")
    if next(each, None) is not None:
        raise changed(rows.name)


def _csv(rows: Rows, reading: Reading) -> Iterator[tuple[bool, bytes]]:
    """Yield what stands before the rows, up to the header, then each row, as the bytes of its lines."""
    mark, width = reading.mark(files.suffix(rows.name)), len(rows.types)
    encoding = encoding_of(rows.name, reading.encoding)
    writes = "utf-8" if encoding == "utf-8-sig" else encoding
    taken: list[str] = []

    def told(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    with files.open_file(rows.name) as raw, io.TextIOWrapper(raw, encoding, newline="") as file:
        header = reading.header
        for row in csv.reader(told(file), delimiter=mark, strict=True):
            text = "".join(taken)
            if header and (not row or row == ["sep=", ""]):
                continue  # what stands before the header goes with it
            taken.clear()
            if header or row or width == 1:
                yield not header, text.encode(writes)
            header = False


def _copy_parquet(rows: Rows, parts: Lane, outs: Sequence[Path]) -> None:
    first = 0
    with ExitStack() as stack:
        opened = stack.enter_context(files.open_arrow(rows.name))
        try:
            file = stack.enter_context(pq.ParquetFile(opened))
            writers = [
                stack.enter_context(pq.ParquetWriter(out, file.schema_arrow, compression="zstd")) for out in outs
            ]
            for batch in file.iter_batches(ROWS):
                here = parts.take(len(batch))
                if len(here) != len(batch):
                    raise changed(rows.name)
                for number, writer in enumerate(writers):
                    some = batch.filter(pa.array(here == number))
                    if len(some):
                        writer.write_batch(some)
                first += len(batch)
        except pa.ArrowException as error:
            raise SourceError(f"{rows.name} is damaged after row {first}") from error
    if len(parts.take(1)):
        raise changed(rows.name)
