"""The first sentences of an audit's page, for readers who know neither ids nor attacks, made of the findings alone.

A finding's `topic` chooses the words and its level which of them, so that they cannot say other than the rule that
graded it. A topic that is not listed is said in the finding's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HOLDS = {"shards": "the encoded records", "model": "the model", "body": "the model's body", "table": "the secret table"}


@dataclass(frozen=True, slots=True)
class Topic:
    """What was looked at, as what "we measured" and "we did not measure" take, and what a receiver "can" do."""

    looked: str
    red: str
    amber: str


TOPICS = {
    "code": Topic(
        "how much of the encoded records attacks read without the secret table",
        "read a large part of the records without the secret table",
        "read some of the records without the secret table",
    ),
    "plaintext": Topic(
        "how much whoever knows a few records reads of the others",
        "read a large part of the other records as soon as a few are known",
        "read some of the other records as soon as a few are known",
    ),
    "rank": Topic(
        "how much attacks read that also use what the numbers of ids say",
        "read a large part of the records without the secret table",
        "read some of the records without the secret table",
    ),
    "rows": Topic(
        "how much the model's rows say beside those of the model that it came from",
        "read a large part of the records by the model that this one came from",
        "read some of the records by the model that this one came from",
    ),
    "reference": Topic("what an attacker with nearer public data could read", "", ""),
    "shift": Topic("whether the records compared differ in themselves", "", ""),
    "binding": Topic("whether the audit is of the very data that it should be of", "", ""),
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


def sentences(audit: dict[str, Any]) -> tuple[str, str, str]:
    """Return what a receiver can do, what was measured, and what was not, a sentence or two each.

    >>> audit = {"holds": [{"what": "shards"}], "findings": [
    ...     {"topic": "code", "level": "red", "measured": True, "found": "the best attack reads 90 %"},
    ...     {"topic": "plaintext", "level": "amber", "measured": False, "found": "known plaintext: not measured"}]}
    >>> print(*sentences(audit), sep="\\n")
    Whoever gets the encoded records can read a large part of the records without the secret table.
    We measured how much of the encoded records attacks read without the secret table.
    We did not measure how much whoever knows a few records reads of the others; nobody may take that for good news.
    """
    findings: list[dict[str, Any]] = audit["findings"]
    return _can(audit, findings), _measured(findings), _unmeasured(findings)


def _can(audit: dict[str, Any], findings: Sequence[dict[str, Any]]) -> str:
    gets = f"Whoever gets {_list(HOLDS.get(one['what'], one['what']) for one in audit['holds'])}"
    found = [one for one in findings if one["measured"] and one["level"] in ("red", "amber")]
    surely = _list(_does(one) for one in found if one["level"] == "red")
    partly = _list(_does(one) for one in found if one["level"] == "amber")
    if surely and partly:
        return f"{gets} can {surely}; and to a lesser degree, {partly}."
    if surely or partly:
        return f"{gets} can {surely or partly}."
    measured = any(one["measured"] for one in findings)
    return f"{gets} can do nothing that crosses our lines, as far as we measured." if measured else (
        f"{gets} can do what we do not know: nothing was measured."
    )  # fmt: skip


def _measured(findings: Sequence[dict[str, Any]]) -> str:
    looked = _list(_looked(one) for one in findings if one["measured"])
    return f"We measured {looked}." if looked else "We measured nothing."


def _unmeasured(findings: Sequence[dict[str, Any]]) -> str:
    missing = _list(_looked(one) for one in findings if not one["measured"])
    if missing:
        return f"We did not measure {missing}; nobody may take that for good news."
    return "We did not measure what attacks could do that we did not run, and others may be stronger."


def _does(finding: dict[str, Any]) -> str:
    topic = TOPICS.get(finding["topic"])
    said = topic and (topic.red if finding["level"] == "red" else topic.amber)
    return said or f"do this: {finding['found']}"


def _looked(finding: dict[str, Any]) -> str:
    topic = TOPICS.get(finding["topic"])
    return topic.looked if topic else f"this: {finding['found'].removesuffix(': not measured')}"


def title(finding: dict[str, Any]) -> str:
    """Return what a finding is about, as a heading: "Shards: how much of ..".

    >>> title({"topic": "extraction", "found": "..", "subject": "model"})
    'Whether the model recites records'
    """
    looked = _looked(finding) if finding["topic"] in TOPICS else finding["topic"]
    return looked[:1].upper() + looked[1:]


def _list(phrases: Iterable[str]) -> str:
    """Return phrases, each once, as people list them.

    >>> _list(["a", "b", "a", "c"])
    'a, b and c'
    """
    each = list(dict.fromkeys(phrases))
    return " and ".join(part for part in (", ".join(each[:-1]), *each[-1:]) if part)
