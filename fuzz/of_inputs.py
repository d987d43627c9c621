"""Records as they come: text, tables of numbers, NumPy's files, Parquet and images."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from of_shards import parquet
from reading import Made, either, file


def records(name: str, modality: str, **options: Any) -> Callable[[Path], None]:
    """Return what reads all records of a file, and what is kept."""
    from ult.data import open_source

    def read(path: Path) -> None:
        for batch in open_source([path], modality=modality, **options).batches():
            len(batch.records)

    return read


def txt(folder: Path) -> Made:
    seeds = [b"one\ntwo\r\nthree", "naïve\n\n日本\n".encode(), b"\xef\xbb\xbfa\nb\n"]
    return seeds, file(folder, "x.txt", either(records("x", "text"), records("x", "molecule", side="left")))


def jsonl(folder: Path) -> Made:
    rows: list[Any] = [
        {"text": "one", "n": 1, "f": 0.5, "b": True, "z": None},
        {"text": "two", "n": 2.5, "f": 1, "b": False, "z": "a"},
    ]
    seeds = ["\n".join(map(json.dumps, rows * k)).encode() for k in (1, 3)] + [
        b'"one"\n"two"\n',
        b"\xef\xbb\xbf" + b'"one"',
    ]
    seeds.append(json.dumps(rows[0]).encode())
    return seeds, file(folder, "x.jsonl", records("x", "text", column="text", keep=["n", "z"]))


def csv(folder: Path) -> Made:
    seeds = [
        b"label,text\na,one\nb,two\n",
        b'label,text\r\na,"one, ""two""\nthree"\r\nb,\r\n',
        b"\xef\xbb\xbf" + b"text\none\n",
    ]
    seeds += [b"g1,g2,label\n1,2.5,a\n-1e3,,b\n", b"value\n1\n2\nnan\n", b"\xef\xbb\xbf", b"label,text\n"]
    reads = [
        records("x", "text", column="text"),
        records("x", "series", keep=["label"]),
        records("x", "series", column="value"),
    ]
    return seeds, file(folder, "x.csv", either(*reads))


def _npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


_ARRAYS = (
    np.arange(12.0).reshape(3, 4),
    np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(12, dtype=">i4").reshape(3, 4)),
    np.array(["one", "two"]),
    np.arange(5, dtype=np.float16),
    np.zeros((0, 4)),
)


def npy(folder: Path) -> Made:
    seeds = [_npy(one) for one in _ARRAYS] + [_npy(_ARRAYS[0], (2, 0))]
    return seeds, file(folder, "x.npy", either(records("x", "series"), records("x", "image")))


def npz(folder: Path) -> Made:
    ragged = {"series": np.arange(9.0), "series_ends": np.array([2, 2, 9]), "label": np.array(["a", "b", "c"])}
    seeds = [_npz(ragged), _npz(ragged, zipfile.ZIP_DEFLATED), _npz({"image": _ARRAYS[1], "label": np.array([3])})]
    seeds += [
        _npz({"series": _ARRAYS[0]}, zipfile.ZIP_LZMA),
        _npz({"series": _ARRAYS[3], "n": np.arange(3)}, zipfile.ZIP_BZIP2),
    ]
    reads = [records("x", "series"), records("x", "series", keep=["label"]), records("x", "image")]
    return seeds, file(folder, "x.npz", either(*reads))


def _npz(arrays: dict[str, Any], how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, array in arrays.items():
            archive.writestr(name + ".npy", _npy(array))
    return buffer.getvalue()


def parquet_in(folder: Path) -> Made:
    """Parquet of texts, images, lists and numbers, kept columns of many types beside them."""
    import datetime

    import pyarrow as pa

    png = images(folder)[0][0]
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    tables: Sequence[dict[str, Any]] = [
        {"text": ["one", "two", None], "label": ["a", "b", "c"]},
        {"text": pa.array(["one", "two"]).dictionary_encode(), "label": [1, 2]},
        {"image": [png, png], "label": [day, None]},
        {"image": [{"bytes": png, "path": "a"}, {"bytes": None, "path": "b"}], "label": [[1], []]},
        {"series": [[1.0, 2.0], [], [3.0]], "label": [{"a": 1}, {"a": 2}, None]},
        {"series": pa.array([[1, 2], None, [None, 3]]), "label": [True, False, None]},
        {"g1": [1, 2], "g2": [0.5, None], "label": ["a", "b"]},
    ]
    seeds = [parquet(pa.table(one), compression=kind) for one in tables for kind in ("NONE", "snappy")]
    reads = [records("x", kind, keep=["label"]) for kind in ("text", "image", "series")]
    return seeds, file(folder, "x.parquet", either(*reads))


def images(folder: Path) -> Made:
    """Image files of all formats and modes."""
    from PIL import Image

    from ult.data.images.image import to_pixels

    rng, seeds = np.random.default_rng(0), []
    pixels = Image.fromarray(rng.integers(0, 256, (8, 9, 3), np.uint8))
    kinds = [("PNG", "RGB"), ("PNG", "P"), ("PNG", "L"), ("PNG", "1"), ("PNG", "LA"), ("PNG", "I;16"), ("GIF", "P")]
    kinds += [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("BMP", "1"), ("TIFF", "RGB")]
    kinds += [("TIFF", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA")]
    for form, mode in kinds:
        buffer = io.BytesIO()
        image = pixels.convert("L").convert("I;16") if mode == "I;16" else pixels.convert(mode)
        image.save(buffer, form)
        seeds.append(buffer.getvalue())
    for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        buffer = io.BytesIO()
        (pixels.convert("1") if how == "group4" else pixels).save(buffer, "TIFF", compression=how)
        seeds.append(buffer.getvalue())
    return seeds, lambda data: to_pixels(data, "x")


def jpegs(folder: Path) -> Made:
    """JPEG files that `image/jpeg` reads, and some that it refuses; what is read becomes a file again."""
    from PIL import Image

    from ult.codecs.jpeg import ImageJpeg

    codec, rng, seeds = ImageJpeg(), np.random.default_rng(0), []
    pixels = Image.fromarray(rng.integers(0, 256, (20, 35, 3), np.uint8))
    for mode, options in (
        ("L", {}), ("RGB", {}), ("RGB", {"optimize": True}), ("RGB", {"subsampling": "4:4:4", "quality": 100}),
        ("RGB", {"subsampling": "4:2:2", "quality": 1}), ("RGB", {"restart_marker_blocks": 2}),
        ("RGB", {"comment": b"x"}), ("RGB", {"progressive": True}), ("CMYK", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        pixels.convert(mode).save(buffer, "JPEG", **options)  # type: ignore[arg-type]
        seeds.append(buffer.getvalue())

    def read(data: bytes) -> None:
        found = codec.decode(codec.encode(data).symbols)
        assert codec.decode(codec.encode(found).symbols) == found

    return seeds, read
