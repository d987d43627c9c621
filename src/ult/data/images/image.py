"""Convert between image files and arrays.

An array is uint8, (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, or of grey with 16 bits uint16 or int16. Pixels are
taken as stored: no EXIF orientation and no colour profile is applied. Palettes, bilevel images and grey with alpha are
converted without loss; what cannot be (colour of 16 bits, CMYK, float, an animation) is refused. Of a JPEG with a
preview (MPO) the main picture is read.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ult.errors import InvalidRecord, OutputError, SourceError

Pixels = NDArray[Any]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # that Pillow reads
JPEG = (".jpeg", ".jpg")
LEFT_OUT = "--skip-unreadable leaves it out, and says so"  # what to type if a file of a folder cannot be read
MAX_PIXELS = 2**26  # 64 megapixels; a larger image is treated as a decompression bomb
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MODES = {"L": "L", "RGB": "RGB", "RGBA": "RGBA", "1": "L", "LA": "RGBA", "PA": "RGBA"}
_SAMPLES = 277  # the TIFF tag SamplesPerPixel: channels per pixel
_FORMAT = 339  # the TIFF tag SampleFormat: 2 for signed numbers
_PHOTOMETRIC = 262  # 0: white is 0, which Pillow turns around for 8 bits only
_SIGNED = ("I;16S", "I;16BS")
_DEEP = re.compile(r";(16|32|64)[BLNS]?$")


def to_pixels(data: bytes, place: str) -> Pixels:
    """Return the image in `data`; raise `SourceError`, naming `place`, if it is broken or its conversion is lossy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":
                    raise SourceError(f"{place} has {frames} frames; expected one", hint="save the frames as PNG")
                return exact(image, place)
    except SourceError:
        raise
    except Exception as error:  # Pillow raises many types for a broken image: SyntaxError, struct.error, ...
        raise SourceError(f"{place} is not an image that Pillow can read, or it is broken") from error


def check_jpeg(data: bytes, place: str) -> None:
    """Raise `SourceError`, naming `place`, unless `data` is a JPEG file that `image/jpeg` encodes."""
    from ult.codecs.jpeg.picture import read

    try:
        read(data, MAX_PIXELS)
    except InvalidRecord as error:
        raise SourceError(f"{place}: {error.what}", hint=error.hint) from error


def left_out(error: SourceError) -> SourceError:
    """Return the error for a file of a folder that cannot be read, with the option that leaves it out."""
    return SourceError(error.what, hint=f"{error.hint}; {LEFT_OUT}" if error.hint else LEFT_OUT)


def exact(image: Image.Image, place: str) -> Pixels:
    """Return the pixels of Pillow's image, at the frame where it is; raise `SourceError` if that would lose detail."""
    _check(image, place)
    raw = _raw(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and raw and raw[0] in _SIGNED):
        pixels = np.array(image)
        return pixels.astype(np.int16 if raw and raw[0] in _SIGNED else np.uint16)
    # Copy: Pillow may return a view of memory that it frees with the image.
    return np.array(image.convert(_target(image)))


def _raw(image: Image.Image) -> list[str]:
    """Return how the samples lie in the file, as Pillow calls it."""
    return [str(part) for tile in getattr(image, "tile", ()) for part in _flat(tile[3])]


def _check(image: Image.Image, place: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise SourceError(
            f"{place} is an image of {image.width} x {image.height}; expected at most {MAX_PIXELS} pixels"
        )
    raw = _raw(image)
    grey = image.mode.startswith("I;16") or (image.mode == "I" and bool(raw) and raw[0] in _SIGNED)
    if grey and not raw[0].startswith("I;12") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) != 0:
        if "transparency" in image.info:
            raise SourceError(f"{place} is grey of 16 bits with a transparent level", hint="save it without")
        return
    deep = any(_DEEP.search(part) for part in raw) and image.format != "BMP"
    if deep or (image.mode not in _MODES and image.mode != "P"):
        mode = "16 bits a channel" if deep or image.mode.startswith("I") else f"mode {image.mode}"
        raise SourceError(
            f"{place} has {mode}; expected 8 bits in grey, RGB or RGBA, or grey of 16 bits",
            hint="convert it to 8-bit PNG, or save 16 bits in colour as .npy",
        )
    samples = getattr(image, "tag_v2", {}).get(_SAMPLES, 1)
    if samples > len(image.getbands()):
        raise SourceError(
            f"{place} has {samples} channels, of which {len(image.getbands())} are colour or alpha; expected no more",
            hint="convert it to 8-bit PNG",
        )
    if image.mode == "L" and "transparency" in image.info and any(part in {"L;2", "L;4"} for part in raw):
        # Pillow 13 compares the transparent level before it is scaled to 8 bits, so nothing would be transparent.
        raise SourceError(f"{place} is grey of 2 or 4 bits with a transparent level", hint="convert it to 8-bit PNG")


def _flat(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _target(image: Image.Image) -> str:
    """Return the mode, among L, RGB and RGBA, that holds the image without loss."""
    if "transparency" in image.info or (image.mode == "P" and image.palette and "A" in image.palette.mode):
        return "RGBA"
    return "RGB" if image.mode == "P" else _MODES[image.mode]


def packed(pixels: Pixels) -> tuple[bytes, str]:
    """Return the image as a file, and its suffix: PNG, or TIFF for grey with negative values.

    Raises `OutputError` for colour of 16 bits, which neither holds.
    """
    if pixels.dtype == np.int16 and pixels.min() >= 0:
        pixels = pixels.astype(np.uint16)
    if pixels.dtype != np.uint8 and pixels.ndim != 2:
        raise OutputError(
            "an image is colour of 16 bits, which neither PNG nor TIFF holds", hint="a folder holds them, as .npy"
        )
    file = io.BytesIO()
    if pixels.dtype == np.int16:  # Pillow has no such mode: the same bits, and the tag that says that they are signed
        bits = Image.fromarray(pixels.view(np.uint16))
        bits.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo={_FORMAT: 2})
        return file.getvalue(), ".tif"
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), ".png"


def filed(pixels: Pixels | bytes) -> tuple[bytes, str]:
    """Return the image as a file of its own, and its suffix: as `packed`, and `.npy` for colour of 16 bits.

    What is a file already, a JPEG, is returned as it is.
    """
    if isinstance(pixels, bytes):
        return pixels, ".jpg"
    if pixels.dtype == np.uint8 or pixels.ndim == 2:
        return packed(pixels)
    file = io.BytesIO()
    np.save(file, pixels, allow_pickle=False)
    return file.getvalue(), ".npy"
