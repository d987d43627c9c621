"""`text/bwt`: any `str` in patches of fixed length, each Burrows-Wheeler transformed and run-length encoded.

This is the papers' text compressor on a closed alphabet. A patch is `patch_size` characters (the last may be shorter)
and a sentinel, which sorts before every character. The rotations of a patch are sorted by code point; their last
characters, in that order, are cut into maximal runs. A run is written as its length, if above 1, then its character:

- 0..255: a byte of the character, in UTF-8 (lone surrogates as in Python's "surrogatepass");
- 256: the sentinel;
- 255 + n: a run of n = 2..patch_size characters.

A patch ends with the run that completes `patch_size` characters and the sentinel, so patches need no separator.
Burrows and Wheeler, "A block-sorting lossless data compression algorithm", SRC report 124, 1994.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.patches import Ends, Patches, Symbols
from ult.codecs.text import utf8
from ult.errors import CorruptSymbols
from ult.host.kernel import njit

SENTINEL = 256
MAX_PATCH_SIZE = 256  # characters, so that a position in a patch fits 8 bits
Codes = NDArray[np.int32]  # code points; in the last column of the rotations code points + 1, with 0 for the sentinel


class TextBwt(Codec[str]):
    """Lossless codec of any `str`; `patch_size` is in characters, `max_length` in bytes of UTF-8.

    >>> codec = TextBwt()
    >>> codec.decode(codec.encode("bananas!").symbols)
    'bananas!'
    >>> TextBwt(patch_size=6).encode("banana").symbols.tolist() == [97, 257, 110, 98, 256, 257, 97]  # a 2n b $ 2a
    True
    """

    id: ClassVar[str] = "text/bwt"
    modality: ClassVar[str] = "text"
    lossless: ClassVar[bool] = True

    def __init__(self, *, patch_size: int = 8, max_length: int = 2**28) -> None:
        check_option("patch_size", patch_size, 1, MAX_PATCH_SIZE)
        check_option("max_length", max_length, 1, 2**40)
        self.patch_size, self.max_length = patch_size, max_length
        self.alphabet = SENTINEL + patch_size
        self.max_patch = 4 * patch_size + 1
        self.max_symbols = max_length + -(-max_length // patch_size)

    def encode(self, record: str) -> Patches:
        """Return the patches of a `str`; raise `InvalidRecord` for another type or a record over `max_length`."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[str]) -> Patches:
        """Return the patches of several records, transformed in one pass over their characters."""
        size = sum(len(utf8(record, self.max_length)) for record in records)
        stops = np.cumsum([len(record) for record in records], dtype=np.int64)
        text = np.frombuffer("".join(records).encode("utf-32-le", "surrogatepass"), "<i4")
        return Patches(*_transform(text, stops, self.patch_size, size))

    def decode(self, symbols: Symbols) -> str:
        """Return the text; raise `CorruptSymbols` unless `encode` of that text gives `symbols`."""
        symbols = self._check(symbols)
        return self.decode_batch(symbols, np.array([len(symbols)]))[0]

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[str]:
        """Return the texts whose symbols end at `ends`, inverted in one pass."""
        if not len(ends):
            return []
        if int(np.diff(ends, prepend=0).max()) > self.max_symbols:
            raise CorruptSymbols(f"a record of over {self.max_symbols} {self.id} symbols")
        stops = np.ascontiguousarray(ends, np.int64)
        joined = self._in_alphabet(symbols).view(np.int32)
        size = _text_size(joined, stops, self.max_length)
        if size < 0:
            raise CorruptSymbols(f"{self.id} symbols spell over {self.max_length} bytes")
        text, text_stops, wrong = _invert(joined, stops, self.patch_size, self.max_length, size)
        if wrong >= 0:
            record = int(np.searchsorted(stops, wrong, side="right"))
            at = wrong - (int(stops[record - 1]) if record else 0)
            raise CorruptSymbols(f"{self.id} symbol {at} starts no patch that an encoder writes")
        whole = text.astype("<i4").tobytes().decode("utf-32-le", "surrogatepass")
        cuts = text_stops.tolist()
        return [whole[start:end] for start, end in zip([0, *cuts[:-1]], cuts, strict=True)]

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k for which `symbols[:k]` are whole patches, the last of which may be shorter."""
        return _prefixes(self._check(symbols).view(np.int32), self.patch_size, self.max_length)  # type: ignore[no-any-return]

    def nbytes(self, record: str) -> int:
        """Return the length of `record` in UTF-8."""
        return len(utf8(record, self.max_length))

    def config(self) -> dict[str, Any]:
        """Return `patch_size` and `max_length`."""
        return {"patch_size": self.patch_size, "max_length": self.max_length}


@njit(cache=True)
def _sort(keys: Ends) -> None:
    """Sort in place; up to 32 keys by insertion, which takes a third of the time of Numba's sort."""
    if len(keys) > 32:
        keys.sort()
    else:
        _insert(keys)


