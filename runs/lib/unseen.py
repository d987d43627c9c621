"""Whether runs that forgot can be told from runs that never saw: retrained plainly, or by the recipe that forgot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.interval import CLOPPER, counted, of_ratio, over_both, over_seeds
from lib.result import metric
from ult.audit.bounds import auc
from ult.audit.forget.pairs import tell_apart

NOTHING, NPO, GRADDIFF, TUNED = "nothing done", "npo", "graddiff", "fine-tuned on the rest"
GUARANTEED, AGAINED, SAME = "guaranteed", "retrained", "retrained by the recipe of guaranteed"
FREE, PUBLIC = "public run, fine-tuned on the rest", "public run"
CHANCE, SAME_CHANCE = f"{AGAINED}, another seed", f"{SAME}, another seed"
BESIDE = f"{GUARANTEED}, beside its recipe"  # the comparison that its promise is about
FLATTERED = f"{SAME}, beside {AGAINED}"  # what another training alone shows
METHODS = (NOTHING, NPO, GRADDIFF, GUARANTEED)
SIDES = {name: (name, AGAINED) for name in (NOTHING, NPO, GRADDIFF, TUNED, GUARANTEED)}
SIDES |= {BESIDE: (GUARANTEED, SAME), FLATTERED: (SAME, AGAINED)}
Reads = Mapping[str, list[dict[str, NDArray[np.float64]]]]  # system -> of each seed


def one_by_one(reads: Reads, name: str) -> dict[str, Any]:
    """Return the likelihood-ratio test of single records of two systems, by all pairs."""
    sides = ([one["forgotten"] - one["test"].mean() for one in reads[system]] for system in SIDES[name])
    ours, theirs = map(np.array, sides)
    return tell_apart(ours, theirs)


def seen(reads: Reads, single: Mapping[str, dict[str, Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the AUC beside retrained of each method, by chance too, and the test of single records."""
    found: list[dict[str, Any]] = []
    sides = {name: (reads[one], reads[other]) for name, (one, other) in SIDES.items()}
    for name, system in ((CHANCE, AGAINED), (SAME_CHANCE, SAME)):
        sides[name] = (reads[system], [*reads[system][1:], reads[system][0]])
    n = len(reads[AGAINED][0]["forgotten"]) + len(reads[AGAINED][0]["test"])
    for name, (ours, theirs) in sides.items():
        areas = [auc(a["forgotten"] - b["forgotten"], a["test"] - b["test"]) for a, b in zip(ours, theirs, strict=True)]
        off = over_seeds([abs(area - 0.5) for area in areas])
        chance = SAME_CHANCE if name == BESIDE else CHANCE
        beside = {"n": n, "seeds": seeds, "higher_is_better": False, "baseline": "" if "seed" in name else chance}
        found.append(metric("AUC beside retrained", name, over_seeds(areas), **beside))
        found.append(metric("AUC beside retrained, distance from 0.5", name, off, **beside,
                            goal="at most 0.05" if name == BESIDE else ""))  # fmt: skip
    for name, told in single.items():
        spread = {"value": told["tpr"], "low": told["interval"][0], "high": told["interval"][1], "interval": CLOPPER}
        by_chance = told["chance"][1]
        found.append(metric("single records told from unseen at 1 % false", name, spread, seeds=seeds,
                            n=told["pairs"] * told["records"], higher_is_better=False,
                            goal=f"at most {by_chance:.3f}" if name == BESIDE else ""))  # fmt: skip
        found.append(metric("single records, p of as many after swapping runs of pairs", name, counted(told["p_value"]),
                            n=told["swaps"], seeds=seeds, higher_is_better=True))  # fmt: skip
        found.append(metric("the record known best, p after swapping runs of pairs", name,
                            counted(told["worst"]["p_value"]), n=told["swaps"], seeds=seeds,
                            higher_is_better=True, goal="at least 0.01" if name == BESIDE else ""))  # fmt: skip
    return found


def worth(reads: Reads, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return what records never seen cost, beside retrained."""
    spent = {name: [-float(one["total"].sum()) for one in each] for name, each in reads.items()}
    n, found = len(reads[AGAINED][0]["total"]), []
    common: dict[str, Any] = {"n": n, "unit": "x", "higher_is_better": False}
    for name in spent.keys() - {AGAINED}:
        many = min(len(spent[name]), len(seeds))
        ratio = of_ratio(spent[name], spent[AGAINED][:many])
        found.append(metric("bits per byte, ratio to retrained", name, ratio, seeds=seeds[:many],
                            goal="at most 1.01" if name == GUARANTEED else "", **common))  # fmt: skip
    beside = of_ratio(spent[GUARANTEED], spent[SAME])
    found.sort(key=lambda one: list(reads).index(one["system"]))
    return [*found, metric("bits per byte, ratio to the same recipe", GUARANTEED, beside, seeds=seeds,
                           goal="at most 1.01", **common)]  # fmt: skip


def remembered(
    reads: Reads, audits: dict[str, list[Any]], seeds: Sequence[int], audited: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the risk of records that stay, and the exposure of forgotten canaries."""
    found = []
    for name in (*METHODS, AGAINED):
        areas = [auc(one["kept"], one["test"]) for one in reads[name]]
        found.append(metric("kept records told from unseen, AUC of the loss", name, over_seeds(areas),
                            n=len(reads[name][0]["kept"]) + len(reads[name][0]["test"]), seeds=seeds,
                            higher_is_better=False))  # fmt: skip
    sides = {name: [one["canaries"]["forgot"] for one in each] for name, each in audits.items()}
    sides[AGAINED] = [one["canaries"]["retrained"] for one in audits[NOTHING]]
    for name, each in sides.items():
        exposures = np.array([one["interpolated"] for one in each])
        found.append(metric("exposure of forgotten canaries, mean", name, over_both(exposures), n=exposures.shape[1],
                            seeds=audited[: len(each)], unit="bits", higher_is_better=False))  # fmt: skip
    return found
