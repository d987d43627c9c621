"""Audits of release candidates as the page gets them, made by hand: for the tests of the page, not of the rules."""

from dataclasses import asdict

from evidence import code, model
from ult.audit.release.finding import Finding, verdict
from ult.audit.release.kept import KeptColumn


def column(name, level="told", **changes):
    told = {
        "columns": (name,), "title": name, "type": "string", "rows": 300, "distinct": 5, "exact": True, "alone": 0,
        "few": 0, "smallest": 40, "looks": "", "why": "", "level": level, "found": f"column {name}: 5 different values",
        "examples": ("M███ S███",),
    }  # fmt: skip
    return asdict(KeptColumn(**{**told, **changes}))


RED = (
    Finding(
        "shards", "red", "the best attack reads 91.1% of ids", "red if more than 20% are read", "keep them", "code"
    ),
    Finding("shards", "amber", "10 known records read 26.4% of the rest", "amber above 5%", "tell nobody", "plaintext"),
    Finding("model", "green", "extraction: 0 of 299 members", "red if any more than of others", "", "extraction"),
    Finding("model", "amber", "canaries: not measured", "red under 0.1%", "plant some", "canaries", measured=False),
)


def audit(findings=RED, columns=(), *, holds=("shards", "model"), found_code=None, found_model=None, **changes):
    """Return what `ult.audit.release.candidate.assemble` would, of these findings."""
    kept = []
    for one in columns:
        level, change = ("green", "") if one["level"] == "told" else (one["level"], "leave it out of --keep")
        kept.append(Finding("shards", level, f"a.shards: {one['found']}", "the line of columns", change, "kept"))
    every = [*findings, *kept]
    shards = {"name": "a.shards", "digest": "12" * 32, "columns": list(columns)}
    return {
        "format": "ult-audit/2",
        "date": "2026-11-29",
        "verdict": verdict(every),
        "findings": [one.document() for one in every],
        "unmeasured": [],
        "holds": [{"what": what, "name": f"a.{what}", "says": "300 records"} for what in holds],
        "guarantees": [],
        "parties": {"giver": None, "receiver": None, "purpose": None},
        "parts": {
            "shards": [shards] if "shards" in holds else [],
            "run": {"name": "a.model", "digest": "34" * 32} if "model" in holds else None,
            "body": False,
            "table": {"fingerprint": "56" * 16} if "table" in holds else None,
        },
        "audits": {
            "code": code(0.5) if found_code is None else found_code,
            "model": model() if found_model is None else found_model,
            "table": None,
        },
        "files": {"code": "78" * 32, "model": "9a" * 32, "table": None},
        "versions": {"ult": "0.1.0"},
        **changes,
    }
