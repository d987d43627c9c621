"""The audit of synthetic records as one self-contained HTML page, in the style of those of a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ult.audit.pages import charts
from ult.audit.pages.frame import page
from ult.audit.release.finding import worst_first
from ult.audit.synth.told import SO, TITLES, of_quality

PAGE = "page.html"


def render(audit: Mapping[str, Any]) -> str:
    """Return the HTML page of the document of an audit."""
    attacks = ((audit["privacy"] or {}).get("membership") or {}).get("attacks") or {}
    marked = charts.marks(attacks)
    return page(
        __package__,
        PAGE,
        **{**audit, "findings": [_titled(one) for one in worst_first(audit["findings"])]},
        so=SO[audit["verdict"]],
        quality=list(of_quality(audit)),
        attacks=attacks,
        marked=marked,
        curves=charts.rates(attacks, marked) if attacks else None,
    )


def _titled(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding with its title in place of its subject, which is the same for all."""
    return {name: value for name, value in finding.items() if name != "subject"} | {"title": TITLES[finding["topic"]]}
