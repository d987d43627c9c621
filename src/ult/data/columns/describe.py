"""Describe the columns of files, and infer the schema by which their rows become records of fields."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ult.codecs.cells import Cells
from ult.codecs.record.field import DATE_FORMS, Field
from ult.data import record
from ult.data.cells import has_text
from ult.data.columns import arrays, describe_tables, event_schema, identifier, looks, measure, tally
from ult.data.columns.bins import BINS, CHOICES
from ult.data.columns.codebook import domains
from ult.data.columns.constant import Constant
from ult.data.columns.describe_tables import Part
from ult.data.columns.infer import SHARED, Reading, infer
from ult.data.columns.repeated import with_carried
from ult.data.columns.schema import Schema
from ult.data.columns.tally import Tally
from ult.data.composed import grouped
from ult.data.composed.fields import arrays_of, column, texts
from ult.data.opening import open_inputs
from ult.data.reading import Reading as FileReading
from ult.data.rows import Chunk, Rows, listed
from ult.data.text import JsonlRows
from ult.errors import InvalidConfig, SourceError
from ult.host import arguments
from ult.host.shown import Facts, Shown

ANSWERS = "a kind (image and series: its cells name files), a decimal mark (. or ,), or a date form such as d/m/Y"


@dataclass(frozen=True, slots=True)
class Described:
    """What a column holds: its suggested `kind` ("" if it cannot be encoded) and what speaks for it.

    `low` and `high` are the smallest and largest number or date. `example` is masked. `identifier` says why the column
    looks like it says who somebody is, else it is empty; `tells` says what else it tells of that, such as a place, and
    `inside` counts cells of free text that hold what may be of people, of `looked` at. `readings` are answers of which
    one has to be chosen; `files` is "image" or "series" if the cells look like names of such files. `why` says why the
    column has not the kind that most of its cells have, with the `place` of the first that is in the way.
    """

    name: str
    type: str
    kind: str
    rows: int
    missing: int = 0  # cells: null, empty, or a text that says so
    spelled: tuple[str, ...] = ()  # those texts
    distinct: int = 0  # different texts, without the missing ones
    exact: bool = True
    low: str = ""
    high: str = ""
    example: str = ""
    identifier: str = ""
    tells: str = ""
    inside: tuple[tuple[str, int], ...] = ()
    looked: int = 0
    readings: tuple[str, ...] = ()
    files: str = ""
    why: str = ""
    place: str = ""

    @property
    def remark(self) -> str:
        """What its owner has to answer, or should know, in one sentence; or ""."""
        if self.readings:
            answers = " or ".join(f"--form {shlex.quote(f'{self.name}={reading}')}" for reading in self.readings)
            return f"{self.name!r} can be read in two ways ({self.why}): {answers}"
        if self.files:
            asked = shlex.quote(f"{self.name}={self.files}")
            return f"{self.name!r} names files, and only the names are encoded: --form {asked} encodes what they hold"
        where = f" ({self.place})" if self.place else ""
        return (
            f"{self.name!r} is a {self.kind or 'column that cannot be encoded'}: {self.why}{where}" if self.why else ""
        )


@dataclass(frozen=True, slots=True, repr=False)
class Description(Shown):
    """The columns of a table of data, and the schema that was inferred; None if no column can be encoded."""

    columns: tuple[Described, ...]
    schema: Schema | None
    rows: int

    def facts(self) -> Facts:
        """Return the kind of each column."""
        return [("rows", f"{self.rows:,}"), *((one.name, one.kind or "cannot be encoded") for one in self.columns)]

    def remarks(self) -> list[str]:
        """Return what the owner has to answer, and what else to know, in one sentence each."""
        return [remark for one in self.columns if (remark := one.remark)]


@arguments.checked(
    inputs=arguments.inputs,
    unit=arguments.text("the name of one column"),
    drop=arguments.texts("the name of a column"),
    column=arguments.texts("the name of a column"),
    forms=arguments.by_name("kinds or forms by column, such as {'zip': 'text'}"),
    bins=arguments.integer(),
    public=arguments.switch,
    reading=arguments.by_name("how files are read, such as {'separator': ';'}"),
)
def describe(
    inputs: str | Path | Sequence[str | Path],
    *,
    unit: str = "",
    drop: str | Sequence[str] = (),
    column: str | Sequence[str] = (),
    forms: Mapping[str, str] | None = None,
    bins: int = BINS,
    public: bool = False,
    reading: Mapping[str, str | float] | None = None,
) -> Description:
    """Return what the columns of files hold, and a schema for `ult.fit`. The files are read twice.

    With `column` only these columns are described. `drop` names columns that are not encoded. `unit` groups rows into
    one record; inputs `labs=labs.csv` and `labs:PATIENT=labs.csv` are other tables of data of the same units. `forms`
    answers what can be read in two ways: for a column a kind, a decimal mark, or a date form; a column of the names of
    files, relative to the table's own, holds those with the kind "image" or "series". `public` declares that
    everyone may read these files, so that their schema tells nothing that epsilon should cover. `reading` says how
    files are read, as for `ult.fit`.

    Raises `SourceError`, `MissingColumn` or `InvalidConfig`.

    For example, in a notebook:

        described = ult.describe("patients.csv", drop=["ssn"], forms={"visit": "d/m/Y"})
        ult.fit("patients.csv", "patients.ult", codec="record/columns", schema=described.schema, passphrase=getpass)
    """
    names = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    drop, column = ([one] if isinstance(one, str) else one for one in (drop, column))
    if bins not in CHOICES:
        raise InvalidConfig(f"bins are {bins}; expected one of {', '.join(map(str, CHOICES))}")
    if any(grouped.named(str(one)) for one in names):

        def flat(wanted: Sequence[str], answers: Mapping[str, str], opened: Sequence[Rows], but: Sequence[str]) -> Part:
            there = opened[0].types
            mine = {name: form for name, form in answers.items() if name in there}
            found = _Describing(
                opened, "", but, [name for name in wanted if name in there], mine, bins, public=public
            ).run()
            return found.columns, found.schema, found.rows

        how, paths = FileReading.of(reading), [str(one) for one in names]
        chosen: dict[str, Any] = {"drop": drop, "column": column, "forms": forms or {}}
        columns, schema, rows = describe_tables.described(paths, unit, **chosen, flat=flat, reading=how)
        return _read_so(Description(tuple(columns), schema, rows), reading)
    opened, _ = open_inputs(names, "record", FileReading.of(reading))
    unit = event_schema.unit_of(opened, unit)
    event_schema.check_unit(opened, unit)
    found = _Describing(opened, unit, drop, column, forms or {}, bins, public=public).run()
    return _read_so(found, reading)


def _read_so(found: Description, reading: Mapping[str, str | float] | None) -> Description:
    """Return a description whose schema remembers how the files were read."""
    if found.schema is None or not reading:
        return found
    return replace(found, schema=replace(found.schema, reading=FileReading.of(reading).given()))


class _Describing:
    """Two passes over the rows of inputs with the same columns."""

    def __init__(
        self,
        opened: Sequence[Rows],
        unit: str,
        drop: Sequence[str],
        column: Sequence[str],
        forms: Mapping[str, str],
        bins: int,
        *,
        public: bool,
    ) -> None:
        self.public = public
        self.opened, self.unit, self.forms, self.bins = opened, unit, forms, bins
        first = opened[0]
        for name in (*drop, *column, *forms, *([unit] if unit else [])):
            first.check_column(name)
        for rows in opened[1:]:
            if set(rows.types) != set(first.types):
                other = sorted(set(rows.types) ^ set(first.types))
                raise SourceError(f"{listed(other)}: column of only one of {first.name} and {rows.name}")
        wanted, gone = {*column, unit}, {*drop}
        chosen = [name for name in first.types if not column or name in wanted]
        left = [name for name in first.types if column and name not in wanted]
        self.dropped = tuple(dict.fromkeys([*drop, *left]))
        self.types = {name: first.types[name] for name in chosen if name not in gone}
        if isinstance(first, JsonlRows):  # whose types are those of the first line until all are read
            plain = [name for name, kind in self.types.items() if has_text(kind)]
            self.types |= {one.name: one.type for one in first.kept_schema(plain)}
        if unit in drop:
            raise InvalidConfig(f"{unit!r} is the unit and dropped; expected one of the two")
        self.texts = [name for name, kind in self.types.items() if has_text(kind)]
        most = min(tally.MOST, max(tally.LEAST, tally.ENTRIES // max(len(self.texts), 1)))
        self.tallies = {name: Tally(most) for name in self.texts}
        self.readings: dict[str, Reading] = {}
        self.places: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        self.constant = Constant(unit, [name for name in self.types if name != unit]) if unit else None

    def run(self) -> Description:
        """Return the description."""
        compared = [*filter(self._is_read, self.types)] if self.constant is not None else self.texts
        for chunk in self._chunks(compared or list(self.types)[:1]):
            for name in self.texts:
                cells = chunk.columns[name]
                self.tallies[name].add(column(chunk, name) if isinstance(cells, Cells) else texts(chunk, name))
            tally.look(self.tallies.values())
            if self.constant is not None:
                self.constant.add(chunk)
        self.readings = {name: self._reading(name) for name in self.texts}
        self._measure()
        found = [self._described(name) for name in self.types]
        fields = {one.name: self._field(one) for one in found if one.kind}
        schema = self._schema([one for one in found if one.kind], fields) if fields else None
        return Description(tuple(found), schema, max((one.rows for one in found), default=0))

    def _chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        return (chunk for rows in self.opened for chunk in rows.blocks(names))

    def _reading(self, name: str) -> Reading:
        kind, form = self.types[name], self.forms.get(name, "")
        if form in arrays.OF_KIND:
            return Reading(form)
        plain = record.is_number(kind) or pa.types.is_decimal(kind)
        found = infer(name, self.tallies[name], form or ("." if plain else ""))
        wanted = "number" if form in (".", ",") else "date" if form in DATE_FORMS else form
        if form and found.kind != wanted:
            why = f", because {found.why}" if found.why else ""
            for chunk in self._chunks([name]) if found.cell else ():
                self._seek(chunk, name, found.cell)
                if name in self.places:
                    why += f", first in {self.places[name]}"
                    break
            raise InvalidConfig(f"column {name!r} cannot be read as {form!r}{why}; expected {ANSWERS}")
        return found

    def _measure(self) -> None:
        """Read numbers and dates again, and look for the cells that were in the way of a kind."""
        most = max(2**8, min(measure.MOST, measure.SAMPLES // max(len(self.texts), 1)))
        of = {
            name: measure.measure_of(one, most, seed, _absent(self.tallies[name]))
            for seed, (name, one) in enumerate(self.readings.items())
        }
        self.measures = {name: one for name, one in of.items() if one is not None}
        sought = {name: one.cell for name, one in self.readings.items() if one.cell}
        self._measure_arrays()
        if not self.measures and not sought:
            return
        for chunk in self._chunks([*self.measures, *sought]):
            for name, one in self.measures.items():
                if not one.wrong:
                    self._add(one, chunk, name)
            for name in [name for name in sought if name not in self.places]:
                self._seek(chunk, name, sought[name])

    def _measure_arrays(self) -> None:
        """Look at every image and every series, so that the codec of a column holds all its values."""
        of_kind = {name: self._arrays(name) for name in self.types}
        self.arrays = {name: arrays.OF_KIND[kind]() for name, kind in of_kind.items() if kind}
        for name, one in self.arrays.items():
            asked = Field(name=name, kind=of_kind[name])
            for chunk in self._chunks([name]):
                for i, array in arrays_of(chunk, asked):
                    one.add(array, f"{chunk.place(i)}, column {name!r}")

    def _is_read(self, name: str) -> bool:
        return name in self.tallies or self._arrays(name) != ""

    def _arrays(self, name: str) -> str:
        """Return whether a column holds, or names, images or series, else the empty string."""
        if name in self.readings:
            return self.readings[name].kind if self.readings[name].kind in arrays.OF_KIND else ""
        kind = self.types[name]
        return "image" if record.is_image(kind) else "series" if record.is_series(kind) else ""

    def _add(self, one: Any, chunk: Chunk, name: str) -> None:
        spelled = self.tallies[name].spelled
        cells = [(i, text) for i, text in enumerate(texts(chunk, name)) if text is not None and text not in spelled]
        wrong = one.add([text for _, text in cells]) if cells else None
        if wrong is not None:
            self.places[name] = chunk.place(cells[wrong][0])
            if name in self.forms:
                raise SourceError(
                    f"{self.places[name]}: {name!r} is a date that does not exist; expected one, or a text that says "
                    "that there is none",
                    hint=f"--form {shlex.quote(name)}=category takes any text",
                )
            self.readings[name] = Reading("category", why="it has a date that does not exist")

    def _seek(self, chunk: Chunk, name: str, shape: str) -> None:
        first = self.tallies[name].first[shape]
        for i, text in enumerate(texts(chunk, name)):
            if text is not None and text[: len(first)] == first:
                self.places[name] = chunk.place(i)
                return

    def _described(self, name: str) -> Described:
        kind = self.types[name]
        if name not in self.tallies:
            held = self._arrays(name)
            told = "" if held else f"{kind} is neither one value a cell nor a list of numbers"
            return Described(name, str(kind), held, 0, why=told)
        seen, reading = self.tallies[name], self.readings[name]
        one = self.measures.get(name)
        low, high = one.range if one is not None and not one.wrong else ("", "")
        asked, tells = ("", "") if name == self.unit or name in self.arrays else self._identifier(name)
        low, high = ("", "") if asked else (low, high)  # whole values of somebody
        return Described(
            name,
            str(kind),
            reading.kind,
            seen.rows,
            missing=seen.rows - seen.cells,
            spelled=tuple(text for text, _ in seen.spelled.most_common()),
            distinct=seen.different,
            exact=seen.exact,
            low=low,
            high=high,
            example="".join(map(looks.shaped, list(seen.examples)[:1])),
            identifier=asked,
            tells="" if asked else tells,
            inside=tuple((what, n) for what, n in seen.inside.most_common() if n),
            looked=seen.looked,
            readings=reading.readings,
            files="" if name in self.arrays else arrays.named(seen.present),
            why="" if event_schema.is_code(self.opened, name) else reading.why,
            place=self.places.get(name, ""),
        )

    def _identifier(self, name: str) -> tuple[str, str]:
        """Return why a column looks like an identifier, and what else it tells of who somebody is."""
        seen, reading = self.tallies[name], self.readings[name]
        found = identifier.judge([name], seen.formed, filled=seen.looked, distinct=seen.different, rows=seen.looked)
        of = {"distinct": seen.different, "cells": seen.cells}
        tells = identifier.told(found, seen.formed, filled=seen.looked, distinct=seen.different)
        return identifier.of_field(found, reading.kind, whole=seen.whole, **of), tells

    def _field(self, one: Described) -> Field:
        if one.name in self.arrays:
            return Field(name=one.name, kind=one.kind, type=one.type, options=self.arrays[one.name].options())
        seen, options = self.tallies[one.name], dict(self.readings[one.name].options)
        measured = self.measures.get(one.name)
        if one.kind == "number" and isinstance(measured, measure.Numbers):
            options["edges"] = measured.edges(self.bins)
        required = seen.nulls == 0
        return Field(name=one.name, kind=one.kind, type=one.type, absent=_absent(seen), required=required, **options)

    def _schema(self, found: Sequence[Described], fields: Mapping[str, Field]) -> Schema:
        lost = tuple(name for name in self.types if name not in fields)
        schema = Schema(
            fields=tuple(fields[one.name] for one in found if one.name != self.unit),
            dropped=(*self.dropped, *lost),
            columns=tuple(one.name for one in found if one.name != self.unit),
            suspects=tuple(one.name for one in found if one.identifier),
            inferred=() if self.public else tuple(one.name for one in found if one.name != self.unit),
            asked={one.name: one.readings for one in found if one.readings},
            domains=domains([one for one in found if one.name != self.unit], self.tallies) if self.public else {},
        )
        if self.constant is None:
            return schema
        if events := event_schema.events_of(self.opened, self.unit):
            return event_schema.grouped_by_subject(schema, events, self.bins)
        static = self.constant.columns(self._chunks)
        inner = tuple(one for one in schema.fields if one.name not in static)
        if not inner:
            raise InvalidConfig(
                f"every row of one {self.unit!r} is the same; expected columns that differ, or one row a record",
                hint="leave out --unit",
            )
        name = "rows"
        while name in static:
            name += "_"
        outer = tuple(one for one in schema.fields if one.name in static)
        inner = with_carried(inner, self.unit, self._chunks)
        rows = Field(name=name, kind="rows", fields=inner, required=True)
        return replace(schema, unit=self.unit, fields=(*outer, rows))


def _absent(seen: Tally) -> str | None:
    """Return the cell that writes nothing: what most cells hold, else null or the most frequent text for "missing"."""
    (text, count), *_ = seen.counts.most_common(1) or [("", 0)]
    if count > SHARED * seen.rows and len(text) <= tally.LONG:
        return text
    (text, count), *_ = seen.spelled.most_common(1) or [("", 0)]
    return text if count > seen.nulls else None
