"""The kernels in C do what their twins in Numba do, to the last id; where they are not, nothing else changes."""

import copy
import gc
import re
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ult
from ult.codecs.cells import Cells
from ult.codecs.patches import Patches
from ult.codecs.pretokenizer import cut_words
from ult.codecs.text import TextBytes, joined_utf8
from ult.codecs.utf8 import is_utf8
from ult.data import text
from ult.data.text import TxtWriter
from ult.host import native
from ult.owner import lines
from ult.owner.bpe import text as in_c
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.text import TextSegmenter

built = pytest.mark.skipif(native.library() is None, reason="the kernels in C were not built")
SURROGATE = re.compile("[\ud800-\udfff]")
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


def same(one, other):
    for found, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, right)


def check(table, records):
    expected = twin(table, records)
    plain_texts = [record for record in records if not SURROGATE.search(record)]
    of_texts = expected if len(plain_texts) == len(records) else twin(table, plain_texts)
    lines = [line for record in plain_texts for line in record.split("\n")]
    of_lines = twin(table, lines)
    for plain in (False, True):
        same(ours(table, records, plain=plain), expected)
        kernel = TextSegmenter(native.library(), table._merges, table._ids)
        same(kernel.ids_of_list(plain_texts, 2**28, plain=plain), of_texts)
        data = "\n".join(lines).encode()
        if lines and lines[-1]:
            ids, ends = kernel.ids_of_lines(whole(data, 700), len(data), plain=plain)
            same((ids, ends), of_lines)
            assert ids.dtype == np.uint16


def whole(data, most):
    """Give the data in blocks of whole lines, most of them shorter than `most`."""
    while data:
        end = data.rfind(b"\n", 0, most) + 1 or data.find(b"\n") + 1 or len(data)
        yield memoryview(data[:end])
        data = data[end:]


@built
def test_hostile_texts_have_the_ids_of_the_twin(table):
    rng = np.random.default_rng(0)
    records = ["".join(rng.choice(PIECES, rng.integers(12))) for _ in range(1500)]
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
def test_texts_of_any_length_and_number_have_room(table, monkeypatch):
    monkeypatch.setattr(in_c, "_AT_ONCE", 7)
    monkeypatch.setattr(in_c, "_USUAL", 10**6)  # so that arrays grow
    long = ["x" * size + " y" for size in (65_533, 65_534, 65_535, 70_000, 200_000)]
    check(table, [*long, "the cat", *["" for _ in range(30)], "~" * 9 + "é", *long[::-1]])


@built
def test_what_is_no_text_is_left_to_whoever_says_so(table):
    kernel = TextSegmenter(native.library(), table._merges, table._ids)
    bad: list[Any] = ["\ud800", None, b"a", 7, "é" * 51]
    for one in bad:
        assert kernel.ids_of_list(["the cat", one, "on"], 100) is None
    ids, ends = kernel.ids_of_list([], 100) or (None, None)
    assert ids.tolist() == ends.tolist() == []
    with pytest.raises(ult.errors.InvalidRecord, match=r"records\[1\]: record is NoneType"):
        table.encode_ragged(["the cat", None])


@built
@pytest.mark.parametrize("limit", [1, 3])
def test_patches_are_counted_as_the_twin_counts_them(limit, monkeypatch):
    monkeypatch.setattr(in_c, "_ROWS", 1 << 9)  # which many patches fill
    rng, codec = np.random.default_rng(limit), TextBytes()
    texts = ["".join(rng.choice(PIECES, rng.integers(9))) for _ in range(400)] + [f"w{k * k}" for k in range(2000)]
    texts += ["x y" * 30_000, *texts[:300], "", "~" * 70_000]
    for capacity in (2**22, 3000):
        pair = [PatchCounts(min_records=limit, capacity=capacity) for _ in range(2)]
        for k in range(2):
            for first in range(0, len(texts), 500):
                pair[0].add_records(codec, texts[first : first + 500])
                pair[1].add(codec.encode_batch(texts[first : first + 500]))
            assert pair[0].records == pair[1].records
            if pair[0].over_capacity:
                pair = [one.second_pass() for one in pair]
            elif k == 0:
                break
        assert pair[0].exact_from == pair[1].exact_from
        assert bool(pair[0].exact_from) == (capacity < 2**22)
        (*one, holders), (*other, theirs) = (counts.patches() for counts in pair)
        same([*one, *holders], [*other, *theirs])


@built
@pytest.mark.parametrize(("limit", "capacity"), [(1, 2**22), (3, 2**22), (2, 300)])
def test_counts_are_merged_as_the_twin_merges_them(limit, capacity, monkeypatch):
    rng, kernels, found = np.random.default_rng(limit), native.library(), []
    parts = [["".join(rng.choice(PIECES, 3)) for _ in range(60)] for _ in range(12)]
    for library in (kernels, None):
        monkeypatch.setattr(native, "library", lambda library=library: library)
        total = PatchCounts(min_records=limit, capacity=capacity)
        for _ in range(2):
            for part in parts:
                counts = PatchCounts(**total.settings())
                counts.add(TextBytes().encode_batch(part))
                total.merge(counts.counted())
            if not total.over_capacity:
                break
            total = total.second_pass()
        found.append(total)
    assert found[0].exact_from == found[1].exact_from
    assert bool(found[0].exact_from) == (capacity < 2**22)
    (*one, holders), (*other, theirs) = (counts.patches() for counts in found)
    same([*one, *holders], [*other, *theirs])


