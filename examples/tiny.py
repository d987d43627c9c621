"""Shards of a few made-up notes, for trying the examples: the owner's side in two calls."""

from __future__ import annotations

from pathlib import Path

import ult

WARDS = ("heart", "lung", "knee", "eye")


def write_tiny_shards(folder: Path) -> Path:
    """Write 400 notes, a table and shards into a folder, and return the path of the shards."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{WARDS[n % 4]},bed {n % 9} of the {WARDS[n % 4]} ward had a quiet night" for n in range(400)]
    (folder / "notes.csv").write_text("\n".join(["ward,note", *lines]) + "\n", encoding="utf-8")
    fitted = ult.fit(
        folder / "notes.csv",
        folder / "notes.ult",
        column="note",
        keep=["ward"],
        vocabulary_size=512,
        encrypt=False,  # made-up notes alone are worth no passphrase
        workers=1,
    )
    encoded = ult.encode(
        folder / "notes.csv", fitted.table, folder / "notes.shards", column="note", keep=["ward"], workers=1
    )
    return encoded.path
