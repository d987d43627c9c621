"""`image/dct`: 8-bit images as a quantised block DCT, with levels in zigzag scan order and runs of zeros.

The symbols of an image are a header, then the planes Y, Cb, Cr, A, each as rows of blocks:

- header: channels (0 for a grey image without channel axis, else 3 or 4), height, width, as numbers;
- a plane's first block begins with one byte of the base, the image's first colour: red, green, blue, alpha in turn;
- every other block begins with its mean, in quantisation steps from the base, minus the average of the means of its
  left and upper neighbours;
- then comes one symbol per non-zero level: the run of zeros before it (0 to 15) and its value. A block has no end mark;
  the mean of the next block ends it.

Numbers are LEB128: seven bits a symbol, lowest first; the eighth bit says that more follow. Differences of means from
-31 to 31 and levels from -3 to 3 take one symbol; a larger one takes an escape symbol and the rest as a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numba import carray  # type: ignore[attr-defined]  # which its types leave out
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option, check_unmasked
from ult.codecs.dct.blocks import Bits, Levels, Plane, make_plane, nonzero, workspace
from ult.codecs.dct.colour import bases_of, colour_of
from ult.codecs.dct.grammar import (
    FAR_LEVEL,
    FAR_MEAN,
    LARGEST,
    LEVEL,
    MAX_PATCH,
    MEAN,
    ZEROS,
    ImageGrammar,
    Limits,
)
from ult.codecs.dct.simd import lowest, ones, pointer
from ult.codecs.dct.transform import analyse, grids, synthesise
from ult.codecs.patches import Ends, Patches, Symbols
from ult.errors import CorruptSymbols, InvalidRecord
from ult.host.kernel import njit

MAX_BLOCK = 196  # symbols: 4 of the mean, 3 for each of 63 levels, 3 of ZEROS at most

Image = NDArray[np.uint8]  # (h, w), (h, w, 3) or (h, w, 4)


class ImageDct(Codec[Image]):
    """Lossy codec of uint8 images: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA.

    `quality` from 1 to 100 sets the quantisation step, which halves every 12.5: 64 grey levels at 50, 4 at 100.
    `coefficients` below 8 keeps only that many low frequencies per block side, with equal steps and no chroma
    subsampling; the papers keep 3. `max_length` is in samples, h * w * channels. Constant images are kept exactly.

    >>> codec = ImageDct()
    >>> grey = np.full((3, 20), 77, np.uint8)
    >>> codec.encode(grey).symbols
    array([  0,   3,  20,  77, 288, 288], dtype=uint32)
    >>> bool((codec.decode(codec.encode(grey).symbols) == grey).all())
    True
    """

    id: ClassVar[str] = "image/dct"
    modality: ClassVar[str] = "image"
    lossless: ClassVar[bool] = False
    alphabet = ZEROS + 1
    max_patch = MAX_PATCH

    def __init__(self, *, quality: int = 50, coefficients: int = 8, max_length: int = 2**26) -> None:
        check_option("quality", quality, 1, 100)
        check_option("coefficients", coefficients, 1, 8)
        check_option("max_length", max_length, 1, 2**32)
        self.quality, self.coefficients, self.max_length = quality, coefficients, max_length
        # A plane of s samples has at most s / 8 + 1 blocks; images of one row reach that.
        self.max_symbols = MAX_BLOCK * (max_length // 8 + 4) + 16
        step = 4 * 2 ** ((100 - quality) / 12.5)
        papers = coefficients < 8
        self._luma = make_plane(8, coefficients, step, flat=papers)
        self._chroma = self._luma if papers else make_plane(16, coefficients, step, flat=False)

    def encode(self, record: Image) -> Patches:
        """Return the patches, which are runs of whole blocks; raise `InvalidRecord` if `record` is no such image."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[Image]) -> Patches:
        """Return the patches of several images by one compiled call: each call costs as much as 16x16 pixels."""
        images = [np.ascontiguousarray(self._pixels(record)) for record in records]
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 3)
        # Pass addresses: for read-only arrays Numba would compile the loops a second time.
        addresses = np.array([image.ctypes.data for image in images], np.uintp)
        return Patches(*_encode(addresses, shapes, self._luma, self._chroma))

    def decode(self, symbols: Symbols) -> Image:
        """Return the image; raise `CorruptSymbols` unless the symbols spell all its blocks and no more."""
        symbols = self._check(symbols)
        shape, grid, levels, colour, good = self._read(symbols)
        if not good[-1]:
            raise CorruptSymbols(f"{len(symbols)} symbols do not spell the {len(levels)} blocks of an image")
        image = np.empty((shape[0], shape[1], shape[2] or 1), np.uint8)
        synthesise(levels, bases_of(colour), self._luma, self._chroma, grid, image)
        return image if shape[2] else image[:, :, 0]

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k that ends the mean or a non-zero level of the last block."""
        symbols = self._check(symbols)
        try:
            return np.flatnonzero(self._read(symbols)[-1])
        except CorruptSymbols:
            return np.empty(0, np.int64)

    def nbytes(self, record: Image) -> int:
        """Return the number of samples, one byte each."""
        return self._pixels(record).size

    def config(self) -> dict[str, Any]:
        """Return `quality`, `coefficients` and `max_length`."""
        return {"quality": self.quality, "coefficients": self.coefficients, "max_length": self.max_length}

    def grammar(self, values: int = 0) -> ImageGrammar:
        """Return the grammar of a header and the blocks that it announces."""
        return ImageGrammar(Limits(self.coefficients**2, self._chroma.side, self.max_length, self.max_symbols))

    def _pixels(self, record: Image) -> Image:
        """Return `record` as (h, w, channels)."""
        if not isinstance(record, np.ndarray) or record.dtype != np.uint8:
            kind = record.dtype if isinstance(record, np.ndarray) else type(record).__name__
            raise InvalidRecord(f"image is {kind}; expected a uint8 array")
        check_unmasked(record)
        if record.ndim not in (2, 3) or record.shape[2:] not in ((), (3,), (4,)) or record.size == 0:
            raise InvalidRecord(f"image is {record.shape}; expected (h, w), (h, w, 3) or (h, w, 4), none 0")
        if record.size > self.max_length:
            raise InvalidRecord(f"image has {record.size} samples; expected at most {self.max_length}")
        return record[:, :, None] if record.ndim == 2 else record

    def _read(self, symbols: Symbols) -> tuple[tuple[int, ...], Ends, Levels, Image, NDArray[np.bool_]]:
        """Return shape, grid, levels, base colour, and (n + 1,) bool: whether `symbols[:k]` are a whole image."""
        numbers, at = _header(symbols)
        channels, height, width = numbers
        samples = height * width * max(channels, 1)
        if channels not in (0, 3, 4) or not 0 < samples <= self.max_length:
            raise CorruptSymbols(
                f"header says {height} x {width} x {channels}; expected 1 to {self.max_length} samples"
            )
        grid = grids(height, width, max(channels, 1), self._chroma.side)
        blocks = sum(rows * columns for rows, columns in grid.tolist())
        if len(symbols) - at < blocks:  # checked before anything of that size is allocated
            raise CorruptSymbols(f"{len(symbols) - at} symbols after the header; expected at least {blocks}")
        levels = np.zeros((blocks, self.coefficients**2), np.int16)
        colour = np.zeros(len(grid), np.uint8)
        good = np.zeros(len(symbols) + 1, np.bool_)
        _parse(symbols.astype(np.int64), at, grid, levels, colour, good)
        return (height, width, channels), grid, levels, colour, good


def _header(symbols: Symbols) -> tuple[list[int], int]:
    """Return [channels, height, width] and where the header ends; raise `CorruptSymbols` if it is incomplete."""
    numbers, at = [], 0
    start = symbols[:15].astype(np.int64)
    for _ in range(3):
        value, at = _read_number(start, at)
        if at < 0:
            raise CorruptSymbols(f"{len(symbols)} symbols do not begin with channels, height and width")
        numbers.append(int(value))
    return numbers, at


@njit(cache=True, _nrt=False)
def _read_number(symbols: Ends, at: int) -> tuple[int, int]:
    """Return the LEB128 number at `at` and where it ends, -1 if no number of at most 5 symbols starts there."""
    value = 0
    for digit in range(5):
        if at >= len(symbols) or symbols[at] > 255:
            return 0, -1
        value |= (int(symbols[at]) & 127) << 7 * digit
        at += 1
        if symbols[at - 1] < 128:
            return value, at
    return 0, -1


@njit(cache=True, _nrt=False)
def _read_signed(symbols: Ends, at: int, place: int, far: int) -> tuple[int, int]:
    """Return the value of symbol `place` of -far..far, and where it ends; -far and far are escapes to a number."""
    value = place - far
    if abs(value) < far:
        return value, at
    rest, at = _read_number(symbols, at)
    return (value + rest if value > 0 else value - rest), at


@njit(cache=True, _nrt=False)
def _write_signed(value: int, base: int, far: int, symbols: Symbols, at: int) -> int:
    """Write a value as one symbol from `base` on, followed by a number if it is `far` or more; return where it ends."""
    near: int = min(max(value, -far), far)
    symbols[at] = base + near + far
    at += 1
    if abs(near) == far:
        at = _write_number(abs(value - near), symbols, at)
    return at


@njit(cache=True, _nrt=False)
def _write_number(value: int, symbols: Symbols, at: int) -> int:
    while value > 127:
        symbols[at] = value & 127 | 128
        value >>= 7
        at += 1
    symbols[at] = value
    return at + 1


@njit(cache=True, _nrt=False)
def _expected(levels: Levels, block: int, columns: int, row: int, column: int) -> int:
    """Return the mean of a block as predicted from its left and upper neighbours, in steps."""
    if row and column:
        return (int(levels[block - 1, 0]) + int(levels[block - columns, 0])) >> 1
    if row + column == 0:
        return 0
    return int(levels[block - 1, 0] if column else levels[block - columns, 0])


@njit(cache=True)
def _encode(addresses: NDArray[np.uintp], shapes: Ends, luma: Plane, chroma: Plane) -> tuple[Symbols, Ends, Ends]:
    """Return symbols, ends of patches and ends of records of the contiguous images (h, w, c) at `addresses`."""
    blocks = samples = np.int64(0)
    for i in range(len(shapes)):
        height, width, channels = shapes[i]
        blocks = max(blocks, _blocks(grids(height, width, channels, chroma.side)))
        samples += height * width * channels
    # All images reuse the same memory: touching fresh pages costs more than a copy.
    memory, masks = np.empty((blocks, len(luma.steps)), np.int16), np.empty(blocks, np.uint64)
    work, again = workspace(True), workspace(False)
    symbols, ends = np.empty(samples // 8, np.uint32), np.empty(samples // MAX_PATCH // 8, np.int64)
    records = np.empty(len(shapes), np.int64)
    at = patches = np.int64(0)  # with Python constants Numba would compile the functions called below a second time
    for i in range(len(shapes)):
        height, width, channels = shapes[i]
        image = carray(pointer(addresses[i]), (height, width, channels))
        grid = grids(height, width, channels, chroma.side)
        levels = memory[: _blocks(grid)]
        bases = np.zeros(channels, np.int64)
        # Alpha is encoded as a grey image of its own.
        for first in range(0, channels, 3):
            planes = slice(first, min(first + 3, channels))
            part = image if channels < 4 else np.ascontiguousarray(image[:, :, planes])
            start = _blocks(grid[:first])
            analyse(part, luma, chroma, grid[planes], levels[start:], bases[planes], work, again)
        most = 15 + 8 * len(levels) + 3 * _mask(levels, masks)
        symbols = _grown(symbols, at, at + most)
        ends = _grown(ends, patches, patches + most // (MAX_PATCH - MAX_BLOCK) + 1)
        at, patches = _write(shapes[i], levels, masks, colour_of(bases), grid, symbols, at, ends, patches)
        records[i] = patches
    return symbols[:at], ends[:patches], records


@njit(cache=True)
def _blocks(grid: Ends) -> int:
    total = 0
    for plane in range(len(grid)):
        total += grid[plane, 0] * grid[plane, 1]
    return total


@njit(cache=True)
def _grown(array: Any, used: int, size: int) -> Any:
    """Return `array` if it has at least `size` items, else a larger array with its first `used` items."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(cache=True, _nrt=False)
