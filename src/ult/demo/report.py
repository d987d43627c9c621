"""The demo's report: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ult.audit.figure import INK, plain_axes, svg
from ult.demo.session import Step
from ult.demo.steps import Scale
from ult.distribution import versions

REPORT = "report.html"
FIGURES = "demo.json"
PACKAGES = ("torch", "transformers", "numpy", "numba", "pyarrow", "pyrage", "scikit-learn")
NEXT = """\
ult keygen -o me.key                      # your key; prints your public key, age1...
ult fit notes.jsonl -o notes.ult -r age1...
ult encode notes.jsonl -t notes.ult --identity me.key -o notes.shards
ult train notes.shards -o run --model small --steps 2000
ult generate run -n 5 -o written.shards
ult decode written.shards --prefix -t notes.ult --identity me.key -o new.jsonl
ult inspect notes.shards                  # any table, shards or run"""


def summary(figures: dict[str, Any], steps: Sequence[Step], scale: Scale, seed: int, seconds: float) -> dict[str, Any]:
    """Return `figures` with what they rest on: versions, seed, scale, seconds, and the files of each party."""
    return {
        "format": "ult-demo/1",
        "versions": {"python": platform.python_version(), **versions(*PACKAGES)},
        "seed": seed,
        "scale": asdict(scale),
        "seconds": seconds,
        "seconds_of_steps": {step.title: step.seconds for step in steps},
        "parties": parties(Path(), ("owner-a", "owner-b", "trainer")),
        **figures,
    }


def write(figures: dict[str, Any], steps: Sequence[Step], folder: Path) -> None:
    """Write `demo.json` and `report.html`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ult.demo", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template(REPORT).render(
        **figures, story=steps, next=NEXT, losses=_losses(figures["runs"]), intervals=_intervals(figures["comparison"])
    )
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (folder / REPORT).write_text(page, encoding="utf-8")


def farewell(figures: dict[str, Any], out: Path) -> str:
    """Return what the terminal says at the end."""
    try:
        shown = out.relative_to(Path.cwd())
    except ValueError:
        shown = out
    return (
        f"\n[bold]Done in {figures['seconds']:.0f} s.[/] Open [bold]{shown / 'report.html'}[/] in a browser; "
        f"{shown / 'demo.json'} has every figure.\n\nOn your own data:\n{NEXT}"
    )


def parties(folder: Path, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return of each party, by its name, what lies at the top of its folder: `name`, `files` and `bytes`."""
    return {party: _held(folder / party) for party in names}


def _held(folder: Path) -> list[dict[str, Any]]:
    """Return name and bytes of each file; a folder in `folder` is one entry with all of its files."""
    entries = []
    for path in sorted(folder.iterdir()):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        name = path.name if path.is_file() else f"{path.name}/"
        entries.append({"name": name, "files": len(files), "bytes": size})
    return entries


def _losses(runs: dict[str, Any]) -> str:
    """Draw the training losses of the runs on text."""
    figure, axes = plain_axes()
    for name, colour in (("pretrained", "#888888"), ("from-scratch", "#d1792c"), ("fine-tuned", "#2f7ed8")):
        axes.plot(*zip(*runs[name]["loss"], strict=True), color=colour, linewidth=1.8, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (nats an id)")
    axes.legend(frameon=False, labelcolor=INK)
    return svg(figure, "losses")


def _intervals(comparison: dict[str, Any]) -> str:
    """Draw bits per byte of the two models with their intervals."""
    figure, axes = plain_axes(height=1.6)
    for place, (name, colour) in enumerate((("from-scratch", "#d1792c"), ("fine-tuned", "#2f7ed8"))):
        value = comparison[name]["bits_per_byte"]
        low, high = comparison[name]["bits_per_byte_interval"]
        axes.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=5, linewidth=2)
    axes.set_yticks([0, 1], ["from-scratch", "fine-tuned"])
    axes.set_ylim(-0.6, 1.6)
    axes.set_xlabel("bits per byte on B's test records (lower is better)")
    return svg(figure, "intervals")
