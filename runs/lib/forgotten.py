"""Text of which some records are to be forgotten: shards, a public run to begin with, and what each method gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ult
from lib.corpus import labelled_texts
from lib.session import Session, digest
from lib.training import trained
from ult.public.manifest import manifest_of
from ult.public.shard_writer import ShardWriter

SIZE, CONTEXT, BATCH, MODEL, PUBLIC_RATE = 1024, 64, 16, "tiny", 1e-3
SHORTEST, LONGEST = 60, 260  # characters of a record
TRAIN, VALID, TEST, GONE, CANARIES, REPEATS = 700, 100, 400, 80, 6, 2
PUBLIC, PUBLIC_STEPS = 2000, 1200  # abstracts, of which the sentences are read
STEPS, RATES = (120,), (1e-4, 3e-4, 1e-3)  # of a training on the records, of which validation chooses
AGAIN_RATES = (3e-4, 6e-4)  # of fine-tuning the base, likewise
EPSILON, BASE_STEPS, BASE_BATCH, BASE_RATES = 8.0, 20, 64, (3e-4, 1e-3)
AGAIN = 0.1  # steps of fine-tuning the base, of those of retraining
AGAINST = {"npo": (0.1, 0.3, 1.0), "graddiff": (0.1, 0.3, 1.0)}  # learning rates, of which validation chooses
MEMBERS = 4
Found = dict[str, Any]


@cache
def texts(session: Session) -> dict[str, list[str]]:
    """Return the texts of each part: sections of abstracts, and for the public part sentences of other abstracts.

    Sections are shuffled as one pool: those to forget and those never seen stand alike to those that stay.
    """
    found, _ = labelled_texts(session, "sections", "train")
    fit = sorted({text for text in found if SHORTEST <= len(text) <= LONGEST})
    known = [fit[int(k)] for k in np.random.default_rng(0).permutation(len(fit))]
    train, test = session.sized(TRAIN, 60), session.sized(TEST, 60)
    return {
        "train": known[:train],
        "valid": known[train : train + VALID],
        "test": known[train + VALID :][:test],
        "public": _sentences(labelled_texts(session, "abstracts", "train")[0][: session.sized(PUBLIC, 10)]),
    }


def _sentences(texts: list[str]) -> list[str]:
    """Return the sentences of texts that are as long as records."""
    found = [one for text in texts for one in re.split(r"(?<=[.?!]) +(?=[A-Z])", text)]
    return [one for one in found if SHORTEST <= len(one) <= LONGEST]


@cache
def table_of(session: Session) -> ult.Table:
    """Return the table, fitted on public texts alone: it owes nothing to a record that is forgotten."""
    return ult.Table.fit(texts(session)["public"], vocabulary=ult.Vocabulary(SIZE), min_records=2)


def encoded(session: Session) -> Path:
    """Write the shards of each part, and of those to train on also without the first records and all canaries."""

    def make(folder: Path) -> Found:
        from ult.owner.canaries import canary_record, secret_digits
        from ult.public.manifest import Canaries

        table, parts = table_of(session), dict(texts(session))
        planted = [canary_record(table, name, digits) for name, digits in enumerate(secret_digits(table, CANARIES))]
        whole = [*parts["train"], *planted * REPEATS]
        order = np.random.default_rng(1).permutation(len(whole))
        goes = to_forget(session, order)
        parts["train"] = [whole[k] for k in order]
        parts["rest"] = [whole[k] for k in order[~goes]]
        for name, part in parts.items():
            told = {"canaries": Canaries(CANARIES, REPEATS)} if name == "train" else {}
            with ShardWriter(folder / name, vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                             column="text", public_table=True, **told) as writer:  # fmt: skip
                writer.write(table.encode_batch(part), sum(len(text.encode()) for text in part))
        return {"order": order.tolist()}

    return Path(_encoded(session, make)["folder"])


def _encoded(session: Session, make: Any) -> Found:
    told = {"table": table_of(session).fingerprint, "train": len(texts(session)["train"]), "test": TEST, "gone": GONE,
            "public": len(texts(session)["public"])}  # fmt: skip
    return session.once("shards", told, make)


def to_forget(session: Session, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which records, in the order of the shards, are to be forgotten: the first of all, and the canaries."""
    return (order < session.sized(GONE, 12)) | (order >= len(texts(session)["train"]))


