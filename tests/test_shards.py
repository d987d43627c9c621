"""Ids on disk: what is written is read, verified; the folder appears whole or not at all."""

import errno
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import format_reader
from ult import Shards, ShardWriter, Vocabulary
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists
from ult.public.manifest import Canaries, Coin, Manifest, Tombstone
from ult.trainer.datasets.packing import summary

VOCABULARY = Vocabulary(100)
TABLE = "0123456789abcdef" * 2
KEPT = pa.table(
    {
        "label": pa.array(["cat", None, "doğ"]),
        "number": pa.array([1, -(2**60), None], pa.int64()),
        "weight": pa.array([0.5, float("nan"), -0.0], pa.float32()),
        "seen": pa.array([True, None, False]),
        "when": pa.array([0, 1, None], pa.timestamp("us", tz="UTC")),
        "scores": pa.array([[1.0], [], None], pa.list_(pa.float64())),
        "blob": pa.array([b"\x00\xff", b"", None], pa.binary()),
    }
)
RECORDS = [np.array(ids, np.uint32) for ids in ([32, 99, 0], [], [40])]


def writer(path, **options):
    defaults = {"vocabulary": VOCABULARY, "table": TABLE, "codec": "text/bytes", "column": "text"}
    return ShardWriter(path, **{**defaults, **options})


def write(path, records=RECORDS, kept=None, **options):
    with writer(path, kept=kept.schema if kept is not None else None, **options) as out:
        for i, ids in enumerate(records):
            out.write([ids], 10, kept.slice(i, 1) if kept is not None else None)
    return path


def read(path):
    return [ids.tolist() for ids in Shards(path).ids()]


