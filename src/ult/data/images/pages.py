"""The pages of a TIFF, each an image of its own; copies at a lower resolution and masks are refused."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

from PIL import Image

from ult.data import files
from ult.data.images.image import MAX_PIXELS, exact
from ult.data.images.scan import Head, Pixels, Scan
from ult.errors import SourceError

_SUBFILE, _DESCRIPTION = 254, 270  # TIFF tags
_IMAGES = re.compile(r"^images=(\d+)$", re.MULTILINE)  # of ImageJ, which may store a stack as one page
MAX_PAGES = 2**20


def head(name: str) -> Head:
    """Return the number of pages; raise `SourceError` if Pillow cannot read the file, or would read a part of it."""
    with files.open_file(name) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=["TIFF"])
        except Image.DecompressionBombError as error:
            raise SourceError(f"{name} says it is an image of more than {MAX_PIXELS} pixels; expected fewer") from error
        except Exception as error:
            raise SourceError(f"{name} is not a TIFF that Pillow can read, or it is broken") from error
        frames = int(getattr(image, "n_frames", 1))
        said = _IMAGES.search(str(getattr(image, "tag_v2", {}).get(_DESCRIPTION, "")))
        if said and int(said[1]) > frames:
            raise SourceError(
                f"{name} is a stack of {said[1]} images that ImageJ stored as {frames}; expected a page for each",
                hint="save it as an image sequence, or as .npy with --layout nhw",
            )
        if frames > MAX_PAGES:
            raise SourceError(f"{name} says it has {frames} pages; expected at most {MAX_PAGES}")
        return Head(frames, opened)


def opened(name: str) -> Scan:
    """Return the pages of the file, which is held in memory."""
    return _Pages(name)


class _Pages(Scan):
    def __init__(self, name: str) -> None:
        self.name = name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._image: Any = Image.open(io.BytesIO(files.read_bytes(name)), formats=["TIFF"])

    def pixels(self, i: int) -> Pixels:
        """Return page `i`; raise `SourceError` if it is not the same picture as stored, in all its detail."""
        place = self.name if getattr(self._image, "n_frames", 1) == 1 else f"{self.name}, page {i + 1}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._image.seek(i)
            subfile = int(self._image.tag_v2.get(_SUBFILE, 0))
            if subfile & 5:
                what = "a copy at a lower resolution" if subfile & 1 else "a mask"
                raise SourceError(f"{place} is {what} of another page; expected pages that are images of their own")
            return exact(self._image, place)
