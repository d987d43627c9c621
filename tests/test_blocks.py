"""Blocks of columns hold what chunks of lists hold, and a file is refused in the same words either way."""

import errno
import io
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ult.codecs.cells import Cells, Known
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.cells import column_of, written
from ult.data.columns.schema import Schema
from ult.data.composed import gathered, spilled, units
from ult.data.reading import Reading
from ult.data.tables import delimited, row_ends
from ult.data.tables.tabular import CsvRows
from ult.errors import OutputError, SourceError

PIECES = ["a", "é", "", ",", '"', '""', "\n", "\r\n", "\r", "x,y\n", '"q,""\n",z\n', "1,2\r\n", '"a\r\nb",\n', "\0"]
TEXTS = st.lists(st.none() | st.text(max_size=4), max_size=12)


def read(rows, how):
    """Return the cells of all rows by column, the number of each row, and the error that ends them."""
    cells, numbers = [[] for _ in rows.types], []
    try:
        for chunk in getattr(rows, how)(list(rows.types)):
            for column, name in zip(cells, rows.types, strict=True):
                column += list(chunk.columns[name])
            numbers += range(chunk.first, chunk.first + chunk.length)
    except SourceError as error:
        return cells, numbers, str(error)
    return cells, numbers, ""


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.sampled_from([2, 7, 2**21]), st.booleans())
def test_a_scan_reads_what_csv_reads(tmp_path_factory, text, block, marked):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" * marked + f"k,l\n{text}".encode())
    try:
        rows = CsvRows(str(path))
    except SourceError:
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(delimited, "BLOCK", block)
        fast, slow = read(rows, "blocks"), read(rows, "chunks")
    assert fast[2] == slow[2]
    n = min(len(fast[1]), len(slow[1])) if slow[2] else len(slow[1])  # before an error, whole blocks come
    assert fast[1][:n] == slow[1][:n]
    assert [column[:n] for column in fast[0]] == [column[:n] for column in slow[0]]


@given(
    st.lists(st.sampled_from([*PIECES, '\ufeff"', 'a"b']), max_size=25).map("".join),
    st.sampled_from([1, 5, 20]),
    st.sampled_from(["k,l\n", "sep=,\nk,l\r\n", "\n\n'k',l\n", "k\n", ""]),
    st.sampled_from([3, 2**20]),
    st.booleans(),
)
def test_parts_of_a_file_are_the_file(tmp_path_factory, text, nbytes, head, block, marked):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" * marked + f"{head}{text}".encode())
    try:
        rows = CsvRows(str(path), Reading(separator=",", header=bool(head)))
    except SourceError:
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(row_ends, "BLOCK", block)
        parts = list(rows.split(nbytes))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert all(part.nbytes >= nbytes for part in parts[:-1])
    for how in ("blocks", "chunks"):
        whole, found = read(rows, how), ([[] for _ in rows.types], [], "")
        for part in parts:
            cells, numbers, error = read(pickle.loads(pickle.dumps(part)), how)  # noqa: S301  # our own
            found = [a + b for a, b in zip(found[0], cells, strict=True)], found[1] + numbers, found[2] or error
            if error:
                break
        assert found[2] == whole[2]
        n = min(len(whole[1]), len(found[1])) if whole[2] else len(whole[1])
        assert found[1][:n] == whole[1][:n]
        assert [column[:n] for column in found[0]] == [column[:n] for column in whole[0]]
        assert whole[2] or len(found[1]) == n


def test_a_file_that_shrinks_between_its_parts_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"k,l\n" + b"1,2\n" * 40)
    *_, last = CsvRows(str(path)).split(50)
    path.write_bytes(path.read_bytes()[:-8])
    for how in ("blocks", "chunks"):
        assert "t.csv changed while it was read: it ended after 156 bytes; expected 164" in read(last, how)[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n5\n", "line 4004 has 1 cell;"),
        ('1,"a\nb"\n3,"4"x\n', "line 4004 is not CSV"),
        ("1,2\n3,\xff\n", "line 4003 is not"),
    ],
)
def test_errors_name_the_line_of_the_file(tmp_path, text, expected):
    path = tmp_path / "t.csv"
    path.write_bytes(b"k,l\n" + b"1,2\n" * 4000 + text.encode("latin-1"))
    _, _, error = read(CsvRows(str(path)), "blocks")
    assert expected in error


def test_a_line_for_excel_before_the_header_is_skipped(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nk;l\n1;2\n", encoding="utf-8")
    assert read(CsvRows(str(path), Reading(separator=";")), "blocks") == ([["1"], ["2"]], [1], "")


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", None, "é", ""]),
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.array(["x", "yy", None], pa.string_view()),
        pa.array([1.5, None, -0.0]),
        pa.array([["a", "b"], None, []]),
        pa.array(["skipped", "b", None, "c"]).slice(1),
        pa.array([], pa.int64()),
    ],
)
def test_a_column_holds_what_is_written(values):
    chunked = pa.chunked_array([values, values.slice(1)])
    assert column_of(chunked).tolist() == written(chunked)


