"""Row `federate`: what the server and another owner find in what an owner sends.

The server has the body and each owner's change. Without an owner's rows and table it has nothing to hold an id against;
every attack is tried with these too, so that one that fails without them is known to work with them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.federating import (
    BATCH,
    CANARIES,
    CONTEXT,
    OWNERS,
    PUBLIC,
    ROWS,
    federated,
    group,
    rounds,
    seed_of,
    shards,
    steps,
    table,
    texts,
)  # fmt: skip
from lib.session import Session
from lib.training import trained
from ult.owner.canaries import DIGITS, canary, secret_digits
from ult.public.vocabulary import N_SPECIAL

RECORDS, ALTERNATIVES = 8, 150  # records of which a step's change is looked at; canaries that were not planted
LOOKED = (3, 5, 7)  # rounds after which exposures are measured, and
ROUND = 5  # the one whose records are looked for
LAYERS = [f"model.layers.0.self_attn.{one}_proj.weight" for one in "qkv"]
NORM = "model.layers.0.input_layernorm.weight"
RATE = 0.1  # of the plain step: the change is its gradient, but for rounding


def listened(session: Session, seed: int) -> dict[str, Any]:
    """Return what all attacks find of the first owner in the federation of a seed."""
    found = federated(session, seed)

    def make(folder: Path) -> dict[str, Any]:
        import torch

        torch.set_num_threads(1)
        return {
            **spans(session, seed, folder),
            **of_round(session, seed, found),
            **members(session, found, folder, seed),
            "exposures": {
                f"{number}": exposures(session, found, folder, number)
                for number in LOOKED if (found["taps"] / f"rows-{number}-0").exists()
            },
        }  # fmt: skip

    return session.once(f"listened/{seed}", {"of": found["origin"], "alternatives": ALTERNATIVES}, make)


# ---- ids in the span of a change


def spans(session: Session, seed: int, folder: Path) -> dict[str, Any]:
    """Return the areas by which a record's ids are told apart in the change of one plain step on it (DAGER).

    The first layer sees nothing but the rows of the record's ids, so the changes of its projections lie in their span.
    How many ids the record holds is told to the attacker.
    """
    public = trained(session, f"public-{seed}", shards(session, "sections", "train", PUBLIC), model="tiny",
                     steps=session.sized(100, 4), batch_size=BATCH, context=CONTEXT, seed=900 + seed)  # fmt: skip
    areas: dict[str, list[float]] = {"true rows": [], "rows drawn": [], "public rows": []}
    records = table(session, OWNERS[0]).encode_batch(texts(session, OWNERS[0], "train")[:RECORDS])
    rng = np.random.default_rng(seed)
    for began, names in ((group(session, seed), ("true rows", "rows drawn")), (None, ("public rows",))):
        if began is None:
            began = _from_public(public["run"], folder / "group")
        model = _owner_s(session, began, seed)
        rows = model.state_dict()[ROWS].numpy().copy()
        theirs, phrases = _public_rows(session, public["run"])
        for ids in records:
            record = ids[: CONTEXT - 1]
            basis, gain = _basis(model, record)
            for name in names:
                candidates = {"true rows": rows, "rows drawn": rng.normal(0, 0.02, rows.shape)}.get(name, theirs)
                inside = np.isin(np.arange(len(candidates)), record)
                asked = np.arange(len(candidates)) >= N_SPECIAL
                if name == "public rows":  # an id of theirs whose phrase is one of the record's
                    mine = _phrases(session)
                    inside = np.isin(phrases, mine[np.unique(record)])
                    asked &= np.isin(phrases, mine)
                area = _area(-_residuals(candidates, basis, gain), inside, asked)
                areas[name].append(area)
    return {"spans": {name: float(np.mean(found)) for name, found in areas.items()}, "records": len(records)}


def _from_public(run: str, out: Path) -> Path:
    from ult.trainer.federated.group import begin
    from ult.trainer.federated.plan import Plan

    begin(run, Plan(), out, force=True)
    return out


def _owner_s(session: Session, began: Path, seed: int) -> Any:
    """Return the model that the first owner begins with: the group's body, and its own rows."""
    from transformers import set_seed

    from ult.trainer.federated.body import put
    from ult.trainer.federated.group import Group
    from ult.trainer.models.build import build
    from ult.trainer.recipe import Recipe

    code = table(session, OWNERS[0])
    set_seed(seed_of(seed, OWNERS[0]))
    model, _ = build(Recipe(model=str(began)), code.vocabulary, {code.fingerprint}, [])
    put(model, Group.open(began).body())
    return model


