"""Shadow runs: the training of a run repeated on random halves of both sides, so that it is known what each saw.

What a record gains by being seen is then told from runs that saw it and runs that did not (LiRA, Carlini et al. 2022,
the online attack). Nothing of them is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.model.predicted import predict_records
from ult.audit.model.record import Record
from ult.audit.model.references import Reference
from ult.audit.model.sides import Sides
from ult.audit.model.trained import lots
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.trainer.models.presets import PRESETS
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

Floats = NDArray[np.float64]
LEAST = 4  # two that saw a record and two that did not, so that there is a variance


def check_repeatable(run: Run, sides: Sides, count: int) -> None:
    """Raise `InvalidConfig` unless a run's training can be repeated on the records of an audit."""
    told = run.metrics
    if count < LEAST or count % 2:
        raise InvalidConfig(f"{count} shadow runs were asked for; expected an even number from {LEAST} on")
    members = {shards.manifest.digest for shards in sides.shards[0]}
    trained = {lot.get("digest") for lot in lots(run)} - {None}
    whys = {
        f"it is for {run.task}, and shadow runs are for lm": run.task != "lm",
        f"it went on from {told.get('from_run')}": told.get("from_run") is not None,
        f"its model {told.get('model')!r} is no preset": told.get("model") not in PRESETS,
        "it was trained on shards that are not among the members": not trained <= members,
        "its shards are of several tables": len({(s.manifest.table, s.manifest.codec) for s in _all(sides)}) > 1,
        **{f"it was trained with {name}": bool(told.get(name)) for name in ("lora", "mixture", "restrain_ngrams")},
    }
    if reasons := [why for why, holds in whys.items() if holds]:
        raise InvalidConfig(
            f"the training of {run.path} cannot be repeated: {'; '.join(reasons)}", hint="leave out --shadows"
        )


def cost(run: Run, count: int) -> str:
    """Return, in words, what so many shadow runs take."""
    seconds = run.metrics.get("seconds")
    each = (
        "an unknown time" if not seconds else f"{seconds:,.0f} s, so all of them some {count * seconds / 60:,.1f} min"
    )
    return f"{count} shadow runs of some {run.metrics.get('steps', 0):,} steps are trained; the run itself took {each}"


def read_shadows(
    run: Run, sides: Sides, count: int, *, seed: int, batch_size: int, advance: Callable[[int], None]
) -> list[Reference]:
    """Train shadow runs, and return what they make of the records, members first.

    Each record is in one of every two. `check_repeatable` comes first. Raises as `ult.trainer.train.train`.
    """
    many = [*sides.members, *sides.nonmembers]
    copies = np.concatenate(sides.copies)
    rng, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory(prefix="ult-shadows-") as folder:
        for number in range(count):
            if number % 2 == 0:
                half = np.zeros(len(many), bool)
                half[rng.permutation(len(many))[: len(many) // 2]] = True
            seen = half if number % 2 == 0 else ~half
            place = Path(folder) / f"{number}.shards"
            _write(place, sides, [many[k] for k in np.repeat(np.flatnonzero(seen), copies[seen])])
            shadow = Path(folder) / f"shadow-{number + 1}"
            train(place, shadow, _recipe(run, many, seen, copies, seed + number))
            of = predict_records(Run.open(shadow), many, modality=sides.modality, batch_size=batch_size, moments=False)
            found.append(Reference(of.averages, seen))
            advance(1)
    return found


def _all(sides: Sides) -> list[Any]:
    return [shards for side in sides.shards for shards in side]


def _write(path: Path, sides: Sides, records: Sequence[Record]) -> None:
    like = sides.shards[0][0]
    told = like.manifest
    with ShardWriter(
        path, vocabulary=like.vocabulary, table=told.table, codec=told.codec, column=told.column
    ) as writer:
        writer.write([record.ids for record in records], nbytes=0)


def _recipe(run: Run, many: Sequence[Record], seen: NDArray[np.bool_], copies: NDArray[np.int64], seed: int) -> Recipe:
    """Return a run's own recipe, its steps such that as many passes are made of what a shadow run sees.

    What the run did, as its learning rate, stands in for what was asked of it. Runs of 0.1.0 tell no recipe.
    """
    told = run.metrics
    own = Recipe.told(told.get("recipe", {}), run.path / "metrics.json")
    ids = np.array([len(record.ids) + 1 for record in many]) * copies
    whole = sum(lot.get("ids", 0) + lot.get("rows", 0) for lot in lots(run))
    steps = int(told["steps"])
    asked = max(1, round(steps * float(ids[seen].sum()) / whole)) if whole else steps
    promise = told.get("privacy")
    private: dict[str, Any] = {"epsilon": promise["epsilon"], "delta": promise["delta"]} if promise else {}
    if promise and promise.get("clip") is not None:
        private["clip"] = promise["clip"]
    watched: dict[str, Any] = dict.fromkeys(("evaluate_every", "patience", "stop_memorised", "report_to"))
    return replace(
        own,
        **watched,
        model=told["model"],
        steps=steps if promise else asked,  # by which a promise is kept
        batch_size=told["batch_size"],
        context=run.context,
        learning_rate=told.get("learning_rate"),
        schedule=told.get("schedule", "cosine"),
        warmup=min(told["warmup_steps"], asked) if "warmup_steps" in told else None,
        accumulate=told.get("accumulate", 1),
        precision=told.get("precision", "auto"),
        modality_token=run.modality_token,
        goldfish=told.get("goldfish"),
        seed=seed,
        **private,
    )
