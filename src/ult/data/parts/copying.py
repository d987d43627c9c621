"""Copy the rows of one file to several, as they stand: lines of text byte for byte, rows of Parquet cell by cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ult.data import files
from ult.data.reading import COMMA_FILES, Reading
from ult.data.rows import ROWS, Rows, changed, encoding_of
from ult.errors import SourceError

SUFFIXES = (".csv", ".tsv", ".data", ".jsonl", ".ndjson", ".txt", ".parquet")
_BLANK = b" \t\r\n\xef\xbb\xbf"


def copy_rows(rows: Rows, reading: Reading, parts: NDArray[np.int8], outs: Sequence[Path]) -> None:
    """Write each row of the file that `rows` reads to the one of `outs` that `parts` (rows,) says.

    Every output gets the header. Raises `SourceError` if the file changed since its rows were counted, and `OSError`.
    """
    suffix = files.suffix(rows.name)
    if suffix == ".parquet":
        _copy_parquet(rows, parts, outs)
        return
    with ExitStack() as stack:
        opened = [stack.enter_context(out.open("xb")) for out in outs]
        found = _csv(rows, reading) if suffix in COMMA_FILES else _lines(rows, blank=suffix == ".txt")
        _copy_texts(rows, found, parts, opened)


def _copy_texts(
    rows: Rows, found: Iterator[tuple[bool, bytes]], parts: NDArray[np.int8], opened: Sequence[IO[bytes]]
) -> None:
    count = 0
    for is_row, text in found:
        if is_row and count == len(parts):
            raise changed(rows.name)
        for file in [opened[parts[count]]] if is_row else opened:
            file.write(text if text.endswith((b"\n", b"\r")) else text + b"\n")
        count += is_row
    if count != len(parts):
        raise changed(rows.name)


def _lines(rows: Rows, *, blank: bool) -> Iterator[tuple[bool, bytes]]:
    with files.open_file(rows.name) as file:
        for line in file:
            if blank or line.strip(_BLANK):
                yield True, line


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


def _copy_parquet(rows: Rows, parts: NDArray[np.int8], outs: Sequence[Path]) -> None:
    first = 0
    with ExitStack() as stack:
        opened = stack.enter_context(files.open_arrow(rows.name))
        try:
            file = stack.enter_context(pq.ParquetFile(opened))
            writers = [
                stack.enter_context(pq.ParquetWriter(out, file.schema_arrow, compression="zstd")) for out in outs
            ]
            for batch in file.iter_batches(ROWS):
                here = parts[first : first + len(batch)]
                if len(here) != len(batch):
                    raise changed(rows.name)
                for number, writer in enumerate(writers):
                    some = batch.filter(pa.array(here == number))
                    if len(some):
                        writer.write_batch(some)
                first += len(batch)
        except pa.ArrowException as error:
            raise SourceError(f"{rows.name} is damaged after row {first}") from error
    if first != len(parts):
        raise changed(rows.name)
