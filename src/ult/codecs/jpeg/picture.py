"""What a JPEG file holds of its picture: size, subsampling, quantisation steps and levels; read from a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Bits, Levels
from ult.codecs.jpeg.huffman import Table, reading
from ult.codecs.jpeg.markers import ADOBE, APP0, COM, DHT, DNL, DQT, DRI, EOI, SOS, refused, segments
from ult.codecs.jpeg.scan import MOST_BLOCK, OKAY, WHY, read_scan, unstuffed
from ult.codecs.patches import Ends

SAMPLINGS = ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (2, 4))  # blocks of luma to one of chroma
_BASELINE = (0xC0, 0xC1)
_OTHERS = {
    0xC2: "progressive", 0xC3: "lossless", 0xC5: "differential", 0xC6: "differential progressive",
    0xC7: "differential lossless", 0xC9: "arithmetically coded", 0xCA: "arithmetically coded, progressive",
    0xCB: "arithmetically coded, lossless", 0xCC: "arithmetically coded", 0xCD: "arithmetically coded, differential",
    0xCE: "arithmetically coded, progressive", 0xCF: "arithmetically coded, lossless", 0xDE: "hierarchical",
    0xDF: "hierarchical",
}  # fmt: skip


class Picture(NamedTuple):
    """A picture of one plane, grey, or three, Y, Cb and Cr.

    `across` and `down` are the blocks of Y to one of Cb, (1, 1) if it is grey. `steps` (planes, 64) int64 are 1 to 255
    and, like `levels` (blocks, 64) int16, in zigzag order; `masks` (blocks,) uint64 say which levels, but of the mean,
    are not 0. The blocks are those of each plane in turn, row by row, without those that only fill a unit.
    """

    height: int
    width: int
    across: int
    down: int
    steps: NDArray[np.int64]
    levels: Levels
    masks: Bits


def grid_of(height: int, width: int, across: int, down: int, planes: int) -> Ends:
    """Return rows and columns of blocks of each plane, (planes, 2)."""
    chroma = [-(-height // (8 * down)), -(-width // (8 * across))]
    return np.array([[-(-height // 8), -(-width // 8)], chroma, chroma][:planes], np.int64)


def read(file: bytes, max_length: int) -> Picture:
    """Return the picture of a file; raise `InvalidRecord` unless it is baseline, grey or YCbCr, and whole."""
    reader = _Reader(max_length)
    for segment in segments(file):
        reader.take(segment.marker, segment.body, segment.data)
    return reader.picture()


class _Plane(NamedTuple):
    name: int
    across: int
    down: int
    steps: int  # the number of the table


class _Reader:
    """Takes the segments of a file one by one."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.planes: list[_Plane] = []
        self.interval = 0
        self.steps: dict[int, NDArray[np.int64]] = {}
        self.used: dict[int, NDArray[np.int64]] = {}  # of each plane, by its number, once its scan was read
        self.tables: dict[int, Table] = {}  # by class and number, as the file has them
        self.jfif, self.adobe = False, -1

    def take(self, marker: int, body: bytes, data: bytes) -> None:
        if marker == SOS:
            self._scan(body, data)
        elif marker in _BASELINE:
            self._frame(body)
        elif marker == DQT:
            self.steps |= _quantisation(body)
        elif marker == DHT:
            self.tables |= _huffman(body)
        elif marker == DRI:
            if len(body) != 2:
                raise refused("JPEG has a restart interval of another length than 2 bytes")
            self.interval = int.from_bytes(body)
        elif marker == APP0 and body[:5] == b"JFIF\0":
            self.jfif = True
        elif marker == ADOBE and body[:5] == b"Adobe" and len(body) >= 12:
            self.adobe = body[11]
        elif marker in _OTHERS:
            raise refused(f"JPEG is {_OTHERS[marker]}; expected a baseline one")
        elif marker == DNL or not (APP0 <= marker <= 0xEF or marker in (COM, EOI)):
            raise refused(f"JPEG has a segment {marker:02X}, which a baseline one has not")

    def picture(self) -> Picture:
        """Return what was read; raise `InvalidRecord` if a plane is missing."""
        if not self.planes:
            raise refused("JPEG has no frame; expected one")
        if missing := len(self.planes) - len(self.used):
            raise refused(f"JPEG has no scan of {missing} of its {len(self.planes)} planes; expected all")
        steps = np.stack([self.used[plane] for plane in range(len(self.planes))])
        return Picture(self.height, self.width, *self.ratio, steps, self.levels[:-1], self.masks[:-1])

    def _frame(self, body: bytes) -> None:
        if self.planes or len(body) < 6 or len(body) != 6 + 3 * body[5]:
            raise refused("JPEG has two frames, or one that is cut short; expected one")
        bits, self.height, self.width, planes = body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]
        if bits != 8:
            raise refused(f"JPEG has {bits} bits a sample; expected 8")
        if planes not in (1, 3):
            raise refused(f"JPEG has {planes} planes{' (CMYK)' * (planes == 4)}; expected 1 or 3")
        if not self.height * self.width:
            raise refused(f"JPEG is {self.height} x {self.width}; expected no 0")
        if self.height * self.width * planes > self.max_length:
            raise refused(
                f"JPEG is {self.height} x {self.width} x {planes}; expected at most {self.max_length} samples"
            )
        found = [_Plane(body[k], body[k + 1] >> 4, body[k + 1] & 15, body[k + 2]) for k in range(6, len(body), 3)]
        if len({plane.name for plane in found}) < planes:
            raise refused("JPEG has two planes of one name")
        self.ratio = _ratio(found)
        self.planes = found

    @cached_property
    def grid(self) -> Ends:
        return grid_of(self.height, self.width, *self.ratio, len(self.planes))

    @cached_property
    def blocks(self) -> list[int]:
        return [rows * columns for rows, columns in self.grid.tolist()]

    @cached_property
    def levels(self) -> Levels:  # one block more, for those that only fill a unit
        return np.zeros((sum(self.blocks) + 1, 64), np.int16)

    @cached_property
    def masks(self) -> Bits:
        return np.zeros(len(self.levels), np.uint64)

    def _scan(self, body: bytes, data: bytes) -> None:
        if not self.planes or not body or len(body) != 4 + 2 * body[0] or not 0 < body[0] <= len(self.planes):
            raise refused("JPEG has a scan before its frame, or one that is cut short")
        if body[-3:] != b"\0\x3f\0":
            raise refused("JPEG has a scan of some levels; expected all, as a baseline one has")
        if self.jfif is False and (self.adobe == 0 or (self.adobe < 0 and self._names == b"RGB")):
            raise refused("JPEG has planes of red, green and blue; expected grey or YCbCr")
        parts: list[list[int]] = []
        tables: list[Table] = []
        for name, chosen in zip(body[1:-3:2], body[2:-3:2], strict=True):
            k = self._names.find(name)
            if k < 0 or k in self.used:
                raise refused("JPEG has a scan of a plane that it has not, or had already")
            plane = self.planes[k]
            self.used[k] = self._wanted(self.steps, plane.steps, "quantisation")
            parts.append([k, sum(self.blocks[:k]), plane.across, plane.down, len(tables), len(tables) + 1])
            tables += [self._wanted(self.tables, number, "Huffman") for number in (chosen >> 4, 16 | chosen & 15)]
        if len(parts) > 1 and sum(part[2] * part[3] for part in parts) > 10:
            raise refused("JPEG has a scan with units of more than 10 blocks")
        blocks = sum(self.blocks[part[0]] for part in parts)
        if blocks > 4 * len(data):  # a block has two codes; checked before memory is taken for them
            raise refused(f"JPEG has a scan of {len(data):,} bytes; expected more for {blocks:,} blocks")
        self._read(np.array(parts, np.int64), np.stack(tables), data)

    def _read(self, parts: NDArray[np.int64], tables: Table, data: bytes) -> None:
        runs = 1
        if self.interval:
            plane, alone = parts[0], len(parts) == 1
            rows, columns = self.grid[plane[0]]
            units = rows * columns if alone else -(-rows // plane[3]) * -(-columns // plane[2])
            runs = int(-(-units // self.interval))
        clean, stops = np.empty(len(data) + MOST_BLOCK, np.uint8), np.zeros(runs, np.int64)
        wrong = unstuffed(np.frombuffer(data, np.uint8), clean, stops)
        if wrong == OKAY:
            before = np.zeros(len(parts), np.int64)
            wrong = read_scan(clean, stops, self.interval, parts, self.grid, tables, self.levels, self.masks, before)
        if wrong != OKAY:
            raise refused(f"JPEG has {WHY[wrong]}")

    @property
    def _names(self) -> bytes:
        return bytes(plane.name for plane in self.planes)

    @staticmethod
    def _wanted(tables: dict[int, Any], number: int, what: str) -> Any:
        if number not in tables:
            raise refused(f"JPEG has a scan by {what} table {number & 15}, which does not come before it")
        return tables[number]


def _ratio(planes: list[_Plane]) -> tuple[int, int]:
    """Return the blocks of Y to one of Cb, across and down; raise `InvalidRecord` for another subsampling."""
    luma, *chroma = [(plane.across, plane.down) for plane in planes]
    inside = all(1 <= factor <= 4 for pair in (luma, *chroma) for factor in pair)
    if inside and not chroma:
        return 1, 1
    if inside and chroma[0] == chroma[1]:
        ratio = luma[0] // chroma[0][0], luma[1] // chroma[0][1]
        if ratio in SAMPLINGS and (ratio[0] * chroma[0][0], ratio[1] * chroma[0][1]) == luma:
            return ratio
    told = ", ".join(f"{across} x {down}" for across, down in [luma, *chroma])
    raise refused(f"JPEG has planes sampled {told}; expected both of chroma as, or a half or quarter of, luma")


def _quantisation(body: bytes) -> dict[int, NDArray[np.int64]]:
    """Return the quantisation tables of a segment by their numbers."""
    found, at = {}, 0
    while at < len(body):
        if body[at] > 3 or at + 65 > len(body):
            raise refused("JPEG has a quantisation table of 16 bits, or one that is cut short; expected 64 bytes")
        found[body[at]] = np.frombuffer(body, np.uint8, 64, at + 1).astype(np.int64)
        if not found[body[at]].all():
            raise refused("JPEG has a quantisation step of 0")
        at += 65
    return found


def _huffman(body: bytes) -> dict[int, Table]:
    """Return the Huffman tables of a segment by their numbers, 16 more for those that are not of means."""
    return dict(_tables(body))


def _tables(body: bytes) -> Iterator[tuple[int, Table]]:
    at = 0
    while at < len(body):
        end = at + 17 + sum(body[at + 1 : at + 17])
        if body[at] & 0xEC or at + 17 > len(body) or end > len(body) or end - at > 17 + 256:
            raise refused("JPEG has a Huffman table that is cut short")
        if body[at] < 16 and max(body[at + 17 : end], default=0) > 15:
            raise refused("JPEG has a Huffman table of means with a size beyond 15 bits")
        yield body[at], reading(body[at + 1 : end])
        at = end
