"""The ids of a file in memory: of a text file in one pass over its bytes, of any other through its reader."""

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
from ult.data import files, open_source
from ult.data.rows import changed
from ult.data.text import TxtRows, line_blocks
from ult.errors import InvalidConfig
from ult.owner.bpe.text import TextSegmenter

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


def _blocks(rows: TxtRows, longest: int) -> Iterator[memoryview]:
    for block in line_blocks(rows.name):
        if len(block) > longest or not is_utf8(block):
            raise _Slowly
        yield block
