"""`image/dct` of more than 8 bits once more, from `docs/format.md` alone."""

import numpy as np

from format_image import Plane, Reader, must, read_blocks
from format_image_writer import nearest, number, quantise, soften, spelled


class Deep(Plane):
    """A plane of stored values less the lowest."""

    def __init__(self, config):
        super().__init__(8, config["quality"], config["coefficients"])
        self.width = config["high"] - config["low"] + 1
        self.middle = self.width // 2
        depth = max(8, (self.width - 1).bit_length())
        t = 4 * 2 ** ((100 - config["quality"]) / 12.5) * 2 ** max(depth - 13, 0)
        f = 0.08 if self.kept == 8 else 0
        self.steps = [round(16 * t * (1 + (u + v) * f)) for u, v in self.order]
        self.steps[0] = round(16 * max(0.7 * t, 10))

    def inverse(self, n):
        return np.rint(2**16 * self._cosines(n)).astype(np.int64)

    def forward(self, n):
        return np.rint(2**19 * self._cosines(n).T / n).astype(np.int64)

    def stored(self, levels, base, height, width):
        """Return the stored values, less the lowest, of a block."""
        coefficients = np.zeros((8, 8), np.int64)
        for position, level in levels.items():
            value = level * self.steps[position] + (128 * (base - self.middle) if position == 0 else 0)
            coefficients[self.order[position]] = min(max(value, -(2**23)), 2**23)
        sample = (self.inverse(height).T @ coefficients @ self.inverse(width) + 2**34) >> 35
        return np.clip((sample + 8 >> 4) + self.middle, 0, self.width - 1)

    def levels(self, values, base):
        return quantise(16 * (values - self.middle), self, base - self.middle, scale=16, shift=35)

    def settle(self, values, base, first):
        """Return the levels and the base of a tile."""
        painted = None
        for a in range(64):
            if first:
                base = nearest(int(values.sum()), values.size)
            levels = self.levels(values, base)
            if first:
                levels[0] = 0
            if a and (levels, base) == painted:
                return levels, base
            if a > 16:
                levels = soften(levels)
            painted = levels, base
            values = self.stored(levels, base, *values.shape)
        if first:
            return {0: 0}, base
        middle, b = 16 * (base - self.middle), 16 * ((self.width - 1) // 2) - self.steps[0] // 8
        g = min(max(middle + levels[0] * self.steps[0] // 8, -b), b)
        return {0: nearest(8 * (g - middle), self.steps[0])}, base


def decode(symbols, config):
    reader, plane = Reader(symbols), Deep(config)
    channels, height, width = reader.number(), reader.number(), reader.number()
    must(channels in (0, 3, 4) and 0 < height * width * max(channels, 1) <= config["max_length"], "no image")
    rows, columns = -(-height // 8), -(-width // 8)
    bases, levels = [], []
    for _ in range(max(channels, 1)):
        must(len(symbols) - reader.at >= rows * columns, "fewer symbols than blocks")
        bases.append(reader.number())
        must(bases[-1] < plane.width, "a base beyond the window")
        levels.append(read_blocks(reader, plane, rows, columns))
    must(reader.at == len(symbols), "symbols left over")
    return painted(levels, bases, [plane] * len(bases), channels, height, width, config)


def painted(levels, bases, kinds, channels, height, width, config):
    """Return the image of the levels of each channel's blocks {(row, column): levels}."""
    out = np.zeros((height, width, len(kinds)), np.int64)
    for channel, (plane, base, blocks) in enumerate(zip(kinds, bases, levels, strict=True)):
        for (row, column), block in blocks.items():
            y, x = 8 * row, 8 * column
            h, w = min(8, height - y), min(8, width - x)
            out[y : y + h, x : x + w, channel] = plane.stored(block, base, h, w)
    image = (out + config["low"]).astype(np.int16 if config["low"] < 0 else np.uint16)
    return image if channels else image[:, :, 0]


def cut(image, config):
    """Return the patches of an image's symbols."""
    channels = 0 if image.ndim == 2 else image.shape[2]
    patches = [number(channels) + number(image.shape[0]) + number(image.shape[1])]
    for blocks, base in zip(*settled(image, config), strict=True):
        for place, block in enumerate(spelled(blocks, 0)):
            spelling = block if place else number(base) + block[1:]
            if len(patches[-1]) + len(spelling) > 512:
                patches.append([])
            patches[-1] += spelling
    return patches


def settled(image, config):
    """Return the levels of each channel's blocks {(row, column): levels}, and the bases."""
    plane = Deep(config)
    stored = image.reshape(*image.shape[:2], -1).astype(np.int64) - config["low"]
    must(config["clip"] or (stored.min() >= 0 and stored.max() < plane.width), "a value outside the window")
    stored = np.clip(stored, 0, plane.width - 1)
    levels, bases = [], []
    for channel in range(stored.shape[2]):
        base, blocks = 0, {}
        for y in range(0, image.shape[0], 8):
            for x in range(0, image.shape[1], 8):
                tile = stored[y : y + 8, x : x + 8, channel]
                blocks[y // 8, x // 8], base = plane.settle(tile, base, y + x == 0)
        levels.append(blocks)
        bases.append(base)
    return levels, bases
