"""Which axes an array of images has, as it was asked for: nothing of it is guessed.

A layout is the letters n (images), h (rows), w (columns) and c (channels) in the order of the array's axes; without n
the array is one image. Floats from 0 to 1 need a factor: "nhw*255" multiplies by 255 and rounds, to uint8, and a factor
from 256 to 65535 to uint16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig, SourceError

_FORM = re.compile(r"([nhwc]+)(?:\*([1-9]\d{0,4}))?")
_STORED = ("u1", "u2", "i2")


@dataclass(frozen=True, slots=True)
class Layout:
    """The letters of the axes, and the factor of floats, 0 without one."""

    axes: str
    factor: int = 0

    @classmethod
    def of(cls, text: object) -> Self:
        """Return the layout that a text such as "nchw" or "hw*255" spells; raise `InvalidConfig` if it spells none."""
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        axes, factor = (found[1], int(found[2] or 0)) if found else ("", 0)
        if not {"h", "w"} <= set(axes) or len(set(axes)) != len(axes) or factor > 2**16 - 1:
            raise InvalidConfig(
                f"layout is {text!r}; expected the axes h and w, and n and c if there are any, in their order",
                hint="hwc, chw, nhw, nchw; and nhw*255 for floats from 0 to 1",
            )
        return cls(axes, factor)

    def check(self, place: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise `SourceError` unless an array of this shape and type holds such images."""
        if len(shape) != len(self.axes):
            raise SourceError(f"{place} is an array {shape}, and the layout {self.axes} has {len(self.axes)} axes")
        if "c" in self.axes and (channels := shape[self.axes.index("c")]) not in (1, 3, 4):
            raise SourceError(f"{place} is an array {shape}: {channels} channels by {self.axes}; expected 1, 3 or 4")
        if min(shape) < 1:
            raise SourceError(f"{place} is an array {shape}; expected no axis of 0")
        if dtype.kind == "f" and not self.factor:
            raise SourceError(
                f"{place} holds {dtype}; expected integers, or to be told what 1 stands for",
                hint=f"--layout '{self.axes}*255' for floats from 0 to 1",
            )
        if dtype.kind != "f" and (self.factor or dtype.str[1:] not in _STORED):
            expected = "floats" if self.factor else "uint8, uint16, int16 or floats"
            raise SourceError(f"{place} holds {dtype}; the layout {self} takes {expected}")

    def images(self, array: NDArray[Any], place: str, first: int = 0) -> NDArray[Any]:
        """Return the images (n, h, w) or (n, h, w, c), in native order; raise `SourceError` for a float beyond 0 to 1.

        `first` is the number of the first image, from 0, for the error.
        """
        order = [self.axes.index(letter) for letter in "nhwc" if letter in self.axes]
        images = array.transpose(order)
        images = images if "n" in self.axes else images[None]
        if not self.factor:
            return np.ascontiguousarray(images.astype(images.dtype.newbyteorder("="), copy=False))
        good = (images >= 0) & (images <= 1)
        if not good.all():
            at = np.argwhere(~good)[0]
            raise SourceError(
                f"{place}, image {first + int(at[0]) + 1}: a value is {images[tuple(at)]!s}; expected 0 to 1"
            )
        # Half a float32 would round by its own; float64 holds every product.
        return np.rint(images.astype(np.float64) * self.factor).astype(np.uint8 if self.factor < 256 else np.uint16)

    def __str__(self) -> str:
        return f"{self.axes}*{self.factor}" if self.factor else self.axes


def hint(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Return which layouts an array may have, as the option to type; the empty string if it holds no images."""
    if dtype.kind != "f" and dtype.str[1:] not in _STORED:
        return ""
    last, first = shape[-1:] in ((1,), (3,), (4,)), shape[-3:-2] in ((1,), (3,), (4,))
    colour = "nhwc" if last else "nchw"
    fitting = {2: ["hw"], 3: ["nhw", *(["hwc"] if last else []), *(["chw"] if first else [])], 4: [colour]}
    factor = "*255" if dtype.kind == "f" else ""
    options = [f"--layout '{axes}{factor}'" if factor else f"--layout {axes}" for axes in fitting.get(len(shape), [])]
    return " or ".join(options) + (", if 1 stands for 255" if factor and options else "")
