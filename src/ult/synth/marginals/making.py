"""Synthetic records by noisy counts of pairs of columns: for tables that are too small for a run to learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.field import Field
from ult.data.composed import grouped
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner import fields
from ult.owner.inputs import named
from ult.privacy.randomness import source
from ult.public.guarantee import Spent
from ult.synth.labels import Condition, sequence, shared
from ult.synth.marginals.column import Cell
from ult.synth.marginals.domain import Domain, domain_of
from ult.synth.marginals.known import Measured
from ult.synth.marginals.looks import BINS, measured
from ult.synth.marginals.model import Model
from ult.synth.marginals.persons import MOST
from ult.synth.marginals.scale import has_scale
from ult.synth.records import Records

COLUMNS = 100  # at most: all pairs are looked at
_LOT = 512  # records that are checked at once
_FEW = 0.02  # the share of records below which a label has few


def unfit(records: Records) -> str:
    """Return why records cannot be made by marginals, empty if they can."""
    if records.codec != fields.CODEC:
        return f"{records.codec} records have no columns"
    if any(map(grouped.named, named(records.said.inputs))):
        return "tables of data are joined"
    flat, _ = columns_of(records)
    if others := [one for one in flat if one.kind != "category" and not has_scale(one)]:
        return f"{others[0].name!r} is of kind {others[0].kind}, or written in a form that has no scale"
    if len(flat) > COLUMNS:
        return f"there are {len(flat)} columns, more than {COLUMNS}"
    return ""


def columns_of(records: Records) -> tuple[tuple[Field, ...], int | None]:
    """Return the fields that are columns, and of persons with rows how many first ones are the same in all rows."""
    if not records.unit:
        return records.fields, None
    own = tuple(one for one in records.fields if not one.fields)
    return (*own, *(inner for one in records.fields for inner in one.fields)), len(own)


def check(records: Records, condition: str) -> None:
    """Raise `InvalidConfig` unless records can be made by marginals, and what is declared of their cells is right.

    `condition` is the column of the labels, empty if there is none.
    """
    if why := unfit(records):
        raise InvalidConfig(
            f"marginals are for categories, plain numbers and dates, a cell each: {why}", hint="--method train"
        )
    if records.said.bins is not None and records.said.bins not in (1, *BINS):
        raise InvalidConfig(f"bins are {records.said.bins}; expected one of 1, {', '.join(map(str, BINS))}")
    told = domains(records)
    if told and len(columns_of(records)[0]) == 1:
        raise InvalidConfig("cells of the only column are declared, and it is counted anyway", hint="its kind alone")
    if condition and len(records.fields) == 1:
        raise InvalidConfig(f"there is no column beside {condition!r}; expected one", hint="no --condition")
    if condition and records.unit:
        raise InvalidConfig("labels are of records, and these are of persons with rows", hint="no --condition")
    if condition and 0 in told:
        raise InvalidConfig(f"cells of {condition!r} are declared, which are its labels", hint="its kind alone")


def domains(records: Records) -> Mapping[int, Domain]:
    """Return the domains of fields that were declared, by their places. Raises `InvalidConfig`."""
    told = records.layout.domains if records.layout else {}
    return {k: domain_of(one, told[one.name]) for k, one in enumerate(columns_of(records)[0]) if one.name in told}


def counted(records: Records, n: int, cost: Spent, condition: Condition, *, seed: int, secure: bool) -> Measured:
    """Look at `n` records, at a cost that covers every look. Raises `InvalidRecord` for a cell of another form."""
    codec = RecordColumns(fields=records.fields)
    columns, fixed = columns_of(records)
    places = [k for k, one in enumerate(records.fields) if one.fields]

    def read() -> Iterator[Sequence[Any]]:
        for batch in records.source.batches():
            codec.encode_batch(batch.records)
            yield [_rows_of(one, *places) for one in batch.records] if places else batch.records

    of: dict[str, Any] = {"labels": condition.labels, "domains": domains(records), "bins": records.said.bins}
    with records.source.naming(codec):
        return measured(columns, read, n, cost, source(secure=secure, seed=seed), fixed=fixed, **of)


def bounds(records: Records) -> tuple[str, ...]:
    """Return what is done so that no person with rows counts as more than one."""
    if not records.unit:
        return ()
    return (f"of each person at most {MOST} rows count, neighbours drawn at random, and all together as one",)


def _rows_of(person: Sequence[Any], place: int) -> list[tuple[Cell, ...]]:
    """Return the rows of a person, each with the cells that all of them have before those that it has."""
    own = tuple(cell for k, cell in enumerate(person) if k != place)
    return [(*own, *row) for row in person[place]]


def drawn(found: Measured, rows: int, condition: Condition, seed: int, layout: Sequence[Field]) -> list[Any]:
    """Return `rows` records, each label as often as it is asked for, or as it was counted."""
    if found.persons is not None:
        (place,) = (k for k, one in enumerate(layout) if one.fields)
        persons, fixed = Model(found, label=False).draw_persons(found.persons, rows, seed), len(layout) - 1
        return [(*a[0][:place], tuple(row[fixed:] for row in a), *a[0][place:fixed]) for a in persons]
    model, labels = Model(found, label=bool(condition.column)), list[str]()
    if condition.column:
        labels = sequence(condition.asked or shared(model.counts(), rows), seed)
    return model.draw(rows, seed, labels)


def checked(made: Sequence[Any], layout: Sequence[Field]) -> Iterator[list[Any]]:
    """Yield the records in lots. Raises `CorruptSymbols` if one does not come back from its symbols as it is."""
    codec = RecordColumns(fields=layout)
    for first in range(0, len(made), _LOT):
        lot = list(made[first : first + _LOT])
        patches = codec.encode_batch(lot)
        ends = np.append(0, patches.ends)[patches.records]
        if codec.decode_batch(patches.symbols, ends) != lot:
            raise CorruptSymbols("a synthetic record does not come back from its symbols as it is")
        yield lot


def remarks(found: Measured, condition: Condition) -> tuple[str, ...]:
    """Return what the owner should know of columns and labels that could not be learnt."""
    said = []
    if none := [one.field.name for one in found.columns if one.classes == 1]:
        said.append(
            f"no value of {_listed(none)} is common enough to be told at this epsilon, so cells there are empty; more "
            "records, a greater epsilon, or --drop"
        )
    known = Model(found, label=bool(condition.column)).known
    for column, counts in zip(found.columns, known.alone, strict=True):
        if column.closed and counts[-1] > 0:
            said.append(
                f"about {counts[-1] / known.n:.0%} of the cells of {column.field.name!r} are none of those that were "
                "declared" + ("" if condition.column == column.field.name else ", and written as empty")
            )
    if condition.column:
        few = [str(one) for one, n in zip(found.columns[0].atoms, known.alone[0], strict=False) if n < _FEW * known.n]
        if few:
            said.append(f"few records or none have the label {_listed(few)}; what is written for it is mostly noise")
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (" and others" if len(names) > 4 else "")
