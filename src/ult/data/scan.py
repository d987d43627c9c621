"""Files that hold several images: DICOM, NIfTI and TIFF. Each frame, slice or page of one is an image of its own.

The header of a file is read when the file is opened, and its pixels when they are needed, one file at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.data import files
from ult.errors import SourceError, UltError

Pixels = NDArray[Any]  # (h, w) or (h, w, 3 or 4), uint8, uint16 or int16
DICOM, NIFTI, TIFF = (".dcm", ".dicom"), (".nii", ".nii.gz"), (".tif", ".tiff")
_MAGIC = b"DICM"  # after 128 bytes that mean nothing


class Scan(ABC):
    """The pixels of a file that holds several images."""

    @abstractmethod
    def pixels(self, i: int) -> Pixels:
        """Return image `i`, from 0; raise `SourceError` if it is broken or cannot be read exactly."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the header of a file tells: the number of its images, and remarks on it by their text.

    `dataset` is the header of a DICOM file, from which tags are kept.
    """

    frames: int
    remarks: tuple[str, ...] = ()
    dataset: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """Image `i`, from 0, of the file `name` with `frames` images."""

    name: str
    i: int
    frames: int

    @property
    def place(self) -> str:
        """The name of the file, and which of its images it is."""
        return self.name if self.frames == 1 else f"{self.name}, image {self.i + 1} of {self.frames}"

    def pixels(self) -> Pixels:
        """Return the image; raise `SourceError`, with its place, if it cannot be read exactly."""
        try:
            return np.ascontiguousarray(_opened(self.name).pixels(self.i))
        except UltError:
            raise
        except OSError as error:
            raise SourceError(f"{self.place} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # a damaged file makes the libraries raise nearly everything
            raise SourceError(f"{self.place} is broken: {_short(error)}") from error


def kind_of(name: str) -> str:
    """Return "dicom", "nifti" or "tiff" if the file may hold several images by its suffix, else the empty string."""
    low = name.lower()
    kinds = {"dicom": DICOM, "nifti": NIFTI, "tiff": TIFF}
    return next((kind for kind, suffixes in kinds.items() if low.endswith(suffixes)), "")


def is_bare_dicom(name: str) -> bool:
    """Return whether a file is DICOM by its first bytes, as those without a suffix on the discs of hospitals."""
    try:
        with files.open_file(name) as file:
            return file.read(132)[128:] == _MAGIC
    except (OSError, SourceError):
        return False


def head(name: str) -> Head:
    """Return what the header of a file tells; raise `SourceError` if the file cannot be read exactly."""
    try:
        return _module(name).head(name)  # type: ignore[no-any-return]
    except UltError:
        raise
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise SourceError(f"{name} is broken: {_short(error)}") from error


@lru_cache(maxsize=1)
def _opened(name: str) -> Scan:
    return _module(name).opened(name)  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    from ult.data import dicom, nifti, pages

    return {"nifti": nifti, "tiff": pages}.get(kind_of(name), dicom)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
