"""A second reader of the formats, written from `docs/format.md` alone: slow, plain, and without anything of `ult`.

It decodes every codec and encodes `text/bytes`. What the document says to refuse raises `Refused`, as far as it
is decoding that finds it: the tests of `ult` itself hold the many ways in which a file can be damaged.
"""

import hashlib
import itertools
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pyrage

import format_image
from format_image import Refused, must

LETTERS = """
    4E00-9FFF AC00-D7A3 3400-4DBF 20000-2A6DF 2A700-2B738 2B740-2B81D 2B820-2CEA1 2CEB0-2EBE0 30000-3134A
""".split()  # noqa: SIM905
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>", *(f"<reserved_{i}>" for i in range(4, 32))]
INSIDE = """
    He Li Be Ne Na Mg Al Si Cl Ar Ca Sc Ti Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Zr Nb Mo Tc Ru Rh Pd Ag Cd
    In Sn Sb Te Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr
    Ra Ac Th Pa Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og as se si te @@
""".split()  # noqa: SIM905
RINGS = [f"%{number}" for number in range(10, 100)]
UNITS = [unit.encode() for unit in INSIDE + RINGS]


# ---- ids, vocabulary, table


def printed(ids):
    """Return the printed text of ids."""
    letters = [chr(c) for r in LETTERS for c in range(int(r.split("-")[0], 16), int(r.split("-")[1], 16) + 1)]
    return "".join(SPECIAL[i] if i < 32 else letters[i - 32] for i in ids)


def read_vocabulary(text):
    """Return the number of ids."""
    document = json.loads(text)
    must(document == {"format": "ult-vocabulary/1", "size": document["size"]}, "no vocabulary")
    return document["size"]


class Table:
    """A table file, opened with age's X25519 identity if it is encrypted."""

    def __init__(self, data, identity=None):
        if data.startswith(b"age-encryption.org/v1\n"):
            data = pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(identity)])
        document = json.loads(data)
        must(document["format"] == "ult-table/1", "no table")
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        must(canonical.encode() == data, "not canonical")
        self.fingerprint = hashlib.sha256(b"ult-table/1 fingerprint\n" + data).hexdigest()[:32]
        self.merges = [tuple(pair) for pair in document["merges"]]
        self.ranks, self.counts = document["ranks"], document["counts"]
        self.codec, self.config = document["codec"]["id"], document["codec"]["config"]
        self.alphabet = ALPHABETS[self.codec](self.config)
        self.spelling = [[symbol] for symbol in range(self.alphabet)]
        for left, right in self.merges:
            self.spelling.append(self.spelling[left] + self.spelling[right])
        must(sorted(self.ranks) == list(range(len(self.spelling))), "ranks are no permutation")

    def symbols(self, ids):
        must(all(32 <= i < 32 + len(self.ranks) for i in ids), "an id outside the table")
        return [symbol for i in ids for symbol in self.spelling[self.ranks[i - 32]]]

    def decode(self, ids):
        return DECODERS[self.codec](self.symbols(ids), self.config)

    def encode(self, text):
        """Return the ids of a text/bytes record."""
        id_of = {unit: 32 + rank for rank, unit in enumerate(self.ranks)}
        return [id_of[unit] for patch in cut_text(to_bytes(text)) for unit in self.merged(list(patch))]

    def merged(self, units):
        for k, pair in enumerate(self.merges):
            units = replaced(units, pair, self.alphabet + k)
        return units


def replaced(units, pair, unit):
    out = []
    for right in units:
        if out and (out[-1], right) == pair:
            out[-1] = unit  # never equal to what the pair is made of
        else:
            out.append(right)
    return out


def fit(records, *, size, min_records):
    """Return merges, ranks and counts of a text/bytes table, by the three steps of the document."""
    patches = [(list(patch), record) for record in records for patch in cut_text(to_bytes(record))]
    merges = []
    while 32 + 256 + len(merges) < size and len(records) >= min_records:
        count, holders = {}, {}
        for units, record in patches:
            for pair in itertools.pairwise(units):
                count[pair] = count.get(pair, 0) + 1
                holders.setdefault(pair, set()).add(record)
        allowed = [pair for pair in count if len(holders[pair]) >= min_records]
        if not allowed:
            break
        merges.append(min(allowed, key=lambda pair: (-count[pair], *pair)))
        patches = [(replaced(units, merges[-1], 255 + len(merges)), record) for units, record in patches]
    uses = [0] * (256 + len(merges))
    for units, _ in patches:
        for unit in units:
            uses[unit] += 1
    ranks = sorted(range(len(uses)), key=lambda unit: (-uses[unit], unit))
    return merges, ranks, [uses[unit] for unit in ranks]


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


def cut_text(data):
    """Return the patches of a record of text/bytes."""
    characters = [to_bytes(c) for c in to_text(data)]
    kinds = [kind(c) for c in characters]
    patches, at = [], 0
    while at < len(characters):
        end = text_patch_end(characters, kinds, at)
        patches.append(b"".join(characters[at:end]))
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


# ---- molecules


def decode_smiles(symbols, _):
    data = b"".join(bytes([s]) if s < 256 else UNITS[s - 256] for s in symbols)
    must(cut_smiles(data) == list(symbols), "not what an encoder cuts")
    return to_text(data)


def cut_smiles(data):
    symbols, at, inside = [], 0, False
    while at < len(data):
        units = INSIDE if inside else ["Cl", "Br", *RINGS]
        unit = next((u.encode() for u in units if data.startswith(u.encode(), at)), data[at : at + 1])
        symbols.append(256 + UNITS.index(unit) if len(unit) > 1 else unit[0])
        at += len(unit)
        inside = (inside or unit == b"[") and unit != b"]"
    return symbols


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


ALPHABETS = {
    "text/bytes": lambda config: 256,
    "text/bwt": lambda config: 256 + config["patch_size"],
    "molecule/smiles": lambda config: 455,
    "series/mulaw": lambda config: config["levels"] + 1,
    "image/dct": lambda config: 450,
}
DECODERS = {
    "text/bytes": lambda symbols, config: to_text(symbols),
    "text/bwt": decode_bwt,
    "molecule/smiles": decode_smiles,
    "series/mulaw": decode_mulaw,
    "image/dct": format_image.decode,
}


# ---- shards


def read_shards(folder):
    """Return the manifest, and the ids of each record."""
    manifest = json.loads((folder / "manifest.json").read_text())
    must(manifest["format"] == "ult-shards/1", "no shards")
    records = []
    for number, part in enumerate(manifest["parts"]):
        must(part["name"] == f"part-{number:05d}.parquet", "a part of another name")
        data = (folder / part["name"]).read_bytes()
        must(hashlib.sha256(data).hexdigest() == part["sha256"], "a damaged part")
        table = pq.read_table(folder / part["name"])
        must(table.column_names == ["input_ids", *manifest["kept"]], "other columns")
        rows = table["input_ids"].to_pylist()
        must((len(rows), sum(map(len, rows))) == (part["rows"], part["ids"]), "other rows or ids")
        records += rows
    must(all(0 <= i < manifest["vocabulary_size"] for row in records for i in row), "an id outside the vocabulary")
    must(len(records) == manifest["rows"], "other rows")
    return manifest, records
