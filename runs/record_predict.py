"""Row `record-predict`: is an outcome predicted from ids of records as well as from the columns themselves?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.interval import BOTH, RESAMPLES
from lib.outcomes import MISSING, OUTCOMES, Floats, Places, Rows, auroc, of_places, parts, rows_of
from lib.result import metric
from lib.session import Session
from lib.training import predictions, trained
from numpy.typing import NDArray

import ult

BASE, LINEAR = "gradient boosting", "logistic regression"
BAG, TREES, TOGETHER = "bag of ids", "trees on ids", "trees and bag of ids"
CLASSIFIER, WHOLE = "transformer, classify", "transformer, whole records"
SYSTEMS = (BASE, LINEAR, TOGETHER, TREES, BAG, CLASSIFIER, WHOLE)
SEEDS = (0, 1, 2)
IDS, HELD_BY, CONTEXT, BATCH, STEPS, RATE = 1024, 20, 64, 64, 320, 1e-3
WHOLE_STEPS, WHOLE_BATCH = 240, 32  # blocks, which hold several records
BOOSTED: tuple[dict[str, Any], ...] = (  # settings of boosting, on columns and on ids
    {"learning_rate": 0.1, "max_leaf_nodes": 6, "max_iter": 200},
    {"learning_rate": 0.1, "max_leaf_nodes": 15, "max_iter": 100},
    {"learning_rate": 0.1, "max_leaf_nodes": 31, "max_iter": 60},
    {"learning_rate": 0.2, "max_leaf_nodes": 6, "max_iter": 100},
)
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # C of logistic regression
GOAL = -0.01
ASKED = "Is an outcome predicted from ids of whole records as well as gradient boosting predicts it from the columns?"
SETTING = """\
Income above 50,000 (adult), readmission (diabetes130, no person in two parts of a split) and death (flchain, without \
what is known only after it) from all other columns. {splits} random splits; 70 % of the people train, a fifth of \
them choosing the settings, 30 % test. `ult describe` and `ult fit` with {ids:,} ids see training rows alone. The \
outcome is kept beside the ids in the clear: the trainer reads it and its name of each record, and of what it is \
predicted from only the ids; in `whole records` it is one of the ids, and the owner reads it with the table (`ult \
predict --target`). \
`gradient boosting` (HistGradientBoosting, native categories) and `trees on ids` (the same on which ids a record \
holds, of those in {held} training records) choose one of {boosted} settings, `logistic regression` (one-hot, scaled \
numbers) and `bag of ids` (`ult train --model bag`) one of 6 penalties; both are then fitted to all training rows. \
Transformers train {steps} steps of {batch} records, or {whole} of {blocks} blocks of {context} ids, and keep the \
best of 8 evaluations. AUROC; splits and test rows are drawn anew together for the interval, the same ones for both \
systems of a difference. The goal is asked of trees and bag together (the sum of their log-odds)."""


def main() -> None:
    """Predict every outcome by every system, and compare."""
    session = Session.begin("record-predict")
    seeds = session.sized(SEEDS, SEEDS[:2])
    jobs = [(name, system, seed) for system in SYSTEMS for name in OUTCOMES for seed in seeds]
    found = dict(zip(jobs, session.each(predicted, jobs), strict=True))
    metrics, notes = [], []
    for name in OUTCOMES:
        rows = rows_of(session, name)
        right = [rows.outcomes[parts(rows.units, seed)[2]] for seed in seeds]
        scores = {s: [np.array(found[name, s, seed]["scores"]) for seed in seeds] for s in SYSTEMS}
        metrics += _measured(name, right, scores, seeds)
        cpu = {s: np.mean([found[name, s, seed]["seconds"] for seed in seeds]) for s in SYSTEMS}
        notes.append(f"{name}: seconds of CPU a split, settings tried and all: "
                     + ", ".join(f"{s} {seconds:.0f}" for s, seconds in cpu.items()) + ".")  # fmt: skip
    session.write(
        "Outcomes from records of fields",
        metrics,
        asked=ASKED,
        setting=SETTING.format(splits=len(seeds), ids=IDS, held=HELD_BY, boosted=len(BOOSTED),
                               steps=session.sized(STEPS, 8), batch=BATCH, context=CONTEXT,
                               whole=session.sized(WHOLE_STEPS, 8), blocks=WHOLE_BATCH),
        notes=[*notes,
               "Trees on ids, the bins and the number of ids were tried on one split of adult and one of diabetes130, "
               "whose test rows were looked at (dev/log.md); that trees and bag go together was decided when each of "
               "them had been seen on these splits.",
               "Readmission leaves little to predict: logistic regression is above gradient boosting too."],
        chart=[f"{name}: AUROC" for name in OUTCOMES],
        model={"name": session.model, "parameters": found["adult", CLASSIFIER, seeds[0]]["parameters"],
               "context": CONTEXT, "batch": BATCH, "learning rate": RATE},
    )  # fmt: skip


def predicted(session: Session, name: str, system: str, seed: int) -> dict[str, Any]:
    """Return the scores of the test rows, higher for the outcome, and the CPU seconds that they took."""
    return _OF[system](session, name, seed)


def _scored(session: Session, name: str, system: str, seed: int, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `make()` returned, with scores as a list; called once."""

    def made(_: Path) -> dict[str, Any]:
        found = make()
        return found | {"scores": [float(f"{score:.6g}") for score in found["scores"]]}

    settings = {"boosted": list(BOOSTED), "strengths": STRENGTHS, "ids": IDS, "held": HELD_BY}
    return session.once(f"scores/{name}-{seed}-{system.replace(' ', '-')}", settings, made)


