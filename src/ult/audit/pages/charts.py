"""The charts of the audit's page: each attack has one colour and sign on the whole page, and intervals are bars.

No attack is red, amber or green, because these colours mean levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ult.audit.figure import INK, plain_axes, svg

COLOURS = (
    "#3a7bd5",
    "#8a5cd6",
    "#128f9b",
    "#c2489a",
    "#94694a",
    "#72808f",
    "#6672d8",
    "#2288c2",
)  # 3:1 on light and dark
SIGNS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}  # matplotlib's marker -> the character in the page's legend
LEAST = 1e-4  # share of members at which the logarithmic axis ends


@dataclass(frozen=True, slots=True)
class Mark:
    """How an attack is drawn, in all charts."""

    name: str
    colour: str
    sign: str

    @property
    def letter(self) -> str:
        """The sign as a character of the page's legend."""
        return SIGNS[self.sign]


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """Return a mark for each attack; neighbours have different signs, and the first 32 marks are all different.

    >>> [mark.letter for mark in marks(map(str, range(10))).values()]
    ['●', '■', '▲', '◆', '●', '■', '▲', '◆', '■', '▲']
    """
    signs, each = list(SIGNS), list(dict.fromkeys(names))
    return {
        name: Mark(name, COLOURS[place % len(COLOURS)], signs[(place + place // len(COLOURS)) % len(signs)])
        for place, name in enumerate(each)
    }


def attacks(found: Sequence[Mapping[str, Any]], marked: Mapping[str, Mark]) -> str:
    """Return an SVG of the share of ids that each attack reads, against the ids it holds, and of the blind guess."""
    figure, axes = plain_axes(3.0)
    for name in dict.fromkeys(one["name"] for one in found):
        points = sorted((one["units"], one["occurrences"], *_ends(one)) for one in found if one["name"] == name)
        at, value, low, high = (list(column) for column in zip(*points, strict=True))
        _drawn(axes, marked[name], at, value, low, high, line="-")
    blind = sorted({(one["units"], one["blind"]) for one in found})
    axes.plot(*zip(*blind, strict=True), color=INK, linestyle=":", linewidth=1.4)
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.xaxis.set_major_formatter(lambda ids, _: f"{ids:,.0f}")
    axes.xaxis.set_minor_formatter(lambda ids, _: "")
    axes.set_xlabel("ids that the attacker holds")
    axes.set_ylabel("ids read")
    return svg(figure, "attacks")


def rates(membership: Mapping[str, Mapping[str, Any]], marked: Mapping[str, Mark]) -> str:
    """Return an SVG of each attack's true-positive rate at low false-positive rates, on logarithmic axes."""
    figure, axes = plain_axes(3.0)
    for place, (name, found) in enumerate(membership.items()):
        aside = 1.1 ** (place - (len(membership) - 1) / 2)
        at = [one["fpr"] * aside for one in found["tpr"]]
        value = [max(one["tpr"], LEAST) for one in found["tpr"]]
        low, high = ([max(one["interval"][end], LEAST) for one in found["tpr"]] for end in (0, 1))
        _drawn(axes, marked[name], at, value, low, high)
    axes.plot([LEAST, 1], [LEAST, 1], color=INK, linestyle=":", linewidth=1.4)
    axes.set(xscale="log", yscale="log", xlim=(3e-4, 0.05), ylim=(LEAST, 1.3))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share:.4g}" if share < 1e-3 else f"{100 * share:g} %")
    axes.set_xlabel("nonmembers taken for members")
    axes.set_ylabel("members found")
    return svg(figure, "rates")


def _ends(one: Mapping[str, Any]) -> tuple[float, float]:
    low, high = one.get("occurrences_interval") or (one["occurrences"], one["occurrences"])
    return low, high


def _drawn(
    axes: Any, mark: Mark, at: list[float], value: list[float], low: list[float], high: list[float], line: str = ""
) -> None:
    """Draw the points of an attack, each with its interval as a thin bar with ends."""
    below = [max(v - end, 0.0) for v, end in zip(value, low, strict=True)]
    above = [max(end - v, 0.0) for v, end in zip(value, high, strict=True)]
    axes.errorbar(
        at, value, yerr=[below, above], fmt=mark.sign + line, color=mark.colour, markersize=4, capsize=2.5,
        linewidth=1.6, elinewidth=1.0,
    )  # fmt: skip
