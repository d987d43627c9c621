"""Pixels <-> quantised levels of a block cosine transform, in integers alone: every machine computes the same.

Samples and coefficients are in 1/16 of a grey level, transform matrices in 1/8192. Luma and alpha are cut into 8x8
blocks. Chroma (full-range BT.601) is cut into 16x16 blocks of which the 8x8 lowest frequencies are kept: subsampling
by two, done inside the transform. Blocks at the right and lower edge are as small as what is left, and so is their
transform: nothing is padded. A tile is what shares chroma: up to 16x16 pixels of colour or 8x8 of grey.

Rounding and clipping to 0..255 move coefficients. So that encoding a decoded image changes nothing, `analyse`
decodes and encodes each tile until its levels are their own encoding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Ends

UNIT = 16  # samples and coefficients are in 1/16 of a grey level
SHIFT = 13  # transform matrices are in 1/8192
LIMIT = 1 << 16  # no record's coefficient is beyond 16 * 255 * UNIT; hostile ones are clipped here, below overflow
PATIENCE = 16  # rounds before a tile that does not settle loses contrast; 99 % of the tiles of photographs need 2
ROUNDS = 64  # an eighth a round: enough for the largest level to reach 0
SLOPE = 0.08  # how much coarser the step is per frequency, so that high ones cost less: 3 % fewer ids at equal PSNR
DC_STEP = 0.7  # means of blocks are quantised finer than the rest: banding is what the eye sees first

Pixels = NDArray[np.uint8]  # (h, w, channels)
Levels = NDArray[np.int16]  # (blocks, k * k), zig-zag; the first of a block is relative to its plane's base
Integers = NDArray[np.int32]


class Plane(NamedTuple):
    """How one kind of plane is cut, transformed and quantised."""

    side: int  # pixels in a block's side
    kept: NDArray[np.int64]  # (side + 1,), frequencies kept of n samples
    forward: Integers  # (side + 1, side, k), of n samples to their frequencies
    inverse: Integers  # (side + 1, k, side)
    steps: Integers  # (k * k,), in zig-zag order
    order: Integers  # (k * k,), zig-zag position -> place in a row-major block


def make_plane(side: int, kept: int, step: float, *, flat: bool) -> Plane:
    """Return the plane of `side` x `side` blocks of which `kept` x `kept` frequencies stay; `step` in grey levels.

    The step grows with the frequency unless `flat`. That of the mean is never below 1.25 grey levels, which makes a
    flat tile its own encoding whatever the rounding of its colour.
    """
    sizes = np.arange(side + 1)
    lowest = np.minimum(kept, -(-sizes * min(8, side) // side))
    forward, inverse = np.zeros((side + 1, side, kept)), np.zeros((side + 1, kept, side))
    for n in sizes[1:]:
        u, x = np.arange(lowest[n])[:, None], np.arange(n)
        basis = np.sqrt(np.where(u, 2, 1) / n) * np.cos((2 * x + 1) * u * np.pi / (2 * n))
        # A smaller block's coefficients are scaled to those of a whole one, so that a mean has one step everywhere.
        forward[n, :n, : lowest[n]] = basis.T * np.sqrt(side / n)
        inverse[n, : lowest[n], :n] = basis * np.sqrt(n / side)
    frequency = np.arange(kept)[:, None]
    diagonal = frequency + frequency.T
    steps = UNIT * step * (1 + (0 if flat else SLOPE * 8 / side) * diagonal)
    steps[0, 0] = UNIT * max(step * DC_STEP, 1.25 * side)
    # Diagonals alternate their direction, as in JPEG.
    row = np.broadcast_to(frequency, diagonal.shape)
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel())).astype(np.int32)
    whole = np.rint(steps).astype(np.int32).ravel()[order]
    return Plane(side, lowest, _integers(forward), _integers(inverse), whole, order)


def _integers(matrix: NDArray[np.float64]) -> Integers:
    return np.rint(matrix * (1 << SHIFT)).astype(np.int32)


def grids(shape: tuple[int, ...], chroma_side: int) -> NDArray[np.int64]:
    """Return the rows and columns of blocks (planes, 2) of an image of (h, w, channels): Y, Cb, Cr and A as needed."""
    height, width, channels = shape
    sides = np.array([8] if channels == 1 else [8, chroma_side, chroma_side, 8][:channels], np.int64)
    return np.stack([-(-height // sides), -(-width // sides)], 1)


@njit(cache=True)
def analyse(image: Pixels, luma: Plane, chroma: Plane, grid: Ends, levels: Levels, bases: Ends) -> None:
    """Fill `levels` and `bases` (planes,) with the encoding of `image`; `grid` is from `grids`."""
    _analyse(image[:, :, :3], luma, chroma, grid[:3], levels, bases[:3])
    if image.shape[2] == 4:
        start = (grid[:3, 0] * grid[:3, 1]).sum()
        _analyse(image[:, :, 3:], luma, chroma, grid[3:], levels[start:], bases[3:])


@njit(cache=True)
def synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    """Fill `image` with what `levels` and `bases` stand for."""
    _synthesise(levels, bases[:3], luma, chroma, grid[:3], image[:, :, :3])
    if image.shape[2] == 4:
        start = (grid[:3, 0] * grid[:3, 1]).sum()
        _synthesise(levels[start:], bases[3:], luma, chroma, grid[3:], image[:, :, 3:])


@njit(cache=True)
def _analyse(image: Pixels, luma: Plane, chroma: Plane, grid: Ends, levels: Levels, bases: Ends) -> None:
    height, width, channels = image.shape
    side = luma.side if channels == 1 else chroma.side
    places = np.empty((side // 8) ** 2 + channels - 1, np.int64)
    tile = np.zeros((len(places), levels.shape[1]), np.int16)
    decoded = np.empty((side, side, channels), np.uint8)
    for y in range(0, height, side):
        for x in range(0, width, side):
            pixels = image[y : y + side, x : x + side]
            _locate(y // side, x // side, side, grid, places)
            _settle(pixels, luma, chroma, bases, y + x == 0, decoded[: len(pixels), : pixels.shape[1]], tile)
            for b in range(len(places)):
                if places[b] >= 0:
                    levels[places[b]] = tile[b]


@njit(cache=True)
def _synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    height, width, channels = image.shape
    side = luma.side if channels == 1 else chroma.side
    places = np.empty((side // 8) ** 2 + channels - 1, np.int64)
    tile = np.zeros((len(places), levels.shape[1]), np.int16)
    for y in range(0, height, side):
        for x in range(0, width, side):
            _locate(y // side, x // side, side, grid, places)
            for b in range(len(places)):
                if places[b] >= 0:
                    tile[b] = levels[places[b]]
            _paint(tile, bases, luma, chroma, image[y : y + side, x : x + side])


@njit(cache=True)
def _locate(y: int, x: int, side: int, grid: Ends, places: Ends) -> None:
    """Fill `places` with the index in `levels` of each block of tile (y, x), -1 for luma blocks beyond the image."""
    across = side // 8
    for b in range(across * across):
        row, column = y * across + b // across, x * across + b % across
        inside = row < grid[0, 0] and column < grid[0, 1]
        places[b] = row * grid[0, 1] + column if inside else -1
    start = grid[0, 0] * grid[0, 1]
    for b in range(across * across, len(places)):
        places[b] = start + y * grid[1, 1] + x
        start += grid[1, 0] * grid[1, 1]


@njit(cache=True)
def _settle(
    pixels: Pixels, luma: Plane, chroma: Plane, bases: Ends, first: bool, decoded: Pixels, tile: Levels
) -> None:
    """Fill `tile` with levels that decode to near `pixels` and are the levels of what they decode to."""
    before = bases.copy()
    again = tile.copy()
    _measure(pixels, luma, chroma, bases, first, tile)
    for attempt in range(ROUNDS):
        _paint(tile, bases, luma, chroma, decoded)
        _measure(decoded, luma, chroma, bases, first, again)
        if _move(again, tile) + _move(bases.reshape(1, -1), before.reshape(1, -1)) == 0:
            return
        if attempt >= PATIENCE:
            _soften(tile)
    _flatten(luma, chroma, bases, first, tile)


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
    tile[:, 1:] = 0
    level = luma.side * UNIT
    blocks = len(tile) - len(bases) + 1
    if first:
        bases[0] = min(max(bases[0], -32), 32)
        bases[1:] = 0
        tile[:, 0] = 0
        return
    brightness = min(max(bases[0] * level + tile[0, 0] * np.int64(luma.steps[0]), -32 * level), 32 * level)
    tile[:blocks, 0] = _nearest(brightness - bases[0] * level, luma.steps[0])
    for p in range(1, len(bases)):
        tile[blocks + p - 1, 0] = _nearest(-bases[p] * chroma.side * UNIT, chroma.steps[0])


@njit(cache=True)
def _measure(pixels: Pixels, luma: Plane, chroma: Plane, bases: Ends, first: bool, tile: Levels) -> None:
    """Fill `tile` with the levels of `pixels`; set `bases` if the tile is the `first`."""
    height, width, planes = pixels.shape
    samples = _to_samples(pixels)
    across = 1 if planes == 1 else chroma.side // 8
    for b in range(across * across):
        y, x = 8 * (b // across), 8 * (b % across)
        if y < height and x < width:
            block = samples[0, y : y + 8, x : x + 8]
            _quantise(_forward(block, luma), luma, bases, 0, first and b == 0, tile[b])
    for p in range(1, planes):
        _quantise(_forward(samples[p], chroma), chroma, bases, p, first, tile[across * across + p - 1])


@njit(cache=True)
def _paint(tile: Levels, bases: Ends, luma: Plane, chroma: Plane, pixels: Pixels) -> None:
    """Fill `pixels` with what the levels in `tile` stand for."""
    height, width, planes = pixels.shape
    samples = np.zeros((planes, height, width), np.int32)
    across = 1 if planes == 1 else chroma.side // 8
    for b in range(across * across):
        y, x = 8 * (b // across), 8 * (b % across)
        if y < height and x < width:
            _inverse(tile[b], bases[0], luma, samples[0, y : y + 8, x : x + 8])
    for p in range(1, planes):
        _inverse(tile[across * across + p - 1], bases[p], chroma, samples[p])
    _to_pixels(samples, pixels)


@njit(cache=True)
def _forward(samples: Integers, plane: Plane) -> Integers:
    """Return the coefficients (k, k) of a block of samples."""
    height, width = samples.shape
    rows, columns = plane.kept[height], plane.kept[width]
    down, along = plane.forward[height], plane.forward[width]
    half = 1 << (SHIFT - 1)
    coefficients = np.zeros((along.shape[1], along.shape[1]), np.int32)
    row = np.empty(width, np.int32)
    for u in range(rows):
        row[:] = half
        for i in range(height):
            weight = down[i, u]
            for j in range(width):
                row[j] += weight * samples[i, j]
        for j in range(width):
            sample = row[j] >> SHIFT
            for v in range(columns):
                coefficients[u, v] += sample * along[j, v]
        for v in range(columns):
            coefficients[u, v] = (coefficients[u, v] + half) >> SHIFT
    return coefficients


@njit(cache=True)
def _inverse(levels: Levels, base: int, plane: Plane, samples: Integers) -> None:
    """Add to `samples`, which are 0, those of the levels of one block."""
    height, width = samples.shape
    down, along = plane.inverse[height], plane.inverse[width]
    side = len(along)
    half = 1 << (SHIFT - 1)
    rows = np.zeros((side, width), np.int32)
    for position in range(side * side):
        if levels[position] or position == 0:
            value = np.int64(levels[position]) * plane.steps[position]
            if position == 0:
                value += base * plane.side * UNIT
            weight = np.int32(min(max(value, -LIMIT), LIMIT))
            u, v = plane.order[position] // side, plane.order[position] % side
            for j in range(width):
                rows[u, j] += weight * along[v, j]
    for u in range(plane.kept[height]):
        for j in range(width):
            rows[u, j] = min(max((rows[u, j] + half) >> SHIFT, -LIMIT), LIMIT)
        if np.any(rows[u]):
            for i in range(height):
                weight = down[u, i]
                for j in range(width):
                    samples[i, j] += weight * rows[u, j]
    for i in range(height):
        for j in range(width):
            samples[i, j] = (samples[i, j] + half) >> SHIFT


@njit(cache=True)
def _quantise(coefficients: Integers, plane: Plane, bases: Ends, p: int, first: bool, levels: Levels) -> None:
    """Fill `levels` with the quantised coefficients; the mean of a `first` block becomes the plane's base.

    The dead zone grows from 9/16 to 7/8 of a step with the zeros before, for a 1 after many zeros costs most:
    2 % fewer ids at equal PSNR.
    """
    flat = coefficients.ravel()
    unit = plane.side * UNIT
    if first:
        bases[p] = min(max(_nearest(flat[0], unit), -128), 127)
        levels[0] = 0
    else:
        levels[0] = _nearest(flat[0] - bases[p] * unit, plane.steps[0])
    run = 0
    for position in range(1, len(levels)):
        step = plane.steps[position]
        value = flat[plane.order[position]]
        size = abs(value)
        if 32 * size < step * (18 + min(run, 10)):
            levels[position] = 0
            run += 1
        else:
            level = max((16 * size + 7 * step) // (16 * step), 1)
            levels[position] = level if value > 0 else -level
            run = 0


@njit(cache=True)
def _nearest(value: int, step: int) -> int:
    return (2 * value + step) // (2 * step)


@njit(cache=True)
def _to_samples(pixels: Pixels) -> Integers:
    """Return Y, or Y Cb Cr, (planes, height, width) int32 around 0; weights in 1/65536."""
    height, width, planes = pixels.shape
    samples = np.empty((planes, height, width), np.int32)
    for i in range(height):
        for j in range(width):
            if planes == 1:
                samples[0, i, j] = (np.int32(pixels[i, j, 0]) - 128) * UNIT
            else:
                r, g, b = np.int32(pixels[i, j, 0]), np.int32(pixels[i, j, 1]), np.int32(pixels[i, j, 2])
                samples[0, i, j] = ((19595 * r + 38470 * g + 7471 * b + 2048) >> 12) - 128 * UNIT
                samples[1, i, j] = (-11058 * r - 21710 * g + 32768 * b + 2048) >> 12
                samples[2, i, j] = (32768 * r - 27439 * g - 5329 * b + 2048) >> 12
    return samples


@njit(cache=True)
def _to_pixels(samples: Integers, pixels: Pixels) -> None:
    """Fill `pixels` with the inverse of `_to_samples`, rounded and clipped; weights in 1/16384."""
    planes, height, width = samples.shape
    bound = 1024 * UNIT
    for i in range(height):
        for j in range(width):
            y = ((min(max(samples[0, i, j], -bound), bound) + 128 * UNIT) << 14) + (1 << 17)
            if planes == 1:
                pixels[i, j, 0] = min(max(y >> 18, 0), 255)
            else:
                cb = min(max(samples[1, i, j], -bound), bound)
                cr = min(max(samples[2, i, j], -bound), bound)
                pixels[i, j, 0] = min(max((y + 22970 * cr) >> 18, 0), 255)
                pixels[i, j, 1] = min(max((y - 5638 * cb - 11700 * cr) >> 18, 0), 255)
                pixels[i, j, 2] = min(max((y + 29032 * cb) >> 18, 0), 255)