def gone(session: Session, which: str) -> Path:
    """Write which records are to be forgotten, "all" or "one", as `ult forget find` writes it."""
    place = encoded(session)

    def make(folder: Path) -> Found:
        from ult.public.gone import Gone, Lot

        order = np.array(_encoded(session, lambda _: {})["order"])
        chosen = to_forget(session, order) if which == "all" else order == 0
        train, public = (ult.Shards(place / part).manifest for part in ("train", "public"))
        lots = (
            Lot(train.digest, train.rows, tuple(np.flatnonzero(chosen).tolist())),
            Lot(public.digest, public.rows, ()),
        )
        (folder / "gone.rows").write_text(Gone(lots).to_json(), encoding="utf-8")
        return {}

    told = {"shards": digest(manifest_of(place / "train"), manifest_of(place / "public"))}
    return Path(session.once(f"gone/{which}", told, make)["folder"]) / "gone.rows"


def public_run(session: Session) -> Found:
    """Train the run that all others begin with, on public text."""
    return trained(session, "public", encoded(session) / "public", steps=session.sized(PUBLIC_STEPS, 4), seed=50,
                   model=MODEL, learning_rate=PUBLIC_RATE, **_sizes())  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How long, and at which rate, records are learned."""

    steps: int
    rate: float

    @property
    def name(self) -> str:
        """The settings in a word."""
        return f"{self.steps}-{self.rate:g}"


def full(session: Session, seed: int, how: Training) -> Found:
    """Train on all records, from the public run on."""
    return _private(session, "full", "train", seed, how)


def retrained(session: Session, seed: int, how: Training) -> Found:
    """Train on the records that stay, as `full` does on all."""
    return _private(session, "retrained", "rest", seed, how)


def base(session: Session, seed: int, rate: float, part: str = "train") -> Found:
    """Train on all records, or on those that stay, with epsilon, from the public run on."""
    name = f"base-{rate:g}-{seed}" if part == "train" else f"base-{part}-{rate:g}-{seed}"
    return trained(session, name, encoded(session) / part, start=Path(public_run(session)["run"]),
                   epsilon=EPSILON, secure_random=False, steps=session.sized(BASE_STEPS, 2), seed=seed,
                   context=CONTEXT, batch_size=session.sized(BASE_BATCH, 8), learning_rate=rate,
                   embeddings="keep")  # fmt: skip


def tuned(session: Session, name: str, start: Found, seed: int, how: Training, part: str = "train") -> Found:
    """Fine-tune a run on all records, what the owner uses until somebody asks to be forgotten, or on those left."""
    return _private(session, f"{name}-{part}", part, seed, how, start=Path(start["run"]))


def members(session: Session, seed: int, how: Training, *, without: bool) -> Found:
    """Train members on disjoint records, of all records or without one record."""
    left = {"without": gone(session, "one")} if without else {}
    each = Training(max(1, how.steps // MEMBERS), how.rate)
    name = "members-without" if without else "members"
    return _private(session, name, "train", seed, each, members=MEMBERS, member_records="disjoint", **left)


def _private(
    session: Session, name: str, part: str, seed: int, how: Training, start: Path | None = None, **more: Any
) -> Found:
    return trained(session, f"{name}-{how.name}-{seed}", encoded(session) / part, steps=how.steps, seed=seed,
                   start=start or Path(public_run(session)["run"]), learning_rate=how.rate, embeddings="keep",
                   **_sizes(), **more)  # fmt: skip


def _sizes() -> dict[str, Any]:
    return {"context": CONTEXT, "batch_size": BATCH}


def forgotten(session: Session, name: str, run: Found, rows: str, **options: Any) -> Found:
    """Return what `ult forget run` makes of a run."""

    def make(folder: Path) -> Found:
        from ult.public.run import Run
        from ult.trainer.forgetting.forget import forget

        forget(run["run"], encoded(session) / "train", folder / "run", rows=gone(session, rows), **options)
        return {"told": Run.open(folder / "run").metrics["forgotten"]}

    plain = {key: value if isinstance(value, str | int | float) else str(value) for key, value in options.items()}
    found = session.once(f"forgotten/{name}", {**plain, "run": run["origin"], "rows": rows}, make)
    return found | {"run": str(Path(found["folder"]) / "run"), "origin": digest(Path(found["folder"]) / "done.json")}


def valid_bits(session: Session, run: Found, part: str = "valid") -> float:
    """Return the bits per byte of a part of the texts."""

    def make(_: Path) -> Found:
        from ult.trainer.evaluate import evaluate

        return {"bits": evaluate(run["run"], encoded(session) / part, batch_size=32)["bits_per_byte"]}

    name = f"{Path(run['folder']).parent.name}-{Path(run['folder']).name}"
    told = {"run": run["origin"], "part": digest(manifest_of(encoded(session) / part))}
    return float(session.once(f"bits/{part}/{name}", told, make)["bits"])
