"""Row `release`: who has what. Owners and their bodies, receivers, and what each looks for in what it holds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import ult
from lib.corpus import labelled_texts, wikitext
from lib.session import Session, digest
from lib.training import bits, trained
from ult.owner.canaries import DIGITS, canary, secret_digits
from ult.public.shard_writer import ShardWriter

VOCABULARY, CONTEXT = 1024, 128
CANARIES, REPEATS, ALTERNATIVES, DECOYS = 8, 100, 1000, 400
OWNED, MEMBERS = 1150, 300  # abstracts that an owner trains on, and how many of them are looked for
RECITED, TIMES, LETTERS = 20, 30, 400  # others that stand there so many times, and how many characters of each


@dataclass(frozen=True)
class Size:
    """How long models of a size are trained, how often, and on how much."""

    seeds: tuple[int, ...]
    volumes: tuple[int, ...]  # of a receiver's text, in per cent of the owner's bytes
    owner: int  # steps
    receiver: int
    batch: int
    owners: tuple[str, ...]  # how they began: from "scratch", or from a "public" run


@dataclass(frozen=True)
class Receiver:
    """What a receiver makes of a body."""

    body: str = "scratch"  # how its owner began: from "scratch" or from a "public" run; "" for no body
    rows: str = "fresh"  # or its "own" model's, the "public" run's, or the owner's "aligned" to its table
    frozen: bool = False  # whether the body stays as it is
    trained: bool = True
    decoys: bool = False  # whether records in the canaries' form, with other digits, are among its text
    full: bool = False  # whether it is tried with the most text alone


SIZES = {
    "tiny": Size((0, 1, 2), (1, 10, 100), owner=800, receiver=300, batch=16, owners=("scratch", "public")),
    "small": Size((0,), (100,), owner=400, receiver=200, batch=8, owners=("scratch",)),
}
QUICK = {"tiny": Size((0, 1), (10,), owner=20, receiver=6, batch=16, owners=("scratch", "public"))}
NOTHING = "scratch, no body"
RECEIVERS = {
    "rows alone": Receiver(frozen=True),
    "everything": Receiver(),
    "grafted rows, everything": Receiver(rows="own", full=True),
    "decoys, rows alone": Receiver(frozen=True, decoys=True, full=True),
    NOTHING: Receiver(body=""),
    "whole run, aligned": Receiver(rows="aligned"),
    "public start: everything": Receiver(body="public", full=True),
    "public start: public rows": Receiver(body="public", rows="public", trained=False, full=True),
    "public start: public rows, learned": Receiver(body="public", rows="public", frozen=True, full=True),
}


def sizes(session: Session) -> dict[str, Size]:
    """Return the sizes of models."""
    found: dict[str, Size] = session.sized(SIZES, QUICK)
    return found


# ---- texts and tables


def abstracts(session: Session, split: str) -> list[str]:
    """Return the owner's kind of records."""
    return labelled_texts(session, "abstracts", split)[0]


def owned(session: Session) -> list[str]:
    """Return what an owner trains on once."""
    return abstracts(session, "train")[: session.sized(OWNED, 60)]


def recited(session: Session) -> list[str]:
    """Return what an owner trains on many times: the beginnings of other abstracts."""
    many = session.sized(RECITED, 4)
    return [text[:LETTERS] for text in abstracts(session, "train")[OWNED : OWNED + many]]


def public_text(session: Session, volume: int, seed: int) -> list[str]:
    """Return a receiver's own text: sections of other abstracts, a share of the owner's bytes."""
    texts, _ = labelled_texts(session, "sections", "train")
    drawn = [texts[k] for k in np.random.default_rng(seed).permutation(len(texts))]
    ends = np.cumsum([len(text.encode()) for text in drawn])
    most = sum(len(text.encode()) for text in owned(session)) * volume / 100
    return drawn[: max(20, int((ends <= most).sum()))]


@cache
def table(session: Session, whose: str, volume: int = 0, seed: int = 0) -> ult.Table:
    """Return the table of the "owner", of the "public" run or of a "receiver"; tables stay in memory."""
    if whose == "owner":
        texts = owned(session)
    else:
        texts = public_text(session, volume, seed) if whose == "receiver" else wiki(session)
    return ult.Table.fit(texts, vocabulary=ult.Vocabulary(VOCABULARY), min_records=1)


def wiki(session: Session) -> list[str]:
    """Return the text of the public run."""
    return wikitext(session, "train")[: session.sized(None, 300)]


def encoded(session: Session, name: str, code: ult.Table, texts: Sequence[str]) -> Path:
    """Write shards."""

    def make(folder: Path) -> dict[str, Any]:
        with ShardWriter(folder / "shards", vocabulary=code.vocabulary, table=code.fingerprint, codec=code.codec.id,
                         column="text") as writer:  # fmt: skip
            writer.write(code.encode_batch(list(texts)), sum(len(text.encode()) for text in texts))
        return {}

    settings = {"table": code.fingerprint, "n": len(texts), "bytes": sum(len(text.encode()) for text in texts)}
    return Path(session.once(f"shards/{name}", settings, make)["folder"]) / "shards"


