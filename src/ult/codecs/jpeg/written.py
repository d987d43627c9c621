"""A picture -> the JPEG file that has nothing beside it, with the Huffman tables of the standard and one scan."""

from __future__ import annotations

import numpy as np

from ult.codecs.jpeg.huffman import AC, DC, writing
from ult.codecs.jpeg.markers import APP0, DHT, DQT, EOI, SOI, SOS
from ult.codecs.jpeg.picture import Picture, grid_of
from ult.codecs.jpeg.scan import count, write_scan

_JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"  # version 1.1, square pixels of no size, no thumbnail
_BASELINE = 0xC0


def written(picture: Picture) -> bytes:
    """Return the file, which has the size, subsampling, steps and levels of the picture."""
    planes = len(picture.steps)
    tables = distinct(picture)
    frame = bytes([8]) + picture.height.to_bytes(2) + picture.width.to_bytes(2) + bytes([planes])
    scan = bytes([planes])
    for plane, table in enumerate(tables):
        sampling = 16 * picture.across + picture.down if plane == 0 else 0x11
        frame += bytes([plane + 1, sampling, table])
        scan += bytes([plane + 1, 0x11 if plane else 0x00])
    parts = [bytes([0xFF, SOI]), _segment(APP0, _JFIF)]
    for table in range(max(tables) + 1):
        steps = picture.steps[tables.index(table)]
        parts += [_segment(DQT, bytes([table, *steps.tolist()]))]
    parts.append(_segment(_BASELINE, frame))
    for number in range(min(planes, 2)):
        parts += [_segment(DHT, bytes([number]) + DC[number]), _segment(DHT, bytes([16 + number]) + AC[number])]
    return b"".join([*parts, _segment(SOS, scan + b"\0\x3f\0"), _data(picture), bytes([0xFF, EOI])])


def distinct(picture: Picture) -> list[int]:
    """Return the number of the table of each plane, where equal tables are one."""
    seen: list[bytes] = []
    numbers = []
    for steps in picture.steps:
        if (table := steps.tobytes()) not in seen:
            seen.append(table)
        numbers.append(seen.index(table))
    return numbers


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def _data(picture: Picture) -> bytes:
    grid = grid_of(picture.height, picture.width, picture.across, picture.down, len(picture.steps))
    units = -(-grid[0, 0] // picture.down) * -(-grid[0, 1] // picture.across)
    blocks = int(units) * (picture.across * picture.down + len(grid) - 1)
    # A block has at most 24 bits and a level 59, with the zeros before it; stuffing doubles them.
    out = np.empty(8 * blocks + 16 * count(picture.masks) + 16, np.uint8)
    args = (picture.levels, picture.masks, grid, picture.across, picture.down, writing(), out)
    return out[: write_scan(*args)].tobytes()
