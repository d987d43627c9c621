"""Read files packed by gzip as a stream, so that a small file that unpacks to a huge one is refused, not unpacked."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ult.data import files
from ult.data.rows import existing
from ult.errors import SourceError

SUFFIX, _MARK = ".gz", b"\x1f\x8b"
ALWAYS = 2**28  # bytes: so many are unpacked whatever the file's own size
MOST = 200  # beyond that, bytes unpacked for each byte packed; DNA and signals need 3 to 10, deflate can reach 1,032


@contextmanager
def open_plain(name: str) -> Iterator[IO[bytes]]:
    """Yield the content of a file for reading, unpacked if its name ends in `.gz`.

    Reading raises `SourceError` if the file is no gzip file, is damaged or cut short, or unpacks to more than `ALWAYS`
    bytes and `MOST` times its size.
    """
    with files.open_file(existing(name)) as file:
        if files.suffix(name) != SUFFIX:
            yield file
            return
        if file.read(len(_MARK)) != _MARK:
            raise SourceError(f"{name} is not packed by gzip, whatever its name ends in")
        file.seek(0)
        with io.BufferedReader(_Unpacked(name, file), 2**20) as unpacked:
            yield unpacked


class _Unpacked(io.RawIOBase):
    """The content of a gzip file."""

    def __init__(self, name: str, packed: IO[bytes]) -> None:
        self._name, self._packed = name, packed
        self._file = gzip.GzipFile(fileobj=packed, mode="rb")
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            length = self._file.readinto(buffer)
        except EOFError:
            raise SourceError(f"{self._name} is cut short: it ends inside packed data") from None
        except (gzip.BadGzipFile, zlib.error):
            raise SourceError(f"{self._name} is damaged: it does not unpack to its end") from None
        self._size += length
        if self._size > max(ALWAYS, MOST * self._packed.tell()):
            raise SourceError(
                f"{self._name} unpacks to over {MOST} times its size; expected sequences, molecules or signals",
                hint="gunzip -k unpacks it, if it is what it should be and the disk has room",
            )
        return length
