"""Synthetic records by noisy counts of pairs of columns: for tables that are too small for a run to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.field import Field
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner import fields
from ult.privacy.randomness import source
from ult.public.guarantee import Spent
from ult.synth.labels import Condition, sequence, shared
from ult.synth.marginals.column import Cell
from ult.synth.marginals.known import Measured
from ult.synth.marginals.looks import BINS, measured
from ult.synth.marginals.model import Model
from ult.synth.marginals.scale import has_scale
from ult.synth.records import Records

COLUMNS = 100  # at most: all pairs are looked at
_LOT = 512  # records that are checked at once
_FEW = 0.02  # the share of records below which a label has few


def unfit(records: Records) -> str:
    """Return why records cannot be made by marginals, empty if they can."""
    if records.codec != fields.CODEC:
        return f"{records.codec} records have no columns"
    if records.unit:
        return f"the records are those of a unit, {records.unit!r}, which have rows"
    if others := [one for one in records.fields if one.kind != "category" and not has_scale(one)]:
        return f"{others[0].name!r} is of kind {others[0].kind}, or written in a form that has no scale"
    if len(records.fields) > COLUMNS:
        return f"there are {len(records.fields)} columns, more than {COLUMNS}"
    return ""


def check(records: Records) -> None:
    """Raise `InvalidConfig` unless records can be made by marginals."""
    if why := unfit(records):
        raise InvalidConfig(
            f"marginals are for categories, plain numbers and dates, a cell each: {why}", hint="--method train"
        )
    if records.said.bins is not None and records.said.bins not in (1, *BINS):
        raise InvalidConfig(f"bins are {records.said.bins}; expected one of 1, {', '.join(map(str, BINS))}")


def counted(records: Records, n: int, cost: Spent, condition: Condition, *, seed: int, secure: bool) -> Measured:
    """Look at `n` records, at a cost that covers every look. Raises `InvalidRecord` for a cell of another form."""
    codec = RecordColumns(fields=records.fields)

    def read() -> Iterator[Sequence[Sequence[Cell]]]:
        for batch in records.source.batches():
            codec.encode_batch(batch.records)
            yield batch.records

    of: dict[str, Any] = {"labels": condition.labels, "bins": records.said.bins}
    with records.source.naming(codec):
        return measured(records.fields, read, n, cost, source(secure=secure, seed=seed), **of)


def drawn(found: Measured, rows: int, condition: Condition, seed: int) -> list[tuple[Cell, ...]]:
    """Return `rows` records, each label as often as it is asked for, or as it was counted."""
    model, labels = Model(found, label=bool(condition.column)), list[str]()
    if condition.column:
        labels = sequence(condition.asked or shared(model.counts(), rows), seed)
    return model.draw(rows, seed, labels)


def checked(made: Sequence[tuple[Cell, ...]], layout: Sequence[Field]) -> Iterator[list[Any]]:
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
    if condition.column:
        known = Model(found, label=True).known
        few = [str(one) for one, n in zip(found.columns[0].atoms, known.alone[0], strict=False) if n < _FEW * known.n]
        if few:
            said.append(f"few records or none have the label {_listed(few)}; what is written for it is mostly noise")
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (" and others" if len(names) > 4 else "")
