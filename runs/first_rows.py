"""Row `first-rows`: what a body without its rows betrays to whoever draws again those that its training began with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.interval import Floats, over_both, over_seeds
from lib.receivers import (
    ALTERNATIVES,
    CANARIES,
    CONTEXT,
    OWNED,
    RECITED,
    REPEATS,
    TIMES,
    VOCABULARY,
    abstracts,
    encoded,
    look,
    owner_shards,
    sizes,
    table,
)
from lib.result import metric
from lib.session import Session, digest
from lib.training import bits, trained

from ult.audit.model.exposure import chance_interval

STEPS = 400  # of an owner, half of those of row `release`
MODEL, SEEDED, SECRET = "tiny", "rows by the seed", "secret rows"
OWN, AGAIN, OTHERS = "its own rows", "the seed's rows", "another seed's rows"
OTHER = 735_029_114  # a seed that no owner has
TITLE = "The rows that a training began with"
ASKED = (
    "Does a model whose trained embedding rows are withheld work with the rows that its seed draws again, how much of "
    "its records is then read, and does `--secret-rows` end it?"
)
SETTING = """\
Owners as in row `release`, trained half as long: {owned:,} medical abstracts, {canaries} canaries (8 random digits, \
each {repeats} times), the beginnings of {recited} others ({times} times), vocabulary {size:,}, model {model}, \
{steps} steps of {batch} blocks, from random weights; `{secret}` are those of `ult train --secret-rows`. Whoever has \
the body draws the rows of a seed as the training did, and puts them on it, as they are. What it reads are the owner's \
ids; all figures take their meaning as known, which is the owner's table or what an attack on the code gives. `{own}` \
and `{others}` are what the owner has and what a guess is worth. Mean exposure is over canaries, of at most {most:.2f} \
bits among {alternatives:,} alternatives; chance is the upper end of 97.5 %. Membership is the area under the curve of \
mean loss, {members} of the owner's abstracts against {outside} others. Recited: of the abstracts that stand there \
many times, the share whose 50 ids after 50 come out greedily. Gained: of the bits per byte on test abstracts that \
lie between `{others}` and `{own}`, the share that these rows gain."""


def main() -> None:
    """Train owners with either kind of first rows, and put rows on their bodies."""
    session = Session.begin("first-rows")
    size = sizes(session)[MODEL]
    for seed in size.seeds:
        owner_shards(session, seed)
    jobs = [(seed, first, rows) for first in (SEEDED, SECRET) for seed in size.seeds for rows in (OWN, AGAIN, OTHERS)]
    session.each(owner, [(seed, first) for first in (SEEDED, SECRET) for seed in size.seeds])
    found = dict(zip(jobs, session.each(looked, jobs), strict=True))
    metrics: list[dict[str, Any]] = []
    for first in (SEEDED, SECRET):
        runs = {rows: [found[seed, first, rows] for seed in size.seeds] for rows in (OWN, AGAIN, OTHERS)}
        for rows in runs:
            metrics += betrayed(first, rows, runs[rows], size.seeds)
        metrics.append(gained(first, runs, size.seeds))
    one = found[jobs[0]]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(owned=session.sized(OWNED, 60), canaries=CANARIES, repeats=session.sized(REPEATS, 5),
                               recited=session.sized(RECITED, 4), times=TIMES, size=VOCABULARY, model=MODEL,
                               steps=session.sized(STEPS, 20), batch=size.batch, secret=SECRET, own=OWN, others=OTHERS,
                               most=one["most"], alternatives=session.sized(ALTERNATIVES, 50),
                               members=one["members"], outside=one["others"]),
        notes=["The seed's rows are known to whoever is told the seed, or tries all 2^31 of them. No body tells it."],
        chart=["mean exposure", "bits per byte"],
        model={"name": MODEL, "parameters": one["parameters"]},
    )  # fmt: skip


def owner(session: Session, seed: int, first: str) -> dict[str, Any]:
    """Train an owner's model with first rows of a kind."""
    return trained(session, f"owner-{first}-{seed}".replace(" ", "-"), owner_shards(session, seed), model=MODEL,
                   steps=session.sized(STEPS, 20), batch_size=sizes(session)[MODEL].batch, context=CONTEXT, seed=seed,
                   secret_rows=first == SECRET)  # fmt: skip


def looked(session: Session, seed: int, first: str, rows: str) -> dict[str, Any]:
    """Look for an owner's records in its body with some rows, and measure what it predicts."""
    run, code = owner(session, seed, first), table(session, "owner")
    name = f"{first}-{rows}-{seed}".replace(" ", "-").replace("'", "")
    if rows != OWN:
        run = with_rows(session, name, run, seed if rows == AGAIN else OTHER)
    test = encoded(session, "owner-test", code, abstracts(session, "test"))
    told = bits(session, name, run, test)
    return look(session, name, run, code, None) | {"bits_per_byte": told["bits_per_byte"], "rows": told["rows"]}


def with_rows(session: Session, name: str, run: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return a run with the embedding rows that a training by a seed begins with in place of its own."""

    def make(folder: Path) -> dict[str, Any]:
        import transformers
        from safetensors.torch import load_file, save_file

        from ult.trainer.models.build import build
        from ult.trainer.models.embeddings import row_names
        from ult.trainer.recipe import Recipe

        transformers.set_seed(seed)
        model, _ = build(Recipe(model=MODEL, context=CONTEXT), table(session, "owner").vocabulary, set(), [])
        shutil.copytree(run["run"], folder / "run")
        held = load_file(folder / "run" / "model.safetensors")
        drawn = {key: weight.contiguous() for key, weight in model.state_dict().items() if key in row_names(model)}
        save_file({key: drawn.get(key, weight) for key, weight in held.items()}, folder / "run" / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        return {}

    made = session.once(f"drawn/{name}", {"from": run["origin"], "seed": seed}, make)
    place = Path(made["folder"]) / "run"
    return run | {"run": str(place), "origin": digest(place / "model.safetensors")}


def betrayed(first: str, rows: str, runs: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the metrics of what some rows read of an owner's records; those of secret rows are to be chance."""
    of: dict[str, Any] = {"seeds": seeds, "higher_is_better": False}
    system, inner = f"{first}: {rows}", np.array([run["exposures"] for run in runs])
    goal = f"at most {chance_interval(inner.size)[1]:.4g}" if (first, rows) == (SECRET, AGAIN) else ""
    found = [metric("mean exposure", system, over_both(inner), n=inner.shape[1], unit="bits", goal=goal, **of)]
    for name, key, n in (("membership, AUC", "auc", runs[0]["members"]),
                         ("recited, share", "extracted", runs[0]["passages"]),
                         ("bits per byte", "bits_per_byte", runs[0]["rows"])):  # fmt: skip
        found.append(metric(name, system, over_seeds([run[key] for run in runs]), n=n, **of))
    return found


def gained(first: str, runs: dict[str, list[dict[str, Any]]], seeds: Sequence[int]) -> dict[str, Any]:
    """Return what the seed's rows gain of the bits between another seed's and the trained ones."""
    mine, again, other = (np.array([run["bits_per_byte"] for run in runs[rows]]) for rows in (OWN, AGAIN, OTHERS))
    share: Floats = (other - again) / (other - mine)
    goal = "at most 0.05" if first == SECRET else ""
    return metric("gained", f"{first}: {AGAIN}", over_seeds(list(share)), n=runs[OWN][0]["rows"], seeds=seeds,
                  higher_is_better=False, baseline=f"{first}: {OTHERS}", goal=goal)  # fmt: skip


if __name__ == "__main__":
    main()
