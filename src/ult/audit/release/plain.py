"""The first sentences of an audit's page, for readers who know neither ids nor attacks, made of the findings alone.

A finding's `topic` chooses the words and its level which of them, so that they cannot say other than the rule that
graded it. A topic that is not listed is said in the finding's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ult.audit.release.finding import READ
from ult.audit.release.remembering import SWAPPED

HOLDS = {"shards": "the encoded records", "model": "the model", "body": "the model's body", "table": "the secret table"}


@dataclass(frozen=True, slots=True)
class Topic:
    """What was looked at, as what "we measured" and "we did not measure" take, and what a receiver "can" do."""

    looked: str
    red: str
    amber: str
    green: str = ""
    heading: str = ""  # of the finding, if `looked` is none
    condition: bool = False  # it says how far other findings hold, and is told where they do not


MUCH = f"over {READ[1]:.0%}"
TOPICS = {
    "code": Topic(
        "how much of the encoded records attacks read without the secret table",
        f"read {MUCH} of the records without the secret table",
        "read some of the records without the secret table",
    ),
    "plaintext": Topic(
        "how much whoever knows a few records reads of the others",
        f"read {MUCH} of the other records as soon as a few are known",
        "read some of the other records as soon as a few are known",
    ),
    "rank": Topic(
        "how much the numbers of the ids alone give away",
        f"read {MUCH} of the records by the numbers of the ids alone",
        "read some of the records by the numbers of the ids alone",
    ),
    "rebuilt": Topic(
        "how near rebuilt images or series come to the true ones",
        "rebuild images or series that are close to the true ones",
        "rebuild images or series that are nearer to the true ones than public ones are",
    ),
    "rows": Topic(
        "how much the model's rows say beside those of the model that it came from",
        f"read {MUCH} of the records by the model that this one came from",
        "read some of the records by the model that this one came from",
    ),
    "reference": Topic(
        "what an attacker with more public data, or nearer, could read",
        "",
        "",
        condition=True,
        heading="whether the public records are many enough, and near enough",
    ),
    "shift": Topic(
        "whose record was used, between groups that are known to be alike",
        "",
        "",
        condition=True,
        heading="whether members and nonmembers are alike but for the training",
    ),
    "binding": Topic("whether the audits are of the very files that are given away", "", "", condition=True),
    "kept": Topic(
        "what the columns in the clear say about people",
        "recognise people by columns that were left in the clear",
        "narrow down whom a record is about by columns that were left in the clear",
    ),
    "membership": Topic(
        "whether one can tell whose record was used",
        "tell of some people that their record was used",
        "tell of a few people that their record may have been used",
    ),
    "extraction": Topic(
        "whether the model recites records",
        "make the model recite passages of records",
        "make the model recite single passages, which may be stock phrases",
    ),
    "canaries": Topic(
        "whether the model remembers planted test records",
        "find planted test records in the model, and so what is as rare in real ones",
        "find traces of planted test records in the model",
    ),
    "table": Topic(
        "what the table promises of the records that it was fitted on",
        "read every record that the table encoded, for the table is the key",
        "read every record that the table encoded, for the table is the key",
        "read every record that the table encoded, for the table is the key",
    ),
    "body": Topic(
        "what the model's body remembers without its rows",
        "read with the public run's rows what the model's body remembers",
        "",
    ),
    "promise": Topic(
        "whether the promised privacy holds",
        "learn more than was promised: the guarantee does not hold",
        "learn about as much as was promised",
    ),
}


def sentences(audit: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a receiver can do, what was measured, and what was not, a sentence or two each.

    >>> audit = {"holds": [{"what": "shards"}], "findings": [
    ...     {"topic": "code", "level": "red", "measured": True, "found": "the best attack reads 90 %"},
    ...     {"topic": "plaintext", "level": "amber", "measured": False, "found": "known plaintext: not measured"}]}
    >>> print(*sentences(audit), sep="\\n")
    Whoever gets the encoded records can read over 20% of the records without the secret table.
    We measured how much of the encoded records attacks read without the secret table.
    We did not measure how much whoever knows a few records reads of the others. Nobody may take that for good news.
    """
    findings: Sequence[Mapping[str, Any]] = audit["findings"]
    return _can(audit, findings), _measured(findings), _unmeasured(findings)


