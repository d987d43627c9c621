"""Row `federate`: the owners with their texts and tables, and the ways in which they train, alone and together."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import ult
from lib.corpus import labelled_texts, wikitext
from lib.ngrams import Counts
from lib.session import Session, digest
from lib.training import trained
from ult.owner.canaries import canary, secret_digits
from ult.public.manifest import manifest_of
from ult.public.shard_writer import ShardWriter

OWNERS = ("abstracts", "dialogues", "wikitext")  # each of another source; the first one plants canaries
SIZE, CONTEXT, BATCH, MODEL = 1024, 64, 8, "tiny"
FEW, MANY, TEST = 30_000, 100_000, 60_000  # bytes of each owner
ROUNDS = {FEW: (7, 20), MANY: (12, 25)}  # and steps of each
HOME = {FEW: 60, MANY: 0}  # steps of each owner after the last round, alone
CANARIES, REPEATS = 8, 5
OWN, ONE, PUBLIC = "own", "one", "public"  # tables: each owner's, one of all owners' texts, one of public text
TOGETHER, ALONE = "federated, own tables", "alone"
POOLED, SHARED = "pooled, one table", "FedAvg, one public table"
NGRAMS = "n-grams of own ids"
DECAY = {FEW: 6.4, MANY: 0.1}  # of weights
TAPPED = (1, 3, 5, 7)  # rounds of which what was sent, and the rows beside it, are kept for the attacks
ROWS = "model.embed_tokens.weight"


def rounds(session: Session, size: int = FEW) -> tuple[int, int]:
    """Return the rounds of owners with so many bytes, and the steps of each."""
    found: tuple[int, int] = session.sized(ROUNDS[size], (4, 2))
    return found


def steps(session: Session, size: int = FEW) -> int:
    """Return the steps of an owner in all."""
    many, local = rounds(session, size)
    return many * local + int(session.sized(HOME[size], min(HOME[size], 2)))


def named(name: str, size: int) -> str:
    """Return the name of what is made with so many bytes."""
    return name if size == FEW else f"{name}-{size // 1000}"


def texts(session: Session, whose: str, split: str, size: int = FEW) -> list[str]:
    """Return the texts of an owner, or "sections", which everybody has; to train on, so many bytes."""
    if whose == "wikitext":
        every = wikitext(session, split)
    elif whose == "dialogues":
        path = session.data / "text" / "private-like" / f"clinical_dialogue_{split}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            every = [row["dialogue"] for row in csv.DictReader(file)]
    else:
        every = labelled_texts(session, whose, split)[0]
    ends = np.cumsum([len(text.encode()) for text in every])
    most = session.sized(size if split == "train" else TEST, 10_000 if split == "train" else 5_000)
    return every[: int((ends <= most).sum())]


@cache
def table(session: Session, owner: str, kind: str = OWN, size: int = FEW) -> ult.Table:
    """Return the table that an owner encodes with."""
    if kind == PUBLIC:
        return fitted(texts(session, "sections", "train"))
    if kind == ONE:
        return fitted([text for one in OWNERS for text in texts(session, one, "train", size)])
    return fitted(texts(session, owner, "train", size))


def fitted(records: Sequence[str]) -> ult.Table:
    """Return a table of texts."""
    return ult.Table.fit(records, vocabulary=ult.Vocabulary(SIZE), min_records=1)


def planted(session: Session) -> list[str]:
    """Return the canaries of the first owner, as often as they stand among its texts."""
    digits = secret_digits(table(session, OWNERS[0]), CANARIES)
    return [canary(name, one) for name, one in enumerate(digits)] * session.sized(REPEATS, 3)


def trained_on(session: Session, owner: str, size: int = FEW) -> list[str]:
    """Return what an owner trains on; canaries are planted among few bytes alone."""
    found = texts(session, owner, "train", size)
    if owner != OWNERS[0] or size != FEW:
        return found
    every = [*found, *planted(session)]
    return [every[k] for k in np.random.default_rng(0).permutation(len(every))]


def shards(session: Session, owner: str, split: str, kind: str = OWN, size: int = FEW) -> Path:
    """Write shards of an owner's texts, or of "sections", under a table."""
    code = table(session, owner, PUBLIC if owner == "sections" else kind, size)
    records = trained_on(session, owner, size) if split == "train" else texts(session, owner, split)
    length = sum(len(text.encode()) for text in records)

    def make(folder: Path) -> dict[str, Any]:
        with ShardWriter(folder / "shards", vocabulary=code.vocabulary, table=code.fingerprint, codec=code.codec.id,
                         column="text") as writer:  # fmt: skip
            writer.write(code.encode_batch(records), length)
        return {}

    settings = {"table": code.fingerprint, "n": len(records), "bytes": length}
    return Path(session.once(named(f"shards/{owner}-{split}-{kind}", size), settings, make)["folder"]) / "shards"


