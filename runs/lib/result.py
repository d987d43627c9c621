"""The schema of `results/<row>.json`: made, checked and written here; charts, docs and README come from it."""

from __future__ import annotations

import json
import math
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.interval import COUNTED, KINDS
from ult.host import distribution

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = (
    "text-lm", "text-classify", "image-classify", "molecule-forward", "omics", "series", "transfer", "unified",
    "distance", "release", "attacks", "ranks", "alienlm", "memorisation", "protection", "frontier",
)  # fmt: skip
PACKAGES = ("numpy", "scikit-learn", "scipy", "tokenizers", "torch", "transformers")
_NUMBER, _OPTIONAL = int | float, int | float | None
_DOCUMENT: dict[str, Any] = {
    "row": str,
    "title": str,
    "asked": str,  # the question, in a sentence
    "setting": str,  # data, sizes, what is held equal, in a few sentences
    "notes": list,  # findings, negative ones too, a sentence each
    "chart": list,  # names of metrics to draw; all of them if empty
    "command": str,
    "date": str,
    "git": str,  # of the code that wrote the document
    "trainings": list,  # git hashes at which its trainings ran, which are kept from one call to the next
    "python": str,
    "versions": dict,
    "device": str,
    "minutes": _NUMBER,  # of all its trainings and measurements, also of those that were kept
    "model": dict,  # name, parameters, and what else matters
    "metrics": list,
}
_METRIC: dict[str, Any] = {
    "name": str,
    "system": str,
    "value": _NUMBER,
    "low": _OPTIONAL,
    "high": _OPTIONAL,
    "interval": str,  # one of interval.KINDS
    "n": int,  # records, pairs or bytes that it rests on
    "n_asked": int,
    "seeds": list,
    "higher_is_better": bool,
    "unit": str,
    "baseline": str,  # the system that it is compared with, or ""
    "goal": str,  # "", or as in "at least 0.98"
}
GOAL = re.compile(r"(at least|at most|above|below) (-?[0-9.]+)")


def metric(
    name: str,
    system: str,
    found: dict[str, Any],
    *,
    n: int,
    higher_is_better: bool,
    n_asked: int | None = None,
    seeds: Sequence[int] = (),
    unit: str = "",
    baseline: str = "",
    goal: str = "",
) -> dict[str, Any]:
    """Return one figure; `found` is value, low, high and interval, as `interval` gives them."""
    return {
        "name": name,
        "system": system,
        **found,
        "n": n,
        "n_asked": n if n_asked is None else n_asked,
        "seeds": list(seeds),
        "higher_is_better": higher_is_better,
        "unit": unit,
        "baseline": baseline,
        "goal": goal,
    }


def check(document: Any) -> None:
    """Raise `ValueError` unless `document` is a whole result of a row, of code that is committed."""
    _check_fields(document, _DOCUMENT, "the result")
    where = document["row"]
    _require(where in ROWS, f"row is {where!r}; expected one of {', '.join(ROWS)}")
    _require(re.fullmatch(r"[0-9a-f]{12}", document["git"]), f"{where}: git is {document['git']!r}; expected a commit")
    _require(re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"]), f"{where}: date is {document['date']!r}")
    _require({"name", "parameters"} <= set(document["model"]), f"{where}: model lacks name or parameters")
    _require(document["metrics"], f"{where}: it has no metrics")
    seen = set()
    for m in document["metrics"]:
        _check_fields(m, _METRIC, f"a metric of {where}")
        here = f"{where}: {m['name']} of {m['system']}"
        _require(math.isfinite(m["value"]), f"{here} is {m['value']}")
        _require(m["interval"] in KINDS, f"{here}: interval is {m['interval']!r}")
        bare = m["low"] is None
        _require(bare == (m["high"] is None) == m["interval"].startswith("none"), f"{here}: interval is incomplete")
        _require(bare or m["low"] <= m["value"] <= m["high"], f"{here}: {m['value']} is outside its interval")
        _require(0 < m["n"] <= m["n_asked"], f"{here}: n is {m['n']} of {m['n_asked']} asked")
        _require(m["interval"] == COUNTED or m["seeds"], f"{here}: no seeds")
        _require(not m["goal"] or GOAL.fullmatch(m["goal"]), f"{here}: goal is {m['goal']!r}")
        seen.add((m["name"], m["system"]))
    _require(len(seen) == len(document["metrics"]), f"{where}: a metric stands there twice")
    names, systems = {name for name, _ in seen}, {system for _, system in seen}
    _require(set(document["chart"]) <= names, f"{where}: chart names a metric that is not there")
    unknown = {m["baseline"] for m in document["metrics"]} - systems - {""}
    _require(not unknown, f"{where}: no metric of baseline {sorted(unknown)}")


def verdict(m: dict[str, Any]) -> str:
    """Return whether a metric meets its goal, and whether all of its interval does.

    >>> verdict({"goal": "at least 2", "value": 2.5, "low": 1.9, "high": 3.1})
    'met, inconclusive'
    """
    kind, number = GOAL.fullmatch(m["goal"]).groups()
    goal = float(number)

    def meets(value: float) -> bool:
        return {"at least": value >= goal, "at most": value <= goal, "above": value > goal, "below": value < goal}[kind]

    word = "met" if meets(m["value"]) else "missed"
    ends = [m["value"]] if m["low"] is None else [m["low"], m["high"]]
    return word if len({meets(end) for end in [m["value"], *ends]}) == 1 else f"{word}, inconclusive"


def load(path: Path) -> dict[str, Any]:
    """Return a checked result."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check(document)
    return document


def results() -> list[Path]:
    """Return the results that are there, rows in order; `<row>-cuda.json` stands beside what a CPU found."""
    places = [ROOT / "results" / f"{row}{suffix}.json" for row in ROWS for suffix in ("", "-cuda")]
    return [path for path in places if path.exists()]


def versions() -> dict[str, str]:
    """Return the versions of what decides a result."""
    return distribution.versions(*PACKAGES) | {"python": platform.python_version()}


def git() -> str:
    """Return the commit of the code, with "-dirty" if it is not all committed; results themselves do not count."""
    code = ["src", "runs", "pyproject.toml", "constraints.txt"]
    head, changed = (_git(*words) for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *code]))
    return f"{head[:12]}-dirty" if changed else head[:12]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _check_fields(document: Any, fields: dict[str, Any], where: str) -> None:
    _require(
        isinstance(document, dict) and set(document) == set(fields), f"{where} has other fields: {document!r:.200}"
    )
    for name, kind in fields.items():
        value = document[name]
        _require(isinstance(value, kind), f"{where}: {name} is {value!r:.80}")
        _require(isinstance(value, bool) == (kind is bool), f"{where}: {name} is {value!r:.80}")


def _require(right: object, message: str) -> None:
    if not right:
        raise ValueError(message)
