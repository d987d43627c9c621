"""Ten thousand short records by each codec, from a run that has hardly learnt anything: how many of them are none."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lib.session import Session
from ult.data.images.image import packed

MANY = 10_000
SHORT = {"steps": 2, "batch_size": 8, "encrypt": False, "workers": 1, "context": 10}
FORMS = {"sex": "category", "age": "number", "note": "text"}
CODECS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "text/bytes": ("notes.txt", "made.txt", {}),
    "record/columns, a table": ("people.csv", "made.csv", {"context": 16}),
    "record/columns, events of a person": ("visits.csv", "made.csv", {"unit": "patient", "context": 20}),
    "record/columns, by marginals": ("people.csv", "made.csv", {"epsilon": 8.0, "forms": FORMS, "drop": ["note"]}),
    "molecule/smiles": ("molecules.txt", "made.parquet", {"codec": "molecule/smiles"}),
    "series/mulaw": ("waves.npz", "made.npz", {"codec": "series/mulaw", "context": 24}),
    "image/dct": ("digits", "made", {"codec": "image/dct", "context": 24}),
}


def inputs(root: Path) -> None:
    """Write a few records of each modality."""
    rng = np.random.default_rng(0)
    rows = [["fm"[rng.integers(2)], str(rng.integers(20, 90)), "no fever" * int(rng.integers(2))] for _ in range(90)]
    for name, head, lines in (
        ("people.csv", [*FORMS], rows),
        ("visits.csv", ["patient", *FORMS], [[f"p{k // 3}", *row] for k, row in enumerate(rows)]),
    ):
        with (root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *lines])
    (root / "notes.txt").write_text("".join(f"patient {k % 7} has no fever\n" for k in range(60)), encoding="utf-8")
    (root / "molecules.txt").write_text("CCO\nc1ccccc1\nCC(=O)O\nCNC\n" * 15, encoding="utf-8")
    np.savez(root / "waves.npz", series=rng.normal(size=(40, 12)).cumsum(1))
    (root / "digits").mkdir()
    for k in range(24):
        data, suffix = packed(rng.integers(0, 255, (8, 8), np.uint8))
        (root / "digits" / f"{k}{suffix}").write_bytes(data)


def invalid(session: Session, name: str, folder: Path) -> dict[str, Any]:
    """Write records by a codec, read them again, and count those that the codec refuses or that are missing."""
    from ult.synth import synthesise

    inputs(folder)
    source, out, options = CODECS[name]
    of = {**SHORT, **options}
    if "epsilon" in of:
        of = {key: value for key, value in of.items() if key not in SHORT or key in ("encrypt", "workers")}
        of["forms"] = {key: kind for key, kind in FORMS.items() if key != "note"}
    many = session.sized(MANY, 60)
    told = synthesise(folder / source, folder / out, rows=many, **of).told
    return {"asked": many, "invalid": many - accepted(folder / out, told.codec, options), "method": told.method}


def accepted(path: Path, codec: str, options: dict[str, Any]) -> int:
    """Return how many records of a file the codec takes, each by itself; read as anyone would read such a file."""
    from ult.codecs import codec_class
    from ult.errors import InvalidRecord
    from ult.owner.inputs import opened
    from ult.synth.records import Reading, Records

    kind = codec_class(codec)
    if codec == "record/columns":
        forms = {key: one for key, one in FORMS.items() if key not in options.get("drop", ())}
        found = Records.open(Reading(inputs=path, forms=forms, unit=options.get("unit", "")), private=True)
        source, made = found.source, kind(fields=[one.document() for one in found.fields])
    else:
        source = opened(path, modality=kind.modality, column=None)
        made = kind(**({"low": -1e6, "high": 1e6} if kind.calibrates else {}))
    taken = 0
    for batch in source.batches():
        for one in batch.records:
            with suppress(InvalidRecord):
                made.encode(one)
                taken += 1
    return taken
