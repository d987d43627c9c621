"""Grade what was measured of a run that is said to have forgotten: green needs a guarantee, and nothing against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ult.audit.forget.nearest import WIDTH
from ult.audit.forget.pairs import LEAST
from ult.audit.release.finding import FALSE, FOUND, UNLIKELY, Finding, verdict

GUARANTEED = ("exact", "guaranteed")
LARGE = 10.0  # an epsilon above which a guarantee is none to speak of
DEARER = 1.01  # cost of records, beside the retrained run's: above, the run is worse
WRECKED = 1.5  # the same of kept records, which a run that knows less of them by heart pays more for
POWER = 0.8  # of the Kolmogorov-Smirnov test; below, a large p-value says nothing
SOONER = 0.9  # steps to fall half-way back, beside the retrained run's: below, the run had only hidden what it knew
HOW_AGAIN = "--retrained by the run's recipe; its base too, if it has one: with epsilon, without the records"
HOW_PAIRS = f"--pairs FORGOT:RETRAINED of other seeds, {LEAST} with the audited one"


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings, and whether forgotten records cannot be compared with the others at all."""

    findings: tuple[Finding, ...]
    void: bool

    @property
    def verdict(self) -> str:
        """The worst level of the findings."""
        return verdict(self.findings)


def judge(result: Mapping[str, Any]) -> Judged:
    """Return the findings on an audit of forgetting."""
    unlike = [] if result["identical"] else list(_unlike(result))
    void = bool(unlike)
    findings = [*_promise(result), *_copies(result), *_wrecked(result), *_exposed(result)]
    if result["identical"]:
        findings.append(_finding("green", "the run is the retrained one, bit for bit", "the same digest"))
    else:
        findings += unlike
        findings += [] if void else [*_differing(result), *_relearned(result), *_pairs(result), *_kept(result)]
    return Judged(tuple(findings), void)


def _finding(level: str, found: str, line: str, change: str = "", **more: Any) -> Finding:
    return Finding("model", level, found, line, change, **more)


def _promise(result: Mapping[str, Any]) -> Iterator[Finding]:
    method, told = result["method"], result["guarantee"]
    line = f"green: exact, proven bit for bit, or guaranteed by an epsilon of {LARGE:g} or less; else never green"
    if not result["proven"]:
        strange = result["unsearched"]
        why = f": it learned of {', '.join(strange)}, which --shards does not name" if strange else ""
        yield _finding(
            "amber", f"digests do not prove that the retrained run never saw the records{why}", line,
            "all shards it learned of with --shards" if strange else "retrain without a promise, or keep the shards",
            measured=False,
        )  # fmt: skip
    if others := result["trained_otherwise"]:
        yield _finding(
            "amber", f"the retrained run was trained with other {', '.join(others)}: what tells both apart may be "
            "that, and no record", "green: the same options but for the seed", HOW_AGAIN, measured=False,
        )  # fmt: skip
    if method not in GUARANTEED:
        what = "the run does not say how it forgot" if method is None else f"{method} has no guarantee"
        yield _finding("amber", what, line, "ult forget run --method exact, or guaranteed")
    elif method == "exact" and not result["identical"]:
        what = "exact was said, and the run is not the retrained one bit for bit"
        yield _finding("amber", what, line, "--retrained with the same recipe and seed, on this kind of machine")
    elif method == "guaranteed":
        yield _of_epsilon(told, line)


def _of_epsilon(told: Mapping[str, Any] | None, line: str) -> Finding:
    if told is None:
        return _finding("amber", "guaranteed was said, without an epsilon", line, "a base trained with --epsilon")
    said = (
        f"the run says that each forgotten record has epsilon {told['epsilon']:.3g} at delta {told['delta'] or 0:.2g}"
    )
    level = "green" if told["epsilon"] <= LARGE else "amber"
    if told["table"] is None:
        return _finding("amber", f"{said}, but the table may hold it", line, "ult forget table")
    return _finding(level, said, line, "" if level == "green" else "a smaller --epsilon", value=told["epsilon"])


