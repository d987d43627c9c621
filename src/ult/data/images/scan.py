"""Files that hold several images: DICOM, NIfTI and TIFF. Each frame, slice or page of one is an image of its own.

The header of a file is read when the file is opened, and its pixels when they are needed, one file at a time.
"""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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


class Opener:
    """Opens files, and keeps the last one, so that its frames are not read each with the whole file."""

    def __init__(self) -> None:
        self._key: object = None
        self._scan: Scan | None = None

    def __call__(self, opened: Callable[[str], Scan], name: str) -> Scan:
        """Return the pixels of the file `name`, which `opened` opens."""
        if self._scan is None or self._key != (opened, name):
            self._scan, self._key = None, None  # two files are never held at a time
            self._scan, self._key = opened(name), (opened, name)
        return self._scan


@dataclass(frozen=True, slots=True)
class Frame:
    """Image `i`, from 0, of the file `name` with `frames` images, which `opened` opens by way of `opener`."""

    name: str
    i: int
    frames: int
    opened: Callable[[str], Scan] = field(repr=False)
    opener: Opener = field(repr=False)

    @property
    def place(self) -> str:
        """The name of the file, and which of its images it is."""
        return self.name if self.frames == 1 else f"{self.name}, image {self.i + 1} of {self.frames}"

    def pixels(self) -> Pixels:
        """Return the image; raise `SourceError`, with its place, if it cannot be read exactly."""
        try:
            return np.ascontiguousarray(self.opener(self.opened, self.name).pixels(self.i))
        except UltError:
            raise
        except OSError as error:
            raise SourceError(f"{self.place} cannot be read: {error.strerror or short(error)}") from error
        except Exception as error:  # a damaged file makes the libraries raise nearly everything, with values in it
            raise SourceError(f"{self.place} is broken ({type(error).__name__})") from error


def short(error: Exception) -> str:
    """Return the message of a library's exception in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Keep a library from printing warnings, which may hold values of headers."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
