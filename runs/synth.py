"""Row `synth`: are synthetic records with a guarantee as good as a direct private classifier, and do they copy?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib import subjects
from lib.interval import CLOPPER, counted, over_records, over_seeds, unmeasured
from lib.making import (
    HELD_OUT,
    ITERATIONS,
    LABEL,
    MADE,
    MAKERS,
    MST,
    NOISY,
    OURS,
    PEERS,
    REAL,
    RUN,
    TABLES,
    TOLD,
    TRAIN,
    delta_of,
    parts,
    read,
)
from lib.outcomes import auroc
from lib.private_linear import features, fitted
from lib.result import metric
from lib.session import Session
from lib.subjects import texts
from lib.told_apart import CANARIES, RECORDS, SYNTHESES, canaries, shadows
from lib.valid import CODECS, MANY, invalid

DIRECT, BOOSTING, LINEAR = "direct DP classifier", "boosting", "logistic regression"
EPSILONS, SEEDS = (1.0, 3.0, 8.0), (0, 1, 2)
TEXTS = 8.0  # epsilon
ASKED = "Are synthetic records with a guarantee as good as a direct private classifier, and do they copy real records?"
SETTING = """\
flchain (death, from 5 columns) and diabetes130 (being readmitted, from 14 columns of a person's first stay): \
{train:,} people to make records from, others held out. `ult synth`, as it is (marginals; kinds declared, \
`--condition` on the outcome), learns categories, places of numbers and the proportion of the outcome at its own cost; \
one account of epsilon, delta {train:,}^-1.1. `ult synth, cells declared` is told what the documentation of the \
data says: in flchain sex, and ages 50 to 110; in diabetes130 the cells of race, gender, age, insulin, diabetesMed and \
change, and that time_in_hospital is 1 to 14. `MST (dpmm)` is dpmm 0.1.9 in an environment of its own, {iterations} \
iterations (its default, 5,000, takes minutes), a tenth of epsilon for its bins, and has the bounds and categories of \
the whole table as public, as have `noisy marginals` (each column by itself, given the outcome, Laplace noise) and the \
`direct DP classifier`, logistic regression by clipped noisy gradients, which writes no records. {made:,} records are \
written by each maker. AUROC on held-out people of gradient boosting, and of logistic regression on the features of \
the direct classifier, both trained on them; then what `ult audit synth` finds. ult synth, noisy marginals and the \
direct classifier with 3 seeds (means; intervals over people), the others with one; audits are of the first seed. \
Shares of epsilon and bins were set on adult and bank, tables that are not here. Shadow syntheses: {records} people of \
flchain, {shadows} syntheses of half of them each. Canaries: {canaries} numbers of nine digits in the column kappa. \
Texts: subjects of mails of enron1, {mails:,} to make {written:,} others from at epsilon {texts:g}, by a run of \
{steps} steps of {batch}. Validity: {many:,} short records by each codec from a run of 2 steps, read again."""

NOTES = [
    "AIM is not measured: on 5,000 rows of adult it had not ended after two minutes and a half of CPU.",
    "ult synth learns at its own cost which cells are common, unless they are declared; those too rare to be told are "
    "never written, which counts against it in distances of columns. Its peers are told all cells and bounds.",
    "A run of 2,000 people of flchain, the default before marginals, gave boosting 0.708, 0.780 and 0.781 at epsilon "
    "1, 3 and 8, and pairs of columns off by 0.36, 0.27 and 0.26.",
    "Logistic regression is compared with the direct classifier, which is one, and boosting with MST.",
    "A run of 2 steps has learnt next to nothing: what makes its records valid is the grammar.",
    "Shadow syntheses and canaries are of marginals; a run of texts is not attacked here (rows attacks, memorisation).",
]
NO_PEERS = "MST was not measured: DPMM names no python with dpmm."
KEPT = "The figures of MST, of texts and of validity are those of an earlier run of this row: their code is the same."


def main() -> None:
    """Make records by every maker at every epsilon, audit them, and compare."""
    session = Session.begin("synth")
    epsilons, seeds = session.sized(EPSILONS, EPSILONS[-1:]), session.sized(SEEDS, SEEDS[:1])
    metrics: list[dict[str, Any]] = []
    for name in TABLES:
        metrics += _real(session, name)
        for epsilon in epsilons:
            metrics += _table(session, name, epsilon, seeds)
    metrics += _apart(session)
    if session.kept:  # what runs wrote
        before = session.earlier()
        parameters = before["model"]["parameters"]
        metrics += [one for one in before["metrics"] if one["name"].startswith(("subjects", *CODECS))]
    else:
        found, parameters = _texts(session)
        metrics += [*found, *_valid(session)]
    session.write(
        "Synthetic records",
        metrics,
        asked=ASKED,
        setting=SETTING.format(
            train=session.sized(TRAIN, 300), made=session.sized(MADE, 200), iterations=ITERATIONS, canaries=CANARIES,
            records=RECORDS, shadows=SYNTHESES, mails=subjects.TRAIN, written=subjects.MADE, texts=TEXTS,
            steps=subjects.STEPS, batch=subjects.BATCH, many=MANY,
        ),
        notes=[*NOTES, *([KEPT] if session.kept else [] if PEERS else [NO_PEERS])],
        chart=[f"{name}, epsilon {epsilon:g}: AUROC, {BOOSTING}" for name in TABLES for epsilon in epsilons],
        model={"name": session.model, "parameters": parameters},
    )  # fmt: skip


# ---- tables


def _real(session: Session, name: str) -> list[dict[str, Any]]:
    """Return the figures of the real records in place of synthetic ones."""
    one = audited(session, name, REAL, 1.0, 0)
    return _areas(session, name, REAL, 1.0, (0,))[0] + _figures(name, REAL, one, "no epsilon")


def _table(session: Session, name: str, epsilon: float, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the figures of all makers at an epsilon."""
    metrics, scores = [], {}
    for maker in (OURS, TOLD, *([MST] if PEERS and not session.kept else []), NOISY):
        found, scores[maker] = _areas(session, name, maker, epsilon, seeds if maker != MST else (0,))
        metrics += found + _figures(name, maker, audited(session, name, maker, epsilon, 0), f"epsilon {epsilon:g}")
    direct, truth = private(session, name, epsilon, seeds)
    where, about = f"{name}, epsilon {epsilon:g}", {"n": len(truth), "higher_is_better": True}
    metrics.append(metric(f"{where}: AUROC, {LINEAR}", DIRECT, _area(direct, truth), seeds=list(seeds), **about))
    others = [(DIRECT, LINEAR, direct, -0.02)]
    others += [(MST, BOOSTING, scores[MST][BOOSTING], -0.03)] if MST in scores else []
    for us, (other, model, theirs, goal) in ((us, one) for us in (OURS, TOLD) for one in others):
        ours = scores[us][model]

        def apart(at: Any, ours: Any = ours, theirs: Any = theirs) -> float:
            return _mean(ours, truth, at) - _mean(theirs, truth, at)

        able = (_area(theirs, truth)["low"] or 0) > 0.5
        words, said = f"{where}: AUROC, {model}, less that of {other}", f"at least {goal:g}" if able else ""
        less = over_records(apart, len(truth))
        metrics.append(metric(words, us, less, baseline=other, goal=said, seeds=list(seeds), **about))
    if session.kept:
        metrics += _beside_kept(session, where, {us: _area(scores[us][BOOSTING], truth) for us in (OURS, TOLD)})
    return metrics


def _beside_kept(session: Session, where: str, ours: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of MST that the result has, and how far from them ours are, without an interval."""
    before = [
        one for one in session.earlier()["metrics"] if one["system"] == MST and one["name"].startswith(where + ":")
    ]
    (theirs,) = (one for one in before if one["name"] == f"{where}: AUROC, {BOOSTING}")
    about = {"n": theirs["n"], "seeds": theirs["seeds"], "higher_is_better": True, "baseline": MST}
    words = f"{where}: AUROC, {BOOSTING}, less that of {MST}"
    return before + [
        metric(words, us, unmeasured(one["value"] - theirs["value"]), goal="at least -0.03", **about)
        for us, one in ours.items()
    ]


def _areas(
    session: Session, name: str, maker: str, epsilon: float, seeds: Sequence[int]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the AUROCs of models that are trained on what a maker wrote, and their scores (seeds, n)."""
    each = [scored(session, name, Path(made(session, name, maker, epsilon, seed)["folder"])) for seed in seeds]
    truth = np.array(each[0]["truth"])
    scores = {model: np.array([one[model] for one in each]) for model in (BOOSTING, LINEAR)}
    at = f"epsilon {epsilon:g}" if maker != REAL else "no epsilon"
    about = {"n": len(truth), "seeds": list(seeds), "higher_is_better": True}
    found = [metric(f"{name}, {at}: AUROC, {k}", maker, _area(one, truth), **about) for k, one in scores.items()]
    if len(seeds) > 1:
        spread = float(np.std([auroc(truth, one) for one in scores[BOOSTING]], ddof=1))
        words = f"{name}, {at}: AUROC, {BOOSTING}, deviation between seeds"
        found.append(metric(words, maker, unmeasured(spread), **{**about, "higher_is_better": False}))
    return found, scores


def _mean(scores: Any, truth: Any, at: Any) -> float:
    return float(np.mean([auroc(truth[at], one[at]) for one in scores]))


def _area(scores: Any, truth: Any) -> dict[str, Any]:
    """Return the mean AUROC of seeds, with its interval over people."""
    return over_records(lambda at: _mean(scores, truth, at), len(truth))


def _figures(name: str, maker: str, one: dict[str, Any], at: str) -> list[dict[str, Any]]:
    """Return the figures of an audit."""
    where, best, about = f"{name}, {at}", one["best"], {"n": one["of"], "seeds": [0], "higher_is_better": False}
    rate = {"value": best["tpr"], "low": best["interval"][0], "high": best["interval"][1], "interval": CLOPPER}
    members = {"n": best["n"], "seeds": [0], "higher_is_better": False}
    ours, real = maker in (OURS, TOLD), maker == REAL
    red = counted(len([topic for topic in one["red"] if topic != "guarantee"]))
    return [
        metric(f"{where}: columns, distance", maker, counted(one["one_way"]), **about),
        metric(f"{where}: pairs of columns, distance", maker, counted(one["two_way"]), **about),
        metric(f"{where}: invalid records", maker, counted(one["invalid"]), goal="at most 0" * ours, **about),
        metric(f"{where}: members found at 1 % false positives", maker, rate, **members),
        metric(f"{where}: membership, AUC", maker, best["auc"], **members),
        metric(f"{where}: epsilon proven", maker, counted(one["proven"]),
               goal="" if real else f"at most {one['epsilon']:g}", **members),
        metric(f"{where}: kinds of copies found", maker, red, goal="" if real else "at most 0", **about),
    ]  # fmt: skip


def made(session: Session, name: str, maker: str, epsilon: float, seed: int) -> dict[str, Any]:
    """Return what is said of the records of a maker, which are made once."""
    short = maker.split(" (")[0].replace(" ", "-").lower()
    settings = {"sizes": [TRAIN, HELD_OUT, MADE, 32, ITERATIONS], "columns": TABLES[name], "quick": session.quick}

    def make(folder: Path) -> dict[str, Any]:
        return MAKERS[maker](session, name, epsilon, folder / "made.csv", seed)

    return session.once(f"made/{name}-{short}-{epsilon:g}-{seed}", settings, make)


def audited(session: Session, name: str, maker: str, epsilon: float, seed: int) -> dict[str, Any]:
    """Audit records, once, and return the figures."""
    train, held, _, _ = parts(session, name)
    found = made(session, name, maker, epsilon, seed)

    def audit(_: Path) -> dict[str, Any]:
        from ult.audit import audit_synth

        claim = {} if maker in (OURS, TOLD) else {"epsilon": epsilon, "delta": found["delta"]}
        path = Path(found["folder"]) / "made.csv"
        told = audit_synth(path, train, held_out=held, label=LABEL, progress=lambda *_: None, **claim)
        return _told(told.document, told.curves)

    name = Path(found["folder"]).name
    return {**session.once(f"audits/{name}", {}, audit), "epsilon": epsilon}


def _parameters(model: str, vocabulary: int) -> int:
    from ult.public.vocabulary import Vocabulary
    from ult.trainer.models.presets import from_preset

    return int(from_preset(model, Vocabulary(vocabulary)).num_parameters())


def _told(told: Any, curves: Any) -> dict[str, Any]:
    """Return of an audit what the row shows."""
    from ult.audit.release.proven import proven

    attacks, claim = told["privacy"]["membership"]["attacks"], told["claim"]
    name = max(attacks, key=lambda one: float(attacks[one]["auc"]))
    best, (members, others) = attacks[name], curves[name]
    used, scores = np.repeat([True, False], [len(members), len(others)]), np.concatenate([members, others])
    (rate,) = (one for one in best["tpr"] if one["fpr"] == 0.01)
    area = over_records(lambda at: auroc(used[at], scores[at]), len(used))
    return {
        "red": sorted({one["topic"] for one in told["findings"] if one["level"] == "red"}),
        "one_way": told["fidelity"]["one_way"]["synthetic"],
        "two_way": told["fidelity"]["two_way"]["synthetic"],
        "invalid": told["fidelity"]["invalid"],
        "of": told["fidelity"]["of"],
        "proven": max(proven(one, claim["delta"] * (1 - 1e-9)) for one in attacks.values()),
        "best": {"auc": area, "tpr": rate["tpr"], "interval": rate["interval"], "n": len(members)},
    }  # fmt: skip


def scored(session: Session, name: str, folder: Path) -> dict[str, Any]:
    """Return the scores of held-out people by models that are trained on the records of a folder."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    _, held, _, domain = parts(session, name)

    def score(_: Path) -> dict[str, Any]:
        (inputs, label), (test, right) = (features(read(one), domain, LABEL) for one in (folder / "made.csv", held))
        truth = right > 0
        none = {BOOSTING: [0.0] * len(truth), LINEAR: [0.0] * len(truth)}
        if len(np.unique(label)) < 2:
            return {"truth": truth.tolist(), **none}
        trees = HistGradientBoostingClassifier(early_stopping=False, max_iter=60, random_state=0)
        models = {BOOSTING: trees, LINEAR: LogisticRegression(max_iter=500)}
        scores = {k: one.fit(inputs, label).decision_function(test).tolist() for k, one in models.items()}
        return {"truth": truth.tolist(), **scores}

    return session.once(f"scores/{folder.name}", {}, score)


def private(session: Session, name: str, epsilon: float, seeds: Sequence[int]) -> tuple[Any, Any]:
    """Return the scores (seeds, n) of the direct private classifier, and the outcomes."""
    train, held, _, domain = parts(session, name)
    (inputs, truth), (test, right) = (features(read(one), domain, LABEL) for one in (train, held))
    delta = delta_of(len(truth))
    scores = [test @ fitted(inputs, truth, epsilon=epsilon, delta=delta, seed=seed) for seed in seeds]
    return np.array(scores), right > 0


# ---- beside tables


def _apart(session: Session) -> list[dict[str, Any]]:
    """Return what shadow syntheses and canaries of flchain tell."""
    found = []
    for maker, epsilon in ((OURS, 1.0), (OURS, 8.0), (REAL, None)):
        at = "copies" if epsilon is None else f"epsilon {epsilon:g}"
        one = session.once(
            f"shadows/{at.replace(' ', '-')}", {}, lambda folder, of=epsilon: shadows(session, "flchain", of, folder)
        )
        rate = {"value": one["tpr"], "low": one["interval"][0], "high": one["interval"][1], "interval": CLOPPER}
        about = {"n": one["n"], "seeds": [0], "higher_is_better": False}
        words = f"flchain, {at}: shadow syntheses"
        found.append(metric(f"{words}, members found at 1 % false positives", maker, rate, **about))
        found.append(metric(f"{words}, AUC", maker, unmeasured(one["auc"]), **about))
    for epsilon in session.sized(EPSILONS, EPSILONS[-1:]):
        one = session.once(f"canaries/{epsilon:g}", {}, lambda to, of=epsilon: canaries(session, "flchain", of, to))
        about = {"n": one["canaries"], "seeds": [0], "higher_is_better": False}
        words = f"flchain, epsilon {epsilon:g}: canaries"
        found.append(metric(f"{words}, exposure in bits", OURS, over_seeds(one["exposures"]), **about))
        found.append(metric(f"{words}, written", OURS, counted(one["written"]), goal="at most 0", **about))
    return found


def _texts(session: Session) -> tuple[list[dict[str, Any]], int]:
    """Return what a classifier learns of synthetic subjects, beside a direct private one; and weights of the run."""
    one = session.once("texts", {"steps": subjects.STEPS}, lambda folder: texts(session, TEXTS, folder))
    truth, scores = np.array(one["truth"]), {name: np.array([of]) for name, of in one["scores"].items()}
    where, about = f"subjects, epsilon {TEXTS:g}: AUROC, {LINEAR}", {"n": len(truth), "seeds": [0]}
    about |= {"higher_is_better": True}
    names = {"synthetic": RUN, "direct": DIRECT, "real": REAL}
    found = [metric(where, maker, _area(scores[name], truth), **about) for name, maker in names.items()]
    less = over_records(
        lambda at: _mean(scores["synthetic"], truth, at) - _mean(scores["direct"], truth, at), len(truth)
    )
    found.append(metric(f"{where}, less that of {DIRECT}", RUN, less, baseline=DIRECT, goal="at least -0.02", **about))
    return found, _parameters(session.model, one["vocabulary"])


def _valid(session: Session) -> list[dict[str, Any]]:
    """Return how many records of each codec are none."""
    found = []
    for name in CODECS:
        short = name.replace("/", "-").replace(", ", "-").replace(" ", "-")
        one = session.once(f"valid/{short}", {"many": MANY}, lambda folder, of=name: invalid(session, of, folder))
        found.append(metric(f"{name}: invalid records", OURS, counted(one["invalid"]), n=one["asked"], seeds=[0],
                            goal="at most 0", higher_is_better=False))  # fmt: skip
    return found


if __name__ == "__main__":
    main()
