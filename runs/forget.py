"""Row `forget`: does a run that forgot records look like one that never saw them, and at what cost?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lib import eupg, forgotten
from lib.forgotten import (
    AGAIN,
    AGAIN_RATES,
    AGAINST,
    BASE_RATES,
    BASE_STEPS,
    CANARIES,
    EPSILON,
    GONE,
    MEMBERS,
    RATES,
    REPEATS,
    STEPS,
    Found,
    Training,
)
from lib.interval import counted, of_ratio, over_seeds
from lib.result import metric
from lib.session import Session, digest
from lib.unseen import (
    AGAINED,
    BESIDE,
    CHANCE,
    FREE,
    GRADDIFF,
    GUARANTEED,
    METHODS,
    NOTHING,
    NPO,
    PUBLIC,
    SAME,
    SIDES,
    TUNED,
    one_by_one,
    remembered,
    seen,
    worth,
)
from numpy.typing import NDArray

from ult.audit.bounds import auc
from ult.audit.forget.verdict import judge
from ult.public.manifest import manifest_of

SEEDS = tuple(range(8))  # pairs of a run that forgot and one retrained
AUDITED = (0, 1, 2)  # of which the whole audit is made, of `THRICE`; of the others that of the first seed
LEARNED, MOST, KEPT, ALTERNATIVES = 8, 100, 60, 150
DEARER = (0.2, 0.4)  # shares of retraining that `guaranteed` is allowed, to see what bits come to
EXACT = "exact, members"
THRICE = (NOTHING, GUARANTEED, BESIDE)
SYSTEMS = (*METHODS, TUNED, SAME, FREE, AGAINED)
ASKED = (
    "Does a run that was made to forget records look, record by record, like one retrained without them; does what it "
    "forgot come back; and what does forgetting cost, in steps and in bits?"
)
SETTING = """\
{train} sections of medical abstracts of 60 to 260 characters and {canaries} canaries {repeats} times each; {gone} \
sections and all canaries are to be forgotten, {test} others of the same pool were never seen. The table (1,024 ids) \
and a run that all others begin with (1,200 steps of `tiny`) know sentences of public abstracts alone. `nothing done`: \
{steps} more steps on all records. `retrained`: the same without the forgotten ones. `npo`, `graddiff`: `ult forget \
run` on `nothing done`, a tenth of its steps, learning rate chosen on validation records. `fine-tuned on the rest`: \
`nothing done`, {few} steps more on the rest. `guaranteed` (EUPG): a base with epsilon {epsilon:g}, {base} steps, is \
fine-tuned for {few} steps on all, and to forget again on the rest. `retrained by the recipe of guaranteed`: another \
seed's base with epsilon that never saw the records, fine-tuned for {few} steps on the rest: what the promise of \
`guaranteed` compares it with. `public run, fine-tuned on the rest`: no private base at all. `exact, members`: \
{members} members on disjoint records, a quarter of the steps each; one record is forgotten. AUC beside retrained: how \
often a forgotten record gains more over the retrained run of its seed than one never seen, 0.5 if nothing is known. \
Single records: likelihood ratios by the other 7 of 8 pairs; the goal is what swapped runs of pairs give. `ult audit \
forget` of 3 seeds, of `npo`, `graddiff` and chance of one, says what learning again ({learned} steps) and rounding \
bring back. EUPG's tables: {eupg}"""


def main() -> None:
    """Train, forget by each method, audit, and run EUPG's tables again."""
    session = Session.begin("forget")
    seeds, audited = session.sized(SEEDS, SEEDS), session.sized(AUDITED, (0,))
    how = chosen(session)
    reads = {name: [read(session, run_of(session, name, seed, how)) for seed in seeds] for name in SYSTEMS}
    single = {name: one_by_one(reads, name) for name in SIDES}
    audits = {name: [audit(session, name, seed, how) for seed in (audited if name in THRICE else audited[:1])]
              for name in (*METHODS, BESIDE, CHANCE)}  # fmt: skip
    exact = [exactly(session, seed, how) for seed in audited[:1]]
    spent = {
        f"{GUARANTEED}, {share:.0%} of the steps": [read(session, dearer(session, s, how, share)) for s in audited]
        for share in DEARER
    }
    spent[PUBLIC] = [read(session, forgotten.public_run(session))]
    metrics = [
        *seen(reads, single, seeds),
        *learned_again(audits, audited),
        *worth(reads | spent, seeds),
        *remembered(reads, audits, seeds, audited),
    ]
    metrics += costs(session, exact, audited[:1], how)
    metrics += exactness(session, exact, audited[:1], how)
    judged = {name: [verdict(one, single.get(name)) for one in each] for name, each in audits.items()}
    metrics += verdicts(judged, audited)
    tables = eupg.kept(session) if session.kept else eupg.measured(session)
    metrics += tables.metrics
    first = forgotten.public_run(session)
    parts = forgotten.texts(session)
    session.write(
        "Forgetting",
        metrics,
        asked=ASKED,
        setting=SETTING.format(
            train=len(parts["train"]), canaries=CANARIES, repeats=REPEATS, gone=GONE, test=len(parts["test"]),
            steps=how.all.steps, epsilon=EPSILON, base=BASE_STEPS, few=how.again.steps, members=MEMBERS,
            learned=LEARNED, eupg=tables.setting,
        ),
        notes=[*notes(how, audits, judged, single), *tables.notes],
        chart=["AUC beside retrained", "bits per byte, ratio to retrained", "steps x parameters, share of retraining"],
        model={"name": "tiny", **{name: first[name] for name in ("parameters", "context", "batch_size")}},
    )  # fmt: skip


