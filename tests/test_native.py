"""The kernels in C do what their twins in Numba do, to the last id; where they are not, nothing else changes."""

import copy
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

import ult
from ult.codecs.patches import Patches
from ult.codecs.pretokenizer import cut_words
from ult.codecs.text import joined_utf8
from ult.host import native
from ult.owner.bpe import text as in_c
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.text import TextSegmenter

built = pytest.mark.skipif(native.library() is None, reason="the kernels in C were not built")
PIECES = [
    *"aZ09 \t\n\r'\".,-_~\x00\x7f\x1b", "don't", "'t", " '", "''", "'s's", "12345678901", " 1234",
    "1a2'3", "é", "ß", "\u00a0", "«", "\u2019", "\u2bff", "\u2c00", "\u3000", "\u3042", "漢字",
    "\U0001f600", "\U0001f5ff\u200d", "\U00020000", "\ud800", "\udfff", "\x80", "\u07ff", "x" * 63,
    "x" * 64, "x" * 65, "!" * 64 + "'t", "!" * 200, " " * 62, " " * 64 + "a", "\n" * 130, "é" * 40,
    "\U0001f600" * 20, "'" * 70, "9" * 200, "the ", " and", "word",
]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    words = "the cat sat on the mat, don't they? It's 2024; naïve café 漢字 \U0001f600 " + "long" * 9
    return ult.Table.fit([words + str(k % 7) for k in range(50)], vocabulary=ult.Vocabulary(512), min_records=1)


def twin(table, records):
    data, stops = joined_utf8(records, 2**28)
    return Segmenter(table._merges, table._ids, 256, 64).ids(Patches(data, *cut_words(data, stops)))


def ours(table, records, **options):
    return TextSegmenter(native.library(), table._merges, table._ids).ids(*joined_utf8(records, 2**28), **options)


def check(table, records):
    expected = twin(table, records)
    for plain in (False, True):
        for found, right in zip(ours(table, records, plain=plain), expected, strict=True):
            np.testing.assert_array_equal(found, right)


@built
def test_hostile_texts_have_the_ids_of_the_twin(table):
    rng = np.random.default_rng(0)
    records = ["".join(rng.choice(PIECES, rng.integers(12))) for _ in range(3000)]
    check(table, records)
    check(table, ["".join(records)])
    for one in PIECES:
        for shift in (0, 1, 58, 60, 61, 62, 63, 64, 65):
            check(table, ["a" * min(shift, 40) + " " * (shift - min(shift, 40)) + one + "b", one, "", one * 3])


@built
def test_every_pair_of_characters_is_cut_alike(table):
    letters = [*map(chr, range(0x300)), *"\u2000\u2bff\u2c00\u3000\u303f\u3040\U0001f000\U0001ffff\U00020000"]
    check(table, ["".join(np.random.default_rng(k).choice(letters, 200)) for k in range(400)])


@built
def test_empty_input_and_the_last_bytes_of_memory(table):
    check(table, [])
    check(table, ["", "", ""])
    for size in range(1, 140):
        check(table, ["b" * (size % 9), "ab " * (size // 3) + "c" * (size % 3)])


@built
def test_a_memory_that_is_full_changes_no_id(table, monkeypatch):
    monkeypatch.setattr(in_c, "_ROWS", 1 << 6)
    check(table, [f"w{k}x{k * k} {'q' * (k % 60)}{k}" for k in range(4000)])


@built
def test_its_memory_is_freed_once(table):
    one = TextSegmenter(native.library(), table._merges, table._ids)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            copied(one)
    freed = weakref.ref(one)
    del one
    gc.collect()
    assert freed() is None
    check(table, ["the cat"])


@built
def test_a_table_encodes_alike_with_and_without(table, monkeypatch):
    records = ["the cat", "naïve", "", "\ud800 x"]
    expected = [ids.tolist() for ids in table.encode_batch(records)]
    assert table._text is not None
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.delitem(vars(table), "_text")
    assert [ids.tolist() for ids in table.encode_batch(records)] == expected
    assert table._text is None


def test_a_library_of_other_sources_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "text.c").write_text("int x;")
    before = native.sources(tmp_path)
    (tmp_path / "kernels.so").write_bytes(b"no library")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    assert native.library.__wrapped__() is None
    (tmp_path / "text.c").write_text("int y;")
    assert native.sources(tmp_path) != before


@built
def test_texts_are_encoded_without_numba(table):
    code = (
        "import sys, ult; table = ult.Table.from_cleartext(sys.stdin.buffer.read()); "
        "ids, _ = table.encode_ragged(['the cat', 'naïve', '']); "
        "print(len(ids), *{'numba', 'llvmlite', 'pandas', 'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=table.cleartext(), capture_output=True, check=True)
    assert done.stdout.split() == [str(len(table.encode_ragged(["the cat", "naïve", ""])[0])).encode()]