@given(TEXTS, TEXTS, st.data())
def test_cells_are_a_list_of_texts(first, second, data):
    cells, every = Cells.concatenate([Cells.of(first), Cells.of(second)]), first + second
    assert cells.tolist() == every
    assert [cells[i] for i in range(len(every))] == every
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(every))] * 2)))
    assert cells[start:stop].tolist() == every[start:stop]
    which = np.array(data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every))), np.bool_)
    assert cells.taken(which).tolist() == [cell for cell, there in zip(every, which, strict=True) if there]
    assert cells.equal("").tolist() == [cell == "" for cell in every]
    assert cells.repeats().tolist() == [k > 0 and cell == every[k - 1] for k, cell in enumerate(every)]
    known = list(dict.fromkeys(cell for cell in first if cell is not None))
    assert Known(known).numbers(cells).tolist() == [known.index(cell) if cell in known else -1 for cell in every]


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "yy"])), min_size=1, max_size=12)
INNER = Field(name="rows", kind="rows", fields=(Field(name="cell", kind="text"),))
UNITS = Schema(fields=(Field(name="own", kind="text"), INNER), unit="id")


def grouped(path, rows):
    """Write rows of (unit, cell), and return a source of a record for each unit."""
    path.write_text("".join(f"{line}\n" for line in ["id,own,cell", *rows]))
    return open_source([str(path)], modality="record", schema=UNITS)


@given(ROWS, st.sampled_from([0, 40, 2**20]))
def test_units_apart_come_together_in_memory_or_aside(tmp_path_factory, rows, limit):
    lines = [f"{unit},of {unit},{cell}" for unit, cell in rows]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(units, "PASS_BYTES", limit)
        source = grouped(tmp_path_factory.mktemp("csv") / "t.csv", lines)
        (batch,) = source.batches()
    cells = {unit: tuple((cell,) for one, cell in rows if one == unit) for unit, _ in rows}
    assert list(batch.records) == [(f"of {unit}", inner) for unit, inner in cells.items()]
    assert [batch.where.place(i).split("row ")[1].split(" ")[0] for i in range(batch.rows)] == [
        str(1 + next(i for i, row in enumerate(rows) if row[0] == unit)) for unit in cells
    ]


def test_a_row_that_differs_within_its_unit_is_named(tmp_path):
    source = grouped(tmp_path / "t.csv", ["a,1,x", "b,1,x", "a,2,y"])
    with pytest.raises(SourceError, match=r"row 3: 'own' is not what it is in .*row 1"):
        list(source)


def apart(monkeypatch, path):
    """Return a source of units whose rows are put aside, with a null and a kept column, and what each unit holds."""
    monkeypatch.setattr(units, "PASS_BYTES", 2000)
    monkeypatch.setattr(gathered, "_EACH", 64)
    monkeypatch.setattr(spilled, "_WINDOW", 9000)
    rows = [(f"person-{i % 97}", f"o{i % 97}", None if i % 5 == 0 else "é" * (i % 300), i % 97) for i in range(1000)]
    pq.write_table(
        pa.table(dict(zip(("id", "own", "cell", "n"), map(list, zip(*rows, strict=True)), strict=True))), path
    )
    source = open_source([str(path)], modality="record", schema=UNITS, keep=["n"])
    return source, [(f"o{k}", tuple((row[2],) for row in rows if row[3] == k), k) for k in range(97)]


def test_rows_put_aside_come_back_as_they_were_and_nobody_else_can_read_them(tmp_path, monkeypatch):
    source, expected = apart(monkeypatch, tmp_path / "t.parquet")
    written = []

    class File(io.BytesIO):
        def close(self):
            written.append(self.getvalue())
            super().close()

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: File())
    records = source.batches()
    found = [
        (*record, n) for batch in records for record, n in zip(batch.records, batch.kept["n"].to_pylist(), strict=True)
    ]
    assert found == expected
    assert len(written) > 1  # parts that were too large for memory were put aside again
    assert sum(map(len, written)) > 300_000
    assert not any(text in data for data in written for text in (b"person-", "é".encode() * 3))


def test_no_file_of_rows_put_aside_stays_and_a_full_disk_is_one_error(tmp_path, monkeypatch):
    source, expected = apart(monkeypatch, tmp_path / "t.parquet")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "aside"))
    with pytest.raises(OutputError, match=r"cannot put rows aside in .*aside.*No such file") as refused:
        list(source)
    assert "TMPDIR=FOLDER" in refused.value.hint
    (tmp_path / "aside").mkdir()
    seen = []
    flush = spilled.Spill.flush

    def watched(self):
        flush(self)
        seen.append(list(Path(tmp_path / "aside").iterdir()))

    monkeypatch.setattr(spilled.Spill, "flush", watched)
    assert len(list(source)) == len(expected)
    assert len(seen) > 3
    assert not any(seen)

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(OutputError, match=r"after 0 bytes: No space left"):
        list(source)
