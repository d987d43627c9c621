"""What an audit of synthetic records says in words: for people who know nothing of attacks, and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ult.audit.release.finding import Finding, mark, worst_first

SO = {
    "green": "Nothing that was measured speaks against giving these records away.",
    "amber": "Read the findings first: something could not be told, or lies between the lines.",
    "red": "Do not give these records away as if they were of nobody.",
}
PLAIN = {
    "guarantee": "Nobody guarantees anything to the people whose records these were made from.",
    "bound": "The guarantee that comes with these records is false: attacks learn more than it allows.",
    "copies": "Some of these records are real people's records, copied.",
    "passages": "Some of these texts hold passages that a single real person's text has.",
    "values": "These records hold values that only a single real person has.",
    "extremes": "These records give away a real person's value, the least or the greatest of all.",
    "membership": "Of some people, one can tell that their records were used.",
    "canaries": "Secrets that were planted among the real records can be read in these.",
}

TITLES = {
    "guarantee": "what is guaranteed",
    "bound": "whether the guarantee holds",
    "invalid": "whether the records are valid",
    "columns": "columns that real records lack",
    "copies": "whole records, copied",
    "values": "values of a single person",
    "extremes": "the least and the greatest values",
    "passages": "passages of a single text",
    "membership": "whether one can tell whose record was used",
    "shift": "whether real and held-out records are alike",
    "canaries": "planted secrets",
}


def sentences(findings: Sequence[Finding]) -> list[str]:
    """Return, for people who know nothing of attacks, what the verdict rests on."""
    reds = [one for one in findings if one.level == "red"]
    ambers = [one for one in findings if one.level == "amber"]
    said = []
    for topic, words in PLAIN.items():
        if any(one.topic == topic for one in reds):
            said.append(words)
    if missing := [one for one in ambers if not one.measured]:
        which = "; ".join(dict.fromkeys(TITLES[one.topic] for one in missing))
        said.append(f"{len(missing)} of {len(findings)} questions could not be answered with these files: {which}.")
    if not said:
        said.append(
            "Nothing that we tried tells whose records these were made from better than guessing would, and their "
            "maker promises that nothing else does much better."
        )
    return said


def figures(whole: Mapping[str, Any], findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield the lines for the terminal: the verdict, then the findings, worst first, then how true and how useful."""
    yield "verdict", f"{whole['verdict']}: {SO[whole['verdict']]}"
    yield from (("", sentence) for sentence in whole["says"])
    for finding in worst_first(one.document() for one in findings):
        yield mark(finding), finding["found"]
        if finding["change"]:
            yield "", f"to do: {finding['change']}"
    yield from of_quality(whole)


def of_quality(whole: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of what is shown and not judged: how true the records are, and what they are good for."""
    true = whole["fidelity"]
    yield "invalid records", f"{true['invalid']:,} of {true['of']:,}"
    yield "columns, distance from real", _beside(true["one_way"])
    if true["two_way"]["worst"] is not None:
        pair = true["two_way"]["worst"]
        worst = f"; worst {pair['columns'][0]!r} with {pair['columns'][1]!r}, {pair['synthetic']:.3f}"
        yield "pairs of columns", _beside(true["two_way"]) + worst
        yield "associations, off by", _beside(true["associations"])
    for name, one in whole["texts"].items():
        few = f"not measured: {one['texts']:,} texts, and {one['least']:,} are needed"
        found = few if one["synthetic"] is None else f"{one['synthetic']:.3f}; of as many real ones {one['real']:.3f}"
        yield f"texts like real ones, {name!r}", found
    if whole["utility"]:
        for system, one in whole["utility"]["systems"].items():
            low, high = one["difference_interval"]
            yield (
                f"{system}, AUROC",
                f"{one['synthetic']:.3f} trained on synthetic records, {one['real']:.3f} on as many real ones; "
                f"{one['difference']:+.3f} ({low:+.3f} to {high:+.3f})",
            )


def _beside(one: Mapping[str, float | None]) -> str:
    held = "" if one["held_out"] is None else f"; of held-out records {one['held_out']:.3f}"
    return f"{one['synthetic']:.3f}{held}"


def notes(whole: Mapping[str, Any]) -> list[str]:
    """Return what else a reader of the figures should know."""
    sides = whole["sides"]
    said = [f"columns that are not compared: {', '.join(whole['left_out'])}"] if whole["left_out"] else []
    said += [
        f"of {one['records']:,} {name.replace('_', '-')} records {one['compared']:,}, drawn at random, were compared "
        "in full; whole copies were looked for in all"
        for name, one in sides.items()
        if one["compared"] < one["records"]
    ]
    return [*said, "no epsilon covers these figures, which were measured on the real records"]