def _basis(model: Any, ids: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions (r, channels) in which a plain step on a record changes the first layer, and its gain."""
    import torch

    from ult.public.vocabulary import EOS

    read = torch.tensor([[EOS, *ids.tolist()]])
    model.zero_grad()
    logits = model(input_ids=read[:, :-1], use_cache=False).logits[0]
    torch.nn.functional.cross_entropy(logits, read[0, 1:]).backward()
    weights = dict(model.named_parameters())
    changes = []
    for name in LAYERS:
        before = weights[name].detach()
        change = (before - RATE * weights[name].grad) - before  # what would be sent, in float32
        changes.append((change / change.norm()).double().numpy())
    held = len({EOS, *ids[:-1].tolist()})
    _, _, directions = np.linalg.svd(np.concatenate(changes), full_matrices=False)
    return directions[:held], weights[NORM].detach().double().numpy()


def _residuals(
    rows: NDArray[Any], basis: NDArray[np.float64], gain: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Return the share of each row, as the first layer sees it, that lies outside the span of the directions."""
    seen = rows.astype(np.float64)
    seen = seen / np.sqrt((seen**2).mean(1, keepdims=True) + 1e-6) * gain
    outside = seen - seen @ basis.T @ basis
    return np.linalg.norm(outside, axis=1) / np.linalg.norm(seen, axis=1)


def _area(scores: NDArray[np.float64], inside: NDArray[np.bool_], asked: NDArray[np.bool_]) -> float:
    from ult.audit.bounds import auc

    return auc(scores[inside & asked], scores[~inside & asked])


def _phrases(session: Session, kind: str = "own") -> NDArray[Any]:
    """Return what each id of a table spells, as bytes; the special ids before them spell nothing."""
    spelled = [bytes(one.astype("u1")) for one in table(session, OWNERS[0], kind).spellings()]
    return np.array([*([b""] * N_SPECIAL), *spelled], object)


def _public_rows(session: Session, run: str) -> tuple[NDArray[Any], NDArray[Any]]:
    from safetensors.numpy import load_file

    rows, phrases = load_file(Path(run) / "model.safetensors")[ROWS], _phrases(session, PUBLIC)
    return rows[: len(phrases)], phrases


def of_round(session: Session, seed: int, found: dict[str, Any]) -> dict[str, Any]:
    """Return the area by which ids seen in the first round are told from others, by the true rows and its change."""
    from safetensors.numpy import load_file

    model = _owner_s(session, group(session, seed), seed)
    change = load_file(found["taps"] / "change-1-0")
    parts = [change[name] / np.linalg.norm(change[name]) for name in LAYERS]
    _, lengths, directions = np.linalg.svd(np.concatenate(parts).astype(np.float64), full_matrices=False)
    seen = model.state_dict()[ROWS].numpy().astype(np.float64)
    seen = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    data, blocks = _blocks(session, seed, 1)
    inside = np.isin(np.arange(len(seen)), np.concatenate([data[k]["input_ids"] for k in blocks]))
    asked = np.arange(len(seen)) >= N_SPECIAL
    asked &= np.isin(np.arange(len(seen)), data.stream)
    if inside[asked].all():
        return {"of_round": None}
    return {"of_round": _area(((seen @ directions.T) ** 2 @ lengths**2), inside, asked)}


def _blocks(session: Session, seed: int, number: int) -> tuple[Any, list[int]]:
    """Return the first owner's blocks, and which of them it saw in a round, from 1."""
    import tempfile

    from ult.trainer.datasets.blocks import Blocks
    from ult.trainer.datasets.packing import open_shards, pack
    from ult.trainer.datasets.sampler import Order

    _, local = rounds(session)
    with tempfile.TemporaryDirectory() as folder:
        pack(open_shards([shards(session, OWNERS[0], "train")]), Path(folder))
        mapped = Blocks.open(Path(folder), context=CONTEXT)
        data = Blocks(np.array(mapped.stream), np.array(mapped.ends), CONTEXT)
    order = list(Order(len(data), steps(session) * BATCH, seed_of(seed, OWNERS[0])))
    return data, order[(number - 1) * local * BATCH : number * local * BATCH]


# ---- records and canaries


def members(session: Session, found: dict[str, Any], folder: Path, seed: int) -> dict[str, Any]:
    """Return the areas by which records of a round are told from test records: how much a change helps to tell each.

    Members are all records of which a block was seen in the round. What is added to the body is the owner's change, or
    the mean of all owners' changes; rows and table are the owner's own, or those of another owner.
    """
    from safetensors.torch import load_file

    from ult.audit.bounds import auc
    from ult.audit.model.predicted import predict_ids
    from ult.public.run import Run

    number = ROUND if (found["taps"] / f"change-{ROUND}-0").exists() else 1
    data, blocks = _blocks(session, seed, number)
    seen = np.unique(np.concatenate([data.records(k) for k in blocks]))
    from lib.federating import planted, trained_on

    every, canaries = trained_on(session, OWNERS[0]), set(planted(session))
    inside = [every[k] for k in seen if every[k] not in canaries]
    outside = texts(session, OWNERS[0], "test")
    body = load_file(found["taps"] / f"body-{number}")
    changes = [load_file(found["taps"] / f"change-{number}-{k}") for k in range(len(OWNERS))]
    mean = {n: sum(one[n] for one in changes) / len(changes) for n in body}
    added: dict[str, dict[str, Any]] = {"one": changes[0], "sum": mean}
    areas: dict[str, Any] = {"inside": len(inside), "outside": len(outside)}
    for owner, whose in enumerate(("own", "other")):
        rows = load_file(found["taps"] / f"rows-{number}-{owner}")
        code = table(session, OWNERS[owner])
        ids = [code.encode_batch(some) for some in (inside, outside)]

        def told(weights: dict[str, Any]) -> list[NDArray[np.float64]]:
            run = Run.open(_run_of(found["runs"][owner]["run"], weights | rows, folder / "run"))  # noqa: B023
            return [predict_ids(run, some, moments=False, batch_size=32).averages for some in ids]  # noqa: B023

        before = told(body)
        for name, change in added.items():
            after = told({n: body[n] + change[n] for n in body})
            areas[f"{name}, {whose}"] = auc(*(b - a for a, b in zip(before, after, strict=True)))
    return {"members": areas}


def exposures(session: Session, found: dict[str, Any], folder: Path, number: int) -> dict[str, Any]:
    """Return the exposure of the first owner's canaries after a round, to itself and to the next owner."""
    from safetensors.torch import load_file

    from ult.audit.model.exposure import rate
    from ult.audit.model.predicted import predict_ids
    from ult.public.run import Run
    from ult.trainer.models.load import load_trained

    last = number == rounds(session)[0]
    path = found["taps"].parent / "out" / "model.safetensors" if last else found["taps"] / f"body-{number + 1}"
    digits = secret_digits(table(session, OWNERS[0]), CANARIES)
    shown: dict[str, Any] = {}
    for owner, whose in enumerate(("own", "other")):
        rows = load_file(found["taps"] / f"rows-{number}-{owner}")
        opened = Run.open(_run_of(found["runs"][owner]["run"], load_file(path) | rows, folder / "run"))
        model, code = load_trained(opened), table(session, OWNERS[owner])
        rng, losses = np.random.default_rng(0), []
        for name, secret in enumerate(digits):
            others = rng.choice(10**DIGITS - 1, session.sized(ALTERNATIVES, 20), replace=False)
            asked = [canary(name, int(d)) for d in (secret, *(others + (others >= secret)))]
            losses.append(-predict_ids(opened, code.encode_batch(asked), model=model, batch_size=64,
                                       moments=False).totals)  # fmt: skip
        rated = rate(np.array(losses))
        shown[whose] = {name: rated[name] for name in ("interpolated_mean", "chance_interval", "most")}
    return shown


def _run_of(run: str, weights: dict[str, Any], out: Path) -> Path:
    """Write a copy of a run with other weights."""
    from safetensors.torch import save_file

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(run, out)
    save_file({name: one.contiguous() for name, one in weights.items()}, out / "model.safetensors", {"format": "pt"})
    return out
