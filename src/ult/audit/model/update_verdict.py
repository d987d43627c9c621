"""Grade what an update costs those who rely on the earlier run, and say it in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ult.audit.release.finding import UNLIKELY, Finding, mark, unmeasured, worst_first
from ult.host.extras import require
from ult.host.shown import Facts

with require("scipy", extra="audit"):
    from scipy import stats

SUBJECT = "model"
LOST = (0.05, 0.20)  # share of what the old run has right and the new one wrong: amber above, red above
POINT = 0.01  # of accuracy, or of bits: a loss that is not shown to be smaller is amber
_SHOWN = 12  # labels that are printed, those that are hit most

IDS = "red if anything that both tables hold has another id; amber if that was not looked at"
ACCURACY = f"red if the interval is below 0; amber if it reaches below -{POINT:.0%}"
BITS = f"red if the interval is above 1; amber if it reaches above {1 + POINT:g}"
FLIPS = f"red if the interval is above {LOST[1]:.0%}; amber if it reaches above {LOST[0]:.0%}"
HIT = (
    f"red if a label loses so much more than it wins by chance in under {UNLIKELY[1]:.1%} of cases, amber in under "
    f"{UNLIKELY[0]:.0%}"
)
TOLD = "amber if all that the old run has right is of one kind"
UNSEEN = "amber unless neither run learned the shards"
_SOFTER = "ult train --from OLD --compatible-with OLD, or a lower --learning-rate"
_MORE = "more records that neither run saw (--on)"


def judge(found: Mapping[str, Any]) -> list[Finding]:
    """Return the findings on an audit of an update, a document of `ult.audit.model.update`."""
    better = _accuracy(found) if found["bits"] is None else _bits(found["bits"], found["records"])
    return [
        *_kept_ids(found["kept_ids"]),
        better,
        _flips(found),
        *_told_apart(found),
        *_hit(found["labels"]),
        *_learned(found["learned"]),
    ]


def _kept_ids(told: Mapping[str, Any] | None) -> Iterator[Finding]:
    if told is None:
        return
    if told["shared"] is None:
        said = "the runs began with other tables, and whether symbols and phrases kept their ids was not looked at"
        yield unmeasured(SUBJECT, "ids", said, "-t NEW.ult --old-table OLD.ult, by the owner", IDS)
        return
    moved = told["shared"] - told["same"]
    said = f"of {told['shared']:,} symbols and phrases that both tables hold, {moved:,} have another id"
    change = "ult table update OLD.ult NEW.csv --keep-ids, in place of a new fit" if moved else ""
    yield Finding(SUBJECT, "red" if moved else "green", said, IDS, change, "ids", value=moved, n=told["shared"])


def _accuracy(found: Mapping[str, Any]) -> Finding:
    value, (low, high) = found["gain"]["value"], found["gain"]["interval"]
    level = "red" if high < 0 else "amber" if low < -POINT else "green"
    change = {"red": "keep the old run, or train longer", "amber": _MORE}.get(level, "")
    said = f"accuracy changes by {value:+.2%} ({low:+.2%} to {high:+.2%})"
    return Finding(SUBJECT, level, said, ACCURACY, change, "accuracy", value=value, interval=(low, high),
                   n=found["records"])  # fmt: skip


def _bits(bits: Mapping[str, Any], records: int) -> Finding:
    value, (low, high) = bits["ratio"], bits["interval"]
    level = "red" if low > 1 else "amber" if high > 1 + POINT else "green"
    change = {"red": "keep the old run, or train longer", "amber": _MORE}.get(level, "")
    said = f"an id costs {value:.3f} x the bits that it costs the old run ({low:.3f} to {high:.3f})"
    return Finding(SUBJECT, level, said, BITS, change, "bits", value=value, interval=(low, high), n=records)


def _flips(found: Mapping[str, Any]) -> Finding:
    lost, what = found["lost"], "records" if found["labels"] else "ids"
    if lost["interval"] is None:
        said = f"the old run has none of {found['predictions']:,} {what} right, so none can be lost"
        return unmeasured(SUBJECT, "flips", said, "shards that the old run can predict", FLIPS)
    low, high = lost["interval"]
    level = "red" if low > LOST[1] else "amber" if high > LOST[0] else "green"
    change = "" if level == "green" else _SOFTER if low > LOST[0] else f"{_SOFTER}; or {_MORE}"
    said = (
        f"negative flips: of {lost['of']:,} {what} that the old run has right, the new one has "
        f"{found['negative']['count']:,} wrong, {lost['share']:.1%} ({low:.1%} to {high:.1%})"
    )
    return Finding(SUBJECT, level, said, FLIPS, change, "flips", value=lost["share"], interval=(low, high),
                   n=lost["of"])  # fmt: skip


def _told_apart(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that a run which gives one answer to everything has nothing to lose: its flips are none whatever comes."""
    if found["lost"]["kinds"] == 1:
        what = "label" if found["labels"] else "id"
        said = f"all that the old run has right is of one {what}: it may tell nothing apart"
        yield unmeasured(SUBJECT, "told apart", said, "an old run that learned more, or shards of more labels", TOLD)