def _mask(levels: Levels, masks: Bits) -> int:
    """Fill `masks` with `nonzero` of each block; return the number of non-zero levels."""
    total = np.uint64(0)
    for block in range(len(levels)):
        masks[block] = nonzero(levels[block])
        total += ones(masks[block])
    return int(total)


@njit(cache=True, _nrt=False)
def _write(
    shape: Ends,
    levels: Levels,
    masks: Bits,
    colour: Image,
    grid: Ends,
    symbols: Symbols,
    at: int,
    ends: Ends,
    patches: int,
) -> tuple[int, int]:
    """Write the symbols of an image from `at` on, and the ends of its patches; return the next free index of both."""
    start, block = at, 0
    for number in (shape[2] if shape[2] > 1 else 0, shape[0], shape[1]):
        at = _write_number(number, symbols, at)
    for plane in range(len(grid)):
        columns = grid[plane, 1]
        for row in range(grid[plane, 0]):
            for column in range(columns):
                begin = at
                if row + column == 0:
                    symbols[at] = colour[plane]
                    at += 1
                else:
                    difference = int(levels[block, 0]) - _expected(levels, block, columns, row, column)
                    at = _write_signed(difference, MEAN, FAR_MEAN, symbols, at)
                at = _write_block(levels[block], masks[block], symbols, at)
                if at - start > MAX_PATCH:
                    ends[patches] = start = begin
                    patches += 1
                block += 1
    ends[patches] = at
    return at, patches + 1


