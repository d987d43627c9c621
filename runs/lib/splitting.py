"""Row `split`: a public body, owners of other sources, and the ways in which they train: alone, whole, and split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import ult
from lib.federating import BATCH, CONTEXT, FEW, SIZE, fitted, texts
from lib.session import Session, digest
from lib.training import trained
from ult.public.manifest import manifest_of
from ult.public.shard_writer import ShardWriter

OWNERS = ("abstracts", "dialogues", "sections")  # each of another source, and none of the public one's
PUBLIC, PUBLIC_BYTES = "wikitext", 1_000_000
TEST = 20_000  # bytes of each owner
LAYERS = 6  # of the body, 128 channels wide
ALONE, WHOLE = "alone", "federated, whole body"
HELD = (1, 2)  # blocks of an owner at either end
ROUNDS = (6, 20)  # of a whole body, and steps of each
SPLIT_ROUNDS = (4, 6)  # of a split one
PROMPTS, PRUNE, PASSES = 16, 0.5, 1
DECAY = "auto"  # as `ult train` sets it by how often a record is seen


def split_of(held: int) -> str:
    """Return the name of a split training."""
    return f"split, h = {held}"


@cache
def table(session: Session, owner: str) -> ult.Table:
    """Return the table that an owner, or everybody for the public text, encodes with."""
    return fitted(texts(session, owner, "train", PUBLIC_BYTES if owner == PUBLIC else FEW))


def encoded(session: Session, name: str, code: ult.Table, records: Sequence[str]) -> Path:
    """Write shards of records under a table."""

    def make(folder: Path) -> dict[str, Any]:
        with ShardWriter(folder / "shards", vocabulary=code.vocabulary, table=code.fingerprint, codec=code.codec.id,
                         column="text") as writer:  # fmt: skip
            writer.write(code.encode_batch(records), sum(len(text.encode()) for text in records))
        return {}

    settings = {"table": code.fingerprint, "n": len(records)}
    return Path(session.once(f"shards/{name}", settings, make)["folder"]) / "shards"


def shards(session: Session, owner: str, split: str) -> Path:
    """Write shards of an owner's texts under its table."""
    records = texts(session, owner, split, PUBLIC_BYTES if owner == PUBLIC else FEW)
    if split == "test":
        ends = np.cumsum([len(text.encode()) for text in records])
        records = records[: int((ends <= TEST).sum())]
    return encoded(session, f"{owner}-{split}", table(session, owner), records)


def public(session: Session) -> dict[str, Any]:
    """Train the public run whose body all begin with."""

    def make(folder: Path) -> dict[str, Any]:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        from ult.trainer.models.presets import ATTENTION, from_preset

        torch.manual_seed(0)
        shape = from_preset("tiny", ult.Vocabulary(SIZE))
        model = LlamaForCausalLM(LlamaConfig.from_dict({**shape.config.to_dict(), "num_hidden_layers": LAYERS}))
        with torch.no_grad():  # as presets begin
            model.model.norm.weight.copy_(shape.model.norm.weight)
            for layer in model.model.layers:
                layer.self_attn.v_proj.weight.mul_(ATTENTION)
                layer.self_attn.o_proj.weight.mul_(ATTENTION)
        model.save_pretrained(folder / "shape")
        return {}

    shape = Path(session.once("shape", {"layers": LAYERS}, make)["folder"]) / "shape"
    return trained(session, "public", shards(session, PUBLIC, "train"), model=str(shape), batch_size=BATCH,
                   steps=session.sized(800, 4), context=CONTEXT, seed=900)  # fmt: skip


def group(session: Session, whole: bool) -> Path:
    """Write the group that owners begin with, of whole bodies or of split ones."""
    run = public(session)
    plan = list(session.sized(ROUNDS if whole else SPLIT_ROUNDS, (2, 2)))

    def make(folder: Path) -> dict[str, Any]:
        from ult.trainer.federated.group import begin
        from ult.trainer.federated.plan import Plan

        begin(run["run"], Plan(*plan), folder / "group")
        return {}

    name = "groups/whole" if whole else "groups/split"
    return Path(session.once(name, {"plan": plan, "of": run["origin"]}, make)["folder"]) / "group"


def seed_of(seed: int, owner: str) -> int:
    """Return what an owner's rows and the order of its records are drawn by."""
    return 10 * seed + OWNERS.index(owner)


def alone(session: Session, owner: str, seed: int) -> dict[str, Any]:
    """Train an owner by itself, from the public body, for as many steps as in all rounds of whole bodies."""
    many, local = session.sized(ROUNDS, (2, 2))
    return trained(session, f"alone-{owner}-{seed}", shards(session, owner, "train"), model=str(group(session, True)),
                   steps=many * local, batch_size=BATCH, context=CONTEXT, weight_decay=DECAY,
                   seed=seed_of(seed, owner))  # fmt: skip


def together(session: Session, seed: int, held: int = 0) -> dict[str, Any]:
    """Train the body by all owners: whole, or with so many blocks `held` at either end; `runs` are theirs."""
    began = group(session, whole=not held)
    folders = [shards(session, owner, "train") for owner in OWNERS]

    def make(folder: Path) -> dict[str, Any]:
        import torch

        from ult.trainer.federated.simulate import simulate
        from ult.trainer.recipe import Recipe
        from ult.trainer.split.plan import Split
        from ult.trainer.split.simulate import simulate as simulate_split

        torch.set_num_threads(1)
        recipe = Recipe(batch_size=BATCH, context=CONTEXT, weight_decay=DECAY, seed=10 * seed)
        if not held:
            return simulate(folders, folder / "out", recipe, group=began).told
        split = Split(held, prompts=PROMPTS, prune=PRUNE, self_update=session.sized(PASSES, 1))
        return simulate_split(folders, folder / "out", recipe, split, group=began).told

    settings = {"shards": digest(*map(manifest_of, folders)), "group": digest(began / "group.json"), "batch": BATCH,
                "decay": DECAY, "split": [PROMPTS, PRUNE, PASSES] if held else []}  # fmt: skip
    found = session.once(f"together/{held}-{seed}", settings, make)
    folder = Path(found["folder"])
    runs = [{"run": str(folder / "out" / "owners" / str(k)), "origin": digest(folder / "done.json")}
            for k in range(len(OWNERS))]  # fmt: skip
    return found | {"runs": runs, "origin": digest(folder / "done.json")}


def operations(session: Session, weights: int) -> list[int]:
    """Return what each owner computes in all rounds of whole bodies: 6 operations a weight and id, as split ones count.

    `weights` are those of the body's matrices and of the output layer.
    """
    many, local = session.sized(ROUNDS, (2, 2))
    return [6 * weights * many * local * BATCH * CONTEXT] * len(OWNERS)