# ---- runs


@dataclass(frozen=True)
class Chosen:
    """What validation chose, by seed 0."""

    all: Training  # of all records, or of those that stay
    base: float  # learning rate of the base
    again: Training  # of the base, fine-tuned
    against: dict[str, float]  # method -> learning rate


def chosen(session: Session) -> Chosen:
    """Choose every setting on validation records."""
    each = [Training(steps, rate) for steps in session.sized(STEPS, (10,)) for rate in RATES]
    best = min(each, key=lambda how: forgotten.valid_bits(session, forgotten.retrained(session, 0, how)))
    few = max(1, round(AGAIN * best.steps))
    rate = min(BASE_RATES, key=lambda one: forgotten.valid_bits(session, forgotten.base(session, 0, one)))
    base = forgotten.base(session, 0, rate)
    again = [Training(few, rate) for rate in AGAIN_RATES]
    tuned = min(again, key=lambda how: forgotten.valid_bits(session, forgotten.tuned(session, "tuned", base, 0, how,
                                                                                    "rest")))  # fmt: skip
    return Chosen(best, rate, tuned, {method: chosen_rate(session, method, best) for method in AGAINST})


def chosen_rate(session: Session, method: str, how: Training) -> float:
    """Return the learning rate that forgets best of those that cost under 1 % on validation.

    Forgotten records are compared with validation records; if all rates cost more, it is the one that costs least.
    """
    before = forgotten.valid_bits(session, forgotten.full(session, 0, how))
    again = read(session, forgotten.retrained(session, 0, how))
    ranks = []
    for share in AGAINST[method]:
        run = against(session, method, 0, how, share * how.rate)
        dearer = forgotten.valid_bits(session, run) / before
        now = read(session, run)
        area = auc(now["forgotten"] - again["forgotten"], now["valid"] - again["valid"])
        ranks.append((dearer > 1.01, dearer if dearer > 1.01 else abs(area - 0.5), share * how.rate))
    return min(ranks)[2]


