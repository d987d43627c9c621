"""What is read, written to the same format and read again: the same records, order and kept columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ult.data import Source, open_sink, open_source

HOSTILE = [
    "",
    " ",
    "\r",
    "a\r",
    "\x00",
    "a\x00b\x1c\x1d\x85",
    "\u2028\u2029",
    "\ufeff",
    'quote "" \\" , comma',
    "tab\t",
    "'",
    "null",
    "nan",
    "007",
    "1.0",
    "naïve 中文 ‮ 👩‍👩‍👧 e\u0301",
    "x" * 300_000,
]
LINES = ["\n", "\r\nb", "a\n\nb", '"\n"', "\n\r\n"]


def copy(source: Source, path: Path, modality: str) -> None:
    sink = open_sink(
        path, modality=modality, column=source.column, fields=source.fields, kept_schema=source.kept_schema
    )
    with sink:
        for batch in source.batches():
            sink.write(batch.records, batch.kept)


def kept(source: Source) -> list[dict[str, Any]]:
    return pa.concat_tables(batch.kept for batch in source.batches()).to_pylist()


def copied(path: Path, modality: str, **options: Any) -> tuple[Source, Source]:
    """Open `path`, write it to the same format, and open that."""
    source = open_source([path], modality=modality, **options)
    again = path.with_name("again" + path.suffix)
    copy(source, again, modality)
    return source, open_source([again], modality=modality, **options)


def write_texts(path: Path, records: list[str], labels: list[Any] | None = None) -> None:
    schema = pa.schema([("label", pa.int64())] if labels else [])
    with open_sink(path, modality="text", column="text", kept_schema=schema) as sink:
        sink.write(records, pa.table({"label": labels}, schema=schema) if labels else None)


@pytest.mark.parametrize(
    ("suffix", "records"),
    [
        (".txt", HOSTILE),
        (".csv", HOSTILE + LINES),
        (".parquet", HOSTILE + LINES),
        (".jsonl", [*HOSTILE, *LINES, "\ud800", "a\udfffb", "\udc00\ud800"]),
    ],
)
def test_hostile_texts(tmp_path: Path, suffix: str, records: list[str]) -> None:
    write_texts(tmp_path / f"a{suffix}", records)
    source, again = copied(tmp_path / f"a{suffix}", "text")
    assert list(source) == list(again) == list(again) == records
    assert source.column == "text"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_texts_with_a_kept_column(tmp_path: Path, suffix: str) -> None:
    records, labels = HOSTILE + LINES, list(range(len(HOSTILE + LINES)))
    write_texts(tmp_path / f"a{suffix}", records, labels)
    source, again = copied(tmp_path / f"a{suffix}", "text", column="text", keep=["label"])
    assert list(again) == records
    assert kept(source) == kept(again) == [{"label": str(i) if suffix == ".csv" else i} for i in labels]
    assert source.kept_schema == again.kept_schema


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.text(), min_size=1, max_size=8), suffix=st.sampled_from([".csv", ".parquet", ".jsonl"]))
def test_any_text(tmp_path: Path, records: list[str], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.unlink(missing_ok=True)
    write_texts(path, records)
    assert list(open_source([path], modality="text")) == records


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.text(st.characters(exclude_characters="\n")), min_size=1, max_size=8))
def test_any_line(tmp_path: Path, records: list[str]) -> None:
    path = tmp_path / "a.txt"
    path.unlink(missing_ok=True)
    write_texts(path, records)
    assert path.read_bytes() == "".join(record + "\n" for record in records).encode()
    assert list(open_source([path], modality="text")) == records


def test_kept_json_values_keep_their_types(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "x": None, "text": "a", "ok": True, "who": "b\u2028"},
        {"id": 2, "x": 1, "text": "b", "ok": False, "who": None},
        {"id": 3, "x": 2.5, "text": "c", "ok": None, "who": ""},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source, again = copied(tmp_path / "a.jsonl", "text", column="text", keep=["id", "x", "ok", "who"])
    assert kept(source) == kept(again) == [{k: v for k, v in row.items() if k != "text"} for row in rows]
    assert source.kept_schema.field("x").type == pa.float64()


def test_parquet_keeps_any_type(tmp_path: Path) -> None:
    table = pa.table(
        {
            "tags": [["a"], None],
            "when": pa.array([0, None], pa.timestamp("us", "UTC")),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "text": ["one", "two"],
            "raw": [b"\xff", b""],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source, again = copied(tmp_path / "a.parquet", "text", column="text", keep=["tags", "when", "kind", "raw"])
    assert kept(again) == table.drop_columns(["text"]).to_pylist()
    assert again.kept_schema == source.kept_schema


def test_wide_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,b,a\nx,1,-0.1\ny,,1e-300\nz,nan,3\n")
    source, again = copied(tmp_path / "a.csv", "series", keep=["who"])
    expected = np.array([[1, -0.1], [np.nan, 1e-300], [np.nan, 3]])
    assert source.fields == again.fields == ("b", "a")
    np.testing.assert_array_equal(np.array(list(source)), expected)
    np.testing.assert_array_equal(np.array(list(again)), expected)
    assert kept(again) == [{"who": "x"}, {"who": "y"}, {"who": "z"}]

    table = pa.table({"g1": pa.array([1.5, None], pa.float32()), "n": [1, 2], "g2": pa.array([0.1, 2], pa.float32())})
    pq.write_table(table, tmp_path / "a.parquet")
    source, again = copied(tmp_path / "a.parquet", "series", keep=["n"])
    assert [one.dtype for one in source] == [np.float32] * 2
    assert again.fields == ("g1", "g2")
    np.testing.assert_array_equal(np.array(list(again)), np.array(list(source)))
    assert kept(again) == [{"n": 1}, {"n": 2}]


def test_a_column_is_one_record_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("date,OT\nmon,1\ntue,\nwed,2.5\n")
    (tmp_path / "b.csv").write_text("date,OT\nmon,7\n")
    both = open_source([tmp_path / "a.csv", tmp_path / "b.csv"], modality="series", column="OT")
    assert (both.column, both.fields) == ("OT", ())
    np.testing.assert_array_equal(next(iter(both)), [1, np.nan, 2.5])
    assert [len(one) for one in both] == [3, 1]
    source, again = copied(tmp_path / "a.csv", "series", column="OT")
    np.testing.assert_array_equal(next(iter(again)), next(iter(source)))
    assert (tmp_path / "again.csv").read_text() == 'OT\n1.0\n""\n2.5\n'


RAGGED = [np.array([1.5, np.nan, -np.pi]), np.array([]), np.array([1e308]), np.arange(5000.0)]


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("records", [RAGGED, RAGGED[:1], [np.arange(3.0)] * 2000], ids=["ragged", "one", "equal"])
def test_series(tmp_path: Path, suffix: str, records: list[Any]) -> None:
    path = tmp_path / f"a{suffix}"
    schema = pa.schema([("label", pa.string()), ("n", pa.int64())])
    rows = [{"label": f"{i}é", "n": i} for i in range(len(records))]
    with open_sink(path, modality="series", column="ecg", kept_schema=schema) as sink:
        for i, record in enumerate(records):
            sink.write([record], pa.Table.from_pylist(rows[i : i + 1], schema))
    source, again = copied(path, "series", column="ecg", keep=["label", "n"])
    assert len(list(again)) == len(records)
    for one, two, three in zip(records, source, again, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    assert kept(source) == kept(again) == rows


def test_numpy_arrays_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.arange(12, dtype=">f4").reshape(3, 4)
    np.save(tmp_path / "c.npy", values)
    np.save(tmp_path / "f.npy", np.asfortranarray(values))
    np.save(tmp_path / "one.npy", np.arange(4, dtype=np.uint16))
    np.savez_compressed(tmp_path / "z.npz", rate=np.int64(360), x=values, label=np.array(["a", "b", "c"]))
    for name in ("c.npy", "f.npy", "z.npz"):
        records = list(open_source([tmp_path / name], modality="series"))
        assert records[0].dtype == np.float32
        assert records[0].dtype.isnative
        np.testing.assert_array_equal(np.array(records), values)
    one = list(open_source([tmp_path / "one.npy"], modality="series"))
    assert len(one) == 1
    assert one[0].tolist() == [0, 1, 2, 3]
    assert kept(open_source([tmp_path / "z.npz"], modality="series", keep=["label"]))[2] == {"label": "c"}


def test_npz_is_numpys_own(tmp_path: Path) -> None:
    with open_sink(tmp_path / "a.npz", modality="series", column="ecg", fields=("p", "q")) as sink:
        sink.write([np.array([1.0, 2.0]), np.array([3.0, np.nan])])
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["ecg"], [[1, 2], [3, np.nan]])
        assert arrays["fields"].tolist() == ["p", "q"]


def images() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, np.uint8) for shape in [(1, 1), (5, 3), (4, 7, 3), (8, 8, 4), (1, 9, 3)]]


@pytest.mark.parametrize("name", ["a.parquet", "folder"])
def test_images(tmp_path: Path, name: str) -> None:
    schema = pa.schema([("label", pa.string())])
    labels = [{"label": label} for label in ["cat", "", "a,b", "é\n", "cat"]]
    with open_sink(tmp_path / name, modality="image", column="image", kept_schema=schema) as sink:
        sink.write(images(), pa.Table.from_pylist(labels, schema))
    source, again = copied(tmp_path / name, "image", keep=["label"])
    for one, two, three in zip(images(), source, again, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    assert kept(source) == kept(again) == labels


def test_images_in_a_tree_of_folders(tmp_path: Path) -> None:
    arrays = images()[:3]
    names = ["cat/x.png", "dog/1/x.png", "dog/2.png"]
    for name, pixels in zip(names, arrays, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "in" / ".hidden.png").write_text("not an image")
    source, again = copied(tmp_path / "in", "image", keep=["name", "label"])
    rows = [{"name": name, "label": label} for name, label in zip(names, ["cat", "1", "dog"], strict=True)]
    assert kept(source) == kept(again) == rows
    for one, two in zip(arrays, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert {str(p.relative_to(tmp_path / "again")) for p in (tmp_path / "again").rglob("*.*")} == {*names, "labels.csv"}


@pytest.mark.parametrize("inner", [(4, 5), (4, 5, 3), (4, 5, 4), (4, 5, 1)])
def test_images_of_one_size_in_npz(tmp_path: Path, inner: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, *inner), np.uint8)
    np.savez(tmp_path / "a.npz", photos=pixels, label=np.array([3, 1, 2]))
    source, again = copied(tmp_path / "a.npz", "image", keep=["label"])
    assert source.column == again.column == "photos"
    np.testing.assert_array_equal(np.array(list(again)), pixels[..., 0] if inner[-1] == 1 else pixels)
    assert kept(again) == [{"label": 3}, {"label": 1}, {"label": 2}]
