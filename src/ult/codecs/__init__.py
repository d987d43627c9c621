"""Record <-> symbols, one modality a file; `CODECS` finds a codec by its id."""

from typing import Any

from ult.codecs.base import Codec
from ult.codecs.bwt import TextBwt
from ult.codecs.image import ImageDct
from ult.codecs.jpeg import ImageJpeg
from ult.codecs.levels import SeriesLevels
from ult.codecs.molecule import MoleculeSmiles
from ult.codecs.record import RecordColumns
from ult.codecs.series import SeriesMulaw
from ult.codecs.text import TextBytes
from ult.errors import UnknownCodec

CODECS: dict[str, type[Codec[Any]]] = {
    codec.id: codec
    for codec in (
        TextBytes,
        TextBwt,
        ImageDct,
        ImageJpeg,
        SeriesMulaw,
        SeriesLevels,
        MoleculeSmiles,
        RecordColumns,
    )
}


def codec_class(name: str) -> type[Codec[Any]]:
    """Return the codec class with the id `name`; raise `UnknownCodec` if there is none."""
    if name not in CODECS:
        raise UnknownCodec(f"no codec {name!r}; expected one of {', '.join(CODECS)}")
    return CODECS[name]
