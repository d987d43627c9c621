"""`docs/format.md` is enough: a reader written from it alone reads what `ult` writes, and gives text the same ids."""

import ast
import itertools
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import format_reader
import laws
from format_codecs import CODECS as CODECS_AGAIN
from format_image import Refused
from strategies import FIELDS, JPEGS, LEVELS, LOSSY_FIELDS, LOSSY_RECORDS, RECORDS, SERIES, SMILES, TEXTS
from ult import Table, Vocabulary
from ult.codecs import CODECS
from ult.errors import CorruptSymbols
from ult.owner import keyfile
from ult.public.shard_writer import ShardWriter

pytestmark = pytest.mark.filterwarnings("ignore::ult.errors.ValuesClipped")  # of series outside a range, on purpose
HERE = Path(__file__).parent
WORDS = re.split(
    " ", "the of and a to in Münze don't 't 2024 12345 §3 “so” 日本語 , . ... \t \n\n    😀 \ud800 ''tis 'x"
)
SHAPES = [(1, 1), (3, 20), (8, 8), (33, 18), (1, 40, 3), (16, 16, 3), (21, 35, 3), (2, 9, 4), (30, 17, 4)]


def texts(n, seed):
    draw = random.Random(seed)  # noqa: S311
    return [" ".join(draw.choices(WORDS, k=draw.randint(0, 30))) for _ in range(n)]


def series():
    return [*SERIES.values(), *(np.random.default_rng(n).normal(2, 9, 30 * n) for n in range(1, 5))]


def images(shapes=SHAPES):
    rng = np.random.default_rng(5)
    for number, shape in enumerate(shapes):
        waves = 120 + 110 * np.sin(np.indices(shape).sum(0) / (2 + number))
        noise = rng.integers(0, 256, shape)
        yield np.where(rng.random(shape) < 0.1 * (number % 4), noise, waves).astype(np.uint8)


def deep_images(low, high):
    for image in images([*SHAPES[:4], (9, 12, 3), (5, 9, 4)]):
        dtype = np.int16 if low < 0 else np.uint16
        yield np.rint(low + image / 255 * (high - low)).astype(dtype)


# name: codec or its id, records, size of the vocabulary
CASES: dict[str, tuple[Any, list[Any], int]] = {
    "text-bytes": ("text/bytes", [*texts(60, 1), *TEXTS.values()], 512),
    "text-bwt": ("text/bwt", [*texts(30, 2), "banana" * 9], 512),
    "text-bwt-3": (CODECS["text/bwt"](patch_size=3), texts(20, 3), 320),
    "molecule": ("molecule/smiles", [*SMILES.values(), *texts(10, 4)], 600),
    "series": ("series/mulaw", series(), 400),
    "series-one-sided": (CODECS["series/mulaw"](low=0.25, high=70.0, mu=10.0, levels=37), series(), 128),
    "series-constant": (CODECS["series/mulaw"](low=3.0, high=3.0), series(), 400),
    "series-levels": (CODECS["series/levels"](columns=[[-20.0, 0.0, 1.5, 30.0]], patch_size=3), series(), 128),
    "series-columns": (CODECS["series/levels"](columns=LEVELS, apart=1), [x for x in series() if len(x) <= 40], 4096),
    "image": ("image/dct", list(images()), 600),
    "image-fine": (CODECS["image/dct"](quality=93), list(images()), 600),
    "image-papers": (CODECS["image/dct"](quality=60, coefficients=3), list(images()), 600),
    "image-places": (CODECS["image/dct"](places=4), list(images()), 600),
    "image-places-fine": (CODECS["image/dct"](quality=99, coefficients=6, places=1), list(images()), 600),
    "image-places-16-bits": (
        CODECS["image/dct"](bits=16, low=-(2**15), quality=90, places=3),
        list(deep_images(-(2**15), 2**15 - 1)),
        600,
    ),
    "image-12-bits": (CODECS["image/dct"](bits=12), list(deep_images(0, 4095)), 600),
    "image-16-bits": (CODECS["image/dct"](bits=16, quality=90), list(deep_images(0, 65535)), 600),
    "image-signed": (
        CODECS["image/dct"](bits=11, low=-1000, high=700, coefficients=5, clip=1),
        list(deep_images(-1200, 900)),
        600,
    ),
    "jpeg": ("image/jpeg", [*JPEGS.values()], 600),
    "jpeg-places": (CODECS["image/jpeg"](places=1), [*JPEGS.values()], 600),
    "record": (CODECS["record/columns"](fields=FIELDS), [*RECORDS.values()], 1100),
    "record-lossy": (CODECS["record/columns"](fields=LOSSY_FIELDS), LOSSY_RECORDS, 1100),
    "image-coarse": (CODECS["image/dct"](quality=1, coefficients=7), list(images()), 600),
}


@pytest.fixture(params=CASES, scope="module")
def owned(request, tmp_path_factory):
    """Return a table, its records, their ids, and the folder with `t.ult`, `t.age`, `t.key` and `x.shards`."""
    codec, records, size = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    table = Table.fit(records, codec=codec, vocabulary=Vocabulary(size), allow_lost=True, min_records=1)
    text, public = keyfile.keygen()
    (folder / "t.key").write_text(text)
    table.save(folder / "t.ult", encrypt=False)
    table.save(folder / "t.age", recipients=[public])
    ids = table.encode_batch(records)
    with ShardWriter(
        folder / "x.shards",
        vocabulary=table.vocabulary,
        table=table.fingerprint,
        codec=table.codec.id,
        column="x",
        part_ids=1,
    ) as writer:
        half = len(records) // 2
        writer.write(ids[:half], 1)
        writer.write(ids[half:], 1)
    return table, records, ids, folder


