"""The last step of the demo: a whole patient, its ids, and what an attacker who knows something of people reads."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.audit import read_records
from ult.audit.code.reveal import ReadCell
from ult.demo.patients import COLUMNS, patients
from ult.demo.session import Session
from ult.owner.keyfile import read_identities
from ult.owner.picture import Line, picture
from ult.owner.table import Table

SHARDS = "trainer/patients.shards"
TABLE = "hospital/patients.ult"
PRIVATE, PUBLIC, AUDIT = "hospital/patients.csv", "adversary/patients.csv", "hospital/patients-code.json"
IDENTITY = "hospital/identity.txt"
KNOWN = ("sex", "age", "admitted")
FIRST = 12  # records among which the page shows the one with the most visits


def whole_patient(session: Session, n: int, vocabulary_size: int, seed: int) -> dict[str, Any]:
    """Encode patients with several visits, show one with its ids, and attack them with what others may know of them."""
    session.step(
        "A whole patient, not one note",
        f"{n:,} patients, made up again, a line a visit: sex, age, days, codes, laboratory values with gaps, drugs, "
        "notes. All lines of a patient are one record, which comes back exactly. The adversary has the shards, the "
        "patients that another hospital published, and knows sex, age and days of admission of everybody in the "
        "shards, as an insurer may.",
    )
    lines = _write(PRIVATE, "private", n, seed)
    _write(PUBLIC, "other", n, seed)
    recipient = next(line.split()[-1] for line in Path(IDENTITY).read_text().splitlines() if "public key" in line)
    session.run("hospital", "fit", PRIVATE, "--codec", "record/columns", "--unit", "patient",
                "--vocabulary-size", str(vocabulary_size), "-r", recipient, "-o", TABLE)  # fmt: skip
    table = ("-t", TABLE, "--identity", IDENTITY)
    session.run("hospital", "encode", PRIVATE, *table, "-o", SHARDS)
    session.run("hospital", "decode", SHARDS, *table, "-o", "hospital/patients-again.csv")
    again = _lines("hospital/patients-again.csv")
    key = Table.load(TABLE, identities=read_identities(IDENTITY))
    exact = sum(one[1:] == other[1:] for one, other in zip(lines, again, strict=True))
    session.result(
        f"{exact:,} of {len(lines):,} lines come back, every cell as it was; the patients' numbers stay behind"
    )
    visits = [*Counter(line[0] for line in lines).values()][:FIRST]
    shown = visits.index(max(visits))
    session.run("hospital", "inspect", SHARDS, *table, "--record", str(shown))
    known = (word for name in KNOWN for word in ("--known", name))
    session.run("hospital", "audit", "code", SHARDS, "--reference", PUBLIC, *table, *known, "--json", AUDIT,
                shown=slice(-1, None))  # fmt: skip
    return {"patient": {"lines": len(lines), "exact": exact, "attackers": _attacked(session), **_page(key, shown)}}


def _write(path: str, hospital: str, n: int, seed: int) -> list[list[str]]:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(patients(hospital, n, seed))
    return _lines(path)


def _lines(path: str) -> list[list[str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def _attacked(session: Session) -> list[dict[str, Any]]:
    """Return what each attacker reads of all records, and tell the least and the most informed one's figures."""
    attackers: list[dict[str, Any]] = json.loads(Path(AUDIT).read_bytes())["fields"]["attackers"]
    first, informed = attackers[0], next(one for one in attackers if one["name"] == "known columns")
    session.result(
        f"with public patients alone, an attack reads {first['read']:.1%} of {first['cells']:,} cells; without the ids "
        f"it would guess {first['blind']:.1%}"
    )
    people = informed["people"]
    low, high = people["linked_interval"]
    session.result(
        f"with {len(KNOWN)} columns of everybody in its hands it links {people['linked']:.1%} of {people['people']:,} "
        f"people to their records (95 %: {low:.1%} to {high:.1%}; chance {people['chance']:.2%}), and reads "
        f"{informed['read']:.1%} of their other cells ({informed['blind']:.1%} without the ids)"
    )
    return attackers


def _page(table: Table, record: int) -> dict[str, Any]:
    """Return the record that is shown: its ids, what each says, and what the attacker reads of each cell."""
    found = picture(SHARDS, table, record)
    (cells,) = read_records(SHARDS, [record], reference=PUBLIC, table=table, known=KNOWN)
    read = {(cell.field, cell.row if cell.row >= 0 else None): cell for cell in cells}
    return {"shown": record, "ids": found.ids.tolist(), "picture": [_line(one, read) for one in found.lines]}


def _line(line: Line, read: Mapping[tuple[str, int | None], ReadCell]) -> dict[str, Any]:
    """Return a line of the picture as JSON values; `read` is None for the head of a row."""
    cell = read.get((line.field, line.row))
    guess = None if cell is None else {"known": cell.known, "right": cell.right, "text": str(cell.guess or "")}
    pieces = [{"id": one.id, "text": one.text, "goes_on": one.goes_on} for one in line.pieces]
    return {"field": line.field, "row": line.row, "cell": line.cell, "pieces": pieces, "read": guess}