def against(session: Session, method: str, seed: int, how: Training, rate: float) -> Found:
    """Train the run on all records against those to forget."""
    options = {"steps": max(1, round(AGAIN * how.steps)), "learning_rate": rate}
    start = forgotten.full(session, seed, how)
    return forgotten.forgotten(session, f"{method}-{seed}-{rate:g}", start, "all", method=method, **options)


def run_of(session: Session, name: str, seed: int, how: Chosen) -> Found:
    """Return the run of a system and a seed."""
    if name in (AGAINED, CHANCE):
        return forgotten.retrained(session, seed + (name == CHANCE) * len(AUDITED), how.all)
    if name == NOTHING:
        return forgotten.full(session, seed, how.all)
    if name == TUNED:
        return forgotten.tuned(session, "after", forgotten.full(session, seed, how.all), seed, how.again, "rest")
    if name == FREE:
        return forgotten.tuned(session, "free", forgotten.public_run(session), seed, how.again, "rest")
    if name == SAME:
        other = seed + len(SEEDS)
        base = forgotten.base(session, other, how.base, "rest")
        return forgotten.tuned(session, "same", base, other, how.again, "rest")
    if name == GUARANTEED:
        base = forgotten.base(session, seed, how.base)
        tuned = forgotten.tuned(session, "tuned", base, seed, how.again)
        place = Path(base["run"])
        return forgotten.forgotten(session, f"guaranteed-{seed}", tuned, "all", method=name, base=place)
    return against(session, name, seed, how.all, how.against[name])


def dearer(session: Session, seed: int, how: Chosen, share: float) -> Found:
    """Fine-tune the base on the rest for a larger share of the steps of retraining."""
    base, steps = forgotten.base(session, seed, how.base), max(1, round(share * how.all.steps))
    return forgotten.tuned(session, "dearer", base, seed, Training(steps, how.again.rate), "rest")


def exactly(session: Session, seed: int, how: Chosen) -> dict[str, Any]:
    """Forget one record of a run with members: what was trained again, and whether it is what a retraining gives."""
    whole = forgotten.members(session, seed, how.all, without=False)
    place = Path(forgotten.public_run(session)["run"])
    forgot = forgotten.forgotten(session, f"exact-{seed}", whole, "one", method="exact", base=place)
    again = forgotten.members(session, seed, how.all, without=True)
    files = [
        [_digest(Path(one["run"]) / "members" / str(k) / "model.safetensors") for k in range(MEMBERS)]
        for one in (whole, forgot, again)
    ]
    kept = [a == b for a, b in zip(files[0], files[1], strict=True)]
    same = [a == b for a, b in zip(files[1], files[2], strict=True)]
    return {"told": forgot["told"], "kept": sum(kept), "same": sum(same), "run": forgot}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- what they know


def read(session: Session, run: Found) -> dict[str, NDArray[np.float64]]:
    """Return the mean log-probability of each record of each group, and the totals of those never seen."""

    def make(_: Path) -> Found:
        from ult.audit.model.predicted import predict_ids
        from ult.public.run import Run
        from ult.trainer.models.together import load_predictor

        opened, groups = Run.open(run["run"]), records(session)
        model = load_predictor(opened)
        of = {name: predict_ids(opened, ids, batch_size=32, model=model, moments=False) for name, ids in groups.items()}
        found = {name: one.averages.tolist() for name, one in of.items()}
        return found | {"total": of["test"].totals.tolist()}

    name = f"{Path(run['folder']).parent.name}-{Path(run['folder']).name}"
    told = {"run": run["origin"], "test": digest(manifest_of(forgotten.encoded(session) / "test"))}
    found = session.once(f"read/{name}", told, make)
    return {key: np.array(found[key]) for key in (*records(session), "total")}


def records(session: Session) -> dict[str, list[Any]]:
    """Return the ids of the records of each group, canaries left out."""
    table, parts = forgotten.table_of(session), forgotten.texts(session)
    few = session.sized(GONE, 12)
    groups = {"forgotten": parts["train"][:few], "kept": parts["train"][few:][:KEPT], "valid": parts["valid"],
              "test": parts["test"]}  # fmt: skip
    return {name: table.encode_batch(texts) for name, texts in groups.items()}


