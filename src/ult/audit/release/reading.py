"""What attacks on a code read of it, judged: by public data, by known records, by the id's value, by embedding rows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ult.audit.code.attack import ATTACKS, PHRASES
from ult.audit.code.evidence import BEFORE, PUBLIC
from ult.audit.release.figures import Missing, agree, count, field, interval, number, part, share
from ult.audit.release.finding import CEILING, LEVELS, PUBLIC_BYTES, READ, REBUILT, Finding, unmeasured, worst
from ult.errors import FormatError

LINE = (
    f"amber if, by the upper end of the interval, more than {READ[0]:.0%} of ids are read beyond the blind guess, red "
    f"if more than {READ[1]:.0%} are; of public data, of those ids that it names at all; of an attack on fewer ids "
    "than there are, by the share that is read"
)
REFERENCE = (
    f"amber if the public records name under {CEILING:.0%} of ids at all, or are fewer bytes than the shards and than "
    f"{PUBLIC_BYTES:,}: an attacker may have nearer ones, and more"
)
NEAR = (
    f"amber if an attack rebuilds the values better than the mean of the public records does by more than "
    f"{REBUILT[0]:g} dB, red by more than {REBUILT[1]:g} dB"
)
HOW = "ult audit code SHARDS --reference PUBLIC -t TABLE"
RANK = "rank alone"  # what an id's value says by itself: `ult.audit.code.attack.guesses`
_TOPICS = {PUBLIC: "code", BEFORE: "rows"}  # of `ult.audit.release.plain`
_BY = {
    "code": "by public data",
    "rank": "by the id's value alone",
    "rows": "by the run that it started from",
    "plaintext": "by known records",
}
_KNOWN = re.compile(r"([\d,]+) of the ([\d,]+) records")
_MOST_KNOWN = 0.1  # of all records: an attacker who knows more of them knows what is to be hidden


def judge_code(audit: dict[str, Any] | None, subject: str = "shards", *, nbytes: int | None = None) -> list[Finding]:
    """Judge shards of so many bytes of original data, or the ids that a model writes, by what `ult audit code` wrote.

    Each kind of attacker is a finding of its own, the best attack of each. Raises `FormatError` for figures that
    cannot be.
    """
    if audit is None or not audit.get("attacks"):
        return [unmeasured(subject, "code", "attacks on the code: not measured", HOW, LINE)]
    try:
        return _judged(audit, subject, nbytes)
    except Missing as lacking:
        return [
            unmeasured(
                subject, "code", f"attacks on the code: not measured, the audit has no {lacking.args[0]}", HOW, LINE
            )
        ]


def _judged(audit: dict[str, Any], subject: str, nbytes: int | None) -> list[Finding]:
    units, kinds = count(audit, "units"), dict[str, list[Finding]]()
    public = [one for one in audit["attacks"] if field(one, "knows") == PUBLIC]
    for one in audit["attacks"]:
        if kind := _kind(one):
            kinds.setdefault(kind, []).append(_attack(one, kind, subject, units))
    findings = [worst(many) for many in kinds.values()]
    _check_blind(public)
    if BEFORE not in [field(one, "knows") for one in audit["attacks"]] or public:
        if lacking := set(ATTACKS) - {one["name"] for one in public if count(one, "units") == units}:
            tried = f"not tried on all {units:,} ids: {', '.join(sorted(lacking))}"
            findings.append(unmeasured(subject, "code", tried, HOW, LINE))
        findings.append(_reference(audit, public, subject, nbytes))
    findings += _rebuilt(audit, subject)
    if subject == "shards" and "plaintext" not in kinds and count(audit, "records") > 1:
        findings.append(unmeasured(subject, "plaintext", "known plaintext: not measured", HOW, LINE))
    return findings


def _check_blind(public: list[dict[str, Any]]) -> None:
    """Raise `FormatError` unless the blind guess, which no attack changes, is the same beside all of one size."""
    known: dict[int, float] = {}
    for one in (one for one in public if one.get("name") in ATTACKS):
        agree(share(one, "blind"), known.setdefault(count(one, "units"), share(one, "blind")), "the blind guess")


def _kind(one: dict[str, Any]) -> str:
    """Return the kind of attacker, or "" for one that knows what no stranger does."""
    knows, name = field(one, "knows"), field(one, "name")
    if not isinstance(knows, str) or not isinstance(name, str):
        raise FormatError(f"an audit says that an attack is called {name!r:.40} and knows {knows!r:.40}")
    if known := _KNOWN.fullmatch(knows):
        told, all_ = (int(digits.replace(",", "")) for digits in known.groups())
        return "plaintext" if told <= max(1, _MOST_KNOWN * all_) else ""
    if knows == PUBLIC and name == RANK:
        return "rank"
    return "" if knows == PHRASES else _TOPICS.get(knows, "code")


def _attack(one: dict[str, Any], kind: str, subject: str, units: int) -> Finding:
    read, blind, ids = share(one, "occurrences"), share(one, "blind"), count(one, "units")
    low, high = ends = interval(one, "occurrences_interval", read)
    if ids < units:  # of the first records alone, which are what they are: all are judged by the attack on all
        low, high = read, read
    ceiling = share(one, "ceiling") if one["knows"] == PUBLIC else 1.0
    scale = 1 / ceiling if ceiling >= CEILING else 1.0
    value, graded = (read - blind) * scale, (max((low - blind) * scale, -1.0), min((high - blind) * scale, 1.0))
    level = "red" if value > READ[1] else "amber" if graded[1] > READ[0] else "green"
    of = f" of at most {ceiling:.1%} that it could name" if one["knows"] == PUBLIC else ""
    part = " of those that it could name" if scale != 1 else ""
    found = (
        f"{_BY[kind]}: the best attack ({one['name']}, {ids:,} ids) reads {read:.1%} of ids "
        f"({ends[0]:.1%} to {ends[1]:.1%}){of}, and {share(one, 'patches'):.1%} of whole patches; a blind guess "
        f"{blind:.1%}, so that {max(value, 0.0):.1%}{part} are beyond it"
    )
    change = f"treat the {subject} as the records themselves: give them to nobody who may not read the records"
    finding = Finding(subject, level, found, LINE, change, kind, value=value, interval=graded, n=ids)
    if level == "green" and ceiling < CEILING:
        return replace(finding, level="amber", measured=False, change="--reference with nearer public records")
    return replace(finding, change="") if level == "green" else finding


def _rebuilt(audit: dict[str, Any], subject: str) -> list[Finding]:
    """Judge how near rebuilt images or series come: an id that is read wrong may say nearly the same."""
    of_values = str(audit.get("codec")).partition("/")[0] in ("image", "series")
    known = [one for one in audit["attacks"] if _kind(one) and one["knows"] != BEFORE]
    tried = [one for one in known if of_values or "psnr" in one]
    if not tried:
        return []
    nearest = max(tried, key=_gained)
    gained = _gained(nearest)
    level = LEVELS[sum(gained > line for line in REBUILT)]
    found = (
        f"values: the nearest that an attack rebuilds ({nearest['name']}, {count(nearest, 'units'):,} ids) are at "
        f"{nearest['psnr']:.1f} dB, the mean of the public records at {nearest['psnr_blind']:.1f} dB"
    )
    change = "" if level == "green" else f"treat the {subject} as the records themselves"
    return [Finding(subject, level, found, NEAR, change, "rebuilt", value=gained, n=count(nearest, "units"))]


def _gained(one: dict[str, Any]) -> float:
    """Return by how many decibels an attack rebuilds values better than the mean of the public records."""
    return number(one, "psnr") - number(one, "psnr_blind")


def _reference(audit: dict[str, Any], public: list[dict[str, Any]], subject: str, nbytes: int | None) -> Finding:
    ceiling = max((share(one, "ceiling") for one in public), default=0.0)
    told = part(audit, "reference")
    records, size = count(told, "records"), count(told, "bytes")
    needed = PUBLIC_BYTES if nbytes is None else min(PUBLIC_BYTES, nbytes)
    found = f"public records: {records:,} of {size:,} bytes, which name {ceiling:.1%} of ids at all"
    finding = Finding(subject, "green", found, REFERENCE, topic="reference", value=ceiling, n=records)
    if ceiling >= CEILING and size >= needed:
        return finding
    why = f"{found}; so little that the attacks say nothing of an attacker with nearer ones, or more"
    return replace(
        finding, level="amber", found=why, measured=False, change="--reference with more public records of this kind"
    )
