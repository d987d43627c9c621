"""Row `joint-patient`: does a model of ids of a whole patient tell more than one of its note, labs, codes or image?

The patients are made up, so that each part knows something: `lib/patients.py`. On a GPU the same script runs unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.areas import Areas
from lib.outcomes import Floats, Places, auroc
from lib.patients import COLUMNS, DIGITS, GAP, PARTS, WEIGHT, Patients, patients
from lib.result import metric
from lib.session import Session
from lib.training import predictions, trained
from numpy.typing import NDArray

import ult

ALL, COPIES, IDS, CONTEXT, BATCH, STEPS, RATE = "all fields", 3, 1024, 192, 16, 200, 1e-3
FIELDS = (ALL, *(f"{part} alone" for part in PARTS))
MODELS = ("transformer of ids", "bag of ids")
TREES, LINEAR, BEST = "gradient boosting", "logistic regression", "the patients' own risk"
BOOSTED: tuple[dict[str, Any], ...] = (
    {"learning_rate": 0.1, "max_leaf_nodes": 6, "max_iter": 200},
    {"learning_rate": 0.05, "max_leaf_nodes": 15, "max_iter": 250},
    {"learning_rate": 0.03, "max_leaf_nodes": 6, "max_iter": 400},
)
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # C of logistic regression
FORMS = {"scan": "image", "note": "text"}
ASKED = "Does a model of the ids of a whole patient tell an outcome better than one of its note, labs, codes or image?"
SETTING = """\
{n:,} patients that are made up, as a CSV with a note, four values of creatinine of which {gap:.0%} are missing, a \
list of codes, and the name of an image of 8 by 8 pixels: the {digits:,} digits that come with scikit-learn, each \
{copies} times with other noise. Whether the patient is admitted follows by chance from the sum of four parts of \
weight {weight} each: how worrying the note's phrases are, how creatinine rises from visit to visit, how many codes \
are risks, and whether the digit has a ring. Age and sex, which `{all}` has too, have to do with nothing. 60 % of the \
digits train, 15 % choose, 25 % test, so that no digit is in two parts; a seed draws patients, parts and weights. Each \
set of fields goes the owner's way, `ult describe`, `ult fit` with {ids:,} ids on the training file, `ult encode` with \
the outcome beside the ids, and has the same model, settings and tuning: a transformer ({steps} steps of {batch} \
patients, the best of 8 evaluations kept), and `ult train --model bag`. Beside them, models of the raw values of all \
fields (numbers, a column for each phrase and code, pixels), the best of {boosted} settings of gradient boosting \
(HistGradientBoosting) and of {strengths} of logistic regression; and the AUROC of the sum itself, which nothing can \
pass but by luck. Seeds and test patients are drawn anew together for the interval, the same for both sides of a \
difference."""


def main() -> None:
    """Train on all fields and on each part, and compare."""
    session = Session.begin("joint-patient")
    seeds = session.sized((0, 1, 2), (0, 1))
    session.each(coded, [(fields, seed) for seed in seeds for fields in FIELDS])
    jobs = [(model, fields, seed) for model in MODELS for fields in FIELDS for seed in seeds]
    runs = dict(zip(jobs, session.each(tell, jobs), strict=True))
    scores = {(m, f): [np.array(runs[m, f, seed]["scores"]) for seed in seeds] for m in MODELS for f in FIELDS}
    right = []
    for k, seed in enumerate(seeds):
        people = made(session, seed)
        test = parts(len(people.logit), seed)["test"]
        for name, found in {**raw(session, seed), BEST: people.logit[test]}.items():
            scores.setdefault((name, ALL), [])[k:] = [np.array(found)]
        right.append(people.outcome[test])
    first = runs[MODELS[0], ALL, seeds[0]]
    seconds = {f: np.mean([runs[MODELS[0], f, seed]["seconds"] for seed in seeds]) for f in FIELDS}
    n = len(made(session, seeds[0]).logit)
    session.write(
        "A joint patient: note, labs, codes and image",
        measured(right, scores, seeds),
        asked=ASKED,
        setting=SETTING.format(n=n, gap=GAP, digits=DIGITS, copies=n // DIGITS, weight=WEIGHT, all=ALL, ids=IDS,
                               steps=session.sized(STEPS, 8), batch=BATCH, boosted=len(BOOSTED),
                               strengths=len(STRENGTHS)),
        notes=["Equal steps are not equal time where records are shorter. Seconds of CPU of a transformer: "
               + ", ".join(f"{fields} {found:.0f}" for fields, found in seconds.items()) + "."],
        chart=[f"AUROC, {name}" for name in (*MODELS, "raw values")],
        model={"name": session.model, "parameters": first["parameters"], "context": CONTEXT, "batch": BATCH,
               "learning rate": RATE},
    )  # fmt: skip


def made(session: Session, seed: int) -> Patients:
    """Return the patients of a seed."""
    return patients(session.sized(COPIES, 1), seed=seed)


def parts(n: int, seed: int) -> dict[str, Places]:
    """Return who trains, who chooses and who tests; the patients of one digit do the same."""
    digits = np.arange(n) // (n // DIGITS)
    place = np.random.default_rng(seed).permutation(DIGITS)[digits] / DIGITS
    bounds = {"train": (0.0, 0.6), "choose": (0.6, 0.75), "test": (0.75, 1.0)}
    return {part: np.flatnonzero((place >= low) & (place < high)) for part, (low, high) in bounds.items()}


def coded(session: Session, fields: str, seed: int) -> dict[str, Path]:
    """Return shards of each part with these fields, of a table fitted to the training file."""
    columns = [one for one in COLUMNS if one != "outcome"] if fields == ALL else PARTS[fields.removesuffix(" alone")]

    def make(folder: Path) -> dict[str, Any]:
        people = made(session, seed)
        files = {part: people.write(folder, part, of) for part, of in parts(len(people.logit), seed).items()}
        forms = {column: form for column, form in FORMS.items() if column in columns}
        schema = ult.describe(files["train"], column=columns, forms=forms).schema
        table = folder / "patients.ult"
        ult.fit(files["train"], table, codec="record/columns", schema=schema, vocabulary_size=IDS, keep=["outcome"],
                encrypt=False, workers=1)  # fmt: skip
        for part, path in files.items():
            ult.encode(path, table, folder / f"{part}.shards", keep=["outcome"], workers=1)
        return {}

    folder = Path(session.once(f"coded/{_plain(fields)}-{seed}", {"ids": IDS, "weight": WEIGHT}, make)["folder"])
    return {part: folder / f"{part}.shards" for part in ("train", "choose", "test")}


def tell(session: Session, model: str, fields: str, seed: int) -> dict[str, Any]:
    """Train on some fields, and return the scores of the patients to test on, higher for those who are admitted."""
    shards, name = coded(session, fields, seed), f"{_plain(model)}-{_plain(fields)}-{seed}"
    about = {"task": "classify", "label": "outcome", "context": CONTEXT, "seed": seed}
    if model == MODELS[0]:
        steps = session.sized(STEPS, 8)
        about |= {"model": session.model, "steps": steps, "evaluate_every": steps // 8, "batch_size": BATCH,
                  "learning_rate": RATE, "validation": shards["choose"]}  # fmt: skip
        run = trained(session, name, shards["train"], **about)
    else:
        run = trained(session, name, shards["train"], model="bag", **about)
    logits = predictions(session, name, run, shards["test"])
    return run | {"scores": (logits[:, 0] - logits[:, 1]).tolist()}  # admitted, home


def raw(session: Session, seed: int) -> dict[str, list[float]]:
    """Return the scores of models of raw values."""

    def make(_: Path) -> dict[str, Any]:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        people = made(session, seed)
        of, values = parts(len(people.logit), seed), features(people)
        known = np.nanmean(values[of["train"]], axis=0)
        filled = StandardScaler().fit_transform(np.where(np.isnan(values), known, values))
        return {
            TREES: _best(lambda s: HistGradientBoostingClassifier(early_stopping=False, random_state=0, **s),
                         BOOSTED, values, people, of),
            LINEAR: _best(lambda s: LogisticRegression(C=s, max_iter=2000), STRENGTHS, filled, people, of),
        }  # fmt: skip

    found = session.once(f"raw/{seed}", {"weight": WEIGHT}, make)
    return {name: found[name] for name in (TREES, LINEAR)}


def features(people: Patients) -> Floats:
    """Return the values of all fields: numbers, NaN for a gap, a column for each phrase and each code, and pixels."""
    notes = [set(note.rstrip(".").lower().split(", ")) for note in people.note]
    held = []
    for sets in (notes, list(map(set, people.codes))):
        every = sorted(set().union(*sets))
        held.append(np.array([[one in some for one in every] for some in sets], float))
    about = np.stack([people.age, people.sex == "f"], 1).astype(float)
    return np.concatenate([about, people.labs, *held, people.images.reshape(len(about), -1)], axis=1)


def _best(model: Any, settings: Sequence[Any], values: Floats, people: Patients, of: dict[str, Places]) -> list[float]:
    """Fit with each setting, and return the scores of those to test of the one that does best where it is chosen."""
    fitted = [model(one).fit(values[of["train"]], people.outcome[of["train"]]) for one in settings]
    tried = [auroc(people.outcome[of["choose"]], one.decision_function(values[of["choose"]])) for one in fitted]
    scores: list[float] = fitted[int(np.argmax(tried))].decision_function(values[of["test"]]).tolist()
    return scores


def measured(
    right: Sequence[NDArray[np.bool_]], scores: dict[tuple[str, str], list[Floats]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the AUROC of each model of each set of fields, and how much higher that of all fields is."""
    areas, metrics = Areas(right, scores), []
    common = {"n": sum(map(len, right)), "seeds": seeds, "higher_is_better": True}
    for model in MODELS:
        name = f"AUROC, {model}"
        metrics += [metric(name, fields, areas.of((model, fields)), **common) for fields in FIELDS]
        for part in FIELDS[1:]:
            more = areas.more((model, ALL), (model, part))
            metrics.append(metric(f"{name}, less that of {part}", ALL, more, baseline=part, goal="above 0", **common))
    metrics += [metric("AUROC, raw values", one, areas.of((one, ALL)), **common) for one in (TREES, LINEAR, BEST)]
    for model in MODELS:
        for other in (TREES, LINEAR):
            more = areas.more((model, ALL), (other, ALL))
            metrics.append(metric(f"AUROC of all fields, less that of {other}", model, more, baseline=other, **common))
    return metrics


def _plain(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    main()
