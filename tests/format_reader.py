"""A second reader of the formats, written from `docs/format.md` alone: slow, plain, and without anything of `ult`.

What the document says to refuse raises `Refused`, as far as decoding needs to look: the tests of `ult` itself hold the
many ways in which a file can be damaged.
"""

import hashlib
import itertools
import json
import re

import pyarrow.parquet as pq
import pyrage

from format_codecs import CODECS
from format_image import must

LETTERS = """
    4E00-9FFF AC00-D7A3 3400-4DBF 20000-2A6DF 2A700-2B738 2B740-2B81D 2B820-2CEA1 2CEB0-2EBE0 30000-3134A
    F0000-FFFFD 100000-10FFFD
""".split()  # noqa: SIM905
RANGES = [[int(end, 16) for end in letters.split("-")] for letters in LETTERS]
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>", *(f"<reserved_{i}>" for i in range(4, 32))]
PRINTED = [*SPECIAL, *(chr(code) for low, high in RANGES for code in range(low, high + 1))]


# ---- ids, vocabulary, table


def printed(ids):
    """Return the printed text of ids."""
    return "".join(PRINTED[i] for i in ids)


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
        may: dict[str, list[set[str]]]
        may = {"ult-table/1": [set()], "ult-table/3": [{"privacy"}], "ult-table/4": [{"public"}]}
        may["ult-table/5"] = [set(), {"privacy"}, {"public"}]
        may["ult-table/6"] = [{"base"}, {"base", "privacy"}, {"base", "public"}]
        may["ult-table/7"] = [{"updated", *more} for more in ([], ["public"], ["base"], ["base", "public"])]
        must({"privacy", "public", "base", "updated"} & set(document) in may.get(document["format"], []), "no table")
        must(document.get("public", True) is True, "public, and not true")
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        must(canonical.encode() == data, "not canonical")
        self.fingerprint = hashlib.sha256(b"ult-table/1 fingerprint\n" + data).hexdigest()[:32]
        self.merges = [tuple(pair) for pair in document["merges"]]
        self.ranks, self.counts = document["ranks"], document["counts"]
        base = document.get("base", {"ids": 0, "table": "0" * 32})
        shared = base["ids"]
        must(len(base) == 2 and len(bytes.fromhex(base["table"])) == 16, "base is no table")
        must(sorted(self.ranks[:shared]) == list(range(shared)), "the ids of base are not the first")
        falls = self.counts[shared:] == sorted(self.counts[shared:], reverse=True)
        must(falls or document["format"] in ("ult-table/5", "ult-table/7"), "counts do not fall")
        updated = document.get("updated", {"from": "0" * 32, "secret_ids": False})
        must(len(updated) == 2 and len(bytes.fromhex(updated["from"])) == 16, "updated is no table")
        must(isinstance(updated["secret_ids"], bool), "secret_ids is neither true nor false")
        must(not (updated["secret_ids"] and shared), "secret ids and public ones")
        self.codec, self.config = document["codec"]["id"], document["codec"]["config"]
        self.alphabet = CODECS[self.codec][0](self.config)
        self.spelling = [[symbol] for symbol in range(self.alphabet)]
        for left, right in self.merges:
            self.spelling.append(self.spelling[left] + self.spelling[right])
        must(sorted(self.ranks) == list(range(len(self.spelling))), "ranks are no permutation")

    def symbols(self, ids):
        must(all(32 <= i < 32 + len(self.ranks) for i in ids), "an id outside the table")
        return [symbol for i in ids for symbol in self.spelling[self.ranks[i - 32]]]

    def decode(self, ids):
        return CODECS[self.codec][1](self.symbols(ids), self.config)

    def encode(self, record):
        id_of = {unit: 32 + rank for rank, unit in enumerate(self.ranks)}
        return [id_of[unit] for patch in self.cut(record) for unit in self.merged(patch)]

    def cut(self, record):
        return CODECS[self.codec][2](record, self.config)

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
    patches = [(patch, record) for record in records for patch in CODECS["text/bytes"][2](record, {})]
    merges = []
    while 32 + 256 + len(merges) < size:
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


# ---- shards


def check_told(manifest):
    """Refuse a manifest that says more or less than its format, or what cannot be."""
    told = {"canaries", "coin", "public_table"}
    needed = {"ult-shards/1": set(), "ult-shards/2": {"privacy"}, "ult-shards/3": {"privacy"} | told}
    needed["ult-shards/4"] = needed["ult-shards/3"] | {"forgotten", "written_by"}
    must(manifest["format"] in needed, "no shards")
    must((told | {"privacy", "forgotten", "written_by"}) & set(manifest) == needed[manifest["format"]], "other fields")
    if manifest["format"] not in ("ult-shards/3", "ult-shards/4"):
        return
    stones, written_by = manifest.get("forgotten", []), manifest.get("written_by")
    must(written_by is None or re.fullmatch("[0-9a-f]{64}", written_by), "no run")
    for stone in stones:
        must(set(stone) == {"of", "rows", "gone", "when"} and type(stone["rows"]) is int, "no tombstone")
        must(all(re.fullmatch("[0-9a-f]{64}", stone[name]) for name in ("of", "gone")), "no tombstone")
        must(stone["rows"] > 0 and re.fullmatch(r"\d{4}-\d\d-\d\d", stone["when"]), "no tombstone")
    canaries, coin, public = (manifest[name] for name in ("canaries", "coin", "public_table"))
    must(
        type(public) is bool and (canaries or coin or public or stones or written_by),
        "nothing that an older format could not say",
    )
    planted = 0
    if canaries is not None:
        must(set(canaries) == {"count", "repeats"}, "no canaries")
        must(all(type(n) is int and 0 < n < 2**53 for n in canaries.values()), "no canaries")
        planted = canaries["count"] * canaries["repeats"]
    must(planted <= manifest["rows"], "more canaries than records")
    if coin is not None:
        must(set(coin) == {"split", "side", "records"}, "no coin")
        must(len(coin["split"]) == 32 and not set(coin["split"]) - set("0123456789abcdef"), "no coin")
        must(coin["side"] in ("members", "nonmembers") and type(coin["records"]) is int, "no coin")
        must(coin["records"] >= manifest["rows"] - planted, "a coin of fewer records")


def shards_digest(manifest):
    """Return the SHA-256 of the manifest, keys sorted, one space an indent, ended by a newline: their identity."""
    return hashlib.sha256((json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode()).hexdigest()


def read_shards(folder):
    """Return the manifest, and the ids of each record."""
    names = [name for name in (".manifest.json", "manifest.json") if (folder / name).exists()]
    must(len(names) == 1, "one manifest")
    manifest = json.loads((folder / names[0]).read_text())
    check_told(manifest)
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
