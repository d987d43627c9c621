"""The audit of a release candidate as one HTML page that needs nothing else, and the owner's copy of it.

The first screen says in plain words what `ult.audit.release.plain` makes of the findings; all else is the same
findings, in full. Nothing is computed here that a rule has not graded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ult.audit.release.candidate import understanding
from ult.audit.release.kept import LINE
from ult.audit.release.plain import HOLDS, sentences, title
from ult.audit.release.verdict import LEVELS
from ult.data import looks
from ult.host.extras import require

with require("jinja2", extra="audit"):
    from jinja2 import Environment, PackageLoader, StrictUndefined

from ult.audit.release import charts

PAGE = "page.html"
SO = {
    "green": "Nothing that was measured crosses a line, and all that our rules ask for was measured.",
    "amber": "Read the findings before anything leaves: something was not measured, or lies between the lines.",
    "red": "Do not give this away as it is.",
}
NAMED = 6  # columns in the clear that a finding names; the table below it has all
WORDS = {"told": "green", "amber": "amber", "red": "red"}  # levels of columns in the clear


@understanding()
def render(audit: Mapping[str, Any], pairs: Mapping[str, Any] | None = None) -> str:
    """Return the page of what `candidate.assemble` gave; with `pairs`, the owner's copy, which shows records.

    `pairs` is what `ult.audit.release.beside.beside` gave. Raises `FormatError`.
    """
    environment = Environment(
        loader=PackageLoader("ult.audit.release", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    code, model = audit["audits"]["code"] or {}, audit["audits"]["model"] or {}
    found, membership = code.get("attacks") or [], model.get("membership") or {}
    names = list(dict.fromkeys(one["name"] for one in found))
    whole = max((one["units"] for one in found), default=0)
    findings = _findings(audit)
    marked = charts.marks([*names, *membership])
    page: str = environment.get_template(PAGE).render(
        **{**audit, "findings": findings, "holds": _holds(audit)},
        flagged=[one for one in findings if one["level"] != "green"],
        greens=[one for one in findings if one["level"] == "green"],
        kept=_kept(audit["parts"]["shards"]),
        owner=pairs is not None,
        pairs=pairs,
        so=SO[audit["verdict"]],
        sentences=sentences(audit),
        names=HOLDS,
        kept_line=LINE,
        marked=marked,
        attack_names=names,
        largest=[one for one in found if one["units"] == whole],
        smaller=[one for one in found if one["units"] != whole],
        attacks=charts.attacks(found, marked) if found else None,
        curves=charts.rates(membership, marked) if membership else None,
        notes=[note for one in audit["audits"].values() if one for note in one.get("notes") or []],
    )
    return page


def _findings(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the findings, the worst first, unmeasured ones last within a level; those on columns are one."""
    columns = [one for one in audit["findings"] if one["topic"] == "kept"]
    others = [one for one in audit["findings"] if one["topic"] != "kept"]
    order = sorted(
        [*_columns(columns, audit), *others], key=lambda one: (-LEVELS.index(one["level"]), not one["measured"])
    )
    return [{**one, "title": title(one)} for one in order]


def _columns(findings: Sequence[Mapping[str, Any]], audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one finding for all on columns in the clear, which the table below it tells apart."""
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
    found = f"columns in the clear, and combinations of them: {len(findings)}, of which {len(flagged)} raise a flag"
    found += f": {named}; the table below has the figures" if flagged else ""
    return [{**worst, "found": found}]


def _holds(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the receiver will hold, with the digest that tells it from all else, in the order of `holds`."""
    parts, run, table = audit["parts"], audit["parts"]["run"], audit["parts"]["table"]
    digests = {
        "shards": iter([one["digest"] for one in parts["shards"]]),
        "model": iter([run["digest"]] if run else []),
        "table": iter([table["fingerprint"]] if table else []),
    }
    return [{**one, "digest": next(digests[one["what"]], "")} for one in audit["holds"]]


def _kept(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each shards folder its columns in the clear, those that raise a flag apart, reds first."""
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
