"""Row `record-leaks`: what is read of each field of records, by public data, without the fields, with known columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.interval import over_seeds
from lib.result import metric
from lib.session import Session

import ult
from ult.audit.code.adversary import Adversary
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.inferred import inferred
from ult.audit.code.people import Named, ranked
from ult.audit.code.records import Attacker, Records
from ult.codecs.record import RecordColumns
from ult.data import open_source

SIZE, MIN_RECORDS = 2048, 5
SEEDS = (0, 1, 2)
SHOWN = 14  # fields of a table, the worst
ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
]  # fmt: skip
OMOP = {  # of the tables of OMOP, the columns that are read
    "PERSON": "PERSON_ID YEAR_OF_BIRTH MONTH_OF_BIRTH GENDER_SOURCE_VALUE RACE_SOURCE_VALUE ETHNICITY_SOURCE_VALUE",
    "CONDITION_ERA": "PERSON_ID CONDITION_CONCEPT_ID CONDITION_ERA_START_DATE",
}
UNIT = "PERSON_ID"
KNOWN = {  # of each table: the columns that somebody knows of the people
    "adult": ("age", "sex", "race"),
    "diabetes130": ("age", "gender", "race"),
    "patients": ("YEAR_OF_BIRTH", "GENDER_SOURCE_VALUE", "CONDITION_ERA_START_DATE"),
}
PUBLIC, FORM, LIST, LINKED, EVEN = "public records", "fields guessed", "known, a list", "known, by record", "control"
ASKED = "What is read of the fields of encoded records, and of people whose age, sex and dates are known?"
SETTING = """\
`record/columns`, 2,048 ids. adult: 3,000 rows by 6,000 others, without fnlwgt; diabetes130: 3,000 hospital stays by \
6,000 others, without its two numbers of persons and stays; patients: 600 persons of OMOP's GiBleed with all their \
conditions, by 1,200 others (a seed is a split). Attackers have the ids of all records. *public records*: the others, \
and the table's fields. *fields guessed*: the others alone, described as `ult describe` does. *known*: the \
others, and of the people in the shards age, sex and race (adult, diabetes130), or year of birth, sex and the dates of \
all conditions (patients), as a list in no order, or record by record. *control*: the others, but every column drawn \
evenly from its values. Without the ids the commonest cell of the others is guessed; where columns are known, that of \
others who are alike in them. *The rest* is what such a guess has not right."""


def main() -> None:
    """Attack the records of every table and split."""
    session = Session.begin("record-leaks")
    jobs = [(name, seed) for name in KNOWN for seed in session.sized(SEEDS, SEEDS[:2])]
    done = dict(zip(jobs, session.each(attacked, jobs), strict=True))
    metrics = []
    for name in KNOWN:
        runs = [found for (table, _), found in done.items() if table == name]
        metrics += of_table(name, runs)
    session.write(
        "What leaks of records of fields",
        metrics,
        asked=ASKED,
        setting=SETTING,
        chart=[f"{name}: cells read" for name in KNOWN],
        model={"name": "none", "parameters": 0},
    )


def of_table(name: str, runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of a table, over its splits."""
    seeds = range(len(runs))
    about: dict[str, Any] = {"seeds": seeds, "higher_is_better": False}

    def over(which: str, get: Any) -> dict[str, Any]:
        return over_seeds([get(run[which]) for run in runs])

    metrics = []
    for which in (PUBLIC, FORM, LIST, LINKED, EVEN):
        n = min(run[which]["cells"] for run in runs)
        metrics += [
            metric(f"{name}: cells read", which, over(which, lambda one: one["read"]), n=n, **about),
            metric(
                f"{name}: cells guessed without the ids", which, over(which, lambda one: one["blind"]), n=n, **about
            ),
            metric(f"{name}: read of the rest", which, over(which, lambda one: one["beyond"]), n=n, **about),
        ]
    people = min(run[LIST]["people"]["people"] for run in runs)
    for what in ("linked", "linked_wrongly", "alone", "few", "chance"):
        found = over(LIST, lambda one, what=what: one["people"][what])
        metrics.append(metric(f"{name}: people {what.replace('_', ' ')}", LIST, found, n=people, **about))
    worst = sorted(runs[0][PUBLIC]["fields"], key=lambda one: -float(runs[0][PUBLIC]["fields"][one]["beyond"]))
    for field in worst[:SHOWN]:
        for which in (PUBLIC, LIST):
            if all(field in run[which]["fields"] for run in runs):
                found = over(which, lambda one: one["fields"][field]["read"])  # noqa: B023
                n = min(run[which]["fields"][field]["cells"] for run in runs)
                metrics.append(metric(f"{name}, {field}: cells read", which, found, n=n, **about))
        guessed = over(PUBLIC, lambda one: one["fields"][field]["blind"])  # noqa: B023
        metrics.append(metric(f"{name}, {field}: cells guessed without the ids", PUBLIC, guessed, n=n, **about))
    return metrics


