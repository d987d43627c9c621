"""The schema of medical events: a patient is one record, and the bins of a value are those of its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ult.codecs.record.field import Field
from ult.data.columns.measure import SAMPLES, Numbers
from ult.data.columns.schema import Schema
from ult.data.events.rows import COLUMNS, SUBJECT, EventRows
from ult.data.rows import Rows
from ult.errors import InvalidConfig

NAME = "events"
TIME = "time"
CODES = 2**12  # codes with bins of their own, at most: the first ones that have a value
_LEAST = 2**8  # values of a code that are looked at, at least
_FEW = 20  # values of a code up to which it has the bins of all


def events_of(opened: Sequence[Rows], unit: str) -> EventRows | None:
    """Return the events if the inputs are medical events, grouped by their subject."""
    first = opened[0]
    return first if isinstance(first, EventRows) and unit == SUBJECT else None


def is_code(opened: Sequence[Rows], name: str) -> bool:
    """Return whether a column is that of the codes of medical events, which are names even if most are numbers."""
    return isinstance(opened[0], EventRows) and name == "code"


def check_unit(opened: Sequence[Rows], unit: str) -> None:
    """Raise `InvalidConfig` if medical events are not grouped by their subject: then no promise would be to people."""
    if isinstance(opened[0], EventRows) and unit != SUBJECT:
        met = f"the unit is {unit!r}" if unit else "there is no unit"
        raise InvalidConfig(
            f"{opened[0].name} holds events of patients, and {met}; expected {SUBJECT!r}, so that one is one record",
            hint=f"--unit {SUBJECT}, of ult describe or ult fit",
        )


def unit_of(opened: Sequence[Rows], unit: str) -> str:
    """Return the unit: the one that is asked for, or the subject of medical events, which have no other."""
    return SUBJECT if not unit and isinstance(opened[0], EventRows) else unit


def grouped_by_subject(schema: Schema, events: EventRows, bins: int) -> Schema:
    """Return a flat schema of events as one of patients, whose rows hold every column. Reads the events again."""
    inner = {one.name: one for one in schema.fields}
    if {"code", "value"} <= inner.keys() and inner["value"].kind == "number" and inner["code"].kind == "category":
        inner["value"] = _by_code(inner["value"], events, bins)
    if TIME in inner:  # after what happened: a code and its value stand together, and most events share a time
        inner[TIME] = replace(inner[TIME], carried=True)
    order = [name for name in (*COLUMNS, *inner) if name in inner and name != TIME]
    fields = tuple(inner[name] for name in dict.fromkeys([*order, *(name for name in inner if name == TIME)]))
    return replace(schema, unit=SUBJECT, fields=(Field(name=NAME, kind="rows", fields=fields, required=True),))


def _by_code(value: Field, events: EventRows, bins: int) -> Field:
    """Return the field of values with edges for each code that has enough of them."""
    options = {name: getattr(value, name) for name in ("before", "after", "decimal", "thousands")}
    found: dict[str, Numbers] = {}
    counts: dict[str, int] = {}
    for chunk in events.chunks(["code", "value"]):
        cells: dict[str, list[str]] = {}
        for code, text in zip(chunk.columns["code"], chunk.columns["value"], strict=True):
            if text is not None and text not in value.missing and (code in found or len(found) + len(cells) < CODES):
                cells.setdefault(code, []).append(text)
        for code, texts in cells.items():
            one = found.setdefault(code, Numbers(options, max(_LEAST, SAMPLES // CODES), len(found)))
            one.add(texts)
            counts[code] = counts.get(code, 0) + len(texts)
    edges = {code: one.edges(bins) for code, one in found.items() if counts[code] > _FEW}
    return replace(value, by="code", edges_by=edges) if edges else replace(value, by="code")
