"""Forget exactly: train again what saw the records, and copy, byte for byte, what did not.

With members on disjoint records (`ult train --members K --member-records disjoint`) that is one member or a few; a run
without members is trained again whole. What is trained again is what a training that never saw the records gives: it
has nothing of the old weights, optimizer states or checkpoints.

Where the run went on from a base that was trained with epsilon, the base stays, and what is trained again depends on
the records by what the base promises at most (EUPG; by post-processing).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, writing
from ult.public.metrics import Metrics
from ult.public.run import MEMBERS, Run
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.inputs import Files, Paths
from ult.trainer.forgetting.asked import Asked
from ult.trainer.members import member, whole
from ult.trainer.models.build import build, initial_weights
from ult.trainer.models.digest import weights_digest
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import OURS

Train = Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What forgetting took: how many of how many runs were trained again, and their optimizer steps beside all."""

    again: int
    of: int
    steps: int
    before: int

    def __str__(self) -> str:
        if self.of == 1:
            return f"the run has no members, so all of it was trained again, {self.steps:,} of {self.before:,} steps"
        return (
            f"{self.again} of {self.of} members trained again, {self.steps:,} of {self.before:,} steps "
            f"({self.steps / max(1, self.before):.1%}; m/K is {self.again / self.of:.1%})"
        )


def train_again(
    train: Train, asked: Asked, base: Path | None, folder: Path, *, shards: Paths, beside: dict[str, Any], rows: Files
) -> tuple[dict[str, Any], Cost]:
    """Train again, into `folder`, what saw the records; return what the metrics say without them, and the cost.

    `beside` are targets and validation shards. What an interrupted call finished is not done again.
    """
    recipe = asked.recipe if base is None else replace(asked.recipe, from_run=str(base))
    if not asked.run.members:
        if not asked.saw([recipe.part])[0]:
            raise InvalidConfig(f"{asked.run.path} saw part {recipe.part} of the records, and none of these is of it")
        check_beginning(asked, recipe, asked.run.metrics)
        metrics = train(shards, folder, recipe, **beside, without=rows, resume="auto")
        return metrics, Cost(1, 1, _done(metrics), _done(asked.run.metrics))
    old = asked.run.each()
    each, saw = [], asked.saw([member(recipe, k).part for k in range(len(old))])
    for k, one in enumerate(old):
        place = folder / MEMBERS / str(k)
        if not saw[k]:
            copy_run(one, place)
            each.append(dict(one.metrics))
            continue
        mine = member(recipe, k)
        say(f"member {k + 1} of {len(old)}, in {MEMBERS}/{k}, saw records to forget and is trained again")
        check_beginning(asked, mine, one.metrics)
        each.append(train(shards, place, mine, **beside, without=rows, resume="auto"))
    steps = sum(_done(one) for one, again in zip(each, saw, strict=True) if again)
    cost = Cost(sum(saw), len(old), steps, sum(_done(one.metrics) for one in old))
    write_shared(asked, folder)
    summaries = asked.inputs.summaries
    told = {name: summaries[name] for name in ("shards", "targets", "without")}
    return {**whole(recipe, each), **told}, cost


def check_beginning(asked: Asked, recipe: Recipe, told: Metrics) -> None:
    """Raise `InvalidConfig` unless a training that loads its first weights would begin with those of the old one."""
    if initial_weights(recipe) == "random" or "initial_digest" not in told:
        return
    from transformers import set_seed

    set_seed(recipe.seed)
    model, _ = build(recipe, asked.inputs.vocabulary, asked.inputs.tables, list(told["classes"]))
    if weights_digest(model) != told["initial_digest"]:
        raise InvalidConfig(
            f"{asked.run.path} began with other weights than {recipe.from_run or recipe.model} gives today",
            hint="--base with the run it went on from, or the folder of its --model, as they were",
        )


def copy_run(run: Run, place: Path) -> None:
    """Copy the files of a run, byte for byte, and nothing else that lies in its folder."""
    with writing(place):
        for path in sorted(run.path.rglob("*")):
            name = path.relative_to(run.path).as_posix()
            if path.is_file() and OURS.fullmatch(name):
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place / name)


def write_shared(asked: Asked, folder: Path) -> None:
    """Write what all members of a run have in common: the vocabulary."""
    with writing(folder):
        asked.inputs.vocabulary.tokenizer().save_pretrained(folder)
        asked.inputs.vocabulary.save(folder / "vocabulary.json")


def _done(metrics: Metrics) -> int:
    """Return how many steps a training did: fewer than it was to do where validation stopped it."""
    bits = (metrics.get("validation") or {}).get("bits")
    return int(bits[-1][0] if bits else metrics.get("steps") or 0)
