"""`text/bytes`: any `str` as its UTF-8 bytes, cut into words, digit groups, punctuation and white space.

The cut is defined on bytes with a frozen rule of its own, not on Unicode's tables, which change from one Python to
the next. A patch is one of

- a word: letters, after at most one space and at most one apostrophe (`" don"`, `"'t"`, `" 's"`);
- a digit group: up to `DIGITS` digits, after at most one space;
- punctuation: anything else that is not white space, after at most one space;
- white space: a run of spaces, tabs and line breaks, less a last space that belongs to what follows.

A character beyond ASCII is a letter, but for the blocks of punctuation and symbols that `_kind` lists. No patch is
longer than `MAX_PATCH` bytes, so that the work a record costs is linear in its length, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Codec, Ends, Patches, Symbols, check_option
from ult.errors import CorruptSymbols, InvalidRecord

MAX_PATCH = 64  # bytes
DIGITS = 4
LETTER, DIGIT, SPACE, BREAK, OTHER = range(5)


def _ascii_kinds() -> NDArray[np.uint8]:
    kinds = np.full(128, OTHER, np.uint8)
    for code in range(128):
        character = chr(code)
        if character.isalpha():
            kinds[code] = LETTER
        elif character.isdigit():
            kinds[code] = DIGIT
        elif character == " ":
            kinds[code] = SPACE
        elif character in "\t\n\v\f\r":
            kinds[code] = BREAK
    return kinds


_ASCII = _ascii_kinds()


class TextBytes(Codec[str]):
    r"""Any `str`, exactly; symbols are its UTF-8 bytes, lone surrogates included (as in Python's "surrogatepass").

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
        """Return the patches of any `str`; raise `InvalidRecord` for another type or a record over `max_length`."""
        patches = self.encode_batch([record])
        return Patches(patches.symbols.astype(np.uint32), patches.ends, patches.records)

    def encode_batch(self, records: Sequence[str]) -> Patches:
        """Return the patches of many records, cut in one pass over their bytes, which are the symbols (uint8)."""
        joined, sizes = joined_utf8(records, self.max_length)
        ends, counts = _cut(joined, np.cumsum(sizes, dtype=np.int64))
        return Patches(joined, ends, counts)

    def decode(self, symbols: Symbols) -> str:
        """Return the text; raise `CorruptSymbols` unless the bytes are UTF-8."""
        return from_utf8(self._bytes(symbols).tobytes())

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[str]:
        """Return the texts whose bytes end at `ends`: decoded all at once, then cut at their characters."""
        if symbols.dtype != np.uint8 or (len(ends) and int(np.diff(ends, prepend=0).max()) > self.max_symbols):
            return super().decode_batch(symbols, ends)
        first = symbols & 0xC0 != 0x80  # whether a byte is the first of its character
        inside = ends[(ends > 0) & (ends < len(symbols))]
        try:
            whole = symbols.tobytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return super().decode_batch(symbols, ends)  # which says in what record
        if not first[inside].all():
            return super().decode_batch(symbols, ends)
        stops = (ends if len(whole) == len(symbols) else np.append(0, np.cumsum(first))[ends]).tolist()
        return [whole[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k where a character of the longest valid text ends."""
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

    def config(self) -> dict[str, Any]:
        """Return `max_length`."""
        return {"max_length": self.max_length}

    def _bytes(self, symbols: Symbols) -> NDArray[np.uint8]:
        if (
            isinstance(symbols, np.ndarray)
            and symbols.dtype == np.uint8
            and symbols.ndim == 1
            and symbols.size <= self.max_symbols
        ):
            return symbols  # as a table spells them: any byte is a symbol
        return self._check(symbols).astype(np.uint8)


def utf8(record: str, max_length: int) -> bytes:
    """Return `record` in UTF-8; raise `InvalidRecord` if it is no `str` or has over `max_length` bytes."""
    if not isinstance(record, str):
        raise InvalidRecord(f"record is {type(record).__name__}; expected str")
    data = record.encode("utf-8", "surrogatepass")
    if len(data) > max_length:
        raise InvalidRecord(f"record has {len(data)} bytes; expected at most {max_length}")
    return data


def joined_utf8(records: Sequence[str], max_length: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Return all records in UTF-8, one after the other, and the bytes of each; raises as `utf8` does."""
    try:
        joined = "".join(records)
    except TypeError:
        joined = ""  # not all are `str`, as is said below
    sizes = list(map(len, records)) if joined.isascii() and joined else []
    if sizes and max(sizes) <= max_length:
        return np.frombuffer(joined.encode("ascii"), np.uint8), sizes
    data = [utf8(record, max_length) for record in records]
    return np.frombuffer(b"".join(data), np.uint8), [len(one) for one in data]


def from_utf8(data: bytes) -> str:
    """Return the text of `data`; raise `CorruptSymbols` unless it is UTF-8 (lone surrogates allowed)."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptSymbols(f"symbol {error.start} starts no UTF-8 character") from None


@njit(cache=True)
def _kind(data: NDArray[np.uint8], at: int) -> int:
    """Return the kind of the character that starts at `at`."""
    lead = data[at]
    if lead < 0x80:
        return int(_ASCII[lead])
    second = data[at + 1]
    other = (
        lead == 0xC2  # U+0080 .. U+00BF: controls, Latin-1 punctuation
        or (lead == 0xE2 and second < 0xB0)  # U+2000 .. U+2BFF: punctuation, arrows, mathematics, symbols
        or (lead == 0xE3 and second == 0x80)  # U+3000 .. U+303F: CJK punctuation
        or (lead == 0xF0 and second == 0x9F)  # U+1F000 .. U+1FFFF: pictographs
    )
    return OTHER if other else LETTER


@njit(cache=True)
def _width(lead: int) -> int:
    """Return the bytes of the character whose first byte is `lead`."""
    if lead < 0x80:
        return 1
    if lead < 0xE0:
        return 2
    return 3 if lead < 0xF0 else 4


@njit(cache=True)
def _patch_end(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where the patch that starts at `start` ends, in a record that ends at `stop`."""
    limit = min(start + MAX_PATCH, stop)
    at = start
    kind = _kind(data, at)
    if kind in (SPACE, BREAK):
        while at < stop and at <= limit and kind in (SPACE, BREAK):  # no farther: the whole run costs linear time
            at += 1
            kind = _kind(data, at) if at < stop else BREAK
        if at == stop or data[at - 1] != 32:
            return min(at, limit)
        if at - 1 > start:
            return min(at - 1, limit)
        # One space, and what it belongs to follows.
    if data[at] == 39 and at + 1 < stop and _kind(data, at + 1) == LETTER:
        at += 1
        kind = LETTER
    first = at
    if kind == DIGIT:
        limit = min(limit, first + DIGITS)
    while at < limit:
        lead = data[at]
        if lead < 0x80:
            if _ASCII[lead] != kind:
                break
            at += 1
        else:
            if _kind(data, at) != kind or at + _width(lead) > limit:
                break
            at += _width(lead)
    return at


@njit(cache=True)
def _cut(data: NDArray[np.uint8], stops: Ends) -> tuple[Ends, Ends]:
    """Return the end of every patch, and for each record how many patches ended by its end."""
    ends = np.empty(len(data), np.int64)
    records = np.empty(len(stops), np.int64)
    n = at = 0
    for record in range(len(stops)):
        while at < stops[record]:
            at = _patch_end(data, at, stops[record])
            ends[n] = at
            n += 1
        records[record] = n
    return ends[:n].copy(), records
