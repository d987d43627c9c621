"""Inputs that would be misread or silently lost are refused in one line that says where."""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from ult.cli import app
from ult.codecs.series import SeriesMulaw
from ult.data import open_source
from ult.data.molecules.molecule import Canonicaliser
from ult.errors import InvalidConfig, InvalidRecord, SourceError
from ult.owner.table import Table
from ult.public.vocabulary import Vocabulary

IDS = Vocabulary(512)


def refused(inputs, modality="series", **options):
    """Return what is said of inputs that are not read."""
    with pytest.raises(SourceError) as raised:
        list(open_source(inputs, modality=modality, **options))
    return str(raised.value)


@pytest.mark.parametrize("header", ["0.53,1.2,0.9", "5,3", "7", "1,2,4", "8,7,6,5,4,3,2,1"])
def test_a_table_without_a_header_does_not_lose_its_first_record(tmp_path, header):
    path = tmp_path / "values.csv"
    path.write_text(f"{header}\n{header}\n")
    assert "line 1 holds only numbers" in refused([path])


@pytest.mark.parametrize("header", ["0,1,2", "1,2", "0", "a,1", "400,400.5,401,402,403,404,405,409"])
def test_names_of_columns_may_count_or_rise(tmp_path, header):
    path = tmp_path / "values.csv"
    path.write_text(header + "\n" + ",".join("9" for _ in header.split(",")) + "\n")
    source = open_source([path], modality="series")
    assert list(source.fields) == header.split(",")
    assert [record.tolist() for record in source] == [[9.0] * len(header.split(","))]


def test_columns_that_only_a_later_file_has_are_not_dropped(tmp_path):
    one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
    pq.write_table(pa.table({"a": [1.0], "b": [2.0]}), one)
    pq.write_table(pa.table({"b": [2.0], "label": ["x"], "c": [3.0], "a": [1.0]}), two)
    assert "2.parquet has columns that" in (said := refused([one, two], keep=()))
    assert "'label', 'c'" in said
    pq.write_table(pa.table({"b": [2.0], "a": [1.0]}), two)
    assert np.array_equal(list(open_source([one, two], modality="series")), [[1, 2], [1, 2]])


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("patient", ["Lee", "Ray"]),
        ("surname", ["Lee"] * 4),
        ("name", ["Lee", "Ray"]),
        ("who", ["Maria Lee", "John Ray"]),
        ("who", ["lee@example.org", "ray@example.org"]),
        ("case", ["MRN001234", "MRN001239"]),
        ("sample", [f"TCGA-{one}" for one in "ABCDEFGHIJKLMNOPQRSTUVWX"]),
        ("note", ["she came with pain in the chest"] * 3),
    ],
)
def test_no_hint_keeps_a_column_that_says_who_somebody_is(tmp_path, name, cells):
    path = tmp_path / "values.csv"
    path.write_text(f"{name},g1\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells)))
    said = refused([path])
    assert "--keep" not in said
    assert f"a file without {name!r}" in said


@pytest.mark.parametrize(("name", "cells"), [("line", ["HeLa", "Jurkat"]), ("sample id", ["s1", "s2"])])
def test_names_of_rows_are_kept_by_a_hint(tmp_path, name, cells):
    path = tmp_path / "values.csv"
    path.write_text(f"{name},g1\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells)))
    assert "--keep" in refused([path])


@pytest.mark.parametrize(
    ("name", "cells"),
    [("type", ["Luminal A", "Luminal B"]), ("menostat", ["Pre", "Post"]), ("tgrade", ["I", "II", "III"])],
)
def test_no_hint_publishes_a_category_of_each_patient(tmp_path, name, cells):
    path = tmp_path / "values.csv"
    path.write_text(f"{name},age\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells * 7)))
    said = refused([path])
    assert "--keep" not in said
    assert f"{name!r} is one of {len(cells)} words" in said


def wide(n=40):
    """Records of sodium, platelets and potassium."""
    return list(np.random.default_rng(0).normal([140, 250_000, 4], [3, 30_000, 0.4], (n, 3)))


def test_values_of_different_ranges_are_refused_where_no_column_has_a_name():
    with pytest.raises(InvalidConfig, match=r"value [13] of each record .* keeps"):
        Table.fit(wide(), codec="series/mulaw", vocabulary=IDS, min_records=1)
    with pytest.raises(InvalidConfig, match=r"value [13] of each record .* keeps"):
        Table.fit(wide(6), codec="series/mulaw", vocabulary=IDS, min_records=1)
    codec = SeriesMulaw.calibrated(wide())
    with pytest.raises(InvalidConfig, match=r"value [13] of each record .* keeps"):
        Table.fit(wide(), codec=codec, vocabulary=IDS, min_records=1)
    assert Table.fit(wide(), codec=codec, vocabulary=IDS, allow_lost=True, min_records=1).records == 40


def test_beside_numbers_of_sixteen_digits_small_ones_are_values():
    records = [np.array([9.0e15, k % 2 + 2.0]) for k in range(40)]
    with pytest.raises(InvalidConfig, match=r"column 'b' .* keeps"):
        Table.fit(records, codec="series/mulaw", vocabulary=IDS, fields=["a", "b"], min_records=1)


def test_a_table_of_columns_is_not_taken_for_records():
    class Frame(dict):
        """As data frames are: iterated over, it gives the names of its columns."""

        columns = ("text",)

    frame = Frame(text=["one", "two"])
    for records in (frame, {"text": ["one", "two"]}):
        with pytest.raises(InvalidRecord, match="which has columns"):
            Table.fit(records, vocabulary=IDS, min_records=1)
    table = Table.fit(frame["text"], vocabulary=IDS, min_records=1)
    with pytest.raises(InvalidRecord, match="which has columns"):
        table.encode_batch(frame)


def test_a_kept_number_beyond_float64_is_not_taken_for_infinity(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "y": 1}\n{"text": "b", "y": 1e400}\n')
    assert "line 2: 'y' is a number beyond float64" in refused([path], "text", column="text", keep=["y"])


@pytest.mark.parametrize(("samples", "extra", "kind"), [(4, [0], 2), (5, [0, 0], 2), (2, [0], 1), (5, [2, 0], 2)])
def test_channels_of_a_tiff_are_not_dropped(tmp_path, samples, extra, kind):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(tiff(samples, extra, kind))
    assert f"a.tif has {samples} channels" in refused([tmp_path / "in"], "image")


def test_a_tiff_of_colours_and_alpha_is_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(4, [2], 2))
    (pixels,) = open_source([tmp_path / "a.tif"], modality="image")
    assert pixels[0, 0].tolist() == [20, 60, 100, 140]


def tiff(samples, extra, kind):
    """Return the bytes of a TIFF of 8 x 8 pixels, all alike, with so many channels of which some are `extra`."""
    raw = bytes(range(20, 20 + 40 * samples, 40)) * 64
    entries = {256: 8, 257: 8, 258: [8] * samples, 259: 1, 262: kind, 273: 1024, 277: samples, 278: 8, 279: len(raw)}
    entries[338] = extra
    head, tail = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)), b""
    for tag, value in entries.items():
        values = value if isinstance(value, list) else [value]
        data = struct.pack(f"<{len(values)}H", *values)
        if len(data) > 4:
            tail, data = tail + data, struct.pack("<I", 512 + len(tail))
        head += struct.pack("<HHI", tag, 3, len(values)) + data.ljust(4, b"\0")
    return (head.ljust(512, b"\0") + tail).ljust(1024, b"\0") + raw


