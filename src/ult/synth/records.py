"""The records that a synthesis learns from: how they are read, and what is taken as known of them without looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.codecs import codec_class
from ult.codecs.base import Codec
from ult.codecs.record.field import Field
from ult.data import Source
from ult.data.columns.schema import Schema
from ult.data.rows import listed
from ult.errors import InvalidConfig
from ult.owner import fields
from ult.owner.inputs import Inputs, named, opened, texts

_BY_SUFFIX = {
    ".txt": "text/bytes",
    ".csv": fields.CODEC,
    ".tsv": fields.CODEC,
    ".data": fields.CODEC,
    ".parquet": fields.CODEC,
    ".jsonl": fields.CODEC,
    ".ndjson": fields.CODEC,
    ".xlsx": fields.CODEC,
    ".arrow": fields.CODEC,
    ".feather": fields.CODEC,
    ".sdf": "molecule/smiles",
    ".png": "image/dct",
}
_EVENTS = ("meds:", "fhir:", "omop:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a caller says of the records, as `ult.fit` takes it."""

    inputs: Inputs
    codec: str | None = None
    options: Mapping[str, float] | None = None
    column: str | Sequence[str] | None = None
    schema: Schema | str | Path | None = None
    unit: str = ""
    drop: Sequence[str] = ()
    forms: Mapping[str, str] | None = None
    encode_identifier: Sequence[str] = ()
    canonical: bool = False
    reading: Mapping[str, str | float] | None = None
    bins: int | None = None
    patches_per_record: int | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The records, opened: `layout` is their schema, None unless they have fields."""

    said: Reading
    codec: str
    source: Source
    layout: Schema | None
    told: tuple[str, ...] = ()

    @classmethod
    def open(cls, said: Reading, *, private: bool, first: str = "") -> Records:
        """Open the records; with `private` nothing of them is looked at but names and types of columns.

        `first` names the field that comes first in each record. Raises `InvalidConfig` or `SourceError`.
        """
        codec = said.codec or usual_codec(said.inputs)
        kind, told, layout = codec_class(codec), list[str](), None
        check_grammar(kind)
        forms, domains = split(said.forms or {})
        if codec == fields.CODEC:
            layout = fields.decided(
                named(said.inputs),
                schema=said.schema,
                unit=said.unit,
                drop=texts(said.drop),
                column=texts(said.column) if said.column is not None else [],
                forms=forms,
                encode_identifier=texts(said.encode_identifier),
                private=private,
                bins=said.bins,
                notice=told.append,
                reading=said.reading,
            )
            layout = plain_numbers(layout) if private and said.schema is None else layout
            known = {name: cells for name, cells in layout.domains.items() if name != first}  # whose cells are labels
            layout = replace(layout, domains={**known, **domains})
            layout = with_first(layout, first) if first else layout
        elif others := [
            name for name in ("schema", "unit", "drop", "forms", "encode_identifier", "bins") if getattr(said, name)
        ]:
            raise InvalidConfig(
                f"{others[0]} is for records of fields, which {codec} does not take", hint=f"--codec {fields.CODEC}"
            )
        column = None if layout or said.column is None else texts(said.column)
        if column is not None and len(column) > 1:
            raise InvalidConfig(f"{len(column)} columns are given; expected one", hint=f"--codec {fields.CODEC}")
        more: dict[str, Any] = {"canonical": said.canonical, "reading": said.reading, "schema": layout}
        source = opened(said.inputs, modality=kind.modality, column=column[0] if column else None, **more)
        return cls(said, codec, source, layout, tuple(told))

    @property
    def declared(self) -> Mapping[str, tuple[str, ...]]:
        """The cells of columns that forms declare, by name; a schema may know those of more."""
        return split(self.said.forms or {})[1]

    def without_domains(self) -> Records:
        """Return the same records, of whose cells nothing is taken as known; `told` says so."""
        if self.layout is None or not self.layout.domains:
            return self
        told = f"the schema says what cells {listed(list(self.layout.domains))} may have, which only marginals use"
        return replace(self, layout=replace(self.layout, domains={}), told=(*self.told, told))

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of records; none for other codecs."""
        return self.layout.fields if self.layout else ()

    @property
    def unit(self) -> str:
        """The column whose rows of one value are one record; empty if a record is a record."""
        return self.layout.unit if self.layout else ""

    def of_fit(self, *, private: bool) -> dict[str, Any]:
        """Return the arguments of `ult.fit` that say how the records are read."""
        said = self.said
        found: dict[str, Any] = {"codec": self.codec, "options": said.options, "canonical": said.canonical}
        found |= {"reading": said.reading, "patches_per_record": said.patches_per_record}
        if self.layout is None:
            return found | {"column": said.column}
        return found | {"schema": self.layout, "bins": said.bins if private else None}

    def of_encode(self) -> dict[str, Any]:
        """Return the arguments of `ult.encode` that say how the records are read."""
        column = None if self.layout or self.said.column is None else texts(self.said.column)[0]
        return {"canonical": self.said.canonical, "reading": self.said.reading, "column": column}

    def known(self) -> list[str]:
        """Return sentences on what of the records is taken as public, or was declared."""
        if self.layout is None:
            return [f"the codec {self.codec} and its options"]
        which = "a schema" if self.said.schema is not None else "the kind of each column"
        cells = [f"what cells {name!r} may have" for name in self.layout.domains]
        return [f"{one}, which the owner declared" for one in (f"names and types of columns, and {which}", *cells)]