def attacked(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Return what each attacker reads of a split of a table, once."""

    def measure(folder: Path) -> dict[str, Any]:
        return attacks(session, folder, name, seed)

    return session.once(f"{name}-{seed}", {"version": 3}, measure)


def attacks(session: Session, folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Split a table in two, encode one part, and attack it by the other."""
    mine, others = split(session, folder, name, np.random.default_rng(seed))
    unit = UNIT if name == "patients" else ""
    schema = ult.describe(mine, unit=unit).schema
    assert schema is not None
    records, public = (list(open_source(part, modality="record", schema=schema)) for part in (mine, others))
    codec = RecordColumns(fields=[one.document() for one in schema.fields])
    table = ult.Table.fit(records, codec=codec, vocabulary=ult.Vocabulary(SIZE), min_records=MIN_RECORDS)
    target = Coded.of(table.encode_batch(records))
    here = Records(target, table, public, KNOWN[name])
    found = {
        PUBLIC: here.best("co-occurrence", alone := by(here, public)),
        EVEN: here.best("", by(here, even(public, seed))),
    }
    form = inferred(others, schema, None)
    assert form is not None
    found |= {
        FORM: here.without_form(*form),
        LIST: here.with_people(alone, place=False),
        LINKED: here.with_people(alone, place=True),
    }
    return {which: shown(one, here) for which, one in found.items()}


def by(here: Records, public: Sequence[Any]) -> Named:
    """Return the phrases that co-occurrence by public records guesses."""
    adversary = Adversary.fitted(here.table, public)
    return adversary.named(by_context(ranked(here.target, adversary), adversary.reference))


def even(public: Sequence[Any], seed: int) -> list[Any]:
    """Return records each of whose cells is drawn evenly from the values of its column, as many rows as there are."""
    rng = np.random.default_rng(seed)
    return list(zip(*(_even(column, rng) for column in zip(*public, strict=True)), strict=True))


def _even(column: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    if column and isinstance(column[0], tuple):
        cells = iter(list(zip(*(_even(one, rng) for one in zip(*(row for rows in column for row in rows), strict=True)),
                              strict=True)))  # fmt: skip
        return [tuple(next(cells) for _ in rows) for rows in column]
    values = list(dict.fromkeys(column))
    return [values[int(k)] for k in rng.integers(0, len(values), len(column))]


def shown(one: Attacker, here: Records) -> dict[str, Any]:
    """Return the figures of an attacker as JSON values, with the names of the fields, which anybody may know here."""
    figures = one.document(here.form)["fields"]
    names = ["/".join(filter(None, here.form.name(each.leaf))) for each in one.fields]
    return {**one.overall(), "people": one.people, "fields": dict(zip(names, figures, strict=True))}


def split(session: Session, folder: Path, name: str, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Write the two parts of a table, and return their inputs."""
    data = session.data / "records"
    sizes = session.sized((3000, 6000), (400, 800))
    if name == "patients":
        return _patients(data / "omop_gibleed", folder, session.sized((600, 1200), (150, 300)), rng)
    if name == "adult":
        rows = [[cell.strip() for cell in row] for row in _rows(data / "tables/adult.data") if row]
        head, dropped = ADULT, {"fnlwgt"}
    else:
        head, *rows = _rows(data / "tables/diabetes130.csv")
        dropped = {"encounter_id", "patient_nbr"}
    kept = [k for k, column in enumerate(head) if column not in dropped]
    order = rng.permutation(len(rows))
    inputs = []
    for part, first, last in (("mine", 0, sizes[0]), ("others", sizes[0], sum(sizes))):
        chosen = [[rows[i][k] for k in kept] for i in order[first:last]]
        inputs.append([_written(folder / f"{part}.csv", [head[k] for k in kept], chosen)])
    return inputs[0], inputs[1]


def _patients(data: Path, folder: Path, sizes: tuple[int, int], rng: np.random.Generator) -> Any:
    persons = sorted({row[0] for row in _rows(data / "PERSON.csv")[1:]})
    order = rng.permutation(len(persons))
    inputs = []
    for part, first, last in (("mine", 0, sizes[0]), ("others", sizes[0], sum(sizes))):
        here, paths = {persons[i] for i in order[first:last]}, []
        for table, columns in OMOP.items():
            head, *rows = _rows(data / f"{table}.csv")
            kept, unit = [head.index(column) for column in columns.split()], head.index(UNIT)
            chosen = sorted(([row[k] for k in kept] for row in rows if row[unit] in here), key=lambda row: int(row[0]))
            paths.append(_written(folder / f"{part}-{table}.csv", columns.split(), chosen))
        inputs.append([paths[0], f"conditions={paths[1]}"])
    return inputs


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _written(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


if __name__ == "__main__":
    main()