def test_an_image_whose_name_has_no_ending_is_told(tmp_path):
    for name in ("a.png", "IM0001.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "IM0001.png").rename(tmp_path / "IM0001")
    assert open_source([tmp_path], modality="image").empty == (str(tmp_path / "IM0001"),)


def test_one_file_under_two_names_does_not_count_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").symlink_to("a.txt")
    assert "a.txt is named twice" in refused(["a.txt", "a.txt"], "text")
    assert "./a.txt is a.txt again" in refused(["a.txt", "./a.txt"], "text")
    assert "b.txt is a.txt again" in refused(["*.txt"], "text")


def test_a_table_does_not_replace_the_records_it_is_fitted_on(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    for inputs in (str(path), str(tmp_path / "*.txt")):
        done = CliRunner().invoke(app, ["fit", inputs, "-o", str(path), "--no-encryption", "--force"])
        assert done.exit_code
        assert "is one of the inputs" in str(done.exception)
    assert path.read_text() == "one\n"


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"])
def test_wide_characters_without_a_mark_are_no_utf8(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("plain words of a note\n".encode(encoding))
    assert encoding.replace("-le", "le").replace("-be", "be") in refused([path], "text")


def test_ndjson_is_jsonl_under_another_name(tmp_path):
    (tmp_path / "a b.ndjson").write_text('{"text": "a"}\n')
    assert list(open_source([tmp_path / "a b.ndjson"], modality="text")) == ["a"]


def test_a_header_that_is_a_record_is_not_shown(tmp_path):
    (tmp_path / "a.csv").write_text("63.0,1.0,1.0,145.0\n63.0,1.0,1.0,145.0\n")
    said = refused([tmp_path / "a.csv"])
    assert "twice in its header: '1.0'" in said
    assert "--no-header" in said
    assert "145" not in said


def test_cells_in_quotes_between_semicolons_are_told(tmp_path):
    (tmp_path / "a.csv").write_text('"age";"job"\n1;"x"\n')
    assert "--separator ';'" in refused([tmp_path / "a.csv"], "text")


def test_the_column_that_was_chosen_in_a_csv_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("CCO\nCCN\n")
    done = CliRunner().invoke(app, ["fit", str(tmp_path / "a.csv"), "-o", str(tmp_path / "t"), "--no-encryption"])
    assert "the column that line 1 calls 'CCO'" in done.output


def test_canonical_form_keeps_the_numbers_of_hydrogens():
    canonical = Canonicaliser().canonical
    once = canonical("[H:3][CH2:1]O")
    assert once is not None
    assert "[H:3]" in once
    assert canonical(once) == once
    assert canonical("[H]OC") == "CO"
