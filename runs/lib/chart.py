"""Draw a result: a panel for each metric, a dot and its interval for each system; to be read on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from lib.result import GOAL

mpl.use("Agg")
import matplotlib.pyplot as plt

OURS, OTHER, GRID = "#1f6feb", "#57606a", "#d8dee4"
WIDTH, LINE = 6.0, 0.42  # inches; at 160 dots an inch the picture fills a phone's width


def draw(document: dict[str, Any], path: Path) -> None:
    """Write a PNG of a result."""
    names = document["chart"] or list(dict.fromkeys(m["name"] for m in document["metrics"]))
    panels = [[m for m in document["metrics"] if m["name"] == name] for name in names]
    heights = [0.9 + LINE * len(panel) for panel in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, sum(heights) + 0.6), layout="constrained", squeeze=False, height_ratios=heights
    )
    figure.suptitle(document["title"], fontsize=14, fontweight="bold", x=0.02, ha="left")
    for place, panel in zip(axes[:, 0], panels, strict=True):
        _panel(place, panel)
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)


def _panel(axes: Any, panel: list[dict[str, Any]]) -> None:
    for y, m in enumerate(panel):
        colour = OURS if m["system"].startswith("ult") else OTHER
        if m["low"] is not None:
            axes.plot([m["low"], m["high"]], [y, y], color=colour, linewidth=3, alpha=0.35, solid_capstyle="round")
        axes.plot(m["value"], y, "o", color=colour, markersize=8)
        axes.annotate(
            f"{m['value']:.3g}", (m["value"], y), (0, 7), textcoords="offset points", ha="center", fontsize=10
        )
        if m["goal"]:
            axes.plot([float(GOAL.fullmatch(m["goal"])[2])] * 2, [y - 0.35, y + 0.35], color="black", linewidth=1.5)
    unit = f", {panel[0]['unit']}" if panel[0]["unit"] else ""
    arrow = "\u2191" if panel[0]["higher_is_better"] else "\u2193"
    axes.set_title(f"{panel[0]['name']}{unit} {arrow}", fontsize=11, loc="left")
    axes.set_yticks(range(len(panel)), [m["system"] for m in panel], fontsize=11)
    axes.set_ylim(len(panel) - 0.5, -0.75)
    axes.margins(x=0.12)
    axes.tick_params(axis="x", labelsize=10)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