@njit(cache=True, _nrt=False)
def _write_block(levels: Levels, bits: np.uint64, symbols: Symbols, at: int) -> int:
    """Write the levels at the zigzag positions set in `bits`; return where they end."""
    last = np.int64(0)
    while bits:
        position = np.int64(lowest(bits))
        bits &= bits - np.uint64(1)
        run, value = position - last - 1, int(levels[np.uint64(position)])
        last = position
        while run > 15:
            symbols[np.uint64(at)] = ZEROS
            run -= 16
            at += 1
        # Levels are -4..-1 or 1..4. Of the places 0..8 of a signed value, 4 (zero) is unused, so 5..8 move down by one.
        base = LEVEL + 8 * run - (value > 0)
        if abs(value) < FAR_LEVEL:
            symbols[np.uint64(at)] = base + value + FAR_LEVEL
            at += 1
        else:
            at = _write_signed(value, base, FAR_LEVEL, symbols, at)
    return at


@njit(cache=True, _nrt=False)
def _parse(symbols: Ends, at: int, grid: Ends, levels: Levels, colour: Image, good: NDArray[np.bool_]) -> None:
    """Fill `levels` and `colour`, set `good` where an image ends, and stop at the first symbol that cannot follow."""
    block = 0
    for plane in range(len(grid)):
        columns = grid[plane, 1]
        for index in range(grid[plane, 0] * columns):
            if at >= len(symbols):
                return
            symbol = int(symbols[at])
            at += 1
            if index == 0:
                if symbol > 255:
                    return
                colour[plane] = symbol
            else:
                if not MEAN <= symbol < LEVEL:
                    return
                difference, at = _read_signed(symbols, at, symbol - MEAN, FAR_MEAN)
                mean = _expected(levels, block, columns, index // columns, index % columns) + difference
                if at < 0 or abs(mean) > LARGEST:
                    return
                levels[block, 0] = mean
            at = _parse_block(symbols, at, levels[block], good, block == len(levels) - 1)
            if at < 0:
                return
            block += 1


@njit(cache=True, _nrt=False)
def _parse_block(symbols: Ends, at: int, levels: Levels, good: NDArray[np.bool_], last: bool) -> int:
    """Fill `levels[1:]` and return where the block ends, -1 if invalid; mark possible ends of the `last` block."""
    position = 1
    zeros = False
    good[at] = last
    while at < len(symbols) and symbols[at] >= LEVEL:
        zeros = symbols[at] == ZEROS
        if zeros:
            position += 16
            at += 1
            continue
        place = int(symbols[at]) - LEVEL
        position += place // 8
        place = place % 8
        value, at = _read_signed(symbols, at + 1, place + (place >= FAR_LEVEL), FAR_LEVEL)
        if at < 0 or position >= len(levels) or abs(value) > LARGEST:
            return -1
        levels[position] = value
        position += 1
        good[at] = last
    return -1 if zeros else at
