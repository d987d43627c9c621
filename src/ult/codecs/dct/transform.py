"""Pixels <-> quantised levels of a block DCT, bit for bit the same on every machine.

Samples and coefficients are integers in 1/16 of a grey level, transform matrices in 1/8192. Decoding computes in
float64 below 2**53, where sums and products are exact in any order. Encoding computes in float32 with a bounded error,
and exactly where the error leaves a level in doubt.

Luma and alpha are cut into 8x8 blocks. Chroma (full-range BT.601) is cut into 16x16 blocks that keep their 8x8 lowest
frequencies, which is subsampling by two inside the transform. Blocks at the right and lower edge are as small as what
is left, and so is their transform: nothing is padded. A tile is the area of one chroma block, up to 16x16 pixels, or
8x8 pixels of a grey image.

Encoding a decoded image must change nothing, but rounding and clipping pixels to 0..255 move coefficients. `analyse`
therefore decodes and encodes each tile until its levels no longer change, or provably will not: no coefficient moves by
more than the norm of what rounding and clipping add to the decoded samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import (
    UNIT,
    WIDTH,
    Levels,
    Plane,
    Samples,
    Whole,
    Work,
    inverse,
    inverse_rows,
    nearest,
    workspace,
)
from ult.codecs.dct.colour import Corners, Pixels, bases_of, colour_of, load, reload, store
from ult.codecs.dct.quantise import along, forward, mark, quantise
from ult.codecs.dct.simd import move8
from ult.codecs.dct.tiles import corners_of, gather, scatter, side_by_side
from ult.codecs.patches import Ends
from ult.host.kernel import njit

PATIENCE = 16  # rounds before an unsettled tile loses contrast; 99 % of the tiles of photographs settle in 2
ROUNDS = 64  # at most; contrast falls by an eighth a round, which takes the largest level to 0 in time


@njit(cache=True)
def grids(height: int, width: int, channels: int, chroma_side: int) -> NDArray[np.int64]:
    """Return (planes, 2) int64: the rows and columns of blocks of each plane of an image, of Y, Cb, Cr, A."""
    grid = np.empty((channels, 2), np.int64)
    for plane in range(channels):
        side = chroma_side if plane in (1, 2) else 8
        grid[plane, 0], grid[plane, 1] = -(-height // side), -(-width // side)
    return grid


def synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    """Decode `levels` and `bases` into `image` (h, w, channels)."""
    for part, start in _parts(grid):
        pixels = _channels(image, part)
        _synthesise(levels[start:], bases[part], luma, chroma, grid[part], pixels)
        if len(grid) == 4:
            image[:, :, part] = pixels


def _parts(grid: Ends) -> list[tuple[slice, int]]:
    """Return the groups of planes that are encoded together and where their blocks start; alpha is its own group."""
    if len(grid) < 4:
        return [(slice(0, 3), 0)]
    return [(slice(0, 3), 0), (slice(3, 4), int(grid[:3].prod(1).sum()))]


def _channels(image: Pixels, part: slice) -> Pixels:
    """Return some channels of an image; a copy if it has more."""
    return image if image.shape[2] < 4 else np.ascontiguousarray(image[:, :, part])


@njit(cache=True)
def analyse(
    image: Pixels, luma: Plane, chroma: Plane, grid: Ends, levels: Levels, bases: Ends, work: Work, again: Work
) -> None:
    """Fill `levels` and `bases` (planes,) with the encoding of `image` of at most 3 channels; `grid` is from `grids`.

    Encode all tiles, then decode and encode those that have not settled until decoding them gives the same levels.
    """
    side = luma.side if image.shape[2] == 1 else chroma.side
    decoded = np.empty((side, WIDTH, image.shape[2]), np.uint8)
    tiles = np.zeros((WIDTH // side, (side // 8) ** 2 + len(grid) - 1, levels.shape[1]), np.int16)
    tiles_again = np.zeros_like(tiles)
    room, room_again = np.empty(tiles.shape[:2]), np.empty(tiles.shape[:2])
    moved = np.empty(len(tiles), np.bool_)
    for kind in range(5):
        corners, height, width = corners_of(image.shape, side, kind)
        whole = kind > 0 and height == side and width == side
        left, attempt = len(corners), 0
        if whole:
            left = _analyse_whole(
                image,
                luma,
                chroma,
                grid,
                levels,
                bases,
                corners,
                work,
                again,
                tiles,
                tiles_again,
                room,
                room_again,
                moved,
            )
            attempt = 2
        while left and attempt < ROUNDS:
            before = bases.copy()
            pending, left = left, 0
            for at in range(0, pending, len(tiles)):
                strip = corners[at : min(at + len(tiles), pending)]
                n = len(strip)
                if attempt == 0:
                    load(image, strip, height, width, again.samples)
                else:
                    gather(levels, strip, side, grid, tiles)
                    _paint(tiles[:n], height, width, luma, chroma, bases, again)
                    places = side_by_side(n, width)
                    store(again.samples, places, height, width, decoded)
                    load(decoded, places, height, width, again.samples)
                if kind == 0:
                    _rebase(height, width, bases, again)
                _measure(height, width, luma, chroma, bases, tiles[:n], room[:n], again)
                if kind == 0:
                    tiles[0, 0, 0] = 0
                    tiles[0, len(tiles[0]) - len(bases) + 1 :, 0] = 0
                scatter(tiles[:n], strip, side, grid, levels, moved)
                drift = attempt == 0 or np.any(bases != before)
                for t in range(n):
                    if moved[t] or drift:
                        if attempt > PATIENCE:
                            _soften(tiles[t])
                        if attempt == ROUNDS - 1:
                            _flatten(luma, chroma, bases, kind == 0, tiles[t])
                        if attempt > PATIENCE:
                            scatter(tiles[t : t + 1], strip[t : t + 1], side, grid, levels, moved[t:])
                        corners[left] = strip[t]
                        left += 1
            attempt += 1


@njit(cache=True, _nrt=False)
def _analyse_whole(
    image: Pixels,
    luma: Plane,
    chroma: Plane,
    grid: Ends,
    levels: Levels,
    bases: Ends,
    corners: Corners,
    work: Work,
    again: Work,
    tiles: Levels,
    tiles_again: Levels,
    room: Whole,
    room_again: Whole,
    moved: NDArray[np.bool_],
) -> int:
    """Do round 0 of all whole tiles, and round 1 of those that have not provably settled.

    Return how many still have not, and move their corners to the front of `corners`.
    """
    side, planes, most = WIDTH // len(tiles), len(bases), len(tiles)
    n = left = 0
    for at in range(0, len(corners), most):
        strip = corners[at : at + most]
        count = len(strip)
        load(image, strip, side, side, work.samples)
        _measure(side, side, luma, chroma, bases, tiles[:count], room[:count], work)
        scatter(tiles[:count], strip, side, grid, levels, moved)
        _reload(side, planes, room[:count], work)
        for t in range(count):
            if not _settled(room[t]):
                _copy_samples(work.samples, t * side, planes, side, again.samples, n * side)
                corners[left + n, 0], corners[left + n, 1] = strip[t, 0], strip[t, 1]
                n += 1
            last = t == count - 1 and at + most >= len(corners)
            if n == most or (n and last):
                rest = corners[left : left + n]
                _measure(side, side, luma, chroma, bases, tiles_again[:n], room_again[:n], again)
                scatter(tiles_again[:n], rest, side, grid, levels, moved)
                n = 0
                for k in range(len(rest)):
                    if moved[k]:
                        corners[left, 0], corners[left, 1] = rest[k, 0], rest[k, 1]
                        left += 1
    return left


@njit(cache=True, _nrt=False)
def _settled(room: Whole) -> bool:
    settled = True
    for b in range(len(room)):
        settled &= room[b] > 0
    return settled


@njit(cache=True, _nrt=False)
def _copy_samples(source: Samples, start: int, planes: int, side: int, target: Samples, to: int) -> None:
    for p in range(planes):
        for i in range(side):
            for j in range(0, side, 8):
                move8(source[p, i], start + j, target[p, i], to + j)


@njit(cache=True)
def _synthesise(levels: Levels, bases: Ends, luma: Plane, chroma: Plane, grid: Ends, image: Pixels) -> None:
    side = luma.side if image.shape[2] == 1 else chroma.side
    work = workspace(False, False)
    tiles = np.zeros((WIDTH // side, (side // 8) ** 2 + len(grid) - 1, levels.shape[1]), np.int16)
    for kind in range(5):
        corners, height, width = corners_of(image.shape, side, kind)
        for at in range(0, len(corners), WIDTH // side):
            strip = corners[at : at + WIDTH // side]
            gather(levels, strip, side, grid, tiles)
            _paint(tiles[: len(strip)], height, width, luma, chroma, bases, work)
            store(work.samples, strip, height, width, image)


@njit(cache=True, _nrt=False)
def _reload(side: int, planes: int, room: Whole, work: Work) -> None:
    """Replace the decoded samples of whole tiles by those of their pixels; subtract the norm of the change from `room`.

    If the room of every block of a tile stays positive, decoding the tile provably gives the same levels again.
    """
    across = side // 8
    columns, flat = _columns(len(room), side), work.samples.reshape(-1)
    for y in range(0, side, 8):
        work.noise[: WIDTH if y else len(work.noise)] = 0
        for i in range(y, y + 8):
            reload(flat[i * WIDTH :], planes, columns, work.noise)
        for t in range(len(room)):
            for c in range(across):
                room[t, y // 8 * across + c] -= _norm(work.noise, t * side + 8 * c, 8)
    for t in range(len(room)):
        for p in range(1, planes):
            room[t, across * across + p - 1] -= _norm(work.noise, p * WIDTH + t * side, side)


@njit(cache=True, _nrt=False)
def _norm(squares: Samples, start: int, n: int) -> float:
    total = np.float32(0)
    for i in range(start, start + n, 8):
        a, b, c, d = squares[i], squares[i + 1], squares[i + 2], squares[i + 3]
        e, f, g, h = squares[i + 4], squares[i + 5], squares[i + 6], squares[i + 7]
        total += ((a + b) + (c + d)) + ((e + f) + (g + h))
    return np.sqrt(total)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def _soften(tile: Levels) -> None:
    """Reduce every frequency of a tile by an eighth, and by at least one step."""
    for b in range(len(tile)):
        for position in range(1, tile.shape[1]):
            size = abs(np.int64(tile[b, position]))
            size -= (size + 7) // 8
            tile[b, position] = size if tile[b, position] > 0 else -size


@njit(cache=True, _nrt=False)
def _flatten(luma: Plane, chroma: Plane, bases: Ends, first: bool, tile: Levels) -> None:
    """Make `tile` flat, of one grey level within 32 of mid grey; such a tile always encodes to itself.

    It has no other frequency, grey is not clipped, and the step of the mean is wider than any rounding.
    """
    brightness = np.int64(tile[0, 0]) * int(luma.steps[0]) // luma.side
    tile[:] = 0
    bound = 32 * UNIT
    if first:
        bases[0] = min(max(nearest(bases[0], UNIT) * UNIT, -bound), bound)
        bases[1:] = 0
        return
    grey = min(max(bases[0] + brightness, -bound), bound)
    tile[: len(tile) - len(bases) + 1, 0] = nearest((grey - bases[0]) * luma.side, int(luma.steps[0]))
    for p in range(1, len(bases)):
        tile[len(tile) - len(bases) + p, 0] = nearest(-bases[p] * chroma.side, int(chroma.steps[0]))


@njit(cache=True)
def _rebase(height: int, width: int, bases: Ends, work: Work) -> None:
    """Set `bases` to the nearest colour to the means of the first tile in `work.samples`."""
    bases[0] = _mean(work.samples[0, : min(8, height), : min(8, width)])
    for p in range(1, len(bases)):
        bases[p] = _mean(work.samples[p, :height, :width])
    bases[:] = bases_of(colour_of(bases))


@njit(cache=True, _nrt=False)
def _measure(
    height: int,
    width: int,
    luma: Plane,
    chroma: Plane,
    bases: Ends,
    tiles: Levels,
    room: Whole,
    work: Work,
) -> None:
    """Encode `work.samples`: fill `tiles` (n, blocks, k * k) with levels and `room` (n, blocks) as `quantise` does.

    If `work.paints`, the tiles are whole and the samples are replaced by the decoded samples.
    """
    planes = len(bases)
    across = 1 if planes == 1 else chroma.side // 8
    columns = _columns(len(tiles), 8 * across)
    tiles[:] = 0
    for p in range(planes):
        plane = chroma if p else luma
        side = plane.side
        blocks = -(-width // side)
        for y in range(0, height, side):
            n = min(side, height - y)
            samples = work.samples[p, y : y + n]
            forward(samples, plane.quick[n], columns, work)
            for x in range(blocks):
                along(work, plane, min(side, width - side * x), (x, blocks * len(tiles), blocks), side * x, width)
            mark(work.twice, plane.least, 8 * blocks * len(tiles), work.marks)
            first = across * across + p - 1 if p else y // 8 * across
            highest = np.int64(0)
            for x in range(blocks):
                places, lanes = (side * x, width, min(side, width - side * x)), (x, blocks)
                row = quantise(samples, places, plane, bases[p], first + x, lanes, work, tiles, room)
                highest = max(highest, row)
            if work.paints:
                inverse(work.rows, highest, plane.inverse[side], columns, samples)


@njit(cache=True, _nrt=False)
def _columns(tiles: int, side: int) -> int:
    """Return how many of the WIDTH columns to work on: a multiple of 32, which vectors of any machine divide."""
    return min(-(-tiles * side // 32) * 32, WIDTH)


@njit(cache=True, _nrt=False)
def _mean(samples: Samples) -> int:
    total = 0.0
    for i in range(samples.shape[0]):
        for j in range(samples.shape[1]):
            total += samples[i, j]
    return nearest(int(total), samples.size)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def _paint(tiles: Levels, height: int, width: int, luma: Plane, chroma: Plane, bases: Ends, work: Work) -> None:
    """Decode the levels in `tiles` into `work.samples`."""
    planes = len(bases)
    side = luma.side if planes == 1 else chroma.side
    across = side // 8
    columns = _columns(len(tiles), side)
    for y in range(0, height, 8):
        highest = np.int64(0)
        for b in range(y // 8 * across, y // 8 * across + -(-width // 8)):
            x = 8 * (b % across)
            row = inverse_rows(tiles, b, bases[0], x, width, min(8, width - x), luma, work.rows)
            highest = max(highest, row)
        inverse(work.rows, highest, luma.inverse[min(8, height - y)], columns, work.samples[0, y : min(y + 8, height)])
    for p in range(1, planes):
        highest = inverse_rows(tiles, across * across + p - 1, bases[p], 0, width, width, chroma, work.rows)
        inverse(work.rows, highest, chroma.inverse[height], columns, work.samples[p, :height])
