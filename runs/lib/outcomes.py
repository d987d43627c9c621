"""Tables with an outcome to predict, split by people, and written as files: what an owner has at hand."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.session import Session

Places = NDArray[np.int64]
Floats = NDArray[np.float64]
MISSING = ("?", "")
_ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a column says that is to be predicted, and what is known before it."""

    path: str
    column: str
    positive: tuple[str, ...]
    dropped: tuple[str, ...]  # identifiers, and what is known only afterwards
    unit: str = ""  # whose rows are in one part of a split


OUTCOMES = {
    "adult": Outcome("adult.data", "income", (">50K",), ()),
    "diabetes130": Outcome(
        "diabetes130.csv", "readmitted", ("<30", ">30"), ("encounter_id", "patient_nbr"), "patient_nbr"
    ),
    "flchain": Outcome("flchain.csv", "death", ("dead",), ("futime", "chapter")),
}


@dataclass(frozen=True)
class Rows:
    """A table: its columns but for the outcome, the cells as written, the outcomes, and whose the rows are."""

    names: list[str]
    cells: list[list[str]]
    outcomes: NDArray[np.bool_]  # (n,)
    units: Places  # (n,)

    def column(self, k: int, at: Places) -> list[str]:
        """Return the cells of a column in some rows."""
        return [self.cells[i][k] for i in at]

    def write(self, path: Path, at: Places) -> None:
        """Write some rows as a .csv, with the outcome last, as yes or no."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*self.names, "outcome"])
            writer.writerows([*self.cells[i], "yes" if self.outcomes[i] else "no"] for i in at)


def rows_of(session: Session, name: str) -> Rows:
    """Return a table of `OUTCOMES`."""
    asked = OUTCOMES[name]
    with (session.data / "records" / "tables" / asked.path).open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.reader(file, skipinitialspace=True) if line]
    names, cells = (list(_ADULT), lines) if name == "adult" else (lines[0], lines[1:])
    cells = cells[: session.sized(None, 600)]
    gone = {asked.column, *asked.dropped}
    left = [k for k, column in enumerate(names) if column not in gone]
    outcome = names.index(asked.column)
    whose = [line[names.index(asked.unit)] for line in cells] if asked.unit else list(map(str, range(len(cells))))
    return Rows(
        [names[k] for k in left],
        [[line[k] for k in left] for line in cells],
        np.array([line[outcome] in asked.positive for line in cells]),
        np.unique(whose, return_inverse=True)[1],
    )


def parts(units: Places, seed: int) -> tuple[Places, Places, Places]:
    """Return the rows to train on, to choose settings by, and to test on: 56, 14 and 30 % of the units."""
    many = int(units.max()) + 1
    place = np.random.default_rng(seed).permutation(many) / many
    of = place[units]
    return tuple(np.flatnonzero(found) for found in (of < 0.56, (of >= 0.56) & (of < 0.7), of >= 0.7))  # type: ignore[return-value]


def auroc(right: NDArray[np.bool_], scores: Any) -> float:
    """Return how often a record with the outcome has a higher score than one without; equal scores count half."""
    return of_places(right, np.unique(scores, return_inverse=True)[1], np.ones(len(right)))


def of_places(right: NDArray[np.bool_], places: Places, weights: Floats) -> float:
    """Return the AUROC of weighted records, of whose scores only the order counts: `places` (n,), from 0."""
    with_, without = np.bincount(places, weights * right), np.bincount(places, weights * ~right)
    return float((with_ * (np.cumsum(without) - without / 2)).sum() / (with_.sum() * without.sum()))
