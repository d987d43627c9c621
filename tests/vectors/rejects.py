"""The vectors that must be refused, each for one failure alone; written by `make.py`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyrage

from ult import ShardWriter, Table, Vocabulary
from ult.codecs import CODECS

Scenario = tuple[str, dict[str, Any]]
Change = Callable[[dict[str, Any]], Any]


def b64(data: bytes) -> str:
    """Return bytes as JSON can hold them."""
    return base64.b64encode(data).decode("ascii")


def reject(name: str, error: str, message: str, **given: Any) -> Scenario:
    """Return a scenario: what is given, the class of the error, a fragment of its message."""
    return f"reject/{name}", {"error": error, "message": message, **given}


def scenarios(folder: Path) -> Iterator[Scenario]:
    """Give every scenario; `folder` is empty and may be written to."""
    yield from payloads()
    yield from age_files()
    yield from manifests(folder)
    yield from parts(folder)
    yield from symbols()
    yield from others()


# ---- tables


def base_table() -> Table:
    """Return the table that every reject vector of a table damages."""
    return Table.fit(
        ["to be or not to be", "to do"], codec=CODECS["text/bytes"](), vocabulary=Vocabulary(292), min_records=1
    )


def payloads() -> Iterator[Scenario]:
    """Payloads of which one thing is wrong."""
    good = base_table()._payload().decode("ascii")

    def changed(change: Change) -> str:
        document = json.loads(good)
        change(document)
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    def put(name: str, value: Any) -> Change:
        return lambda document: document.update({name: value})

    def row(name: str, at: int, value: Any) -> Change:
        return lambda document: document[name].__setitem__(at, value)

    texts = {
        "empty": ("", "does not hold a table"),
        "no-json": (good[:-1], "does not hold a table"),
        "text": ("to be or not to be\n", "does not hold a table"),
        "no-object": ("[]", "is not ult-table/1"),
        "null": ("null", "is not ult-table/1"),
        "deep": ("[" * 20_000, "does not hold a table"),
        "long-number": ("1" * 5000, "does not hold a table"),
        "newline": (good + "\n", "not written canonically"),
        "spaces": (good.replace(",", ", ", 1), "not written canonically"),
        "key-twice": (good.replace('{"codec"', '{"records":2,"codec"', 1), "not written canonically"),
        "key-order": (
            "{" + good[good.index('"counts"') : -1] + "," + good[1 : good.index(',"counts"')] + "}",
            "canonic",
        ),
        "escaped": (good.replace("text/bytes", "text\\/bytes"), "not written canonically"),
        "no-ascii": (good.replace('"fields":[]', '"fields":["é"]'), "does not hold a table"),
    }
    for name, (text, message) in texts.items():
        yield reject(f"table-{name}", "FormatError", message, payload=text)
    yield reject("table-newer", "NewerFormat", "this version reads", payload=changed(put("format", "ult-table/2")))
    changes: dict[str, tuple[Change, str]] = {
        "format-other": (put("format", "ult-shards/1"), "is not ult-table/1"),
        "format-number": (put("format", 1), "is not ult-table/1"),
        "format-missing": (lambda d: d.pop("format"), "is not ult-table/1"),
        "field-extra": (put("note", ""), "it has fields"),
        "codec-unknown": (lambda d: d["codec"].update(id="text/none"), "no codec 'text/none'"),
        "codec-number": (lambda d: d["codec"].update(id=1), "codec id is no string"),
        "codec-string": (put("codec", "text/bytes"), "codec is not an id and a config"),
        "codec-extra": (lambda d: d["codec"].update(x=1), "codec is not an id and a config"),
        "config-list": (lambda d: d["codec"].update(config=[]), "codec is not an id and a config"),
        "config-option-unknown": (lambda d: d["codec"]["config"].update(x=1), "unknown options"),
        "config-option-zero": (lambda d: d["codec"]["config"].update(max_length=0), "max_length is 0"),
        "config-option-float": (lambda d: d["codec"]["config"].update(max_length=9.0), "max_length is 9.0"),
        "config-option-default": (lambda d: d["codec"]["config"].clear(), "not written canonically"),
        "merges-number": (put("merges", 1), "merges is not a list"),
        "merges-triple": (row("merges", 0, [1, 2, 3]), "merges are not pairs"),
        "merges-flat": (row("merges", 0, 1), "merges are not pairs"),
        "merges-float": (row("merges", 0, [1.0, 2]), "merges holds something else"),
        "merges-negative": (row("merges", 0, [-1, 2]), "merges holds something else"),
        "merges-true": (row("merges", 0, [True, 2]), "merges holds something else"),
        "merges-huge": (row("merges", 0, [2**31, 2]), "merges holds something else"),
        "merges-itself": (row("merges", 0, [256, 2]), "joins a later unit"),
        "merges-later": (row("merges", 0, [2, 257]), "joins a later unit"),
        "merges-twice": (lambda d: row("merges", 1, d["merges"][0])(d), "two merges are the same"),
        "ranks-missing": (lambda d: d["ranks"].pop(), "not a permutation"),
        "ranks-twice": (lambda d: row("ranks", 0, d["ranks"][1])(d), "not a permutation"),
        "ranks-beyond": (row("ranks", 0, 260), "not a permutation"),
        "ranks-string": (row("ranks", 0, "1"), "ranks holds something else"),
        "counts-rising": (lambda d: row("counts", -1, d["counts"][0] + 1)(d), "counts do not fall"),
        "counts-short": (lambda d: d["counts"].pop(), "counts do not fall"),
        "counts-negative": (row("counts", -1, -1), "counts holds something else"),
        "counts-huge": (row("counts", 0, 2**63), "counts holds something else"),
        "vocabulary-small": (put("vocabulary_size", 290), "do not fit a vocabulary of 290"),
        "vocabulary-zero": (put("vocabulary_size", 0), "vocabulary size is 0"),
        "vocabulary-huge": (put("vocabulary_size", 2**40), "vocabulary size is"),
        "vocabulary-string": (put("vocabulary_size", "292"), "vocabulary size is '292'"),
        "records-zero": (put("records", 0), "records is not a positive integer"),
        "records-true": (put("records", True), "records is not a positive integer"),
        "min-records-zero": (put("min_records", 0), "min_records is not a positive integer"),
        "min-records-string": (put("min_records", "1"), "min_records is not a positive integer"),
        "fields-string": (put("fields", "a"), "fields are not a list of names"),
        "fields-numbers": (put("fields", [1]), "fields are not a list of names"),
        "phrase-too-long": (_bomb, "a phrase has over 64 symbols"),
    }
    for field in ("codec", "counts", "fields", "merges", "min_records", "ranks", "records", "vocabulary_size"):
        changes[f"{field}-missing"] = (lambda d, field=field: d.pop(field), "it has fields")  # type: ignore[misc]
    for name, (change, message) in changes.items():
        yield reject(f"table-{name}", "FormatError", message, payload=changed(change))


def _bomb(document: dict[str, Any]) -> None:
    """Let each of 40 merges double the one before: a phrase of 2**40 symbols."""
    document["merges"] = [[97, 97], *([256 + k, 256 + k] for k in range(39))]
    document["ranks"] = list(range(256 + 40))
    document["counts"] = [0] * (256 + 40)
    document["vocabulary_size"] = 32 + 256 + 40


# ---- age


def age_files() -> Iterator[Scenario]:
    """Age files of which one thing is wrong, and the identity that opens the whole one."""
    owner, stranger = (pyrage.x25519.Identity.generate() for _ in range(2))
    payload = base_table()._payload()
    good = bytes(pyrage.encrypt(payload, [owner.to_public()]))
    header = good.index(b"\n--- ") + 1
    body = good.index(b"\n", header) + 1

    def flipped(at: int) -> bytes:
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]

    wrapped = good.index(b"\n", good.index(b"-> X25519 ")) + 1  # the line below: the file key, for the recipient
    rewrapped = good[:wrapped] + (b"B" if good[wrapped : wrapped + 1] == b"A" else b"A") + good[wrapped + 1 :]
    wrong = {
        "header-truncated": (good[: header - 5], "FormatError", "damaged age file"),
        "body-missing": (good[:body], "FormatError", "damaged age file"),
        "mac-flipped": (flipped(header + 8), "FormatError", "damaged age file"),
        "file-key-changed": (rewrapped, "WrongKey", "no identity given opens it"),
        "nonce-flipped": (flipped(body + 3), "FormatError", "damaged age file"),
        "body-flipped": (flipped(body + 200), "FormatError", "damaged age file"),
        "tag-flipped": (flipped(len(good) - 1), "FormatError", "damaged age file"),
        "body-truncated": (good[:-1], "FormatError", "damaged age file"),
        "trailing-byte": (good + b"x", "FormatError", "damaged age file"),
        "other-payload": (bytes(pyrage.encrypt(b"hello", [owner.to_public()])), "FormatError", "does not hold a table"),
    }
    for name, (data, error, message) in wrong.items():
        yield reject(f"age-{name}", error, message, age=b64(data), identity=str(owner))
    yield reject("age-other-identity", "WrongKey", "no identity given opens it", age=b64(good), identity=str(stranger))
    yield reject("age-armoured-identity", "WrongKey", "not an age X25519 secret key", age=b64(good), identity="x")


# ---- shards


def shards(folder: Path) -> dict[str, bytes]:
    """Return the files of the shards that every reject vector of shards damages."""
    path = folder / "x.shards"
    with ShardWriter(
        path,
        vocabulary=Vocabulary(300),
        table="ab" * 16,
        codec="text/bytes",
        column="text",
        kept=pa.schema([("label", pa.string())]),
        part_ids=1,
        force=True,
    ) as writer:
        for ids in ([40, 41], [42]):
            writer.write([np.array(ids, np.uint32)], 3, pa.table({"label": ["a"]}))
    return {one.name.removeprefix("."): one.read_bytes() for one in path.iterdir() if one.is_file()}


def manifests(folder: Path) -> Iterator[Scenario]:
    """Shards of which the manifest alone is wrong."""
    files = shards(folder)
    good = files.pop("manifest.json").decode("ascii")

    def changed(change: Change) -> str:
        document = json.loads(good)
        change(document)
        return json.dumps(document, sort_keys=True, indent=1) + "\n"

    def put(name: str, value: Any) -> Change:
        return lambda document: document.update({name: value})

    def part(name: str, value: Any) -> Change:
        return lambda document: document["parts"][0].update({name: value})

    yield reject("manifest-truncated", "FormatError", "is not JSON", files={"manifest.json": b64(good[:-3].encode())})
    yield reject("manifest-no-text", "FormatError", "cannot be read as text", files={"manifest.json": b64(b"\xff")})
    yield reject("manifest-missing", "MissingSource", "has no manifest.json", files={"x": ""})
    yield reject(
        "manifest-newer",
        "NewerFormat",
        "this version reads",
        files={"manifest.json": b64(changed(put("format", "ult-shards/10")).encode())},
    )
    changes: dict[str, tuple[Change, str]] = {
        "format-other": (put("format", "ult-shards/0"), "is not ult-shards/1"),
        "field-extra": (put("x", 1), "manifest has"),
        "field-missing": (lambda d: d.pop("codec"), "manifest has"),
        "table-short": (put("table", "ab" * 15), "not a fingerprint"),
        "table-upper": (put("table", "AB" * 16), "not a fingerprint"),
        "rows-wrong": (put("rows", 3), "rows is 3, but its parts add up to 2"),
        "ids-wrong": (put("ids", 2), "ids is 2, but its parts add up to 3"),
        "bytes-wrong": (put("bytes", 0), "bytes is 0, but its parts add up to 6"),
        "rows-float": (put("rows", 2.0), "rows is not a valid manifest field"),
        "rows-true": (part("rows", True), "rows is not a valid part field"),
        "ids-negative": (part("ids", -1), "ids is not a valid part field"),
        "kept-string": (put("kept", "label"), "kept is not a valid manifest field"),
        "kept-numbers": (put("kept", [1]), "kept is not a valid manifest field"),
        "kept-other": (put("kept", ["x"]), "has columns ['input_ids', 'label']"),
        "kept-twice": (put("kept", ["label", "label"]), "kept names a column twice"),
        "kept-ids": (put("kept", ["input_ids"]), "kept names a column twice"),
        "parts-none": (lambda d: d.update(parts=[], rows=0, ids=0, bytes=0), "it lists no parts"),
        "vocabulary-huge": (put("vocabulary_size", 2**30), "vocabulary size is"),
        "vocabulary-small": (put("vocabulary_size", 42), "holds an id outside the vocabulary of 42"),
        "parts-object": (put("parts", {}), "parts is not a valid manifest field"),
        "part-extra": (part("x", 1), "part has"),
        "part-number": (lambda d: d["parts"].__setitem__(0, 1), "part has int"),
        "part-twice": (lambda d: d["parts"].__setitem__(1, d["parts"][0]), "ids is 3, but its parts add up to 4"),
        "part-order": (lambda d: d["parts"].reverse(), "part 0 is called 'part-00001.parquet'"),
        "part-elsewhere": (part("name", "../x"), "part 0 is called '../x'"),
        "part-absolute": (part("name", "/etc/passwd"), "part 0 is called '/etc/passwd'"),
        **told_changes(),
        "sha256-short": (part("sha256", "00"), "sha256 of part-00000.parquet is not 64"),
        "sha256-wrong": (part("sha256", "0" * 64), "its SHA-256 is not the manifest's"),
    }
    for name, (change, message) in changes.items():
        all_files = {"manifest.json": changed(change).encode(), **files}
        encoded = {file: b64(data) for file, data in all_files.items()}
        yield reject(f"manifest-{name}", "FormatError", message, files=encoded)


def told_changes() -> dict[str, tuple[Change, str]]:
    """Return what is wrong in manifests that tell of canaries, a coin or a public table, by name."""
    canaries = {"count": 1, "repeats": 2}
    coin = {"split": "0f" * 16, "side": "members", "records": 4}

    def told(**changes: Any) -> Change:
        whole = {"privacy": None, "canaries": canaries, "coin": coin, "public_table": True}
        return lambda document: document.update({"format": "ult-shards/3", **whole, **changes})

    return {
        "told-in-older-format": (lambda d: d.update(canaries=canaries), "manifest has"),
        "told-lacks-field": (lambda d: [told()(d), d.pop("coin")], "manifest has"),
        "told-nothing": (told(canaries=None, coin=None, public_table=False), "no more than ult-shards/1"),
        "canaries-none-planted": (told(canaries={"count": 0, "repeats": 2}), "canaries are 0 times 2"),
        "canaries-more-than-records": (told(canaries={"count": 2, "repeats": 2}), "canaries are 4 of its 2 records"),
        "canaries-true": (told(canaries={"count": True, "repeats": 1}), "count is not a valid canaries field"),
        "canaries-number": (told(canaries=5), "canaries is not a valid manifest field"),
        "coin-side": (told(coin={**coin, "side": "both"}), "side of coin is 'both'"),
        "coin-split": (told(coin={**coin, "split": "x"}), "split of coin is not 32"),
        "coin-few": (told(canaries=None, coin={**coin, "records": 1}), "fewer than are here"),
        "public-table-one": (told(public_table=1), "public_table is not a valid manifest field"),
    }


def parts(folder: Path) -> Iterator[Scenario]:
    """Shards of which the first part is wrong, though its SHA-256 is right."""
    files = shards(folder)
    good = json.loads(files["manifest.json"])

    def parquet(ids: pa.Array, label: pa.Array, names: tuple[str, str] = ("input_ids", "label")) -> bytes:
        out = io.BytesIO()
        pq.write_table(pa.table([ids, label], names=names), out)
        return out.getvalue()

    def lists(rows: list[Any], kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(rows, pa.list_(kind or pa.int32()))

    label = pa.array(["a"])
    whole = parquet(lists([[40, 41]]), label)
    wrong = {
        "no-parquet": (b"PAR1", "is not a Parquet file"),
        "truncated": (whole[:-9], "is not a Parquet file"),
        "column-renamed": (parquet(lists([[40, 41]]), label, ("ids", "label")), "has columns ['ids', 'label']"),
        "columns-swapped": (parquet(label, lists([[40, 41]]), ("label", "input_ids")), "has columns"),
        "ids-int64": (parquet(lists([[40, 41]], pa.int64()), label), "has columns"),
        "ids-strings": (parquet(lists([["a", "b"]], pa.string()), label), "has columns"),
        "rows-more": (parquet(lists([[40], [41]]), pa.array(["a", "b"])), "holds 2 rows, 2 ids"),
        "ids-more": (parquet(lists([[40, 41, 42]]), label), "holds 1 rows, 3 ids"),
        "row-null": (parquet(lists([None]), label), "holds 1 rows, 0 ids"),
        "id-null": (parquet(lists([[40, None]]), label), "holds 1 rows, 2 ids"),
        "id-beyond": (parquet(lists([[40, 300]]), label), "holds an id outside the vocabulary of 300"),
        "id-negative": (parquet(lists([[40, -1]]), label), "holds an id outside the vocabulary of 300"),
    }
    for name, (data, message) in wrong.items():
        document = json.loads(json.dumps(good))
        document["parts"][0]["sha256"] = hashlib.sha256(data).hexdigest()
        damaged = {**files, "manifest.json": json.dumps(document).encode(), "part-00000.parquet": data}
        encoded = {file: b64(content) for file, content in damaged.items()}
        yield reject(f"part-{name}", "FormatError", message, files=encoded)


# ---- symbols


def symbols() -> Iterator[Scenario]:
    """Symbols that no encode makes."""
    huge = [255, 255, 255, 255, 127]
    utf8, beyond = "starts no UTF-8 character", "outside range"
    patch, unit = "starts no patch that an encoder writes", "is not the unit that an encoder cuts"
    wrong: dict[str, dict[str, tuple[list[int], str]]] = {
        "text/bytes": {
            "cut-short": ([97, 0xE2, 0x82], f"symbol 1 {utf8}"),
            "continuation": ([0x80], f"symbol 0 {utf8}"),
            "overlong": ([0xC0, 0x80], f"symbol 0 {utf8}"),
            "beyond-unicode": ([0xF4, 0x90, 0x80, 0x80], f"symbol 0 {utf8}"),
            "beyond-alphabet": ([256], beyond),
            "negative": ([-1], beyond),
        },
        "text/bwt": {
            "no-sentinel": ([97], patch),
            "sentinel-alone": ([256], patch),
            "two-sentinels": ([97, 256, 256], patch),
            "run-of-sentinels": ([257, 256], patch),
            "run-cut-short": ([97, 256, 258], patch),
            "run-too-long": ([263, 97, 98, 256], patch),
            "runs-not-joined": ([97, 97, 256], patch),
            "no-transform": ([97, 256, 98, 97], patch),
            "beyond-alphabet": ([264], beyond),
        },
        "image/dct": {
            "empty": ([], "0 symbols do not begin with channels, height and width"),
            "header-alone": ([0, 1, 1], "0 symbols after the header; expected at least 1"),
            "two-channels": ([2, 1, 1, 100], "header says 1 x 1 x 2"),
            "no-rows": ([0, 0, 1, 100], "header says 0 x 1 x 0"),
            "huge": ([3, *huge, *huge, 100], "header says 34359738367 x 34359738367 x 3"),
            "block-missing": ([0, 1, 9, 100], "1 symbols after the header; expected at least 2"),
            "level-first": ([0, 1, 1, 400], "4 symbols do not spell the 1 blocks of an image"),
            "beyond-alphabet": ([0, 1, 1, 450], beyond),
        },
        "series/mulaw": {"beyond-alphabet": ([257], beyond), "negative": ([-1], beyond)},
        "molecule/smiles": {
            "chlorine-apart": ([67, 108], f"symbol 1 {unit}"),
            "ring-apart": ([37, 49, 50], f"symbol 2 {unit}"),
            "element-outside": ([256], f"symbol 0 {unit}"),
            "cut-short": ([0xE2, 0x82], f"symbol 0 {utf8}"),
            "beyond-alphabet": ([CODECS["molecule/smiles"]().alphabet], beyond),
        },
    }
    for name, cases in wrong.items():
        for scenario, (found, message) in cases.items():
            given = {"codec": name, "config": CODECS[name]().config(), "symbols": found}
            yield reject(f"symbols-{name.replace('/', '-')}-{scenario}", "CorruptSymbols", message, **given)


def others() -> Iterator[Scenario]:
    """Printable symbols and vocabularies."""
    for name, text, message in (
        ("letter-latin", "a", "character 0 is not a symbol"),
        ("letter-beyond", "一\u4f00", "character 1 is not a symbol"),
        ("space", "一 丁", "character 1 is not a symbol"),
        ("special-unknown", "一<cls>", "no special token of this vocabulary at character 1"),
        ("special-open", "一<eos", "no special token of this vocabulary at character 1"),
        ("surrogate", "\ud800", "character 0 is not a symbol"),
    ):
        yield reject(f"printable-{name}", "CorruptSymbols", message, vocabulary_size=200, printable=text)
    for name, text, error, message in (
        ("no-json", "{", "FormatError", "is not a vocabulary"),
        ("newer", '{"format": "ult-vocabulary/2", "size": 100}', "NewerFormat", "this version reads"),
        ("other", '{"format": "ult-table/1", "size": 100}', "FormatError", "is not ult-vocabulary/1"),
        ("field-extra", '{"format": "ult-vocabulary/1", "size": 100, "x": 1}', "FormatError", "has fields"),
        ("size-string", '{"format": "ult-vocabulary/1", "size": "100"}', "FormatError", "vocabulary size is '100'"),
        ("size-small", '{"format": "ult-vocabulary/1", "size": 32}', "FormatError", "vocabulary size is 32"),
    ):
        yield reject(f"vocabulary-{name}", error, message, vocabulary=text)
