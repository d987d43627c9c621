"""Files of medical events that are cut, huge, lying or hostile: one line that names the place, and bounded memory."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import patients
import ult
from ult.data.columns.describe import describe
from ult.data.composed import units
from ult.data.events import fhir
from ult.data.events.addresses import open_events
from ult.data.events.moment import moment
from ult.data.events.rows import COLUMNS
from ult.errors import EmptySource, MissingColumn, MissingSource, SourceError

ASHA = {"resourceType": "Patient", "id": "a", "birthDate": "2000-01-01"}
LAB = {
    "resourceType": "Observation",
    "id": "o",
    "subject": {"reference": "Patient/a"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "1-1"}]},
    "effectiveDateTime": "2020-01-01",
}


def events(prefix, *folders):
    rows = open_events(prefix, [f"{prefix}{folder}" for folder in folders])
    chunks = list(rows.chunks(list(rows.types)))
    return [row for chunk in chunks for row in zip(*(chunk.columns[name] for name in COLUMNS), strict=True)], list(
        rows.told
    )


def lines(path, *resources):
    text = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in resources)
    path.write_text(text, encoding="utf-8")
    return path


def values(folder, *changes):
    """Return value, unit and text of observations that are changed so."""
    lines(folder / "Observation.ndjson", *(LAB | {"id": str(k)} | one for k, one in enumerate(changes)))
    rows, told = events("fhir:", folder)
    return [row[3:] for row in rows], told


def test_each_kind_of_value_has_its_place_and_what_has_none_is_counted(tmp_path):
    quantity = {"value": 5, "comparator": "<", "unit": "miles"}
    found, told = values(
        tmp_path,
        {"valueQuantity": quantity},
        {"valueString": "clear"},
        {"valueBoolean": False},
        {"valueInteger": 12345678901234567890},
        {"valueRange": {"low": {"value": 1}}},
        {"status": "entered-in-error"},
        {"modifierExtension": [{"url": "x"}]},
        {"code": {"text": "by hand"}},
        {"code": {}},
        {"subject": {"reference": "Group/g"}},
    )
    nothing = (None, None, None)
    assert found == [
        ("<5", "miles", None),
        (None, None, "clear"),
        (None, None, "false"),
        ("12345678901234567890", None, None),
        nothing,
        nothing,
    ]
    unread = ["valueRange of an Observation", "Observation (entered-in-error)", "Observation with a modifierExtension"]
    unread += ["Observation without a code", "Observation of a Group"]
    assert told == ["not read: " + ", ".join(f"1 {what}" for what in unread)]


def test_parts_that_say_more_of_an_event_are_counted(tmp_path):
    visit = {
        "resourceType": "Encounter",
        "id": "e",
        "subject": {"reference": "Patient/a"},
        "class": {"code": "AMB"},
        "period": {"start": "2024-01-02", "end": "2024-01-03"},
        "reasonCode": [{"text": "pain"}],
    }
    lines(tmp_path / "Encounter.ndjson", visit, {**visit, "id": "f", "period": {"start": "2024-02-02"}})
    assert events("fhir:", tmp_path)[1] == ["not read: 1 Encounter.period.end, 2 Encounter.reasonCode"]
    found = ult.describe(f"fhir:{tmp_path}")  # whose unit is the subject, without a word
    assert found.schema is not None
    assert found.schema.unit == "subject_id"


def test_types_that_are_not_read_are_counted(tmp_path):
    lines(tmp_path / "Patient.ndjson", ASHA, "\n")
    lines(tmp_path / "claims.ndjson", *[{"resourceType": "Claim"}] * 3)
    lines(tmp_path / "empty.ndjson", "")
    lines(tmp_path / "log.txt", "no resource")
    assert events("fhir:", tmp_path)[1] == ["not read: 3 Claim"]
    (tmp_path / "Patient.ndjson").unlink()
    with pytest.raises(EmptySource, match="holds no resource of Patient, Encounter"):
        events("fhir:", tmp_path)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ('{"resourceType": "Observation", "id"', "line 2 is not JSON, or the file is cut short there"),
        ("[" * 100_000 + "\n", "line 2 is not JSON"),
        ("[]\n", "line 2 is not a resource of FHIR"),
        (ASHA, "line 2 is of type 'Patient'; expected Observation"),
        (LAB | {"subject": {}}, "line 2: subject names no patient"),
        (LAB | {"subject": {"reference": "Patient?identifier=1"}}, "line 2: subject names no patient"),
        (LAB | {"subject": "Patient/a"}, "line 2: subject.reference is not as FHIR has it"),
        (LAB | {"code": {"coding": "x"}}, "line 2: coding is not as FHIR has it; expected a list of objects"),
        (LAB | {"effectiveDateTime": "2021-02-29"}, "line 2: the time of the event is no date or time that exists"),
        (LAB | {"effectiveDateTime": 2021}, "line 2: effectiveDateTime is not as FHIR has it; expected a text"),
        (LAB | {"valueQuantity": {"value": "5"}}, "line 2: value is not as FHIR has it; expected a number"),
        (LAB | {"valueQuantity": {"value": float("nan")}}, "line 2: value is not as FHIR has it; expected a number"),
        (LAB, "line 2 has the id of .*line 1; expected each once"),
    ],
)
def test_a_bad_resource_is_refused_by_its_line(tmp_path, bad, what):
    lines(tmp_path / "Observation.ndjson", LAB, bad)
    with pytest.raises(SourceError, match=rf"Observation\.ndjson, {what}"):
        events("fhir:", tmp_path)


def test_medications_are_found_in_the_request_and_in_the_folder_or_refused(tmp_path):
    request = {"resourceType": "MedicationRequest", "subject": {"reference": "urn:uuid:a"}}
    coded = {"resourceType": "Medication", "id": "m", "code": LAB["code"]}
    inside = request | {"contained": [coded], "medicationReference": {"reference": "#m"}}
    outside = request | {"medicationReference": {"reference": "http://server/fhir/Medication/m/_history/2"}}
    lines(tmp_path / "MedicationRequest.ndjson", inside, outside)
    with pytest.raises(SourceError, match=r"line 2: medicationReference names a Medication that is not in the folder"):
        events("fhir:", tmp_path)
    itself = {"ingredient": [{"itemReference": {"reference": "Medication/m"}}]}  # a circle, which nobody walks
    lines(tmp_path / "Medication.ndjson", coded | itself)
    assert [row[2] for row in events("fhir:", tmp_path)[0]] == ["LOINC:1-1", "LOINC:1-1"]


@pytest.mark.parametrize(
    ("attachment", "what"),
    [
        ({"data": "&&&"}, "the data of a note is not base64"),
        ({"data": "/w=="}, "a note is not utf-8, as it says"),
        ({"data": "YQ==", "contentType": "text/plain; charset=hex"}, "a note is in 'hex'; expected one of utf-8"),
    ],
)
def test_a_note_that_is_not_the_text_it_says_is_refused(tmp_path, attachment, what):
    note = LAB | {"resourceType": "DocumentReference", "content": [{"attachment": attachment}]}
    lines(tmp_path / "DocumentReference.ndjson", note)
    with pytest.raises(SourceError, match=f"line 1: {what}"):
        events("fhir:", tmp_path)
    pages = [{"attachment": {"contentType": "application/pdf", "data": "YQ=="}}, {"attachment": {"url": "elsewhere"}}]
    lines(tmp_path / "DocumentReference.ndjson", note | {"content": pages})
    assert events("fhir:", tmp_path) == ([], ["not read: 2 attachment of a DocumentReference that is no text in it"])


def test_a_huge_resource_and_a_bomb_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(fhir, "LINE_BYTES", 1000)
    lines(tmp_path / "Patient.ndjson", ASHA, ASHA | {"text": "x" * 2000})
    with pytest.raises(SourceError, match=r"Patient\.ndjson, line 2 has over"):
        events("fhir:", tmp_path)
    (tmp_path / "Patient.ndjson").unlink()
    monkeypatch.setattr("ult.data.packed.ALWAYS", 10_000)
    (tmp_path / "Patient.ndjson.gz").write_bytes(gzip.compress(json.dumps(ASHA).encode() + b"\n" * 10**6))
    with pytest.raises(SourceError, match="unpacks to over"):
        events("fhir:", tmp_path)
    (tmp_path / "Patient.ndjson.gz").write_bytes(gzip.compress(json.dumps(ASHA).encode())[:-9])
    with pytest.raises(SourceError, match="cut short"):
        events("fhir:", tmp_path)


def test_subjects_that_are_scattered_come_together_in_bounded_memory(tmp_path, monkeypatch):
    people = [ASHA | {"id": f"p{k}"} for k in range(40)]
    labs = [LAB | {"id": f"{k}", "subject": {"reference": f"Patient/p{k % 40}"}} for k in range(80)]
    lines(tmp_path / "Patient.ndjson", *people)
    lines(tmp_path / "Observation.ndjson", *labs[:40])
    monkeypatch.setattr(units, "HELD_BYTES", 1000)
    assert len(events("fhir:", tmp_path)[0]) == 80
    lines(tmp_path / "Observation.ndjson", *labs)
    monkeypatch.setattr(units, "PASS_BYTES", 1000)
    assert len(events("fhir:", tmp_path)[0]) == 120
    lines(tmp_path / "Patient.ndjson", *people[::-1])
    with pytest.raises(SourceError, match=r"Observation\.ndjson has its 'subject_id' in another order"):
        events("fhir:", tmp_path)


def meds(path, **columns):
    columns = {"subject_id": [1], "time": ["2020-01-01"], "code": ["x"]} | columns
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path


def test_other_columns_of_meds_are_columns_and_bad_ones_are_refused(tmp_path):
    path = meds(tmp_path / "a.parquet", image_path=["i.png"], vector=[[1.0]])
    rows = open_events("meds:", [f"meds:{tmp_path}"])
    assert list(rows.types) == [*COLUMNS, "image_path"]
    (chunk,) = rows.chunks(["image_path", "text"])
    assert chunk.columns == {"image_path": ["i.png"], "text": [None]}
    assert list(rows.told) == ["not read: column 'vector' of list<element: double>"]
    for change, what in [
        ({"code": None}, "has no column 'code'; expected those of MEDS"),
        ({"value": [1]}, "has a column 'value' beside 'numeric_value'"),
        ({"numeric_value": [[1]]}, "column 'numeric_value' is list"),
        ({"time": ["2020-13-01"]}, "row 1: the time of the event is no date"),
        ({"subject_id": pa.array([None], pa.int64())}, "row 1: 'subject_id' is empty"),
    ]:
        meds(path, **change)
        with pytest.raises(SourceError, match=what):
            events("meds:", tmp_path)
    meds(path, subject_id=[], time=[], code=[])
    with pytest.raises(EmptySource, match="holds no events"):
        events("meds:", tmp_path)


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8", newline="")


@pytest.mark.parametrize(
    ("table", "old", "new", "what"),
    [
        ("person", "gender_concept_id", "sex", "has no column 'gender_concept_id'"),
        ("person", "\n7,1000,", "\n7,F,", "row 1: a concept is no number"),
        ("person", "1950,03,01", "1950,02,30", "row 1: the time of the event is no date"),
        ("person", "\n12,", "\n7,", "row 2 has the id of .*row 1"),
        ("drug_exposure", "\n1,7,", "\n1,,", "row 1: 'person_id' is empty"),
        ("concept", "\n1001,", "\n1000,", "has the concept 1000 twice"),
        ("concept", "\n1001,", "\nx,", "row 2: 'concept_id' is no number"),
    ],
)
def test_a_bad_row_of_omop_is_refused_by_its_place(tmp_path, table, old, new, what):
    folder = patients.as_omop(tmp_path / "of")
    change(folder / f"{table}.csv", old, new)
    with pytest.raises(SourceError, match=rf"{table}\.csv,? {what}"):
        events("omop:", folder)


def test_concepts_without_their_table_are_numbers_and_none_is_as_the_source_wrote_it(tmp_path):
    folder = patients.as_omop(tmp_path / "of")
    (folder / "concept.csv").unlink()
    rows, _ = events("omop:", folder)
    assert all(row[2].isdigit() or row[2].startswith("MEDS_") for row in rows)
    header = (
        "person_id,condition_concept_id,condition_source_concept_id,condition_source_value,condition_era_start_date\n"
    )
    for name in ("person", "note"):
        (folder / f"{name}.csv").unlink()
    (folder / "condition_occurrence.csv").unlink()
    (folder / "CONDITION_ERA.csv").write_text(
        f"{header}7,0,0,K92.2,1999-01-01\n7,0.0,5,,1999-01-02\n7,0,,,1999-01-03\n"
    )
    rows, _ = events("omop:", folder)
    assert [row[2] for row in rows if "1999" in str(row[1])] == ["source:K92.2", "5", "0"]


def test_the_vocabulary_may_have_tabs_as_athena_writes_it(tmp_path):
    folder = patients.as_omop(tmp_path / "of")
    before = events("omop:", folder)
    text = (folder / "concept.csv").read_text(encoding="utf-8")
    lines(folder / "concept.csv", text.replace(",", "\t"))
    assert events("omop:", folder) == before


def test_a_folder_without_events_and_a_table_twice_are_refused(tmp_path):
    with pytest.raises(MissingSource, match=r"names no folder; .*hint: meds:FOLDER"):
        open_events("meds:", ["meds:"])
    for prefix in ("meds:", "fhir:", "omop:"):
        with pytest.raises(MissingSource):
            events(prefix, tmp_path / "nowhere")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises((MissingSource, EmptySource), match=r"hint: a folder (of|with) "):
            events(prefix, tmp_path / "empty")
    folder = patients.as_omop(tmp_path / "of")
    pq.write_table(pa.table({"PERSON_ID": ["7"]}), folder / "PERSON.parquet")
    with pytest.raises(SourceError, match="is there again as"):
        events("omop:", folder)
    (folder / "person.csv").unlink()
    with pytest.raises(MissingColumn, match="has no column 'gender_concept_id'"):
        events("omop:", folder)


def test_a_folder_of_events_that_is_named_otherwise_is_told_how_it_is_read(tmp_path):
    made = {"meds:": patients.as_meds, "fhir:": patients.as_fhir, "omop:": patients.as_omop}
    for prefix, write in made.items():
        folder = write(tmp_path / prefix[:-1])
        with pytest.raises(MissingSource) as refused:
            describe(folder)
        assert refused.value.hint == f"{prefix}{folder} for the events of patients in it"
    with pytest.raises(MissingSource) as refused:
        events("meds:", tmp_path / "omop")
    assert refused.value.hint == f"omop:{tmp_path / 'omop'}"
    with pytest.raises(SourceError, match=r"hint: fhir:.*Mixed\.ndjson for the events"):
        describe(lines(tmp_path / "Mixed.ndjson", ASHA, ASHA | {"gender": "female"}))


@pytest.mark.parametrize("text", ["2020-02-30", "2020-1-1", "2020-01-01T25:00", "2020-01-01T10:00+15:00", "@1", "0000"])
def test_what_no_calendar_has_is_no_moment(text):
    assert moment(text) is None


def test_moments_are_in_the_order_of_time():
    texts = ["1999", "2016-12-31T23:59:60Z", "2017", "2017-01-01T01:00:00.5+0100", "2017-01-01 00:00:01", "2017-02"]
    found = [moment(text) or 0 for text in texts]
    assert found == sorted(found)
    assert len(set(found)) == 5