@njit(cache=True)
def _insert(keys: Ends) -> None:
    for i in range(1, len(keys)):
        key, j = keys[i], i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            j -= 1
        keys[j + 1] = key


@njit(cache=True)
def _spread(keys: Ends, spare: Ends, counts: Ends) -> None:
    """Sort keys by a bucket sort on their leading bits, then by insertion; `spare` and `counts` are overwritten."""
    low, high, shift = keys.min(), keys.max(), 0
    while (high - low) >> shift >= len(counts):
        shift += 1
    counts[:] = 0
    for key in keys:
        counts[(key - low) >> shift] += 1
    total = most = 0
    for i in range(len(counts)):
        most = max(most, counts[i])
        total += counts[i]
        counts[i] = total
    if most > 64:  # a bucket is too large for insertion sort
        keys.sort()
        return
    for key in keys:
        bucket = (key - low) >> shift
        counts[bucket] -= 1
        spare[counts[bucket]] = key
    keys[:] = spare[: len(keys)]
    _insert(keys)


@njit(cache=True)
def _sort_suffixes(patch: Codes, keys: Ends, ranks: Ends, counts: Ends) -> None:
    """Sort the suffixes of `patch` by prefix doubling; the low 8 bits of `keys` become their starts, in order.

    The first key packs as many characters as fit 55 bits (7 of ASCII, at least 2). Suffixes that still tie are ranked
    and compared by pairs of ranks, which doubles the compared length each round (Manber and Myers, 1993).
    """
    n, width = len(patch), 1
    while (patch.max() + 1) >> width:
        width += 1
    reach = 55 // width
    packed = 0
    for i in range(n - 1, -1, -1):
        packed = packed >> width | (patch[i] + 1) << width * (reach - 1)
        keys[i] = packed << 8 | i
    if n > 32:
        _spread(keys, ranks, counts)
    else:
        _insert(keys)
    while True:
        rank = 1
        for i in range(n):
            rank += i > 0 and keys[i] >> 8 != keys[i - 1] >> 8
            ranks[keys[i] & 0xFF] = rank
        if rank == n:
            return
        for i in range(n):
            after = ranks[i + reach] if i + reach < n else 0
            keys[i] = ranks[i] << 17 | after << 8 | i
        _sort(keys)
        reach *= 2


@njit(cache=True)
def _write_run(symbols: Symbols, at: int, code: int, count: int) -> int:
    """Write a run of `count` times `code` (a value of the column) at `at`; return where the run ends."""
    if count > 1:
        symbols[at] = 255 + count
        at += 1
    code -= 1
    if code < 0:
        symbols[at] = SENTINEL
        return at + 1
    if code < 0x80:
        symbols[at] = code
        return at + 1
    if code < 0x800:
        symbols[at] = 0xC0 | code >> 6
    elif code < 0x10000:
        symbols[at] = 0xE0 | code >> 12
        at += 1
        symbols[at] = 0x80 | code >> 6 & 0x3F
    else:
        symbols[at] = 0xF0 | code >> 18
        symbols[at + 1] = 0x80 | code >> 12 & 0x3F
        at += 2
        symbols[at] = 0x80 | code >> 6 & 0x3F
    symbols[at + 1] = 0x80 | code & 0x3F
    return at + 2


