"""Judge what attacks on a code recovered: by public data, known records, the ids' values, and embedding rows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ult.audit.code.attack import ATTACKS, PHRASES
from ult.audit.code.evidence import BEFORE, PUBLIC
from ult.audit.code.overlap import SAME
from ult.audit.release.by_field import judge_fields
from ult.audit.release.figures import Missing, agree, count, field, interval, number, part, share
from ult.audit.release.finding import CEILING, LEVELS, PUBLIC_BYTES, READ, REBUILT, Finding, unmeasured, worst
from ult.errors import FormatError

FILES = "image/jpeg"  # the codec whose records are files, not values
LINE = (
    f"amber if, by the upper end of the interval, more than {READ[0]:.0%} of ids are read in excess of a blind guess, "
    f"red if more than {READ[1]:.0%} are. An attack by public data is judged by the ids that its public records could "
    "name; an attack on fewer ids than the shards hold is judged by the share that it read, without an interval"
)
REFERENCE = (
    f"amber if the public records can name under {CEILING:.0%} of the ids, or if they have fewer bytes than the shards "
    f"and fewer than {PUBLIC_BYTES:,}: a real attacker may have more public records, or more similar ones. "
    "Amber too if they are the encoded records themselves, which no stranger has"
)
NEAR = (
    f"amber if an attack reconstructs the values better than the mean of the public records does, by more than "
    f"{REBUILT[0]:g} dB; red if by more than {REBUILT[1]:g} dB"
)
HOW = "ult audit code SHARDS --reference PUBLIC -t TABLE"
RANK = "rank alone"  # the attack by the ids' values only, see `ult.audit.code.attack.guesses`
_TOPICS = {PUBLIC: "code", BEFORE: "rows"}  # of `ult.audit.release.plain`
_BY = {
    "code": "with public data",
    "rank": "with nothing but the ids' values",
    "rows": "with the run that it started from",
    "plaintext": "with some known records",
}
_KNOWN = re.compile(r"([\d,]+) of the ([\d,]+) records")
_MOST_KNOWN = 0.1  # share of all records: an attacker who knows more of them already knows what should be hidden


def judge_code(audit: dict[str, Any] | None, subject: str = "shards", *, nbytes: int | None = None) -> list[Finding]:
    """Judge shards, or the ids that a model writes, by the audit of `ult audit code`.

    `nbytes` is the size of the shards' original data. The best attack of each kind of attacker becomes a finding.
    Raises `FormatError` for impossible figures.
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
    public = [attack for attack in audit["attacks"] if field(attack, "knows") == PUBLIC]
    for attack in audit["attacks"]:
        if kind := _kind(attack):
            kinds.setdefault(kind, []).append(_attack(attack, kind, subject, units))
    findings = [worst(of_kind) for of_kind in kinds.values()]
    _check_blind(public)
    if BEFORE not in [field(attack, "knows") for attack in audit["attacks"]] or public:
        if lacking := set(ATTACKS) - {attack["name"] for attack in public if count(attack, "units") == units}:
            tried = f"not tried on all {units:,} ids: {', '.join(sorted(lacking))}"
            findings.append(unmeasured(subject, "code", tried, HOW, LINE))
        findings.append(_reference(audit, public, subject, nbytes))
    findings += _rebuilt(audit, subject)
    if subject == "shards" and "plaintext" not in kinds and count(audit, "records") > 1:
        findings.append(unmeasured(subject, "plaintext", "known plaintext: not measured", HOW, LINE))
    return [*findings, *judge_fields(audit, subject)]


def _check_blind(public: list[dict[str, Any]]) -> None:
    """Raise `FormatError` unless all attacks on the same ids state the same blind guess."""
    known: dict[int, float] = {}
    for attack in (attack for attack in public if attack.get("name") in ATTACKS):
        blind = share(attack, "blind")
        agree(blind, known.setdefault(count(attack, "units"), blind), "the blind guess")


def _kind(attack: dict[str, Any]) -> str:
    """Return the kind of attacker, a topic of `plain`, or "" for one who knows what no stranger can know."""
    knows, name = field(attack, "knows"), field(attack, "name")
    if not isinstance(knows, str) or not isinstance(name, str):
        raise FormatError(f"an audit says that an attack is called {name!r:.40} and knows {knows!r:.40}")
    if known := _KNOWN.fullmatch(knows):
        some, all_ = (int(digits.replace(",", "")) for digits in known.groups())
        return "plaintext" if some <= max(1, _MOST_KNOWN * all_) else ""
    if knows == PUBLIC and name == RANK:
        return "rank"
    return "" if knows == PHRASES else _TOPICS.get(knows, "code")