def _hit(labels: list[dict[str, Any]]) -> Iterator[Finding]:
    """Yield the label that loses more than it wins by the least chance (McNemar), one of as many as there are."""
    if not labels:
        return
    p, one = min(((_chance(each), each) for each in labels), key=lambda pair: pair[0])
    p = min(1.0, p * len(labels))
    level = "red" if p < UNLIKELY[1] else "amber" if p < UNLIKELY[0] else "green"
    said = f"label {one['label']} loses {one['negative']:,} of {one['right']:,}, and wins {one['positive']:,}"
    said = f"{said} (p {p:.2g})" if level != "green" else "no label loses more than it wins, but by chance"
    yield Finding(SUBJECT, level, said, HIT, _SOFTER if level != "green" else "", "labels", value=p, n=one["records"])


def _chance(one: Mapping[str, Any]) -> float:
    """Return how probable so many losses among all flips of a label are, if it won and lost alike."""
    lost, won = one["negative"], one["positive"]
    return float(stats.binom.sf(lost - 1, lost + won, 0.5)) if lost else 1.0


def _learned(names: list[str]) -> Iterator[Finding]:
    for name in names:
        said = f"the {name} run learned these shards, so they do not show what users of other records meet"
        yield unmeasured(SUBJECT, "unseen", said, "--on with shards that neither run saw", UNSEEN)


def words(found: Mapping[str, Any]) -> Facts:
    """Return the verdict, the figures, and what the verdict rests on, the worst first, as names and values."""
    what = "records" if found["labels"] else "ids"
    facts = [
        ("verdict", found["verdict"].upper()),
        (what, f"{found['predictions']:,}"),
        ("old run, right", _share(found["old"])),
        ("new run, right", _share(found["new"])),
        ("negative flips", f"{found['negative']['count']:,}, {_share(found['negative'])} of all"),
        ("positive flips", f"{found['positive']['count']:,}, {_share(found['positive'])} of all"),
    ]
    for one in found["labels"][:_SHOWN]:
        flips = f"{one['negative']:,} of {one['right']:,} lost, {one['positive']:,} of {one['wrong']:,} won"
        facts.append((f"label {one['label']}", flips))
    more = len(found["labels"]) - _SHOWN
    facts += [("more labels", f"{more:,}")] if more > 0 else []
    return [*facts, *((mark(one), _said(one)) for one in worst_first(found["findings"]))]


def _share(one: Mapping[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['share']:.2%}  (95 %: {low:.2%} to {high:.2%})"


def _said(one: Mapping[str, Any]) -> str:
    return f"{one['found']}; next: {one['change']}" if one["change"] else str(one["found"])
