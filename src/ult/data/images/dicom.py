"""The frames of a DICOM file, each an image of its own: the stored values, and nothing of the header but kept tags.

Grey is as stored, uint8, uint16 or int16 by its bits and sign: neither rescale slope and intercept nor a window is
applied, and MONOCHROME1 (low values are light) is not turned around. Frames of 1 bit become 0 and 255. Palettes are
looked up (to 8 bits if their colours have no more), and YBR becomes RGB, as pydicom does it. The decoders of compressed
files are plugins of pydicom; a transfer syntax that none of them reads is refused by its name.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ult.data import files
from ult.data.images import dicom_tag
from ult.data.images.image import MAX_PIXELS
from ult.data.images.scan import Head, Pixels, Scan, quiet
from ult.errors import EmptySource, SourceError
from ult.host.distribution import install
from ult.host.extras import require

MAX_INFLATED = 2**30  # bytes of a deflated file
_IMPLICIT, _EXPLICIT, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG, _END = "1.2.840.10008.1.2.4.", b"\xff\xd9"  # transfer syntaxes, and the marker that ends their pictures
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420")
_FRAME = 8  # the fewest bytes of a compressed frame: the header of its item
_RISKY = ("US", "SC", "OT", "ES", "XC", "GM", "DOC", "IVUS", "EPS")  # whose pictures often show names and dates
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"  # and the classes below it: secondary capture, pictures of screens

_NUMBERS = {
    "Rows": None,
    "Columns": None,
    "NumberOfFrames": 1,
    "SamplesPerPixel": 1,
    "BitsAllocated": None,
    "BitsStored": -1,
    "HighBit": -1,
    "PixelRepresentation": 0,
}  # and what they are if the header leaves them out; -1: as BitsAllocated says


def head(name: str) -> Head:
    """Return the number of frames and the header; raise `SourceError` if the frames cannot be read exactly."""
    with quiet("pydicom"):
        data = _read(name, pixels=False)
        return Head(_checked(name, data), opened, tuple(_remarks(data)), data)


def opened(name: str) -> Scan:
    """Return the frames of the file, which is held in memory."""
    return _Frames(name)


class _Frames(Scan):
    def __init__(self, name: str) -> None:
        self.name = name
        with quiet("pydicom"):
            self._data = _read(name, pixels=True)
            self.frames = _checked(name, self._data)
        if "PixelData" not in self._data:
            raise SourceError(f"{name} describes an image and holds no pixels")

    def pixels(self, i: int) -> Pixels:
        """Return frame `i`."""
        from pydicom.pixels.processing import apply_color_lut
        from pydicom.pixels.utils import pixel_array

        data, place = self._data, self.name if self.frames == 1 else f"{self.name}, frame {i + 1}"
        with quiet("pydicom"):
            try:
                self._check_end(i, place)
                pixels = pixel_array(data, index=i)
                if data.PhotometricInterpretation == "PALETTE COLOR":
                    pixels = _narrowed(apply_color_lut(pixels, data))
            except (MemoryError, SourceError):
                raise
            except Exception as error:
                raise _undecoded(place, data, error) from error
        shape = (int(data.Rows), int(data.Columns))
        if pixels.shape[:2] != shape or pixels.ndim > 3 or pixels.shape[2:] not in ((), (3,), (4,)):
            raise SourceError(f"{place} decodes to an array {pixels.shape}; its header says {shape}")
        if data.BitsAllocated == 1:
            return pixels.astype(np.uint8) * np.uint8(255)
        if pixels.dtype.kind == "i":
            return pixels.astype(np.int16)
        small = pixels.ndim == 2 and int(data.BitsStored) <= 8
        return pixels.astype(np.uint8 if small or pixels.dtype.itemsize == 1 else np.uint16)

    def _check_end(self, i: int, place: str) -> None:
        """Raise `SourceError` if a frame of the JPEG family is cut short: decoders fill what is missing with grey."""
        from pydicom.encaps import get_frame

        if not self._data.file_meta.TransferSyntaxUID.startswith(_JPEG):
            return
        frame = get_frame(self._data.PixelData, i, number_of_frames=self.frames)
        if not frame.rstrip(b"\0\xff").endswith(_END):
            raise SourceError(f"{place} is cut short: its picture has no end")


def _narrowed(pixels: Pixels) -> Pixels:
    """Return colours of 16 bits as 8 bits if their lower halves are 0, or copies of the upper: palettes are 8 bits."""
    upper, lower = pixels >> 8, pixels & 255
    if pixels.dtype == np.uint16 and (not lower.any() or bool((upper == lower).all())):
        return upper.astype(np.uint8)
    return pixels


def _read(name: str, *, pixels: bool) -> Any:
    """Return the dataset of a file; without `pixels`, that what lies before them."""
    with require("pydicom", extra="dicom"):
        import pydicom
    with files.open_file(name) as file:
        source: Any = io.BytesIO(files.read_bytes(name)) if pixels or files.is_url(name) else file
        try:
            meta = pydicom.filereader.read_partial(source, stop_when=lambda *_: True, force=True).file_meta
            if meta.get("TransferSyntaxUID") == _DEFLATED:
                _check_inflated(name)
            source.seek(0)
            data = pydicom.dcmread(source, force=True, stop_before_pixels=not pixels)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(f"{name} is not a DICOM file, or it is broken ({type(error).__name__})") from error
    if "SOPClassUID" not in data and "Rows" not in data:
        raise SourceError(f"{name} is not a DICOM file, or it is broken: it has no image and says no class")
    if "TransferSyntaxUID" not in data.file_meta:  # without a header of the file, as old devices write them
        implicit, little = data.original_encoding
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID(_IMPLICIT if implicit else _EXPLICIT if little else _BIG)
    return data


def _check_inflated(name: str) -> None:
    """Raise `SourceError` if a deflated file has more than `MAX_INFLATED` bytes, before they are all in memory."""
    data = files.read_bytes(name)
    stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    start = 144 + int.from_bytes(data[140:144], "little")  # after the preamble and the group of the file itself
    rest = data[start:]
    while rest:
        total += len(stream.decompress(rest, 2**20))
        rest = stream.unconsumed_tail
        if total > MAX_INFLATED:
            raise SourceError(f"{name} inflates to more than {MAX_INFLATED} bytes")


def _checked(name: str, data: Any) -> int:
    """Return the number of frames; raise `SourceError` unless the header describes images that are read exactly.

    Raises `EmptySource` for DICOM of another kind: a report, a plan, the index of a disc.
    """
    if "Rows" not in data or "Columns" not in data:
        raise EmptySource(f"{name} holds no image: it is {_class(data)}")
    numbers = {word: _number(name, data, word, default) for word, default in _NUMBERS.items()}
    rows, columns, frames, samples, allocated, stored, high, sign = numbers.values()
    kind = str(data.get("PhotometricInterpretation", "nothing"))
    if rows < 1 or columns < 1 or frames < 1 or rows * columns > MAX_PIXELS:
        raise SourceError(
            f"{name} says {frames} frames of {rows} x {columns}; expected at most {MAX_PIXELS} pixels in each"
        )
    if allocated not in (1, 8, 16):
        raise SourceError(
            f"{name} has {allocated} bits a pixel; expected 1 or 8 to 16", hint="it is no picture to code"
        )
    if not (1 <= stored <= allocated and high == stored - 1 and sign in (0, 1)) or (allocated > 1) != (stored > 1):
        raise SourceError(
            f"{name} says BitsStored {stored}, HighBit {high}, BitsAllocated {allocated}; they do not fit"
        )
    colour = samples == 3 and kind in _COLOURS and sign == 0
    if not colour and not (samples == 1 and kind in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")):
        raise SourceError(
            f"{name} has {samples} samples a pixel of {kind}; expected grey, a palette, RGB or YBR of three"
        )
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax != _DEFLATED:
        _check_decoder(name, syntax)
        least = frames * _FRAME
    else:
        least = frames * -(-rows * columns * samples * allocated // 8) if syntax != _DEFLATED else 0
    if kind == "YBR_FULL_422" and not syntax.is_compressed:
        least = least * 2 // 3
    if least > files.size(name):
        raise SourceError(
            f"{name} is cut short: its header says {least} bytes of pixels, and it has {files.size(name)}"
        )
    return frames


def _number(name: str, data: Any, word: str, default: int | None) -> int:
    value = data.get(word)
    try:
        if value is None and default == -1:
            return int(data.BitsAllocated) - (word == "HighBit")
        return int(value if value is not None else default)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SourceError(f"{name} has no whole number as {word}: {str(value)[:40]!r}") from None


def _check_decoder(name: str, syntax: Any) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise SourceError(f"{name} is compressed as {syntax.name}, which is not read") from None
    if not decoder.is_available:
        raise SourceError(
            f"{name} is compressed as {syntax.name}, whose decoders are not installed", hint=install("dicom")
        )


def _undecoded(place: str, data: Any, error: Exception) -> SourceError:
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return SourceError(f"{place} is broken: its pixels are not what its header says ({type(error).__name__})")
    return SourceError(
        f"{place} is compressed as {syntax.name}, of {data.BitsStored} bits, which no decoder here reads, or is broken",
        hint="dcmconv or gdcmconv --raw makes an uncompressed copy",
    )


def _class(data: Any) -> str:
    return getattr(data.get("SOPClassUID", ""), "name", "") or str(data.get("Modality", "of no class"))


def _remarks(data: Any) -> Iterator[str]:
    """Yield what the owner should know of a file, as sentences about several."""
    burnt, modality = str(data.get("BurnedInAnnotation", "")).upper(), str(data.get("Modality", ""))
    capture = str(data.get("SOPClassUID", "")).startswith(_CAPTURES)
    if burnt == "YES":
        yield "BurnedInAnnotation is YES: names or dates may stand in the picture itself"
    elif burnt != "NO" and (modality in _RISKY or capture):
        yield "BurnedInAnnotation is not said: pictures of such devices often show names and dates; look at them"
    slope, intercept = (data.get(word, neutral) for word, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
    if (slope, intercept) not in ((1, 0), (None, None)):
        yield "stored values are encoded: RescaleSlope and RescaleIntercept are not applied"
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        yield "MONOCHROME1: low values are light; they are encoded as stored"


def cell(name: str, data: Any, keyword: str) -> str | None:
    """Return the value of a tag as text, several joined by a backslash, or None if the header lacks it."""
    with quiet("pydicom"):
        return dicom_tag.text(name, data, keyword)
