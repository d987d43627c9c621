"""What options the codec of a column of images or of series needs, so that no value of the column lies outside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.image import ImageDct
from ult.data.images import image_folder
from ult.data.series import edf, wav, wfdb
from ult.errors import SourceError

_LEAST_BITS = 9  # of images that have more than 8


class Images:
    """The bits of images, and whether values are negative: what `image/dct` calls `bits`, `low` and `high`."""

    def __init__(self) -> None:
        self._low = self._high = 0
        self._first = ""  # the place of the first image
        self._deep = False

    def add(self, image: NDArray[Any], place: str) -> None:
        """Add an image; raise `SourceError` if it has 8 bits and others have more."""
        deep = image.dtype != np.uint8
        if self._first and deep != self._deep:
            bits = ("8 bits", "more than 8 bits")
            raise SourceError(
                f"{place} is an image of {bits[deep]}, and that of {self._first} has {bits[not deep]}; expected one of "
                "the two in a column"
            )
        self._first, self._deep = self._first or place, deep
        if deep:
            self._low, self._high = min(self._low, int(image.min())), max(self._high, int(image.max()))

    def options(self) -> dict[str, Any]:
        """Return the options: those of new tables, and a window of so many bits as the values need."""
        if not self._deep:
            return dict(ImageDct.preferred)
        signed = self._low < 0
        bits = max(_LEAST_BITS, signed + max(self._high.bit_length(), (-1 - self._low).bit_length() * signed))
        low = -(2 ** (bits - 1)) if signed else 0
        return {"bits": bits, "low": low, "high": low + 2**bits - 1, **ImageDct.preferred}


class Series:
    """The smallest and the largest value of series: what `series/mulaw` calls `low` and `high`."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf

    def add(self, series: NDArray[Any], place: str) -> None:
        """Add a series."""
        finite = series[np.isfinite(series)] if series.dtype.kind == "f" else series
        if len(finite):
            self._low, self._high = min(self._low, float(finite.min())), max(self._high, float(finite.max()))

    def options(self) -> dict[str, Any]:
        """Return the options; none if there is no value."""
        return {"low": self._low, "high": self._high} if self._low <= self._high else {}


OF_KIND: dict[str, type[Images] | type[Series]] = {"image": Images, "series": Series}

_SUFFIXES = {"image": image_folder.SUFFIXES, "series": (wfdb.SUFFIX, wav.SUFFIX, *edf.SUFFIXES)}


def named(cells: Sequence[str]) -> str:
    """Return "image" or "series" if all cells look like names of files of such, else the empty string.

    >>> named(["scans/1.PNG", "scans/2.png"]), named(["a.wav"]), named(["fever"]), named([])
    ('image', 'series', '', '')
    """
    for kind, suffixes in _SUFFIXES.items():
        if cells and all(len(cell) > len(suffixes[0]) and cell.lower().endswith(suffixes) for cell in cells):
            return kind
    return ""