# ---- on the columns


def _boosting(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Gradient boosting on the columns: numbers as they are, categories as categories."""
    rows = rows_of(session, name)
    values, coded = _numbers_and_codes(rows, np.concatenate(parts(rows.units, seed)[:2]))
    return _scored(session, name, BASE, seed, lambda: _boosted(values, coded, rows, seed))


def _boosted(values: Floats, categories: list[bool] | None, rows: Rows, seed: int) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    def fit(setting: dict[str, Any], at: Places) -> Any:
        made = HistGradientBoostingClassifier(
            categorical_features=categories, early_stopping=False, random_state=0, **setting
        )
        return made.fit(values[at], rows.outcomes[at])

    return _best(fit, BOOSTED, values, rows, seed)


def _best(
    fit: Callable[[Any, Places], Any], settings: Sequence[Any], values: Any, rows: Rows, seed: int
) -> dict[str, Any]:
    """Fit with each setting, choose by the second part, fit that to both, and score the third."""
    train, choose, test = parts(rows.units, seed)
    tried = [auroc(rows.outcomes[choose], fit(one, train).decision_function(values[choose])) for one in settings]
    best = fit(settings[int(np.argmax(tried))], np.sort(np.concatenate([train, choose])))
    return {"scores": best.decision_function(values[test])}


def _logistic(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Logistic regression on one-hot categories and scaled numbers; a missing number is the mean."""
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = rows_of(session, name)
    known = np.concatenate(parts(rows.units, seed)[:2])
    every = np.arange(len(rows.cells))
    values, coded = _numbers_and_codes(rows, known)
    numbers = values[:, ~np.array(coded)]
    numbers = np.where(np.isnan(numbers), np.nanmean(numbers[known], axis=0), numbers)
    words = np.array([rows.column(k, every) for k, one in enumerate(coded) if one], object).T
    hot = OneHotEncoder(handle_unknown="ignore", min_frequency=5).fit(words[known])
    features = hstack([hot.transform(words), StandardScaler().fit(numbers[known]).transform(numbers)]).tocsr()

    def fit(strength: float, at: Places) -> Any:
        return LogisticRegression(C=strength, max_iter=500).fit(features[at], rows.outcomes[at])

    return _scored(session, name, LINEAR, seed, lambda: _best(fit, STRENGTHS, features, rows, seed))


def _numbers_and_codes(rows: Rows, known: Places) -> tuple[Floats, list[bool]]:
    """Return all columns as numbers, (n, columns), and which of them are codes of categories, by frequency."""
    every, found, coded = np.arange(len(rows.cells)), [], []
    for k in range(len(rows.names)):
        cells = rows.column(k, every)
        present = [cell for cell in cells if cell not in MISSING]
        is_number = all(_is_number(cell) for cell in present) and not rows.names[k].endswith("_id")
        coded.append(not is_number)
        if is_number:
            found.append([np.nan if cell in MISSING else float(cell) for cell in cells])
        else:
            names, counts = np.unique([cells[i] for i in known], return_counts=True)
            code = {str(cell): number for number, cell in enumerate(names[np.argsort(-counts, kind="stable")][:254])}
            found.append([code.get(cell, np.nan) for cell in cells])
    return np.array(found, float).T, coded


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


# ---- on ids


def _trees(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Gradient boosting on which ids a record holds."""
    rows = rows_of(session, name)
    train, choose, test = parts(rows.units, seed)
    held = np.zeros((len(rows.cells), IDS), bool)
    for part, at in zip(("train", "choose", "test"), (train, choose, test), strict=True):
        ids = list(ult.Shards(_coded(session, name, seed, whole=False)[part]).ids())
        held[np.repeat(at, [len(one) for one in ids]), np.concatenate(ids)] = True
    known = np.concatenate([train, choose])
    counts = held[known].sum(0)
    enough = (counts >= HELD_BY) & (counts <= len(known) - HELD_BY)
    values = held[:, enough].astype(float)
    return _scored(session, name, TREES, seed, lambda: _boosted(values, None, rows, seed))


def _bag(session: Session, name: str, seed: int) -> dict[str, Any]:
    """A linear model of the ids and of pairs of neighbours, by `ult train --model bag`."""
    coded = _coded(session, name, seed, whole=False)
    sizes = {"task": "classify", "model": "bag", "label": "outcome", "context": CONTEXT, "seed": seed}
    run = trained(session, f"{name}-{seed}-bag", coded["both"], **sizes)
    logits = predictions(session, f"{name}-{seed}-bag", run, coded["test"])
    return _answer(logits, run["seconds"])


def _answer(logits: Floats, seconds: float) -> dict[str, Any]:
    return {"scores": (logits[:, 1] - logits[:, 0]).tolist(), "seconds": seconds}


def _together(session: Session, name: str, seed: int) -> dict[str, Any]:
    """The sum of the log-odds of trees and bag."""
    both = [_trees(session, name, seed), _bag(session, name, seed)]
    scores = np.sum([one["scores"] for one in both], axis=0)
    return {"scores": scores.tolist(), "seconds": sum(one["seconds"] for one in both)}


def _classifier(session: Session, name: str, seed: int) -> dict[str, Any]:
    """A transformer that reads the ids and learns the outcome."""
    coded = _coded(session, name, seed, whole=False)
    run = trained(session, f"{name}-{seed}-classify", coded["train"], task="classify", label="outcome",
                  validation=coded["choose"], **_sizes(session, seed))  # fmt: skip
    logits = predictions(session, f"{name}-{seed}-classify", run, coded["test"])
    return _answer(logits, run["seconds"]) | {"parameters": run["parameters"]}


def _whole(session: Session, name: str, seed: int) -> dict[str, Any]:
    """A transformer of whole records, in which the outcome is one more field, read with the table."""
    coded = _coded(session, name, seed, whole=True)
    sizes = _sizes(session, seed) | {"steps": session.sized(WHOLE_STEPS, 8), "batch_size": WHOLE_BATCH}
    run = trained(session, f"{name}-{seed}-whole", coded["train"], validation=coded["choose"], **sizes)

    def make() -> dict[str, Any]:
        found = ult.predict(run["run"], [coded["rows"]], ult.Table.load(coded["table"]), "outcome")
        return {"scores": found.probabilities[:, found.values.index("yes")]}

    told = _scored(session, name, WHOLE, seed, make)
    return told | {"seconds": told["seconds"] + run["seconds"]}


def _sizes(session: Session, seed: int) -> dict[str, Any]:
    steps = session.sized(STEPS, 8)
    return {"model": session.model, "steps": steps, "evaluate_every": steps // 8, "batch_size": BATCH,
            "context": CONTEXT, "learning_rate": RATE, "seed": seed}  # fmt: skip


def _coded(session: Session, name: str, seed: int, *, whole: bool) -> dict[str, Path]:
    """Return shards of each part, of a table fitted to training rows; `whole` has the outcome inside the ids."""

    def make(folder: Path) -> dict[str, Any]:
        rows = rows_of(session, name)
        train, choose, test = parts(rows.units, seed)
        both = np.sort(np.concatenate([train, choose]))
        files = {part: folder / f"{part}.csv" for part in ("train", "choose", "both", "test")}
        for path, at in zip(files.values(), (train, choose, both, test), strict=True):
            rows.write(path, at)
        kept = [] if whole else ["outcome"]
        described = ult.describe([files["both"]], drop=kept).schema
        assert described is not None
        described.write(folder / "schema.json")
        ult.fit([files["both"]], folder / "table.ult", codec="record/columns", schema=folder / "schema.json",
                vocabulary_size=IDS, keep=kept, encode_identifier=described.suspects, encrypt=False,
                workers=1)  # fmt: skip
        for part, path in files.items():
            ult.encode([path], folder / "table.ult", folder / f"{part}.shards", keep=kept, workers=1)
        return {}

    kind = "whole" if whole else "kept"
    folder = Path(session.once(f"coded/{name}-{seed}-{kind}", {"ids": IDS}, make)["folder"])
    shards = {part: folder / f"{part}.shards" for part in ("train", "choose", "both", "test")}
    return shards | {"table": folder / "table.ult", "rows": folder / "test.csv"}


_OF = {
    BASE: _boosting,
    LINEAR: _logistic,
    TOGETHER: _together,
    TREES: _trees,
    BAG: _bag,
    CLASSIFIER: _classifier,
    WHOLE: _whole,
}


# ---- what is measured


def _measured(
    name: str, right: list[NDArray[np.bool_]], scores: dict[str, list[Floats]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the AUROC of each system, and its difference to gradient boosting."""
    rng, k_of = np.random.default_rng(0), range(len(seeds))
    places = {s: [np.unique(one, return_inverse=True)[1] for one in scores[s]] for s in SYSTEMS}
    again: dict[str, list[float]] = {s: [] for s in SYSTEMS}
    for _ in range(RESAMPLES):
        drawn = [(k, rng.multinomial(len(right[k]), np.full(len(right[k]), 1 / len(right[k])))) for k in
                 rng.integers(0, len(seeds), len(seeds))]  # fmt: skip
        for s in SYSTEMS:
            again[s].append(float(np.mean([of_places(right[k], places[s][k], w.astype(float)) for k, w in drawn])))
    values = {s: float(np.mean([auroc(right[k], scores[s][k]) for k in k_of])) for s in SYSTEMS}
    common = {"n": sum(map(len, right)), "seeds": seeds, "higher_is_better": True}
    found = [metric(f"{name}: AUROC", s, _ends(values[s], np.array(again[s])), **common) for s in SYSTEMS]
    for s in SYSTEMS[1:]:
        goal = f"at least {GOAL}" if s == TOGETHER else ""
        gain = _ends(values[s] - values[BASE], np.array(again[s]) - np.array(again[BASE]))
        found.append(metric(f"{name}: AUROC, less that of {BASE}", s, gain, baseline=BASE, goal=goal, **common))
    return found


def _ends(value: float, again: Floats) -> dict[str, Any]:
    low, high = np.quantile(again, [0.025, 0.975])
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high)), "interval": BOTH}


if __name__ == "__main__":
    main()
