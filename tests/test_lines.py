"""Pieces of lines are encoded in one pass over their bytes, as by their reader."""

import subprocess
import sys

import numpy as np
import pytest

from ult.data import open_source, text
from ult.host import native
from ult.owner.table import Table
from ult.public.vocabulary import Vocabulary

LINES = "the cat sat on the mat\r\n\n\ufeff'tis naïve, 2024\n" + "mat" * 30 + "\n\nthe last"


@pytest.mark.parametrize("nbytes", [1, 40, 10**6])
@pytest.mark.parametrize("block", [8, 2**17])
def test_lines_are_encoded_in_one_pass_as_by_their_reader(nbytes, block, tmp_path, monkeypatch):
    if native.library() is None:
        pytest.skip("the kernels in C were not built")
    monkeypatch.setattr(text, "BLOCK", block)
    for name, written in (("a.txt", LINES), ("b.txt", LINES + "\n"), ("c.txt", "\n")):
        (tmp_path / name).write_bytes(written.encode())
    table = Table.fit([LINES], vocabulary=Vocabulary(330), min_records=1)
    pieces = list(open_source(sorted(tmp_path.iterdir()), modality="text").pieces(nbytes))
    assert len(pieces) == {1: 13, 40: 5, 10**6: 1}[nbytes]
    for piece in pieces:
        records = [record for batch in piece.batches() for record in batch.records]
        found = table.encode_lines(piece)
        assert found is not None
        (ids, ends), size = found
        expected, stops = table.encode_ragged(records)
        assert ids.dtype == expected.dtype
        assert np.array_equal(ids, expected)
        assert np.array_equal(ends, stops)
        assert size == sum(len(record.encode()) for record in records)


@pytest.mark.parametrize("written", [b"good\nbad \xff\n", b"good\n\xed\xa0\x80\n"])
def test_a_line_that_is_no_utf8_is_left_to_the_reader_who_names_it(written, tmp_path):
    (tmp_path / "a.txt").write_bytes(written)
    (piece,) = open_source([tmp_path / "a.txt"], modality="text").pieces(10**6)
    table = Table.fit(["good"], vocabulary=Vocabulary(300), min_records=1)
    assert table.encode_lines(piece) is None
    with pytest.raises(ValueError, match=r"a\.txt, line 2"):
        list(piece.batches())


def test_lines_become_shards_and_lines_again_without_packages_that_start_slowly(tmp_path):
    (tmp_path / "a.txt").write_bytes(LINES.encode())
    Table.fit([LINES], vocabulary=Vocabulary(330), min_records=1).save(tmp_path / "t.ult", encrypt=False)
    code = (
        "import sys; from ult.cli import app; "
        "app('encode a.txt -t t.ult -o s -w 1'.split(), standalone_mode=False); "
        "app('decode s -t t.ult -o b.txt -w 1'.split(), standalone_mode=False); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.txt").read_bytes() == LINES.encode() + b"\n"
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"pandas", "pyarrow.compute", "pyarrow.dataset", "numpy.ma", "rich", "numba", "torch"}
