"""Inputs that are split: parts together give the same records as the whole, and errors name the same place."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ult.data import open_source
from ult.data import text as text_files
from ult.data.form import Unread
from ult.errors import SourceError

WORDS = ["", "a", "two words", "é", "\U0001f600 \r", "x" * 70, " ", "last\ttab"]
TEXTS = [WORDS[i % len(WORDS)] + str(i // 9) * (i % 3) for i in range(700)]


def write(path, texts):
    if path.suffix == ".txt":
        path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    elif path.suffix == ".jsonl":
        rows = [json.dumps({"n": i, "text": text}) for i, text in enumerate(texts)]
        path.write_text("\n".join(rows), encoding="utf-8")
    else:
        pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), path, row_group_size=37)
    return path


def parts(source, nbytes):
    found = list(source.pieces(nbytes))
    assert all(isinstance(piece, Unread) for piece in found)
    return [pickle.loads(pickle.dumps(piece)).read() for piece in found]  # noqa: S301  # as another process has it


@pytest.mark.parametrize("nbytes", [1, 50, 1000, 10**6])
@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_parts_of_all_inputs_give_what_the_whole_gives(tmp_path, suffix, nbytes):
    texts = [TEXTS[:1], TEXTS[1:400], TEXTS[400:401], TEXTS[401:]]
    inputs = [write(tmp_path / f"{i}{suffix}", some) for i, some in enumerate(texts)]
    keep = [] if suffix == ".txt" else ["n"]
    source = open_source(inputs, modality="text", keep=keep)
    batches = parts(source, nbytes)
    assert [record for batch in batches for record in batch.records] == TEXTS == list(source)
    whole = pa.concat_tables(batch.kept for batch in source.batches())
    assert pa.concat_tables(batch.kept for batch in batches) == whole
    assert (len(batches) == 1) == (nbytes == 10**6)


def test_a_line_is_a_part_of_its_own_where_parts_are_smaller(tmp_path):
    path = write(tmp_path / "a.txt", ["x" * 30, "", "y", "z" * 31])
    source = open_source([path], modality="text")
    assert [list(batch.records) for batch in parts(source, 1)] == [["x" * 30], [""], ["y"], ["z" * 31]]
    assert [list(batch.records) for batch in parts(source, 32)] == [["x" * 30, ""], ["y", "z" * 31]]


def test_a_byte_order_mark_is_of_the_first_line_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'"a"\n"b"\n')
    source = open_source([path], modality="text")
    assert [list(batch.records) for batch in parts(source, 1)] == [["a"], ["b"]]
    path.write_bytes(b'"a"\n"b"\n\xef\xbb\xbf"c"\n')
    *_, last = source.pieces(1)
    with pytest.raises(SourceError, match=r"line 3 is not JSON"):
        last.read()


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("a.txt", b"\xff\n", "line 701 is not UTF-8"),
        ("a.jsonl", b"\n{\n", "line 701 is not JSON"),
        ("a.jsonl", b'\n{"text": 3}\n', "line 701"),
    ],
)
def test_an_error_in_a_late_part_names_the_line_of_the_file(tmp_path, name, bad, message):
    path = write(tmp_path / name, TEXTS)
    path.write_bytes(path.read_bytes() + bad)
    *_, last = open_source([path], modality="text").pieces(500)
    with pytest.raises(SourceError, match=message):
        last.read()


def test_a_piece_is_read_by_whoever_takes_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + '"a\nb"\n' * 20)
    (piece,) = open_source([path], modality="text").pieces(10**6)
    assert not hasattr(piece, "records")
    assert piece.read().records == ["a\nb"] * 20


def test_lines_are_the_same_in_blocks_of_any_size(tmp_path, monkeypatch):
    lines = ["", "a", "naïve \U0001f600", "x" * 50, "", "\r", "y" * 7, "last"]
    for end in ("", "\n"):
        (tmp_path / "a.txt").write_text("\n".join(lines) + end, newline="")
        for block in (1, 2, 7, 8, 1000):
            monkeypatch.setattr(text_files, "BLOCK", block)
            assert list(open_source([tmp_path / "a.txt"], modality="text")) == lines
    (tmp_path / "a.txt").write_bytes(b"good\nb\xe9d\n")
    monkeypatch.setattr(text_files, "BLOCK", 3)
    with pytest.raises(SourceError, match=r"a\.txt, line 2 is not UTF-8"):
        list(open_source([tmp_path / "a.txt"], modality="text"))
