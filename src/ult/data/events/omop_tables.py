"""The events of the rows of OMOP's tables: which columns are read, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ult.data.events.concepts import Concepts
from ult.data.events.rows import BIRTH, DEATH
from ult.data.rows import Chunk
from ult.errors import SourceError

DERIVED = {"condition_era": "condition_occurrence", "drug_era": "drug_exposure"}  # read only without what they are of
_OPERATORS = {"4171754": "<=", "4171755": ">=", "4171756": "<", "4172703": "", "4172704": ">"}
_VALUES = (
    "value_as_number",
    "value_as_string",
    "value_as_concept_id",
    "value_source_value",
    "operator_concept_id",
    "unit_concept_id",
    "unit_source_value",
)

Event = tuple[str | None, str, str | None, str | None, str | None]  # time, code, value, unit, text


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one row by the names of the model's columns, and its place in a chunk for errors."""

    cells: Mapping[str, str | None]
    chunk: Chunk
    row: int
    concepts: Concepts

    def get(self, name: str) -> str | None:
        """Return a cell as it is written, or None if it is empty or its column is missing."""
        return self.cells.get(name) or None

    def needed(self, name: str) -> str:
        """Return a cell; raise `SourceError` if it is empty."""
        if found := self.get(name):
            return found
        raise empty(self.chunk, self.row, name)

    def concept(self, name: str) -> str:
        """Return `vocabulary:code` of a concept, its number if CONCEPT has it not, or the empty string for none."""
        vocabulary, code = self._of(name)
        return f"{vocabulary}:{code}" if vocabulary else code

    def unit(self) -> str | None:
        """Return the code of the unit as its vocabulary has it, else as the source wrote it."""
        vocabulary, code = self._of("unit_concept_id")
        return (code if vocabulary else "") or self.get("unit_source_value") or code or None

    def _of(self, name: str) -> tuple[str, str]:
        text = self.get(name)
        return self.concepts.of(text, self.chunk, self.row) if text else ("", "")


def empty(chunk: Chunk, row: int, name: str) -> SourceError:
    """Return the error for a cell that has to hold a value."""
    return SourceError(f"{chunk.place(row)}: {name!r} is empty; expected a value in every row")


@dataclass(frozen=True, slots=True)
class Model:
    """A table of the model: the columns that are read, those of them that have to be there, and how."""

    columns: tuple[str, ...]
    needed: tuple[str, ...]
    events: Callable[[Cells], Iterator[Event]]


def _occurrence(prefix: str, date: str, *, source: bool = True, values: bool = False) -> Model:
    """Return the model of a table whose rows are one event each, at `date`, or at the time beside it."""
    concept, time = f"{prefix}_concept_id", f"{date}time"

    def events(row: Cells) -> Iterator[Event]:
        code = row.concept(concept) or row.concept(f"{prefix}_source_concept_id")
        if not code:
            written = row.get(f"{prefix}_source_value") if source else None
            code = f"source:{written}" if written else "0"
        yield row.get(time) or row.get(date), code, *(_value(row) if values else (None, None, None))

    columns = (
        concept,
        f"{prefix}_source_concept_id",
        f"{prefix}_source_value",
        date,
        time,
        *(_VALUES if values else ()),
    )
    return Model(("person_id", *columns), ("person_id", concept, date), events)


def _value(row: Cells) -> tuple[str | None, str | None, str | None]:
    """Return value, unit and text of a measurement or an observation."""
    number, text = row.get("value_as_number"), row.concept("value_as_concept_id") or row.get("value_as_string")
    if number is None and not text:
        return None, row.unit(), row.get("value_source_value")
    operator = _OPERATORS.get(row.get("operator_concept_id") or "", "")
    return operator + number if number else None, row.unit(), text or None


def _person(row: Cells) -> Iterator[Event]:
    for name in ("gender", "race", "ethnicity"):
        if code := row.concept(f"{name}_concept_id"):
            yield None, code, None, None, None
    yield _birth(row), BIRTH, None, None, None
    if death := row.get("death_datetime"):  # in version 6 of the model
        yield death, DEATH, None, None, None


def _birth(row: Cells) -> str | None:
    """Return the time of birth, or the date that year, month and day make as far as they are known."""
    if time := row.get("birth_datetime"):
        return time
    parts = [row.get(f"{part}_of_birth") for part in ("year", "month", "day")]
    known = [part.partition(".")[0].zfill(2) for part in parts[: parts.index(None) if None in parts else 3] if part]
    return "-".join(known) or None


def _note(row: Cells) -> Iterator[Event]:
    code = row.concept("note_class_concept_id") or row.concept("note_type_concept_id") or "0"
    yield row.get("note_datetime") or row.get("note_date"), code, None, None, row.get("note_text")


def _death(row: Cells) -> Iterator[Event]:
    yield row.get("death_datetime") or row.get("death_date"), DEATH, None, None, None


_BIRTH = ("birth_datetime", "year_of_birth", "month_of_birth", "day_of_birth", "death_datetime")
_DEMOGRAPHY = ("gender_concept_id", "race_concept_id", "ethnicity_concept_id")
_NOTE = ("note_class_concept_id", "note_type_concept_id", "note_date", "note_datetime", "note_text")
TABLES = {  # in this order at one time
    "person": Model(("person_id", *_DEMOGRAPHY, *_BIRTH), ("person_id", "gender_concept_id"), _person),
    "visit_occurrence": _occurrence("visit", "visit_start_date", source=False),
    "condition_occurrence": _occurrence("condition", "condition_start_date"),
    "condition_era": _occurrence("condition", "condition_era_start_date"),
    "drug_exposure": _occurrence("drug", "drug_exposure_start_date"),
    "drug_era": _occurrence("drug", "drug_era_start_date"),
    "measurement": _occurrence("measurement", "measurement_date", values=True),
    "observation": _occurrence("observation", "observation_date", values=True),
    "procedure_occurrence": _occurrence("procedure", "procedure_date"),
    "note": Model(("person_id", *_NOTE), ("person_id", "note_date", "note_text"), _note),
    "death": Model(("person_id", "death_date", "death_datetime"), ("person_id", "death_date"), _death),
}
