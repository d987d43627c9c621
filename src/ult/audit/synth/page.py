"""The audit of synthetic records as one self-contained HTML page, in the style of those of a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ult.audit.release import charts
from ult.audit.release.finding import LEVELS
from ult.host.extras import require

with require("jinja2", "matplotlib", extra="audit"):
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ult.audit.synth.told import SO, of_quality

PAGE = "page.html"
TITLES = {
    "guarantee": "what is guaranteed",
    "bound": "whether the guarantee holds",
    "invalid": "whether the records are valid",
    "copies": "whole records, copied",
    "values": "values of a single person",
    "extremes": "the least and the greatest values",
    "passages": "passages of a single text",
    "membership": "whether one can tell whose record was used",
    "shift": "whether real and held-out records are alike",
    "canaries": "planted secrets",
}


def render(audit: Mapping[str, Any]) -> str:
    """Return the HTML page of the document of an audit."""
    loader = ChoiceLoader([PackageLoader("ult.audit.synth", ""), PackageLoader("ult.audit.release", "")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = [{**one, "title": TITLES[one["topic"]]} for one in audit["findings"]]
    ordered = sorted(found, key=lambda one: (-LEVELS.index(one["level"]), not one["measured"]))
    attacks = ((audit["privacy"] or {}).get("membership") or {}).get("attacks") or {}
    marked = charts.marks(attacks)
    page: str = environment.get_template(PAGE).render(
        **audit,
        flagged=[one for one in ordered if one["level"] != "green"],
        greens=[one for one in ordered if one["level"] == "green"],
        so=SO[audit["verdict"]],
        quality=list(of_quality(audit)),
        attacks=attacks,
        marked=marked,
        curves=charts.rates(attacks, marked) if attacks else None,
    )
    return page
