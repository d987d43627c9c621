"""Images as records, hostile ones by name: arrays of 8 bits and of more, and JPEG files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def _images() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    images = {}
    for name, channels in (("grey", ()), ("rgb", (3,)), ("rgba", (4,))):
        for height, width in ((1, 1), (1, 70), (70, 1), (7, 9), (16, 16), (33, 31)):
            shape = (height, width, *channels)
            images[f"{name} {height}x{width} noise"] = rng.integers(0, 256, shape, np.uint8)
        shape = (17, 20, *channels)
        for level in (0, 1, 127, 255):
            images[f"{name} constant {level}"] = np.full(shape, level, np.uint8)
        images[f"{name} checkerboard"] = (np.indices(shape).sum(0) % 2 * 255).astype(np.uint8)
        images[f"{name} extremes"] = rng.integers(0, 2, shape, np.uint8) * np.uint8(255)
        images[f"{name} ramp"] = np.broadcast_to(np.arange(20, dtype=np.uint8).reshape(20, *[1] * len(channels)), shape)
    return images


def deep_images(low: int, high: int, dtype: type) -> dict[str, Any]:
    """Grey and colour images of stored values from `low` to `high`: noise, extremes, constants, ramps, odd sizes."""
    rng, found = np.random.default_rng(2), {}
    for height, width, *channels in ((1, 1), (1, 30), (30, 1), (7, 9), (16, 17), (9, 5, 3), (3, 11, 4)):
        shape = (height, width, *channels)
        found[f"{shape} noise"] = rng.integers(low, high + 1, shape).astype(dtype)
        found[f"{shape} extremes"] = (low + rng.integers(0, 2, shape) * (high - low)).astype(dtype)
        found[f"{shape} constant"] = np.full(shape, rng.integers(low, high + 1), dtype)
        found[f"{shape} ramp"] = (low + np.indices(shape).sum(0) * 7 % (high - low + 1)).astype(dtype)
    return found


IMAGES = _images()


def jpeg(pixels: Any, **options: Any) -> bytes:
    """Return a JPEG file, as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


JPEGS = {
    "grey": jpeg(IMAGES["grey 33x31 noise"], quality=95),
    "one pixel": jpeg(IMAGES["rgb 1x1 noise"]),
    "quarters": jpeg(IMAGES["rgb 33x31 noise"], quality=30, optimize=True),
    "halves": jpeg(IMAGES["rgb 1x70 noise"], subsampling="4:2:2", comment="not encoded"),
    "whole": jpeg(IMAGES["rgb 70x1 noise"], quality=100, subsampling="4:4:4"),
    "restarts": jpeg(IMAGES["rgb 33x31 noise"], restart_marker_blocks=1),
    "extremes": jpeg(IMAGES["rgb extremes"], quality=100, subsampling="4:4:4"),
    "constant": jpeg(IMAGES["rgb constant 255"]),
}
