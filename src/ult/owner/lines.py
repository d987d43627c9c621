"""The ids of a file, or of a piece of one: of lines in one pass over their bytes, of all else through a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec
from ult.codecs.patches import Ends
from ult.codecs.text import TextBytes
from ult.codecs.utf8 import is_utf8
from ult.data import Unread, files, open_source
from ult.data.rows import changed
from ult.data.text import TxtRows, line_blocks
from ult.errors import InvalidConfig
from ult.owner.bpe.text import TextSegmenter

_LINE_FEED = 10
_Ragged = tuple[NDArray[Any], Ends]


def ids_of_file(
    path: str | Path,
    column: str | None,
    codec: Codec[Any],
    text: TextSegmenter | None,
    encode: Callable[[Any], _Ragged],
    size: int,
) -> _Ragged:
    """Return the ids of all records of a file, (n,), and where each record ends in them, (r,) int64.

    The ids are uint16 if the table has up to 65,536, `size`, else uint32. `text` writes lines, `encode` any records.
    Raises `SourceError` or `InvalidRecord`, with file and row, or `InvalidConfig` for a codec of other records.
    """
    if codec.modality not in ("text", "molecule"):
        raise InvalidConfig(
            f"the table's codec is {codec.id}; expected one whose records are texts",
            hint="ult.encode(FILE, TABLE, SHARDS), for all codecs",
        )
    name = str(path)
    if text is not None and isinstance(codec, TextBytes) and column is None and files.suffix(name) == ".txt":
        rows, seen = TxtRows(name, ""), _state(name)
        try:
            found = text.ids_of_lines(_blocks(rows, codec.max_length), files.size(name))
            if _state(name) != seen:
                raise changed(name)
            return found
        except _Slowly:
            pass
    source = open_source([name], modality=codec.modality, column=column)
    many, ends, done = [np.empty(0, np.uint32)], [np.empty(0, np.int64)], 0
    with source.naming(codec):
        for batch in source.batches():
            ids, stops = encode(batch.records)
            many.append(ids)
            ends.append(stops + done)
            done += len(ids)
    kind = np.uint16 if size <= 1 << 16 else np.uint32
    return np.concatenate(many).astype(kind, copy=False), np.concatenate(ends)


def _state(name: str) -> tuple[int, int]:
    """Return what changes with a file: its size and, of a local one, when it was written."""
    return files.size(name), 0 if files.is_url(name) else Path(name).stat().st_mtime_ns


class _Slowly(Exception):
    """Raised where a reader must say what is wrong, and in which line."""


def ids_of_piece(piece: object, codec: Codec[Any], text: TextSegmenter | None) -> tuple[_Ragged, int] | None:
    """Return the ids of a piece that is lines of texts alone, uint32, as `ids_of_file` does, and the bytes of texts.

    None of another piece, and of one with a line that a reader must name in an error. Raises `SourceError`.
    """
    if text is None or not isinstance(codec, TextBytes) or not isinstance(piece, Unread) or piece.schema.names:
        return None
    rows = [one for one in piece.parts if isinstance(one, TxtRows) and one.encoding == "utf-8"]
    if len(rows) < len(piece.parts) or piece.form.side is not None:
        return None
    read = breaks = 0

    def blocks() -> Iterator[memoryview]:
        nonlocal read, breaks
        for one in rows:
            for block in _blocks(one, codec.max_length):
                read += len(block)
                breaks -= block[-1] != _LINE_FEED  # a last line without one
                yield block

    try:
        ids, ends = text.ids_of_lines(blocks(), sum(one.nbytes for one in rows), wide=True)
    except _Slowly:
        return None
    return (ids, ends), read - len(ends) - breaks


def _blocks(rows: TxtRows, longest: int) -> Iterator[memoryview]:
    for block in line_blocks(rows.name, rows.start, rows.stop):
        if len(block) > longest or not is_utf8(block):
            raise _Slowly
        yield block