def encode(session: Session, owner: str, kind: str, size: int) -> None:
    """Write all shards of an owner under a table."""
    for split in ("train", "test"):
        shards(session, owner, split, kind, size)


def seed_of(seed: int, owner: str) -> int:
    """Return what an owner's rows and the order of its records are drawn by."""
    return 10 * seed + OWNERS.index(owner)


def group(session: Session, seed: int, size: int = FEW) -> Path:
    """Write the group that the owners of a seed begin with."""
    many, local = rounds(session, size)
    home = steps(session, size) - many * local

    def make(folder: Path) -> dict[str, Any]:
        from ult.trainer.federated.group import begin
        from ult.trainer.federated.plan import Plan

        begin(MODEL, Plan(many, local, last_alone=home), folder / "group", seed=seed)
        return {}

    return (
        Path(session.once(named(f"groups/average-{seed}", size), {"rounds": [many, local, home]}, make)["folder"])
        / "group"
    )


def alone(session: Session, owner: str, seed: int, size: int = FEW) -> dict[str, Any]:
    """Train an owner by itself, from the group's body, for as many steps as in all rounds."""
    return trained(session, named(f"alone-{owner}-{seed}", size), shards(session, owner, "train", OWN, size),
                   model=str(group(session, seed, size)), steps=steps(session, size), batch_size=BATCH, context=CONTEXT,
                   weight_decay=DECAY[size], seed=seed_of(seed, owner))  # fmt: skip


def pooled(session: Session, seed: int, size: int = FEW) -> dict[str, Any]:
    """Train one model on all owners' texts under one table: every text is seen as often as by its owner."""
    folders = [shards(session, owner, "train", ONE, size) for owner in OWNERS]
    return trained(session, named(f"pooled-{seed}", size), folders, model=MODEL, steps=steps(session, size),
                   context=CONTEXT, batch_size=BATCH * len(OWNERS), weight_decay=DECAY[size], seed=seed,
                   mixture=(1.0,) * len(OWNERS))  # fmt: skip


class Taps:
    """Keeps what was sent in some rounds, and the rows of the first two owners at their ends."""

    def __init__(self, folder: Path, out: Path, local: int) -> None:
        self.folder, self.out, self.local, self.round = folder, out, local, 0
        folder.mkdir()

    def __call__(self, what: str, owner: int, message: bytes) -> None:
        """Take a message."""
        from safetensors.torch import load_file, save_file

        from ult.host.atomic import hidden

        if what == "body":
            self.round += owner == 0
            if owner == 0 and {self.round, self.round - 1} & set(TAPPED):
                (self.folder / f"body-{self.round}").write_bytes(message)
        elif self.round in TAPPED:
            (self.folder / f"change-{self.round}-{owner}").write_bytes(message)
            if owner < 2:
                at = hidden(hidden(self.out) / "run" / "owners" / str(owner)) / f"checkpoint-{self.round * self.local}"
                rows = {ROWS: load_file(at / "model.safetensors")[ROWS]}
                save_file(rows, self.folder / f"rows-{self.round}-{owner}")