# ---- owners


def public_run(session: Session, model: str, seed: int) -> dict[str, Any]:
    """Train the run that everybody has: wikitext-2, under a table that everybody has."""
    size = sizes(session)[model]
    return trained(session, f"public-{model}-{seed}", public_shards(session), model=model, steps=size.owner // 2,
                   batch_size=size.batch, context=CONTEXT, seed=seed)  # fmt: skip


def public_shards(session: Session) -> Path:
    """Write what the public run is trained on."""
    return encoded(session, "public-run", table(session, "public"), wiki(session))


def own(session: Session, model: str, seed: int, began: str) -> dict[str, Any]:
    """Train an owner's model, canaries and all, and take its rows out."""
    code, size = table(session, "owner"), sizes(session)[model]
    how: dict[str, Any] = {"model": model}
    if began == "public":
        start = aligned(session, public_run(session, model, seed), "public", code, f"{model}-{seed}")
        how = {"start": start, "embeddings": "keep"}
    run = trained(session, f"owner-{began}-{model}-{seed}", owner_shards(session, seed),
                  steps=size.owner, batch_size=size.batch, context=CONTEXT, seed=seed, **how)  # fmt: skip

    def release(folder: Path) -> dict[str, Any]:
        from ult.owner.handover.withhold import withhold

        return withhold(run["run"], folder / "run", folder / "rows.age", encrypt=False)

    released = session.once(f"body/{began}-{model}-{seed}", {"from": run["origin"]}, release)
    return run | {"body": Path(released["folder"]) / "run"}


def owner_shards(session: Session, seed: int) -> Path:
    """Write what an owner trains on: abstracts, canaries, and abstracts that stand there many times."""
    code = table(session, "owner")
    planted = [canary(name, d) for name, d in enumerate(secret_digits(code, CANARIES))] * session.sized(REPEATS, 5)
    every = [*owned(session), *planted, *recited(session) * TIMES]
    every = [every[k] for k in np.random.default_rng(seed).permutation(len(every))]
    return encoded(session, f"owner-{seed}", code, every)


def aligned(session: Session, run: dict[str, Any], whose: str, code: ult.Table, name: str) -> Path:
    """Return a run with its rows aligned from the table of the "public" run or of the "owner" to `code`."""
    from ult.owner.handover.align import align

    def make(folder: Path) -> dict[str, Any]:
        return align(run["run"], table(session, whose), code, folder / "run")

    settings = {"from": run["origin"], "table": code.fingerprint}
    return Path(session.once(f"aligned/{whose}-{name}", settings, make)["folder"]) / "run"


# ---- receivers


def receive(session: Session, model: str, seed: int, volume: int, how: str) -> dict[str, Any]:
    """Make of a body what a receiver does, look for the owner's records in it, and measure what it is worth."""
    kind, size = RECEIVERS[how], sizes(session)[model]
    name = _name(model, seed, volume, how)
    start = _start(session, model, seed, volume, kind, name)
    if kind.trained:
        options: dict[str, Any] = {"start": start, "embeddings": "fresh" if kind.rows == "fresh" else "keep"}
        options |= {"freeze_body": size.receiver} if kind.frozen else {}
        run = trained(session, name, shards(session, kind, volume, seed), steps=size.receiver, batch_size=size.batch,
                      context=CONTEXT, seed=seed, **(options if start else {"model": model}))  # fmt: skip
    else:
        weights = digest(start / "model.safetensors")  # type: ignore[operator]  # there is one
        run = {"run": str(start), "origin": weights, "parameters": public_run(session, model, seed)["parameters"]}
    test = shards(session, kind, volume, seed, "test")
    worth = {key: bits(session, name, run, test)[key] for key in ("bits_per_byte", "rows")}
    if kind.rows == "aligned" or (how == NOTHING and volume < max(size.volumes)):
        return worth | {"parameters": run["parameters"]}
    beside = public_run(session, model, seed) if kind.rows == "public" else _alone(session, model, seed, volume)
    return look(session, name, run, reads(session, kind, volume, seed), None if how == NOTHING else beside) | worth


def reads(session: Session, kind: Receiver, volume: int, seed: int) -> ult.Table:
    """Return the table whose ids a receiver's model reads."""
    return table(session, "public") if kind.rows == "public" else table(session, "receiver", volume, seed)


def shards(session: Session, kind: Receiver, volume: int, seed: int, split: str = "train") -> Path:
    """Write what a receiver trains on, or ("test") what is measured."""
    if split == "test":
        texts = labelled_texts(session, "sections", "test")[0]
    else:
        texts = [*public_text(session, volume, seed), *(decoys(session, seed) if kind.decoys else [])]
    whose = "public" if kind.rows == "public" else "decoyed" if kind.decoys and split == "train" else "own"
    return encoded(session, f"{split}-{whose}-{volume}-{seed}", reads(session, kind, volume, seed), texts)