@built
def test_ids_are_spelled_as_the_twin_spells_them(monkeypatch):
    texts = ["the cat sat on the mat", "antidisestablishmentarianism", "é" * 30]
    wide = ult.Table.fit(texts * 2, vocabulary=ult.Vocabulary(400), min_records=1)
    assert wide.lengths.max() > 16
    rng, kernels = np.random.default_rng(0), native.library()
    for many in (0, 1, 7, 500):
        ranks = rng.integers(0, len(wide.lengths), many).astype(np.uint32)
        stops = np.sort(np.append(rng.integers(0, many + 1, 5), many))
        found = []
        for library in (kernels, None):
            monkeypatch.setattr(native, "library", lambda library=library: library)
            ends = wide._spelling.ends(ranks, stops)
            found.append((ends, wide._spelling.spell(ranks, int(ends[-1]))))
        same(*found)


def test_cells_are_written_as_lines(tmp_path, monkeypatch):
    for k, library in enumerate((native.library(), None)):
        monkeypatch.setattr(native, "library", lambda library=library: library)
        for n, cells in enumerate(([], [""], ["the cat", "", "é\r"], ["", "x"])):
            writer = TxtWriter(tmp_path / f"{k}{n}.txt")
            writer.write(Cells.of(cells), pa.table({}))
            writer.close(whole=True)
            assert (tmp_path / f"{k}{n}.txt").read_bytes() == "".join(f"{cell}\n" for cell in cells).encode()
        writer = TxtWriter(tmp_path / f"{k}.txt")
        with pytest.raises(ult.errors.OutputError, match="holds a line break"):
            writer.write(Cells.of(["a", "b\n"]), pa.table({}))
        writer.close(whole=False)


@built
def test_utf8_is_what_python_says(table):
    rng = np.random.default_rng(0)
    odd = np.array([*b"az\n", 0x80, 0xA0, 0x90, 0xBF, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF4, 0xF5], np.uint8)
    for _ in range(3000):
        pad, data = b"a" * int(rng.integers(0, 70)), rng.choice(odd, 6).tobytes()
        edge = "\ud7ff\ue000\U00010000".encode()[: rng.integers(11)]
        for one in (pad + data, pad + "é漢\U0001f600".encode() + data[:1] + pad, pad + edge):
            try:
                expected = one.decode() is not None
            except UnicodeDecodeError:
                expected = False
            assert is_utf8(one) == is_utf8(memoryview(one)) == expected, one


def test_a_file_has_the_ids_of_its_lines(table, tmp_path, monkeypatch):
    texts = ["the cat", "", "na\u00efve\r", "x" * 9000, "\u2028 \U0001f600", "don't"]
    (tmp_path / "a.txt").write_bytes("\n".join(texts).encode())
    (tmp_path / "b.csv").write_text("text,n\nthe cat,1\non,2\n", encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes(b"the cat\n\nna\xefve\n")
    monkeypatch.setattr(text, "BLOCK", 64)
    for library in (native.library(), None):
        monkeypatch.setattr(native, "library", lambda library=library: library)
        vars(table).pop("_text", None)
        same(table.encode_file(tmp_path / "a.txt"), table.encode_ragged(texts))
        same(table.encode_file(tmp_path / "b.csv", column="text"), table.encode_ragged(["the cat", "on"]))
        assert table.encode_file(tmp_path / "b.csv", column="text")[0].dtype == np.uint16
        with pytest.raises(ult.errors.SourceError, match=r"bad.txt, line 3 is not UTF-8"):
            table.encode_file(tmp_path / "bad.txt")
        with pytest.raises(ult.errors.MissingSource):
            table.encode_file(tmp_path / "none.txt")
        short = ult.Table.fit(texts[:3], codec=TextBytes(max_length=9), vocabulary=ult.Vocabulary(300), min_records=1)
        with pytest.raises(ult.errors.InvalidRecord, match="line 4: record has 9000 bytes"):
            short.encode_file(tmp_path / "a.txt")
    vars(table).pop("_text", None)


def test_a_file_of_other_records_is_for_ult_encode(tmp_path):
    series = ult.Table.fit([np.arange(4.0)], codec="series/mulaw", vocabulary=ult.Vocabulary(300), min_records=1)
    with pytest.raises(ult.errors.InvalidConfig, match="is series/mulaw; expected one whose records are texts"):
        series.encode_file(tmp_path / "a.csv")


@built
def test_a_file_that_changes_meanwhile_is_an_error(table, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"the cat\n")
    states = iter(range(2))
    monkeypatch.setattr(lines, "_state", lambda name: next(states))
    with pytest.raises(ult.errors.SourceError, match=r"a\.txt changed while it was read"):
        table.encode_file(tmp_path / "a.txt")


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
def test_texts_are_fitted_on_and_encoded_without_numba(table):
    code = (
        "import sys, ult; table = ult.Table.from_cleartext(sys.stdin.buffer.read()); "
        "ult.Table.fit(['the cat', 'the mat'], vocabulary=ult.Vocabulary(300), min_records=2); "
        "ids, _ = table.encode_ragged(['the cat', 'naïve', '']); "
        "table.decode(ids); "
        "print(len(ids), *{'numba', 'llvmlite', 'pyarrow', 'pandas', 'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=table.cleartext(), capture_output=True, check=True)
    assert done.stdout.split() == [str(len(table.encode_ragged(["the cat", "naïve", ""])[0])).encode()]