def test_the_second_reader_knows_nothing_of_ult():
    paths = list(HERE.glob("format_*.py"))
    assert len(paths) == 8
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert names - sys.stdlib_module_names <= {"numpy", "pyarrow.parquet", "pyrage", *(path.stem for path in paths)}


def test_it_reads_shards_and_decodes_them_with_the_age_file(owned):
    table, records, ids, folder = owned
    secret = re.findall("^AGE-SECRET-KEY-1.*$", (folder / "t.key").read_text(), re.MULTILINE)[0]
    second = format_reader.Table((folder / "t.age").read_bytes(), secret)
    assert second.fingerprint == table.fingerprint
    assert second.fingerprint == format_reader.Table((folder / "t.ult").read_bytes()).fingerprint
    manifest, rows = format_reader.read_shards(folder / "x.shards")
    assert len(manifest["parts"]) > 1
    assert (manifest["table"], manifest["codec"]) == (second.fingerprint, second.codec)
    assert rows == [array.tolist() for array in ids]
    for row, record in zip(rows, records, strict=True):
        decoded = second.decode(row)
        laws.assert_same(decoded, table.decode(row))
        if table.codec.lossless:
            assert decoded == record


def test_it_prints_ids_as_the_vocabulary_does(owned):
    table, _, ids, _ = owned
    for array in ids:
        assert format_reader.printed(array.tolist()) == table.vocabulary.to_text(array)


def test_it_prints_every_id_and_reads_the_vocabulary(tmp_path):
    vocabulary = Vocabulary(235_125)
    assert format_reader.printed(range(vocabulary.size)) == vocabulary.to_text(np.arange(vocabulary.size))
    vocabulary.save(tmp_path / "vocabulary.json")
    assert format_reader.read_vocabulary((tmp_path / "vocabulary.json").read_text()) == vocabulary.size


def test_it_encodes_records_to_the_same_ids(owned):
    table, records, ids, folder = owned
    second = format_reader.Table((folder / "t.ult").read_bytes())
    for record, expected in zip(records, ids, strict=True):
        check_patches(table.codec, record)
        assert second.encode(record) == expected.tolist()


def check_patches(codec, record):
    patches = codec.encode(record)
    cut = CODECS_AGAIN[codec.id][2](record, codec.config())
    assert [symbol for patch in cut for symbol in patch] == patches.symbols.tolist()
    assert list(itertools.accumulate(map(len, cut))) == patches.ends.tolist()


def test_it_cuts_text_at_the_same_places():
    kinds = "aZé'’ 0\t\n.–日、😀\ud800ß"
    draw = random.Random(6)  # noqa: S311
    soup = ["".join(draw.choices(kinds, k=draw.randint(1, 60))) for _ in range(150)]
    runs = [c * n for c in kinds for n in (1, 2, 16, 31, 32, 33, 63, 64, 65, 66, 67, 130)]
    runs += [f"{c}{run}{end}" for c in "a " for run in runs for end in ("b", "'b", "''b", " 5")]
    for text in [*soup, *runs]:
        check_patches(CODECS["text/bytes"](), text)


@pytest.mark.parametrize("min_records", [1, 3, 20, 41])
def test_it_fits_the_same_table(min_records, tmp_path):
    records = [*texts(30, 8), *["the zebra", "the zebra"] * 5]
    table = Table.fit(records, vocabulary=Vocabulary(330), min_records=min_records)
    table.save(tmp_path / "t.ult", encrypt=False)
    document = json.loads((tmp_path / "t.ult").read_text())
    merges, ranks, counts = format_reader.fit(records, size=330, min_records=min_records)
    assert document["merges"] == [list(pair) for pair in merges]
    assert (document["ranks"], document["counts"]) == (ranks, counts)
    assert bool(merges) == (min_records <= 20)


@pytest.mark.parametrize("path", sorted((HERE / "vectors" / "codec").glob("*.json")), ids=lambda path: path.stem)
def test_it_decodes_the_committed_vectors(path):
    vector = json.loads(path.read_text())
    decoded = CODECS_AGAIN[vector["codec"]][1](vector["symbols"], vector["config"])
    codec = CODECS[vector["codec"]](**vector["config"])
    laws.assert_same(decoded, codec.decode(np.array(vector["symbols"], np.uint32)))


@pytest.mark.parametrize("name", ["text-bytes", "text-bwt-3", "molecule", "image", "image-papers", "image-places"])
def test_it_refuses_the_symbols_that_ult_refuses(name):
    """Changes one symbol, or drops or doubles one, of records' symbols: both decode to the same, or both refuse."""
    codec, records, _ = CASES[name]
    codec = CODECS[codec]() if isinstance(codec, str) else codec
    rng = np.random.default_rng(9)
    refused = 0
    records = [record for record in records[:12] if len(record)]
    for record in records * 6:
        symbols = codec.encode(record).symbols
        at = int(rng.integers(len(symbols)))
        new = [[rng.integers(codec.alphabet)], [], [symbols[at]] * 2][rng.integers(3)]
        symbols = np.concatenate([symbols[:at], np.array(new, np.uint32), symbols[at + 1 :]])
        try:
            expected = codec.decode(symbols)
        except CorruptSymbols:
            refused += 1
            with pytest.raises(Refused):
                CODECS_AGAIN[codec.id][1](symbols.tolist(), codec.config())
        else:
            laws.assert_same(CODECS_AGAIN[codec.id][1](symbols.tolist(), codec.config()), expected)
    assert 5 < refused < 6 * len(records)
