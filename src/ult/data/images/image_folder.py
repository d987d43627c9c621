"""Read the images of a folder and its sub-folders, and what lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.images import image, scans
from ult.data.images.image_sheet import Sheet
from ult.data.images.scan import Frame, Head, Opener
from ult.data.rows import ROWS, Chunk, Rows, listed
from ult.errors import EmptySource, MissingColumn, SourceError
from ult.host.shown import count

SUFFIXES = (*image.SUFFIXES, *scans.DICOM, *scans.NIFTI)
_NAMED = 3  # files that cannot be read, of those that are named
_UNREAD = (
    ".avif", ".dng", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".mha", ".mhd", ".npy", ".npz", ".nrrd", ".pbm",
    ".pgm", ".pnm", ".ppm", ".svs", ".tar", ".tga", ".tgz", ".zip",
)  # fmt: skip


def is_image(name: str) -> bool:
    """Return whether an input is an image file by its suffix, or DICOM without one by its first bytes."""
    return name.lower().endswith(SUFFIXES) or (files.is_file(name) and scans.is_bare_dicom(name))


class FolderRows(Rows):
    """The images of a folder and its sub-folders, sorted by path, or one image file; skips other and hidden files.

    Links are followed. A file of several images (DICOM, NIfTI, TIFF) has a row for each. The columns are the record,
    `name` (the path relative to the folder; with /1, /2, .. behind it if the file has several images) and `label` (the
    image's sub-folder). If there is a `labels.csv` with a column `name`, or a `metadata.csv` or `.jsonl` with a column
    `file_name`, its other columns replace `label`; it must have a row for every image. Keywords of DICOM tags are
    columns of DICOM files. Files that cannot be read are refused, all of them at once; with `skip` they are left out,
    which is why every image is then read once before the first. With `jpeg`, what `image/jpeg` does not encode cannot
    be read.
    """

    def __init__(self, name: str, column: str, *, skip: bool = False, jpeg: bool = False) -> None:
        self.name = name
        self._jpeg = jpeg
        self.column: str = column
        folder = files.is_folder(name)
        if not folder and not files.is_file(name):
            raise files.missing(name, "an image or a folder of images")
        self._root, one = (name, "") if folder else (name[: -len(Path(name).name)], Path(name).name)
        inside = files.walk(name) if folder else [one]
        self.passed: list[str] = []  # possible images that are not read
        self._heads: dict[str, Head | None] = {}  # of the images, by name; None for one image that Pillow reads
        told: Counter[str] = Counter()
        wrong: list[SourceError] = []
        for path in inside:
            try:
                self._add(path, told, alone=not folder)
                self._try(path, skip=skip)
            except EmptySource:
                raise
            except SourceError as error:
                self._heads.pop(path, None)
                wrong.append(error)
        if wrong and (not skip or not self._heads):
            raise unreadable(name, wrong, alone=not folder)
        every = count(len(self._heads), "file")
        self.told = [f"{n:,} of {every}: {what}" for what, n in told.items()]
        if wrong:
            left = "; ".join(error.what for error in wrong[:_NAMED]) + "; ..." * (len(wrong) > _NAMED)
            self.told.append(f"{count(len(wrong), 'file')} left out that cannot be read: {left}")
        if not self._heads:
            raise SourceError(f"{name} holds no images; expected files that end in {', '.join(SUFFIXES)}")
        self._sheet = Sheet(name, inside if folder else [])
        others = self._sheet.types or {"label": pa.string()}
        self.types = {column: pa.binary(), "name": pa.string(), **others}
        self.made = [name for name in ("name", "label") if name not in self._sheet.types]
        self._tags: set[str] = set()

    def _add(self, path: str, told: Counter[str], *, alone: bool) -> None:
        """Take a file as an image, or note that it is passed over."""
        place = files.join(self._root, path)
        kind = scans.kind_of(path)
        if not kind and (alone or path.lower().endswith(SUFFIXES)) and not (alone and scans.is_bare_dicom(place)):
            self._heads[path] = None
        elif kind or (scans.has_no_suffix(path) and scans.is_bare_dicom(place)):
            try:
                self._heads[path] = found = scans.head(place)
                told.update(found.remarks)
            except EmptySource:
                if alone:
                    raise
                self.passed.append(place)
        elif path.lower().endswith(_UNREAD) or scans.has_no_suffix(path):
            self.passed.append(place)

    def _try(self, path: str, *, skip: bool) -> None:
        """Read the images of a file, if those that cannot be read are left out; raise `SourceError`."""
        if not skip or path not in self._heads:
            return
        place = files.join(self._root, path)
        for _, frame in self._frames([path]):
            if self._jpeg:
                image.check_jpeg(files.read_bytes(place), place)
            elif isinstance(frame, Frame):
                frame.pixels()
            else:
                image.to_pixels(files.read_bytes(frame), frame)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless all of `names` are columns, or keywords of tags if there are DICOM files."""
        datasets = [head for head in self._heads.values() if head is not None and head.dataset is not None]
        if datasets:
            from ult.data.images.dicom_tag import is_keyword

            self._tags |= {name for name in names if name not in self.types and is_keyword(name)}
            self.types = {**self.types, **dict.fromkeys(sorted(self._tags), pa.string())}
        for name in names:
            if datasets and name not in self.types:
                raise MissingColumn(
                    f"{self.name} has no column {name!r}; it has {listed(list(self.types))} and tags of DICOM",
                    hint="a tag is called by its keyword, such as Modality",
                )
        super().check_columns(names)

    def identifies(self, name: str) -> str:
        """Return what of somebody a DICOM tag may tell, such as dates, else the empty string."""
        if not any(head is not None and head.dataset is not None for head in self._heads.values()):
            return ""
        from ult.data.images.dicom_tag import identifies

        return "" if name in self.types and name not in self._tags else identifies(name)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the images as file names or `Frame`s; `record` reads each when it is needed."""
        frames, first = self._frames(), 1
        while some := list(islice(frames, ROWS)):
            values: dict[str, Any] = {self.column: [frame for _, frame in some]}
            numbers = [(f.i, f.frames) if isinstance(f, Frame) else (0, 1) for _, f in some]
            for name in columns:
                if name != self.column:
                    pairs = zip(some, numbers, strict=True)
                    values[name] = [self._value(path, *number, name) for (path, _), number in pairs]
            places = [frame.place if isinstance(frame, Frame) else frame for _, frame in some]
            yield Chunk(self.name, first, values, len(some), "image", names=places)
            first += len(some)

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of the columns `keep`; raise `MissingColumn` if an image lacks one of them."""
        sheet = [name for name in keep if name in self._sheet.types]
        types = self._sheet.schema(sheet, list(self._heads)) if sheet else pa.schema([])
        for path in self._heads if len(sheet) < len(keep) else ():
            for column in keep:
                self._value(path, 0, 1, column)
        return pa.schema([types.field(name) if name in sheet else (name, self.types[name]) for name in keep])

    def _frames(self, paths: Sequence[str] = ()) -> Iterator[tuple[str, Frame | str]]:
        """Yield every image, a `Frame` or the name of its file, with the path of the file in the folder."""
        opener = Opener()
        for path in paths or self._heads:
            head = self._heads[path]
            place = files.join(self._root, path)
            if head is None:
                yield path, place
            else:
                yield from ((path, Frame(place, i, head.frames, head.opened, opener)) for i in range(head.frames))

    def _value(self, path: str, i: int, frames: int, column: str) -> Any:
        """Return what a column says of image `i` of the `frames` of a file."""
        if column == "name":
            return path if frames == 1 else f"{path}/{i + 1}"
        if column in self._sheet.types:
            return self._sheet.cell(path, column)
        if column in self._tags:
            return self._tag(path, column)
        if "/" not in path:
            raise MissingColumn(
                f"{files.join(self._root, path)} lies in no sub-folder, so it has no label",
                hint="leave out --keep, or move it to a sub-folder of its class",
            )
        return path.split("/")[-2]

    def _tag(self, path: str, keyword: str) -> str | None:
        from ult.data.images import dicom

        head = self._heads[path]
        if head is None or head.dataset is None:
            raise MissingColumn(f"{files.join(self._root, path)} is no DICOM file, so it has no {keyword}")
        return dicom.cell(files.join(self._root, path), head.dataset, keyword)


def unreadable(name: str, wrong: Sequence[SourceError], *, alone: bool) -> SourceError:
    """Return the error for files that cannot be read; `alone` if an input is a file and no folder."""
    first = wrong[0]
    if alone:
        return first
    if len(wrong) == 1:
        return image.left_out(first)
    told = "; ".join(error.what for error in wrong[:_NAMED]) + "; ..." * (len(wrong) > _NAMED)
    return SourceError(
        f"{name} has {len(wrong):,} files that cannot be read: {told}", hint=image.LEFT_OUT.replace(" it ", " them ")
    )
