"""Read and write images in folders, and convert between image files and arrays.

An array is uint8, (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA. Pixels are taken as stored: no EXIF orientation and no
colour profile is applied. Palettes, bilevel images and grey with alpha are converted without loss; what cannot be (16
bits, CMYK, float, several frames) is refused. Of a JPEG with a preview (MPO) the main picture is read.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ult.data import files
from ult.data.rows import ROWS, Chunk, Rows
from ult.data.tabular import CsvRows, CsvWriter
from ult.errors import MissingColumn, OutputError, SourceError

Pixels = NDArray[np.uint8]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_UNREAD = (".avif", ".dcm", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".dng")
LABELS = "labels.csv"  # beside the images: `name` and the other kept columns, one row per image
MAX_PIXELS = 2**26  # 64 megapixels; a larger image is treated as a decompression bomb
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MODES = {"L": "L", "RGB": "RGB", "RGBA": "RGBA", "1": "L", "LA": "RGBA", "PA": "RGBA"}
_SAMPLES = 277  # the TIFF tag SamplesPerPixel: channels per pixel
_DEEP = re.compile(r";(16|32|64)[BLNS]?$")


def to_pixels(data: bytes, place: str) -> Pixels:
    """Return the image in `data`; raise `SourceError`, naming `place`, if it is broken or its conversion is lossy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check(image, place)
                # Copy: Pillow may return a view of memory that it frees with the image.
                return np.array(image.convert(_target(image)))
    except SourceError:
        raise
    except Exception as error:  # Pillow raises many types for a broken image: SyntaxError, struct.error, ...
        raise SourceError(f"{place} is not an image that Pillow can read, or it is broken") from error


