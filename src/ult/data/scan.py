"""Files that hold several images: DICOM, NIfTI and TIFF. Each frame, slice or page of one is an image of its own.

The header of a file is read when the file is opened, and its pixels when they are needed, one file at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import SourceError, UltError

Pixels = NDArray[Any]  # (h, w) or (h, w, 3 or 4), uint8, uint16 or int16


class Scan(ABC):
    """The pixels of a file that holds several images."""

    @abstractmethod
    def pixels(self, i: int) -> Pixels:
        """Return image `i`, from 0; raise `SourceError` if it is broken or cannot be read exactly."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the header of a file tells: the number of its images, what opens them, and remarks on it.

    `dataset` is the header of a DICOM file, from which tags are kept.
    """

    frames: int
    opened: Callable[[str], Scan] = field(repr=False)
    remarks: tuple[str, ...] = ()
    dataset: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """Image `i`, from 0, of the file `name` with `frames` images, which `opened` opens."""

    name: str
    i: int
    frames: int
    opened: Callable[[str], Scan] = field(repr=False)

    @property
    def place(self) -> str:
        """The name of the file, and which of its images it is."""
        return self.name if self.frames == 1 else f"{self.name}, image {self.i + 1} of {self.frames}"

    def pixels(self) -> Pixels:
        """Return the image; raise `SourceError`, with its place, if it cannot be read exactly."""
        try:
            return np.ascontiguousarray(_last(self.opened, self.name).pixels(self.i))
        except UltError:
            raise
        except OSError as error:
            raise SourceError(f"{self.place} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # a damaged file makes the libraries raise nearly everything
            raise SourceError(f"{self.place} is broken: {short(error)}") from error


def short(error: Exception) -> str:
    """Return the message of a library's exception in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"


@lru_cache(maxsize=1)
def _last(opened: Callable[[str], Scan], name: str) -> Scan:
    """Return an open file: the last one, so that its frames are not read each with the whole file."""
    return opened(name)
