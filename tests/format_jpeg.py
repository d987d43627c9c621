"""`image/jpeg` once more, from `docs/format.md` alone: files are read and written bit by bit, as texts of 0 and 1."""

import format_places
from format_image import must

RATIOS = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4)]
# T.81 K.3: how many codes there are of each length, then the symbols; of means and levels of Y, then of Cb and Cr
STANDARD = [
    ("0 1 5 1 1 1 1 1 1", "000102030405060708090A0B"),
    ("0 2 1 3 3 2 4 3 5 5 4 4 0 0 1 125",
     "01020300041105122131410613516107227114328191A1082342B1C11552D1F02433627282090A161718191A25262728292A3435363738393A"
     "434445464748494A535455565758595A636465666768696A737475767778797A838485868788898A92939495969798999AA2A3A4A5A6A7A8"
     "A9AAB2B3B4B5B6B7B8B9BAC2C3C4C5C6C7C8C9CAD2D3D4D5D6D7D8D9DAE1E2E3E4E5E6E7E8E9EAF1F2F3F4F5F6F7F8F9FA"),
    ("0 3 1 1 1 1 1 1 1 1 1", "000102030405060708090A0B"),
    ("0 2 1 2 4 4 3 4 7 5 4 4 0 1 2 119",
     "0001020311040521310612415107617113223281081442"
     "91A1B1C109233352F0156272D10A162434E125F11718191A262728292A35363738393A434445464748494A535455565758595A636465666768696A737475767778797A82838485868788898A92939495969798999A"
     "A2A3A4A5A6A7A8A9AAB2B3B4B5B6B7B8B9BAC2C3C4C5C6C7C8C9CAD2D3D4D5D6D7D8D9DAE2E3E4E5E6E7E8E9EAF2F3F4F5F6F7F8F9FA"),
]  # fmt: skip


class Code(format_places.Code):
    """The symbols, with means in units of 16."""

    def __init__(self, config):
        super().__init__({"places": config["places"], "quality": 50, "coefficients": 8})
        self.fine, self.digits = 16, 1


