"""Pixels <-> samples: planes Y, or Y Cb Cr (full-range BT.601), as integers in 1/16 of a grey level, centred on 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import UNIT, WIDTH, Samples
from ult.codecs.patches import Ends
from ult.host.kernel import njit

Pixels = NDArray[np.uint8]  # (h, w, 1 or 3)
Row = NDArray[np.uint8]  # (w,) grey or (3 * w,) colour, interleaved
Corners = NDArray[np.int64]  # (n, 2), y and x of the upper left pixel of each tile


@njit(cache=True)
def bases_of(colour: Row) -> Ends:
    """Return the bases (planes,), in 1/16 of a grey level, of a colour (channels,)."""
    bases = np.empty(len(colour), np.int64)
    for at in range(0, len(colour), 3):
        part = colour[at : at + 3]
        samples = np.empty((3, 1), np.float32)
        _to_samples(part, samples[0], samples[1], samples[2])
        bases[at : at + 3] = samples[: len(part), 0].astype(np.int64)
    return bases


@njit(cache=True)
def colour_of(bases: Ends) -> Row:
    """Return the colour (channels,) nearest to the bases; the inverse of `bases_of`."""
    colour = np.empty(len(bases), np.uint8)
    for at in range(0, len(bases), 3):
        samples = np.zeros((3, 1), np.float32)
        for p in range(min(3, len(bases) - at)):
            samples[p, 0] = bases[at + p]
        _to_pixels(samples[0], samples[1], samples[2], colour[at : at + 3])
    return colour


@njit(cache=True, _nrt=False)
def load(image: Pixels, corners: Corners, height: int, width: int, samples: Samples) -> None:
    """Fill `samples` (3, 16, WIDTH) with tiles of `height` x `width` pixels of an image, side by side."""
    flat, channels = image.reshape(-1), image.shape[2]
    t = 0
    while t < len(corners):
        count = _adjacent(corners, t, width)
        n = count * width
        for i in range(height):
            at = ((corners[t, 0] + i) * image.shape[1] + corners[t, 1]) * channels
            part = slice(t * width, t * width + n)
            _to_samples(flat[at : at + n * channels], samples[0, i, part], samples[1, i, part], samples[2, i, part])
        t += count


@njit(cache=True, _nrt=False)
def store(samples: Samples, corners: Corners, height: int, width: int, image: Pixels) -> None:
    """Write `samples` into tiles of an image, rounded and clipped; the inverse of `load`."""
    flat, channels = image.reshape(-1), image.shape[2]
    t = 0
    while t < len(corners):
        count = _adjacent(corners, t, width)
        n = count * width
        for i in range(height):
            at = ((corners[t, 0] + i) * image.shape[1] + corners[t, 1]) * channels
            part = slice(t * width, t * width + n)
            _to_pixels(samples[0, i, part], samples[1, i, part], samples[2, i, part], flat[at : at + n * channels])
        t += count


@njit(cache=True, _nrt=False)
def _adjacent(corners: Corners, start: int, width: int) -> int:
    """Return how many tiles, starting at `start`, lie side by side in the image."""
    n = 1
    while start + n < len(corners) and (
        corners[start + n, 0] == corners[start, 0] and corners[start + n, 1] == corners[start, 1] + n * width
    ):
        n += 1
    return n


@njit(cache=True, _nrt=False)
def _to_samples(row: Row, y: Samples, cb: Samples, cr: Samples) -> None:
    """Fill `y`, or `y`, `cb` and `cr` from a row of colour; weights in 1/65536, exact in float32."""
    if len(row) == len(y):
        for j in range(len(y)):
            y[j] = np.float32(row[j]) * np.float32(UNIT) - np.float32(128 * UNIT)
        return
    for j in range(len(y)):
        y[j], cb[j], cr[j] = _colour(np.float32(row[3 * j]), np.float32(row[3 * j + 1]), np.float32(row[3 * j + 2]))


@njit(cache=True, _nrt=False)
def _to_pixels(y: Samples, cb: Samples, cr: Samples, row: Row) -> None:
    """Fill a row with the inverse of `_to_samples`, rounded and clipped; weights in 1/16384, exact in float64."""
    scale = 1 / (16384 * UNIT)
    if len(row) == len(y):
        for j in range(len(y)):
            row[j] = _to_byte(np.float64(y[j]) / UNIT)
        return
    for j in range(len(y)):
        light, blue, red = np.float64(y[j]) * 16384, np.float64(cb[j]), np.float64(cr[j])
        row[3 * j] = _to_byte((light + 22970 * red) * scale)
        row[3 * j + 1] = _to_byte((light - 5638 * blue - 11700 * red) * scale)
        row[3 * j + 2] = _to_byte((light + 29032 * blue) * scale)


@njit(cache=True, _nrt=False)
def reload(samples: Samples, planes: int, width: int, noise: Samples) -> None:
    """Replace a row of decoded samples by the samples of its rounded and clipped pixels.

    Add the squared differences to `noise` (3 * WIDTH,). `samples` is flat and starts at the row, so that planes lie at
    constant distances and the compiler vectorises the loops.
    """
    if planes == 1:
        for j in range(width):
            y = samples[j]
            y2 = _level(np.float64(y) / UNIT) * np.float32(UNIT) - np.float32(128 * UNIT)
            noise[j] += (y2 - y) * (y2 - y)
            samples[j] = y2
        return
    for j in range(np.uint64(width)):
        blue, red = j + np.uint64(16 * WIDTH), j + np.uint64(32 * WIDTH)
        y, cb, cr = samples[j], samples[blue], samples[red]
        y2, cb2, cr2 = _colour(*_pixel(np.int32(y), np.int32(cb), np.int32(cr)))
        noise[j] += (y2 - y) * (y2 - y)
        noise[j + np.uint64(WIDTH)] += (cb2 - cb) * (cb2 - cb)
        noise[j + np.uint64(2 * WIDTH)] += (cr2 - cr) * (cr2 - cr)
        samples[j], samples[blue], samples[red] = y2, cb2, cr2


@njit(cache=True, _nrt=False)
def _pixel(y: np.int32, cb: np.int32, cr: np.int32) -> tuple[np.float32, np.float32, np.float32]:
    """Return the pixel of a sample of an encoded image, in int32; Numba widens products, hence the casts.

    32 bits hold the sums: samples have a norm of 2**11 a pixel, levels less than twice that, so no luma sample exceeds
    2**15 and no chroma sample 1.5 * 2**15.
    """
    light = np.int32(np.int32(y * np.int32(16384)) + np.int32(257 * 2**17))
    red = np.int32(light + np.int32(cr * np.int32(22970)))
    green = np.int32(np.int32(light - np.int32(cb * np.int32(5638))) - np.int32(cr * np.int32(11700)))
    blue = np.int32(light + np.int32(cb * np.int32(29032)))
    return _clipped(red), _clipped(green), _clipped(blue)


@njit(cache=True, _nrt=False)
def _clipped(value: np.int32) -> np.float32:
    level = np.int32(value >> np.int32(18))
    return np.float32(min(max(level, np.int32(0)), np.int32(255)))


@njit(cache=True, _nrt=False)
def _level(level: float) -> np.float32:
    return np.float32(np.floor(min(max(level + 128.5, 0.0), 255.0)))


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _colour(r: np.float32, g: np.float32, b: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    """Return the samples Y, Cb, Cr of a pixel; weights in 1/65536, all sums exact in float32."""
    half, middle = np.float32(0.5), np.float32(0.5 - 128 * UNIT)
    y = np.float32(19595 / 4096) * r + np.float32(38470 / 4096) * g + np.float32(7471 / 4096) * b + middle
    cb = np.float32(-11058 / 4096) * r - np.float32(21710 / 4096) * g + np.float32(8) * b + half
    cr = np.float32(8) * r - np.float32(27439 / 4096) * g - np.float32(5329 / 4096) * b + half
    return np.floor(y), np.floor(cb), np.floor(cr)


@njit(cache=True, _nrt=False)
def _to_byte(level: float) -> np.uint8:
    return np.uint8(np.int32(min(max(level + 128.5, 0.0), 255.0)))
