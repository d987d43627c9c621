"""Samples -> quantised levels: the forward transform of a row of blocks, in float32 and exactly where that is in doubt.

A row of blocks is transformed together, first down its columns, then each block along its rows. The error of float32
is bounded, below 0.06 units, so only the few coefficients closer than that to a change of level are computed again in
integers. The levels are exact, whatever the order of sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import SCALE, WIDTH, Levels, Plane, Samples, Whole, Work, add_row
from ult.codecs.dct.simd import lowest, make_times
from ult.host.kernel import njit

_ONE, _THREE, _SEVEN, _WIDE = np.uint64(1), np.uint64(3), np.uint64(7), np.uint64(WIDTH)  # for indices never negative
_EIGHT, _SIXTEEN = np.uint64(8), np.uint64(16)
_times8, _times16 = make_times(8, WIDTH), make_times(16, WIDTH)


@njit(cache=True, _nrt=False)
def forward(samples: Samples, matrix: Samples, width: int, work: Work) -> None:
    """Fill `work.once` with the eight frequencies of `width` columns of `samples` (n, WIDTH); `matrix` is quick[n].

    A row and its mirror image have equal weights in even frequencies and opposite weights in odd ones.
    """
    n = len(samples)
    if n == 8:
        _eight(samples.reshape(-1), matrix, width, work.once)
        return
    if n == 16:
        _sixteen(samples.reshape(-1), matrix, width, work.once)
        return
    half = (n + 1) // 2
    quarters = 1 if n <= 8 else 2
    even, odd = work.even, work.odd
    for k in range(4 * quarters):
        at = slice(k * WIDTH, k * WIDTH + width)
        row, difference = even[at], odd[at]
        if k >= half:
            row[:] = 0
            difference[:] = 0
        elif k == n - 1 - k:
            for j in range(width):
                row[j] = samples[k, j]
            difference[:] = 0
        else:
            _fold(samples[k], samples[n - 1 - k], row, difference)
    for quarter in range(quarters):
        start = 32 * quarter
        _mix(matrix[start:], even[4 * quarter * WIDTH :], width, work.once, quarter > 0)
        _mix(matrix[start + 1 :], odd[4 * quarter * WIDTH :], width, work.once[WIDTH:], quarter > 0)


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _dot(m: Samples, k: np.uint64, a: np.float32, b: np.float32, c: np.float32, d: np.float32) -> np.float32:
    return m[k] * a + m[k + _EIGHT] * b + m[k + _SIXTEEN] * c + m[k + _EIGHT + _SIXTEEN] * d  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _eight(s: Samples, m: Samples, width: int, out: Samples) -> None:
    """`forward` for n = 8 in a single loop, because short loops take as long to start as to run."""
    for j in range(np.uint64(width)):
        a, b = s[j + np.uint64(0 * WIDTH)], s[j + np.uint64(7 * WIDTH)]
        e0, o0 = a + b, a - b
        a, b = s[j + np.uint64(1 * WIDTH)], s[j + np.uint64(6 * WIDTH)]
        e1, o1 = a + b, a - b
        a, b = s[j + np.uint64(2 * WIDTH)], s[j + np.uint64(5 * WIDTH)]
        e2, o2 = a + b, a - b
        a, b = s[j + np.uint64(3 * WIDTH)], s[j + np.uint64(4 * WIDTH)]
        e3, o3 = a + b, a - b
        out[j + np.uint64(0 * WIDTH)] = _dot(m, np.uint64(0), e0, e1, e2, e3)
        out[j + np.uint64(1 * WIDTH)] = _dot(m, np.uint64(1), o0, o1, o2, o3)
        out[j + np.uint64(2 * WIDTH)] = _dot(m, np.uint64(2), e0, e1, e2, e3)
        out[j + np.uint64(3 * WIDTH)] = _dot(m, np.uint64(3), o0, o1, o2, o3)
        out[j + np.uint64(4 * WIDTH)] = _dot(m, np.uint64(4), e0, e1, e2, e3)
        out[j + np.uint64(5 * WIDTH)] = _dot(m, np.uint64(5), o0, o1, o2, o3)
        out[j + np.uint64(6 * WIDTH)] = _dot(m, np.uint64(6), e0, e1, e2, e3)
        out[j + np.uint64(7 * WIDTH)] = _dot(m, np.uint64(7), o0, o1, o2, o3)


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _sixteen(s: Samples, m: Samples, width: int, out: Samples) -> None:
    """`forward` for n = 16 in a single loop."""
    for j in range(np.uint64(width)):
        a, b = s[j + np.uint64(0 * WIDTH)], s[j + np.uint64(15 * WIDTH)]
        e0, o0 = a + b, a - b
        a, b = s[j + np.uint64(1 * WIDTH)], s[j + np.uint64(14 * WIDTH)]
        e1, o1 = a + b, a - b
        a, b = s[j + np.uint64(2 * WIDTH)], s[j + np.uint64(13 * WIDTH)]
        e2, o2 = a + b, a - b
        a, b = s[j + np.uint64(3 * WIDTH)], s[j + np.uint64(12 * WIDTH)]
        e3, o3 = a + b, a - b
        a, b = s[j + np.uint64(4 * WIDTH)], s[j + np.uint64(11 * WIDTH)]
        e4, o4 = a + b, a - b
        a, b = s[j + np.uint64(5 * WIDTH)], s[j + np.uint64(10 * WIDTH)]
        e5, o5 = a + b, a - b
        a, b = s[j + np.uint64(6 * WIDTH)], s[j + np.uint64(9 * WIDTH)]
        e6, o6 = a + b, a - b
        a, b = s[j + np.uint64(7 * WIDTH)], s[j + np.uint64(8 * WIDTH)]
        e7, o7 = a + b, a - b
        out[j + np.uint64(0 * WIDTH)] = _dot(m, np.uint64(0), e0, e1, e2, e3) + _dot(m, np.uint64(32), e4, e5, e6, e7)
        out[j + np.uint64(1 * WIDTH)] = _dot(m, np.uint64(1), o0, o1, o2, o3) + _dot(m, np.uint64(33), o4, o5, o6, o7)
        out[j + np.uint64(2 * WIDTH)] = _dot(m, np.uint64(2), e0, e1, e2, e3) + _dot(m, np.uint64(34), e4, e5, e6, e7)
        out[j + np.uint64(3 * WIDTH)] = _dot(m, np.uint64(3), o0, o1, o2, o3) + _dot(m, np.uint64(35), o4, o5, o6, o7)
        out[j + np.uint64(4 * WIDTH)] = _dot(m, np.uint64(4), e0, e1, e2, e3) + _dot(m, np.uint64(36), e4, e5, e6, e7)
        out[j + np.uint64(5 * WIDTH)] = _dot(m, np.uint64(5), o0, o1, o2, o3) + _dot(m, np.uint64(37), o4, o5, o6, o7)
        out[j + np.uint64(6 * WIDTH)] = _dot(m, np.uint64(6), e0, e1, e2, e3) + _dot(m, np.uint64(38), e4, e5, e6, e7)
        out[j + np.uint64(7 * WIDTH)] = _dot(m, np.uint64(7), o0, o1, o2, o3) + _dot(m, np.uint64(39), o4, o5, o6, o7)


@njit(cache=True, _nrt=False)
def _fold(row: Samples, mirror: Samples, even: Samples, odd: Samples) -> None:
    for j in range(len(even)):
        a, b = row[j], mirror[j]
        even[j] = a + b
        odd[j] = a - b


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _mix(m: Samples, part: Samples, width: int, out: Samples, add: bool) -> None:
    """Set every other row of `out` to a weighted sum of four rows of `part`, or add it if `add`."""
    a0, a1, a2, a3 = m[0], m[8], m[16], m[24]
    b0, b1, b2, b3 = m[2], m[10], m[18], m[26]
    c0, c1, c2, c3 = m[4], m[12], m[20], m[28]
    d0, d1, d2, d3 = m[6], m[14], m[22], m[30]
    keep = np.float32(1 if add else 0)
    for j in range(width):
        p, q, r, s = part[j], part[j + WIDTH], part[j + 2 * WIDTH], part[j + 3 * WIDTH]
        out[j] = keep * out[j] + (a0 * p + a1 * q + a2 * r + a3 * s)
        out[j + 2 * WIDTH] = keep * out[j + 2 * WIDTH] + (b0 * p + b1 * q + b2 * r + b3 * s)
        out[j + 4 * WIDTH] = keep * out[j + 4 * WIDTH] + (c0 * p + c1 * q + c2 * r + c3 * s)
        out[j + 6 * WIDTH] = keep * out[j + 6 * WIDTH] + (d0 * p + d1 * q + d2 * r + d3 * s)


@njit(cache=True, _nrt=False)
def along(work: Work, plane: Plane, width: int, lanes: tuple[int, int, int], start: int, pitch: int) -> None:
    """Fill blocks `lanes` (start, stop, step) of `work.twice` with the frequencies along the rows of `work.once`.

    The blocks are `width` columns wide; they begin at column `start`, `start + pitch`, and so on.
    """
    matrix, once, twice = plane.quick[width], work.once, work.twice
    first, stop, step = lanes
    at = start
    for lane in range(first, stop, step):
        if plane.side == 8:
            _times8(once, at, matrix, twice, 8 * lane)
        else:
            _times16(once, at, matrix, twice, 8 * lane)
        at += pitch


@njit(cache=True, _nrt=False)
def mark(coefficients: Samples, least: Samples, width: int, marks: NDArray[np.uint8]) -> None:
    """Set bit u of `marks[j]` where the magnitude of coefficient (u, j) is at least `least`, for `width` columns."""
    for j in range(width):
        bits = np.int32(0)
        for u in range(8):
            bits |= np.int32(abs(coefficients[u * WIDTH + j]) >= least[u * WIDTH + j]) << np.int32(u)
        marks[j] = bits


@njit(cache=True, _nrt=False)
def _exact(samples: Samples, start: np.uint64, width: int, place: np.uint64, plane: Plane) -> float:
    """Return coefficient `place` (8 * row + column) of the block at column `start` of `samples` (n, WIDTH), exactly."""
    down, along = plane.forward[len(samples)], plane.forward[width]
    total = 0.0
    for j in range(np.uint64(width)):
        column = 0.0
        for i in range(np.uint64(len(samples))):
            column += np.float64(samples[i, start + j]) * down[(i << _THREE) + (place >> _THREE)]
        total += column * along[(j << _THREE) + (place & _SEVEN)]
    return np.floor(total * SCALE**2 + 0.5)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def _level(size: float, part: float) -> tuple[float, np.int64]:
    """Return the level of a coefficient's magnitude, and the longest run of zeros after which it stays non-zero.

    `part` is 1 / step. The dead zone grows from 9/16 to 7/8 of a step with the run of zeros before, because a 1 after
    many zeros costs most: 2 % fewer ids at equal PSNR. Rounding down is exact: the half that is added keeps products
    farther from an integer than their error.
    """
    zeros = np.int64((32 * size + 0.5) * part) - 18
    return np.floor((size + 0.03125) * part + 0.4375), (zeros if zeros < 10 else np.int64(64))


@njit(cache=True, _nrt=False)
def _mean(value: float, part: float) -> float:
    """Return the integer nearest to value / step, halves rounded up; `part` is 1 / step."""
    return np.floor((value + 0.25) * part + 0.5)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def quantise(
    samples: Samples,
    columns: tuple[int, int, int],
    plane: Plane,
    base: int,
    block: int,
    lanes: tuple[int, int],
    work: Work,
    tiles: Levels,
    room: Whole,
) -> int:
    """Quantise one `block` of each of `tiles`: fill `tiles[:, block]` with levels and `room[:, block]` with margins.

    `lanes` are the first block in `work.twice` and the distance to the next. `columns` are the first block's start in
    `samples`, the pitch and the width of the blocks. If `work.paints`, the blocks (whole ones) are transformed back
    along their rows and added to `work.rows`. Return the highest row used there.

    The decoded samples encode to the same levels if the change by rounding and clipping their pixels has a Euclidean
    norm below `room`. A coefficient moves by at most that norm, the half unit by which each decoded sample is rounded,
    the rounding of coefficients, and the drift of the matrices.
    """
    side, steps, parts, order = plane.side, plane.steps, plane.parts, plane.order
    doubt, spread = plane.doubt, plane.spread
    coefficients, marks, rows, matrix = work.twice, work.marks, work.rows, plane.inverse[side]
    start, pitch, width = columns
    paints = work.paints
    lane, across = lanes
    base *= side
    highest = np.uint64(0)
    for t in range(len(tiles)):
        levels = tiles[t, block]
        at = np.uint64(start + t * pitch)
        corner = np.uint64(8 * lane)
        value = np.float64(coefficients[corner]) + 0.5
        low = np.floor(value - doubt)
        mean = _mean(low - base, parts[0])
        if low != np.floor(value + doubt) and mean != _mean(low + 1 - base, parts[0]):
            mean = _mean(_exact(samples, at, width, np.uint64(0), plane) - base, parts[0])
        levels[0] = np.int16(mean)
        value = mean * steps[0] + base
        total = abs(value)
        if paints:
            add_row(rows, at, matrix, np.uint64(0), value, side)
        margin = 14 * steps[min(1, len(levels) - 1)]  # distance to the nearest value with another level, in 1/32
        last = np.uint64(0)
        bits = np.uint64(0)
        for v in range(np.uint64(8)):
            bits |= spread[v, marks[corner + v]]
        while bits:
            position = lowest(bits)
            bits &= bits - _ONE
            place = order[position]
            row, column = place >> _THREE, place & _SEVEN
            value = np.float64(coefficients[row * _WIDE + corner + column])
            size = abs(value) + 0.5
            low = np.floor(size - doubt)
            level, zeros = _level(low, parts[position])
            if low != np.floor(size + doubt) and (level, zeros) != _level(low + 1, parts[position]):
                level, zeros = _level(abs(_exact(samples, at, width, place, plane)), parts[position])
            run = np.int64(position - last) - 1
            kept = run <= zeros
            last = position if kept else last
            step = steps[position]
            level *= kept
            near = step * (14 - min(run, np.int64(10)))
            margin = near if (level == 1) & (near < margin) else margin
            level = np.copysign(level, value)
            levels[position] = np.int16(level)
            value = level * step
            total += abs(value)
            highest = max(highest, row)
            if paints:
                add_row(rows, row * _WIDE + at, matrix, column * np.uint64(side), value, side)
        least = min(margin / 32, steps[0] / 2)
        room[t, block] = (least - 2 - plane.drift * total) * 0.998 - side / 2
        lane += across
    return int(highest)
