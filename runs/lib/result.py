"""The schema of `results/<row>.json`: made, checked and written here; charts, docs and README come from it.

A row of `runs/` trains a model beside baselines. One of `bench/` measures the code alone, times it beside a peer, or
follows time and memory as something grows: it has no model, and its metrics may say what was timed, or where on a curve
they lie.
"""

from __future__ import annotations

import json
import math
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lib.interval import KINDS, NO_SEEDS
from ult.host import distribution

ROOT = Path(__file__).resolve().parent.parent.parent
TRAINED = (
    "text-lm", "text-classify", "image-classify", "molecule-forward", "omics", "series", "transfer", "unified",
    "unified-small", "distance", "release", "attacks", "ranks", "alienlm", "memorisation", "protection", "frontier",
    "record-leaks", "record-predict", "record-bits", "joint-patient", "public-body", "small-data", "federate", "update",
    "split", "forget", "first-rows", "synth",
)  # fmt: skip
FIGURES = (
    "text-ids", "molecule-ids", "exact", "records", "record-speed", "generated", "image-quality", "series-quality",
    "demo", "scale", "worst", "verbs",
)  # fmt: skip
SPEEDS = (
    "text-speed", "fast-speed", "bwt-speed", "image-speed", "jpeg-speed", "series-speed", "train-speed",
    "generate-speed", "startup", "waterfall",
)  # fmt: skip
ROWS = (*TRAINED, *FIGURES, *SPEEDS, "growth")
PACKAGES = (
    "numba", "numpy", "pillow", "pyarrow", "rdkit", "scikit-learn", "scipy", "tokenizers", "torch", "transformers",
)  # fmt: skip
# What rows of bench/ were measured with before a commit was asked for. No other is taken.
UNCOMMITTED = ("216faa0a54ba-dirty", "ae7a11a74bc7-dirty", "d0c211605986-dirty")
_NUMBER, _OPTIONAL = int | float, int | float | None
_DOCUMENT: dict[str, Any] = {
    "row": str,
    "title": str,
    "asked": str,  # the question, in a sentence
    "setting": str,  # data, sizes, what is held equal, in a few sentences
    "notes": list,  # findings, negative ones too, a sentence each
    "chart": list,  # names of metrics to draw; all of them if empty
    "command": str,
    "date": str,  # of all metrics that do not say another
    "git": str,  # of the code that wrote the document
    "trainings": list,  # git hashes at which its trainings ran, which are kept from one call to the next
    "python": str,
    "versions": dict,
    "device": str,
    "minutes": _OPTIONAL,  # of all its trainings and measurements, also of those that were kept; None if not counted
    "model": dict,  # name, parameters, and what else matters; empty if there is none
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
_TIMED: dict[str, Any] = {  # beside a peer, in turns
    "rounds": int,
    "ours": _NUMBER,  # medians of the rounds, in the unit `speed`
    "peer": _NUMBER,
    "speed": str,
}
_KEPT: dict[str, Any] = {"measured": str}  # "date, commit", where that is not the document's
_CURVE: dict[str, Any] = {"x": _NUMBER, "axis": str}  # a point: the value at `x`, in the unit `axis`
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


def document(
    row: str,
    title: str,
    metrics: Sequence[dict[str, Any]],
    *,
    asked: str,
    setting: str,
    command: str,
    device: str,
    notes: Sequence[str] = (),
    chart: Sequence[str] = (),
    trainings: Sequence[str] = (),
    minutes: float | None = None,
    model: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a whole result, of today and of this code; the fields are those of `_DOCUMENT`."""
    return {
        "row": row,
        "title": title,
        "asked": asked,
        "setting": setting,
        "notes": list(notes),
        "chart": list(chart),
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "git": git(),
        "trainings": list(trainings),
        "python": platform.python_version(),
        "versions": distribution.versions(*PACKAGES),
        "device": device,
        "minutes": minutes,
        "model": model or {},
        "metrics": list(metrics),
    }


def earlier(row: str) -> dict[str, Any]:
    """Return the result that a row has in `results/`; each metric says at which day and commit it was measured."""
    found: dict[str, Any] = json.loads((ROOT / "results" / f"{row}.json").read_text(encoding="utf-8"))
    found["metrics"] = [{"measured": f"{found['date']}, commit {found['git']}"} | one for one in found["metrics"]]
    return found


def write(made: dict[str, Any], folder: Path = ROOT / "results") -> Path:
    """Check a result and write it into `folder`; print its figures, and return its place.

    That of uncommitted code is written too, to be looked at: `load` refuses it.
    """
    check(committed(made))
    path = folder / (f"{made['row']}.json" if made["device"] == "cpu" else f"{made['row']}-{made['device']}.json")
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    for m in made["metrics"]:
        ends = "" if m["low"] is None else f" ({m['low']:.4g} to {m['high']:.4g})"
        print(f"{m['name']:<44} {m['system']:<28} {m['value']:>10.4g}{ends} {m['unit']}  {m['goal']}")
    print(f"wrote {path}")
    if committed(made) != made:
        print("the code has changes that are not committed: commit, and run it again before the result is kept")
    return path


def committed(made: dict[str, Any]) -> dict[str, Any]:
    """Return a result as if its code were all committed."""
    return made | {"git": made["git"].removesuffix("-dirty")}


def check(document: Any) -> None:
    """Raise `ValueError` unless `document` is a whole result of a row, of code that is committed."""
    _check_fields(document, _DOCUMENT, "the result")
    where, at = document["row"], document["git"]
    _require(where in ROWS, f"row is {where!r}; expected one of {', '.join(ROWS)}")
    right = re.fullmatch(r"[0-9a-f]{12}", at) or (where not in TRAINED and at in UNCOMMITTED)
    _require(right, f"{where}: git is {at!r}; expected a commit")
    _require(re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"]), f"{where}: date is {document['date']!r}")
    lacks = where in TRAINED and not {"name", "parameters"} <= set(document["model"])
    _require(not lacks, f"{where}: model lacks name or parameters")
    _require(document["metrics"], f"{where}: it has no metrics")
    seen = set()
    for m in document["metrics"]:
        _check_metric(m, where)
        seen.add((m["name"], m["system"], m.get("x")))
    _require(len(seen) == len(document["metrics"]), f"{where}: a metric stands there twice")
    names, systems = {name for name, *_ in seen}, {system for _, system, _ in seen}
    _require(set(document["chart"]) <= names, f"{where}: chart names a metric that is not there")
    unknown = {m["baseline"] for m in document["metrics"]} - systems - {""}
    _require(not unknown, f"{where}: no metric of baseline {sorted(unknown)}")


def _check_metric(m: Any, where: str) -> None:
    more = [group for group in (_TIMED, _KEPT, _CURVE) if isinstance(m, dict) and group.keys() & m.keys()]
    _check_fields(m, {name: kind for group in (_METRIC, *more) for name, kind in group.items()}, f"a metric of {where}")
    here = f"{where}: {m['name']} of {m['system']}"
    _require(math.isfinite(m["value"]), f"{here} is {m['value']}")
    _require(m["interval"] in KINDS, f"{here}: interval is {m['interval']!r}")
    bare = m["low"] is None
    _require(bare == (m["high"] is None) == m["interval"].startswith("none"), f"{here}: interval is incomplete")
    _require(bare or m["low"] <= m["value"] <= m["high"], f"{here}: {m['value']} is outside its interval")
    _require(0 < m["n"] <= m["n_asked"], f"{here}: n is {m['n']} of {m['n_asked']} asked")
    _require(m["interval"] in NO_SEEDS or m["seeds"], f"{here}: no seeds")
    when = m.get("measured")
    right = when is None or re.fullmatch(r"\d{4}-\d\d-\d\d, commit [0-9a-f]{12}", when)
    _require(right, f"{here}: measured is {when!r}")
    _require(not m["goal"] or GOAL.fullmatch(m["goal"]), f"{here}: goal is {m['goal']!r}")


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


def results(rows: Sequence[str] = TRAINED) -> list[Path]:
    """Return the results of `rows` that are there, in order; `<row>-cuda.json` stands beside what a CPU found."""
    places = [ROOT / "results" / f"{row}{suffix}.json" for row in rows for suffix in ("", "-cuda")]
    return [path for path in places if path.exists()]


def git() -> str:
    """Return the commit of the code, with "-dirty" if it is not all committed; results themselves do not count."""
    code = ["src", "runs", "bench", "pyproject.toml", "constraints.txt"]
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
