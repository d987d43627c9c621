"""Write the demo's report, one HTML file; `demo.json` beside it holds all of its figures."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ult.audit.figure import INK, plain_axes, svg
from ult.demo.session import REPORT, Step
from ult.demo.steps import Scale
from ult.host.distribution import versions

FIGURES = "demo.json"
PACKAGES = ("torch", "transformers", "numpy", "numba", "pyarrow", "pyrage", "scikit-learn")
NEXT = """\
ult keygen -o me.key  # prints your public key, age1...
ult fit notes.csv --column text -r age1... -o notes.ult
ult encode notes.csv --column text -t notes.ult --identity me.key \\
    -o notes.shards
ult audit code notes.shards --reference public.csv --column text \\
    -t notes.ult --identity me.key --json code.json  # before they leave
ult train notes.shards -o run --steps 1000  # needs no table
ult generate run -n 5 -t notes.ult --identity me.key -o written.txt
ult inspect notes.shards  # any table, shards or run"""


def summary(figures: dict[str, Any], steps: Sequence[Step], scale: Scale, seed: int, seconds: float) -> dict[str, Any]:
    """Return `figures` with versions, seed, scale, seconds, the story and each party's files."""
    return {
        "format": "ult-demo/2",
        "versions": {"python": platform.python_version(), **versions(*PACKAGES)},
        "seed": seed,
        "scale": asdict(scale),
        "seconds": seconds,
        "parties": parties(Path(), ("hospital", "trainer", "adversary")),
        "story": [asdict(step) for step in steps],
        **figures,
    }


def write(figures: dict[str, Any], folder: Path) -> None:
    """Write `demo.json`, and `report.html` from the same figures alone."""
    from ult.audit.pages.frame import templates

    environment = templates("ult.demo")
    environment.filters["coded"] = _coded
    page = environment.get_template(REPORT).render(
        **figures, next=NEXT, losses=_losses(figures["runs"]), bits=_bits(figures["model"])
    )
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (folder / REPORT).write_text(page, encoding="utf-8")


def _coded(text: str) -> Any:
    """Return a text as HTML in which parts between backticks are `<code>`."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 escaped


def called() -> str:
    """Return what the user has to type for `ult`, because the `ult` of a checkout is not on the path."""
    beside = Path(sys.executable).with_name("ult")
    found = shutil.which("ult")
    if found is not None and (Path(found).parent == beside.parent or not beside.exists()):
        return "ult"
    if not beside.exists():
        return "python -m ult"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def closing(way: str) -> str:
    """Return the commands for the user's own data, with `ult` typed as `way`."""
    return re.sub("^ult ", lambda _: f"{way} ", NEXT, flags=re.MULTILINE)


def farewell(figures: dict[str, Any], out: Path) -> str:
    """Return the text that ends the demo on the terminal."""
    try:
        shown = out.relative_to(Path.cwd())
    except ValueError:
        shown = out
    return (
        f"\n[bold]Done in {figures['seconds']:.0f} s.[/] Open [bold]{shown / REPORT}[/] in a browser; "
        f"{shown / FIGURES} has every figure.\n\nOn your own data:\n{closing(called())}"
    )


def parties(folder: Path, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return, for each party, the entries of its folder with `name`, number of `files` and `bytes`."""
    return {party: _entries(folder / party) for party in names}


def _entries(folder: Path) -> list[dict[str, Any]]:
    """Return `name`, `files` and `bytes` of each entry of a folder; a folder in it is one entry with all its files."""
    entries = []
    for path in sorted(folder.iterdir()):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        name = path.name if path.is_file() else f"{path.name}/"
        entries.append({"name": name, "files": len(files), "bytes": size})
    return entries


_LINES = (("plain", "plain tokens", "#d1792c"), ("ids", "ids", "#2f7ed8"))


def _losses(runs: dict[str, Any]) -> str:
    """Return a plot of the training losses of the two runs."""
    figure, axes = plain_axes(2.4)
    for name, label, colour in _LINES:
        axes.plot(*zip(*runs[name]["loss"], strict=True), color=colour, linewidth=1.8, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (nats an id)")
    axes.legend(frameon=False, labelcolor=INK)
    return svg(figure, "losses")


def _bits(model: dict[str, Any]) -> str:
    """Return a plot of the bits per byte of the two models with their intervals."""
    figure, axes = plain_axes(1.5)
    for place, (name, _, colour) in enumerate(_LINES):
        value = model[name]["bits_per_byte"]
        low, high = model[name]["bits_per_byte_interval"]
        axes.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=5, linewidth=2)
    axes.set_yticks([0, 1], [label for _, label, _ in _LINES])
    axes.set_ylim(-0.6, 1.6)
    axes.set_xlabel("bits per byte of unseen notes (lower is better)")
    return svg(figure, "bits")