def federated(session: Session, seed: int, size: int = FEW) -> dict[str, Any]:
    """Train the group's body by all owners, each with its own table; `runs` are theirs."""
    began = group(session, seed, size)
    many, local = rounds(session, size)
    folders = [shards(session, owner, "train", OWN, size) for owner in OWNERS]

    def make(folder: Path) -> dict[str, Any]:
        import torch

        from ult.trainer.federated.simulate import simulate
        from ult.trainer.recipe import Recipe

        torch.set_num_threads(1)
        taps = Taps(folder / "taps", folder / "out", local)
        recipe = Recipe(batch_size=BATCH, context=CONTEXT, weight_decay=DECAY[size], seed=10 * seed)
        return simulate(folders, folder / "out", recipe, group=began, sent=taps).told

    name = named(f"average-{seed}", size)
    return _of_owners(session, name, folders, make, size) | {"rounds": many}


def shared(session: Session, seed: int) -> dict[str, Any]:
    """Train as `federated`, but with one public table for all, whose rows are averaged with the body."""
    many, local = rounds(session)
    folders = [shards(session, owner, "train", PUBLIC) for owner in OWNERS]

    def make(folder: Path) -> dict[str, Any]:
        import torch

        from ult.public.vocabulary import Vocabulary
        from ult.trainer.federated import outer
        from ult.trainer.federated.body import put
        from ult.trainer.federated.group import Group
        from ult.trainer.federated.local import Round, RoundDone, change_since
        from ult.trainer.models.build import build
        from ult.trainer.recipe import Recipe
        from ult.trainer.train import train

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        began = group(session, seed)
        model, _ = build(Recipe(model=str(began)), Vocabulary(SIZE), set(), [])
        put(model, Group.open(began).body())
        whole: Any = {name: one for name, one in model.state_dict().items() if name != "lm_head.weight"}
        plans = [(path, folder / "out" / "owners" / str(k),
                  Recipe(model=str(began), steps=steps(session), checkpoint_every=local, batch_size=BATCH,
                         context=CONTEXT, weight_decay=DECAY[FEW], seed=10 * seed + k))
                 for k, path in enumerate(folders)]  # fmt: skip
        for number in range(many):
            changes = []
            for path, out, recipe in plans:
                last = (number + 1) * local
                try:
                    train(path, out, recipe, turn=Round(whole, last - local, last), resume="auto")
                except RoundDone:
                    changes.append(change_since(whole, out, last))
            whole = outer.step(whole, outer.mean_of(changes), "average")[0]
        for path, out, recipe in plans:
            train(path, out, recipe, turn=Round(whole, many * local, many * local), resume="auto")
        return {}

    return _of_owners(session, f"shared-{seed}", folders, make, FEW)


def _of_owners(session: Session, name: str, folders: list[Path], make: Any, size: int) -> dict[str, Any]:
    planned = [*rounds(session, size), steps(session, size)]
    shown = digest(*map(manifest_of, folders))
    settings = {"shards": shown, "batch": BATCH, "rounds": planned, "decay": DECAY[size]}
    found = session.once(f"together/{name}", settings, make)
    folder = Path(found["folder"])
    return found | {
        "taps": folder / "taps",
        "origin": digest(folder / "done.json"),
        "runs": [{"run": str(folder / "out" / "owners" / str(k)), "origin": digest(folder / "done.json")}
                 for k in range(len(OWNERS))],
    }  # fmt: skip


def ngrams(session: Session, owner: str) -> float:
    """Return the bits a byte in which counts of an owner's own ids, by the two before, tell its test texts."""
    code, test = table(session, owner), texts(session, owner, "test")
    counts = Counts(code.encode_batch(trained_on(session, owner)), SIZE, 3)
    return counts.bits(code.encode_batch(test)) / sum(len(text.encode()) for text in test)