def _copies(result: Mapping[str, Any]) -> Iterator[Finding]:
    if copied := result["records"]["copied"]:
        found = f"equal copies of {copied} forgotten records stay in the shards, and in every run on them"
        yield _finding("red", found, "red: any", "ult forget find, which names all copies")
    if near := result["records"]["near"]:
        yield _finding(
            "amber", f"{len(near)} of the forgotten records are nearer to one that stays than any record that no run "
            f"saw is, the nearest shares {near[0]:.0%} of its runs of {WIDTH} ids with one: every run on the shards "
            "knows what both say", "amber: any", "ult forget find --near 0.8", value=near[0],
        )  # fmt: skip
    if others := result["beside"]:
        yield _finding(
            "amber", f"the run's folder holds more than the run, of which its digest says nothing: {', '.join(others)}",
            "amber: any", "remove it, or give the run away with ult release", measured=False,
        )  # fmt: skip


def _unlike(result: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what shows that forgotten records are of another kind than the others, so that nothing can be compared."""
    line = "void: an interval that leaves out 0.5"
    change = "--nonmembers of the same kind as the forgotten records"
    without, seen = result["unlike"]["blind"], result["unlike"]["retrained"]
    if without["shift"]:
        yield _finding(
            "amber", "forgotten records are unlike the others: their ids tell them apart "
            f"(AUC {without['auc']:.3f}), so the comparison is void", line, change, measured=False,
            value=without["auc"], interval=tuple(without["auc_interval"]),
        )  # fmt: skip
    low, high = seen["auc_interval"]
    if not low <= 0.5 <= high:
        yield _finding(
            "amber", "forgotten records are unlike the others: the retrained run, which saw neither, finds them "
            f"{'easier' if low > 0.5 else 'harder'} (AUC {seen['auc']:.3f}), so the comparison is void", line, change,
            measured=False, value=seen["auc"], interval=(low, high),
        )  # fmt: skip


def _wrecked(result: Mapping[str, Any]) -> Iterator[Finding]:
    line = f"red above {DEARER:g} x the retrained run's, of kept records {WRECKED:g}; amber where {DEARER:g} is reached"
    groups = (("nonmembers", "records that no run saw", DEARER), ("kept", "kept records", WRECKED))
    for name, of, most in groups:
        if (found := result["cost_of_records"].get(name)) is None:
            continue
        low, high = found["interval"]
        level = "green" if high <= DEARER else "red" if low > most else "amber"
        change = (
            "" if level == "green" else "fewer steps against records, or more on the rest: a wrecked run forgets all"
        )
        yield _finding(
            level, f"{of} cost {found['ratio']:.3f} x what they cost the retrained run", line, change,
            value=found["ratio"], interval=(low, high), n=found["records"],
        )  # fmt: skip


def _differing(result: Mapping[str, Any]) -> Iterator[Finding]:
    line = "red: an interval above 0.5; amber: one below"
    for name, found in result["difference"].items():
        low, high = found["auc_interval"]
        level = "red" if low > 0.5 else "amber" if high < 0.5 else "green"
        said = {
            "red": "knows more of forgotten records than",
            "amber": "knows less of forgotten records than of others, unlike",
            "green": "treats forgotten records as",
        }[level]
        change = {"red": "ult forget run --method exact", "amber": "fewer steps against them, or more on the rest"}
        yield _finding(
            level, f"{name}, the run {said} the retrained run (AUC {found['auc']:.3f})", line, change.get(level, ""),
            value=found["auc"], interval=(low, high), n=found["forgotten"],
        )  # fmt: skip
    test = result["smirnov"]
    few = f"Kolmogorov-Smirnov p {test['p_value']:.2g} of {test['n'][0]} and {test['n'][1]} records"
    line = f"red: p below {UNLIKELY[1]}; amber: below {UNLIKELY[0]}, or a power below {POWER}"
    can = f"a shift of {test['shift']:g} deviations would be found with probability {test['power']:.2f}"
    level = "red" if test["p_value"] < UNLIKELY[1] else "amber" if test["p_value"] < UNLIKELY[0] else "green"
    if level == "green" and test["power"] < POWER:
        yield _finding("amber", f"{few} says nothing: {can}", line, "more forgotten records", power=test["power"])
    else:
        yield _finding(level, f"{few}; {can}", line, value=test["p_value"], power=test["power"])


def _relearned(result: Mapping[str, Any]) -> Iterator[Finding]:
    line = f"red: fewer steps than {SOONER:g} x the retrained run's, or if that never comes so far"
    if not result["relearned"]:
        yield _finding("amber", "nothing was learned again", line, "--relearn-steps 32", measured=False)
    for name, found in result["relearned"].items():
        if found["level"] is None:
            why = "no --before" if result["before"] is None else "--before is not shown to know them better"
            yield _finding("amber", f"{name}: how far is half-way back is not known, {why}", line, "--before RUN",
                           measured=False)  # fmt: skip
        elif found["ratio"] is None or (found["ratio"] >= SOONER and set(found["retrained_steps"]) != {None}):
            kind = "is not reached" if found["ratio"] is None else f"takes {found['ratio']:.2f} x the steps"
            yield _finding("green", f"{name}: half-way back {kind}, beside the retrained run", line)
        else:
            ratio = found["ratio"]
            yield _finding("red", f"{name}: forgotten records come half-way back in {ratio:.2f} x the retrained run's "
                           "steps", line, "ult forget run --method exact", value=ratio)  # fmt: skip


def _pairs(result: Mapping[str, Any]) -> Iterator[Finding]:
    found = result["pairs"]
    line = f"red: an interval above {FALSE:.0%} that swapped pairs seldom give; amber: one that reaches {FOUND[1]:.0%}"
    if found is None:
        yield _finding("amber", "single records were not tested by a likelihood ratio", line, HOW_PAIRS, measured=False)
        return
    low, high = found["interval"]
    level = "red" if low > FALSE and found["significant"] else "amber" if low > FALSE or high > FOUND[1] else "green"
    yield _finding(
        level, f"{found['tpr']:.1%} of forgotten records are told from unseen ones at {FALSE:.0%} false, by "
        f"{found['pairs']} pairs (p {found['p_value']:.2g})", line, "" if level == "green" else
        "ult forget run --method exact" if level == "red" else "more pairs, or more forgotten records",
        value=found["tpr"], interval=(low, high), n=found["pairs"] * found["records"],
    )  # fmt: skip
    worst = found["worst"]
    line = f"amber: p below {UNLIKELY[0]} of swapped pairs; red: that, and by Student's t below {UNLIKELY[1]}"
    known = worst["p_value"] < UNLIKELY[0]
    level = "green" if not known else "red" if worst["by_normal"] < UNLIKELY[1] else "amber"
    yield _finding(
        level, f"the forgotten record that the run knows best lies {worst['t']:.1f} deviations above the retrained runs"
        f" (p {worst['p_value']:.2g}, by Student's t {worst['by_normal']:.2g})", line,
        "" if level == "green" else "ult forget run --method exact", value=worst["t"], n=found["records"],
    )  # fmt: skip


def _exposed(result: Mapping[str, Any]) -> Iterator[Finding]:
    if result["canaries"] is None:
        return
    found = result["canaries"]["forgot"]
    level = "red" if found["p_value"] < UNLIKELY[1] else "amber" if found["p_value"] < UNLIKELY[0] else "green"
    yield _finding(
        level, f"forgotten canaries have {found['interpolated_mean']:.2f} bits of exposure, by chance "
        f"{found['chance_mean']:.2f} (p {found['p_value']:.2g})", f"red: p below {UNLIKELY[1]}; amber: {UNLIKELY[0]}",
        "" if level == "green" else "ult forget run --method exact", value=found["interpolated_mean"],
        n=len(found["interpolated"]),
    )  # fmt: skip


def _kept(result: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether forgetting raised the risk of records that stay (Hayes et al., arXiv:2403.01218)."""
    if not result["kept"]:
        return
    ours, theirs = (result["kept"][name]["auc_interval"] for name in ("forgot", "retrained"))
    area, beside = (result["kept"][name]["auc"] for name in ("forgot", "retrained"))
    level = "red" if ours[0] > theirs[1] else "green"
    yield _finding(
        level, f"kept records are told from unseen ones with AUC {area:.3f}, in the retrained run {beside:.3f}",
        "red: above the retrained run's interval", "" if level == "green" else "ult forget run --method exact",
        value=area, interval=tuple(ours),
    )  # fmt: skip
