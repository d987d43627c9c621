"""Pixels <-> quantised levels of a block cosine transform, the same on every machine.

Samples and coefficients are whole numbers of 1/16 of a grey level, transform matrices of 1/8192. They lie in float64
and stay below 2**53, where sums and products are exact in any order.

Luma and alpha are cut into 8x8 blocks. Chroma (full-range BT.601) is cut into 16x16 blocks of which the 8x8 lowest
frequencies are kept: subsampling by two, done inside the transform. Blocks at the right and lower edge are as small
as what is left, and so is their transform: nothing is padded. A tile is what shares chroma: up to 16x16 pixels of
colour or 8x8 of grey.

Rounding and clipping to 0..255 move coefficients. So that encoding a decoded image changes nothing, `analyse`
decodes and encodes each tile until its levels are their own encoding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Ends
from ult.codecs.blocks import UNIT, Levels, Plane, Whole, dequantise, forward, inverse, nearest, quantise

PATIENCE = 16  # rounds before a tile that does not settle loses contrast; 99 % of the tiles of photographs settle in 2
STRIP = 8  # tiles side by side that are worked on at once: longer loops, and still in the cache
ROUNDS = 64  # an eighth a round: enough for the largest level to reach 0

Pixels = NDArray[np.uint8]  # (h, w, channels)


def grids(shape: tuple[int, ...], chroma_side: int) -> NDArray[np.int64]:
    """Return the rows and columns of blocks (planes, 2) of an image of (h, w, channels): Y, Cb, Cr and A as needed."""
    height, width, channels = shape
    sides = np.array([8] if channels == 1 else [8, chroma_side, chroma_side, 8][:channels], np.int64)
    return np.stack([-(-height // sides), -(-width // sides)], 1)


@njit(cache=True)
def analyse(image: Pixels, luma: Plane, chroma: Plane, grid: Ends, levels: Levels, bases: Ends) -> None:
    """Fill `levels` and `bases` (planes,) with the encoding of `image`; `grid` is from `grids`."""
    start = 0
    for at in range(0, image.shape[2], 3):  # alpha is a grey image of its own
        part = slice(at, at + 3)
        _analyse(image[:, :, part], luma, chroma, grid[part], levels[start:], bases[part])
        for rows, columns in grid[part]:
            start += rows * columns


@njit(cache=True)
def synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    """Fill `image` with what `levels` and `bases` stand for."""
    start = 0
    for at in range(0, image.shape[2], 3):
        part = slice(at, at + 3)
        _synthesise(levels[start:], bases[part], luma, chroma, grid[part], image[:, :, part])
        for rows, columns in grid[part]:
            start += rows * columns


@njit(cache=True)
def bases_of(colour: Pixels) -> Ends:
    """Return the bases (planes,), in 1/16 of a grey level, of a colour (channels,)."""
    bases = np.empty(len(colour), np.int64)
    for at in range(0, len(colour), 3):
        part = colour[at : at + 3]
        samples = np.empty((len(part), 1, 1))
        _to_samples(part.copy().reshape(1, 1, -1), samples)
        bases[at : at + 3] = samples[:, 0, 0].astype(np.int64)
    return bases


@njit(cache=True)
def colour_of(bases: Ends) -> Pixels:
    """Return the colour (channels,) nearest to the bases; the inverse of `bases_of`."""
    colour = np.empty(len(bases), np.uint8)
    for at in range(0, len(bases), 3):
        part = bases[at : at + 3]
        pixels = np.empty((1, 1, len(part)), np.uint8)
        _to_pixels(part.astype(np.float64).reshape(-1, 1, 1), pixels)
        colour[at : at + 3] = pixels[0, 0]
    return colour


@njit(cache=True)
def _analyse(image: Pixels, luma: Plane, chroma: Plane, grid: Ends, levels: Levels, bases: Ends) -> None:
    height, width, channels = image.shape
    side = luma.side if channels == 1 else chroma.side
    x, y = 0, 0
    while y < height:
        # The first tile is a strip of its own: the others need its bases.
        along = min(width - x, STRIP * side if x + y else side)
        pixels = image[y : y + side, x : x + along].copy()
        places = _locate(y, x, -(-along // side), side, grid)
        tiles = np.zeros((*places.shape, levels.shape[1]), np.int16)
        _settle(pixels, luma, chroma, bases, x + y == 0, tiles)
        for t, b in np.ndindex(places.shape):
            if places[t, b] >= 0:
                levels[places[t, b]] = tiles[t, b]
        x += along
        if x == width:
            x, y = 0, y + side


@njit(cache=True)
def _synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    height, width, channels = image.shape
    side = luma.side if channels == 1 else chroma.side
    for y in range(0, height, side):
        for x in range(0, width, STRIP * side):
            pixels = image[y : y + side, x : x + STRIP * side]
            places = _locate(y, x, -(-pixels.shape[1] // side), side, grid)
            tiles = np.zeros((*places.shape, levels.shape[1]), np.int16)
            for t, b in np.ndindex(places.shape):
                if places[t, b] >= 0:
                    tiles[t, b] = levels[places[t, b]]
            decoded = np.empty(pixels.shape, np.uint8)
            _paint(tiles, bases, luma, chroma, decoded)
            pixels[:] = decoded


@njit(cache=True)
def _locate(y: int, x: int, tiles: int, side: int, grid: Ends) -> NDArray[np.int64]:
    """Return the index in `levels` of each block (tiles, blocks) of a strip, -1 for luma blocks beyond the image."""
    across = side // 8
    places = np.empty((tiles, across * across + len(grid) - 1), np.int64)
    for t in range(tiles):
        for b in range(across * across):
            row, column = y // 8 + b // across, x // 8 + t * across + b % across
            inside = row < grid[0, 0] and column < grid[0, 1]
            places[t, b] = row * grid[0, 1] + column if inside else -1
        start = grid[0, 0] * grid[0, 1]
        for p in range(1, len(grid)):
            places[t, across * across + p - 1] = start + y // side * grid[p, 1] + x // side + t
            start += grid[p, 0] * grid[p, 1]
    return places


@njit(cache=True)
def _settle(pixels: Pixels, luma: Plane, chroma: Plane, bases: Ends, first: bool, tiles: Levels) -> None:
    """Fill `tiles` with levels that decode to near `pixels` and are the levels of what they decode to.

    A tile that has settled stays as it is while others of its strip do not.
    """
    before = bases.copy()
    again = np.zeros_like(tiles)  # blocks beyond the image stay 0
    moved = np.ones(len(tiles), np.bool_)
    decoded = np.empty(pixels.shape, np.uint8)
    _measure(pixels, luma, chroma, bases, first, again)
    for attempt in range(ROUNDS):
        if attempt:
            _measure(decoded, luma, chroma, bases, first, again)
        drift = attempt == 0
        for p in range(len(bases)):
            drift |= bases[p] != before[p]
            before[p] = bases[p]
        for t in range(len(tiles)):
            moved[t] = _move(again[t], tiles[t]) > 0 or drift
        if not moved.any():
            return
        if attempt > PATIENCE:
            for t in range(len(tiles)):
                if moved[t]:
                    _soften(tiles[t])
        _paint(tiles, bases, luma, chroma, decoded)
    for t in range(len(tiles)):
        if moved[t]:
            _flatten(luma, chroma, bases, first, tiles[t])


@njit(cache=True)
def _move(source: NDArray[Any], target: NDArray[Any]) -> int:
    """Write `source` (n, m) over `target` and return how many values that changed."""
    changed = 0
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            changed += source[i, j] != target[i, j]
            target[i, j] = source[i, j]
    return changed


@njit(cache=True)
def _soften(tile: Levels) -> None:
    """Take an eighth of the contrast, at least one step, from every frequency of a tile."""
    for b in range(len(tile)):
        for position in range(1, tile.shape[1]):
            size = abs(np.int64(tile[b, position]))
            size -= (size + 7) // 8
            tile[b, position] = size if tile[b, position] > 0 else -size


@njit(cache=True)
def _flatten(luma: Plane, chroma: Plane, bases: Ends, first: bool, tile: Levels) -> None:
    """Leave `tile` one grey level, within 32 of mid grey: its own encoding for certain.

    A flat tile has no other frequency, flat grey is not clipped, and a mean's step is too wide for rounding to cross.
    """
    brightness = np.int64(tile[0, 0]) * luma.steps[0] // luma.side
    tile[:] = 0
    bound = 32 * UNIT
    if first:
        bases[0] = min(max(nearest(bases[0], UNIT) * UNIT, -bound), bound)
        bases[1:] = 0
        return
    grey = min(max(bases[0] + brightness, -bound), bound)
    tile[: len(tile) - len(bases) + 1, 0] = nearest((grey - bases[0]) * luma.side, luma.steps[0])
    for p in range(1, len(bases)):
        tile[len(tile) - len(bases) + p, 0] = nearest(-bases[p] * chroma.side, chroma.steps[0])


@njit(cache=True)
def _measure(pixels: Pixels, luma: Plane, chroma: Plane, bases: Ends, first: bool, tiles: Levels) -> None:
    """Fill `tiles` (n, blocks, k * k) with the levels of a strip; set `bases` if it is the `first` tile."""
    height, width, planes = pixels.shape
    samples = np.empty((planes, height, width))
    _to_samples(pixels, samples)
    if first:
        bases[0] = nearest(int(samples[0, :8, :8].sum()), min(8, height) * min(8, width))
        for p in range(1, planes):
            bases[p] = nearest(int(samples[p].sum()), height * width)
        bases[:] = bases_of(colour_of(bases))
    side = luma.side if planes == 1 else chroma.side
    across = side // 8
    for b in range(0, across * across, across):
        y = 8 * (b // across)
        if y < height:
            blocks = forward(samples[0, y : y + 8], luma)
            for i in range(len(blocks)):
                quantise(blocks[i], luma, bases[0], tiles[i // across, b + i % across])
    for p in range(1, planes):
        blocks = forward(samples[p], chroma)
        for i in range(len(blocks)):
            quantise(blocks[i], chroma, bases[p], tiles[i, across * across + p - 1])
    if first:
        tiles[0, 0, 0] = 0
        tiles[0, across * across :, 0] = 0


@njit(cache=True)
def _paint(tiles: Levels, bases: Ends, luma: Plane, chroma: Plane, pixels: Pixels) -> None:
    """Fill `pixels`, a strip, with what the levels in `tiles` stand for."""
    height, width, planes = pixels.shape
    side = luma.side if planes == 1 else chroma.side
    across = side // 8
    samples = np.empty((planes, height, width))
    blocks = np.empty((-(-width // 8), 64))
    for b in range(0, across * across, across):
        y = 8 * (b // across)
        if y < height:
            for i in range(len(blocks)):
                dequantise(tiles[i // across, b + i % across], bases[0], luma, blocks[i])
            inverse(blocks, luma, samples[0, y : y + 8])
    for p in range(1, planes):
        for i in range(len(tiles)):
            dequantise(tiles[i, across * across + p - 1], bases[p], chroma, blocks[i])
        inverse(blocks, chroma, samples[p])
    _to_pixels(samples, pixels)


@njit(cache=True)
def _to_samples(pixels: Pixels, samples: Whole) -> None:
    """Fill `samples` (planes, h, w) with Y, or Y Cb Cr, around 0; weights in 1/65536, exact in float32."""
    height, width, planes = pixels.shape
    unit, half, mid = np.float32(2**-12), np.float32(0.5), np.float32(128 * UNIT)
    for i in range(height):
        row = pixels[i].reshape(-1)
        for j in range(width):
            if planes == 1:
                samples[0, i, j] = np.float32(row[j]) * np.float32(UNIT) - mid
        y, cb, cr = samples[0, i], samples[planes // 2, i], samples[planes - 1, i]
        for j in range(width if planes == 3 else 0):
            r, g, b = np.float32(row[3 * j]), np.float32(row[3 * j + 1]), np.float32(row[3 * j + 2])
            light = np.float32(19595) * r + np.float32(38470) * g + np.float32(7471) * b
            blue = np.float32(-11058) * r - np.float32(21710) * g + np.float32(32768) * b
            red = np.float32(32768) * r - np.float32(27439) * g - np.float32(5329) * b
            y[j] = np.floor(light * unit + half) - mid
            cb[j] = np.floor(blue * unit + half)
            cr[j] = np.floor(red * unit + half)


@njit(cache=True)
def _to_pixels(samples: Whole, pixels: Pixels) -> None:
    """Fill `pixels` with the inverse of `_to_samples`, rounded and clipped; weights in 1/16384."""
    height, width, planes = pixels.shape
    scale = 1 / (16384 * UNIT)
    for i in range(height):
        row = pixels[i].reshape(-1)
        y, cb, cr = samples[0, i], samples[planes // 2, i], samples[planes - 1, i]
        if planes == 1:
            for j in range(width):
                row[j] = _to_byte(y[j] / UNIT)
        else:
            for j in range(width):
                light = y[j] * 16384
                row[3 * j] = _to_byte((light + 22970 * cr[j]) * scale)
                row[3 * j + 1] = _to_byte((light - 5638 * cb[j] - 11700 * cr[j]) * scale)
                row[3 * j + 2] = _to_byte((light + 29032 * cb[j]) * scale)


@njit(cache=True)
def _to_byte(level: float) -> np.uint8:
    return np.uint8(np.int32(min(max(level + 128.5, 0.0), 255.0)))
