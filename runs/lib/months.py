"""Two months of an owner's records that differ in truth, and their tables: before, updated, and fitted afresh."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.session import Session
from ult import Table, Vocabulary
from ult.codecs.base import encoded
from ult.owner.bpe.counts import PatchCounts
from ult.owner.updated import update
from ult.public.shard_writer import ShardWriter

SETS = ("wards", "mail", "sections")
YEAR = 18_000_000  # the PubMed id from which a text of sections is of the second month, about 2007
CODE = "OBJECTIVE"  # a label that the first month has not
LEAST = 100  # records that a label must have in all


@dataclass(frozen=True)
class Months:
    """Texts of both months to train on, of the second to choose by, and of both to test on, with labels or none."""

    old: list[str]
    new: list[str]
    valid: list[str]
    old_test: list[str]
    new_test: list[str]
    labels: dict[str, list[str]]  # of `old`, `new`, `valid`, `test`


@cache
def months(session: Session, of: str) -> Months:
    """Return a set: abstracts and then dialogues of another ward, mail by its dates, or sections by their years."""
    cut = session.sized(1, 12)  # takes every twelfth text
    if of == "sections":
        return _sections(session, cut)
    if of == "mail":
        rows = [row["body"] for row in _rows(session, "private-like/enron1_train.csv")]  # in the order of their dates
        half, test = len(rows) // 2, [row["body"] for row in _rows(session, "private-like/enron1_test.csv")]
        mid = len(test) // 2
        return Months(rows[:half:cut], rows[half::cut], [], test[:mid:cut], test[mid::cut], {})
    old = [row["text"] for row in _rows(session, "medical/abstracts_train.csv")]
    new = [row["dialogue"] for row in _rows(session, "private-like/clinical_dialogue_train.csv")]
    tests = (
        [row["text"] for row in _rows(session, "medical/abstracts_test.csv")][:200],
        [row["dialogue"] for row in _rows(session, "private-like/clinical_dialogue_test.csv")],
    )
    return Months(old[: len(old) // 2 : cut], new[100::cut], new[:100:cut], tests[0][::cut], tests[1][::cut], {})


def _sections(session: Session, cut: int) -> Months:
    known, test = (_rows(session, f"medical/sections_{split}.csv") for split in ("train", "test"))
    names = [row["label"] for row in known]
    kept = {label for label in set(names) if names.count(label) >= LEAST}
    known, test = ([row for row in rows if row["label"] in kept] for rows in (known, test))
    late = [int(row["pubmed_id"]) >= YEAR for row in known]
    old = [row for row, new in zip(known, late, strict=True) if not new and row["label"] != CODE][::cut]
    new = [row for row, of in zip(known, late, strict=True) if of]
    held = [row for row in new if int(row["pubmed_id"]) % 5 == 0]
    new = [row for row in new if int(row["pubmed_id"]) % 5][::cut]
    lots = {"old": old, "new": new, "valid": held[::cut], "test": test[::cut]}
    texts = {name: [row["text"] for row in rows] for name, rows in lots.items()}
    labels = {name: [row["label"] for row in rows] for name, rows in lots.items()}
    return Months(texts["old"], texts["new"], texts["valid"], texts["test"], [], labels)


def _rows(session: Session, name: str) -> list[dict[str, str]]:
    with (session.data / "text" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def tables(session: Session, of: str, size: int) -> dict[str, Table]:
    """Return the table of the first month, `old`, the one that updates it, and one fitted afresh on both months."""
    data, options = months(session, of), {"vocabulary": Vocabulary(size), "min_records": 5}
    old = Table.fit(data.old, **options)  # type: ignore[arg-type]
    counts = PatchCounts(min_records=5)
    counts.add(encoded(old.codec, data.new))
    both = Table.fit([*data.old, *data.new], **options)  # type: ignore[arg-type]
    return {"old": old, "updated": update(old, counts)[0], "fresh": both}


def same_ids(one: Table, other: Table) -> tuple[int, int]:
    """Return how many phrases two tables share, and how many of these have one id in both."""
    ids = [{s.tobytes(): k for k, s in enumerate(t.spellings()) if len(s) > 1} for t in (one, other)]
    both = ids[0].keys() & ids[1].keys()
    return len(both), sum(ids[0][key] == ids[1][key] for key in both)


def sizes(table: Table, texts: list[str]) -> NDArray[np.float64]:
    """Return the ids (texts,) that a table writes each text with."""
    return np.array([len(ids) for ids in table.encode_batch(texts)], float)


def shards(session: Session, name: str, table: Table, texts: list[str], labels: list[str] | None = None) -> Path:
    """Write shards of texts, with their labels beside them; return their folder."""

    def make(folder: Path) -> dict[str, Any]:
        kept = None if labels is None else pa.table({"label": labels})
        with ShardWriter(folder / "shards", vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                         column="text", kept=None if kept is None else kept.schema) as writer:  # fmt: skip
            writer.write(table.encode_batch(texts), sum(len(text.encode()) for text in texts), kept)
        return {}

    asked = {"table": table.fingerprint, "texts": len(texts), "bytes": sum(map(len, texts)), "labels": labels}
    return Path(session.once(f"shards/{name}", asked, make)["folder"]) / "shards"