def audit(session: Session, name: str, seed: int, how: Chosen) -> dict[str, Any]:
    """Return what `ult audit forget` says of a run, without pairs of other seeds."""
    system, beside = SIDES.get(name, (name, AGAINED))
    run, again = run_of(session, system, seed, how), run_of(session, beside, seed, how)
    start = forgotten.full(session, seed, how.all)
    if system == GUARANTEED:
        start = forgotten.tuned(session, "tuned", forgotten.base(session, seed, how.base), seed, how.again)

    def make(_: Path) -> Found:
        from ult.audit.forget.audit import audit_forget
        from ult.public.gone import Gone

        place = forgotten.encoded(session)
        rows = [Gone.read(forgotten.gone(session, "all"))]
        options = {"steps": session.sized(LEARNED, 2), "most": MOST, "alternatives": session.sized(ALTERNATIVES, 20)}
        return audit_forget(run["run"], place / "train", rows, place / "test", again["run"], before=start["run"],
                            table=forgotten.table_of(session), batch_size=32, orders=1, **options)[0]  # fmt: skip

    asked = {"run": run["origin"], "retrained": again["origin"], "before": start["origin"], "steps": LEARNED}
    asked["test"] = digest(manifest_of(forgotten.encoded(session) / "test"))
    return session.once(f"audits/{name.replace(', ', '-').replace(' ', '-')}-{seed}", asked, make)


# ---- metrics


