"""`image/dct` with `places` once more, from `docs/format.md` alone: other symbols for the levels of the other files."""

import format_deep
import format_image
from format_image import Reader, must, planes, to_samples
from format_image_writer import nearest, settled


class Code:
    """The symbols of one config."""

    def __init__(self, config):
        self.n, self.deep = config["places"], "bits" in config
        deep = format_deep.Deep(config) if self.deep else None
        order, step = (deep or planes(0, config)[0]).order, (deep or planes(0, config)[0]).steps[0]
        self.width = deep.width if deep else 256
        self.middle = self.width // 2
        reach = nearest(128 * (self.width - 1 - self.middle) if deep else 16384, step)
        self.fine = 1 + reach // 33
        self.digits = -(-(self.fine - 1).bit_length() // 4)
        self.band = [(u + v).bit_length() for u, v in order]
        self.far = [4 if band < 3 else 2 for band in self.band]
        self.level = {}  # (position, value or escape) -> symbol
        for position in range(1, len(order)):
            for value in range(-self.far[position], self.far[position] + 1):
                if value:
                    self.level[position, value] = 81 + 4 * self.n**2 + len(self.level)
        self.meaning = {symbol: key for key, symbol in self.level.items()}
        self.alphabet = 81 + 4 * self.n**2 + len(self.level)

    def kinds(self, channels, config):
        return [format_deep.Deep(config)] * max(channels, 1) if self.deep else planes(channels, config)

    def offset(self, base, plane):
        value = 128 * (base - self.middle) if self.deep else base * plane.side
        return nearest(value, plane.steps[0])

    def place(self, p, row, column, rows, columns):
        return 81 + (p * self.n + row * self.n // rows) * self.n + column * self.n // columns


class Short(Reader):
    """Numbers of 3 bits a symbol."""

    def number(self):
        value = 0
        for digit in range(11):
            symbol = self.next()
            must(symbol < 16, "no number")
            value += (symbol % 8) << (3 * digit)
            if symbol < 8:
                return value
        raise format_image.Refused("a number too long")


def number(value):
    return [value] if value < 8 else [value % 8 + 8, *number(value // 8)]


def decode(symbols, config):
    code, reader = Code(config), Short(symbols)
    channels, height, width = reader.number(), reader.number(), reader.number()
    must(channels in (0, 3, 4) and 0 < height * width * max(channels, 1) <= config["max_length"], "no image")
    kinds, bases, levels = code.kinds(channels, config), [], []
    for p, plane in enumerate(kinds):
        rows, columns = -(-height // plane.side), -(-width // plane.side)
        must(len(symbols) - reader.at >= rows * columns, "fewer symbols than blocks")
        base, blocks = 0, {}
        for row in range(rows):
            for column in range(columns):
                place = code.place(p, row, column, rows, columns)
                if row + column == 0:
                    base, mean = reader.number(), None
                    must(base < code.width and reader.next() == place, "no base")
                else:
                    mean = read_mean(reader, code, place)
                blocks[row, column] = {0: mean, **read_bands(reader, code, place)}
        bases.append(base)
        levels.append(blocks)
    must(reader.at == len(symbols), "symbols left over")
    sampled = bases if code.deep else to_samples(bases)
    for plane, base, blocks in zip(kinds, sampled, levels, strict=True):
        for block in blocks.values():
            block[0] = 0 if block[0] is None else block[0] - code.offset(base, plane)
    painted = format_deep.painted if code.deep else format_image.painted
    return painted(levels, sampled, kinds, channels, height, width, config)


def read_mean(reader, code, place):
    symbol = reader.next()
    must(16 <= symbol <= 80, "no mean")
    c = reader.signed(symbol - 48, 32)
    must(abs(c) <= 16383 // code.fine - 1 and reader.next() == place, "a mean too large, or elsewhere")
    rest = 0
    for _ in range(code.digits):
        digit = reader.next()
        must(digit < 16, "no digit")
        rest = 16 * rest + digit
    must(rest < code.fine, "no remainder")
    return c * code.fine + rest - code.fine // 2


def read_bands(reader, code, place):
    levels, band, last = {}, 0, 0
    while reader.peek() >= 81:
        begins = reader.peek() == place
        if begins:
            reader.next()
        must(reader.peek() in code.meaning, "no level")
        position, near = code.meaning[reader.next()]
        now = code.band[position]
        must(now > band if begins else now == band and position > last, "a level out of order")
        value = reader.signed(near, code.far[position])
        must(abs(value) <= 32767, "a level too large")
        levels[position], band, last = value, now, position
    return levels


def cut(image, config):
    """Return the patches of an image's symbols."""
    code, channels = Code(config), 0 if image.ndim == 2 else image.shape[2]
    kinds, written, bases = code.kinds(channels, config), [], []
    if code.deep:
        written, bases = format_deep.settled(image, config)
    else:
        pixels = image.reshape(*image.shape[:2], -1)
        for at in range(0, len(kinds), 3):
            levels, found = settled(pixels[:, :, at : at + 3], kinds[at : at + 3])
            colour = format_image.to_pixels([base + 0 * pixels[:1, :1, 0].astype(int) for base in found])[0, 0]
            written, bases = written + levels, bases + [int(value) for value in colour]
    sampled = bases if code.deep else to_samples(bases)
    patches = [number(channels) + number(image.shape[0]) + number(image.shape[1])]
    for p, (plane, blocks) in enumerate(zip(kinds, written, strict=True)):
        rows, columns = (1 + max(place[axis] for place in blocks) for axis in (0, 1))
        for (row, column), block in sorted(blocks.items()):
            place = code.place(p, row, column, rows, columns)
            if row + column == 0:
                patches.append([*number(bases[p]), place])
            else:
                patches.append(mean(block[0] + code.offset(sampled[p], plane), place, code))
            for band in range(1, 5):
                some = [(at, v) for at, v in block.items() if v and at and code.band[at] == band]
                if some:
                    patches.append([place, *(symbol for at, v in some for symbol in spelled(at, v, code))])
    return patches


def mean(value, place, code):
    c, rest = divmod(value + code.fine // 2, code.fine)
    near = min(max(c, -32), 32)
    digits = [rest >> 4 * k & 15 for k in range(code.digits)][::-1]
    return [48 + near, *(number(abs(c) - 32) if abs(near) == 32 else []), place, *digits]


def spelled(position, value, code):
    far = code.far[position]
    near = min(max(value, -far), far)
    return [code.level[position, near], *(number(abs(value) - far) if abs(near) == far else [])]
