"""The audit of a release candidate as one self-contained HTML page, and the owner's copy of that page.

The first screen has the plain sentences of `ult.audit.release.plain`; the rest is the same findings in full. The page
shows only what a rule has graded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ult.audit.pages import charts
from ult.audit.pages.frame import page
from ult.audit.release.candidate import understanding
from ult.audit.release.finding import LEVELS, worst_first
from ult.audit.release.kept import LINE
from ult.audit.release.plain import HOLDS, sentences, title
from ult.data.columns import looks

PAGE = "page.html"
SO = {
    "green": "Nothing that was measured crosses a line, and everything that our rules ask for was measured.",
    "amber": "Read the findings before you give anything away: something was not measured, or lies between the lines.",
    "red": "Do not give this away as it is.",
}
NAMED = 6  # columns in the clear that the finding names; the list below it on the page has all
WORDS = {"told": "green", "amber": "amber", "red": "red"}  # levels of columns in the clear


@understanding()
def render(audit: Mapping[str, Any], pairs: Mapping[str, Any] | None = None) -> str:
    """Return the HTML page of an audit from `candidate.assemble`; with `pairs`, the owner's copy, which shows records.

    `pairs` is from `ult.audit.release.beside.beside`. Raises `FormatError`.
    """
    code, model = audit["audits"]["code"] or {}, audit["audits"]["model"] or {}
    attacks, membership = code.get("attacks") or [], model.get("membership") or {}
    names = list(dict.fromkeys(attack["name"] for attack in attacks))
    whole = max((attack["units"] for attack in attacks), default=0)
    findings = _findings(audit)
    marked = charts.marks([*names, *membership])
    return page(
        __package__,
        PAGE,
        **{**audit, "findings": findings, "holds": _holds(audit)},
        kept=_kept(audit["parts"]["shards"]),
        owner=pairs is not None,
        pairs=pairs,
        so=SO[audit["verdict"]],
        sentences=sentences(audit),
        names=HOLDS,
        kept_line=LINE,
        marked=marked,
        attack_names=names,
        largest=[attack for attack in attacks if attack["units"] == whole],
        smaller=[attack for attack in attacks if attack["units"] != whole],
        attacks=charts.attacks(attacks, marked) if attacks else None,
        curves=charts.rates(membership, marked) if membership else None,
        notes=[note for one in audit["audits"].values() if one for note in one.get("notes") or []],
    )


def _findings(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the findings, worst first, unmeasured ones last within a level; all on columns are merged into one."""
    columns = [one for one in audit["findings"] if one["topic"] == "kept"]
    others = [one for one in audit["findings"] if one["topic"] != "kept"]
    return [{**one, "title": title(one)} for one in worst_first([*_columns(columns, audit), *others])]


def _columns(findings: Sequence[Mapping[str, Any]], audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a single finding for all columns in the clear, whose details the page lists separately."""
    if not findings:
        return []
    worst = max(findings, key=lambda one: LEVELS.index(one["level"]))
    flagged = [
        one["title"]
        for level in ("red", "amber")
        for shards in audit["parts"]["shards"]
        for one in shards["columns"]
        if one["level"] == level
    ]
    named = "; ".join(flagged[:NAMED]) + (f"; and {len(flagged) - NAMED} more" if len(flagged) > NAMED else "")
    raising = f"{len(flagged)} raise{'s' * (len(flagged) == 1)} a flag"
    found = f"columns in the clear, and combinations of them: {len(findings)}, of which {raising}"
    found += f": {named}; the table below has the figures" if flagged else ""
    return [{**worst, "found": found}]


def _holds(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of `holds`, each with its digest."""
    parts, run, table = audit["parts"], audit["parts"]["run"], audit["parts"]["table"]
    digests = {
        "shards": iter([one["digest"] for one in parts["shards"]]),
        "model": iter([run["digest"]] if run else []),
        "table": iter([table["fingerprint"]] if table else []),
    }
    return [{**one, "digest": next(digests[one["what"]], "")} for one in audit["holds"]]


def _kept(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns in the clear of each shards folder: those that raise a flag (reds first), and the others."""
    shown = []
    for shards in kept:
        rows = [
            {**one, "word": WORDS[one["level"]], "kind": looks.KINDS.get(one["looks"], "")} for one in shards["columns"]
        ]
        flagged = [one for level in ("red", "amber") for one in rows if one["level"] == level]
        shown.append(
            {"name": shards["name"], "flagged": flagged, "told": [one for one in rows if one["level"] == "told"]}
        )
    return [one for one in shown if one["flagged"] or one["told"]]