def learned_again(audits: dict[str, list[Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return what rounding and learning again bring back."""
    found = []
    for name, each in audits.items():
        of = seeds[: len(each)]
        for state in [one for one in each[0]["difference"] if one != "as it is"]:
            told = [one["difference"][state] for one in each]
            n = told[0]["forgotten"] + told[0]["nonmembers"]
            found.append(metric(f"AUC beside retrained, {state}", name, over_seeds([one["auc"] for one in told]), n=n,
                                seeds=of, higher_is_better=False))  # fmt: skip
        for way in each[0]["relearned"]:
            back = [_regained(one["relearned"][way]) for one in each]
            if all(value is not None for value in back):
                spread = over_seeds([float(value or 0) for value in back])
                found.append(metric(f"share of what was known, regained more than by retrained, {way}", name, spread,
                                    n=each[0]["records"]["forgotten"], seeds=of,
                                    higher_is_better=False))  # fmt: skip
    return found


def _regained(told: dict[str, Any]) -> float | None:
    """Return how far the cost fell towards that of the run before, less how far the retrained run's did."""
    if told["level"] is None:
        return None
    start = told["retrained_cost"][0]
    known = 2 * told["level"] - start
    return float((told["retrained_cost"][-1] - told["cost"][-1]) / (start - known))


def costs(session: Session, exact: list[dict[str, Any]], audited: Sequence[int], how: Chosen) -> list[dict[str, Any]]:
    """Return steps x parameters of forgetting, beside those of retraining."""
    shares = dict.fromkeys((NPO, GRADDIFF), max(1, round(AGAIN * how.all.steps)) / how.all.steps)
    shares[GUARANTEED] = run_of(session, GUARANTEED, 0, how)["told"]["steps"] / how.all.steps
    name = "steps x parameters, share of retraining"
    found = [
        metric(name, system, counted(share), n=1, seeds=audited, higher_is_better=False,
               goal="at most 0.1" if system == GUARANTEED else "")
        for system, share in shares.items()
    ]  # fmt: skip
    spent = [one["told"]["steps"] / one["told"]["steps_before"] for one in exact]
    return [*found, metric(name, EXACT, counted(float(np.mean(spent))), n=len(exact), seeds=audited,
                           higher_is_better=False, goal=f"at most {1 / MEMBERS + 0.05:g}")]  # fmt: skip


def exactness(
    session: Session, exact: list[dict[str, Any]], audited: Sequence[int], how: Chosen
) -> list[dict[str, Any]]:
    """Return how many members stayed, how many are a retraining's, and what members cost in bits."""
    kept, same = (float(np.mean([one[name] for one in exact])) for name in ("kept", "same"))
    n = MEMBERS * len(exact)
    found = [
        metric("members byte for byte as before, share", EXACT, counted(kept / MEMBERS), n=n, seeds=audited,
               higher_is_better=True, goal=f"at least {1 - 1 / MEMBERS:g}"),
        metric("members byte for byte as retrained, share", EXACT, counted(same / MEMBERS), n=n, seeds=audited,
               higher_is_better=True, goal="at least 1"),
    ]  # fmt: skip
    ours = [forgotten.valid_bits(session, one["run"], "test") for one in exact]
    theirs = [forgotten.valid_bits(session, forgotten.full(session, seed, how.all), "test") for seed in audited]
    ratio = of_ratio(ours, theirs)
    n = len(records(session)["test"])
    return [*found, metric("bits per byte, ratio to one run of as many steps", EXACT, ratio, n=n, seeds=audited,
                           unit="x", higher_is_better=False, goal="at most 1.03")]  # fmt: skip


def verdict(found: dict[str, Any], pairs: dict[str, Any] | None) -> str:
    """Return the verdict of an audit, with the test of single records that all pairs give."""
    return judge({**found, "pairs": pairs}).verdict


def verdicts(judged: dict[str, list[str]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return how many audits came out red."""
    return [
        metric("audits that come out red, share", name, counted(each.count("red") / len(each)), n=len(each),
               seeds=seeds[: len(each)], higher_is_better=False)
        for name, each in judged.items()
    ]  # fmt: skip


def notes(how: Chosen, audits: dict[str, list[Any]], judged: dict[str, list[str]], single: dict[str, Any]) -> list[str]:
    """Return what was chosen, and how the audits ended."""
    told = "; ".join(f"`{name}` {', '.join(each)}" for name, each in judged.items())
    why = {name: sorted({one["found"] for one in audits[name][0]["findings"] if one["level"] != "green"})
           for name in (GUARANTEED, BESIDE)}  # fmt: skip
    rates = ", ".join(f"{method} {rate:g}" for method, rate in how.against.items())
    tested = audits[NOTHING][0]["smirnov"]
    low, high = single[BESIDE]["chance"]
    return [
        f"Chosen on validation, seed 0: {how.all.steps} steps at {how.all.rate:g}; the base at {how.base:g}, then "
        f"{how.again.steps} at {how.again.rate:g}; {rates}.",
        f"Verdicts of `ult audit forget` by seed, with all pairs: {told}.",
        *(f"Against `{name}`, seed 0, before pairs: {'; '.join(each) or 'nothing'}." for name, each in why.items()),
        f"Kolmogorov-Smirnov with {tested['n'][0]} and {tested['n'][1]} records finds a shift of {tested['shift']:g} "
        f"deviations with probability {tested['power']:.2f}.",
        "The promise of `guaranteed` compares it with the same recipe without the records, base included. Beside a run "
        f"retrained plainly, `{SAME}`, which never saw them, is told as well: what shows there is the other training. "
        f"Of single records beside its recipe, swapped runs of pairs give {low:.3f} to {high:.3f}.",
        "Public text was made to fit after a first row had missed the bits (1.038 x): there 200 whole abstracts and "
        "300 steps, 400 records, 40 forgotten, the base's own training not tuned.",
        "`npo` and `graddiff` had the steps of `guaranteed`; rates that forget more cost over 1 % on validation.",
        "`guaranteed` promises epsilon to a single record; all forgotten ones together have no such promise.",
    ]


if __name__ == "__main__":
    main()
