"""Write the test vectors that are not there yet: `make vectors`. A vector that is there is never written again.

One scenario a file. `test_vectors` reads them and says what the fields mean:

- `codec/*.json`: a record, its symbols, and what they decode to;
- `table/*.json`: a table's payload, records and their ids, the fingerprint;
- `reject/*.json`: one failure each, with the error's class and a fragment of its message.

Delete a vector only with the format it froze.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import rejects
from numpy.typing import NDArray
from PIL import Image

from ult import Table, Vocabulary
from ult.codecs import CODECS
from ult.owner.bpe.counts import PatchCounts

HERE = Path(__file__).parent
Scenario = tuple[str, dict[str, Any]]

_Y, _X = np.mgrid[:19, :21]
_RGB16 = np.stack([_X * 3001, _Y * 3500, (_X + _Y) * 1600], axis=2).astype(np.uint16)
IMAGES = {
    "grey": (_X * 12).astype(np.uint8),
    "rgb": np.stack([_X * 12, _Y * 13, (_X + _Y) * 6], axis=2).astype(np.uint8),
    "rgba": np.stack([_X * 12, _Y * 13, (_X * _Y) % 256, 255 * (_X > 9)], axis=2).astype(np.uint8),
    "one-pixel": np.array([[200]], np.uint8),
    "constant": np.full((9, 17, 3), 77, np.uint8),
}


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """Return a JPEG file, as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