def _can(audit: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> str:
    names = {**HOLDS, "model": HOLDS["body"]} if audit.get("parts", {}).get("body") else HOLDS
    gets = f"Whoever gets {_list(names.get(one['what'], one['what']) for one in audit['holds'])}"
    told = [one for one in findings if one["measured"] and SWAPPED not in one["found"]]
    reds = {one["topic"] for one in told if one["level"] == "red"}
    surely = _list(_does(one) for one in told if one["level"] == "red" or one["level"] == "green")
    partly = _list(_does(one) for one in told if one["level"] == "amber" and one["topic"] not in reds)
    if surely or partly:
        return f"{gets} can {'; to a lesser degree, '.join(part for part in (surely, partly) if part)}."
    if not told:
        return f"{gets} may do what we do not know: nothing was measured that we could go by."
    if len(told) < len(findings):
        return f"{gets} may do what we do not know: not all was measured, and what was crosses no line."
    return f"{gets} can do nothing that crosses a line, as far as we measured."


def _measured(findings: Sequence[Mapping[str, Any]]) -> str:
    looked = _list(_looked(one) for one in findings if one["measured"] and not _condition(one))
    wrong = any(SWAPPED in one["found"] for one in findings)
    said = f"We measured {looked}." if looked else "We measured nothing."
    return f"{said} One audit looks wrong: {SWAPPED}." if wrong else said


def _unmeasured(findings: Sequence[Mapping[str, Any]]) -> str:
    known = {one["topic"] for one in findings if one["measured"] and not _condition(one)}
    missing = [one for one in findings if not one["measured"]]
    never = _list(_looked(one) for one in missing if one["topic"] not in known)
    partly = _list(_looked(one) for one in missing if one["topic"] in known)
    said = "; ".join(
        part for part in (never and f"We did not measure {never}", partly and _fully(never, partly)) if part
    )
    if said:
        return f"{said}. Nobody may take that for good news."
    return "We did not measure what attacks could do that we did not run, and others may be stronger."


def _fully(never: str, partly: str) -> str:
    return f"and not in full {partly}" if never else f"We did not measure in full {partly}"


def _does(finding: Mapping[str, Any]) -> str:
    topic = TOPICS.get(finding["topic"])
    if topic and (topic.condition or finding["level"] == "green"):
        return topic.green
    said = topic and (topic.red if finding["level"] == "red" else topic.amber)
    return said or ("" if finding["level"] == "green" else f"do this: {finding['found']}")


def _condition(finding: Mapping[str, Any]) -> bool:
    topic = TOPICS.get(finding["topic"])
    return topic is not None and topic.condition


def _looked(finding: Mapping[str, Any]) -> str:
    topic = TOPICS.get(finding["topic"])
    return topic.looked if topic else f"this: {finding['found'].removesuffix(': not measured')}"


def title(finding: Mapping[str, Any]) -> str:
    """Return what a finding is about, as a heading: "Shards: how much of ..".

    >>> title({"topic": "extraction", "found": "..", "subject": "model"})
    'Whether the model recites records'
    """
    topic = TOPICS.get(finding["topic"])
    looked = (topic.heading or topic.looked) if topic else finding["topic"]
    return looked[:1].upper() + looked[1:]


def _list(phrases: Iterable[str]) -> str:
    """Return phrases, each once, as people list them.

    >>> _list(["a", "b", "a", "c"])
    'a, b and c'
    """
    each = [phrase for phrase in dict.fromkeys(phrases) if phrase]
    return " and ".join(part for part in (", ".join(each[:-1]), *each[-1:]) if part)
