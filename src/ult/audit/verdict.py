"""What audits found of what a receiver will hold, judged: findings of three levels, and the worst is the verdict.

The thresholds stand here, in `docs/threats.md` and on every report, so that whoever disagrees can say with which.
What was not measured is never green.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ult.audit.evidence import BEFORE, PUBLIC

LEVELS = ("green", "amber", "red")
RECOVERED = (0.05, 0.20)  # of id occurrences, beyond the blind guess: amber above the first, red above the second
FOUND = (0.01, 0.05)  # of members, by the lower end of the interval, where 1 % of others are taken for members
UNLIKELY = (0.05, 0.001)  # of exposures at least as great, if nothing was memorised: amber and red below
SMALL = 1.0  # an epsilon below which a guarantee alone is a reason for green


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence on what was found, the line that it was held against, and what would better it."""

    subject: str  # "shards", "model" or "table"
    level: str
    found: str
    line: str
    change: str = ""
    topic: str = ""  # what was looked at, for the page's first sentences: one of `ult.audit.plain.TOPICS`
    measured: bool = True


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst level; amber if nothing was found out."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="amber")


def judge_code(audit: dict[str, Any] | None, subject: str = "shards") -> list[Finding]:
    """Judge shards, or the ids that a model writes, by what `ult audit code` wrote."""
    line = f"amber above {RECOVERED[0]:.0%} of ids beyond the blind guess, red above {RECOVERED[1]:.0%}"
    if audit is None or not audit.get("attacks"):
        how = "ult audit code SHARDS --reference PUBLIC -t TABLE"
        return [_unmeasured("shards", "attacks on the code", how, line, "code")]
    tried = [attack for attack in audit["attacks"] if attack["knows"] in (PUBLIC, BEFORE)]
    best = max(tried, key=lambda attack: float(attack["occurrences"]) - float(attack["blind"]))
    beyond = best["occurrences"] - best["blind"]
    found = (
        f"the best attack by public data ({best['name']}, {best['units']:,} ids) reads {best['occurrences']:.1%} of "
        f"ids and {best['patches']:.1%} of whole patches; a blind guess {best['blind']:.1%}"
    )
    change = f"treat the {subject} as the records themselves: give them to nobody who may not read the records"
    return [_graded(subject, beyond, RECOVERED, found, line, change, "code")]


def judge_model(audit: dict[str, Any] | None, guarantee: float | None = None) -> list[Finding]:
    """Judge a run that the receiver holds with its rows, by what `ult audit model` wrote.

    `guarantee` is the epsilon that its training claims.
    """
    line = f"amber if at least {FOUND[0]:.0%} of members are found at 1 % false, red if at least {FOUND[1]:.0%}"
    if audit is None:
        how = "ult audit model RUN --members SHARDS --others SHARDS -t TABLE"
        return [_unmeasured("model", "membership, extraction and exposure", how, line, "membership")]
    findings = [_membership("model", audit, line, "train with --epsilon, or for fewer steps on deduplicated records")]
    findings += _extraction(audit["extraction"]) + _exposure(audit["canaries"])
    return findings + _broken("model", audit, guarantee)


def judge_table(audit: dict[str, Any] | None, guarantee: float | None = None) -> list[Finding]:
    """Judge a table that the receiver holds, by what `ult audit table` wrote; `guarantee` is its epsilon."""
    given = "whoever has the table reads every shard that it encoded"
    level = "green" if guarantee is not None and guarantee <= SMALL else "amber" if guarantee is not None else "red"
    said = f"{given}; its phrases and counts " + (
        "carry no guarantee" if guarantee is None else f"have epsilon {guarantee:g}"
    )
    line = f"red without a guarantee, green with one of epsilon {SMALL:g} or less"
    findings = [_finding("table", level, said, line, "keep the table, or fit it with --epsilon", "table")]
    line = f"amber if at least {FOUND[0]:.0%} of members are found at 1 % false, red if at least {FOUND[1]:.0%}"
    if audit is None:
        how = "ult audit table TABLE --members FILE --others FILE"
        return [*findings, _unmeasured("table", "membership by its phrases", how, line, "membership")]
    findings.append(_membership("table", audit, line, "fit with a higher --min-records, or with --epsilon"))
    return findings + _broken("table", audit, guarantee)


