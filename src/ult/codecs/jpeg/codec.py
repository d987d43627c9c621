"""`image/jpeg`: baseline JPEG files by their own levels, exactly: nothing is transformed or quantised again.

A file is read up to its levels, the quantised frequencies of blocks of 8 x 8, and these become symbols as those of
`image/dct` with `places` do, behind the size, the subsampling and the quantisation tables. What is decoded is a file
with the same of all these, so that any decoder shows the same pixels; its Huffman tables are those of the standard, and
it has no restart markers, no metadata, no profile and no thumbnail.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.dct.layout import MAX_BLOCK, MAX_PATCH, MOST_PLACES
from ult.codecs.grammar import Grammar
from ult.codecs.jpeg import picture, spelling
from ult.codecs.jpeg.grammar import JpegGrammar
from ult.codecs.jpeg.markers import has_more
from ult.codecs.jpeg.written import written
from ult.codecs.patches import Patches, Symbols
from ult.errors import CorruptSymbols, InvalidRecord


class ImageJpeg(Codec[bytes]):
    """Codec of JPEG files: baseline, Huffman-coded, 8 bits, grey or YCbCr, chroma as, or a half or quarter of, luma.

    Size, subsampling, quantisation tables and all levels are kept exactly, so the pixels are the same; what stands
    beside the picture is not (`has_more`). `max_length` is in samples, height * width * planes. Each block says in
    which of `places` x `places` parts of the image it lies, 1 to 8.
    """

    id: ClassVar[str] = "image/jpeg"
    modality: ClassVar[str] = "jpeg"
    lossless: ClassVar[bool] = False  # of the file; of its picture it is
    max_patch = MAX_PATCH

    def __init__(self, *, max_length: int = 2**26, places: int = 4) -> None:
        check_option("max_length", max_length, 1, 2**32)
        check_option("places", places, 1, MOST_PLACES)
        self.max_length, self.places = max_length, places
        self._layout = spelling.layout_of(places)
        self.alphabet = self._layout.alphabet
        self.max_symbols = MAX_BLOCK * (max_length // 8 + 4) + spelling.HEADER

    def encode(self, record: bytes) -> Patches:
        """Return the patches of a file; raise `InvalidRecord` if it is none, or of another kind of JPEG."""
        if not isinstance(record, bytes):
            raise InvalidRecord(f"record is {type(record).__name__}; expected the bytes of a JPEG file")
        return spelling.spelled(picture.read(record, self.max_length), self._layout)

    def decode(self, symbols: Symbols) -> bytes:
        """Return the file; raise `CorruptSymbols` unless the symbols spell all its blocks and no more."""
        symbols = self._check(symbols)
        found, good = spelling.read(symbols, self._layout, self.max_length)
        if not good[-1]:
            raise CorruptSymbols(f"{len(symbols)} symbols do not spell the {len(found.levels)} blocks of an image")
        return written(found)

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k that ends the mean or a non-zero level of the last block."""
        symbols = self._check(symbols)
        try:
            return np.flatnonzero(spelling.read(symbols, self._layout, self.max_length)[1])
        except CorruptSymbols:
            return np.empty(0, np.int64)

    def nbytes(self, record: bytes) -> int:
        """Return the number of bytes of the file."""
        return len(record)

    def has_more(self, record: bytes) -> bool:
        """Return whether the file holds what is not encoded: metadata, a profile, a comment, a thumbnail, more data."""
        return has_more(record)

    def grammar(self, values: int = 0) -> Grammar[Any]:
        """Return the grammar of a header, tables and the blocks that they announce."""
        return JpegGrammar(self._layout, self.max_length, self.max_symbols)

    def config(self) -> dict[str, Any]:
        """Return `max_length` and `places`."""
        return {"max_length": self.max_length, "places": self.places}
