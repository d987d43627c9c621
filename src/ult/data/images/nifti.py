"""The slices of a NIfTI volume, each an image of its own, as stored.

A slice is `volume[:, :, k]`: the first two axes of the array as it lies in the file, rows first. Slices come in the
order of k, those of a 4-D file volume after volume. The numbers are those that are stored: neither `scl_slope` and
`scl_inter` nor the orientation (`affine`) is applied.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ult.data import files
from ult.data.images.image import MAX_PIXELS
from ult.data.images.scan import Head, Pixels, Scan, quiet
from ult.errors import SourceError
from ult.host.extras import require

MAX_BYTES = 2**31  # of a volume in memory
_TYPES = ("u1", "u2", "i2")


def head(name: str) -> Head:
    """Return the number of slices; raise `SourceError` if the file holds no integers of 8 or 16 bits."""
    with _load(name) as image:
        shape, scaled = _checked(name, image)
    remarks = [f"slices of NIfTI are volume[:, :, k] as stored, {shape[0]} x {shape[1]} here"]
    if scaled:
        remarks.append("stored values are encoded; scl_slope and scl_inter of NIfTI are not applied")
    return Head(math.prod(shape[2:]), opened, tuple(remarks))


def opened(name: str) -> Scan:
    """Return the slices of the file, whose volume is held in memory."""
    return _Volume(name)


class _Volume(Scan):
    def __init__(self, name: str) -> None:
        with _load(name) as image:
            shape, _ = _checked(name, image)
            volume = np.asanyarray(image.dataobj.get_unscaled())
        if volume.shape != image.shape:
            raise SourceError(f"{name} holds {volume.shape} values; its header says {image.shape}")
        self._volume = volume.reshape(*shape[:2], -1, order="F")

    def pixels(self, i: int) -> Pixels:
        """Return slice `i`."""
        pixels = np.asarray(self._volume[:, :, i])
        return pixels.astype(pixels.dtype.newbyteorder("="))


@contextmanager
def _load(name: str) -> Iterator[Any]:
    """Yield the image, whose header alone has been read."""
    with require("nibabel", extra="nifti"):
        import nibabel as nib
    if not files.is_url(name):
        files.check_regular(name)
        yield _parsed(nib, name, name)
        return
    with tempfile.TemporaryDirectory() as folder:  # nibabel opens files by their names
        copy = Path(folder) / ("x.nii.gz" if name.lower().endswith(".gz") else "x.nii")
        copy.write_bytes(files.read_bytes(name))
        yield _parsed(nib, str(copy), name)


def _parsed(nib: Any, path: str, name: str) -> Any:
    try:
        with quiet("nibabel.global"):
            return nib.load(path, mmap=False)
    except OSError:
        raise
    except Exception as error:
        raise SourceError(f"{name} is not a NIfTI file, or it is broken") from error


def _checked(name: str, image: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape, of at least three axes, and whether values are scaled; raise `SourceError` if it is no scan."""
    dtype, shape = image.header.get_data_dtype(), tuple(int(n) for n in image.shape)
    if dtype.str[1:] not in _TYPES:
        raise SourceError(
            f"{name} holds {dtype}; expected integers of 8 or 16 bits",
            hint="a volume of floats from 0 to 1 in .npy is read by --layout hwn*4095",
        )
    if not 2 <= len(shape) <= 5 or min(shape) < 1:
        raise SourceError(f"{name} is an array {shape}; expected a volume (x, y, z), or several (x, y, z, t)")
    if shape[0] * shape[1] > MAX_PIXELS or math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise SourceError(f"{name} says it is an array {shape}; expected at most {MAX_BYTES} bytes")
    scaled = (float(image.dataobj.slope), float(image.dataobj.inter)) != (1, 0)  # nibabel takes them off the header
    return (*shape, 1)[: max(3, len(shape))], scaled
