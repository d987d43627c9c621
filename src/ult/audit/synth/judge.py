"""Judge synthetic records by what was measured: findings of three levels, the worst of which is the verdict.

The lines are here, in `docs/howto/audit.md` and on every page. What was not measured, or not with enough records, is
never green. How true the records are, and what for, is shown beside and not judged: bad records harm nobody's privacy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ult.audit.release.finding import AREA, FALSE, FOUND, SMALL, Finding, power, unmeasured, worst
from ult.audit.release.proven import proven

LOOSE = 10.0  # an epsilon above which a promise says little
FEW = 100  # held-out records, with fewer of which nothing is green
UNLIKELY = (0.01, 0.001)  # p-values below which copies are amber and red: some five questions are asked at once
LEAST = 1e-16  # the least p-value that is told
SUBJECT = "synthetic"

GUARANTEE = f"red without a promise, or with one that cannot hold; amber above an epsilon of {LOOSE:g}"
BOUND = "red if attacks give a greater epsilon than is claimed, at a delta no smaller"
CHANCE = (
    f"red if so many would be met by chance in under {UNLIKELY[1]:.1%} of cases, amber in under {UNLIKELY[0]:.0%}, or "
    f"with fewer than {FEW} held-out records"
)
LONG, MET = 16, 5  # words of a passage, and held-out texts that are quoted so, with fewer of which chance is not known
QUOTED = f"{CHANCE}, or if {LONG} words of a single real text are quoted, and of fewer than {MET} held-out ones"
MEMBERS = (
    f"red if the lower end of the true-positive rate at {FALSE:.0%} of nonmembers is above {FOUND[1]:.0%}, or if the "
    f"area under the curve is above {AREA[1]:.2f} and all its interval above {AREA[0]:.2f}; amber if either's interval "
    f"reaches above {FOUND[1]:.0%} or {AREA[0]:.2f}, or with fewer than {FEW} records on a side"
)
SHIFT = "amber if real and held-out records can be told apart without the synthetic ones: the whole interval above 0.50"
CANARIES = (
    f"red if so much exposure occurs by chance in under {UNLIKELY[1]:.1%} of cases, amber in under {UNLIKELY[0]:.0%}; "
    "red if one is written out"
)
INVALID = "amber if any synthetic record has a number or a date that is none"
UNREAD = "amber if there is any, unless --column or --drop left it out"
_AGAIN = "make them again with ult synth --epsilon, which reads nothing of a single record without charge"
_MORE = "more real and --held-out records, by which it can be told"
_HELD = "--held-out with real records that the synthesis never saw"
_TO_DO = {"green": "", "amber": _MORE, "red": _AGAIN}  # an interval that reaches over a line says that too few tell


def judge(audit: Mapping[str, Any]) -> list[Finding]:
    """Return the findings on an audit, the document of `ult.audit.synth.audit`."""
    found = [_guarantee(audit["claim"]), *_invalid(audit["fidelity"])]
    privacy = audit["privacy"]
    if privacy is None:
        said = "whether single records were copied cannot be told without held-out records"
        return [*found, *_exposed(audit["canaries"]), unmeasured(SUBJECT, "copies", said, _HELD, CHANCE)]
    few = audit["sides"]["held_out"]["compared"] < FEW
    found.append(_records(privacy["records"], few=few))
    found += [_values(privacy["values"], few=few)] if privacy["values"]["real"] else []
    found += [_extremes(privacy["extremes"], few=few)] if privacy["extremes"]["telling"] else []
    found += [_passages(one, few=few) for one in privacy["passages"]]
    found += list(_members(privacy["membership"], audit["claim"]))
    if any(one.topic == "bound" and one.level == "red" for one in found):
        found = [one for one in found if one.topic != "guarantee"]  # a claim that is false guarantees nothing
    return [*found, *_exposed(audit["canaries"])]


def _guarantee(claim: Mapping[str, Any] | None) -> Finding:
    if claim is None:
        said = "no guarantee: nobody says that single records have little influence, and no measurement can show it"
        return Finding(SUBJECT, "red", said, GUARANTEE, _AGAIN, "guarantee")
    if claim["wrong"]:
        said = f"the promise of {claim['by']} is void: {claim['wrong']}"
        return Finding(SUBJECT, "red", said, GUARANTEE, "audit the file that was made", "guarantee")
    epsilon, delta = claim["epsilon"], claim["delta"]
    said = f"claimed: epsilon {epsilon:g} and delta {delta:.2g} for each {claim['unit']}, as {claim['by']}"
    weak = epsilon > LOOSE
    said += "; so great an epsilon promises little" if weak else ""
    said += "; a claim is not a proof" if epsilon <= LOOSE else ""
    change = f"a smaller --epsilon: {SMALL:g} is strong, {LOOSE:g} weak" if weak else ""
    return Finding(SUBJECT, "amber" if weak else "green", said, GUARANTEE, change, "guarantee", value=epsilon)


def unread(columns: Sequence[str]) -> list[Finding]:
    """Return an amber finding on columns of the synthetic records that were compared with nothing."""
    if not columns:
        return []
    said = f"columns of the synthetic records were compared with nothing, and may hold anything: {', '.join(columns)}"
    return [unmeasured(SUBJECT, "columns", said, "real records that have them too, or --drop", UNREAD)]


def _invalid(fidelity: Mapping[str, Any]) -> Iterator[Finding]:
    wrong, n = fidelity["invalid"], fidelity["of"]
    if wrong:
        said = f"{wrong:,} of {n:,} records have a number or a date that is none"
        change = "make them again by a maker whose records are all valid, such as ult synth"
        yield Finding(SUBJECT, "amber", said, INVALID, change, "invalid", value=wrong / n, n=n)


def _graded(
    topic: str, said: str, p: float, *, few: bool, n: int | None = None, change: str = _AGAIN, line: str = CHANCE
) -> Finding:
    level = "red" if p < UNLIKELY[1] else "amber" if p < UNLIKELY[0] else "green"
    said += f" (p {f'{p:.2g}' if p > LEAST else f'below {LEAST:g}'})" if p < UNLIKELY[0] else ""
    if level != "red" and few:
        return unmeasured(SUBJECT, topic, f"{said}; too few held-out records to tell", _HELD, line)
    return Finding(SUBJECT, level, said, line, change * (level != "green"), topic, value=p, n=n)


def _records(one: Mapping[str, Any], *, few: bool) -> Finding:
    said = (
        f"{one['copied']:,} of {one['of']:,} synthetic records equal a real one, {one['copied_of_held_out']:,} a "
        f"held-out one; of those that one side alone has, {one['real_only']:,} real and {one['held_out_only']:,} "
        f"held-out ones are met"
    )
    return _graded("copies", said, one["p_value"], few=few, n=one["of"])


def _values(one: Mapping[str, Any], *, few: bool) -> Finding:
    said = (
        f"of values that a single record has, {one['real_written']:,} of {one['real']:,} real ones are written, and "
        f"{one['held_out_written']:,} of {one['held_out']:,} held-out ones"
    )
    top = one["worst"]
    more = top is not None and one["p_value"] < UNLIKELY[0]
    return _graded("values", said + (f"; most in {top['column']!r}" if more else ""), one["p_value"], few=few)


def _extremes(one: Mapping[str, Any], *, few: bool) -> Finding:
    said = f"{one['written']:,} of {one['telling']:,} ends of columns, each the value of one real record, are written"
    if one["written"] and one["p_value"] < UNLIKELY[0]:
        least = min(one["ends"], key=lambda end: float(end["p_value"]))
        said += f": the {least['end']} of {least['column']!r}"
    change = "declare bounds that are public, or have them found with a share of epsilon, as ult fit does"
    return _graded("extremes", said, one["p_value"], few=few, change=change)


def _passages(one: Mapping[str, Any], *, few: bool) -> Finding:
    top = min(one["lengths"], key=lambda each: float(each["p_value"]))
    shown = top if one["p_value"] < UNLIKELY[0] else one["lengths"][0]
    said = (
        f"passages of {shown['words']} words or more in {one['column']!r}, which a single text has: {shown['real']:,} "
        f"of {one['real']:,} real texts are quoted, and {shown['held_out']:,} of {one['held_out']:,} held-out ones"
    )
    (long,) = (each for each in one["lengths"] if each["words"] == LONG)
    if one["p_value"] >= UNLIKELY[0] and long["real"] and long["held_out"] < MET:
        said += (
            f"; {LONG} words or more of {long['real']:,} real ones and of {long['held_out']:,} held-out ones: too few "
            "to tell a copy from chance"
        )
        return unmeasured(SUBJECT, "passages", said, "read what is quoted, or more --held-out records", QUOTED)
    return _graded("passages", said, one["p_value"], few=few, n=one["texts"], line=QUOTED)


def _members(told: Mapping[str, Any] | None, claim: Mapping[str, Any] | None) -> Iterator[Finding]:
    if told is None:
        yield unmeasured(SUBJECT, "membership", "membership: too few records that one side alone has", _HELD, MEMBERS)
        return
    blind = told["blind"]
    low, high = blind["auc_interval"]
    area = f"the area under the curve is {blind['auc']:.3f} ({low:.3f} to {high:.3f})"
    said = f"real against held-out records by themselves: {area}"
    if blind["shift"]:
        said += "; they differ in themselves, so what is found or missed is no measure of copying"
        yield unmeasured(SUBJECT, "shift", said, "draw held-out records by coin: ult split", SHIFT)
    else:
        yield Finding(SUBJECT, "green", said, SHIFT, topic="shift", value=blind["auc"], interval=(low, high))
    yield worst([_rate(name, one, len(told["attacks"])) for name, one in told["attacks"].items()])
    yield worst([_area(name, one, len(told["attacks"])) for name, one in told["attacks"].items()])
    if claim is not None and not claim["wrong"]:
        yield _bound(told["attacks"], claim, shift=blind["shift"])


def _rate(name: str, one: Mapping[str, Any], many: int) -> Finding:
    (told,) = (rate for rate in one["tpr"] if rate["fpr"] == FALSE)
    value, (low, high) = told["tpr"], told["interval"]
    few = one["nonmembers"] < FEW
    mistaken = told["others_above_interval"][1]
    level = "red" if low > max(FOUND[1], mistaken) else "amber" if high > FOUND[1] or few else "green"
    said = (
        f"membership: {value:.1%} of real records ({low:.1%} to {high:.1%}) are found while {FALSE:.0%} of held-out "
        f"ones are taken for real ones ({name}, the best of {many} attacks)"
    )
    return Finding(
        SUBJECT, level, said, MEMBERS, _TO_DO[level], "membership", measured=level == "red" or not few,
        value=value, interval=(low, high), n=one["members"], power=power(one["members"]),
    )  # fmt: skip


def _area(name: str, one: Mapping[str, Any], many: int) -> Finding:
    value, (low, high) = one["auc"], one["auc_interval"]
    level = "red" if low > AREA[0] and value > AREA[1] else "amber" if high > AREA[0] else "green"
    said = (
        f"membership: the area under the curve is {value:.3f} ({low:.3f} to {high:.3f}); 0.500 is chance ({name}, the "
        f"best of {many} attacks)"
    )
    return Finding(
        SUBJECT, level, said, MEMBERS, _TO_DO[level], "membership", value=value, interval=(low, high),
        n=one["members"],
    )  # fmt: skip


def _bound(attacks: Mapping[str, Any], claim: Mapping[str, Any], *, shift: bool) -> Finding:
    most = max(proven(one, claim["delta"] * (1 - 1e-9)) for one in attacks.values())
    said = f"measured: epsilon at least {most:.2f}, where {claim['epsilon']:g} is claimed"
    if most > claim["epsilon"] and not shift:
        change = "do not rely on the claim; report it to whoever made the records"
        return Finding(SUBJECT, "red", f"{said}: the claim is contradicted", BOUND, change, "bound", value=most)
    return Finding(SUBJECT, "green", f"{said}; it proves no more than that", BOUND, topic="bound", value=most)


def _exposed(one: Mapping[str, Any] | None) -> list[Finding]:
    if one is None:
        return []
    said = (
        f"{one['canaries']:,} planted canaries: mean exposure {one['mean']:.2f} bits, 1.44 by chance, at most "
        f"{one['power']:.1f} in 95 % of cases; {one['written']:,} written out"
    )
    p = 0.0 if one["written"] else one["p_value"]
    return [_graded("canaries", said, p, few=False, n=one["canaries"], line=CANARIES)]
