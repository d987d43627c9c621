"""The codecs once more, from `docs/format.md` alone: how symbols are decoded, and records cut into patches of symbols.

`CODECS` has for each id the alphabet, what decodes symbols, and what cuts a record into patches, all given a config.
What the document says to refuse raises `Refused`.
"""

import itertools
import math
from typing import Any

import numpy as np

import format_deep
import format_image
import format_image_writer
import format_jpeg
import format_places
import format_record
from format_image import Refused, must

INSIDE = """
    He Li Be Ne Na Mg Al Si Cl Ar Ca Sc Ti Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Zr Nb Mo Tc Ru Rh Pd Ag Cd
    In Sn Sb Te Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr
    Ra Ac Th Pa Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og as se si te @@
""".split()  # noqa: SIM905
RINGS = [f"%{number}" for number in range(10, 100)]
UNITS = [unit.encode() for unit in INSIDE + RINGS]


# ---- text


def to_bytes(text):
    return text.encode("utf-8", "surrogatepass")


def to_text(symbols):
    try:
        return bytes(symbols).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Refused("no UTF-8") from error


def kind(character):
    """Return the kind of a character of UTF-8."""
    if character[0] < 0x80:
        byte = character[0]
        if 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A:
            return "letter"
        if 0x30 <= byte <= 0x39:
            return "digit"
        return "space" if byte == 0x20 else "break" if 0x09 <= byte <= 0x0D else "other"
    lead, second = character[:2]
    other = lead == 0xC2 or (lead == 0xE2 and second < 0xB0) or (lead, second) == (0xE3, 0x80)
    return "other" if other or (lead, second) == (0xF0, 0x9F) else "letter"


def cut_text(text, _):
    characters = [to_bytes(c) for c in text]
    kinds = [kind(c) for c in characters]
    patches, at = [], 0
    while at < len(characters):
        end = text_patch_end(characters, kinds, at)
        patches.append(list(b"".join(characters[at:end])))
        at = end
    return patches


def text_patch_end(characters, kinds, start):
    at, stop = start, len(characters)
    while at < stop and kinds[at] in ("space", "break"):
        at += 1
    w = at - start
    if w and (at == stop or kinds[at - 1] != "space"):
        return start + min(w, 64)
    if w > 1:
        return start + min(w - 1, 64)
    size = w
    if characters[at] == b"'" and at + 1 < stop and kinds[at + 1] == "letter":
        at, size = at + 1, size + 1
    first, run = kinds[at], 0
    while at < stop and kinds[at] == first and size + len(characters[at]) <= 64 and not (first == "digit" and run == 4):
        size += len(characters[at])
        at, run = at + 1, run + 1
    return at


def decode_bwt(symbols, config):
    size, text, at = config["patch_size"], [], 0
    while at < len(symbols):
        column = []
        while at < len(symbols) and not (len(column) == size + 1 and "" in column):
            count = symbols[at] - 255 if symbols[at] > 256 else 1
            at += count > 1
            must(at < len(symbols), "a length without a character")
            entry = ""  # the sentinel, which sorts first
            if symbols[at] == 256:
                must(count == 1 and "" not in column, "two sentinels")
                at += 1
            else:
                must(symbols[at] < 256, "two lengths")
                width = next(n for n, most in ((1, 0x80), (2, 0xE0), (3, 0xF0), (4, 0x100)) if symbols[at] < most)
                must(all(s < 256 for s in symbols[at : at + width]), "no character")
                entry = to_text(symbols[at : at + width])
                at += width
            must(not column or column[-1] != entry, "two runs of one entry")
            column += [entry] * count
        must("" in column and 1 < len(column) <= size + 1, "no column")
        text += invert(column)
    return "".join(text)


def invert(column):
    following = sorted(range(len(column)), key=lambda i: column[i])
    at, text = following[0], []
    for _ in range(len(column) - 1):
        at = following[at]
        must(column[at], "no transform")
        text.append(column[at])
    return text


def cut_bwt(text, config):
    size = config["patch_size"]
    return [bwt_symbols([*text[at : at + size], ""]) for at in range(0, len(text), size)]


def bwt_symbols(patch):
    rotations = sorted(patch[at:] + patch[:at] for at in range(len(patch)))
    symbols = []
    for entry, run in itertools.groupby(rotation[-1] for rotation in rotations):
        count = len(list(run))
        symbols += [255 + count] * (count > 1) + (list(to_bytes(entry)) or [256])
    return symbols


# ---- molecules


def decode_smiles(symbols, _):
    data = b"".join(bytes([s]) if s < 256 else UNITS[s - 256] for s in symbols)
    text = to_text(data)
    must(list(itertools.chain(*cut_smiles(text, _))) == list(symbols), "not what an encoder cuts")
    return text


def cut_smiles(text, _):
    data, patches, at, inside = to_bytes(text), [[]], 0, False
    while at < len(data):
        units = INSIDE if inside else ["Cl", "Br", *RINGS]
        unit = next((u.encode() for u in units if data.startswith(u.encode(), at)), data[at : at + 1])
        patches[-1].append(256 + UNITS.index(unit) if len(unit) > 1 else unit[0])
        at += len(unit)
        inside = (inside or unit == b"[") and unit != b"]"
        if (unit in (b".", b">") and data[at : at + 1] not in (b">", b"")) or len(patches[-1]) == 256:
            patches.append([])
    return [patch for patch in patches if patch]


