"""Subjects of mails with the label spam or ham: synthetic ones by a run, and what a classifier learns of them."""

from __future__ import annotations

import csv
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.making import delta_of, read, write
from lib.outcomes import auroc
from lib.private_linear import fitted
from lib.session import Session

TRAIN, HELD_OUT, MADE = 2000, 1000, 1000
STEPS, BATCH, CONTEXT, LONGEST = 80, 200, 40, 60  # a subject is cut after so many characters
WORDS = 512  # places that words are hashed to
FORMS, NAMES = {"label": "category", "subject": "text"}, ["label", "subject"]
Floats = NDArray[np.float64]


def sides(session: Session) -> tuple[list[list[str]], list[list[str]]]:
    """Return the subjects to make others from, and those held out, each with its label."""
    found = []
    for name, n, quick in (("train", TRAIN, 200), ("test", HELD_OUT, 150)):
        with (session.data / "text/private-like" / f"enron1_{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [[row["label"], row["subject"][:LONGEST]] for row in csv.DictReader(file)]
        order = np.random.default_rng(0).permutation(len(rows))[: session.sized(n, quick)]
        found.append([rows[k] for k in order])
    return found[0], found[1]


def words(rows: list[list[str]]) -> tuple[Floats, Floats]:
    """Return which words a subject has (n, `WORDS` + 1), of length 1 at most, and whether it is spam (n,)."""
    found = np.zeros((len(rows), WORDS + 1))
    for k, (_, subject) in enumerate(rows):
        found[k, [zlib.crc32(word.encode()) % WORDS for word in subject.lower().split()]] = 1
    found[:, -1] = 1
    return found / np.linalg.norm(found, axis=1, keepdims=True), np.array([row[0] == "spam" for row in rows], float)


def texts(session: Session, epsilon: float, folder: Path) -> dict[str, Any]:
    """Write subjects by `ult synth`, and return scores of held-out ones: learnt of these, of real ones, privately."""
    from sklearn.linear_model import LogisticRegression

    from ult.synth import synthesise

    train, held = sides(session)
    write(folder / "train.csv", NAMES, train)
    told = synthesise(
        folder / "train.csv", folder / "made.csv", rows=session.sized(MADE, 40), epsilon=epsilon, forms=FORMS,
        condition="label", labels=("ham", "spam"), encrypt=False, workers=1, context=CONTEXT, model=session.model,
        steps=session.sized(STEPS, 3), batch_size=session.sized(BATCH, 32),
    ).told  # fmt: skip
    made, (inputs, truth), (test, right) = read(folder / "made.csv"), words(train), words(held)
    direct = fitted(inputs, truth, epsilon=epsilon, delta=delta_of(len(train)), seed=0)
    scores = {"direct": (test @ direct).tolist()}
    for name, rows in (("synthetic", made), ("real", train[: len(made)])):
        model = LogisticRegression(max_iter=500).fit(*words(rows))
        scores[name] = model.decision_function(test).tolist()
    return {"scores": scores, "truth": (right > 0).tolist(), "vocabulary": told.shape["vocabulary"], "n": len(held),
            "auroc": {name: auroc(right > 0, np.array(one)) for name, one in scores.items()}}  # fmt: skip
