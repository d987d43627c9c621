"""Made-up patients of two hospitals that do not exist: a line a visit. Equal seeds give equal patients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

COLUMNS = ("patient", "sex", "age", "admitted", "diagnosis", "test", "value", "drug", "note")


class _Case(NamedTuple):
    """A disease: its code, a test with mean and deviation of its values, drugs, and what is noted of it."""

    code: str
    test: str
    mean: float
    deviation: float
    digits: int
    drugs: str
    notes: str


_CASES = [
    _Case("I20.9", "troponin", 40, 18, 0, "aspirin 75 mg|bisoprolol 2.5 mg", "chest pain on exertion|tight chest"),
    _Case("I48.0", "TSH", 2.4, 0.9, 1, "apixaban 5 mg|bisoprolol 2.5 mg", "irregular heartbeat|palpitations"),
    _Case("J18.9", "CRP", 140, 50, 0, "amoxicillin 1 g|oxygen", "fever and green sputum|short of breath, rigors"),
    _Case("E11.9", "HbA1c", 68, 11, 0, "metformin 1 g|insulin", "thirst for weeks|feet feel numb"),
    _Case("N18.3", "potassium", 5.3, 0.4, 1, "furosemide 40 mg|ramipril 2.5 mg", "swollen ankles|tired, no appetite"),
    _Case("D50.9", "haemoglobin", 84, 9, 0, "iron 200 mg|transfusion", "tired, pale|short of breath on stairs"),
]  # fmt: skip
_OFTEN = (5, 4, 4, 6, 3, 2)  # how often each is met


def patients(hospital: str, n: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Yield the lines of `n` patients of a hospital, one a visit, with the cells of `COLUMNS`."""
    for number in range(n):
        yield from _patient(hospital, number, Random(f"{hospital} {seed} {number}"))  # noqa: S311 no secret


def _patient(hospital: str, number: int, rng: Random) -> Iterator[tuple[str, ...]]:
    sex, age = rng.choice("fm"), min(99, max(18, round(rng.gauss(62, 16))))
    case = rng.choices(_CASES, _OFTEN)[0]
    day = date(2024, 1, 1) + timedelta(days=rng.randrange(330))
    for visit in range(rng.choice((1, 1, 2, 3))):
        value = f"{max(0.1, rng.gauss(case.mean / (1 + 0.15 * visit), case.deviation)):.{case.digits}f}"
        note = rng.choice(case.notes.split("|")) if visit == 0 else rng.choice(("better", "unchanged", "feels well"))
        yield (
            f"{hospital[0]}{number:04}", sex, str(age), day.isoformat(), case.code, case.test,
            value if rng.random() < 0.9 else "", rng.choice(case.drugs.split("|")), note,
        )  # fmt: skip
        day += timedelta(days=rng.choice((7, 14, 28, 30)))