def split(forms: Mapping[str, str]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the kind or form of each column, and the cells of those that say which there may be.

    >>> split({"sex": "category:f|m", "age": "number:0..120|?", "note": "text"})
    ({'sex': 'category', 'age': 'number', 'note': 'text'}, {'sex': ('f', 'm'), 'age': ('0..120', '?')})
    """
    parts = {name: form.partition(":") for name, form in forms.items()}
    cells = {name: tuple(rest.split("|")) for name, (_, mark, rest) in parts.items() if mark}
    return {name: form for name, (form, _, _) in parts.items()}, cells


def usual_codec(inputs: Inputs) -> str:
    """Return the codec that inputs of such names are read by, if none is said. Raises `InvalidConfig`."""
    name = named(inputs)[0]
    if name.startswith(_EVENTS):
        return fields.CODEC
    found = _BY_SUFFIX.get(Path(name).suffix.lower())
    if found is None:
        raise InvalidConfig(
            f"{name:.80} does not tell what its records are; expected to be told the codec",
            hint="--codec image/dct, series/mulaw, series/levels, molecule/smiles, text/bytes or record/columns",
        )
    return found


def check_grammar(kind: type[Codec[Any]]) -> None:
    """Raise `InvalidConfig` for a codec without a grammar: what a model writes by it may not decode."""
    if kind.grammar is Codec.grammar:
        raise InvalidConfig(
            f"{kind.id} has no grammar, so not all that a model writes would be a record", hint="--codec text/bytes"
        )


def plain_numbers(layout: Schema) -> Schema:
    """Return a schema that nobody wrote down with numbers in plain digits alone: 1e5 is for a `schema` that allows it.

    A number stays in its bin, whoever writes it. With an exponent it does so in any number of digits, which a run that
    has learnt little makes use of.
    """

    def plain(one: Field) -> Field:
        inner = tuple(map(plain, one.fields))
        return replace(one, exponent=False) if one.kind == "number" else replace(one, fields=inner)

    return replace(layout, fields=tuple(map(plain, layout.fields)))


def with_first(layout: Schema, name: str) -> Schema:
    """Return a schema whose records begin with the field `name`; its columns stay in their order.

    Raises `InvalidConfig` if no record has one cell of that name.
    """
    places = [k for k, one in enumerate(layout.fields) if one.name == name and not one.fields]
    if not places:
        have = ", ".join(one.name for one in layout.fields if not one.fields) or "none"
        raise InvalidConfig(f"records have no single cell {name!r}; they have one of: {have}")
    (k,) = places
    found = layout.fields
    if k + 1 < len(found) and found[k + 1].by == name:
        raise InvalidConfig(f"{name!r} is what the bins of {found[k + 1].name!r} depend on; expected another column")
    moved = replace(found[k], by="", edges_by={})
    return replace(layout, fields=(moved, *found[:k], *found[k + 1 :]))
