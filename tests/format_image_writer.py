"""The encoder of `image/dct` once more, from `docs/format.md` alone, with the planes of `format_image`."""

import numpy as np

from format_image import planes, to_pixels, to_samples


def nearest(value, step):
    return (2 * value + step) // (2 * step)


def quantise(block, plane, base, scale=1, shift=26):
    """Return the levels {position: level} of a block of samples (h, w); `base` times `scale` is in samples."""
    height, width = block.shape
    c = (plane.forward(height).T @ block @ plane.forward(width) + 2 ** (shift - 1)) >> shift
    levels = {0: int(nearest(c[0, 0] - scale * base * plane.side, plane.steps[0]))}
    zeros = 0
    for position, step in list(enumerate(plane.steps))[1:]:
        value = int(c[plane.order[position]])
        zeros += 1
        if 32 * abs(value) >= step * (18 + min(zeros - 1, 10)):
            size = (16 * abs(value) + 7 * step) // (16 * step)
            levels[position] = size if value > 0 else -size
            zeros = 0
    return levels


class Tile:
    """Pixels (h, w, 1 or 3) that are encoded together, at (y, x); `first` sets the base."""

    def __init__(self, pixels, kinds, first):
        self.shape, self.kinds, self.first = pixels.shape[:2], kinds, first
        self.blocks = [(p, place) for p, plane in enumerate(kinds) for place in self.places(plane)]

    def places(self, plane):
        height, width = self.shape
        return [(y, x) for y in range(0, height, plane.side) for x in range(0, width, plane.side)]

    def measure(self, pixels, bases):
        """Return the levels of each block and the bases."""
        samples = sample_planes(pixels)
        if self.first:
            means = [s[:8, :8] if p == 0 else s for p, s in enumerate(samples)]
            bases = [np.full((1, 1), nearest(int(m.sum()), m.size)) for m in means]
            bases = to_samples([int(value) for value in to_pixels(bases)[0, 0]])
        levels = {}
        for p, (y, x) in self.blocks:
            side = self.kinds[p].side
            levels[p, y, x] = quantise(samples[p][y : y + side, x : x + side], self.kinds[p], bases[p])
            if self.first and (y, x) == (0, 0):
                levels[p, y, x][0] = 0
        return levels, bases

    def paint(self, levels, bases):
        height, width = self.shape
        samples = [np.zeros(self.shape, np.int64) for _ in self.kinds]
        for p, (y, x) in self.blocks:
            plane = self.kinds[p]
            h, w = min(plane.side, height - y), min(plane.side, width - x)
            samples[p][y : y + h, x : x + w] = plane.samples(levels[p, y, x], bases[p], h, w)
        return to_pixels(samples)

    def settle(self, pixels, bases):
        painted = None
        for a in range(64):
            levels, bases = self.measure(pixels, bases)
            if a and (levels, bases) == painted:
                return levels, bases
            if a > 16:
                levels = {key: soften(block) for key, block in levels.items()}
            painted = levels, bases
            pixels = self.paint(levels, bases)
        return self.flat(levels, bases)

    def flat(self, levels, bases):
        steps = [plane.steps[0] for plane in self.kinds]
        if self.first:
            base = min(max(16 * nearest(bases[0], 16), -512), 512)
            return {key: {0: 0} for key in levels}, [base] + [0] * (len(bases) - 1)
        g = min(max(bases[0] + levels[0, 0, 0][0] * steps[0] // 8, -512), 512)
        means = [nearest(8 * (g - bases[0]), steps[0])]
        means += [nearest(-self.kinds[p].side * bases[p], steps[p]) for p in range(1, len(bases))]
        return {(p, y, x): {0: means[p]} for p, y, x in levels}, bases


def soften(block):
    out = {0: block[0]}
    for position, value in list(block.items())[1:]:
        size = abs(value) - (abs(value) + 7) // 8
        if size:
            out[position] = size if value > 0 else -size
    return out


def sample_planes(pixels):
    """Return the samples (h, w) of each plane of pixels (h, w, channels)."""
    return to_samples([pixels[:, :, channel].astype(np.int64) for channel in range(pixels.shape[2])])


def cut(image, config):
    """Return the patches of an image's symbols."""
    channels = 0 if image.ndim == 2 else image.shape[2]
    pixels = image.reshape(*image.shape[:2], -1)
    kinds = planes(channels, config)
    patches = [number(channels) + number(image.shape[0]) + number(image.shape[1])]
    for at in range(0, len(kinds), 3):
        part = kinds[at : at + 3]
        levels, bases = settled(pixels[:, :, at : at + 3], part)
        colour = to_pixels([np.full((1, 1), base) for base in bases])[0, 0]
        for blocks, value in zip(levels, colour, strict=True):
            for block in spelled(blocks, int(value)):
                if len(patches[-1]) + len(block) > 512:
                    patches.append([])
                patches[-1] += block
    return patches


def settled(pixels, kinds):
    """Return the levels of each plane's blocks {(row, column): levels}, and the bases."""
    side, bases = kinds[-1].side, None
    levels = [{} for _ in kinds]
    for y in range(0, pixels.shape[0], side):
        for x in range(0, pixels.shape[1], side):
            source = pixels[y : y + side, x : x + side]
            tile, bases = Tile(source, kinds, y + x == 0).settle(source, bases)
            for (p, dy, dx), block in tile.items():
                levels[p][(y + dy) // kinds[p].side, (x + dx) // kinds[p].side] = block
    return levels, bases


def spelled(blocks, value):
    """Give the symbols of each block of a plane whose base colour has `value`."""
    for (row, column), block in sorted(blocks.items()):
        if (row, column) == (0, 0):
            out = [value]
        else:
            near = [blocks[place][0] for place in ((row, column - 1), (row - 1, column)) if place in blocks]
            out = signed(block[0] - sum(near) // len(near), 32, 288)
        last = 0
        for position, level in block.items():
            if position:
                zeros = position - last - 1
                base = 321 + 8 * (zeros % 16) + (4 if level < 0 else 3)
                out += [449] * (zeros // 16) + signed(level, 4, base)
                last = position
        yield out


def signed(value, far, base):
    near = min(max(value, -far), far)
    return [base + near] + (number(abs(value) - far) if abs(near) == far else [])


def number(value):
    return [value] if value < 128 else [value % 128 + 128, *number(value // 128)]
