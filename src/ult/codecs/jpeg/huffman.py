"""Huffman tables of JPEG: what a file says of one, in a form that is quick to read by; and those of the standard."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ult.codecs.jpeg.markers import refused
from ult.host.kernel import njit

Table = NDArray[np.int32]
LOOK = 9  # bits that are looked up at once
LEVELS, HIGHEST, DELTA, VALUES = 2**LOOK, 2 * 2**LOOK, 2 * 2**LOOK + 17, 2 * 2**LOOK + 34  # where the parts begin
SIZE = VALUES + 256


@lru_cache(maxsize=64)
def reading(definition: bytes) -> Table:
    """Return the table (SIZE,) of 16 counts of codes by length and their symbols; raise `InvalidRecord` if it is none.

    Entry i of the first is the symbol times 256 plus the length of the code with which the `LOOK` bits i begin, else 0.
    At LEVELS + i stands, if they hold the level behind the code too, that times 2^16, plus the run before it times 256,
    plus the bits of both, else 0. At HIGHEST + length stands the last code of a length, -1 if there is none, and at
    DELTA + length what, added to a code, is the place of its symbol, from VALUES on.
    """
    counts = np.frombuffer(definition[:16], np.uint8).astype(np.int64)
    symbols = np.frombuffer(definition[16:], np.uint8).astype(np.int64)
    table = np.zeros(SIZE, np.int32)
    if not _fill(counts, symbols, table):
        raise refused("JPEG has a Huffman table with more codes than there are")
    table.flags.writeable = False
    return table


@njit(cache=True, _nrt=False)
def _fill(counts: NDArray[np.int64], symbols: NDArray[np.int64], table: Table) -> bool:
    code, k = np.int64(0), np.int64(0)
    for length in range(1, 17):
        code <<= 1
        table[HIGHEST + length] = -1
        table[DELTA + length] = k - code
        for _ in range(counts[length - 1]):
            if code >= 1 << length:
                return False
            table[VALUES + k] = symbols[k]
            if length <= LOOK:
                first = code << (LOOK - length)
                table[first : first + (1 << (LOOK - length))] = symbols[k] << 8 | length
            table[HIGHEST + length] = code
            code, k = code + 1, k + 1
    for i in range(1 << LOOK):
        size, length = table[i] >> 8 & 15, table[i] & 255
        left = LOOK - length - size
        if size and left >= 0:
            level = i >> left & (1 << size) - 1
            level -= 0 if 2 * level >= 1 << size else (1 << size) - 1
            table[LEVELS + i] = level << 16 | table[i] >> 12 << 8 | length + size
    return True


def _definition(counts: str, symbols: str) -> bytes:
    return bytes(map(int, counts.split())) + bytes.fromhex(symbols)


# The tables of ITU-T T.81, K.3: of means and of other levels, of luma and of chroma
DC = (
    _definition("0 1 5 1 1 1 1 1 1 0 0 0 0 0 0 0", "000102030405060708090a0b"),
    _definition("0 3 1 1 1 1 1 1 1 1 1 0 0 0 0 0", "000102030405060708090a0b"),
)
AC = (
    _definition(
        "0 2 1 3 3 2 4 3 5 5 4 4 0 0 1 125",
        """01 02 03 00 04 11 05 12 21 31 41 06 13 51 61 07 22 71 14 32 81 91 a1 08 23 42 b1 c1 15 52 d1 f0 24 33 62 72
        82 09 0a 16 17 18 19 1a 25 26 27 28 29 2a 34 35 36 37 38 39 3a 43 44 45 46 47 48 49 4a 53 54 55 56 57 58 59
        5a 63 64 65 66 67 68 69 6a 73 74 75 76 77 78 79 7a 83 84 85 86 87 88 89 8a 92 93 94 95 96 97 98 99 9a a2 a3
        a4 a5 a6 a7 a8 a9 aa b2 b3 b4 b5 b6 b7 b8 b9 ba c2 c3 c4 c5 c6 c7 c8 c9 ca d2 d3 d4 d5 d6 d7 d8 d9 da e1 e2
        e3 e4 e5 e6 e7 e8 e9 ea f1 f2 f3 f4 f5 f6 f7 f8 f9 fa""",
    ),
    _definition(
        "0 2 1 2 4 4 3 4 7 5 4 4 0 1 2 119",
        """00 01 02 03 11 04 05 21 31 06 12 41 51 07 61 71 13 22 32 81 08 14 42 91 a1 b1 c1 09 23 33 52 f0 15 62 72 d1
        0a 16 24 34 e1 25 f1 17 18 19 1a 26 27 28 29 2a 35 36 37 38 39 3a 43 44 45 46 47 48 49 4a 53 54 55 56 57 58
        59 5a 63 64 65 66 67 68 69 6a 73 74 75 76 77 78 79 7a 82 83 84 85 86 87 88 89 8a 92 93 94 95 96 97 98 99 9a
        a2 a3 a4 a5 a6 a7 a8 a9 aa b2 b3 b4 b5 b6 b7 b8 b9 ba c2 c3 c4 c5 c6 c7 c8 c9 ca d2 d3 d4 d5 d6 d7 d8 d9 da
        e2 e3 e4 e5 e6 e7 e8 e9 ea f2 f3 f4 f5 f6 f7 f8 f9 fa""",
    ),
)


@lru_cache(maxsize=1)
def writing() -> NDArray[np.int64]:
    """Return the standard's code of each symbol, times 32, plus its length, (2 of luma, 2 of chroma, 256)."""
    codes = np.zeros((4, 256), np.int64)
    for row, definition in enumerate((DC[0], AC[0], DC[1], AC[1])):
        code = k = 0
        for length, count in enumerate(definition[:16], 1):
            code <<= 1
            for _ in range(count):
                codes[row, definition[16 + k]] = code << 5 | length
                code, k = code + 1, k + 1
    codes.flags.writeable = False
    return codes
