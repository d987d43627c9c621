"""The kind of each field."""

from __future__ import annotations

from typing import Any

from ult.codecs.image import ImageDct
from ult.codecs.molecule import MoleculeSmiles
from ult.codecs.record.child import Child
from ult.codecs.record.dated import Date
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Kind
from ult.codecs.record.numeric import Number
from ult.codecs.record.texts import Category, Items, Marks, Text
from ult.codecs.series import SeriesMulaw

_KINDS: dict[str, type[Kind]] = {
    "number": Number,
    "category": Category,
    "date": Date,
    "text": Text,
    "list": Items,
    "rows": Marks,
}
_CODECS: dict[str, Any] = {"image": ImageDct, "series": SeriesMulaw, "molecule": MoleculeSmiles}


def kind_of(field: Field, marker: int, offset: int, wanted: int) -> Kind:
    """Return the kind of a field; the symbols of a codec of its own begin at `offset`.

    `wanted` is how many bytes of a category the number after it needs to know. Raises `InvalidConfig`.
    """
    if field.kind in _CODECS:
        try:
            return Child(field, marker, _CODECS[field.kind](**field.options), offset)
        except TypeError:
            raise field.wrong(f"options are {dict(field.options)!r:.80}, which {field.kind} has not") from None
    kind = _KINDS[field.kind](field, marker)
    if isinstance(kind, Category):
        kind.wanted = wanted
    return kind