# ---- series


def decode_mulaw(symbols, config):
    return np.array([*mulaw_levels(config), math.nan])[symbols]


def mulaw_levels(config):
    low, high, mu, count = (config[name] for name in ("low", "high", "mu", "levels"))
    center = min(max(low, 0.0), high)
    below, above = center - low, high - center
    scale = max(below, above) or 1.0
    span_below, span_above = math.log1p(mu * (below / scale)), math.log1p(mu * (above / scale))
    n = round((count - 1) * span_below / (span_below + span_above)) if span_below else 0
    n = max(n, 1) if below > 0 else n
    n = min(n, count - 2 if above > 0 else count - 1)

    def side(span, steps):
        return [float(f"{math.expm1(span * k / steps) / mu * scale:.12g}") for k in range(1, steps + 1)]

    down, up = side(span_below, n), side(span_above, count - 1 - n)
    levels = [min(max(x, low), high) for x in [*(center - d for d in down[::-1]), center, *(center + u for u in up)]]
    return [low, *levels[1:-1], high]


def cut_mulaw(values, config):
    levels = mulaw_levels(config)
    edges = [max(a + (b - a) / 2, math.nextafter(a, math.inf)) for a, b in itertools.pairwise(levels)]
    symbols = [len(levels) if math.isnan(x) else sum(edge <= x for edge in edges) for x in values.tolist()]
    return [symbols[at : at + config["patch_size"]] for at in range(0, len(symbols), config["patch_size"])]


def decode_levels(symbols, config):
    columns, block, tilings = config["columns"], levels_block(config), config.get("tilings", 1)
    must(len(symbols) % tilings == 0, "part of a value")
    must(len(columns) == 1 or len(symbols) <= len(columns) * tilings, "more values than lists")
    found = []
    for place in range(len(symbols) // tilings):
        blocks, tiles = zip(*(divmod(s, block) for s in symbols[place * tilings : (place + 1) * tilings]), strict=True)
        first = tilings * place if config["apart"] and len(columns) > 1 else 0
        must(list(blocks) == list(range(first, first + tilings)), "of another place")
        levels, missing = columns[place if len(columns) > 1 else 0], tiles[0] == block - 1
        level = block - 1 if missing else sum(tiles)
        must(list(tiles) == [block - 1 if missing else (level + t) // tilings for t in range(tilings)], "no value")
        found.append(math.nan if missing else levels[min(level, len(levels) - 1)])
    return np.array(found, float)


def levels_block(config):
    tilings = config.get("tilings", 1)
    return -(-(max(map(len, config["columns"])) - 1) // tilings) + 2


def cut_levels(values, config):
    columns, block, symbols = config["columns"], levels_block(config), []
    tilings = config.get("tilings", 1)
    for place, x in enumerate(values.tolist()):
        column = place if len(columns) > 1 else 0
        edges = [max(a + (b - a) / 2, math.nextafter(a, math.inf)) for a, b in itertools.pairwise(columns[column])]
        level = sum(edge <= x for edge in edges)
        for t in range(tilings):
            tile = block - 1 if math.isnan(x) else (level + t) // tilings
            symbols.append(tile + block * (t + config["apart"] * tilings * column))
    return [symbols[at : at + config["patch_size"]] for at in range(0, len(symbols), config["patch_size"])]


# ---- images


def image_reader(config):
    return format_places if "places" in config else format_deep if "bits" in config else format_image


def image_writer(config):
    return format_places if "places" in config else format_deep if "bits" in config else format_image_writer


CODECS: dict[str, tuple[Any, Any, Any]] = {
    "text/bytes": (lambda config: 256, lambda symbols, config: to_text(symbols), cut_text),
    "text/bwt": (lambda config: 256 + config["patch_size"], decode_bwt, cut_bwt),
    "molecule/smiles": (lambda config: 455, decode_smiles, cut_smiles),
    "series/mulaw": (lambda config: config["levels"] + 1, decode_mulaw, cut_mulaw),
    "series/levels": (
        lambda config: (
            levels_block(config) * config.get("tilings", 1) * (len(config["columns"]) if config["apart"] else 1)
        ),
        decode_levels,
        cut_levels,
    ),
    "image/dct": (
        lambda config: format_places.Code(config).alphabet if "places" in config else 450,
        lambda symbols, config: image_reader(config).decode(symbols, config),
        lambda image, config: image_writer(config).cut(image, config),
    ),
    "image/jpeg": (lambda config: format_jpeg.Code(config).alphabet, format_jpeg.decode, format_jpeg.cut),
    "record/columns": (
        lambda config: format_record.Layout(config, CODECS).alphabet,
        lambda symbols, config: format_record.decode(symbols, config, CODECS),
        lambda record, config: format_record.cut_record(record, config, CODECS),
    ),
}
