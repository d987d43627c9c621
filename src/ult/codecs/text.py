"""`text/bytes`: any `str` as its UTF-8 bytes, cut into patches by `pretokenizer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.cells import Cells
from ult.codecs.grammar import Automaton, utf8_follow
from ult.codecs.patches import Ends, Patches, Symbols
from ult.codecs.pretokenizer import MAX_PATCH, cut_words
from ult.codecs.utf8 import is_utf8
from ult.errors import CorruptSymbols, InvalidRecord


class TextBytes(Codec[str]):
    r"""Lossless codec of any `str`: symbols are its UTF-8 bytes, with lone surrogates (Python's "surrogatepass").

    `max_length` is in bytes.

    >>> codec = TextBytes()
    >>> patches = codec.encode("It's 2024, isn't it?")
    >>> codec.decode(patches.symbols)
    "It's 2024, isn't it?"
    >>> [bytes(patch.astype("u1")).decode() for patch in np.split(patches.symbols, patches.ends[:-1])]
    ['It', "'s", ' 2024', ',', ' isn', "'t", ' it', '?']
    """

    id: ClassVar[str] = "text/bytes"
    modality: ClassVar[str] = "text"
    lossless: ClassVar[bool] = True
    alphabet = 256
    max_patch = MAX_PATCH

    def __init__(self, *, max_length: int = 2**28) -> None:
        check_option("max_length", max_length, 1, 2**40)
        self.max_length = self.max_symbols = max_length

    def encode(self, record: str) -> Patches:
        """Return the patches of a `str`; raise `InvalidRecord` for another type or a record over `max_length`."""
        patches = self.encode_batch([record])
        return Patches(patches.symbols.astype(np.uint32), patches.ends, patches.records)

    def encode_batch(self, records: Sequence[str]) -> Patches:
        """Return the patches of several records, symbols uint8, cut in one pass over their bytes."""
        joined, stops = self.joined(records)
        ends, counts = cut_words(joined, stops)
        return Patches(joined, ends, counts)

    def joined(self, records: Sequence[str]) -> tuple[NDArray[np.uint8], Ends]:
        """Return the symbols of several records, uncut, and where each record ends in them; raise `InvalidRecord`."""
        return joined_utf8(records, self.max_length)

    def decode(self, symbols: Symbols) -> str:
        """Return the text; raise `CorruptSymbols` unless the symbols are UTF-8."""
        return from_utf8(self._bytes(symbols).data)

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[str]:
        """Return the texts whose bytes end at `ends`; pure ASCII is decoded in one call and then cut."""
        if symbols.dtype != np.uint8 or (len(ends) and int(np.diff(ends, prepend=0).max()) > self.max_symbols):
            return super().decode_batch(symbols, ends)
        stops = ends.tolist()
        spans = zip([0, *stops], stops, strict=False)
        data = symbols.data
        if not len(symbols) or int(symbols.max()) < 0x80:
            whole = str(data, "ascii")
            return [whole[start:stop] for start, stop in spans]
        return [from_utf8(data[start:stop]) for start, stop in spans]

    def decode_cells(self, symbols: Symbols, ends: Ends) -> Sequence[str | None]:
        """Return the texts whose bytes, uint8, end at `ends`, as `Cells` unless one has a lone surrogate.

        Raises `CorruptSymbols`.
        """
        inner = ends[ends < len(symbols)]
        if is_utf8(symbols) and not ((symbols[inner] & 0xC0) == 0x80).any():  # which no text begins with
            return Cells(symbols, ends, np.zeros(len(ends), np.bool_))
        return self.decode_batch(symbols, ends)

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k at which a character ends, up to the first byte that is not UTF-8."""
        data = self._bytes(symbols)
        try:
            data.tobytes().decode("utf-8", "surrogatepass")
            valid = len(data)
        except UnicodeDecodeError as error:
            valid = error.start
        starts = np.flatnonzero((data[:valid] & 0xC0) != 0x80)
        return np.append(starts, valid)

    def nbytes(self, record: str) -> int:
        """Return the length of `record` in UTF-8."""
        return len(utf8(record, self.max_length))

    def nbytes_of_batch(self, records: Sequence[str]) -> int:
        """Return the length of all records in UTF-8."""
        return len(records.data) if isinstance(records, Cells) else super().nbytes_of_batch(records)

    def config(self) -> dict[str, Any]:
        """Return `max_length`."""
        return {"max_length": self.max_length}

    def grammar(self, values: int = 0) -> Automaton:
        """Return the automaton of UTF-8."""
        return Automaton(*utf8_follow(), np.ones(256, np.int64), self.max_length)

    def usual_grammar(self, values: int = 0) -> Automaton:
        """Return the automaton of UTF-8 without lone surrogates, which most files cannot hold."""
        return Automaton(*utf8_follow(surrogates=False), np.ones(256, np.int64), self.max_length)

    def _bytes(self, symbols: Symbols) -> NDArray[np.uint8]:
        if (
            isinstance(symbols, np.ndarray)
            and symbols.dtype == np.uint8
            and symbols.ndim == 1
            and symbols.size <= self.max_symbols
        ):
            return symbols  # what `Table` passes: any byte is a symbol, so nothing needs checking
        return self._check(symbols).astype(np.uint8)


def utf8(record: str, max_length: int) -> bytes:
    """Return `record` in UTF-8; raise `InvalidRecord` if it is not a `str` or has over `max_length` bytes."""
    if not isinstance(record, str):
        raise InvalidRecord(f"record is {type(record).__name__}; expected str")
    data = record.encode("utf-8", "surrogatepass")
    if len(data) > max_length:
        raise InvalidRecord(f"record has {len(data)} bytes; expected at most {max_length}")
    return data


def joined_utf8(records: Sequence[str], max_length: int) -> tuple[NDArray[np.uint8], Ends]:
    """Return the UTF-8 bytes of all records, concatenated, and where each record ends; raise as `utf8` does."""
    try:
        cells = Cells.of(records)
    except InvalidRecord:
        check_texts(records, max_length)
        raise
    if cells.nulls.any():
        check_texts(records, max_length)
    if len(cells) and (longest := int(cells.sizes.max())) > max_length:
        raise InvalidRecord(f"record has {longest} bytes; expected at most {max_length}")
    return cells.data, cells.ends


def check_texts(records: Sequence[str], max_length: int) -> None:
    """Raise as `utf8` does for the first record that it refuses."""
    for record in records:
        utf8(record, max_length)


def from_utf8(data: bytes | memoryview) -> str:
    """Return the text of `data`; raise `CorruptSymbols` unless it is UTF-8 (lone surrogates allowed)."""
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptSymbols(f"symbol {error.start} starts no UTF-8 character") from None
