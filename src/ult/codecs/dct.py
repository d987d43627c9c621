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

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Ends

UNIT = 16  # samples and coefficients are in 1/16 of a grey level
SCALE = 2.0**-13  # transform matrices are in 1/8192
LIMIT = 2**16  # no record's coefficient is beyond 16 * 255 * UNIT; hostile ones are clipped here
PATIENCE = 16  # rounds before a tile that does not settle loses contrast; 99 % of the tiles of photographs settle in 2
ROUNDS = 64  # an eighth a round: enough for the largest level to reach 0
SLOPE = 0.08  # how much coarser the step is per frequency, so that high ones cost less: 2 % fewer ids at equal PSNR
DC_STEP = 0.7  # means of blocks are quantised finer than the rest: banding is what the eye sees first

Pixels = NDArray[np.uint8]  # (h, w, channels)
Levels = NDArray[np.int16]  # (blocks, k * k), zig-zag; the first of a block is relative to the base
Whole = NDArray[np.float64]  # whole numbers below 2**53


class Plane(NamedTuple):
    """How one kind of plane is cut, transformed and quantised."""

    side: int  # pixels in a block's side
    forward: Whole  # (side + 1, side, 8), of n samples to their frequencies
    inverse: Whole  # (side + 1, 8, side)
    steps: Ends  # (k * k,), in zig-zag order
    order: Ends  # (k * k,), zig-zag position -> place in a row-major block of 8x8


def make_plane(side: int, kept: int, step: float, *, flat: bool) -> Plane:
    """Return the plane of `side` x `side` blocks of which `kept` x `kept` frequencies stay; `step` in grey levels.

    The step grows with the frequency unless `flat`. That of the mean is never below 1.25 grey levels, which makes a
    flat tile its own encoding whatever the rounding of its colour.
    """
    sizes = np.arange(side + 1)
    lowest = np.minimum(kept, -(-sizes * min(8, side) // side))
    forward, inverse = np.zeros((side + 1, side, 8)), np.zeros((side + 1, 8, side))
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
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel()))
    whole = np.rint(steps).astype(np.int64).ravel()[order]
    order = order // kept * 8 + order % kept
    return Plane(side, np.rint(forward / SCALE), np.rint(inverse / SCALE), whole, order)


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
        _to_samples(part.reshape(1, 1, -1)[:1, :1], samples)
        bases[at : at + 3] = samples[:, 0, 0].astype(np.int64)
    return bases


@njit(cache=True)
def colour_of(bases: Ends) -> Pixels:
    """Return the colour (channels,) nearest to the bases; the inverse of `bases_of`."""
    colour = np.empty((1, 1, len(bases)), np.uint8)
    for at in range(0, len(bases), 3):
        part = bases[at : at + 3]
        _to_pixels(part.astype(np.float64).reshape(-1, 1, 1), colour[:1, :1, at : at + 3])
    return colour.ravel()


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
                    for position in range(tile.shape[1]):
                        levels[places[b], position] = tile[b, position]


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
                    for position in range(tile.shape[1]):
                        tile[b, position] = levels[places[b], position]
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
    again = np.zeros_like(tile)  # blocks beyond the image stay 0
    source = pixels
    for attempt in range(ROUNDS):
        _measure(source, luma, chroma, bases, first, again)
        changed = _move(again, tile)
        for p in range(len(bases)):
            changed += bases[p] != before[p]
            before[p] = bases[p]
        if attempt and not changed:
            return
        if attempt > PATIENCE:
            _soften(tile)
        _paint(tile, bases, luma, chroma, decoded)
        source = decoded
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
    brightness = np.int64(tile[0, 0]) * luma.steps[0] // luma.side
    tile[:] = 0
    bound = 32 * UNIT
    if first:
        bases[0] = min(max(_nearest(bases[0], UNIT) * UNIT, -bound), bound)
        bases[1:] = 0
        return
    grey = min(max(bases[0] + brightness, -bound), bound)
    tile[: len(tile) - len(bases) + 1, 0] = _nearest((grey - bases[0]) * luma.side, luma.steps[0])
    for p in range(1, len(bases)):
        tile[len(tile) - len(bases) + p, 0] = _nearest(-bases[p] * chroma.side, chroma.steps[0])


@njit(cache=True)
def _measure(pixels: Pixels, luma: Plane, chroma: Plane, bases: Ends, first: bool, tile: Levels) -> None:
    """Fill `tile` with the levels of `pixels`; set `bases` if the tile is the `first`."""
    height, width, planes = pixels.shape
    side = luma.side if planes == 1 else chroma.side
    samples = np.zeros((planes, side, side))
    _to_samples(pixels, samples)
    if first:
        bases[0] = _nearest(int(samples[0, :8, :8].sum()), min(8, height) * min(8, width))
        for p in range(1, planes):
            bases[p] = _nearest(int(samples[p].sum()), height * width)
        bases[:] = bases_of(colour_of(bases))
    block = np.empty((8, 8))
    for b in range(len(tile) - planes + 1):
        y, x = _corner(b, side)
        if y < height and x < width:
            _forward(samples[0], y, x, min(8, height - y), min(8, width - x), luma, block)
            _quantise(block, luma, bases[0], tile[b])
    for p in range(1, planes):
        _forward(samples[p], 0, 0, height, width, chroma, block)
        _quantise(block, chroma, bases[p], tile[len(tile) - planes + p])
        if first:
            tile[len(tile) - planes + p, 0] = 0
    if first:
        tile[0, 0] = 0


