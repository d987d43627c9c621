"""Pixels <-> quantised levels of a block cosine transform, in integers alone: every machine computes the same.

Samples and coefficients are in 1/16 of a grey level, transform matrices in 1/8192. Luma and alpha are cut into 8x8
blocks. Chroma (full-range BT.601) is cut into 16x16 blocks of which the 8x8 lowest frequencies are kept: subsampling
by two, done inside the transform. A tile is what shares chroma: 16x16 pixels of colour or 8x8 of grey.

Rounding, clipping to 0..255 and the replicated edges of partial tiles move coefficients. So that encoding a decoded
image changes nothing, `analyse` decodes and encodes each tile until its levels are their own encoding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNIT = 16  # samples and coefficients are in 1/16 of a grey level
SHIFT = 13  # transform matrices are in 1/8192
LIMIT = 1 << 16  # no record's coefficient is beyond 16 * 255 * UNIT; hostile ones are clipped here, below overflow
ROUNDS = 8  # 99.9 % of the tiles of photographs settle in 4
SLOPE = 0.08  # how much coarser the step is per frequency, so that high ones cost less: 3 % fewer ids at equal PSNR
DC_STEP = 0.7  # means of blocks are quantised finer than the rest: banding is what the eye sees first

Pixels = NDArray[np.uint8]  # (h, w, channels)
Levels = NDArray[np.int16]  # (blocks, k * k), zig-zag; the first of a block is relative to its plane's base
Integers = NDArray[np.int32]


class Plane(NamedTuple):
    """How one kind of plane is cut, transformed and quantised."""

    side: int  # pixels in a block's side
    basis: Integers  # (k, side), the k lowest frequencies
    transposed: Integers  # (side, k)
    steps: Integers  # (k * k,), in zig-zag order
    order: Integers  # (k * k,), zig-zag position -> place in a row-major block


def make_plane(side: int, kept: int, step: float, *, flat: bool) -> Plane:
    """Return the plane of `side` x `side` blocks of which `kept` x `kept` frequencies stay; `step` in grey levels.

    The step grows with the frequency unless `flat`. That of the mean is never below 1.25 grey levels, which makes a
    flat tile its own encoding whatever the rounding of its colour.
    """
    frequency = np.arange(kept)[:, None]
    basis = np.sqrt(2 / side) * np.cos((2 * np.arange(side) + 1) * frequency * np.pi / (2 * side))
    basis[0] /= np.sqrt(2)
    integers = np.rint(basis * (1 << SHIFT)).astype(np.int32)
    diagonal = frequency + frequency.T
    steps = UNIT * step * (1 + (0 if flat else SLOPE * 8 / side) * diagonal)
    steps[0, 0] = UNIT * max(step * DC_STEP, 1.25 * side)
    # Diagonals alternate their direction, as in JPEG.
    row = np.broadcast_to(frequency, diagonal.shape)
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel())).astype(np.int32)
    whole = np.rint(steps).astype(np.int32).ravel()[order]
    return Plane(side, integers, np.ascontiguousarray(integers.T), whole, order)


def grids(shape: tuple[int, ...], chroma_side: int) -> NDArray[np.int64]:
    """Return the rows and columns of blocks (planes, 2) of an image of (h, w, channels): Y, Cb, Cr and A as needed."""
    height, width, channels = shape
    sides = np.array([8] if channels == 1 else [8, chroma_side, chroma_side, 8][:channels], np.int64)
    return np.stack([-(-height // sides), -(-width // sides)], 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def analyse(image, luma, chroma, grid, levels, bases):  # type: ignore[no-untyped-def]
    """Fill `levels` and `bases` (planes,) with the encoding of `image`; `grid` is from `grids`."""
    channels = image.shape[2]
    _analyse(image, 0, min(channels, 3), luma, chroma, grid[:3], levels, bases[:3])
    if channels == 4:
        start = (grid[:3, 0] * grid[:3, 1]).sum()
        _analyse(image, 3, 1, luma, chroma, grid[3:], levels[start:], bases[3:])


@njit(cache=True)  # type: ignore[untyped-decorator]
def synthesise(levels, bases, luma, chroma, grid, image):  # type: ignore[no-untyped-def]
    """Fill `image` with what `levels` and `bases` stand for."""
    channels = image.shape[2]
    _synthesise(levels, bases[:3], luma, chroma, grid[:3], 0, min(channels, 3), image)
    if channels == 4:
        start = (grid[:3, 0] * grid[:3, 1]).sum()
        _synthesise(levels[start:], bases[3:], luma, chroma, grid[3:], 3, 1, image)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _analyse(image, channel, channels, luma, chroma, grid, levels, bases):  # type: ignore[no-untyped-def]
    height, width = image.shape[:2]
    side = luma.side if channels == 1 else chroma.side
    pixels = np.empty((side, side, channels), np.uint8)
    places = np.empty((side // 8) ** 2 + channels - 1, np.int64)
    tile = np.zeros((len(places), levels.shape[1]), np.int16)
    for y in range(-(-height // side)):
        for x in range(-(-width // side)):
            seen_y, seen_x = min(side, height - y * side), min(side, width - x * side)
            for i in range(seen_y):
                for j in range(seen_x):
                    for c in range(channels):
                        pixels[i, j, c] = image[y * side + i, x * side + j, channel + c]
            _locate(y, x, side, grid, places)
            _settle(pixels, seen_y, seen_x, luma, chroma, places, bases, y + x == 0, tile)
            for b in range(len(places)):
                if places[b] >= 0:
                    levels[places[b]] = tile[b]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _synthesise(levels, bases, luma, chroma, grid, channel, channels, image):  # type: ignore[no-untyped-def]
    height, width = image.shape[:2]
    side = luma.side if channels == 1 else chroma.side
    pixels = np.empty((side, side, channels), np.uint8)
    places = np.empty((side // 8) ** 2 + channels - 1, np.int64)
    tile = np.zeros((len(places), levels.shape[1]), np.int16)
    for y in range(-(-height // side)):
        for x in range(-(-width // side)):
            _locate(y, x, side, grid, places)
            for b in range(len(places)):
                if places[b] >= 0:
                    tile[b] = levels[places[b]]
            _paint(tile, bases, luma, chroma, places, pixels)
            for i in range(min(side, height - y * side)):
                for j in range(min(side, width - x * side)):
                    for c in range(channels):
                        image[y * side + i, x * side + j, channel + c] = pixels[i, j, c]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _locate(y, x, side, grid, places):  # type: ignore[no-untyped-def]
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


@njit(cache=True)  # type: ignore[untyped-decorator]
def _settle(pixels, seen_y, seen_x, luma, chroma, places, bases, first, tile):  # type: ignore[no-untyped-def]
    """Fill `tile` with levels that decode to near `pixels` and are the levels of what they decode to.

    Levels that do not settle in `ROUNDS` lose their highest frequencies, in the end all and the colour.
    """
    again = np.zeros_like(tile)
    before = np.empty_like(bases)
    _measure(pixels, seen_y, seen_x, luma, chroma, places, bases, first, tile)
    for kept in (64, 16, 4, 1):
        tile[:, kept:] = 0
        for _ in range(ROUNDS):
            before[:] = bases
            _paint(tile, bases, luma, chroma, places, pixels)
            _measure(pixels, seen_y, seen_x, luma, chroma, places, bases, first, again)
            if np.array_equal(tile, again) and np.array_equal(before, bases):
                return
            tile[:, :kept] = again[:, :kept]
    _flatten(luma, chroma, bases, first, tile)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _flatten(luma, chroma, bases, first, tile):  # type: ignore[no-untyped-def]
    """Make `tile` flat, near mid grey and free of clipping, so that it is its own encoding."""
    if first:
        tile[:] = 0
        bases[1:] = 0
        return
    brightness = bases[0] * luma.side * UNIT + tile[0, 0] * luma.steps[0]
    brightness = min(max(brightness, -32 * luma.side * UNIT), 32 * luma.side * UNIT)
    tile[:, 1:] = 0
    tile[:, 0] = _nearest(brightness - bases[0] * luma.side * UNIT, luma.steps[0])
    for p in range(1, len(bases)):
        tile[len(tile) - len(bases) + p, 0] = _nearest(-bases[p] * chroma.side * UNIT, chroma.steps[0])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _measure(pixels, seen_y, seen_x, luma, chroma, places, bases, first, tile):  # type: ignore[no-untyped-def]
    """Fill `tile` with the levels of `pixels`, of which what is not seen repeats the edge; set `bases` if `first`."""
    side = pixels.shape[0]
    pixels[:seen_y, seen_x:] = pixels[:seen_y, seen_x - 1 : seen_x]
    pixels[seen_y:] = pixels[seen_y - 1]
    samples = _to_samples(pixels)
    across = side // 8
    for b in range(across * across):
        if places[b] >= 0:
            y, x = 8 * (b // across), 8 * (b % across)
            _quantise(_forward(samples[0, y : y + 8, x : x + 8], luma), luma, bases, 0, first and b == 0, tile[b])
    for p in range(1, len(samples)):
        _quantise(_forward(samples[p], chroma), chroma, bases, p, first, tile[across * across + p - 1])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _paint(tile, bases, luma, chroma, places, pixels):  # type: ignore[no-untyped-def]
    """Fill `pixels` with what the levels in `tile` stand for."""
    side, planes = pixels.shape[1:]
    across = side // 8
    samples = np.zeros((planes, side, side), np.int32)
    for b in range(across * across):
        if places[b] >= 0:
            y, x = 8 * (b // across), 8 * (b % across)
            _inverse(tile[b], bases[0], luma, samples[0, y : y + 8, x : x + 8])
    for p in range(1, planes):
        _inverse(tile[across * across + p - 1], bases[p], chroma, samples[p])
    _to_pixels(samples, pixels)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _forward(samples, plane):  # type: ignore[no-untyped-def]
    """Return the coefficients (k, k) of the samples (side, side)."""
    kept, side = plane.basis.shape
    half = 1 << (SHIFT - 1)
    coefficients = np.zeros((kept, kept), np.int32)
    row = np.empty(side, np.int32)
    for u in range(kept):
        row[:] = half
        for i in range(side):
            weight = plane.basis[u, i]
            for j in range(side):
                row[j] += weight * samples[i, j]
        for j in range(side):
            sample = row[j] >> SHIFT
            for v in range(kept):
                coefficients[u, v] += sample * plane.transposed[j, v]
        for v in range(kept):
            coefficients[u, v] = (coefficients[u, v] + half) >> SHIFT
    return coefficients


@njit(cache=True)  # type: ignore[untyped-decorator]
def _inverse(levels, base, plane, samples):  # type: ignore[no-untyped-def]
    """Add to `samples` (side, side), which are 0, those of the levels of one block."""
    kept, side = plane.basis.shape
    half = 1 << (SHIFT - 1)
    rows = np.zeros((kept, side), np.int32)
    for position in range(kept * kept):
        if levels[position] or position == 0:
            value = np.int64(levels[position]) * plane.steps[position] + (base * side * UNIT if position == 0 else 0)
            weight = np.int32(min(max(value, -LIMIT), LIMIT))
            u, v = plane.order[position] // kept, plane.order[position] % kept
            for j in range(side):
                rows[u, j] += weight * plane.basis[v, j]
    for u in range(kept):
        for j in range(side):
            rows[u, j] = min(max((rows[u, j] + half) >> SHIFT, -LIMIT), LIMIT)
    for u in range(kept):
        if np.any(rows[u]):
            for i in range(side):
                weight = plane.transposed[i, u]
                for j in range(side):
                    samples[i, j] += weight * rows[u, j]
    for i in range(side):
        for j in range(side):
            samples[i, j] = (samples[i, j] + half) >> SHIFT


@njit(cache=True)  # type: ignore[untyped-decorator]
def _quantise(coefficients, plane, bases, p, first, levels):  # type: ignore[no-untyped-def]
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


@njit(cache=True)  # type: ignore[untyped-decorator]
def _nearest(value, step):  # type: ignore[no-untyped-def]
    return (2 * value + step) // (2 * step)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _to_samples(pixels):  # type: ignore[no-untyped-def]
    """Return Y, or Y Cb Cr, (planes, side, side) int32 around 0; weights in 1/65536."""
    side, _, planes = pixels.shape
    samples = np.empty((planes, side, side), np.int32)
    for i in range(side):
        for j in range(side):
            if planes == 1:
                samples[0, i, j] = (np.int32(pixels[i, j, 0]) - 128) * UNIT
            else:
                r, g, b = np.int32(pixels[i, j, 0]), np.int32(pixels[i, j, 1]), np.int32(pixels[i, j, 2])
                samples[0, i, j] = ((19595 * r + 38470 * g + 7471 * b + 2048) >> 12) - 128 * UNIT
                samples[1, i, j] = (-11058 * r - 21710 * g + 32768 * b + 2048) >> 12
                samples[2, i, j] = (32768 * r - 27439 * g - 5329 * b + 2048) >> 12
    return samples


@njit(cache=True)  # type: ignore[untyped-decorator]
def _to_pixels(samples, pixels):  # type: ignore[no-untyped-def]
    """Fill `pixels` with the inverse of `_to_samples`, rounded and clipped; weights in 1/16384."""
    planes, side, _ = samples.shape
    bound = 1024 * UNIT
    for i in range(side):
        for j in range(side):
            y = (min(max(samples[0, i, j], -bound), bound) + 128 * UNIT << 14) + (1 << 17)
            if planes == 1:
                pixels[i, j, 0] = min(max(y >> 18, 0), 255)
            else:
                cb = min(max(samples[1, i, j], -bound), bound)
                cr = min(max(samples[2, i, j], -bound), bound)
                pixels[i, j, 0] = min(max(y + 22970 * cr >> 18, 0), 255)
                pixels[i, j, 1] = min(max(y - 5638 * cb - 11700 * cr >> 18, 0), 255)
                pixels[i, j, 2] = min(max(y + 29032 * cb >> 18, 0), 255)