JPEGS: dict[str, dict[str, Any]] = {
    "grey": {"quality": 90, "comment": b"not encoded"},
    "rgb": {"quality": 60, "optimize": True, "restart_marker_blocks": 1},
    "one-pixel": {},
    "constant": {"quality": 100, "subsampling": "4:4:4"},
}
SERIES = {
    "empty": np.empty(0),
    "values": np.array([0.0, 0.5, -0.25, 1.0, -1.0, 1e-9, 3.0, np.nan, 0.125, 0.7, 0.71, -0.0]),
}
COLUMNS = [[130.0, 136.7, 143.9, 150.0], [0.0, 1000.0, 25000.0], [3.25], [0.0, 1.0, 2.0, 3.0, 4.0]]
TEXT = {
    "empty": "",
    "words": "It's 2024, isn't it?  Yes:\r\n\ttabs, 12345678 digits…",
    "scripts": "naïve 中文 שלום नमस्ते 👩‍👩‍👧 e\u0301",
    "surrogates": "\ud83d\ude00 \ude00\ud83d",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85",
    "long-runs": "a" * 70 + " " * 70 + "1" * 9,
}
SMILES = {
    "reaction": "Clc1ccccc1.[Na+].[OH-]>>Oc1ccccc1",
    "rings": "C%10CCC[C@@H]%10Br",
    "brackets": "[Sc][as][13CH3:1]",
    "no-smiles": "hello, Wörld %1",
}
FIELDS = [
    {"name": "age", "kind": "number", "edges": ["30", "60"], "missing": ["?", "NA"], "absent": "?"},
    {"name": "dose", "kind": "number", "decimal": ",", "after": ["", " mg"], "exponent": True, "absent": ""},
    {"name": "admitted", "kind": "date", "forms": ["Y-m-d", "d.m.Y"]},
    {"name": "left", "kind": "date", "missing": ["unknown"], "absent": ""},
    {"name": "codes", "kind": "list", "separator": ", "},
    {"name": "drug", "kind": "molecule"},
    {"name": "note", "kind": "text", "absent": ""},
    {"name": "labs", "kind": "rows", "fields": [
        {"name": "code", "kind": "category"},
        {"name": "value", "kind": "number", "by": "code", "edges_by": {"K": ["3.5", "5"]}},
        {"name": "time", "kind": "date", "carried": True},
    ]},
]  # fmt: skip
REQUIRED = [
    {"name": "plan", "kind": "category", "required": True},
    {"name": "age", "kind": "number", "edges": ["30", "60"], "required": True},
    {"name": "weight", "kind": "number", "absent": "70", "required": True},
    {"name": "born", "kind": "date", "required": True},
    {"name": "pulse", "kind": "series", "required": True, "options": {"low": 0.0, "high": 10.0, "levels": 20}},
    {"name": "labs", "kind": "rows", "required": True, "fields": [
        {"name": "code", "kind": "category", "required": True, "carried": True},
        {"name": "value", "kind": "number", "required": True},
    ]},
]  # fmt: skip
PLACED = [{"name": "scan", "kind": "image", "options": {"places": 4}}]
LOSSY = [
    {"name": "age", "kind": "number", "edges": ["30"], "levels": ["20", "45.5"]},
    {"name": "pulse", "kind": "series", "options": {"low": 0.0, "high": 10.0, "levels": 20}},
    {"name": "scan", "kind": "image"},
]
PATIENTS = {
    "patient": (
        "063.0", "2,50 mg", "2024-02-29 08:00", "2024-03-02", "I10, E11.9", "CC(=O)O", "no fever",
        (("K", "4.50", "2024-02-29 08:10Z"), ("K", "5", "2024-02-29 08:10Z"), ("Na", "135", "2024-03-01")),
    ),
    "missing": ("NA", "1e3", "29.02.2024", "unknown", None, None, None, ((None, None, None),)),
    "empty": ("?", "", None, "", None, None, "", ()),
}  # fmt: skip
RECORDS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {  # codec -> (config, records by name)
    "text/bytes": [({}, TEXT)],
    "text/bwt": [({}, TEXT), ({"patch_size": 10}, {"banana-10": "banana bandana, banana bandana"})],
    "image/dct": [
        ({}, IMAGES),
        ({"coefficients": 3}, {"papers": IMAGES["rgb"]}),
        ({"quality": 90}, {"fine": IMAGES["grey"]}),
        ({"bits": 12}, {"12-bits": (_X * 191 + _Y).astype(np.uint16), "12-bits-rgb": _RGB16 // 16}),
        ({"bits": 16, "quality": 100}, {"16-bits": _RGB16[:, :, 0]}),
        (
            {"bits": 12, "low": -1024, "high": 500, "quality": 75, "clip": 1},
            {"signed-clipped": (_X * 90 - 1100 + (_Y * _X) % 57).astype(np.int16)},
        ),
        ({"places": 4}, {f"places-{name}": image for name, image in IMAGES.items()}),
        ({"quality": 95, "coefficients": 3, "places": 1}, {"places-papers-fine": IMAGES["rgb"]}),
        ({"bits": 16, "quality": 100, "places": 3}, {"places-16-bits": _RGB16[:, :, 0]}),
    ],
    "image/jpeg": [
        ({}, {name: jpeg(IMAGES[name], **more) for name, more in JPEGS.items()}),
        ({"places": 1}, {"coarse": jpeg(IMAGES["rgb"], quality=10, subsampling="4:2:2")}),
    ],
    "series/mulaw": [({}, SERIES), ({"low": 0.0, "high": 20.0, "levels": 64}, {"positive": SERIES["values"] * 9})],
    "series/levels": [
        ({"columns": COLUMNS}, {"columns": np.array([143.9, 25000.0, np.nan, 1.0])}),
        ({"columns": COLUMNS, "apart": 1}, {"columns-apart": np.array([np.nan, -0.0, 3.25, 1.5]), "cut": np.ones(1)}),
        ({"columns": [[-1.0, -0.25, 0.125, 0.7, 1e9]], "patch_size": 5}, {f"one-{k}": v for k, v in SERIES.items()}),
        ({"columns": COLUMNS, "tilings": 2}, {"tilings": np.array([143.9, 25000.0, np.nan, 3.0])}),
        ({"columns": COLUMNS, "apart": 1, "tilings": 4}, {"tilings-apart": np.array([150.0, np.nan, 3.25, 1.5])}),
    ],
    "molecule/smiles": [({}, SMILES)],
    "record/columns": [
        ({"fields": FIELDS}, PATIENTS),
        (
            {"fields": REQUIRED},
            {
                "required": ("gold", "063", "70", "1950-12-24", SERIES["values"][:3] * 3, (("K", "4.0"), ("K", "5"))),
                "required-null": (None, None, None, None, None, ((None, None), (None, ""))),
                "required-empty": ("", "", "", "", SERIES["empty"], ()),
            },
        ),
        ({"fields": LOSSY}, {"lossy": ("70", SERIES["values"][:3] * 3, IMAGES["grey"])}),
        ({"fields": PLACED}, {"places": (IMAGES["grey"],)}),
    ],
}


def to_json(record: Any) -> Any:
    """Return a record as JSON: text as it is or {codes}, {bytes}, {dtype, shape, data} of an array, cells as a list."""
    if record is None:
        return None
    if isinstance(record, bytes):
        return {"bytes": base64.b64encode(record).decode("ascii")}
    if isinstance(record, tuple):
        return [to_json(cell) for cell in record]
    if isinstance(record, str):  # JSON would join two surrogates to one character
        return {"codes": [ord(c) for c in record]} if any("\ud800" <= c <= "\udfff" for c in record) else record
    data = base64.b64encode(np.ascontiguousarray(record).tobytes()).decode("ascii")
    return {"dtype": record.dtype.str, "shape": list(record.shape), "data": data}


def codec_vectors() -> Iterator[Scenario]:
    """Records, and what they become."""
    for name, cases in RECORDS.items():
        for options, records in cases:
            codec = CODECS[name](**options)
            for scenario, record in records.items():
                symbols = codec.encode(record).symbols
                yield (
                    f"codec/{slug(name)}-{scenario}",
                    {
                        "codec": name,
                        "config": codec.config(),
                        "record": to_json(record),
                        "symbols": symbols.tolist(),
                        "decoded": to_json(codec.decode(symbols)),
                    },
                )


def table_vectors() -> Iterator[Scenario]:
    """A small table of each codec, and the ids that it gives; one in a secret order, one beside a public table."""
    for name, cases in RECORDS.items():
        options, records = cases[0]
        codec = CODECS[name](**options)
        vocabulary = Vocabulary(32 + codec.alphabet + 20)
        table = Table.fit(records.values(), codec=codec, vocabulary=vocabulary, allow_lost=True, min_records=1)
        yield f"table/{slug(name)}", _table_vector(table, records.values())
    placed = Table.fit(IMAGES.values(), codec=CODECS["image/dct"](places=4), vocabulary=Vocabulary(485), min_records=1)
    yield "table/image-dct-places", _table_vector(placed, IMAGES.values())
    records = RECORDS["text/bytes"][0][1]
    counts = PatchCounts()
    counts.add(CODECS["text/bytes"]().encode_batch(list(records.values())))
    drawn = Table.from_counts(
        counts,
        codec=CODECS["text/bytes"](),
        vocabulary=Vocabulary(308),
        secret_ids=True,
        draw=Random(0).shuffle,  # noqa: S311
    )
    yield "table/text-bytes-secret-ids", _table_vector(drawn, records.values())
    public = Table.fit(["to be or not", "yes, isn't it"] * 2, vocabulary=Vocabulary(298), min_records=1, public=True)
    of: dict[str, Any] = {"vocabulary": Vocabulary(312), "min_records": 1, "base": public.as_base()}
    yield "table/text-bytes-base", _table_vector(Table.fit(records.values(), **of), records.values())


def _table_vector(table: Table, records: Iterable[Any]) -> dict[str, Any]:
    """Return a table's payload and fingerprint, and records with their ids."""
    pairs = [(record, table.encode(record)) for record in records]
    return {
        "payload": table.cleartext().decode("ascii"),
        "fingerprint": table.fingerprint,
        "pairs": [
            {"record": to_json(record), "ids": ids.tolist(), "decoded": to_json(table.decode(ids))}
            for record, ids in pairs
        ],
    }


def image_rejects() -> Iterator[Scenario]:
    """Symbols of an image of 12 bits whose base is none, and of images with places that are out of order."""
    deep = {"codec": "image/dct", "config": CODECS["image/dct"](bits=12).config()}
    for scenario, found in {"base-beyond": [0, 1, 1, 128, 32], "base-cut-short": [0, 1, 1, 200]}.items():
        name = f"symbols-image-dct-{scenario}"
        yield rejects.reject(name, "CorruptSymbols", "do not spell the 1 blocks", **deep, symbols=found)
    placed = {"codec": "image/dct", "config": CODECS["image/dct"](places=4).config()}
    first = [0, 1, 1, 4, 81]  # a grey image of one pixel, its base and its place; levels begin at 145
    for scenario, found in {
        "elsewhere": [0, 1, 1, 4, 82],
        "place-before-nothing": [*first, 81],
        "level-without-place": [*first, 145],
        "band-again": [*first, 81, 145, 81, 153],
        "band-before": [*first, 81, 161, 81, 145],
        "position-again": [*first, 81, 153, 153],
        "position-of-another-band": [*first, 81, 145, 161],
        "base-beyond": [0, 1, 1, 8, 8, 4, 81],
    }.items():
        name = f"symbols-image-dct-places-{scenario}"
        yield rejects.reject(name, "CorruptSymbols", "do not spell the 1 blocks", **placed, symbols=found)


def jpeg_rejects() -> Iterator[Scenario]:
    """Symbols of a JPEG whose header is none, or whose blocks are none."""
    given = {"codec": "image/jpeg", "config": CODECS["image/jpeg"]().config()}
    side = [15, 15, 15, 15, 1]  # 2^13 - 1
    grey = [1, 1, 1, 1, 1, 0, *[0, 1] * 64]  # one pixel, steps of 1
    block = [48, 81, 8]  # the mean 0
    few = "0 symbols after the header; expected at least 3"
    for scenario, (found, message) in {
        "empty": ([], "0 symbols do not begin with planes"),
        "two-planes": ([2, *grey[1:]], "header says 1 x 1 x 2"),
        "no-rows": ([1, 0, *grey[2:]], "header says 0 x 1 x 1"),
        "too-high": ([1, 8, 8, 8, 8, 8, 2, *grey[2:]], "header says 65536 x 1 x 1"),
        "huge": ([3, *side, *side, 1, 1], "3, 1 x 1 blocks to one; expected at most"),
        "grey-sampled": ([1, 1, 1, 2, 1], "1, 2 x 1 blocks to one"),
        "sampled-thrice": ([3, 1, 1, 3, 1], "3, 3 x 1 blocks to one"),
        "no-table": ([1, 1, 1, 1, 1, 1, *grey[6:], *block], "names none before it"),
        "table-cut-short": (grey[:-1], "plane 0 has no 64 quantisation steps"),
        "step-of-0": ([*grey[:-1], 0, *block], "plane 0 has no 64 quantisation steps"),
        "header-alone": (grey, few),
        "mean-beyond": ([*grey, 80, 8, 12, 81, 8], "do not spell the 1 blocks"),  # of 1024
        "level-beyond": ([*grey, *block, 81, 152, 12, 15, 15, 9], "do not spell the 1 blocks"),
        "elsewhere": ([*grey, 48, 82, 8], "do not spell the 1 blocks"),
        "level-without-place": ([*grey, *block, 145], "do not spell the 1 blocks"),
    }.items():
        yield rejects.reject(f"symbols-image-jpeg-{scenario}", "CorruptSymbols", message, **given, symbols=found)


def levels_rejects() -> Iterator[Scenario]:
    """Symbols of `series/levels` at a place of another column, and one more than there are columns."""
    apart = {"codec": "series/levels", "config": CODECS["series/levels"](columns=COLUMNS, apart=1).config()}
    few = {"codec": "series/levels", "config": CODECS["series/levels"](columns=COLUMNS).config()}
    tiled = {"codec": "series/levels", "config": CODECS["series/levels"](columns=COLUMNS, tilings=2).config()}
    name = "symbols-series-levels"
    wrong = {"falls": [1, 4], "rises-by-two": [0, 6], "half-a-value": [0], "half-missing": [3, 6]}
    for scenario, found in wrong.items():
        message = "the 2 tiles of a value"
        yield rejects.reject(f"{name}-tile-{scenario}", "CorruptSymbols", message, **tiled, symbols=found)
    yield rejects.reject(f"{name}-other-place", "CorruptSymbols", "symbol 1 is of another", **apart, symbols=[0, 13, 8])
    for scenario, found in (("beyond-alphabet", [6]), ("negative", [-1])):
        yield rejects.reject(f"{name}-{scenario}", "CorruptSymbols", "outside range(6)", **few, symbols=found)
    yield rejects.reject(f"{name}-too-many", "CorruptSymbols", "expected at most 4", **few, symbols=[0] * 5)


def slug(name: str) -> str:
    """Return the id of a codec as part of a file name."""
    return name.replace("/", "-")


def main() -> None:
    """Write what is missing, and say what."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = (*image_rejects(), *jpeg_rejects(), *levels_rejects(), *rejects.scenarios(Path(folder)))
        for name, document in (*codec_vectors(), *table_vectors(), *wrong):
            path = HERE / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="ascii")
                print(f"wrote {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
