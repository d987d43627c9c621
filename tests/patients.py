"""A few made-up patients, and small writers of them as FHIR, MEDS and OMOP data, which know nothing of the readers."""

import base64
import csv
import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LOINC, SNOMED, RXNORM = "LOINC:{}".format, "SNOMED:{}".format, "RxNorm:{}".format
PATIENTS: dict[
    str, list[tuple[Any, ...]]
] = {  # of each: (what it is, time, code, value, unit, text), in the order of time
    "7": [
        ("gender", None, "Gender:F", None, None, None),
        ("birth", "1950-03-01", "MEDS_BIRTH", None, None, None),
        ("visit", "2020-01-02T10:00:00", "Visit:IP", None, None, None),
        ("condition", "2020-01-02T10:05:00", SNOMED(44054006), None, None, None),
        ("drug", "2020-01-02T10:10:00", RXNORM(860975), None, None, None),
        ("pressure", "2020-01-02T10:15:00", LOINC("8480-6"), "120", "mm[Hg]", None),
        ("pressure", "2020-01-02T10:15:00", LOINC("8462-4"), "80", "mm[Hg]", None),
        ("lab", "2020-01-02T10:20:00", LOINC("4548-4"), "6.50", "%", None),
        ("said", "2020-01-02T10:25:00", LOINC("72166-2"), None, None, SNOMED(266919005)),
        ("procedure", "2020-01-03T08:00:00", SNOMED(430193006), None, None, None),
        ("note", "2020-01-03T09:00:00", LOINC("34117-2"), None, None, 'Réview:\n\nno fever, "well"'),
        ("death", "2021-05-06T00:00:00", "MEDS_DEATH", None, None, None),
    ],
    "12": [
        ("gender", None, "Gender:M", None, None, None),
        ("birth", "2001-12-31", "MEDS_BIRTH", None, None, None),
        ("lab", "2019-06-01T07:00:00", LOINC("2345-7"), "101", "mg/dL", None),
        ("lab", "2019-06-01T07:30:00", LOINC("2345-7"), "99.5", "mg/dL", None),
    ],
    "300": [
        ("gender", None, "Gender:F", None, None, None),
        ("birth", "1988-07-07", "MEDS_BIRTH", None, None, None),
        ("drug", "2018-02-02T12:00:00", RXNORM(1191), None, None, None),
    ],
}
_SYSTEMS = {
    "LOINC": "http://loinc.org",
    "SNOMED": "http://snomed.info/sct",
    "RxNorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "Visit": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
}


def as_fhir(folder):
    """Write a file for each type of resource, one of them packed; a medication is referred to."""
    found = {}

    def add(kind, subject, n, **parts):
        who = {} if kind == "Patient" else {"subject": {"reference": f"Patient/{subject}"}}
        one = {"resourceType": kind, "id": f"{subject}-{n}", **who, **parts}
        found.setdefault(kind, []).append(one | ({"id": subject} if kind == "Patient" else {}))

    for subject, events in PATIENTS.items():
        of = {what: (time, code) for what, time, code, *_ in events}
        death = {"deceasedDateTime": of["death"][0] + "Z"} if "death" in of else {}
        gender = {"F": "female", "M": "male"}[of["gender"][1][-1]]
        add("Patient", subject, 0, gender=gender, birthDate=of["birth"][0], name=[{"family": "Nobody"}], **death)
        pressures = [one for one in events if one[0] == "pressure"]
        for n, (what, time, code, value, unit, text) in enumerate(events):
            if what == "visit":
                coding = {"system": _SYSTEMS["Visit"], "code": "IMP"}
                add("Encounter", subject, n, status="finished", **{"class": coding}, period={"start": time + "Z"})
            elif what == "condition":
                add("Condition", subject, n, code=_concept(code), onsetDateTime=time + "Z")
            elif what == "drug" and subject == "7":
                found.setdefault("Medication", []).append(
                    {"resourceType": "Medication", "id": "m", "code": _concept(code)}
                )
                reference = {"reference": "Medication/m"}
                add("MedicationRequest", subject, n, medicationReference=reference, authoredOn=time + "Z")
            elif what == "drug":
                add("MedicationRequest", subject, n, medicationCodeableConcept=_concept(code), authoredOn=time + "Z")
            elif what == "lab":
                add("Observation", subject, n, code=_concept(code), effectiveDateTime=time + "Z", **_value(value, unit))
            elif what == "said":
                said = {"valueCodeableConcept": _concept(text)}
                add("Observation", subject, n, code=_concept(code), effectiveDateTime=time + "Z", **said)
            elif what == "pressure" and (time, code) == pressures[0][1:3]:
                parts = [{"code": _concept(one[2])} | _value(*one[3:5]) for one in pressures]
                panel = _concept(LOINC("85354-9"))
                add("Observation", subject, n, code=panel, effectiveDateTime=time + "Z", component=parts)
            elif what == "procedure":
                add("Procedure", subject, n, status="completed", code=_concept(code), performedDateTime=time + "Z")
            elif what == "note":
                data = base64.b64encode(text.encode()).decode()
                content = [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}]
                add("DocumentReference", subject, n, type=_concept(code), date=time + "Z", content=content)
    folder.mkdir()
    for kind, resources in found.items():
        lines = "".join(json.dumps(one) + "\n" for one in resources)
        lines = lines.replace('"<number>', "").replace('<number>"', "")  # as it is written, 6.50
        if kind == "Observation":
            with gzip.open(folder / "Observation.000.ndjson.gz", "wb") as file:
                file.write(lines.encode())
        else:
            (folder / f"{kind}.ndjson").write_text(lines, encoding="utf-8")
    return folder


