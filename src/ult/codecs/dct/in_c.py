"""Images of 8 bits -> symbols by the kernel in C, which does what `transform` and `spelling` do, a tile at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import SCALE, WIDTH, Plane
from ult.codecs.dct.layout import Layout
from ult.codecs.patches import Patches
from ult.host import native

_UNFOLDED = 4 / 3  # sums that fold no mirror images have at most so many times the roundings that `Plane.doubt` counts
_USUAL = 8  # samples a symbol: room is taken as if there were no more symbols


class _Arrays(ctypes.Structure):
    """Numbers and addresses as C has them; the arrays live as long as this does."""

    def __init__(self, **fields: Any) -> None:
        kept = {name: np.ascontiguousarray(value) for name, value in fields.items() if isinstance(value, np.ndarray)}
        super().__init__(**fields | {name: array.ctypes.data for name, array in kept.items()})
        self._kept = kept


class _Plane(_Arrays):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("side", "kept")),
        *((name, ctypes.c_void_p) for name in ("forward", "inverse", "steps", "parts", "order")),
        *((name, ctypes.c_void_p) for name in ("zigzag", "quick", "back", "least")),
        *((name, ctypes.c_double) for name in ("doubt", "drift", "part")),
    ]


class _Layout(_Arrays):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("places", "levels", "fine", "digits")),
        *((name, ctypes.c_void_p) for name in ("band", "start", "far")),
    ]


class Encoder:
    """Writes images as the symbols of one codec."""

    def __init__(self, write: Any, luma: Plane, chroma: Plane, layout: Layout) -> None:
        """Prepare for a codec's planes and layout; `write` is `ult_image_symbols` of `ult.host.native`'s library."""
        self._write = write
        self._forms = (_plane(luma), _plane(chroma), _layout(layout))

    def encode(self, images: Sequence[NDArray[np.uint8]], *, plain: bool = False) -> Patches:
        """Return the patches of contiguous images (h, w, channels). Raises `MemoryError`.

        With `plain`, no instruction is used that a processor may lack.
        """
        addresses = np.array([image.ctypes.data for image in images], np.uintp)
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 3)
        sizes = shapes.prod(1)
        usual = int(sizes.sum() + 2 * sizes.max(initial=0)) // _USUAL + 64
        symbols, ends = np.empty(usual, np.uint32), np.empty(usual // 4, np.int64)
        records, used = np.empty(len(images), np.int64), np.zeros(2, np.int64)
        forms, done = [ctypes.byref(form) for form in self._forms], 0
        while done < len(images):
            told = (*map(_at, (addresses, shapes)), *map(ctypes.c_int64, (done, len(images))))
            room = (_at(symbols), ctypes.c_int64(len(symbols)), _at(ends), ctypes.c_int64(len(ends)))
            before = done
            done = self._write(*forms, *told, *room, _at(used), _at(records), ctypes.c_int(plain))
            if done < 0:
                raise MemoryError
            if done == before or done < len(images):
                symbols, ends = _grown(symbols, int(used[0])), _grown(ends, int(used[1]))
        return Patches(symbols[: used[0]], ends[: used[1]], records)


def encoder(luma: Plane, chroma: Plane, layout: Layout) -> Encoder | None:
    """Return the encoder for a codec's planes and layout, None where the kernel was not built."""
    write = getattr(native.library(), "ult_image_symbols", None)
    if write is None:
        return None
    write.restype = ctypes.c_int64
    return Encoder(write, luma, chroma, layout)


def _plane(plane: Plane) -> _Plane:
    zigzag = np.zeros(64, np.uint8)
    zigzag[plane.order] = np.arange(len(plane.order))
    doubt = plane.doubt * _UNFOLDED
    least = plane.least.reshape(8, WIDTH)[:, :8] - np.float32(doubt - plane.doubt)
    return _Plane(
        side=plane.side,
        kept=len(plane.steps),
        forward=plane.forward,
        inverse=plane.inverse,
        steps=plane.steps.astype(np.int64),
        parts=np.ceil(2.0**43 / plane.steps).astype(np.uint64),
        order=plane.order,
        zigzag=zigzag,
        quick=plane.quick,
        back=(plane.inverse * SCALE).astype(np.float32),
        least=least,
        doubt=doubt,
        drift=plane.drift,
        part=plane.parts[0],
    )


def _layout(layout: Layout) -> _Layout:
    names = ("places", "levels", "fine", "digits", "band", "start", "far")
    return _Layout(**{name: getattr(layout, name) for name in names})


def _at(values: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)


def _grown(array: Any, used: int) -> Any:
    larger = np.empty(2 * len(array), array.dtype)
    larger[:used] = array[:used]
    return larger
