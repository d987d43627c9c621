"""Every input, read as records; every bad input, refused in one line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ult.data import open_source
from ult.data.rows import CHUNK_BYTES, ROWS
from ult.errors import EmptySource, InvalidConfig, MissingColumn, MissingSource, SourceError, UltError


def test_several_files_are_one_source_that_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,text\nx,one\ny,two\n")
    (tmp_path / "b.csv").write_text("text,label\nthree,z\n")
    source = open_source([tmp_path / "b.csv", str(tmp_path / "a.csv")], modality="text", keep=["label"])
    assert list(source) == list(source) == ["three", "one", "two"]
    assert [batch.kept.to_pylist() for batch in source.batches()] == [
        [{"label": "z"}],
        [{"label": "x"}, {"label": "y"}],
    ]
    assert (source.column, source.fields, source.kept_schema.names) == ("text", (), ["label"])


def test_batches_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n" * (ROWS + 1) + ("y" * (CHUNK_BYTES // 2) + "\n") * 3)
    batches = list(open_source([tmp_path / "a.txt"], modality="text").batches())
    assert sum(len(batch.records) for batch in batches) == ROWS + 4
    assert max(batch.size for batch in batches) <= CHUNK_BYTES
    table = pa.table({"text": ["y" * (CHUNK_BYTES // 8)] * 20, "n": range(20)})
    pq.write_table(table, tmp_path / "a.parquet")
    batches = list(open_source([tmp_path / "a.parquet"], modality="text", keep=["n"]).batches())
    assert max(len(batch.records) for batch in batches) <= 9
    assert [n for batch in batches for n in batch.kept["n"].to_pylist()] == list(range(20))
    np.savez_compressed(tmp_path / "a.npz", image=np.zeros((20, 1 << 10, 1 << 11), np.uint8))
    assert [len(batch.records) for batch in open_source([tmp_path / "a.npz"], modality="image").batches()] == [8, 8, 4]


def test_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffa\r\n\n\u2028\x0b\x85\x1e\nlast".encode())
    assert list(open_source([tmp_path / "a.txt"], modality="text")) == ["\ufeffa\r", "", "\u2028\x0b\x85\x1e", "last"]


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf"a\\ud800"\n"\\n\xe2\x80\xa8"\n')
    assert list(open_source([tmp_path / "a.jsonl"], modality="text")) == ["a\ud800", "\n\u2028"]
    (tmp_path / "b.jsonl").write_text('{"n": 1, "body": "x"}\r\n{"body": "y"}')
    assert list(open_source([tmp_path / "b.jsonl"], modality="text")) == ["x", "y"]


def test_a_large_csv_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufefftext,n\r\n"' + "x\r\n" * 100_000 + '",1\r\n')
    assert list(open_source([tmp_path / "a.csv"], modality="text", column="text")) == ["x\r\n" * 100_000]


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, "PNG")
    return file.getvalue()


def read_image(folder: Path, image: Image.Image, suffix: str = ".png", **options: Any) -> np.ndarray:
    path = folder / f"one{suffix}"
    image.save(path, **options)
    return next(iter(open_source([path], modality="image")))


def test_modes_that_convert_without_loss(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert read_image(tmp_path, grey).tolist() == np.asarray(grey).tolist()
    assert read_image(tmp_path, grey.convert("1")).tolist() == np.asarray(grey.convert("1").convert("L")).tolist()
    clear = grey.convert("RGBA")
    clear.putalpha(grey)
    assert read_image(tmp_path, clear).tolist() == np.asarray(clear).tolist()
    assert read_image(tmp_path, clear.convert("LA")).tolist() == np.asarray(clear).tolist()
    palette = grey.convert("RGB").quantize(7)
    assert read_image(tmp_path, palette, ".gif").tolist() == np.asarray(palette.convert("RGB")).tolist()
    clear_palette = read_image(tmp_path, palette, transparency=2)
    assert clear_palette[..., :3].tolist() == np.asarray(palette.convert("RGB")).tolist()
    assert clear_palette[..., 3].tolist() == np.where(np.asarray(palette) == 2, 0, 255).tolist()


def test_transparent_colours_become_alpha(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    found = read_image(tmp_path, Image.fromarray(pixels), transparency=(4, 5, 6))
    assert found.tolist() == [[[1, 2, 3, 255], [4, 5, 6, 0]]]


def test_pixels_are_taken_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees when shown
    assert read_image(tmp_path, Image.new("RGB", (4, 2)), ".jpg", exif=exif).shape == (2, 4, 3)


def test_a_jpeg_with_a_preview(tmp_path: Path) -> None:
    main, preview = Image.new("RGB", (8, 4), (200, 0, 0)), Image.new("RGB", (2, 1))
    main.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])
    assert next(iter(open_source([tmp_path / "a.jpg"], modality="image"))).shape == (4, 8, 3)


def deep_png() -> bytes:
    """Return an RGB PNG of 16 bits, which Pillow would cut to 8: an 8-bit one whose header and pixels are replaced."""
    import struct
    import zlib

    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(range(12)))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", pixels) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not an image", "is not an image that Pillow can read"),
        (png(np.ones((50, 50), np.uint8))[:-30], "or it is broken"),
        (deep_png(), "16 bits a channel; expected 8 bits .*hint: convert it to 8-bit PNG"),
        (png(Image.new("1", (9000, 9000))), "9000 x 9000; expected at most"),
    ],
)
def test_images_that_would_lose_something(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(np.zeros((2, 2), np.uint8)))
    (tmp_path / "in" / "b.png").write_bytes(data)
    with pytest.raises(SourceError, match=r"in/b\.png .*" + message):
        list(open_source([tmp_path / "in"], modality="image"))
    pq.write_table(pa.table({"image": [{"bytes": data, "path": None}]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet, row 1 .*" + message):
        list(open_source([tmp_path / "a.parquet"], modality="image"))


@pytest.mark.parametrize(
    ("mode", "suffix", "message"),
    [("CMYK", ".jpg", "mode CMYK"), ("F", ".tif", "mode F"), ("YCbCr", ".tif", "YCbCr")],
)
def test_modes_that_would_lose_something(tmp_path: Path, mode: str, suffix: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_image(tmp_path, Image.new(mode, (2, 2)), suffix)


def test_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("L", (2, 2), level) for level in (0, 90, 200)]
    with pytest.raises(SourceError, match="has 3 frames; expected one"):
        read_image(tmp_path, frames[0], ".gif", save_all=True, append_images=frames[1:])


def test_samples() -> None:
    whole = open_source(["sample:topics"], modality="text", keep=["topic"])
    halves = [open_source([f"sample:topics?owner={owner}"], modality="text", keep=["topic"]) for owner in "ab"]
    topics = [{row["topic"] for batch in half.batches() for row in batch.kept.to_pylist()} for half in halves]
    assert not topics[0] & topics[1]
    assert sorted(list(halves[0]) + list(halves[1])) == sorted(whole)
    sizes = [sum(map(len, half)) for half in halves]
    assert 0.8 < sizes[0] / sizes[1] < 1.25
    assert all(record.strip() for record in whole)
    parts = [open_source([f"sample:topics?owner=a&part={part}"], modality="text") for part in ("train", "test")]
    assert sorted(list(parts[0]) + list(parts[1])) == sorted(halves[0])


def test_digits() -> None:
    source = open_source(["sample:digits"], modality="image", keep=["label"])
    records = list(source)
    assert len(records) == 1797
    assert (records[0].shape, records[0].dtype, max(one.max() for one in records)) == ((8, 8), np.uint8, 255)
    assert next(source.batches()).kept["label"].to_pylist()[:4] == [0, 1, 2, 3]
    owned = open_source(["sample:digits?owner=b&part=test"], modality="image", keep=["label"])
    assert [batch.kept["label"].to_pylist()[:2] for batch in owned.batches()] == [[9, 8]]


def test_canonical_molecules(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("OCC\nno smiles\nC1.C1\nOCC.[Na+]>>C(C)O\nC(\n\nCCO ethanol\nx\n")
    source = open_source([tmp_path / "a.txt"], modality="molecule", canonical=True)
    assert list(source) == ["CCO", "no smiles", "CC", "CCO.[Na+]>>CCO", "C(", "", "CCO ethanol", "x"]
    assert (source.invalid.count, source.invalid.rows) == (4, [2, 5, 7, 8])
    assert next(iter(source)) == "CCO"
    assert str(source.invalid) == "4 of the SMILES are not valid (record 2, 5, 7, 8)"
    plain = open_source([tmp_path / "a.txt"], modality="molecule")
    assert next(iter(plain)) == "OCC"
    assert not plain.invalid
    with pytest.raises(InvalidConfig, match="canonical is for molecules"):
        open_source([tmp_path / "a.txt"], modality="text", canonical=True)


def test_hub_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, level in (("cat/a.png", 1), ("dog/b.png", 2)):
        (tmp_path / "pets" / name).parent.mkdir(parents=True)
        (tmp_path / "pets" / name).write_bytes(png(np.full((2, 3), level, np.uint8)))
    source = open_source([f"hf:{tmp_path}/pets"], modality="image", keep=["label"])
    assert [record.tolist() for record in source] == [[[1] * 3] * 2, [[2] * 3] * 2]
    assert next(source.batches()).kept.to_pylist() == [{"label": 0}, {"label": 1}]

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "texts" / "test.jsonl").write_text('{"text": "c"}\n')
    assert list(open_source([f"hf:{tmp_path}/texts?split=test"], modality="text")) == ["c"]
    with pytest.raises(MissingSource, match=r"has splits 'train', 'test'; expected one .hint: hf:.*\?split=train"):
        open_source([f"hf:{tmp_path}/texts"], modality="text")
    for address in ("nothing?split=train", "texts?split=dev"):
        with pytest.raises(MissingSource, match=r"cannot be loaded: \w+ .hint: check the name, the split and"):
            open_source([f"hf:{tmp_path}/{address}"], modality="text")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"a": ["x", None], "b": ["y", "z"], "n": [1, 2], "s": [[1.0], None]}), path)


def make(path: Path) -> None:
    """Write the bad inputs."""
    (path / "empty.txt").touch()
    (path / "latin.txt").write_bytes(b"ok\n\xe9\n")
    (path / "latin.csv").write_bytes(b"a\nok\n\xe9\n")
    (path / "good.txt").write_text("a\n")
    (path / "good.csv").write_text("a,b\nx,1\n")
    (path / "words.csv").write_text("a,b\n" + "1,2\n" * 5000 + "1,two\n")
    (path / "header.csv").write_text("a,b\n")
    (path / "twice.csv").write_text("a,a\n1,2\n")
    (path / "ragged.csv").write_text('a,b\n"1\n",2\n3\n')
    (path / "blank.csv").write_text("a\n1\n\n2\n")
    (path / "quote.csv").write_text('a\n"open\n')
    (path / "broken.jsonl").write_text('{"a": "x"}\n{"a": \n')
    (path / "nan.jsonl").write_text('{"a": "x", "n": NaN}\n')
    (path / "again.jsonl").write_text('{"a": "x", "a": "y"}\n')
    (path / "deep.jsonl").write_text("[" * 100_000 + "\n")
    (path / "mixed.jsonl").write_text('"x"\n{"a": "y"}\n')
    (path / "kinds.jsonl").write_text('{"a": "x", "n": 1}\n{"a": "y", "n": "2"}\n')
    (path / "lack.jsonl").write_text('{"a": "x", "n": 1}\n{"a": "y"}\n')
    (path / "list.jsonl").write_text(json.dumps({"a": "x", "n": [1]}) + "\n")
    (path / "null.jsonl").write_text('{"a": "x"}\n{"a": null}\n')
    (path / "big.jsonl").write_text('{"a": "x", "n": 1' + "0" * 30 + "}\n")
    write_parquet(path / "good.parquet")
    (path / "cut.parquet").write_bytes((path / "good.parquet").read_bytes()[:-20])
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), path / "none.parquet")
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xe9")]
    )
    pq.write_table(pa.table({"a": bad}), path / "latin.parquet")
    pq.write_table(pa.table({"image": [None, {"bytes": b"", "path": None}]}), path / "null_image.parquet")
    np.save(path / "good.npy", np.zeros((2, 3)))
    (path / "cut.npy").write_bytes((path / "good.npy").read_bytes()[:-1])
    np.save(path / "object.npy", np.array([None, {}]), allow_pickle=True)
    np.save(path / "complex.npy", np.zeros(3, complex))
    np.savez(path / "two.npz", a=np.zeros(3), b=np.zeros((2, 3)), scale=1.0)
    np.savez(path / "lengths.npz", a=np.zeros((2, 3)), b=np.zeros(3))
    np.savez(path / "ends.npz", a=np.zeros(3), a_ends=np.array([2, 1]))
    np.savez(path / "shape.npz", a=np.zeros((2, 3, 3, 5), np.uint8))
    data = bytearray((path / "two.npz").read_bytes())
    data[200] ^= 1
    (path / "flipped.npz").write_bytes(data)
    (path / "cut.npz").write_bytes(data[:300])
    with zipfile.ZipFile(path / "huge.npz", "w") as archive:
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)})
        archive.writestr("a.npy", file.getvalue())
    (path / "folder").mkdir()
    (path / "folder" / "a.doc").touch()
    (path / "top").mkdir()
    (path / "top" / "a.png").write_bytes(png(np.zeros((1, 1), np.uint8)))
    (path / "sheet").mkdir()
    (path / "sheet" / "a.png").write_bytes(png(np.zeros((1, 1), np.uint8)))
    (path / "sheet" / "labels.csv").write_text("name,label\nb.png,x\n")


BAD: list[tuple[str, str, dict[str, Any], type[UltError], str]] = [
    ("text", "gone.txt", {}, MissingSource, r"gone\.txt is not there"),
    ("text", "gone", {}, MissingSource, r"gone is not there; expected a file that ends in \.txt"),
    ("image", "gone", {}, MissingSource, "gone is not there"),
    ("text", "empty.txt", {}, EmptySource, r"empty\.txt is empty; expected records"),
    ("text", "folder", {}, MissingSource, "folder is a folder; expected files"),
    ("text", "good.npy", {}, SourceError, r"ends in '\.npy'; expected \.txt, \.jsonl, \.csv, \.parquet"),
    ("text", "folder/a.doc", {}, SourceError, r"ends in '\.doc'"),
    ("text", "good.txt good.csv", {}, SourceError, r"several kinds: '\.csv', '\.txt'; expected one kind"),
    ("text", "good.txt", {"column": "a"}, MissingColumn, r"good\.txt has no column 'a'; it has 'text'"),
    ("text", "good.csv", {}, MissingColumn, "has 2 columns of text: 'a', 'b'; .*hint: --column a"),
    ("text", "good.csv", {"column": "c"}, MissingColumn, "has no column 'c'; it has 'a', 'b'"),
    ("text", "good.csv", {"keep": ["c"]}, MissingColumn, "has no column 'c'"),
    ("text", "good.csv", {"column": "a", "keep": ["a"]}, SourceError, "'a' holds the records"),
    ("text", "good.csv twice.csv", {"column": "a"}, SourceError, "names a column twice in its header"),
    ("text", "good.csv blank.csv", {"column": "b"}, MissingColumn, r"blank\.csv has no column 'b'"),
    ("text", "header.csv", {"column": "a"}, EmptySource, "has a header and no rows"),
    ("text", "ragged.csv", {"column": "a"}, SourceError, "line 4 has 1 cell; expected 2 as in the header"),
    ("text", "blank.csv", {}, SourceError, "line 3 has 0 cells; expected 1"),
    ("text", "quote.csv", {}, SourceError, "is not CSV: unexpected end of data"),
    ("text", "latin.txt", {}, SourceError, r"latin\.txt, line 2 is not UTF-8; .*hint: --encoding NAME"),
    ("text", "latin.csv", {}, SourceError, "line 3 is not UTF-8"),
    ("text", "broken.jsonl", {}, SourceError, "line 2 is not JSON"),
    ("text", "nan.jsonl", {"keep": ["n"]}, SourceError, "line 1: 'n' is NaN, which is not JSON"),
    ("text", "again.jsonl", {}, SourceError, "line 1 has a field twice: 'a'"),
    ("text", "deep.jsonl", {}, SourceError, "line 1 is not JSON"),
    ("text", "mixed.jsonl", {}, SourceError, "line 2 is not a JSON string, as the first line is"),
    ("text", "kinds.jsonl", {"keep": ["n"]}, SourceError, "line 2: 'n' is string here and int64 above"),
    ("text", "lack.jsonl", {"keep": ["n"]}, MissingColumn, "line 2 has no field 'n'; it has 'a'"),
    ("text", "list.jsonl", {"keep": ["n"]}, SourceError, "line 1: 'n' is a JSON list; expected a string, number"),
    ("text", "big.jsonl", {"keep": ["n"]}, SourceError, "'n' holds a value that is no int64"),
    ("text", "null.jsonl", {}, SourceError, "line 2: 'a' is null; expected a text"),
    ("text", "good.parquet", {"column": "a"}, SourceError, r"good\.parquet, row 2: 'a' is null"),
    ("text", "good.parquet", {"column": "n"}, SourceError, "column 'n' is int64; expected text records"),
    ("text", "cut.parquet", {}, SourceError, "is not a Parquet file, or it is cut short"),
    ("text", "none.parquet", {}, EmptySource, "has no rows"),
    ("text", "latin.parquet", {}, SourceError, "'a' is not UTF-8"),
    ("image", "good.parquet", {}, MissingColumn, "has no column of images to encode; it has 'a', 'b', 'n', 's'"),
    ("image", "null_image.parquet", {}, SourceError, "row 1: 'image' is null; expected the bytes of an image"),
    ("image", "folder", {}, SourceError, r"holds no images; expected files that end in \.bmp"),
    ("image", "top", {"keep": ["label"]}, MissingColumn, "lies in no sub-folder, so it has no label"),
    ("image", "sheet", {"keep": ["label"]}, MissingColumn, r"labels\.csv has no row for 'a\.png'"),
    ("image", "two.npz", {}, MissingColumn, "has no column of images"),
    ("image", "shape.npz", {}, SourceError, r"row 1 is an array \(3, 3, 5\); expected"),
    ("series", "good.parquet", {"column": "s"}, SourceError, "row 2: 's' is null; expected a list of numbers"),
    ("series", "good.parquet", {"column": "a"}, SourceError, "column 'a' is string; expected numbers"),
    (
        "series",
        "good.parquet",
        {"keep": ["s"]},
        SourceError,
        "columns that are no numbers: 'a', 'b'; .*--keep a --keep b",
    ),
    (
        "series",
        "good.csv",
        {},
        SourceError,
        "columns that are no numbers: 'a'; expected numbers in .*hint: --keep a",
    ),
    ("series", "good.csv", {"keep": ["a", "b"]}, SourceError, "no columns that are not kept"),
    ("series", "good.csv", {"column": "a"}, SourceError, "row 1: 'a' is not a number; expected one or an empty cell"),
    (
        "series",
        "good.csv",
        {"column": "b", "keep": ["a"]},
        SourceError,
        "column 'b' is one record, so 'a' has no value",
    ),
    ("series", "words.csv", {}, SourceError, "row 5001: 'b' is not a number"),
    ("series", "cut.npy", {}, SourceError, "is cut short: its size is not what its header says"),
    ("series", "object.npy", {}, SourceError, "holds pickled objects"),
    ("series", "complex.npy", {}, MissingColumn, "has no array of series, 1-D or 2-D numbers"),
    ("series", "good.npy", {"column": "x"}, MissingColumn, "has no column 'x'; it has 'series'"),
    ("series", "two.npz", {}, MissingColumn, "has 2 arrays of series: 'a', 'b'; .*hint: --column a"),
    ("series", "two.npz", {"column": "scale"}, MissingColumn, "has no column 'scale'"),
    ("series", "lengths.npz", {"column": "a", "keep": ["b"]}, SourceError, "different lengths: {'a': 2, 'b': 3}"),
    ("series", "ends.npz", {"column": "a"}, SourceError, "'a_ends' does not divide 'a'"),
    ("series", "flipped.npz", {"column": "a"}, SourceError, r"is not a \.npz file of plain arrays, or it is cut short"),
    ("series", "cut.npz", {}, SourceError, r"is not a \.npz file"),
    ("series", "huge.npz", {}, SourceError, "is cut short"),
    ("text", "hf:", {}, MissingSource, "is no address; expected PATH"),
    ("text", "hf:org/name?trust=1", {}, MissingSource, "with options 'name', 'split'"),
    ("text", "sample:poems", {}, MissingSource, "is no sample; expected topics or digits"),
    ("text", "sample:topics?owner=c", {}, MissingSource, "owner a or b"),
    ("image", "sample:topics", {}, SourceError, "column 'text' is string; expected image records"),
    ("text", "", {}, MissingSource, "no input was named"),
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad")
    make(path)
    return path


@pytest.mark.parametrize(("modality", "names", "options", "error", "message"), BAD)
def test_bad_inputs(
    bad: Path, modality: str, names: str, options: dict[str, Any], error: type[UltError], message: str
) -> None:
    inputs = [name if ":" in name else str(bad / name) for name in names.split()]
    with pytest.raises(error, match=message) as raised:
        list(open_source(inputs, modality=modality, **options))
    assert type(raised.value) is error
    assert "\n" not in str(raised.value)


def test_unknown_modality() -> None:
    with pytest.raises(InvalidConfig, match="modality is 'video'; expected 'text'"):
        open_source(["a.txt"], modality="video")