def _concept(code):
    system, _, code = code.partition(":")
    return {"coding": [{"system": _SYSTEMS[system], "code": code}]}


def _value(value, unit):
    return {"valueQuantity": {"value": f"<number>{value}<number>", "unit": unit, "code": unit}}


def as_meds(folder):
    """Write two shards of typed columns, with the unit in a column of its own."""
    (folder / "data" / "train").mkdir(parents=True)
    (folder / "metadata").mkdir()
    pq.write_table(pa.table({"code": ["x"]}), folder / "metadata" / "codes.parquet")
    for k, some in enumerate((["7", "12"], ["300"])):
        rows = [(subject, *event[1:]) for subject in some for event in PATIENTS[subject]]
        subjects, times, codes, values, units, texts = zip(*rows, strict=True)
        columns = {
            "subject_id": pa.array(map(int, subjects), pa.int64()),
            "time": pa.array([time and datetime.fromisoformat(time) for time in times], pa.timestamp("us")),
            "code": pa.array(codes, pa.string()),
            "numeric_value": pa.array([value and float(value) for value in values], pa.float32()),
            "text_value": pa.array(texts, pa.large_string()),
            "unit": pa.array(units, pa.string()),
        }
        pq.write_table(pa.table(columns), folder / "data" / "train" / f"{k}.parquet")
    return folder


_TABLES = {
    "visit": ("visit_occurrence", "visit_start"),
    "condition": ("condition_occurrence", "condition_start"),
    "drug": ("drug_exposure", "drug_exposure_start"),
    "lab": ("measurement", "measurement"),
    "pressure": ("measurement", "measurement"),
    "said": ("observation", "observation"),
    "procedure": ("procedure_occurrence", "procedure"),
    "note": ("note", "note"),
}


def as_omop(folder, *, upper=False, parquet=False):
    """Write the tables of the model with numbers for concepts, and what these are in CONCEPT."""
    concepts, tables = {}, {}

    def concept(code):
        return concepts.setdefault(code, 1000 + len(concepts)) if code else 0

    for person, events in PATIENTS.items():
        of = {what: (time, code) for what, time, code, *_ in events}
        born = dict(zip(("year_of_birth", "month_of_birth", "day_of_birth"), of["birth"][0].split("-"), strict=True))
        gender = concept(of["gender"][1])
        tables.setdefault("person", []).append({"person_id": person, "gender_concept_id": gender, **born})
        for what, time, code, value, unit, text in events:
            if what == "death":
                tables.setdefault("death", []).append({"person_id": person, "death_date": time[:10]})
            if what not in _TABLES:
                continue
            table, date = _TABLES[what]
            rows = tables.setdefault(table, [])
            prefix = {"drug_exposure": "drug", "note": "note_class"}.get(table, table.partition("_")[0])
            row = {
                f"{table}_id": len(rows) + 1,
                "person_id": person,
                f"{prefix}_concept_id": concept(code),
                f"{date}_date": time[:10],
                f"{date}_datetime": time.replace("T", " "),
            }
            if table in ("measurement", "observation"):
                units = concept(f"UCUM:{unit}") if unit else 0
                row |= {"value_as_number": value, "value_as_concept_id": concept(text), "unit_concept_id": units}
            if table == "note":
                row |= {"note_text": text}
            rows.append(row)
    parts = [(number, *code.split(":")) for code, number in concepts.items()]
    tables["concept"] = [dict(zip(("concept_id", "vocabulary_id", "concept_code"), one, strict=True)) for one in parts]
    tables["cost"] = [{"cost_id": "1"}]
    folder.mkdir()
    for name, rows in tables.items():
        _write(folder / (name.upper() if upper else name), rows, upper=upper, parquet=parquet)
    return folder


def _write(path, rows, *, upper, parquet):
    rows = [{name.upper() if upper else name: value for name, value in row.items()} for row in rows]
    if parquet:
        columns = {name: pa.array([None if row[name] is None else str(row[name]) for row in rows]) for name in rows[0]}
        pq.write_table(pa.table(columns), f"{path}.parquet")
        return
    with Path(f"{path}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