def _check(image: Image.Image, place: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise SourceError(
            f"{place} is an image of {image.width} x {image.height}; expected at most {MAX_PIXELS} pixels"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise SourceError(f"{place} has {frames} frames; expected one", hint="save the frames as PNG")
    raw = [str(part) for tile in getattr(image, "tile", ()) for part in _flat(tile[3])]
    deep = any(_DEEP.search(part) for part in raw) and image.format != "BMP"
    if deep or (image.mode not in _MODES and image.mode != "P"):
        mode = "16 bits a channel" if deep or image.mode.startswith("I") else f"mode {image.mode}"
        raise SourceError(f"{place} has {mode}; expected 8 bits in grey, RGB or RGBA", hint="convert it to 8-bit PNG")
    samples = getattr(image, "tag_v2", {}).get(_SAMPLES, 1)
    if samples > len(image.getbands()):
        raise SourceError(
            f"{place} has {samples} channels, of which {len(image.getbands())} are colour or alpha; expected no more",
            hint="convert it to 8-bit PNG",
        )
    if image.mode == "L" and "transparency" in image.info and any(part in {"L;2", "L;4"} for part in raw):
        # Pillow 13 compares the transparent level before it is scaled to 8 bits, so nothing would be transparent.
        raise SourceError(f"{place} is grey of 2 or 4 bits with a transparent level", hint="convert it to 8-bit PNG")


def _flat(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _target(image: Image.Image) -> str:
    """Return the mode, among L, RGB and RGBA, that holds the image without loss."""
    if "transparency" in image.info or (image.mode == "P" and image.palette and "A" in image.palette.mode):
        return "RGBA"
    return "RGB" if image.mode == "P" else _MODES[image.mode]


def _may_be_image(name: str) -> bool:
    """Return whether an unread file may be an image: it has a suffix of other image formats, or no suffix."""
    return name.lower().endswith(_UNREAD) or "." not in name.rpartition("/")[2]


def to_png(pixels: Pixels) -> bytes:
    """Return the image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class FolderRows(Rows):
    """The images of a folder and its sub-folders, sorted by path, or one image file; skips other and hidden files.

    The columns are the record, `name` (the path relative to the folder) and `label` (the image's sub-folder). If there
    is a `labels.csv` with a column `name`, its other columns replace `label`; it must have a row for every image.
    """

    def __init__(self, name: str, column: str) -> None:
        self.name = name
        self.column: str = column
        self._sheet_name = files.join(name, LABELS)
        folder = files.is_folder(name)
        if not folder and not files.is_file(name):
            raise files.missing(name, "an image or a folder of images")
        self._root, one = (name, "") if folder else (name[: -len(Path(name).name)], Path(name).name)
        inside = files.walk(name) if folder else [one]
        self._names = [n for n in inside if n.lower().endswith(SUFFIXES)] if folder else [one]
        self.passed = [files.join(name, n) for n in inside if _may_be_image(n)]  # possible images that are not read
        if not self._names:
            raise SourceError(f"{name} holds no images; expected files that end in {', '.join(SUFFIXES)}")
        labels = CsvRows(self._sheet_name).types if folder and files.is_file(self._sheet_name) else {}
        self._sheet = list(labels) if "name" in labels else []
        others = [column for column in self._sheet if column != "name"] or ["label"]
        self.types = {column: pa.binary(), "name": pa.string(), **dict.fromkeys(others, pa.string())}

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the images as file names; `record` reads each file when it is needed."""
        for first in range(0, len(self._names), ROWS):
            names = self._names[first : first + ROWS]
            values: dict[str, Any] = {self.column: [files.join(self._root, name) for name in names]}
            values |= {column: [self._value(n, column) for n in names] for column in columns if column != self.column}
            yield Chunk(self.name, first + 1, values, len(names), "image", names=values[self.column])

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of the columns `keep`; raise `MissingColumn` if an image lacks one of them."""
        for name in self._names if keep else ():
            for column in keep:
                self._value(name, column)
        return super().kept_schema(keep)

    def _value(self, name: str, column: str) -> str:
        if column == "name":
            return name
        if self._sheet:
            if name not in self._labels:
                raise MissingColumn(f"{self._sheet_name} has no row for {name!r}; expected one for every image")
            return self._labels[name][column]
        if "/" not in name:
            raise MissingColumn(
                f"{files.join(self._root, name)} lies in no sub-folder, so it has no label",
                hint="leave out --keep, or move it to a sub-folder of its class",
            )
        return name.split("/")[-2]

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        labels: dict[str, dict[str, str]] = {}
        for chunk in CsvRows(self._sheet_name).chunks(self._sheet):
            for cells in zip(*chunk.columns.values(), strict=True):
                row = dict(zip(self._sheet, cells, strict=True))
                if row["name"] in labels:
                    raise SourceError(f"{self._sheet_name} has two rows for {row['name']!r}; expected one per image")
                labels[row["name"]] = row
        return labels


class FolderWriter:
    """Writes PNG files named by number, or by the kept column `name`; other kept columns go to `labels.csv`."""

    def __init__(self, path: Path, kept: Sequence[str]) -> None:
        self.path = path
        path.mkdir()
        self._named = "name" in kept
        self._others = [name for name in kept if name != "name"]
        self._sheet = CsvWriter(path / LABELS, [*self._others, "name"]) if self._others else None
        self._written: set[str] = set()

    def write(self, records: Sequence[Pixels], kept: pa.Table) -> None:
        """Write image files; raise `OutputError` if two have the same name, ignoring case."""
        names = (
            kept["name"].to_pylist() if self._named else range(len(self._written), len(self._written) + len(records))
        )
        files = [_file_name(name) for name in names]
        for file, pixels in zip(files, records, strict=True):
            if file.casefold() in self._written:
                raise OutputError("two images have one name", hint=".parquet holds them")
            self._written.add(file.casefold())
            path = self.path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_png(pixels))
        if self._sheet:
            self._sheet.write(files, kept.select(self._others))

    def close(self, *, whole: bool) -> None:
        """Close `labels.csv`."""
        if self._sheet:
            self._sheet.close(whole=whole)


def _file_name(name: str | int | None) -> str:
    """Return a relative path that ends in .png, stays in the folder, and is valid on every file system."""
    if isinstance(name, int):
        return f"{name:08d}.png"
    parts = [
        re.sub(r'^[. ]|[\x00-\x1f\x7f<>:"|?*]|[. ]$', "_", part) for part in re.split(r"[/\\]+", name or "") if part
    ]
    if not parts:
        raise OutputError("an image has an empty name", hint=".parquet holds it")
    stem, dot, suffix = parts[-1].rpartition(".")
    stem = stem if stem and (dot + suffix).lower() in SUFFIXES else parts[-1]
    return "/".join([*parts[:-1], stem + ".png"])
