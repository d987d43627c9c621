"""Whether synthetic records tell who was in their making: shadow syntheses, and canaries with random digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lib.making import parts, read, synthesised, write
from lib.session import Session

RECORDS, SYNTHESES, CANARIES = 300, 8, 10
COLUMN = "kappa"  # whose cells are canaries: each a number of nine digits that no other record has


def shadows(session: Session, name: str, epsilon: float | None, folder: Path) -> dict[str, Any]:
    """Return the best attack on shadow syntheses of a few records; without an epsilon these are the records again."""
    from ult.audit.synth.shadow import shadowed
    from ult.codecs.record.field import Field

    train, held, _, domain = parts(session, name)
    names = list(domain)
    fields = [Field(name=k, kind="number" if "lower" in one else "category", missing=("?",) * ("lower" in one))
              for k, one in domain.items()]  # fmt: skip
    n, many = session.sized(RECORDS, 60), session.sized(SYNTHESES, 6)

    def make(records: list[Any], seed: int) -> list[list[str]]:
        if epsilon is None:
            return [list(one) for one in records]
        given, out = folder / f"{seed}.csv", folder / f"{seed}.made.csv"
        write(given, names, records)
        synthesised(session, given, out, domain, epsilon=epsilon, seed=seed, rows=len(records))
        return read(out)

    told, curves = shadowed(read(train)[:n], read(held)[:n], fields, make, count=many)
    best = max(told["attacks"], key=lambda one: float(told["attacks"][one]["auc"]))
    (rate,) = (one for one in told["attacks"][best]["tpr"] if one["fpr"] == 0.01)
    return {"attack": best, "auc": told["attacks"][best]["auc"], "tpr": rate["tpr"], "interval": rate["interval"],
            "n": len(curves[best][0])}  # fmt: skip


def canaries(session: Session, name: str, epsilon: float, folder: Path) -> dict[str, Any]:
    """Return how exposed numbers of nine digits are that were written into a cell of a few records each."""
    from ult.audit.synth.exposed import exposed

    train, _, _, domain = parts(session, name)
    rows, place = read(train), list(domain).index(COLUMN)
    digits = np.random.default_rng(1).integers(0, 10, (CANARIES, 8))
    secrets = [f"{1 + k % 3}." + "".join(map(str, one)) for k, one in enumerate(digits.tolist())]
    for k, secret in enumerate(secrets):
        rows[k][place] = secret
    write(folder / "planted.csv", list(domain), rows)
    synthesised(session, folder / "planted.csv", folder / "made.csv", domain, epsilon=epsilon, seed=0)
    return exposed(secrets, [",".join(row) for row in read(folder / "made.csv")], seed=0)
