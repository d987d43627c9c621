"""Train the members of a run: ordinary runs of one recipe and seeds of their own, in one folder.

Member k is, byte for byte, the run that a training of its own gives with seed + k and, where the members' records are
disjoint, `--part k/K`. So one member can be trained again, without the others, when a record has to be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ult.errors import writing
from ult.public.run import MEMBERS
from ult.trainer.callbacks.progress import say
from ult.trainer.compatible import Compatible
from ult.trainer.datasets.inputs import Files, Inputs, Paths
from ult.trainer.distributed import broadcast, join_processes, raise_on_all
from ult.trainer.finished import finished, said
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import Resume, finish, partial_folder, working_folder, write_told

_OF_ONE = ("initial_digest", "ids_per_second", "mfu", "resumed_at", "memorisation", "part")  # told by each member alone


def train_members(
    train: Callable[..., dict[str, Any]],
    shards: Paths,
    out: str | Path,
    recipe: Recipe,
    *,
    validation: Paths | None,
    without: Files | None = None,
    resume: Resume,
    force: bool,
) -> dict[str, Any]:
    """Train every member by `train`, which trains one run, and return what the `metrics.json` of the whole says.

    What is finished of an interrupted training is not done again. Raises as `train`.
    """
    out, partial = Path(out), partial_folder(Path(out))
    state, done, many = join_processes(), None, int(recipe.members or 1)
    with ExitStack() as stack:
        with raise_on_all(state):
            inputs = Inputs.open(recipe, shards, None, validation, None, without)
            compatible = Compatible.open(recipe, inputs.shards)
            asked = inputs.summaries | {"compatible": compatible.runs if compatible else []}
            if state.is_main_process and resume == "auto" and not force:
                done = finished(out, recipe, asked)
            if state.is_main_process and done is None:
                folder = working_folder(out, recipe, asked, resume=resume, force=force)
                stack.enter_context(folder)
        done = broadcast(state, done)
        if done is not None:
            if state.is_main_process:
                say(said(out.name, done))
            return dict(done)
        each = []
        for k in range(many):
            one = member(recipe, k)
            if state.is_main_process:
                seen = f", part {one.part} of the records" if one.part else ""
                say(f"{out.name}: member {k + 1} of {many}, in {MEMBERS}/{k}: seed {one.seed}{seen}")
            place, beside = partial / "run" / MEMBERS / str(k), {"validation": validation, "without": without}
            each.append(train(shards, place, one, **beside, resume="auto"))
        metrics = whole(recipe, each)
        with raise_on_all(state):
            if state.is_main_process:
                with writing(out):
                    inputs.vocabulary.tokenizer().save_pretrained(partial / "run")
                    inputs.vocabulary.save(partial / "run" / "vocabulary.json")
                    write_told(partial / "run", metrics)
                finish(partial, out, force=force)
                say(f"{out.name}: {many} members, whose probabilities are averaged by evaluate, generate and predict")
    return metrics


def member(recipe: Recipe, k: int) -> Recipe:
    """Return the recipe of member k, from 0, of a run by this recipe."""
    part = f"{k}/{recipe.members}" if recipe.member_records == "disjoint" else recipe.part
    return replace(recipe, members=None, member_records="same", part=part, seed=recipe.seed + k)


def whole(recipe: Recipe, each: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `metrics.json` says of members that say this of themselves."""
    first = {name: value for name, value in each[0].items() if name not in _OF_ONE}
    told = {"count": len(each), "of": recipe.member_records}
    if recipe.member_records == "disjoint":
        told["records"] = [one["part"]["records"] for one in each]
    held = first["validation"]
    return {
        **first,
        "recipe": asdict(recipe) | recipe.origin(),
        "members": told,
        "seed": recipe.seed,
        "steps": max(one["steps"] for one in each),
        "parameters": sum(one["parameters"] for one in each),
        "classes": _sorted({label for one in each for label in one["classes"]}),
        "truncated": sum(one["truncated"] for one in each),
        "seconds": sum(one["seconds"] for one in each),
        "loss": [],
        "validation": held and {name: held[name] for name in ("evaluate_every", "patience", "shards")},
    }


def _sorted(labels: set[Any]) -> list[Any]:
    return sorted(labels, key=lambda label: (isinstance(label, str), label))
