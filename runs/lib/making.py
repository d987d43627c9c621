"""Tables to make records from, and their makers: `ult synth`, MST of dpmm, noisy marginals, and the real records."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib.outcomes import rows_of
from lib.private_linear import Domain
from lib.session import Session

OURS, RUN, MST = "ult synth", "ult synth --method train", "MST (dpmm)"
TOLD = "ult synth, cells declared"
NOISY, REAL = "noisy marginals", "real records"
PEERS, ITERATIONS = os.environ.get("DPMM", ""), 500
TABLES = {  # columns beside the outcome
    "flchain": ("age", "sex", "kappa", "lambda", "creatinine"),
    "diabetes130": (
        "race", "gender", "age", "time_in_hospital", "num_lab_procedures", "num_procedures", "num_medications",
        "number_outpatient", "number_emergency", "number_inpatient", "number_diagnoses", "insulin", "diabetesMed",
        "change",
    ),
}  # fmt: skip
CODEBOOK = {  # what cells there may be, as the documentation of the data sets says, spelled as in their files
    "flchain": {"age": "50..110", "sex": "F|M"},
    "diabetes130": {
        "race": "AfricanAmerican|Asian|Caucasian|Hispanic|Other|?",
        "gender": "Female|Male|Unknown/Invalid",
        "age": "|".join(f"[{low}-{low + 10})" for low in range(0, 100, 10)),
        "time_in_hospital": "1..14", "insulin": "Down|No|Steady|Up", "diabetesMed": "No|Yes", "change": "Ch|No",
    },
}  # fmt: skip
TRAIN, HELD_OUT, MADE = 2000, 3000, 1500
LABEL = "outcome"


def parts(session: Session, name: str) -> tuple[Path, Path, Path, Domain]:
    """Return the files of the people to make records from, of the held-out ones, and what is public of the columns.

    Of a person with several rows the first one is taken.
    """
    folder = session.work / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(session, name)
    places = [rows.names.index(column) for column in TABLES[name]]
    first = np.unique(rows.units, return_index=True)[1].tolist()
    every = [[*(rows.cells[i][k] for k in places), "yes" if rows.outcomes[i] else "no"] for i in first]
    order = np.random.default_rng(0).permutation(len(every))
    names, n = [*TABLES[name], LABEL], session.sized(TRAIN, 300)
    sides = {"train": order[:n], "held-out": order[n : n + session.sized(HELD_OUT, 200)]}
    for side, at in sides.items():
        write(folder / f"{side}.csv", names, [every[k] for k in at])
    domain: Domain = {}
    for k, column in enumerate(names):
        there = [line[k] for line in every if line[k] not in ("", "?")]
        cells = sorted({line[k] for line in every})
        domain[column] = {"categories": cells}
        if len(set(there)) > 12 and all(cell.replace(".", "", 1).isdigit() for cell in there):
            domain[column] = {"lower": min(map(float, there)), "upper": max(map(float, there))}
    (folder / "domain.json").write_text(json.dumps(domain), encoding="utf-8")
    return folder / "train.csv", folder / "held-out.csv", folder / "domain.json", domain


def write(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def read(path: Path) -> list[list[str]]:
    """Return the rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def delta_of(records: int) -> float:
    """Return the delta of every promise to so many records."""
    return float(records**-1.1)


