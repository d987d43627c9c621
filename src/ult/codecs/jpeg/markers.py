"""The segments of a JPEG file: what stands between its markers, and which of them are beside the picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ult.errors import InvalidRecord

SOI, EOI, SOS, DQT, DHT, DRI, DNL, COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xDC, 0xFE
APP0, ADOBE = 0xE0, 0xEE
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length, which stand nowhere but within the data of a scan
_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # what ends the data of a scan


class Segment(NamedTuple):
    """A marker, what its length spans, and the data behind it: those of a scan, or all that follows the end marker."""

    marker: int
    body: bytes
    data: bytes = b""

    @property
    def is_beside(self) -> bool:
        """Whether it holds what is no part of the picture: metadata, a profile, a comment, a thumbnail, more data."""
        if self.marker == EOI:
            return bool(self.data)
        if self.marker == APP0 and self.body[:5] == b"JFIF\0":
            return len(self.body) != 14
        if self.marker == ADOBE and self.body[:5] == b"Adobe":
            return len(self.body) != 12
        return APP0 <= self.marker <= 0xEF or self.marker == COM


def refused(what: str) -> InvalidRecord:
    """Return the error for a file that is not read, with what to type instead."""
    encoded = "--codec image/dct encodes the pixels of such files"
    return InvalidRecord(what, hint=f"{encoded}; of a folder, --skip-unreadable leaves them out")


def segments(file: bytes) -> Iterator[Segment]:
    """Yield the segments of a file up to its end marker; raise `InvalidRecord` where there is none."""
    if file[:2] != b"\xff\xd8":
        raise refused("record does not begin as a JPEG file; expected FF D8")
    at = 2
    while True:
        start = at
        while file[at : at + 2] == b"\xff\xff":
            at += 1
        if len(file) < at + 2:
            raise refused(f"JPEG ends after {len(file):,} bytes; expected its end marker")
        marker = file[at + 1]
        if file[at] != 0xFF or marker in (0x00, SOI, *_ALONE):
            raise refused(f"JPEG has no marker at byte {start:,}; expected one")
        at += 2
        if marker == EOI:
            yield Segment(marker, b"", file[at:])
            return
        length = int.from_bytes(file[at : at + 2])
        if length < 2 or at + length > len(file):
            raise refused(f"JPEG has a segment of {length:,} bytes at byte {start:,}, which the file does not hold")
        body, at = file[at + 2 : at + length], at + length
        if marker != SOS:
            yield Segment(marker, body)
            continue
        found = _NEXT.search(file, at)
        if found is None:
            raise refused(f"JPEG ends after {len(file):,} bytes, within a scan; expected its end marker")
        yield Segment(marker, body, file[at : found.start()])
        at = found.start()


def has_more(file: bytes) -> bool:
    """Return whether a file holds anything beside its picture."""
    return any(segment.is_beside for segment in segments(file))