@given(st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=9), st.integers(1, 20), st.integers(1, 4))
def test_what_is_written_is_read(records, part_ids, batch):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.shards"
        arrays = [np.array(ids, np.uint32) for ids in records]
        with writer(path, part_ids=part_ids) as out:
            for at in range(0, len(arrays), batch):
                out.write(arrays[at : at + batch], 7)
        shards = Shards(path)
        assert read(path) == records
        assert shards.manifest == out.manifest
        assert (shards.manifest.rows, shards.manifest.ids) == (len(records), sum(map(len, records)))
        assert shards.manifest.bytes == 7 * -(-len(records) // batch)
        assert all(part.ids >= part_ids for part in shards.manifest.parts[:-1])


@pytest.mark.parametrize("part_ids", [1, 100])
def test_kept_columns_travel_with_their_types(tmp_path, part_ids):
    write(tmp_path / "x.shards", kept=KEPT, part_ids=part_ids)
    shards = Shards(tmp_path / "x.shards")
    assert shards.manifest.kept == tuple(KEPT.column_names)
    assert shards.kept_schema().equals(KEPT.schema)
    found = shards.to_arrow()
    assert found["input_ids"].to_pylist() == [[32, 99, 0], [], [40]]
    kept = found.drop_columns("input_ids").combine_chunks()
    assert kept.drop_columns("weight").equals(KEPT.drop_columns("weight"))
    assert np.array_equal(kept["weight"].to_numpy(), KEPT["weight"].to_numpy(), equal_nan=True)


def test_the_manifest_says_what_a_trainer_needs(tmp_path):
    write(tmp_path / "x.shards", kept=KEPT.select(["label"]))
    document = json.loads((tmp_path / "x.shards" / ".manifest.json").read_text())
    part = document["parts"].pop()
    assert document == {
        "format": "ult-shards/1",
        "vocabulary_size": 100,
        "table": TABLE,
        "codec": "text/bytes",
        "column": "text",
        "kept": ["label"],
        "rows": 3,
        "ids": 4,
        "bytes": 30,
        "parts": [],
    }
    assert set(part) == {"name", "rows", "ids", "bytes", "sha256"}
    assert sorted(p.name for p in (tmp_path / "x.shards").iterdir()) == [
        ".card",
        ".manifest.json",
        "part-00000.parquet",
    ]


def test_a_folder_is_parquet_to_pyarrow_and_datasets_and_the_manifests_former_name_is_read(tmp_path):
    folder = write(tmp_path / "x.shards")
    assert pq.read_table(folder).num_rows == 3
    datasets = pytest.importorskip("datasets")
    options = {"cache_dir": str(tmp_path / "cache"), "split": "train"}
    for how in ({"path": "parquet", "data_dir": str(folder)}, {"path": str(folder)}):
        assert datasets.load_dataset(**how, **options).num_rows == 3
    before = Shards(folder).manifest
    (folder / ".manifest.json").rename(folder / "manifest.json")
    assert Shards(folder).manifest == before
    write(folder, force=True)  # which replaces shards of either kind
    assert not (folder / "manifest.json").exists()
    (folder / "manifest.json").write_text((folder / ".manifest.json").read_text())
    with pytest.raises(FormatError, match="two manifests"):
        Shards(folder)


TOLD = [
    {"canaries": Canaries(1, 2)},
    {"coin": Coin("0f" * 16, "nonmembers", 5)},
    {"public_table": True},
    {"canaries": Canaries(3, 1), "coin": Coin("0f" * 16, "members", 0), "public_table": True},
]
STONE = Tombstone("0f" * 32, 2, "ab" * 32, "2026-11-30")


@pytest.mark.parametrize("told", TOLD)
def test_canaries_coins_and_public_tables_are_told_in_a_format_of_their_own(tmp_path, told):
    write(tmp_path / "x.shards", **told)
    manifest = Shards(tmp_path / "x.shards").manifest
    assert {name: getattr(manifest, name) for name in told} == told
    document = json.loads((tmp_path / "x.shards" / ".manifest.json").read_text())
    assert document["format"] == "ult-shards/3"
    assert {"privacy", "canaries", "coin", "public_table"} < set(document)
    assert format_reader.read_shards(tmp_path / "x.shards")[0] == document
    (entry,) = summary([Shards(tmp_path / "x.shards")])
    assert entry["digest"] == manifest.digest == format_reader.shards_digest(document)
    assert {name for name in ("canaries", "coin", "public_table") if name in entry} == set(told)


@pytest.mark.parametrize("told", [{}, *TOLD])
def test_a_tombstone_says_how_many_records_went_and_none_of_them(tmp_path, told):
    write(tmp_path / "x.shards", **told, forgotten=[STONE])
    manifest = Shards(tmp_path / "x.shards").manifest
    assert manifest.forgotten == (STONE,)
    document = json.loads((tmp_path / "x.shards" / ".manifest.json").read_text())
    assert document["format"] == "ult-shards/4"
    assert format_reader.read_shards(tmp_path / "x.shards")[0] == document
    for change in ({"rows": 0}, {"when": "today"}, {"of": "x"}, {"gone": None}, {"who": "me"}):
        bad = json.dumps(document | {"forgotten": [document["forgotten"][0] | change]})
        with pytest.raises(FormatError, match=r"forgotten|tombstone"):
            Manifest.from_json(bad, "m")
    with pytest.raises(FormatError, match="though it says no more than"):
        Manifest.from_json(json.dumps(document | {"forgotten": []}), "m")


def test_the_digest_is_of_what_shards_hold_and_of_nothing_else(tmp_path):
    digests = [Shards(write(tmp_path / name, **told)).manifest.digest for name, told in zip("abcd", TOLD, strict=True)]
    plain = Shards(write(tmp_path / "e")).manifest
    other = Shards(write(tmp_path / "f", [RECORDS[0], RECORDS[1], RECORDS[2] + 1])).manifest  # as many rows and ids
    assert len({*digests, plain.digest, other.digest}) == 6
    assert Shards(write(tmp_path / "renamed")).manifest.digest == plain.digest
    text = (tmp_path / "e" / ".manifest.json").read_text()
    assert hashlib.sha256(text.encode()).hexdigest() == plain.digest
    (tmp_path / "e" / ".manifest.json").write_text(json.dumps(json.loads(text), indent=7))
    assert Shards(tmp_path / "e").manifest.digest == plain.digest


def test_what_is_told_and_cannot_be_is_refused_when_it_is_written(tmp_path):
    with pytest.raises(FormatError, match="canaries are 4 of its 3 records"):
        write(tmp_path / "x.shards", canaries=Canaries(2, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("records", [[], [np.empty(0, np.uint32)] * 3])
def test_empty_shards(tmp_path, records):
    write(tmp_path / "x.shards", records)
    assert read(tmp_path / "x.shards") == [[]] * len(records)
    shards = Shards(tmp_path / "x.shards")
    assert shards.manifest.rows == len(records)
    assert shards.to_arrow().num_rows == len(records)
    assert shards.kept_schema() == pa.schema([])


def test_datasets_loads_them(tmp_path):
    from datasets import load_dataset

    write(tmp_path / "x.shards", kept=KEPT.select(["label", "number"]), part_ids=3)
    files = sorted(map(str, (tmp_path / "x.shards").glob("*.parquet")))
    assert len(files) == 2
    loaded = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded["input_ids"][:] == [[32, 99, 0], [], [40]]
    assert loaded["label"][:] == KEPT["label"].to_pylist()
    assert loaded["number"][:] == KEPT["number"].to_pylist()


def test_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(InvalidConfig, match="vocabulary of 100"), writer(tmp_path / "x.shards") as out:
        out.write([np.array([100], np.uint32)], 1)
    with pytest.raises(InvalidConfig, match="input_ids"):
        writer(tmp_path / "x.shards", kept=pa.schema([("input_ids", pa.int32())]))
    with pytest.raises(InvalidConfig, match="twice"):
        writer(tmp_path / "x.shards", kept=pa.schema([("label", pa.int32()), ("label", pa.string())]))
    assert not list(tmp_path.iterdir())


# ---- whole or not at all


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("force", [False, True])
def test_an_error_inside_leaves_what_was_there(tmp_path, error, force):
    path = tmp_path / "x.shards"
    if force:
        write(path)

    def records():
        yield np.array([50], np.uint32)
        raise error

    with pytest.raises(type(error)):
        write(path, records(), force=force, part_ids=1)
    if force:
        assert read(path) == [[32, 99, 0], [], [40]]
    assert [p.name for p in tmp_path.iterdir()] == ["x.shards"] * force


@pytest.mark.parametrize(
    "function",
    [
        "pyarrow.parquet.write_table",
        "pathlib.Path.write_text",
        "pathlib.Path.rename",
        "ult.public.shard_writer.sha256_of",
    ],
)
@pytest.mark.parametrize("fails", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_or_an_interrupt_leaves_what_was_there(tmp_path, monkeypatch, function, fails, force):
    path = tmp_path / "x.shards"
    if force:
        write(path)

    def stop(*_, **__):
        raise fails

    expected = OutputError if isinstance(fails, OSError) else KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(function, stop)
        with pytest.raises(expected, match=r"No space left|^$"):
            write(path, [np.array([50], np.uint32)], force=force)
    assert [p.name for p in tmp_path.iterdir()] == ["x.shards"] * force
    if force:
        assert read(path) == [[32, 99, 0], [], [40]]


def test_a_failed_exchange_puts_the_old_shards_back(tmp_path, monkeypatch):
    path = write(tmp_path / "x.shards")
    rename = Path.rename

    def second_fails(source, target):
        if target == path and source.name != "old":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OutputError):
        write(path, [], force=True)
    assert read(path) == [[32, 99, 0], [], [40]]
    assert [p.name for p in tmp_path.iterdir()] == ["x.shards"]


def test_shards_are_replaced_only_by_force_and_nothing_else_ever(tmp_path):
    path = write(tmp_path / "x.shards")
    with pytest.raises(OutputExists, match="--force"):
        write(path, [])
    assert read(path) == [[32, 99, 0], [], [40]]
    write(path, [], force=True)
    assert read(path) == []
    for name in ("notes.md", ".mine", "sub/part-00000.parquet"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"precious")
        with pytest.raises(OutputExists, match=f"holds {name}, which is no part of shards"):
            write(path, force=True)
        assert (path / name).read_bytes() == b"precious"
        (path / name).unlink()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"precious")
    (tmp_path / "file").write_bytes(b"precious")
    for other in (photos, tmp_path / "file", tmp_path):
        for force in (False, True):
            with pytest.raises(OutputExists):
                write(other, force=force)
    assert (photos / "a.png").read_bytes() == (tmp_path / "file").read_bytes() == b"precious"
    with pytest.raises(OutputError):
        write(tmp_path / "file" / "x.shards")


# ---- damage


def damage(path, kind):
    part = path / "part-00000.parquet"
    if kind == "missing":
        part.unlink()
    elif kind == "renamed":
        part.rename(path / "part-00007.parquet")
    elif kind == "a folder":
        part.unlink()
        part.mkdir()
    elif kind == "swapped":
        part.write_bytes((path / "part-00001.parquet").read_bytes())
    elif kind == "truncated":
        part.write_bytes(part.read_bytes()[:-20])
    else:
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)


def test_a_method_that_was_renamed_says_its_name(tmp_path):
    shards = Shards(write(tmp_path / "x.shards"))
    with pytest.raises(AttributeError, match=r"it is to_arrow\(\) now"):
        shards.table()  # type: ignore[attr-defined]
    assert not hasattr(shards, "rows")


@pytest.mark.parametrize("kind", ["missing", "renamed", "a folder", "swapped", "truncated", "a bit flipped"])
def test_a_damaged_part_is_refused(tmp_path, kind):
    path = write(tmp_path / "x.shards", part_ids=1)
    damage(path, kind)
    shards = Shards(path)
    for act in (lambda: list(shards.ids()), shards.to_arrow, shards.kept_schema):
        with pytest.raises(FormatError, match=r"part-00000\.parquet") as caught:
            act()
        assert "hint: encode again" in str(caught.value)


def test_what_is_no_shards_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder" / ".manifest.json").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(MissingSource, match=r"no manifest\.json"):
            Shards(path)
    with pytest.raises(MissingSource, match="nothing is not there; expected shards"):
        Shards(tmp_path / "nothing")
    with pytest.raises(FormatError):
        Shards(tmp_path / "folder")


def test_a_part_is_one_row_group_of_plain_parquet(tmp_path):
    write(tmp_path / "x.shards")
    schema = pq.read_schema(tmp_path / "x.shards" / "part-00000.parquet")
    assert schema.names == ["input_ids"]
    assert schema.field("input_ids").type == pa.list_(pa.int32())


def test_the_bytes_of_ids_are_split_and_a_dictionary_is_read_as_well(tmp_path):
    clash = pa.table({"label": ["a", "b"], "input_ids.list.element": ["c", "d"]})
    for kept, encoding in ((KEPT, "BYTE_STREAM_SPLIT"), (clash, "RLE_DICTIONARY")):  # that of a column called alike
        folder = write(tmp_path / "x.shards", RECORDS[: len(kept)], kept, part_ids=100, force=True)
        told = pq.read_metadata(folder / "part-00000.parquet").row_group(0)
        assert encoding in told.column(0).encodings
        assert "RLE_DICTIONARY" in told.column(1).encodings
        assert read(folder) == [ids.tolist() for ids in RECORDS[: len(kept)]]
        assert Shards(folder).to_arrow()["label"].to_pylist() == kept["label"].to_pylist()