def synthesised(
    session: Session, train: Path, out: Path, domain: Domain, cells: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """Write records by `ult synth`, with the kind of each column, the labels, and `cells` of some columns declared."""
    from ult.synth import synthesise

    forms = {column: "number" if "lower" in one else "category" for column, one in domain.items()}
    forms |= {column: f"{forms[column]}:{told}" for column, told in (cells or {}).items()}
    of = {"forms": forms, "codec": "record/columns", "encrypt": False, "workers": 1, "condition": LABEL}
    return synthesise(train, out, **{**of, "labels": ("no", "yes"), "rows": session.sized(MADE, 200), **options}).told


def by_ult(session: Session, name: str, epsilon: float, out: Path, seed: int) -> dict[str, Any]:
    """`ult synth` as it is: by marginals."""
    train, _, _, domain = parts(session, name)
    told = synthesised(session, train, out, domain, epsilon=epsilon, seed=seed)
    return {"delta": told.delta, "method": told.method}


def by_told(session: Session, name: str, epsilon: float, out: Path, seed: int) -> dict[str, Any]:
    """`ult synth` by marginals, which is told what the codebook says."""
    train, _, _, domain = parts(session, name)
    told = synthesised(session, train, out, domain, CODEBOOK[name], epsilon=epsilon, seed=seed)
    return {"delta": told.delta, "method": told.method}


def by_mst(session: Session, name: str, epsilon: float, out: Path, seed: int) -> dict[str, Any]:
    """MST of dpmm."""
    train, _, domain, _ = parts(session, name)
    delta = delta_of(session.sized(TRAIN, 300))
    words = {"method": "mst", "epsilon": epsilon, "delta": delta, "rows": session.sized(MADE, 200), "seed": seed,
             "iterations": session.sized(ITERATIONS, 20)}  # fmt: skip
    options = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    script = Path(__file__).parent / "marginals.py"
    subprocess.run([PEERS, str(script), str(train), str(domain), str(out), *options], check=True)
    return {"delta": delta}


def by_marginals(session: Session, name: str, epsilon: float, out: Path, seed: int) -> dict[str, Any]:
    """Each column by itself, given the outcome: one person changes one bin of each column's histogram."""
    train, _, _, domain = parts(session, name)
    rows, rng, n = read(train), np.random.default_rng(seed), session.sized(MADE, 200)
    names = list(domain)
    scale, yes = len(names) / epsilon, np.array([row[-1] == "yes" for row in rows])
    share = np.clip((yes.sum() + rng.laplace(0, scale)) / len(rows), 0.01, 0.99)
    made = rng.random(n) < share
    cells: list[list[str]] = []
    for k, column in enumerate(names[:-1]):
        one, bins = domain[column], 16
        values = [row[k] for row in rows]
        if "categories" in one:
            keys = [*one["categories"]]
            place = np.array([keys.index(value) for value in values])
        else:
            gone = np.array([value in ("", "?") for value in values])
            low, high = one["lower"], np.log1p(one["upper"] - one["lower"])
            at = np.array([np.log1p(float(v if v not in ("", "?") else low) - low) for v in values])
            place = np.where(gone, bins, np.minimum(at / high * bins, bins - 1).astype(int))
            keys = list(range(bins + 1))
        drawn = np.zeros(n, int)
        for side in (False, True):
            counts = np.bincount(place[yes == side], minlength=len(keys)) + rng.laplace(0, scale, len(keys))
            shares = np.maximum(counts, 0.01)
            drawn[made == side] = rng.choice(len(keys), int((made == side).sum()), p=shares / shares.sum())
        if "categories" in one:
            cells.append([keys[d] for d in drawn])
        else:
            spread = np.expm1((drawn + rng.random(n)) / bins * high) + one["lower"]
            cells.append(["" if d == bins else f"{value:.4g}" for d, value in zip(drawn, spread, strict=True)])
    write(out, names, list(zip(*cells, ["yes" if one else "no" for one in made], strict=True)))
    return {"delta": delta_of(len(rows))}


def by_nobody(session: Session, name: str, epsilon: float, out: Path, seed: int) -> dict[str, Any]:
    """As many of the real records that records were made from: what nothing can be truer than, and what copies all."""
    train, _, _, domain = parts(session, name)
    write(out, list(domain), read(train)[: session.sized(MADE, 200)])
    return {"delta": delta_of(session.sized(TRAIN, 300))}


MAKERS: dict[str, Callable[..., dict[str, Any]]] = {
    OURS: by_ult, TOLD: by_told, MST: by_mst, NOISY: by_marginals, REAL: by_nobody,
}  # fmt: skip
