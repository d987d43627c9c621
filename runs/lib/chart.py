"""Draw a result: dots with their intervals, bars beside a peer, or curves; to be read on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from lib.result import GOAL, SPEEDS, verdict

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

OURS, OTHER, MISSED, GRID = "#1f6feb", "#57606a", "#d1242f", "#d8dee4"
WIDTH, LINE = 6.0, 0.42  # inches; at 160 dots an inch the picture fills a phone's width
WIDE = 9.0  # inches, at 110 dots: bars and curves


def draw(document: dict[str, Any], path: Path) -> None:
    """Write a PNG of a result, in the form that its row has."""
    if document["row"] == "waterfall":
        _save(_fall(document), path, 110)
    elif document["row"] in SPEEDS:
        _save(_bars(document), path, 110)
    elif any("x" in m for m in document["metrics"]):
        _save(_curves(document), path, 110)
    else:
        _save(_dots(document), path, 160)


def _save(figure: Any, path: Path, dots: int) -> None:
    figure.savefig(path, dpi=dots, metadata={"Software": None})
    plt.close(figure)


def _dots(document: dict[str, Any]) -> Any:
    """Return a panel for each metric, in it a dot and its interval for each system."""
    names = document["chart"] or list(dict.fromkeys(m["name"] for m in document["metrics"]))
    panels = [[m for m in document["metrics"] if m["name"] == name] for name in names]
    heights = [0.9 + LINE * len(panel) for panel in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, sum(heights) + 0.6), layout="constrained", squeeze=False, height_ratios=heights
    )
    figure.suptitle(document["title"], fontsize=14, fontweight="bold", x=0.02, ha="left")
    for place, panel in zip(axes[:, 0], panels, strict=True):
        _panel(place, panel)
    return figure


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
            axes.plot([_goal(m)] * 2, [y - 0.35, y + 0.35], color="black", linewidth=1.5)
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


def _bars(document: dict[str, Any]) -> Any:
    """Return the ratios to the peers as bars, with their range, and the goals as marks."""
    metrics = [m for m in document["metrics"] if "peer" in m]
    figure, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.36 * len(metrics)), layout="constrained")
    for y, m in enumerate(metrics):
        met = not m["goal"] or verdict(m).startswith("met")
        axes.barh(y, m["value"], color=OURS if met else MISSED, height=0.6)
        axes.plot([m["low"], m["high"]], [y, y], color="black", linewidth=1)
        if m["goal"]:
            axes.plot([_goal(m)] * 2, [y - 0.42, y + 0.42], color="black", linewidth=2)
        axes.annotate(f" {m['value']:.3g}", (max(m["value"], m["high"]), y), va="center", fontsize=8)
    axes.set_yticks(range(len(metrics)), [f"{m['name']}: {m['system']}" for m in metrics], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color=OTHER, linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlabel("ratio: median, range of the rounds (line), goal (bar)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _fall(document: dict[str, Any]) -> Any:
    """Return the stages of a command as bars, each from where the one before ends, and in each its limit."""
    stages = [m for m in document["metrics"] if m.get("speed", m["unit"]) == "ms"]
    times = [m.get("ours", m["value"]) for m in stages]
    figure, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.36 * len(stages)), layout="constrained")
    start = 0.0
    for y, (m, took) in enumerate(zip(stages, times, strict=True)):
        axes.barh(y, took, left=start, color=OURS, alpha=0.45, height=0.6)
        axes.barh(y, min(took, m.get("peer", 0.0)), left=start, color=OURS, height=0.6)
        beside = f", {m['value']:.3g} x {m['system'].partition(' / ')[2]}" if "peer" in m else ""
        axes.annotate(f" {took:,.0f} ms{beside}", (start + took, y), va="center", fontsize=8)
        start += took
    axes.set_yticks(range(len(stages)), [m["name"] for m in stages], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * start)
    axes.set_xlabel("ms, one stage after the other; dark: the limit, measured alone")
    axes.set_title(document["title"], fontsize=12, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _curves(document: dict[str, Any]) -> Any:
    """Return a panel for each metric that has points, in it a curve for each system."""
    points = [m for m in document["metrics"] if "x" in m]
    kinds = [[m for m in points if m["name"] == name] for name in dict.fromkeys(m["name"] for m in points)]
    figure, panels = plt.subplots(-(-len(kinds) // 2), 2, figsize=(WIDE, WIDE), layout="constrained", squeeze=False)
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
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_title(kind[0]["name"], fontsize=10)
        axes.set_xlabel(kind[0]["axis"])
        axes.set_ylabel(kind[0]["unit"])
        axes.legend(fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _goal(m: dict[str, Any]) -> float:
    return float(GOAL.fullmatch(m["goal"])[2])