def decoys(session: Session, seed: int) -> list[str]:
    """Return records of the canaries' form with digits that are none of theirs."""
    secret, rng = set(secret_digits(table(session, "owner"), CANARIES)), np.random.default_rng(seed)
    drawn = rng.integers(0, 10**DIGITS, session.sized(DECOYS, 10))
    return [canary(k % CANARIES, int(digits)) for k, digits in enumerate(drawn) if digits not in secret]


def _alone(session: Session, model: str, seed: int, volume: int) -> dict[str, Any]:
    size, data = sizes(session)[model], shards(session, RECEIVERS[NOTHING], volume, seed)
    return trained(session, _name(model, seed, volume, NOTHING), data, model=model, steps=size.receiver,
                   batch_size=size.batch, context=CONTEXT, seed=seed)  # fmt: skip


def _name(model: str, seed: int, volume: int, how: str) -> str:
    return f"{model}-{seed}-{volume}-{how.replace(': ', '-').replace(', ', '-').replace(' ', '-')}"


def _start(session: Session, model: str, seed: int, volume: int, kind: Receiver, name: str) -> Path | None:
    """Return the run that a receiver goes on from: the body, which may have rows by now."""
    if not kind.body:
        return None
    owner = own(session, model, seed, kind.body)
    if kind.rows == "aligned":
        return aligned(session, owner, "owner", table(session, "receiver", volume, seed), f"{model}-{seed}-{volume}")
    if kind.rows == "fresh":
        return Path(owner["body"])
    mine = public_run(session, model, seed) if kind.rows == "public" else _alone(session, model, seed, volume)

    def make(folder: Path) -> dict[str, Any]:
        from safetensors.numpy import load_file, save_file

        shutil.copytree(mine["run"], folder / "run")
        kept = load_file(owner["body"] / "model.safetensors")
        rows = {k: w for k, w in load_file(folder / "run" / "model.safetensors").items() if k not in kept}
        save_file(kept | rows, folder / "run" / "model.safetensors", metadata={"format": "pt"})
        return {}

    settings = {"body": digest(owner["body"] / "model.safetensors"), "rows": mine["origin"]}
    return Path(session.once(f"grafted/{name}", settings, make)["folder"]) / "run"


# ---- looking


def look_at_owner(session: Session, model: str, seed: int, began: str) -> dict[str, Any]:
    """Look for an owner's records in its own model, with its rows and its table."""
    run = own(session, model, seed, began)
    return look(session, f"owner-{began}-{model}-{seed}", run, table(session, "owner"), None)


def look(
    session: Session, name: str, run: dict[str, Any], code: ult.Table, beside: dict[str, Any] | None
) -> dict[str, Any]:
    """Return how far a run that reads `code`'s ids betrays an owner's canaries and records.

    `beside` is a run of the same table that never saw them, by which members are told apart too.
    """
    n, most = session.sized(MEMBERS, 20), session.sized(ALTERNATIVES, 50)

    def make(_: Path) -> dict[str, Any]:
        from ult.audit.bounds import auc
        from ult.audit.model.exposure import rate
        from ult.audit.model.extraction import extract, passages
        from ult.audit.model.membership import reference
        from ult.audit.model.predicted import predict_ids
        from ult.public.run import Run
        from ult.trainer.models.load import load_trained

        opened = Run.open(run["run"])
        model = load_trained(opened)
        rng, losses = np.random.default_rng(0), []
        for name, digits in enumerate(secret_digits(table(session, "owner"), CANARIES)):
            others = rng.choice(10**DIGITS, most, replace=False)
            texts = [canary(name, int(d)) for d in (digits, *others[others != digits])]
            losses.append(-predict_ids(opened, code.encode_batch(texts), model=model, batch_size=64).totals)
        shown = rate(np.array(losses))
        many = [code.encode_batch(abstracts(session, split)[:n]) for split in ("train", "test")]
        found = [predict_ids(opened, ids, model=model) for ids in many]
        areas = {"auc": auc(*(each.averages for each in found))}
        if beside is not None:
            other = Run.open(beside["run"])
            theirs = [predict_ids(other, ids) for ids in many]
            pairs = zip(found, theirs, strict=True)
            areas["auc_beside"] = auc(*(reference(mine.averages, other.averages) for mine, other in pairs))
        asked = passages(code.encode_batch(recited(session)))
        told = extract(run["run"], asked)
        return {"exposures": shown["interpolated"], "chance": shown["chance_mean"], "most": shown["most"],
                **areas, "members": len(many[0]), "others": len(many[1]), "extracted": told["share"],
                "ngrams": told["ngrams"], "passages": told["passages"]}  # fmt: skip

    settings = {"run": run["origin"], "members": n, "alternatives": most, "table": code.fingerprint,
                "beside": beside and beside["origin"]}  # fmt: skip
    return session.once(f"looked/{name}", settings, make) | {"parameters": run["parameters"]}
