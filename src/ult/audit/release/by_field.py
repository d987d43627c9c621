"""Judge what attacks read of the cells of records of fields, and how many people they link to their records."""

from __future__ import annotations

from typing import Any

from ult.audit.code.fields import beyond
from ult.audit.code.records import LINKED, NO_FORM, PEOPLE
from ult.audit.release.figures import Missing, agree, count, field, interval, number, part, several, share
from ult.audit.release.finding import FOUND, READ, Finding, unmeasured, worst
from ult.errors import FormatError

CODEC = "record/columns"
LINE = (
    f"amber if of some field, by the upper end of its interval, more than {READ[0]:.0%} of the cells are read that "
    f"a guess without the ids does not know; red if more than {READ[1]:.0%} are by the lower end"
)
LINKS = (
    f"amber if, by the upper end of the interval, more than {FOUND[0]:.0%} of the people are linked to their records "
    f"in excess of chance; red if more than {FOUND[1]:.0%} are by the lower end"
)
HOW = "ult audit code SHARDS --reference PUBLIC -t TABLE"
KNOWING = f"{HOW} --known COLUMN, for each column that somebody may know of the people, such as age, sex and date"
_TOPICS = {NO_FORM: "form", PEOPLE: "columns", LINKED: "columns"}
_BY = {
    "fields": "with public data",
    "form": "with public data, and nothing of the table's fields",
    "columns": "by somebody who knows some columns of the people",
}


def judge_fields(audit: dict[str, Any], subject: str) -> list[Finding]:
    """Judge what each kind of attacker reads of the fields; nothing for an audit of other records.

    Raises `FormatError` for impossible figures.
    """
    if audit.get("codec") != CODEC or not audit.get("attacks"):
        return []
    if not audit.get("fields"):
        return [unmeasured(subject, "fields", "cells of the fields: not measured", HOW, LINE)]
    try:
        return _judged(part(audit, "fields"), subject)
    except Missing as lacking:
        found = f"cells of the fields: not measured, the audit has no {lacking.args[0]}"
        return [unmeasured(subject, "fields", found, HOW, LINE)]


def _judged(found: dict[str, Any], subject: str) -> list[Finding]:
    attackers = several(found, "attackers")
    records, by_topic = count(found, "records"), dict[str, list[Finding]]()
    for one in attackers:
        topic = _topic(one)
        by_topic.setdefault(topic, []).append(_cells(one, topic, subject, records))
    findings = [worst(of_topic) for of_topic in by_topic.values()]
    if "form" not in by_topic:
        lacking = "what somebody reads who has nothing of the table's fields: not measured"
        findings.append(unmeasured(subject, "form", lacking, f"{HOW}, of a file that `ult describe` reads", LINE))
    if "columns" not in by_topic and subject == "shards":
        lacking = "what somebody reads who knows some columns of the people: not measured"
        findings.append(unmeasured(subject, "columns", lacking, KNOWING, LINE))
    return findings + [_linked(part(one, "people"), subject) for one in attackers if one["knows"] == PEOPLE]


def _topic(one: Any) -> str:
    """Return the kind of attacker, a topic of `plain`."""
    knows = field(one, "knows")
    if not isinstance(knows, str):
        raise FormatError(f"an audit says that an attacker knows {knows!r:.40}")
    return _TOPICS.get(knows, "fields")


def _cells(one: Any, topic: str, subject: str, records: int) -> Finding:
    """Judge one attacker by the field of which it surely reads most beyond a guess without the ids."""
    shares = [_beyond(each) for each in several(one, "fields")]
    value, low, high = max(shares, key=lambda each: each[1])
    top = max(each[2] for each in shares)
    level = "red" if low > READ[1] else "amber" if top > READ[0] else "green"
    read, blind, cells = share(one, "read"), share(one, "blind"), count(one, "cells")
    surely = sum(each[1] > READ[1] for each in shares)
    found = (
        f"{_BY[topic]}: {read:.1%} of {cells:,} cells are read, {blind:.1%} would be guessed without the ids; "
        f"{surely} of {len(shares)} fields are read by more than {READ[1]:.0%} of what such a guess does not know, the "
        f"worst by {value:.0%}"
    )
    change = "" if level == "green" else f"treat the {subject} as the records themselves"
    graded = (max(low, -1.0), max(min(high, 1.0), -1.0))
    return Finding(subject, level, found, LINE, change, topic, value=value, interval=graded, n=records)


def _beyond(each: Any) -> tuple[float, float, float]:
    """Return by how much a field is read beyond a guess without the ids, and both ends of the interval."""
    read, blind = share(each, "read"), share(each, "blind")
    low, high = interval(each, "read_interval", read)
    agree(number(each, "beyond"), beyond(read, blind), "what is read beyond a guess")
    return beyond(read, blind), beyond(low, blind), beyond(high, blind)


def _linked(people: Any, subject: str) -> Finding:
    """Judge how many people somebody links to their records who knows some columns of all, but not which is whose."""
    right, chance, alone = share(people, "linked"), share(people, "chance"), share(people, "alone")
    low, high = interval(people, "linked_interval", right)
    level = "red" if low - chance > FOUND[1] else "amber" if high - chance > FOUND[0] else "green"
    found = (
        f"people: {right:.1%} ({low:.1%} to {high:.1%}) of {count(people, 'people'):,} are linked to their record by "
        f"{count(people, 'columns')} known columns, in which {alone:.1%} are alone; by chance {chance:.2%}"
    )
    change = "" if level == "green" else "coarser values in these columns, such as years for dates, before `ult fit`"
    graded = (low - chance, high - chance)
    return Finding(
        subject, level, found, LINKS, change, "people", value=right - chance, interval=graded, n=count(people, "people")
    )
