"""Decide whether a run may be released: its audit is judged again, and a known or unmeasured risk needs a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ult.audit.release.candidate import FORMAT, PARTIES, check_parties, judged, read, sha256_of_audit, understanding
from ult.audit.release.facts import run_facts
from ult.audit.release.page import render
from ult.audit.seal import check_seal
from ult.errors import FormatError, InvalidConfig, RiskRefused
from ult.host import regular
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.vocabulary import check_format

FIRST = date(2026, 11, 1)  # no audit of this format is older
AGAIN = "ult audit release writes it again"
PAGE = "audit.html"
_LONGEST = 2**28  # bytes of a page


def allowed(
    audit: str | Path | None,
    run: str | Path,
    *,
    private_embeddings: bool,
    accepted: str | None,
    table: Table | None = None,
) -> dict[str, Any]:
    """Return what a released run states about its audit: verdict, date, and the reason for accepting a risk.

    The verdict and the findings are computed again from the audits within, by today's rules, and must equal what is
    written there. With the `table` that scored them, the audits must have its seal. Raises `RiskRefused` if there is no
    reason (`accepted`) and no audit, or one that is red or leaves something unmeasured; `InvalidConfig` if the audit is
    of another release; `FormatError` if it was changed.
    """
    if accepted is not None and not accepted.strip():
        raise InvalidConfig("the reason to accept the risk is empty", hint='--accept-risk "why"')
    opened = Run.open(run)
    if audit is None:
        if accepted is None:
            raise RiskRefused(
                f"no audit says what a receiver of {run} could learn", hint='ult audit release, or --accept-risk "why"'
            )
        return {"verdict": None, "date": datetime.now(UTC).date().isoformat(), "accepted_risk": accepted}
    found = read(audit)
    if found.get("format") == "ult-audit/1":
        raise FormatError(f"{audit} is ult-audit/1, which is not bound to what it is of", hint=f"audit again: {AGAIN}")
    check_format(found, FORMAT, audit)
    with understanding():
        _check_release(found, audit, opened, private_embeddings)
        _check_made_again(found, audit)
        _check_told(found, Path(audit))
        for name, one in found["audits"].items():
            if table is not None and one is not None:
                check_seal(one, table, name)
        day = _day(found["date"], audit)
    if accepted is None:
        _check_risk(found, run)
    return {
        "verdict": found["verdict"],
        "date": day,
        "accepted_risk": accepted,
        "unmeasured": len(found["unmeasured"]),
        "audit": sha256_of_audit(audit),
    }


def _check_release(found: dict[str, Any], audit: str | Path, run: Run, private_embeddings: bool) -> None:
    mine, told = run_facts(run), found["parts"]["run"]
    body = private_embeddings or run.withheld
    same = told is not None and {**told, "name": mine["name"]} == mine
    if not same or found["weights"] != mine["digest"] or found["private_embeddings"] is not private_embeddings:
        raise InvalidConfig(
            f"{audit} is the audit of another release than that of {run.path}", hint="ult audit release"
        )
    if found["parts"]["body"] is not body:
        raise InvalidConfig(
            f"{audit} is the audit of another release than that of {run.path}", hint="ult audit release"
        )


def _check_made_again(found: dict[str, Any], audit: str | Path) -> None:
    for name, made in judged(found["parts"], found["audits"]).items():
        if found.get(name) != made:
            raise FormatError(
                f"{audit} was changed, or judged by other rules: its {name} is not what its audits make", hint=AGAIN
            )


def _check_told(found: dict[str, Any], audit: Path) -> None:
    """Raise `FormatError` unless the parties are valid, and the page beside the audit shows exactly this audit."""
    if set(found["parties"]) != set(PARTIES):
        raise FormatError(f"{audit} does not name {', '.join(PARTIES)}, and nothing else, as parties", hint=AGAIN)
    check_parties(**found["parties"])
    page = audit.with_name(PAGE)
    if page.exists() and regular.read(page, _LONGEST) != render(found).encode("utf-8", "replace"):
        raise FormatError(f"{audit} was changed: {page.name} beside it says something else", hint=AGAIN)


def _day(text: Any, audit: str | Path) -> str:
    try:
        day = date.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{audit} says that its date is {text!r:.40}; expected a day as 2026-12-31") from error
    if day.isoformat() != text or not FIRST <= day <= datetime.now(UTC).date() + timedelta(days=1):
        raise FormatError(f"{audit} says that it was made on {text}, which is impossible", hint=AGAIN)
    return str(text)


def _check_risk(found: dict[str, Any], run: str | Path) -> None:
    if found["verdict"] == "red":
        reds = "; ".join(one["found"] for one in found["findings"] if one["level"] == "red")
        raise RiskRefused(f"the audit of {run} is red: {reds}", hint='--accept-risk "why", or change it')
    if found["unmeasured"]:
        raise RiskRefused(
            f"the audit of {run} leaves unmeasured what its receiver will hold: {'; '.join(found['unmeasured'])}",
            hint='measure it (audit.html says how), or --accept-risk "why"',
        )