def _attack(attack: dict[str, Any], kind: str, subject: str, units: int) -> Finding:
    read, blind, ids = share(attack, "occurrences"), share(attack, "blind"), count(attack, "units")
    low, high = ends = interval(attack, "occurrences_interval", read)
    if ids < units:  # a subset of these records: the interval for other records is that of the attack on all ids
        low, high = read, read
    ceiling = share(attack, "ceiling") if attack["knows"] == PUBLIC else 1.0
    scale = 1 / ceiling if ceiling >= CEILING else 1.0
    value, graded = (read - blind) * scale, (max((low - blind) * scale, -1.0), min((high - blind) * scale, 1.0))
    level = "red" if value > READ[1] else "amber" if graded[1] > READ[0] else "green"
    of = f" of at most {ceiling:.1%} that it could name" if attack["knows"] == PUBLIC else ""
    base = "the ids that it could name" if scale != 1 else "all ids"
    found = (
        f"{_BY[kind]}: the best attack ({attack['name']}, {ids:,} ids) reads {read:.1%} of ids "
        f"({ends[0]:.1%} to {ends[1]:.1%}){of}, and {share(attack, 'patches'):.1%} of whole patches; a blind guess "
        f"reads {blind:.1%}, so the attack exceeds it by {max(value, 0.0):.1%} of {base}"
    )
    change = f"treat the {subject} as the records themselves: give them only to people who may read the records"
    finding = Finding(subject, level, found, LINE, change, kind, value=value, interval=graded, n=ids)
    if level == "green" and ceiling < CEILING:
        return replace(finding, level="amber", measured=False, change="--reference with more similar public records")
    return replace(finding, change="") if level == "green" else finding


def _rebuilt(audit: dict[str, Any], subject: str) -> list[Finding]:
    """Judge how close reconstructed images or series are: a wrongly read id may still give nearly the right value."""
    codec = str(audit.get("codec"))
    of_values = codec.partition("/")[0] in ("image", "series") and codec != FILES
    known = [attack for attack in audit["attacks"] if _kind(attack) and attack["knows"] != BEFORE]
    if codec == FILES and known:
        found = "values: no attack of the audit reconstructs the pixels of JPEG files"
        return [unmeasured(subject, "rebuilt", found, f"treat the {subject} as the records themselves", NEAR)]
    tried = [attack for attack in known if of_values or "psnr" in attack]
    if not tried:
        return []
    nearest = max(tried, key=_gained)
    gained = _gained(nearest)
    level = LEVELS[sum(gained > line for line in REBUILT)]
    found = (
        f"values: the closest reconstruction ({nearest['name']}, {count(nearest, 'units'):,} ids) reaches "
        f"{nearest['psnr']:.1f} dB, the mean of the public records {nearest['psnr_blind']:.1f} dB"
    )
    change = "" if level == "green" else f"treat the {subject} as the records themselves"
    return [Finding(subject, level, found, NEAR, change, "rebuilt", value=gained, n=count(nearest, "units"))]


def _gained(attack: dict[str, Any]) -> float:
    """Return by how many decibels an attack reconstructs values better than the mean of the public records does."""
    return number(attack, "psnr") - number(attack, "psnr_blind")


def _reference(audit: dict[str, Any], public: list[dict[str, Any]], subject: str, nbytes: int | None) -> Finding:
    """Judge whether the public records are numerous and similar enough for the attacks to mean anything."""
    ceiling = max((share(attack, "ceiling") for attack in public), default=0.0)
    reference = part(audit, "reference")
    records, size = count(reference, "records"), count(reference, "bytes")
    needed = PUBLIC_BYTES if nbytes is None else min(PUBLIC_BYTES, nbytes)
    found = f"public records: {records:,} of {size:,} bytes, which can name {ceiling:.1%} of the ids"
    finding = Finding(subject, "green", found, REFERENCE, topic="reference", value=ceiling, n=records)
    if "shared" in reference and (held := share(reference, "shared")) > SAME:
        why = f"{found}; {held:.0%} of them are the encoded records themselves, so the figures are the worst case"
        other = "--reference with other records of this kind"
        return replace(finding, level="amber", found=why, measured=False, change=other)
    if ceiling >= CEILING and size >= needed:
        return finding
    why = f"{found}; too little to know what an attacker with more public records, or more similar ones, could read"
    return replace(
        finding, level="amber", found=why, measured=False, change="--reference with more public records of this kind"
    )
