"""Images of 9 to 16 bits <-> quantised levels: a block DCT of each channel by itself, all in 64-bit integers.

Samples are in 1/16 of a stored value, centred on the middle of the window; transform matrices are in 1/65536 of a
whole block's mean, so that flat blocks are exact. Every channel is cut into 8x8 blocks; those at the right and lower
edge are as small as what is left. There is no colour transform: it would need more bits, and hospital images are grey.

Encoding a decoded image must change nothing, but rounding and clipping pixels move coefficients. Each block is
therefore decoded and encoded until its levels no longer change, as in `transform`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import check_option
from ult.codecs.dct.blocks import SLOPE, UNIT, Levels, nearest
from ult.codecs.patches import Ends
from ult.errors import InvalidConfig
from ult.host.kernel import njit

SHIFT = 35  # two matrices multiply by 2**35
LIMIT = 2**23  # coefficients are clipped here; no encoded image has one beyond, forged symbols may
FINEST = 13  # bits up to which steps are in stored values; with each bit more they double
PATIENCE, ROUNDS = 16, 64  # as in `transform`: rounds before a block loses contrast, and before it becomes flat
LEAST_WIDTH = 256  # stored values in a window; fewer need no more than 8 bits

Whole = NDArray[np.int64]
Stored = NDArray[Any]  # uint16 or int16


class Window(NamedTuple):
    """The stored values of a codec, and how their blocks are transformed and quantised."""

    low: int  # the lowest stored value
    width: int  # the number of stored values
    forward: Whole  # (9, 8, 8): for each n, the matrix from n samples to their frequencies
    inverse: Whole  # (9, 8, 8): for each n, the matrix back, frequencies first
    steps: Whole  # (k * k,), quantisation steps in zigzag order, in 1/16 of a stored value
    order: Whole  # (k * k,), zigzag position -> index in a block of 8x8


def make_window(low: int, high: int, kept: int, quality: int) -> Window:
    """Return the window of the stored values `low` to `high` whose blocks keep `kept` x `kept` frequencies."""
    width = high - low + 1
    depth = max(8, (width - 1).bit_length())
    step = 4 * 2 ** ((100 - quality) / 12.5) * 2 ** max(depth - FINEST, 0)
    forward, inverse = np.zeros((9, 8, 8), np.int64), np.zeros((9, 8, 8), np.int64)
    for n in range(1, 9):
        u, x = np.arange(min(kept, n))[:, None], np.arange(n)
        basis = np.where(u, np.sqrt(2), 1) * np.cos((2 * x + 1) * u * np.pi / (2 * n))
        inverse[n, : len(u), :n] = np.rint(2**16 * basis)
        forward[n, :n, : len(u)] = np.rint(2**19 / n * basis.T)
    frequency = np.arange(kept)[:, None]
    diagonal = frequency + frequency.T
    steps = UNIT * step * (1 + (0 if kept < 8 else SLOPE) * diagonal)
    steps[0, 0] = UNIT * max(0.7 * step, 10)  # so that a flat block encodes to itself however its grey is rounded
    row = np.broadcast_to(frequency, diagonal.shape)
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel()))
    whole = np.rint(steps).astype(np.int64).ravel()[order]
    return Window(low, width, forward, inverse, whole, order // kept * 8 + order % kept)


@njit(cache=True, _nrt=False)
def analyse(image: NDArray[np.int32], window: Window, levels: Levels, work: Whole) -> Any:
    """Fill `levels` (blocks, k * k) with the encoding of one channel; return its base, less `window.low`.

    Values outside the window count as the nearer end of it. `work` is (3, 8, 8).
    """
    samples, new = work[0], work[2].reshape(-1)[: levels.shape[1]]
    block, base = 0, np.int64(0)
    for top in range(0, image.shape[0], 8):
        for left in range(0, image.shape[1], 8):
            height, width = min(8, image.shape[0] - top), min(8, image.shape[1] - left)
            for i in range(height):
                for j in range(width):
                    value = _within(image[top + i, left + j] - window.low, 0, window.width - 1)
                    samples[i, j] = UNIT * (value - window.width // 2)
            old, settled = base, False
            for attempt in range(ROUNDS):
                if block == 0:
                    base = _mean(samples, height, width, window)
                _measure(samples, height, width, base, window, work[1], new)
                if block == 0:
                    new[0] = 0
                settled = attempt > 0 and base == old and _equal(new, levels[block])
                if settled:
                    break
                if attempt > PATIENCE:
                    _soften(new)
                old = base
                for position in range(len(new)):
                    levels[block, position] = new[position]
                paint(levels[block], height, width, base, window, work)
            if not settled:
                total = np.int64(levels[block, 0]) * window.steps[0] // 8
                levels[block] = 0
                if block:
                    levels[block, 0] = _flat(total, base, window)
            block += 1
    return base


@njit(cache=True, _nrt=False)
def synthesise(levels: Levels, base: int, window: Window, image: NDArray[np.int32], work: Whole) -> None:
    """Decode the levels of one channel into `image`; the inverse of `analyse`."""
    block = 0
    for top in range(0, image.shape[0], 8):
        for left in range(0, image.shape[1], 8):
            height, width = min(8, image.shape[0] - top), min(8, image.shape[1] - left)
            paint(levels[block], height, width, base, window, work)
            for i in range(height):
                for j in range(width):
                    image[top + i, left + j] = work[0, i, j] // UNIT + window.width // 2 + window.low
            block += 1


@njit(cache=True, _nrt=False)
def paint(levels: Any, height: int, width: int, base: int, window: Window, work: Whole) -> None:
    """Decode a block into `work[0]`: samples of pixels, rounded and clipped to the window."""
    samples, rows = work[0], work[1]
    rows[:] = 0
    highest = 0
    for position in range(len(levels)):
        value = np.int64(levels[position]) * window.steps[position]
        if position == 0:
            value += 8 * UNIT * (base - window.width // 2)
        elif value == 0:
            continue
        value = min(max(value, -LIMIT), LIMIT)
        row, column = window.order[position] >> 3, window.order[position] & 7
        highest = max(highest, row)
        for j in range(width):
            rows[row, j] += value * window.inverse[width, column, j]
    least, most = -(window.width // 2), window.width - 1 - window.width // 2
    for i in range(height):
        for j in range(width):
            total = np.int64(2 ** (SHIFT - 1))
            for u in range(highest + 1):
                total += rows[u, j] * window.inverse[height, u, i]
            sample = total >> SHIFT
            samples[i, j] = UNIT * _within((sample + UNIT // 2) // UNIT, least, most)


@njit(cache=True, _nrt=False)
def _within(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)


@njit(cache=True, _nrt=False)
def _mean(samples: Whole, height: int, width: int, window: Window) -> int:
    total = np.int64(0)
    for i in range(height):
        for j in range(width):
            total += samples[i, j] // UNIT
    return nearest(total, height * width) + window.width // 2  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def _measure(samples: Whole, height: int, width: int, base: int, window: Window, once: Whole, new: Whole) -> None:
    """Fill `new` (k * k,) with the levels of a block of samples; `once` is (8, 8) to work in."""
    down, along = window.forward[height], window.forward[width]
    for u in range(8):
        for j in range(width):
            total = np.int64(0)
            for i in range(height):
                total += down[i, u] * samples[i, j]
            once[u, j] = total
    zeros = 0
    for position in range(len(new)):
        u, v = window.order[position] >> 3, window.order[position] & 7
        total = np.int64(2 ** (SHIFT - 1))
        for j in range(width):
            total += once[u, j] * along[j, v]
        value, step = total >> SHIFT, window.steps[position]
        if position == 0:
            new[0] = nearest(value - 8 * UNIT * (base - window.width // 2), step)
            continue
        size = abs(value)
        new[position] = 0
        if 32 * size >= step * (18 + min(zeros, 10)):
            level = (16 * size + 7 * step) // (16 * step)
            new[position] = level if value > 0 else -level
            zeros = -1
        zeros += 1


@njit(cache=True, _nrt=False)
def _equal(new: Whole, levels: Any) -> bool:
    same = True
    for position in range(len(new)):
        same &= new[position] == levels[position]
    return same


@njit(cache=True, _nrt=False)
def _soften(new: Whole) -> None:
    """Reduce every frequency of a block by an eighth, and by at least one step."""
    for position in range(1, len(new)):
        size = abs(new[position])
        size -= (size + 7) // 8
        new[position] = size if new[position] > 0 else -size


@njit(cache=True, _nrt=False)
def _flat(brightness: int, base: int, window: Window) -> int:
    """Return the mean level of a flat block of about this brightness, a step away from the ends of the window."""
    middle, step = UNIT * (base - window.width // 2), window.steps[0]
    bound = UNIT * ((window.width - 1) // 2) - step // 8
    grey = min(max(middle + brightness, -bound), bound)
    return nearest(8 * (grey - middle), step)  # type: ignore[no-any-return]


def in_steps(base: int, window: Window) -> int:
    """Return a base, a stored value less `low`, in steps of a mean from the middle of the window."""
    return int(nearest(8 * UNIT * (base - window.width // 2), int(window.steps[0])))


def encoded(image: Stored, window: Window, grid: Ends) -> tuple[Levels, Whole]:
    """Return the levels (blocks, k * k) and the bases (planes,) of an image (h, w, channels)."""
    counts = grid.prod(1)
    levels = np.zeros((int(counts.sum()), len(window.steps)), np.int16)
    work, bases = np.zeros((3, 8, 8), np.int64), np.zeros(len(grid), np.int64)
    for plane, first in enumerate(np.cumsum(counts) - counts):
        part = levels[first : first + counts[plane]]
        bases[plane] = analyse(np.ascontiguousarray(image[:, :, plane], np.int32), window, part, work)
    return levels, bases


def decoded(levels: Levels, bases: Ends, window: Window, grid: Ends, image: Stored) -> None:
    """Decode levels and bases into `image` (h, w, channels)."""
    counts = grid.prod(1)
    work = np.zeros((3, 8, 8), np.int64)
    for plane, first in enumerate(np.cumsum(counts) - counts):
        part = np.empty(image.shape[:2], np.int32)
        synthesise(levels[first : first + counts[plane]], int(bases[plane]), window, part, work)
        image[:, :, plane] = part


def check_window(bits: int, low: int | None, high: int | None, clip: int) -> tuple[int, int]:
    """Return the lowest and highest stored value; raise `InvalidConfig` if they are no window of so many bits."""
    check_option("bits", bits, 8, 16)
    check_option("clip", clip, 0, 1)
    if bits == 8:
        if (low, high, clip) != (None, None, 0):
            raise InvalidConfig("low, high and clip are for images of 9 to 16 bits; bits is 8")
        return 0, 255
    low = 0 if low is None else low
    check_option("low", low, -(2**15), 2**16 - 1)
    most = 2**15 - 1 if low < 0 else 2**16 - 1  # of int16 or uint16
    high = min(low + 2**bits - 1, most) if high is None else high
    check_option("high", high, -(2**15), most)
    if not LEAST_WIDTH <= high - low + 1 <= 2**bits:
        raise InvalidConfig(
            f"low is {low} and high is {high}; expected {LEAST_WIDTH} to {2**bits} values of {bits} bits"
        )
    return low, high
