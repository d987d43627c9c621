"""Read records of which one cell is to be predicted: with that column or without it, and who each record is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ult.data import Source, open_source
from ult.data.cells import written
from ult.data.composed import grouped
from ult.data.composed.records import MODALITY, paths
from ult.data.opening import open_inputs
from ult.data.reading import Reading, remembered
from ult.owner.handover.candidates import Column
from ult.owner.inputs import Inputs, named, schema_of, texts


@dataclass(frozen=True, slots=True)
class Question:
    """Records without a cell: `records` have None at its place, and `truth` are the cells that stood there.

    `names` are the units of the records, or their places; `places` say where each stands, for errors.
    """

    records: list[tuple[Any, ...]]
    truth: list[str | None]
    names: list[str]
    places: list[str]


@dataclass(frozen=True, slots=True)
class Questions:
    """The records of some inputs, asked for the cell of one column; `told` says whether the inputs have that column."""

    source: Source
    column: Column
    told: bool
    unit: str

    @classmethod
    def open(
        cls,
        inputs: Inputs,
        column: Column,
        *,
        drop: Sequence[str] = (),
        reading: Mapping[str, str | float] | None = None,
    ) -> Questions:
        """Open records, whose column may be missing. Raises `SourceError`, `MissingColumn` or `InvalidConfig`."""
        schema = schema_of(column.table, texts(drop))
        if schema is None:
            raise TypeError("Column.named checks that the table is of records of fields")
        names, target = named(inputs), column.field.name
        plain = [one for one in names if grouped.named(one) is None]
        told = True
        if plain:
            chosen = remembered(schema.reading, reading, paths(plain))
            opened, _ = open_inputs(plain, MODALITY, Reading.of(chosen))
            told = any(target in rows.types for rows in opened)
        unit = schema.unit if plain and schema.unit not in {one.name for one in schema.leaves} else ""
        source = open_source(
            names,
            modality=MODALITY,
            keep=[unit] if unit else [],
            schema=schema if told else schema.without([target]),
            reading=reading,
        )
        return cls(source, column, told, unit)

    def batches(self) -> Iterator[Question]:
        """Yield the records in order, in batches."""
        k = self.column.k
        for batch in self.source.batches():
            records = [(*one[:k], None, *one[k + self.told :]) for one in batch.records]
            truth = [one[k] for one in batch.records] if self.told else [None] * len(records)
            places = [batch.where.place(i) for i in range(len(records))]
            units = written(batch.kept[self.unit]) if self.unit else places
            yield Question(records, truth, [str(unit) for unit in units], places)
