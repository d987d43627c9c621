"""Draw `results/*.json` of speed and growth as PNGs beside them, or in the folder named."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from readme import SPEEDS
from result import ROOT

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results"
OURS, OTHER, MISSED = "#1f6feb", "#8b949e", "#d1242f"


def speeds(row: str) -> None:
    """Draw the ratios to the peers as bars, with their range, and the goals as marks."""
    metrics = [m for m in _metrics(row) if "peer" in m]
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.36 * len(metrics)), layout="constrained")
    for y, m in enumerate(metrics):
        value, (goal, met) = m["value"], _goal(m)
        axes.barh(y, value, color=OURS if met else MISSED, height=0.6)
        axes.plot([m["low"], m["high"]], [y, y], color="black", linewidth=1)
        if goal is not None:
            axes.plot([goal, goal], [y - 0.42, y + 0.42], color="black", linewidth=2)
        axes.annotate(f" {value:.3g}", (max(value, m["high"]), y), va="center", fontsize=8)
    axes.set_yticks(range(len(metrics)), [f"{m['name']}: {m['system']}" for m in metrics], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color=OTHER, linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlabel("ratio: median, range of the rounds (line), goal (bar)")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, row)


def growth() -> None:
    """Draw time and peak memory of each verb against the size of the text, and the time of fitting against entries."""
    points = [m for m in _metrics("growth") if "x" in m]
    names = dict.fromkeys(m["name"] for m in points)
    kinds = [[m for m in points if m["name"] == name] for name in names]
    figure, panels = plt.subplots(-(-len(kinds) // 2), 2, figsize=(9, 9), layout="constrained")
    for axes in panels.flat[len(kinds) :]:
        axes.remove()
    for axes, kind in zip(panels.flat, kinds, strict=False):
        for system in dict.fromkeys(m["system"] for m in kind):
            line = sorted((m["x"], m["value"]) for m in kind if m["system"] == system)
            axes.plot(*zip(*line, strict=True), marker="o", label=system)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(LogLocator())
        axes.grid(color="#e5e7eb", linewidth=0.6)
        axes.set_title(kind[0]["name"], fontsize=10)
        axes.set_xlabel(kind[0]["axis"])
        axes.set_ylabel(kind[0]["unit"])
        axes.legend(fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, "growth")


def _goal(m: dict[str, Any]) -> tuple[float | None, bool]:
    """Return the number in a goal such as "at least 20", and whether it is met."""
    if not m["goal"]:
        return None, True
    goal = float(m["goal"].split()[-1])
    return goal, m["value"] >= goal if m["higher_is_better"] else m["value"] <= goal


def _metrics(row: str) -> list[dict[str, Any]]:
    document = json.loads((ROOT / "results" / f"{row}.json").read_text(encoding="utf-8"))
    metrics: list[dict[str, Any]] = document["metrics"]
    return metrics


def _save(figure: Any, row: str) -> None:
    figure.savefig(FOLDER / f"{row}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    for row in SPEEDS:
        speeds(row)
    growth()


if __name__ == "__main__":
    main()
