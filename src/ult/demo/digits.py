"""A step of the demo: a classifier of images that has seen nothing but ids, beside one that has the pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ult.data import open_source
from ult.demo.session import Session
from ult.host.extras import require
from ult.public.shards import Shards

SAMPLES = {part: f"sample:digits?part={part}" for part in ("train", "test")}
SHARDS = {part: f"trainer/digits-{part}.shards" for part in SAMPLES}
TABLE, IDENTITY = "hospital/digits.ult", "hospital/identity.txt"
QUALITY, IDS = 65, 1024
_ITERATIONS = 300


def digits(session: Session) -> dict[str, Any]:
    """Encode handwritten digits, train a classifier on their ids, and compare it with one of the pixels."""
    session.step(
        "A model worth having: it reads digits from ids",
        "Images too: the handwritten digits that come with scikit-learn, 8 by 8 pixels, stand for what a hospital "
        "scans. Each id says which frequencies of which part of an image are how strong, but only the table knows "
        "which. The trainer has ids and labels, and fits the simplest model that there is: one number for each id, "
        "each pair of neighbours and each class.",
    )
    recipient = next(line.split()[-1] for line in Path(IDENTITY).read_text().splitlines() if "public key" in line)
    session.run("hospital", "fit", SAMPLES["train"], "--codec", "image/dct", "--option", f"quality={QUALITY}", "--keep",
                "label", "--vocabulary-size", str(IDS), "-r", recipient, "-o", TABLE)  # fmt: skip
    for part, sample in SAMPLES.items():
        session.run("hospital", "encode", sample, "--keep", "label", "-t", TABLE, "--identity", IDENTITY, "-o",
                    SHARDS[part])  # fmt: skip
    session.run("trainer", "train", SHARDS["train"], "--task", "classify", "--label", "label", "--model", "bag", "-o",
                "trainer/digits.run")  # fmt: skip
    said = session.run("trainer", "evaluate", "trainer/digits.run", SHARDS["test"], "--json", quiet=True)
    accuracy, pixels, test = float(json.loads(said)["accuracy"]), of_pixels(), Shards(SHARDS["test"]).manifest
    session.result(
        f"{accuracy:.1%} of {test.rows:,} unseen digits are told from ids alone, {test.ids / test.rows:.0f} an image; "
        f"logistic regression on the pixels tells {pixels:.1%}: ids keep {accuracy / pixels:.1%} of it"
    )
    return {"digits": {"images": test.rows, "ids": test.ids, "accuracy": accuracy, "pixels": pixels}}


def of_pixels() -> float:
    """Return the accuracy of logistic regression on the pixels of the same images."""
    with require("scikit-learn", extra="demo"):
        from sklearn.linear_model import LogisticRegression
    (x, y), (test, truth) = (_pixels(sample) for sample in SAMPLES.values())
    return float(LogisticRegression(max_iter=_ITERATIONS).fit(x, y).score(test, truth))


def _pixels(sample: str) -> Iterator[Any]:
    """Yield the pixels of a sample's images (n, 64), from 0 to 16, and their labels (n,)."""
    batches = list(open_source([sample], modality="image", keep=["label"]).batches())
    yield np.concatenate([np.stack(batch.records) for batch in batches]).reshape(-1, 64) / (255 / 16)
    yield np.concatenate([batch.kept["label"].to_numpy() for batch in batches])