@njit(cache=True)
def _transform(text: Codes, stops: Ends, patch_size: int, size: int) -> tuple[Symbols, Ends, Ends]:
    """Return the fields of `Patches` for records that end at `stops` in `text`, which is `size` bytes in UTF-8."""
    ends = np.empty(len(text) // patch_size + len(stops), np.int64)
    symbols = np.empty(size + len(ends), np.uint32)
    records = np.empty(len(stops), np.int64)
    keys, ranks, counts = np.empty(patch_size, np.int64), np.empty(patch_size, np.int64), np.empty(1024, np.int64)
    n = at = start = 0
    for record in range(len(stops)):
        while start < stops[record]:
            stop = min(start + patch_size, stops[record])
            order = keys[: stop - start]
            _sort_suffixes(text[start:stop], order, ranks, counts)
            run, count = text[stop - 1] + 1, 1  # the rotation that starts with the sentinel
            for key in order:
                place = key & 0xFF
                code = text[start + place - 1] + 1 if place else 0
                if code == run:
                    count += 1
                    continue
                at = _write_run(symbols, at, run, count)
                run, count = code, 1
            at = _write_run(symbols, at, run, count)
            ends[n] = at
            n += 1
            start = stop
        records[record] = n
    return symbols[:at].copy(), ends[:n].copy(), records


@njit(cache=True)
def _text_size(symbols: Codes, stops: Ends, max_length: int) -> int:
    """Return an upper bound on the characters of all records, or -1 if one record is over `max_length`."""
    total = start = 0
    for stop in stops:
        size = 0
        for symbol in symbols[start:stop]:
            if symbol > SENTINEL:
                size += symbol - SENTINEL  # a run of n adds n - 1 characters to the one that follows
            elif symbol < SENTINEL and symbol & 0xC0 != 0x80:
                size += 1
        if size > max_length:
            return -1
        total += size
        start = stop
    return total


@njit(cache=True)
def _read_run(symbols: Codes, at: int, stop: int) -> tuple[int, int, int, int]:
    """Return where the run at `at` ends (-1 if it is no run), its code + 1, its count, and the bytes of its code."""
    none = (-1, 0, 0, 0)
    count = 1
    if symbols[at] > SENTINEL:
        count = symbols[at] - 255
        at += 1
        if at == stop:
            return none
    lead = symbols[at]
    if lead < 0x80:
        return at + 1, lead + 1, count, 1
    if lead >= SENTINEL:
        return (at + 1, 0, 1, 0) if lead == SENTINEL and count == 1 else none
    width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or lead > 0xF4 or at + width > stop:
        return none
    code = lead & (0x7F >> width)
    for i in range(1, width):
        byte = symbols[at + i]
        if byte >= SENTINEL or byte & 0xC0 != 0x80:
            return none
        code = code << 6 | byte & 0x3F
    if code < (0x80, 0x800, 0x10000)[width - 2] or code > 0x10FFFF:
        return none
    return at + width, code + 1, count, width


@njit(cache=True)
def _add_run(symbols: Codes, at: int, stop: int, column: Codes, rows: int, sentinel: bool) -> tuple[int, int, int, int]:
    """Read the run at `at` into `column[rows:]`; return as `_read_run` does, with -1 also if it cannot follow there."""
    end, code, count, width = _read_run(symbols, at, stop)
    with_sentinel = sentinel or code == 0  # without a sentinel so far, one row stays free for it
    full = rows + count > len(column) - (not with_sentinel)
    if end < 0 or full or (sentinel and code == 0) or (rows > 0 and column[rows - 1] == code):
        return -1, 0, 0, 0
    column[rows : rows + count] = code
    return end, code, count, width


@njit(cache=True)
def _invert_column(column: Codes, keys: Ends, text: Codes) -> bool:
    """Write the patch (n,) whose transform is `column` (n + 1,) into `text`; return whether there is one.

    A stable sort of the column maps each rotation to the one that starts a character later. A column with one sentinel
    is a transform if and only if this permutation is a single cycle.
    """
    rows = len(column)
    for row in range(rows):
        keys[row] = np.int64(column[row]) << 9 | row
    _sort(keys[:rows])
    at = keys[0] & 0x1FF
    for i in range(rows - 1):
        at = keys[at] & 0x1FF
        if column[at] == 0:
            return False
        text[i] = column[at] - 1
    return True


@njit(cache=True)
def _invert(symbols: Codes, stops: Ends, patch_size: int, max_length: int, size: int) -> tuple[Codes, Ends, int]:
    """Return the characters of all records, where each record ends, and the start of an invalid patch or -1.

    The symbols of record i end at `stops[i]`. `size` is an upper bound on the characters of all records.
    """
    text = np.empty(size, np.int32)
    text_stops = np.empty(len(stops), np.int64)
    column, keys = np.empty(patch_size + 1, np.int32), np.empty(patch_size + 1, np.int64)
    n = at = 0
    for record in range(len(stops)):
        room = max_length
        while at < stops[record]:
            start, rows, sentinel = at, 0, False
            while at < stops[record] and not (sentinel and rows == len(column)):
                at, code, count, width = _add_run(symbols, at, stops[record], column, rows, sentinel)
                room -= count * width
                if at < 0 or room < 0:
                    return text, text_stops, start
                rows += count
                sentinel = sentinel or code == 0
            if not sentinel or rows == 1 or not _invert_column(column[:rows], keys, text[n:]):
                return text, text_stops, start
            n += rows - 1
        text_stops[record] = n
    return text[:n], text_stops, -1


@njit(cache=True)
def _prefixes(symbols: Codes, patch_size: int, max_length: int) -> NDArray[np.int64]:
    """Return every k for which `_invert` accepts `symbols[:k]`."""
    found = np.zeros(len(symbols) + 1, np.int64)
    text = np.empty(patch_size, np.int32)
    column, keys = np.empty(patch_size + 1, np.int32), np.empty(patch_size + 1, np.int64)
    n, at, room = 1, 0, max_length
    rows, sentinel = 0, False
    while at < len(symbols):
        at, code, count, width = _add_run(symbols, at, len(symbols), column, rows, sentinel)
        room -= count * width
        if at < 0 or room < 0:
            break
        rows += count
        sentinel = sentinel or code == 0
        valid = sentinel and rows > 1 and _invert_column(column[:rows], keys, text)
        if valid:
            found[n] = at
            n += 1
        if sentinel and rows == len(column):
            if not valid:
                break
            rows, sentinel = 0, False
    return found[:n].copy()
