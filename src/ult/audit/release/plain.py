"""The first sentences of the audit's page, for readers who know neither ids nor attacks, made from the findings.

A finding's topic and level select the words, so that they cannot contradict the rule that graded the finding. A finding
whose topic is not listed here is quoted in its own words.
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
    """The words for a topic."""

    looked: str  # completes "We measured ..." and "We did not measure ..."
    red: str  # completes "Whoever gets it can ..." for a red finding
    amber: str  # the same for an amber finding
    green: str = ""  # the same for a green finding, if there is something to say
    heading: str = ""  # of the finding, if `looked` makes no good one
    condition: bool = False  # whether it only limits what other findings mean; mentioned if unmeasured


MUCH = f"over {READ[1]:.0%}"
TOPICS = {
    "code": Topic(
        "how much of the encoded records can be read without the secret table",
        f"read {MUCH} of the records without the secret table",
        "read some of the records without the secret table",
    ),
    "plaintext": Topic(
        "how much of the others can be read by somebody who knows a few records",
        f"read {MUCH} of the other records as soon as a few are known",
        "read some of the other records as soon as a few are known",
    ),
    "rank": Topic(
        "how much the ids reveal by their values alone",
        f"read {MUCH} of the records by the values of the ids alone",
        "read some of the records by the values of the ids alone",
    ),
    "fields": Topic(
        "how much of each field of the records can be read with public data",
        f"read {MUCH} of what was unknown of some fields of the records",
        "read some of the cells of some fields",
    ),
    "form": Topic(
        "how much of each field can be read by somebody who has only a public file of the same columns",
        f"read {MUCH} of what was unknown of some fields with a public file of the same columns alone",
        "read some of the cells of some fields with a public file of the same columns alone",
    ),
    "columns": Topic(
        "how much of the other fields can be read by somebody who knows some columns of the people",
        f"read {MUCH} of what was unknown of some other fields if some columns of the people are known",
        "read some of the cells of other fields if some columns of the people are known",
    ),
    "people": Topic(
        "how many people can be linked to their records by columns that are known of them",
        "link people to their records by columns that are known of them",
        "link a few people to their records by columns that are known of them",
    ),
    "rebuilt": Topic(
        "how close reconstructed images or series come to the true ones",
        "reconstruct images or series that are close to the true ones",
        "reconstruct images or series better than public data alone would allow",
    ),
    "rows": Topic(
        "how much the model reveals to somebody who has the model that it was made from",
        f"read {MUCH} of the records with the help of the model that this one was made from",
        "read some of the records with the help of the model that this one was made from",
    ),
    "reference": Topic(
        "what an attacker with more public data, or more similar data, could read",
        "",
        "",
        condition=True,
        heading="whether the attacks had enough public records, similar enough to these",
    ),
    "shift": Topic(
        "whether one can tell whose record was used, in groups that are otherwise alike",
        "",
        "",
        condition=True,
        heading="whether members and nonmembers differ in nothing but the training",
    ),
    "binding": Topic("whether the audits cover exactly what is given away", "", "", condition=True),
    "kept": Topic(
        "what the columns in the clear reveal about people",
        "recognise people by columns that were left in the clear",
        "narrow down whom a record is about by columns that were left in the clear",
    ),
    "membership": Topic(
        "whether one can tell whose record was used",
        "tell for some people that their record was used",
        "tell for a few people that their record may have been used",
    ),
    "extraction": Topic(
        "whether the model recites records",
        "make the model recite passages of records",
        "make the model recite single passages, which may be stock phrases",
    ),
    "canaries": Topic(
        "whether the model remembers planted test records",
        "find planted test records in the model, and so probably details of real records that are as rare",
        "find traces of planted test records in the model",
    ),
    "table": Topic(
        "what the table promises to the records that it was fitted on",
        "read every record that was encoded with the table, because the table is the key",
        "read every record that was encoded with the table, because the table is the key",
        "read every record that was encoded with the table, because the table is the key",
    ),
    "body": Topic(
        "what the model remembers without its embedding rows",
        "read what the model remembers, with embedding rows that they have, or can draw again from the seed",
        "",
    ),
    "promise": Topic(
        "whether the promised privacy holds",
        "learn more than was promised: the guarantee does not hold",
        "learn about as much as was promised",
    ),
}


def sentences(audit: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return three texts of a sentence or two: what a receiver can do, what was measured, and what was not.

    >>> audit = {"holds": [{"what": "shards"}], "findings": [
    ...     {"topic": "code", "level": "red", "measured": True, "found": "the best attack reads 90 %"},
    ...     {"topic": "plaintext", "level": "amber", "measured": False, "found": "known plaintext: not measured"}]}
    >>> print(*sentences(audit), sep="\\n")
    Whoever gets the encoded records can read over 20% of the records without the secret table.
    We measured how much of the encoded records can be read without the secret table.
    We did not measure how much of the others can be read by somebody who knows a few records. That is not good news.
    """
    findings: Sequence[Mapping[str, Any]] = audit["findings"]
    return _can(audit, findings), _measured(findings), _unmeasured(findings)


def _can(audit: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> str:
    names = {**HOLDS, "model": HOLDS["body"]} if audit.get("parts", {}).get("body") else HOLDS
    what = _list(names.get(part["what"], part["what"]) for part in audit["holds"])
    gets = f"Whoever gets {what}"
    reliable = [finding for finding in findings if finding["measured"] and SWAPPED not in finding["found"]]
    reds = {finding["topic"] for finding in reliable if finding["level"] == "red"}
    surely = _list(_does(finding) for finding in reliable if finding["level"] in ("red", "green"))
    partly = _list(_does(one) for one in reliable if one["level"] == "amber" and one["topic"] not in reds)
    if surely or partly:
        return f"{gets} can {'; to a lesser degree, '.join(part for part in (surely, partly) if part)}."
    if not reliable:
        return f"We do not know what a receiver of {what} can do: nothing was measured that we can rely on."
    if len(reliable) < len(findings):
        return (
            f"We do not know all that a receiver of {what} can do: some things were not measured, and what was "
            "measured crosses no line."
        )
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
        return f"{said}. That is not good news."
    return "We did not measure attacks that we did not run; others may be stronger."


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
    """Return what a finding is about, as a heading.

    >>> title({"topic": "extraction", "found": "..", "subject": "model"})
    'Whether the model recites records'
    """
    topic = TOPICS.get(finding["topic"])
    looked = (topic.heading or topic.looked) if topic else finding["topic"]
    return looked[:1].upper() + looked[1:]


def _list(phrases: Iterable[str]) -> str:
    """Return the distinct phrases as an English list.

    >>> _list(["a", "b", "a", "c"])
    'a, b and c'
    """
    each = [phrase for phrase in dict.fromkeys(phrases) if phrase]
    return " and ".join(part for part in (", ".join(each[:-1]), *each[-1:]) if part)
