"""Medical events: the same patients in FHIR, MEDS and OMOP data give the same rows."""

from decimal import Decimal

import pytest

import patients
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.columns.describe import describe
from ult.data.columns.schema import Schema
from ult.data.events.addresses import open_events
from ult.data.events.moment import moment
from ult.data.events.rows import COLUMNS
from ult.errors import InvalidConfig

WRITERS = {
    "fhir:": patients.as_fhir,
    "meds:": patients.as_meds,
    "omop:": lambda folder: patients.as_omop(folder, upper=True),
    "omop: as Parquet": lambda folder: patients.as_omop(folder, parquet=True),
}


def rows_of(prefix, folder):
    events = open_events(prefix, [f"{prefix}{folder}"])
    chunks = list(events.chunks(list(COLUMNS)))
    return [row for chunk in chunks for row in zip(*(chunk.columns[name] for name in COLUMNS), strict=True)]


def meant(row):
    """Return what a row says: its time as an instant and its value as a number, however they are written."""
    subject, time, code, value, unit, text = row
    return subject, time and moment(time), code, value and Decimal(value), unit, text


EXPECTED = [meant((subject, *event[1:])) for subject, events in patients.PATIENTS.items() for event in events]


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_patients_give_the_same_events_in_the_same_order(tmp_path, name):
    rows = rows_of(name[:5], WRITERS[name](tmp_path / "of"))
    assert [meant(row) for row in rows] == EXPECTED
    assert len(EXPECTED) == 19


def test_numbers_times_and_texts_are_as_each_form_writes_them(tmp_path):
    fhir, omop = rows_of("fhir:", patients.as_fhir(tmp_path / "a")), rows_of("omop:", patients.as_omop(tmp_path / "b"))
    lab = next(i for i, row in enumerate(fhir) if row[3] == "6.50")
    assert fhir[lab] == ("7", "2020-01-02T10:20:00Z", "LOINC:4548-4", "6.50", "%", None)
    assert omop[lab] == ("7", "2020-01-02 10:20:00", "LOINC:4548-4", "6.50", "%", None)
    meds = rows_of("meds:", patients.as_meds(tmp_path / "c"))
    assert meds[lab] == ("7", "2020-01-02 10:20:00", "LOINC:4548-4", "6.5", "%", None)


EVENTS = Schema(
    fields=(
        Field(
            name="events",
            kind="rows",
            fields=(
                Field(name="time", kind="date"),
                Field(name="code", kind="category"),
                Field(name="value", kind="number", by="code"),
                Field(name="unit", kind="category"),
                Field(name="text", kind="text"),
            ),
        ),
    ),
    unit="subject_id",
)


@pytest.mark.parametrize("name", WRITERS)
def test_a_patient_is_one_record(tmp_path, name):
    address = f"{name[:5]}{WRITERS[name](tmp_path / 'of')}"
    source = open_source([address], modality="record", schema=EVENTS, keep=["subject_id"])
    (batch,) = source.batches()
    assert [len(one) for (one,) in batch.records] == [12, 4, 3]
    assert [row[1] for row in batch.records[2][0]] == ["Gender:F", "MEDS_BIRTH", "RxNorm:1191"]
    assert batch.kept["subject_id"].to_pylist() == ["7", "12", "300"]
    told = {"fhir:": [], "meds:": [], "omop:": [f"not read: {tmp_path}/of/{'COST' if name == 'omop:' else 'cost'}"]}
    assert [one.rpartition(".")[0] for one in source.told] == told[name[:5]]


def test_several_addresses_are_one_set_of_events(tmp_path):
    folder = patients.as_fhir(tmp_path / "of")
    names = sorted(f"fhir:{path}" for path in folder.iterdir())
    source = open_source(names, modality="record", schema=EVENTS)
    assert [len(one) for (one,) in source] == [12, 4, 3]
    assert list(open_source([f"fhir:{folder}/*"], modality="record", schema=EVENTS)) == list(source)


def test_a_schema_of_events_has_bins_for_each_code(tmp_path, monkeypatch):
    monkeypatch.setattr("ult.data.columns.event_schema._FEW", 1)
    address = f"fhir:{patients.as_fhir(tmp_path / 'of')}"
    schema = describe(address, unit="subject_id").schema
    assert schema is not None
    (field,) = schema.fields
    names = [one.name for one in field.fields]
    assert (field.name, names) == ("events", [*COLUMNS[2:], "time"])  # a code and its value stand together
    value = field.fields[names.index("value")]
    assert (value.kind, value.by, value.edges_by) == ("number", "code", {"LOINC:2345-7": ("100",)})
    found, plain = (list(open_source([address], modality="record", schema=one)) for one in (schema, EVENTS))
    assert found == [(tuple((*row[1:], row[0]) for row in rows),) for (rows,) in plain]


def test_events_are_records_of_patients_alone(tmp_path):
    address = f"meds:{patients.as_meds(tmp_path / 'of')}"
    with pytest.raises(InvalidConfig, match=r"expected 'subject_id', .* \(hint: --unit"):
        describe(address, unit="code")
    assert describe(address).schema == describe(address, unit="subject_id").schema
    flat = Schema(fields=EVENTS.fields[0].fields, dropped=("subject_id",))
    with pytest.raises(InvalidConfig, match="there is no unit"):
        open_source([address], modality="record", schema=flat)