def judge_body(began: str | None = None) -> list[Finding]:
    """Judge a run whose embedding rows stay with the owner; `began` is the run that its training went on from.

    No attack here is run on the body itself: what the study of such bodies found (`runs/release.sh`) is what is said.
    """
    line = "amber if its training began at random weights, red if it went on from another run"
    if began is not None:
        found = (
            f"the rows that say what ids mean are not there, but the body fits those of {began}, from which it went "
            "on: whoever has these reads with them what it remembers"
        )
        change = f"train the body from random weights; if nobody else has {began}, --accept-risk says so"
        return [Finding("model", "red", found, line, change, "body")]
    found = (
        "the rows that say what ids mean are not there, and in the study of such bodies receivers read nothing of the "
        "records, and of canaries little beyond chance; what this very body remembers was not measured"
    )
    return [Finding("model", "amber", found, line, "see docs/threats.md", "body", measured=False)]


def _membership(subject: str, audit: dict[str, Any], line: str, change: str) -> Finding:
    rates = {
        name: next(one for one in found["tpr"] if one["fpr"] == FOUND[0]) for name, found in audit["membership"].items()
    }
    name, best = max(rates.items(), key=lambda pair: float(pair[1]["interval"][0]))
    low, high = best["interval"]
    found = (
        f"membership: {best['tpr']:.1%} of members ({low:.1%} to {high:.1%}) are told from others, of whom "
        f"{best['fpr']:.0%} are taken for members ({name}, the best of {len(rates)} attacks)"
    )
    return _graded(subject, low, FOUND, found, line, change, "membership")


def _extraction(audit: dict[str, Any] | None) -> list[Finding]:
    line = "red if members are completed exactly more often than others, by intervals that do not meet; amber if at all"
    if not audit or "members" not in audit:
        how = "ult audit model with records of 100 ids and more"
        return [_unmeasured("model", "extraction", how, line, "extraction")]
    ways = [way for way in ("greedy", "sampled") if audit["members"].get(way)]
    best = max(ways, key=lambda way: int(audit["members"][way]["exact"]))
    mine, theirs = audit["members"][best], audit.get("others", {}).get(best)
    apart = theirs is not None and mine["share_interval"][0] > theirs["share_interval"][1]
    level = "red" if apart else "amber" if mine["exact"] else "green"
    found = (
        f"extraction: given {audit['prefix']} ids, the model writes the next {audit['suffix']} exactly in "
        f"{mine['exact']:,} of {mine['passages']:,} members"
        + (f", in {theirs['exact']:,} of {theirs['passages']:,} others" if theirs else "")
        + f" ({best})"
    )
    change = "ult dedupe the records, train with --goldfish or --epsilon"
    return [_finding("model", level, found, line, change, "extraction")]


def _exposure(audit: dict[str, Any] | None) -> list[Finding]:
    line = f"amber if chance alone does so in under {UNLIKELY[0]:.0%} of cases, red under {UNLIKELY[1]:.1%}"
    if not audit:
        how = "ult encode --canaries, then ult audit model -t TABLE --canaries"
        return [_unmeasured("model", "exposure of canaries", how, line, "canaries")]
    p, (low, high) = float(audit["p_value"]), audit["chance_interval"]
    level = "red" if p < UNLIKELY[1] else "amber" if p < UNLIKELY[0] else "green"
    found = (
        f"canaries: mean exposure {audit['interpolated_mean']:.2f} of at most {audit['most']:.2f} bits among "
        f"{audit['alternatives']:,} alternatives; chance {low:.2f} to {high:.2f}"
    )
    return [_finding("model", level, found, line, "train with --epsilon, or for fewer steps", "canaries")]


def _broken(subject: str, audit: dict[str, Any], guarantee: float | None) -> list[Finding]:
    proven = max(float(found["epsilon_at_least"]) for found in audit["membership"].values())
    if guarantee is None or proven <= guarantee:
        return []
    found = f"the attacks prove an epsilon of at least {proven:.2f}, and {guarantee:g} was promised"
    line = "red: with 95 % confidence the guarantee does not hold"
    return [Finding(subject, "red", found, line, "do not release; report it as a bug", "promise")]


def _graded(
    subject: str, value: float, lines: tuple[float, float], found: str, line: str, change: str, topic: str
) -> Finding:
    level = LEVELS[sum(value > limit for limit in lines)]
    return _finding(subject, level, found, line, change, topic)


def _finding(subject: str, level: str, found: str, line: str, change: str, topic: str) -> Finding:
    return Finding(subject, level, found, line, "" if level == "green" else change, topic)


def _unmeasured(subject: str, what: str, how: str, line: str, topic: str) -> Finding:
    return Finding(subject, "amber", f"{what}: not measured", line, how, topic, measured=False)
