"""`image/dct` once more, from `docs/format.md` alone: in Python's integers, with NumPy for the matrices' products."""

import numpy as np


class Refused(Exception):
    """What the document says to refuse."""


def must(condition, what):
    if not condition:
        raise Refused(what)


class Plane:
    """What a plane of blocks of side S needs: steps by position, matrices by length."""

    def __init__(self, side, quality, kept):
        t = 4 * 2 ** ((100 - quality) / 12.5)
        f = 0.64 / side if kept == 8 else 0
        self.side, self.kept = side, kept
        self.order = []  # (u, v) of each position
        for diagonal in range(2 * kept - 1):
            line = [(u, diagonal - u) for u in range(kept) if 0 <= diagonal - u < kept]
            self.order += line if diagonal % 2 else line[::-1]
        self.steps = [round(16 * t * (1 + (u + v) * f)) for u, v in self.order]
        self.steps[0] = round(16 * max(0.7 * t, 1.25 * side))

    def _cosines(self, n):
        """Return c(u) C (8, n), and which frequencies there are."""
        u, x = np.arange(8)[:, None], np.arange(n)
        there = u < min(self.kept, -(-8 * n // self.side))
        return np.where(there, np.where(u, np.sqrt(2), 1) * np.cos((2 * x + 1) * u * np.pi / (2 * n)), 0)

    def inverse(self, n):
        return np.rint(8192 * self._cosines(n) / np.sqrt(self.side)).astype(np.int64)  # (u, x)

    def forward(self, n):
        return np.rint(8192 * self._cosines(n).T * np.sqrt(self.side) / n).astype(np.int64)  # (x, u)

    def samples(self, levels, base, height, width):
        """Return the samples (height, width) of a block."""
        coefficients = np.zeros((8, 8), np.int64)
        for position, level in levels.items():
            value = level * self.steps[position] + (base * self.side if position == 0 else 0)
            coefficients[self.order[position]] = min(max(value, -65536), 65536)
        total = self.inverse(height).T @ coefficients @ self.inverse(width)
        return (total + 2**25) >> 26


def planes(channels, config):
    """Return the planes Y, Cb, Cr, A, as many as there are."""
    quality, kept = config["quality"], config["coefficients"]
    luma, chroma = Plane(8, quality, kept), Plane(16 if kept == 8 else 8, quality, kept)
    return [luma] if channels == 0 else [luma, chroma, chroma, luma][:channels]


def to_samples(pixel):
    """Return the samples of a colour's channels."""
    bases = [16 * (value - 128) for value in pixel]
    if len(pixel) >= 3:
        r, g, b = pixel[:3]
        bases[0] = (19595 * r + 38470 * g + 7471 * b + 2048) // 4096 - 2048
        bases[1] = (-11058 * r - 21710 * g + 32768 * b + 2048) // 4096
        bases[2] = (32768 * r - 27439 * g - 5329 * b + 2048) // 4096
    return bases


def to_pixels(samples):
    """Return uint8 (h, w, channels) of a list of planes of samples (h, w)."""
    out = [2**14 * plane for plane in samples]
    if len(samples) >= 3:
        y, cb, cr = 2**14 * samples[0], samples[1], samples[2]
        out[:3] = y + 22970 * cr, y - 5638 * cb - 11700 * cr, y + 29032 * cb
    # floor(x / 2^18 + 128.5)
    return np.stack([np.clip((plane + 257 * 2**17) >> 18, 0, 255) for plane in out], -1).astype(np.uint8)


class Reader:
    """Symbols, one after the other."""

    def __init__(self, symbols):
        self.symbols, self.at = symbols, 0

    def peek(self):
        return self.symbols[self.at] if self.at < len(self.symbols) else -1

    def next(self):
        must(self.at < len(self.symbols), "symbols break off")
        self.at += 1
        return self.symbols[self.at - 1]

    def number(self):
        value = 0
        for digit in range(5):
            symbol = self.next()
            must(symbol < 256, "no number")
            value += (symbol % 128) << (7 * digit)
            if symbol < 128:
                return value
        raise Refused("a number too long")

    def signed(self, near, far):
        if abs(near) < far:
            return near
        return near + self.number() if near > 0 else near - self.number()


def decode(symbols, config):
    reader = Reader(symbols)
    channels, height, width = reader.number(), reader.number(), reader.number()
    must(channels in (0, 3, 4) and 0 < height * width * max(channels, 1) <= config["max_length"], "no image")
    kinds = planes(channels, config)
    colour, levels = [], []
    for plane in kinds:
        rows, columns = -(-height // plane.side), -(-width // plane.side)
        must(len(symbols) - reader.at >= rows * columns, "fewer symbols than blocks")
        first = reader.next()
        must(first < 256, "no base")
        colour.append(first)
        levels.append(read_blocks(reader, plane, rows, columns))
    must(reader.at == len(symbols), "symbols left over")
    return painted(levels, to_samples(colour), kinds, channels, height, width, config)


def painted(levels, bases, kinds, channels, height, width, _):
    """Return the image of the levels of each plane's blocks {(row, column): levels}."""
    samples = []
    for plane, base, blocks in zip(kinds, bases, levels, strict=True):
        out = np.zeros((height, width), np.int64)
        for (row, column), block in blocks.items():
            y, x = row * plane.side, column * plane.side
            h, w = min(plane.side, height - y), min(plane.side, width - x)
            out[y : y + h, x : x + w] = plane.samples(block, base, h, w)
        samples.append(out)
    image = to_pixels(samples)
    return image if channels else image[:, :, 0]


def read_blocks(reader, plane, rows, columns):
    """Return the levels {position: level} of each block (row, column) of a plane, whose base is read."""
    blocks = {}
    for row in range(rows):
        for column in range(columns):
            mean = 0
            if row or column:
                left = blocks[row, column - 1][0] if column else None
                upper = blocks[row - 1, column][0] if row else None
                expected = upper if left is None else left if upper is None else (left + upper) // 2
                symbol = reader.next()
                must(256 <= symbol <= 320, "no mean")
                mean = expected + reader.signed(symbol - 288, 32)
                must(abs(mean) <= 32767, "a mean too large")
            blocks[row, column] = {0: mean, **read_levels(reader, plane)}
    return blocks


def read_levels(reader, plane):
    levels, position, zeros = {}, 1, False
    while reader.peek() >= 321:
        symbol = reader.next()
        zeros = symbol == 449
        if zeros:
            position += 16
            continue
        run, place = divmod(symbol - 321, 8)
        position += run
        value = reader.signed(place - 4 if place < 4 else place - 3, 4)
        must(position < plane.kept**2 and abs(value) <= 32767, "a level beyond the block")
        levels[position] = value
        position += 1
    must(not zeros, "zeros before nothing")
    return levels