def grids(h, w, across, down, planes):
    chroma = -(-h // (8 * down)), -(-w // (8 * across))
    return [(-(-h // 8), -(-w // 8)), chroma, chroma][:planes]


# ---- symbols -> file


def decode(symbols, config):
    code, reader = Code(config), format_places.Short(symbols)
    planes, h, w, across, down = reader.next(), reader.number(), reader.number(), reader.next(), reader.next()
    must(planes in (1, 3) and 0 < h < 65536 and 0 < w < 65536 and h * w * planes <= config["max_length"], "no size")
    must((across, down) in (RATIOS if planes == 3 else RATIOS[:1]), "no subsampling")
    tables, chosen = [], []
    for _ in range(planes):
        t = reader.next()
        must(t <= len(tables), "no table")
        if t == len(tables):
            digits = [reader.next() for _ in range(128)]
            must(max(digits) < 16, "no digit")
            tables.append([16 * a + b for a, b in zip(digits[::2], digits[1::2], strict=True)])
            must(all(tables[-1]), "a step of 0")
        chosen.append(tables[t])
    grid = grids(h, w, across, down, planes)
    must(len(symbols) - reader.at >= 3 * sum(r * c for r, c in grid), "fewer symbols than blocks")
    blocks = []
    for p, (rows, columns) in enumerate(grid):
        blocks.append({})
        for r in range(rows):
            for c in range(columns):
                place = code.place(p, r, c, rows, columns)
                mean = format_places.read_mean(reader, code, place)
                must(-1024 <= mean <= 1023, "a mean too large")
                blocks[p][r, c] = {0: mean, **format_places.read_bands(reader, code, place)}
                must(all(abs(v) <= 1023 for at, v in blocks[p][r, c].items() if at), "a level too large")
    must(reader.at == len(symbols), "symbols left over")
    return file(h, w, across, down, chosen, blocks)


def file(h, w, across, down, chosen, blocks):
    tables = [table for i, table in enumerate(chosen) if table not in chosen[:i]]
    parts = [(0xE0, b"JFIF\0" + bytes([1, 1, 0, 0, 1, 0, 1, 0, 0]))]
    parts += [(0xDB, bytes([t, *table])) for t, table in enumerate(tables)]
    factors = [16 * across + down, 0x11, 0x11][: len(chosen)]
    planes = [bytes([p + 1, factors[p], tables.index(table)]) for p, table in enumerate(chosen)]
    parts.append((0xC0, bytes([8, h >> 8, h & 255, w >> 8, w & 255, len(chosen)]) + b"".join(planes)))
    for k, (counts, symbols) in enumerate(STANDARD[: 2 * len(planes)]):
        lengths = [*map(int, counts.split())]
        definition = bytes(lengths + [0] * (16 - len(lengths))) + bytes.fromhex(symbols)
        parts.append((0xC4, bytes([k // 2 + 16 * (k % 2)]) + definition))
    named = b"".join(bytes([p + 1, 0x11 * (p > 0)]) for p in range(len(planes)))
    parts.append((0xDA, bytes([len(planes)]) + named + bytes([0, 63, 0])))
    head = b"".join(bytes([255, kind]) + (len(body) + 2).to_bytes(2, "big") + body for kind, body in parts)
    bits = scan(blocks, grids(h, w, across, down, len(chosen)), across, down)
    bits += "1" * (-len(bits) % 8)
    data = int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:]
    return b"\xff\xd8" + head + data.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def scan(blocks, grid, across, down):
    before, found = [0, 0, 0], []
    books = [{s: code for code, s in book(*standard).items()} for standard in STANDARD]
    for r in range(-(-grid[0][0] // down)):
        for c in range(-(-grid[0][1] // across)):
            for p in range(len(grid)):
                wide, high = (1, 1) if p else (across, down)
                means, others = books[2 * (p > 0) : 2 * (p > 0) + 2]
                for y in range(r * high, (r + 1) * high):
                    for x in range(c * wide, (c + 1) * wide):
                        block = blocks[p].get((y, x), {0: before[p]})
                        found.append(value(0, block[0] - before[p], means))
                        before[p], last = block[0], 0
                        for at in sorted(at for at, v in block.items() if at and v):
                            run = at - last - 1
                            found += [others[0xF0]] * (run // 16) + [value(run % 16, block[at], others)]
                            last = at
                        found += [others[0]] * (last < 63)
    return "".join(found)


def value(run, v, codes):
    size = abs(v).bit_length()
    rest = v if v > 0 else v + (1 << size) - 1
    return codes[16 * run + size] + (f"{rest:0{size}b}" if size else "")


def book(counts, symbols):
    """Return the symbol of each code, a text of 0 and 1."""
    found, code, rest = {}, 0, list(bytes.fromhex(symbols))
    for length, count in enumerate(map(int, counts.split()), 1):
        for _ in range(count):
            found[f"{code:0{length}b}"] = rest.pop(0)
            code += 1
        code *= 2
    return found


# ---- file -> symbols, of what the tests have: files that a good encoder wrote


def cut(data, config):
    h, w, planes, steps, books, interval = 0, 0, [], {}, {}, 0
    at = 2
    while data[at + 1] != 0xDA:
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if kind == 0xDB:
            steps |= {body[k]: list(body[k + 1 : k + 65]) for k in range(0, len(body), 65)}
        elif kind in (0xC0, 0xC1):
            h, w = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            planes = [(body[k + 1] >> 4, body[k + 1] & 15, body[k + 2]) for k in range(6, len(body), 3)]
        elif kind == 0xDD:
            interval = int.from_bytes(body, "big")
        while kind == 0xC4 and body:
            n = sum(body[1:17])
            books[body[0]] = book(" ".join(map(str, body[1:17])), body[17 : 17 + n].hex())
            body = body[17 + n :]
        at = end
    chosen = data[at + 6 : at + 5 + 2 * len(planes) : 2]
    runs = data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") : data.rindex(b"\xff\xd9")]
    for k in range(8):
        runs = runs.replace(bytes([255, 0xD0 + k]), b"\xff\xd0")
    texts = ["".join(f"{byte:08b}" for byte in run.replace(b"\xff\0", b"\xff")) for run in runs.split(b"\xff\xd0")]
    across, down = (1, 1) if len(planes) == 1 else (planes[0][0] // planes[1][0], planes[0][1] // planes[1][1])
    grid = grids(h, w, across, down, len(planes))
    factors = [(1, 1)] if len(planes) == 1 else [plane[:2] for plane in planes]
    blocks = levels(texts, grid, factors, [(books[c >> 4], books[16 + (c & 15)]) for c in chosen], interval)
    return patches(h, w, across, down, [steps[plane[2]] for plane in planes], grid, blocks, Code(config))


def levels(texts, grid, factors, books, interval):
    blocks, before = [{} for _ in grid], [0] * len(grid)
    columns = -(-grid[0][1] // factors[0][0])
    for unit in range(-(-grid[0][0] // factors[0][1]) * columns):
        if unit == 0 or (interval and unit % interval == 0):
            bits, before = Bits(texts.pop(0)), [0] * len(grid)
        for p, (wide, high) in enumerate(factors):
            for k in range(wide * high):
                place = unit // columns * high + k // wide, unit % columns * wide + k % wide
                before[p] += bits.value(bits.symbol(books[p][0]))
                block, at = {0: before[p]}, 1
                while at < 64 and (symbol := bits.symbol(books[p][1])):
                    at += symbol >> 4
                    if symbol & 15:
                        block[at] = bits.value(symbol & 15)
                    at += 1
                if place[0] < grid[p][0] and place[1] < grid[p][1]:
                    blocks[p][place] = block
    return blocks


class Bits:
    """Reads a text of 0 and 1."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def symbol(self, codes):
        for length in range(1, 17):
            if (code := self.text[self.at : self.at + length]) in codes:
                self.at += length
                return codes[code]
        raise AssertionError("no code")

    def value(self, size):
        bits = self.text[self.at : self.at + size]
        self.at += size
        return 0 if not size else int(bits, 2) - (0 if bits[0] == "1" else (1 << size) - 1)


def patches(h, w, across, down, steps, grid, blocks, code):
    number = format_places.number
    found = [[len(grid), *number(h), *number(w), across, down]]
    tables = [table for i, table in enumerate(steps) if table not in steps[:i]]
    for p, table in enumerate(steps):
        digits = [digit for step in table for digit in (step >> 4, step & 15)]
        found.append([tables.index(table), *(digits if table not in steps[:p] else [])])
    for p, (rows, columns) in enumerate(grid):
        for (r, c), block in sorted(blocks[p].items()):
            place = code.place(p, r, c, rows, columns)
            found.append(format_places.mean(block[0], place, code))
            for band in range(1, 5):
                some = [(at, v) for at, v in sorted(block.items()) if v and at and code.band[at] == band]
                if some:
                    spelled = (symbol for at, v in some for symbol in format_places.spelled(at, v, code))
                    found.append([place, *spelled])
    return found
