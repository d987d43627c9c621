"""Shadow runs: repeat the training of a run on random halves of the records, so that each run's records are known.

Comparing runs trained with and without a record shows what training on it changes (LiRA, Carlini et al. 2022, the
online attack). The shadow runs are deleted afterwards.
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
_ALONE = ("lora", "mixture", "restrain_ngrams", "compatible", "replay")  # what shadow runs would be without
LEAST = 4  # two trained with a record and two without it, so that each group has a variance


def check_repeatable(run: Run, sides: Sides, count: int) -> None:
    """Raise `InvalidConfig` unless a run's training can be repeated, `count` times, on the records of an audit."""
    metrics = run.metrics
    if count < LEAST or count % 2:
        raise InvalidConfig(f"{count} shadow runs were asked for; expected an even number from {LEAST} on")
    members = {shards.manifest.digest for shards in sides.shards[0]}
    trained = {lot.get("digest") for lot in lots(run)} - {None}
    whys = {
        f"it is for {run.task}, and shadow runs are for lm": run.task != "lm",
        "it has members": run.members > 0,
        "it learned from other runs": bool(metrics.get("distilled")),
        f"it went on from {metrics.get('from_run')}": metrics.get("from_run") is not None,
        f"its model {metrics.get('model')!r} is no preset": metrics.get("model") not in PRESETS,
        "it was trained on shards that are not among the members": not trained <= members,
        "its shards are of several tables": len({(s.manifest.table, s.manifest.codec) for s in _all(sides)}) > 1,
        **{
            f"it was trained with {name}": bool(metrics.get(name))
            for name in ("lora", "mixture", "restrain_ngrams", "compatible", "replay")
        },
    }
    if reasons := [why for why, holds in whys.items() if holds]:
        raise InvalidConfig(
            f"the training of {run.path} cannot be repeated: {'; '.join(reasons)}", hint="leave out --shadows"
        )


def cost(run: Run, count: int) -> str:
    """Return, in words, how many steps and how much time `count` shadow runs take."""
    seconds = run.metrics.get("seconds")
    each = (
        "an unknown time" if not seconds else f"{seconds:,.0f} s, so all of them some {count * seconds / 60:,.1f} min"
    )
    return f"{count} shadow runs of some {run.metrics.get('steps', 0):,} steps are trained; the run itself took {each}"


def read_shadows(
    run: Run, sides: Sides, count: int, *, seed: int, batch_size: int, advance: Callable[[int], None]
) -> list[Reference]:
    """Train `count` shadow runs, and return their predictions for the records, members first.

    Runs come in pairs; each record is in the training of one of the two. Call `check_repeatable` before. Raises as
    `ult.trainer.train.train` does.
    """
    records = [*sides.members, *sides.nonmembers]
    copies = np.concatenate(sides.copies)
    rng, shadows = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory(prefix="ult-shadows-") as folder:
        for number in range(count):
            if number % 2 == 0:
                half = np.zeros(len(records), bool)
                half[rng.permutation(len(records))[: len(records) // 2]] = True
            seen = half if number % 2 == 0 else ~half
            place = Path(folder) / f"{number}.shards"
            _write(place, sides, [records[k] for k in np.repeat(np.flatnonzero(seen), copies[seen])])
            shadow = Path(folder) / f"shadow-{number + 1}"
            train(place, shadow, _recipe(run, records, seen, copies, seed + number))
            of = predict_records(
                Run.open(shadow), records, modality=sides.modality, batch_size=batch_size, moments=False
            )
            shadows.append(Reference(of.averages, seen))
            advance(1)
    return shadows


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
    """Return the run's own recipe, with steps for as many passes over the shadow run's records as the run made.

    What the run used, such as its learning rate, replaces what was asked for. Runs of 0.1.0 have no recipe on file.
    """
    told = run.metrics
    own = Recipe.from_metrics(told.get("recipe", {}), run.path / "metrics.json")
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
        steps=steps if promise else asked,  # a promise holds for the steps it was made for
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
