"""`image/dct`: images of 8 to 16 bits as a quantised block DCT, with levels in zigzag scan order and runs of zeros.

The symbols of an image are a header, then the planes Y, Cb, Cr, A, each as rows of blocks:

- header: channels (0 for a grey image without channel axis, else 3 or 4), height, width, as numbers;
- a plane's first block begins with one byte of the base, the image's first colour: red, green, blue, alpha in turn;
- every other block begins with its mean, in quantisation steps from the base, minus the average of the means of its
  left and upper neighbours;
- then comes one symbol per non-zero level: the run of zeros before it (0 to 15) and its value. A block has no end mark;
  the mean of the next block ends it.

Numbers are LEB128: seven bits a symbol, lowest first; the eighth bit says that more follow. Differences of means from
-31 to 31 and levels from -3 to 3 take one symbol; a larger one takes an escape symbol and the rest as a number.

With 9 to 16 bits every channel is a plane of its own, and its first block begins with its base as a number.

With `places` the same levels are written as symbols that say where they belong: see `ult.codecs.dct.placed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option, check_unmasked
from ult.codecs.dct import deep, layout, placed
from ult.codecs.dct.blocks import UNIT, Levels, Plane, make_plane, nearest, workspace
from ult.codecs.dct.colour import bases_of, colour_of
from ult.codecs.dct.grammar import MAX_PATCH, ZEROS, ImageGrammar, Limits
from ult.codecs.dct.in_c import Encoder, encoder
from ult.codecs.dct.layout import MOST_PLACES, Layout, make_layout
from ult.codecs.dct.placed import offsets_of, parse_placed, placed_room, relate, write_placed
from ult.codecs.dct.placed_grammar import PlacedGrammar, PlacedLimits
from ult.codecs.dct.simd import carray, pointer
from ult.codecs.dct.spelling import MAX_BLOCK, count_blocks, grown, mask, parse, read_header, room, write
from ult.codecs.dct.transform import analyse, grids, synthesise
from ult.codecs.grammar import Grammar
from ult.codecs.patches import Ends, Patches, Symbols
from ult.errors import CorruptSymbols, InvalidRecord
from ult.host.kernel import njit

Image = NDArray[Any]  # (h, w), (h, w, 3) or (h, w, 4); uint8, or uint16 or int16 of more than 8 bits


class ImageDct(Codec[Image]):
    """Lossy codec of images: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or, with `bits`, of 9 to 16 bits.

    `quality` from 1 to 100 sets the quantisation step, which halves every 12.5: 64 stored values at 50, 4 at 100, and
    from 14 bits on twice as many with each bit. `coefficients` below 8 keeps only that many low frequencies per block
    side, with equal steps and no chroma subsampling; the papers keep 3. `max_length` is in samples, h * w * channels.
    Constant images are kept exactly; `error_bound` says by how much another one changes.

    With `bits` 9 to 16, images are uint16 or int16 and hold the stored values `low` to `high`, a window of 256 to
    2**bits values: by default 0 and 2**bits - 1. They decode to int16 if `low` is negative, else to uint16. A value
    outside the window is refused, or with `clip=1` becomes the nearer end of it; `clipped` counts those.

    With `places` 1 to 8 the same levels are written in other symbols: each says of which frequency it is, and each
    block in which of `places` x `places` parts of the image it lies. A model learns more from those. A table that is
    fitted by the codec's id takes 4; with 0 a level only says how many zeros precede it.

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
    preferred: ClassVar[Mapping[str, float]] = {"places": 4}
    alphabet = ZEROS + 1
    max_patch = MAX_PATCH

    def __init__(
        self,
        *,
        quality: int = 50,
        coefficients: int = 8,
        max_length: int = 2**26,
        bits: int = 8,
        low: int | None = None,
        high: int | None = None,
        clip: int = 0,
        places: int = 0,
    ) -> None:
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
        self.bits, self.clip = bits, clip
        self.low, self.high = deep.check_window(bits, low, high, clip)
        self._window = deep.make_window(self.low, self.high, coefficients, quality) if bits > 8 else None
        check_option("places", places, 0, MOST_PLACES)
        self.places = places
        self._layout = make_layout(places, coefficients, self._reach)
        if places:
            self.alphabet, self.max_patch = self._layout.alphabet, layout.MAX_PATCH
            self.max_symbols = layout.MAX_BLOCK * (max_length // 8 + 4) + layout.HEADER

    def encode(self, record: Image) -> Patches:
        """Return the patches, which are runs of whole blocks; raise `InvalidRecord` if `record` is no such image."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[Image]) -> Patches:
        """Return the patches of several images by one compiled call, in C where that was built."""
        if self._window:
            return Patches.concatenate([self._deep(self._pixels(record), self._window) for record in records])
        images = [np.ascontiguousarray(self._pixels(record)) for record in records]
        if self._encoder:
            return self._encoder.encode(images)
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 3)
        # Pass addresses: for read-only arrays Numba would compile the loops a second time.
        addresses = np.array([image.ctypes.data for image in images], np.uintp)
        return Patches(*_encode(addresses, shapes, self._luma, self._chroma, self._layout))

    def decode(self, symbols: Symbols) -> Image:
        """Return the image; raise `CorruptSymbols` unless the symbols spell all its blocks and no more."""
        symbols = self._check(symbols)
        shape, grid, levels, colour, good = self._read(symbols)
        if not good[-1]:
            raise CorruptSymbols(f"{len(symbols)} symbols do not spell the {len(levels)} blocks of an image")
        image = np.empty((shape[0], shape[1], shape[2] or 1), self._dtype)
        if self._window:
            deep.decoded(levels, colour, self._window, grid, image)
        else:
            synthesise(levels, bases_of(colour.astype(np.uint8)), self._luma, self._chroma, grid, image)
        return image if shape[2] else image[:, :, 0]

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k that ends the mean or a non-zero level of the last block."""
        symbols = self._check(symbols)
        try:
            return np.flatnonzero(self._read(symbols)[-1])
        except CorruptSymbols:
            return np.empty(0, np.int64)

    def nbytes(self, record: Image) -> int:
        """Return the number of bytes: one for each sample, two if `bits` are more than 8."""
        return self._pixels(record).size * self._dtype.itemsize

    def clipped(self, record: Image) -> int:
        """Return how many samples of `record` lie outside the window and so decode to an end of it."""
        if not self.clip:
            return 0
        return int(np.count_nonzero((record < self.low) | (record > self.high)))

    def error_bound(self, record: Image) -> int:
        """Return the most by which a sample of `record` changes, in stored values: the record is coded to see it."""
        once = self.decode(self.encode(record).symbols)
        return int(np.abs(once.astype(np.int64) - record).max())

    def config(self) -> dict[str, Any]:
        """Return `quality`, `coefficients` and `max_length`, of more than 8 bits the window, and `places` unless 0."""
        found = {"quality": self.quality, "coefficients": self.coefficients, "max_length": self.max_length}
        if self.bits > 8:
            found |= {"bits": self.bits, "low": self.low, "high": self.high, "clip": self.clip}
        return found | ({"places": self.places} if self.places else {})

    def grammar(self, values: int = 0) -> Grammar[Any]:
        """Return the grammar of a header and the blocks that it announces."""
        if self.places:
            limits = PlacedLimits(self._chroma_side, self.max_length, self.max_symbols, self._highest or 255)
            return PlacedGrammar(self._layout, limits)
        return ImageGrammar(
            Limits(self.coefficients**2, self._chroma_side, self.max_length, self.max_symbols, self._highest)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: addresses are made anew."""
        return {name: value for name, value in vars(self).items() if name != "_encoder"}

    @cached_property
    def _encoder(self) -> Encoder | None:
        return encoder(self._luma, self._chroma, self._layout)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.bits == 8 else np.int16 if self.low < 0 else np.uint16)

    @property
    def _chroma_side(self) -> int:
        return 8 if self._window else self._chroma.side

    @property
    def _highest(self) -> int:
        """The largest base that is written as a number, 0 if bases are bytes."""
        return self.high - self.low if self._window else 0

    @property
    def _reach(self) -> int:
        """The largest mean of a block, in steps from the middle of the range."""
        if self._window:
            return deep.in_steps(self._window.width - 1, self._window)
        return nearest(128 * UNIT * self._luma.side, int(self._luma.steps[0]))  # type: ignore[no-any-return]

    def _pixels(self, record: Image) -> Image:
        """Return `record` as (h, w, channels)."""
        kinds = ("u2", "i2") if self._window else ("u1",)
        if not isinstance(record, np.ndarray) or record.dtype.str[1:] not in kinds:
            raise self._refused(record)
        check_unmasked(record)
        if record.ndim not in (2, 3) or record.shape[2:] not in ((), (3,), (4,)) or record.size == 0:
            raise InvalidRecord(f"image is {record.shape}; expected (h, w), (h, w, 3) or (h, w, 4), none 0")
        if record.size > self.max_length:
            raise InvalidRecord(f"image has {record.size} samples; expected at most {self.max_length}")
        if self._window and not self.clip and not self.low <= record.min() <= record.max() <= self.high:
            raise InvalidRecord(
                f"image has values from {record.min()} to {record.max()}; expected {self.low} to {self.high}",
                hint="fit with wider --option low= and high=, or with --option clip=1, which counts what it clips",
            )
        return record[:, :, None] if record.ndim == 2 else record

    def _refused(self, record: object) -> InvalidRecord:
        """Return the error for what is no array of this codec's type."""
        kind = record.dtype if isinstance(record, np.ndarray) else type(record).__name__
        if self._window:
            hint = "a table of 8 bits takes it" if str(kind) == "uint8" else ""
            return InvalidRecord(f"image is {kind}; expected a uint16 or int16 array", hint=hint)
        hint = {
            "uint16": "fit with --option bits=16, or with low= and high= too if the values are fewer",
            "int16": "fit with --option bits=16 --option low=-32768, or with a narrower window as low= and high=",
        }.get(str(kind), "")
        return InvalidRecord(f"image is {kind}; expected a uint8 array", hint=hint)

    def _deep(self, pixels: Image, window: deep.Window) -> Patches:
        """Return the patches of an image of more than 8 bits, (h, w, channels)."""
        height, width, channels = pixels.shape
        grid = grids(height, width, channels, 8)
        levels, bases = deep.encoded(pixels, window, grid)
        masks = np.empty(len(levels), np.uint64)
        nonzero, shape = mask(levels, masks), np.array(pixels.shape, np.int64)
        most, patches = placed_room(len(levels), nonzero) if self.places else room(len(levels), nonzero)
        symbols, ends = np.empty(most, np.uint32), np.empty(patches, np.int64)
        if self.places:
            offsets = np.array([deep.in_steps(base, window) for base in bases.tolist()])
            at, patches = write_placed(shape, levels, masks, bases, offsets, grid, self._layout, symbols, 0, ends, 0)
        else:
            at, patches = write(shape, levels, masks, bases, grid, symbols, 0, ends, 0, self._highest)
        return Patches(symbols[:at], ends[:patches], np.array([patches], np.int64))

    def _read(self, symbols: Symbols) -> tuple[tuple[int, ...], Ends, Levels, Ends, NDArray[np.bool_]]:
        """Return shape, grid, levels, base colour, and (n + 1,) bool: whether `symbols[:k]` are a whole image."""
        numbers, at = (placed.read_header if self.places else read_header)(symbols)
        channels, height, width = numbers
        samples = height * width * max(channels, 1)
        if channels not in (0, 3, 4) or not 0 < samples <= self.max_length:
            raise CorruptSymbols(
                f"header says {height} x {width} x {channels}; expected 1 to {self.max_length} samples"
            )
        grid = grids(height, width, max(channels, 1), self._chroma_side)
        blocks = sum(rows * columns for rows, columns in grid.tolist())
        least = blocks * (2 if self.places else 1)
        if len(symbols) - at < least:  # checked before anything of that size is allocated
            raise CorruptSymbols(f"{len(symbols) - at} symbols after the header; expected at least {least}")
        levels = np.zeros((blocks, self.coefficients**2), np.int16)
        colour = np.zeros(len(grid), np.int64)
        good = np.zeros(len(symbols) + 1, np.bool_)
        if self.places:
            parse_placed(symbols.astype(np.int64), at, grid, self._layout, self._highest or 255, levels, colour, good)
            if self._window:
                offsets = np.array([deep.in_steps(base, self._window) for base in colour.tolist()])
            else:
                offsets = offsets_of(bases_of(colour.astype(np.uint8)), self._luma, self._chroma)
            relate(levels, offsets, grid)
        else:
            parse(symbols.astype(np.int64), at, grid, levels, colour, good, self._highest)
        return (height, width, channels), grid, levels, colour, good


@njit(cache=True)
def _encode(
    addresses: NDArray[np.uintp], shapes: Ends, luma: Plane, chroma: Plane, form: Layout
) -> tuple[Symbols, Ends, Ends]:
    """Return symbols, ends of patches and ends of records of the contiguous images (h, w, c) at `addresses`."""
    blocks = samples = np.int64(0)
    for i in range(len(shapes)):
        height, width, channels = shapes[i]
        blocks = max(blocks, count_blocks(grids(height, width, channels, chroma.side)))
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
        levels = memory[: count_blocks(grid)]
        bases = np.zeros(channels, np.int64)
        # Alpha is encoded as a grey image of its own.
        for first in range(0, channels, 3):
            planes = slice(first, min(first + 3, channels))
            part = image if channels < 4 else np.ascontiguousarray(image[:, :, planes])
            start = count_blocks(grid[:first])
            analyse(part, luma, chroma, grid[planes], levels[start:], bases[planes], work, again)
        nonzero, colour = mask(levels, masks), colour_of(bases)
        most, more = placed_room(len(levels), nonzero) if form.places else room(len(levels), nonzero)
        symbols, ends = grown(symbols, at, at + most), grown(ends, patches, patches + more)
        if form.places:
            offsets = offsets_of(bases_of(colour), luma, chroma)
            at, patches = write_placed(
                shapes[i], levels, masks, colour.astype(np.int64), offsets, grid, form, symbols, at, ends, patches
            )
        else:
            at, patches = write(shapes[i], levels, masks, colour.astype(np.int64), grid, symbols, at, ends, patches, 0)
        records[i] = patches
    return symbols[:at], ends[:patches], records
