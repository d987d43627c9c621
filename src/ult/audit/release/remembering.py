"""Judge what a run or a table reveals about its records: membership, extraction, canaries, and refuted promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from scipy import stats

from ult.audit.bounds import auc_interval, blind_interval, clopper_pearson
from ult.audit.release.figures import Missing, agree, count, interval, number, part, share
from ult.audit.release.finding import (
    AREA,
    BITS,
    FALSE,
    FOUND,
    MISS,
    READ,
    RECITED,
    UNLIKELY,
    Finding,
    power,
    told_power,
    unmeasured,
    worst,
)  # fmt: skip
from ult.audit.release.proven import proven
from ult.public.task import LABELS

ATTACKS, LABEL_ATTACKS = (
    ("loss", "min-k", "min-k++"),
    ("loss",),
)  # `ult.audit.model.membership.scores` makes these of any run
TABLE_ATTACKS = ("compression", "longest", "rare", "counts")  # and `ult.audit.table` these of any table
PREFIX, GIVEN = 50, 10  # ids that are given by default, and at least

MEMBERS = (
    f"red if, at a false-positive rate of {FALSE:.0%}, the lower end of the true-positive rate's interval is above "
    f"{FOUND[1]:.0%} and above the upper end of the false-positive rate's interval; amber if the lower end is above "
    f"{FOUND[0]:.0%}, or the upper end above {FOUND[1]:.0%}, or with fewer than {1 / FALSE:.0f} nonmembers"
)
CURVE = (
    f"red if it is above {AREA[1]:.2f} and its whole interval above {AREA[0]:.2f}, or if its interval, widened for the "
    f"number of attacks, is below 0.50; amber if its upper end is above {AREA[0]:.2f}"
)
SHIFT = "amber if members and nonmembers can be told apart without the model: the whole interval is above 0.50"
EXACT = (
    "red if members are completed exactly more often than nonmembers, or less often, by intervals that do not overlap, "
    f"or if the model's words agree with theirs more often by {READ[1]:.0%}; amber if any member is completed, or if "
    f"words agree more often by {READ[0]:.0%}, or if there are too few to show a share below {RECITED:.0%}, or if "
    f"fewer than {GIVEN} ids are given, or fewer than are asked for"
)
CANARIES = (
    f"amber if exposures this high occur by chance in under {UNLIKELY[0]:.0%} of cases, red in under "
    f"{UNLIKELY[1]:.1%}; amber if there are too few to show a mean exposure below {BITS:g} bits, or if none is known "
    "to be planted"
)
SWAPPED = "members and nonmembers look swapped, or the model was trained on the other set"
TRAINED = "train with --epsilon, or for fewer steps on deduplicated records"


class Promised(NamedTuple):
    """The (epsilon, delta) that was promised to each record."""

    epsilon: float
    delta: float


def judge_members(subject: str, audit: dict[str, Any], change: str, how: str) -> list[Finding]:
    """Judge membership inference: the true-positive rate at a low false-positive rate, and the AUC, of all attacks.

    Attacks that every audit of this kind runs must be present.
    """

    def judged() -> Iterator[Finding]:
        attacks = part(audit, "membership")
        always = TABLE_ATTACKS if subject == "table" else LABEL_ATTACKS if audit.get("task") in LABELS else ATTACKS
        of = f"the best of {len(attacks)} attacks"
        yield worst([_rate(subject, f"{name}, {of}", result, change) for name, result in attacks.items()])
        each = MISS / len(attacks)
        yield worst([_area(subject, f"{name}, {of}", result, change, each) for name, result in attacks.items()])
        if lacking := [name for name in always if name not in attacks]:
            found = f"membership: the audit has no attack by {', '.join(lacking)}"
            yield unmeasured(subject, "membership", found, how, MEMBERS)

    return _measured(subject, "membership", judged, how, MEMBERS)


def _measured(subject: str, topic: str, judged: Callable[[], Iterator[Finding]], how: str, line: str) -> list[Finding]:
    """Return the findings, or an unmeasured one if the audit lacks a figure that they need."""
    try:
        return list(judged())
    except Missing as lacking:
        return [unmeasured(subject, topic, f"{topic}: not measured, the audit has no {lacking.args[0]}", how, line)]


def _rate(subject: str, name: str, one: dict[str, Any], change: str) -> Finding:
    members, nonmembers = _groups(one)
    rates = [rate for rate in one.get("tpr", []) if number(rate, "fpr") == FALSE]
    if not rates:
        raise Missing(f"rate at {FALSE:.0%} of nonmembers ({name})")
    value = share(rates[0], "tpr")
    low, high = interval(rates[0], "interval", value)
    for told, computed in zip((low, high), clopper_pearson(round(value * members), members), strict=True):
        agree(told, computed, "the interval of members found")
    few = nonmembers < 1 / FALSE
    mistaken = clopper_pearson(math.floor(FALSE * nonmembers + 1e-9), nonmembers)[1]  # what the rate may really be
    amber = low > FOUND[0] or high > FOUND[1] or few
    level = "red" if low > max(FOUND[1], mistaken) else "amber" if amber else "green"
    found = (
        f"membership: {value:.1%} of members ({low:.1%} to {high:.1%}) are found while {FALSE:.0%} of nonmembers are "
        f"taken for members ({name}); {told_power(members, 'members')}"
    )
    found += f", and {nonmembers:,} nonmembers are too few for a rate of {FALSE:.0%}" if few else ""
    enough = level == "red" or not (few or power(members) > FOUND[1])
    change = change * (level != "green") if enough else "audit with more records"
    return Finding(
        subject, level, found, MEMBERS, change, "membership", measured=enough, value=value, interval=(low, high),
        n=members, power=power(members),
    )  # fmt: skip


def _area(subject: str, name: str, one: dict[str, Any], change: str, miss: float) -> Finding:
    members, nonmembers = _groups(one)
    value = share(one, "auc")
    low, high = interval(one, "auc_interval", value)
    for told, computed in zip((low, high), auc_interval(value, members, nonmembers), strict=True):
        agree(told, computed, "the interval of the area under the curve")
    found = f"membership: the area under the curve is {value:.3f} ({low:.3f} to {high:.3f}); 0.500 is chance ({name})"
    level = "red" if low > AREA[0] and value > AREA[1] else "amber" if high > AREA[0] else "green"
    if (furthest := auc_interval(value, members, nonmembers, miss)[1]) < 0.5:
        high = furthest
        level, found, change = "red", f"{found}: {SWAPPED}", "audit with the records that it was trained on as members"
    return Finding(
        subject, level, found, CURVE, change * (level != "green"), "membership", value=value, interval=(low, high),
        n=min(members, nonmembers),
    )  # fmt: skip


def _groups(one: dict[str, Any]) -> tuple[int, int]:
    members, nonmembers = count(one, "members"), count(one, "nonmembers" if "nonmembers" in one else "others")
    if min(members, nonmembers) < 2:
        raise Missing("members and nonmembers")
    return members, nonmembers


def judge_blind(subject: str, audit: dict[str, Any], how: str) -> list[Finding]:
    """Judge whether members and nonmembers differ in themselves: then what an attack finds is no membership."""

    def judged() -> Iterator[Finding]:
        blind = part(audit, "blind")
        value = share(blind, "auc")
        low, high = interval(blind, "auc_interval", value)
        members, nonmembers, folds = (count(blind, name) for name in ("members", "nonmembers", "folds"))
        if folds < 2 or min(members, nonmembers) < folds:
            raise Missing("folds")
        for told, computed in zip((low, high), blind_interval(value, members, nonmembers, folds), strict=True):
            agree(told, computed, "the interval of members against nonmembers without it")
        found = (
            f"members against nonmembers without it: the area under the curve is {value:.3f} ({low:.3f} to {high:.3f})"
        )
        finding = Finding(subject, "green", found, SHIFT, topic="shift", value=value, interval=(low, high))
        if low > 0.5:
            found += "; they differ in themselves, and what the attacks find or miss is no measure of membership"
            change = "draw members and nonmembers from one source by coin: ult encode --coin-split"
            finding = replace(finding, level="amber", found=found, measured=False, change=change)
        yield finding

    return _measured(subject, "shift", judged, how, SHIFT)


def judge_extraction(audit: dict[str, Any], how: str) -> list[Finding]:
    """Judge what the model completes of members, by whatever way of asking; each way is a finding of its own."""

    def judged() -> Iterator[Finding]:
        told = part(audit, "extraction")
        members = part(told, "members")
        nonmembers = told.get("nonmembers", told.get("others")) or {}
        about = f"given {count(told, 'prefix')} ids, the model writes the next {count(told, 'suffix')}"
        part(members, "greedy")
        for way in (way for way, found in members.items() if isinstance(found, dict)):
            yield _extracted(way, members[way], nonmembers.get(way), about)
        given, written = count(told, "prefix"), count(told, "suffix")
        if not told.get("targets") and (given < GIVEN or given < written):
            found = f"extraction: given {given} ids, {written} were asked for, which shows nothing of what is recited"
            yield unmeasured("model", "extraction", found, f"--prefix-ids {PREFIX} --suffix-ids {PREFIX}", EXACT)

    return _measured("model", "extraction", judged, how, EXACT)


def _extracted(way: str, mine: dict[str, Any], theirs: dict[str, Any] | None, about: str) -> Finding:
    (hits, n, value), (low, high) = _exact(mine)
    found = f"extraction, {way}: {about} exactly in {hits:,} of {n:,} members"
    more, reversed_ = low > RECITED, False
    overlap = number(mine, "ngrams", 0, 1)
    if theirs:
        (other_hits, nonmembers, _), (other_low, other_high) = _exact(theirs)
        found += f", in {other_hits:,} of {nonmembers:,} nonmembers"
        more, reversed_ = low > other_high, other_low > high
        overlap -= number(theirs, "ngrams", 0, 1)
    found += f"; {told_power(n, 'passages')}"
    found += f"; its words are theirs more often by {overlap:.1%}" if overlap > READ[0] else ""
    level = "red" if more or overlap > READ[1] else "amber" if hits or overlap > READ[0] else "green"
    change, enough = (
        "ult dedupe the records, train with --goldfish or --epsilon",
        power(n) <= RECITED or level != "green",
    )
    if reversed_ or overlap < -READ[1]:
        level, found, change = "red", f"{found}: {SWAPPED}", "audit with the records that it was trained on as members"
    elif not enough:
        level, change = "amber", f"audit with more records of {about.split()[1]} ids and more"
    return Finding(
        "model", level, found, EXACT, change * (level != "green"), "extraction", measured=enough, value=value,
        interval=(low, high), n=n, power=power(n),
    )  # fmt: skip


def _exact(found: dict[str, Any]) -> tuple[tuple[int, int, float], tuple[float, float]]:
    hits, n = count(found, "exact"), count(found, "passages")
    if not n > 0 or hits > n:
        raise Missing("passages")
    value = hits / n
    agree(share(found, "share"), value, "the share of exact passages")
    ends = interval(found, "share_interval", value)
    for told, computed in zip(ends, clopper_pearson(hits, n), strict=True):
        agree(told, computed, "the interval of exact passages")
    return (hits, n, value), ends


def judge_canaries(audit: dict[str, Any], planted: int, how: str) -> list[Finding]:
    """Judge the exposure of canaries, of which the shards that a run was trained on say that `planted` are there.

    An audit with the table finds them by their ids, too, where shards are older than that.
    """

    def judged() -> Iterator[Finding]:
        told = part(audit, "canaries")
        each = told.get("interpolated")
        if not isinstance(each, list) or not each:
            raise Missing("interpolated")
        bits = [number({"exposure": one}, "exposure", 0, 64) for one in each]
        n, mean, p = len(bits), number(told, "interpolated_mean", 0, 64), share(told, "p_value")
        agree(mean, sum(bits) / n, "the mean exposure")
        agree(p, float(stats.gamma.sf(sum(bits) * _NATS, n)), "the p-value of the exposures")
        low, high = (number({"chance": end}, "chance", 0, 64) for end in told["chance_interval"])
        least = float(stats.gamma.ppf(1 - UNLIKELY[0], n) / n / _NATS)
        level = "red" if p < UNLIKELY[1] else "amber" if p < UNLIKELY[0] else "green"
        found = (
            f"canaries: mean exposure {mean:.2f} of at most {number(told, 'most', 0, 64):.2f} bits among "
            f"{count(told, 'alternatives'):,} alternatives; chance {low:.2f} to {high:.2f}; {n:,} can show nothing "
            f"below {least:.1f} bits"
        )
        known = max(planted, count(told, "planted") if "planted" in told else 0)
        most = float(stats.gamma.sf(n * number(told, "most", 0, 64) * _NATS, n))  # of canaries that are known by heart
        enough = known >= n and least <= BITS and most < UNLIKELY[1]
        if known < n:
            found += f"; but the shards that the run was trained on say that {known:,} were planted"
        if level == "green" and not enough:
            level = "amber"
        found += "; so few alternatives hide what is known by heart" if most >= UNLIKELY[1] else ""
        change = TRAINED if enough or level == "red" else how
        yield Finding(
            "model", level, found, CANARIES, change * (level != "green"), "canaries",
            measured=enough or level == "red", value=mean, n=n, power=least,
        )  # fmt: skip

    return _measured("model", "canaries", judged, how, CANARIES)


_NATS = 0.6931471805599453  # in a bit


def judge_promise(subject: str, audit: dict[str, Any], promised: Promised | None) -> list[Finding]:
    """Return a red finding if an attack shows a greater epsilon than was promised, at a delta no smaller.

    It is a proof where a coin decided who is a member, else an estimate: then something else may set members apart.
    """
    if promised is None:
        return []
    line = (
        f"red if attacks show more than the promise at a delta of at least {promised.delta:.2g}: by a proof where a "
        "coin decided who is a member, else by an estimate"
    )
    attacks = (audit.get("membership") or {}).values()
    if not any(_bounded(one, promised.delta * (1 - 1e-9)) for one in attacks):
        how = f"audit with --delta {promised.delta:.2g}"
        return [unmeasured(subject, "promise", "promise: no attack was measured at its delta", how, line)]
    most = max(proven(one, promised.delta * (1 - 1e-9)) for one in attacks)
    if most <= promised.epsilon:
        return []
    shown = "prove" if audit.get("coin") is True else "give, as an estimate,"
    found = f"the attacks {shown} an epsilon of at least {most:.2f}, and {promised.epsilon:g} was promised"
    return [Finding(subject, "red", found, line, "do not release; report it as a bug", "promise", value=most)]


def _bounded(one: dict[str, Any], delta: float) -> bool:
    """Return whether an attack kept a bound on epsilon at a delta that is no smaller."""
    kept = [number({"delta": at}, "delta", 0, 1) for at, _ in one.get("epsilon_at_least_by_delta", [])]
    return max([number(one, "delta", 0, 1), *kept]) >= delta