@njit(cache=True)
def _paint(tile: Levels, bases: Ends, luma: Plane, chroma: Plane, pixels: Pixels) -> None:
    """Fill `pixels` with what the levels in `tile` stand for."""
    height, width, planes = pixels.shape
    side = luma.side if planes == 1 else chroma.side
    samples = np.zeros((planes, side, side))
    for b in range(len(tile) - planes + 1):
        y, x = _corner(b, side)
        if y < height and x < width:
            _inverse(tile[b], bases[0], luma, samples[0], y, x, min(8, height - y), min(8, width - x))
    for p in range(1, planes):
        _inverse(tile[len(tile) - planes + p], bases[p], chroma, samples[p], 0, 0, height, width)
    _to_pixels(samples, pixels)


@njit(cache=True)
def _corner(b: int, side: int) -> tuple[int, int]:
    """Return where luma block `b` of a tile begins."""
    across = side // 8
    return 8 * (b // across), 8 * (b % across)


@njit(cache=True)
def _forward(samples: Whole, y: int, x: int, height: int, width: int, plane: Plane, block: Whole) -> None:
    """Fill `block` (8, 8) with the coefficients of `height` x `width` samples from (y, x) on."""
    down, along = plane.forward[height], plane.forward[width]
    row = np.empty(plane.side)
    for u in range(8):
        for j in range(width):
            row[j] = 0
        for i in range(height):
            weight = down[i, u]
            for j in range(width):
                row[j] += weight * samples[y + i, x + j]
        for v in range(8):
            block[u, v] = 0
        for j in range(width):
            weight = row[j]
            for v in range(8):
                block[u, v] += weight * along[j, v]
        for v in range(8):
            block[u, v] = np.floor(block[u, v] * SCALE**2 + 0.5)


@njit(cache=True)
def _inverse(levels: Levels, base: int, plane: Plane, samples: Whole, y: int, x: int, height: int, width: int) -> None:
    """Add what `levels` stand for to `height` x `width` samples from (y, x) on, which are 0."""
    down, along = plane.inverse[height], plane.inverse[width]
    rows = np.zeros((8, plane.side))
    used = 0  # rows
    for position in range(len(levels)):
        if levels[position] or position == 0:
            value = np.int64(levels[position]) * plane.steps[position]
            if position == 0:
                value += base * plane.side
            weight = float(min(max(value, -LIMIT), LIMIT))
            u, v = plane.order[position] // 8, plane.order[position] % 8
            used = max(used, u + 1)
            for j in range(width):
                rows[u, j] += weight * along[v, j]
    for i in range(height):
        for u in range(used):
            weight = down[u, i]
            for j in range(width):
                samples[y + i, x + j] += weight * rows[u, j]
        for j in range(width):
            samples[y + i, x + j] = np.floor(samples[y + i, x + j] * SCALE**2 + 0.5)


@njit(cache=True)
def _quantise(block: Whole, plane: Plane, base: int, levels: Levels) -> None:
    """Fill `levels` with the quantised coefficients of a block.

    The dead zone grows from 9/16 to 7/8 of a step with the zeros before, for a 1 after many zeros costs most:
    2 % fewer ids at equal PSNR.
    """
    levels[0] = _nearest(int(block[0, 0]) - base * plane.side, plane.steps[0])
    run = 0
    for position in range(1, len(levels)):
        step = plane.steps[position]
        value = int(block[plane.order[position] // 8, plane.order[position] % 8])
        size = abs(value)
        if 32 * size < step * (18 + min(run, 10)):
            levels[position] = 0
            run += 1
        else:
            level = (16 * size + 7 * step) // (16 * step)
            levels[position] = level if value > 0 else -level
            run = 0


@njit(cache=True)
def _nearest(value: int, step: int) -> int:
    return (2 * value + step) // (2 * step)


@njit(cache=True)
def _to_samples(pixels: Pixels, samples: Whole) -> None:
    """Fill `samples` (planes, side, side) with Y, or Y Cb Cr, around 0; weights in 1/65536."""
    height, width, planes = pixels.shape
    for i in range(height):
        for j in range(width):
            if planes == 1:
                samples[0, i, j] = (float(pixels[i, j, 0]) - 128) * UNIT
            else:
                r, g, b = float(pixels[i, j, 0]), float(pixels[i, j, 1]), float(pixels[i, j, 2])
                samples[0, i, j] = np.floor((19595 * r + 38470 * g + 7471 * b) / 4096 + 0.5) - 128 * UNIT
                samples[1, i, j] = np.floor((-11058 * r - 21710 * g + 32768 * b) / 4096 + 0.5)
                samples[2, i, j] = np.floor((32768 * r - 27439 * g - 5329 * b) / 4096 + 0.5)


@njit(cache=True)
def _to_pixels(samples: Whole, pixels: Pixels) -> None:
    """Fill `pixels` with the inverse of `_to_samples`, rounded and clipped; weights in 1/16384."""
    height, width, planes = pixels.shape
    scale = 1 / (16384 * UNIT)
    for i in range(height):
        for j in range(width):
            y = samples[0, i, j] * 16384
            if planes == 1:
                pixels[i, j, 0] = _to_byte(y * scale)
            else:
                cb, cr = samples[1, i, j], samples[2, i, j]
                pixels[i, j, 0] = _to_byte((y + 22970 * cr) * scale)
                pixels[i, j, 1] = _to_byte((y - 5638 * cb - 11700 * cr) * scale)
                pixels[i, j, 2] = _to_byte((y + 29032 * cb) * scale)


@njit(cache=True)
def _to_byte(level: float) -> int:
    return int(min(max(level + 128.5, 0.0), 255.0))
