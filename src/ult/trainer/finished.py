"""Find out whether a training that is asked for is finished already, as a queue that starts it again does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.errors import OutputExists
from ult.host.atomic import recover
from ult.public.run import Run
from ult.trainer.recipe import OPTIONS, Recipe


def finished(out: Path, recipe: Recipe, data: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """Return what the metrics of the run `out` say if it is this recipe's on these data; None if nothing is there.

    `data` are the summaries of the shards, by what they are for. Raises `OutputExists` if another run is there, or
    something else, and `FormatError` for a run that is damaged.
    """
    recover(out)
    if not out.exists():
        return None
    if not (out / "metrics.json").is_file():
        raise OutputExists(f"{out} exists already, and is not a run", hint="another --out")
    metrics = dict(Run.open(out).metrics)
    if others := other(metrics, recipe, data):
        raise OutputExists(
            f"{out} is there, and was trained with other {', '.join(others)}", hint="another --out, or --force"
        )
    return metrics


def other(metrics: Mapping[str, Any], recipe: Recipe, data: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the names of what a finished training was asked otherwise than this recipe and these data."""
    return [*_other_options(metrics, recipe), *_other_data(metrics, data)]


def said(name: str, metrics: Mapping[str, Any]) -> str:
    """Return the line that says that nothing was left to do for the run of that name."""
    return f"{name}: done already, {metrics.get('steps') or 0:,} steps; nothing was trained"


def _other_options(metrics: Mapping[str, Any], recipe: Recipe) -> list[str]:
    asked = json.loads(json.dumps(recipe.shaping() | recipe.origin()))
    told = json.loads(json.dumps(Recipe().shaping() | Recipe().origin())) | dict(metrics.get("recipe", {}))
    return [name for name in asked if name in OPTIONS and asked[name] != told[name]]


def _other_data(metrics: Mapping[str, Any], data: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    told = {"validation": (metrics.get("validation") or {}).get("shards", [])}
    told |= {name: metrics.get(name, []) for name in ("shards", "targets")}
    others = [name for name in told if not _same(told[name], data[name])]
    if not _same(metrics.get("without", []), data.get("without", [])):
        others.append("records left out")
    for name, key in (("distilled", "teachers"), ("compatible", "compatible")):
        taught, asked = ([one["digest"] for one in runs] for runs in (metrics.get(name, []), data.get(key, [])))
        others += [key] if taught != asked else []
    return others


def _same(told: list[dict[str, Any]], asked: list[dict[str, Any]]) -> bool:
    """Return whether summaries are of the same shards; a run that is given away may say less of them."""
    return len(told) == len(asked) and all(
        one.get(name, other[name]) == other[name]
        for one, other in zip(told, asked, strict=True)
        for name in ("table", "digest")
        if name in other
    )
