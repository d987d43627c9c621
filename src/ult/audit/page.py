"""The audit of a release candidate as one HTML page that needs nothing else."""

from __future__ import annotations

from typing import Any

from ult.audit.candidate import understanding
from ult.audit.verdict import LEVELS
from ult.errors import MissingExtra

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
except ImportError as missing:
    raise MissingExtra("jinja2", extra="audit") from missing

from ult.figure import INK, plain_axes, svg

PAGE = "page.html"
SAYS = {
    "green": "Nothing that was measured crosses a line, and everything asked for was measured.",
    "amber": "Something was not measured, or lies between the lines. Read the findings before anything leaves.",
    "red": "At least one finding says that records can be read or recognised by whoever receives this.",
}
COLOURS = ("#2f7ed8", "#d1792c", "#3f9a5a", "#a04fb3", "#b3372f", "#777777", "#1f9e9e", "#b08a1e")


@understanding()
def render(audit: dict[str, Any]) -> str:
    """Return the page of what `ult.audit.candidate.assemble` gave. Raises `FormatError`."""
    environment = Environment(
        loader=PackageLoader("ult.audit", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    code, model = audit["audits"]["code"], audit["audits"]["model"]
    findings = sorted(audit["findings"], key=lambda one: -LEVELS.index(one["level"]))
    page: str = environment.get_template(PAGE).render(
        **{**audit, "findings": findings},
        says=SAYS[audit["verdict"]],
        attacks=_attacks(code["attacks"]) if code and code.get("attacks") else None,
        curves=_rates(model["membership"]) if model else None,
    )
    return page


def _attacks(attacks: list[dict[str, Any]]) -> str:
    """Draw the share of ids that each attack reads, by how many it holds."""
    figure, axes = plain_axes(3.4)
    names = list(dict.fromkeys(attack["name"] for attack in attacks))
    for name, colour in zip(names, COLOURS * 3, strict=False):
        points = sorted((one["units"], one["occurrences"]) for one in attacks if one["name"] == name)
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.8, label=name)
    blind = sorted({(one["units"], one["blind"]) for one in attacks})
    axes.plot(*zip(*blind, strict=True), color=INK, linestyle=":", linewidth=1.4, label="blind guess")
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("ids that the attacker holds")
    axes.set_ylabel("share of ids read")
    axes.legend(frameon=False, labelcolor=INK, fontsize=7.5, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2)
    return svg(figure, "attacks")


def _rates(membership: dict[str, Any]) -> str:
    """Draw how many members each attack tells from others, on logarithmic axes, with 95 % intervals."""
    figure, axes = plain_axes(3.4)
    for place, ((name, found), colour) in enumerate(zip(membership.items(), COLOURS * 3, strict=False)):
        for one in found["tpr"]:
            at, value = one["fpr"] * 1.12 ** (place - len(membership) / 2), max(one["tpr"], 1e-4)
            low, high = one["interval"]
            bar = [[value - max(low, 1e-4)], [max(high, value) - value]]
            label = name if one is found["tpr"][0] else None
            axes.errorbar(
                at, value, yerr=bar, fmt="o", markersize=4, color=colour, capsize=2, linewidth=1.4, label=label
            )
    axes.plot([1e-4, 1], [1e-4, 1], color=INK, linestyle=":", linewidth=1.4, label="chance")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(3e-4, 0.05)
    axes.set_ylim(1e-4, 1.3)
    axes.set_xlabel("share of others taken for members")
    axes.set_ylabel("share of members found")
    axes.legend(frameon=False, labelcolor=INK, fontsize=7.5, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)
    return svg(figure, "rates")
