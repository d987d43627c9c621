"""What synthetic records are good for: classifiers trained on them, tested on held-out real records.

Beside them stand the same classifiers trained on as many real records. Their settings are fixed, and the same for both:
nothing is chosen by looking at the test. The figure is the AUROC, of several classes the mean of each against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import auc
from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, Coded
from ult.audit.synth.frontier import hashed
from ult.audit.synth.side import Side
from ult.errors import InvalidConfig
from ult.host.extras import require

with require("scipy", "scikit-learn", extra="audit"):
    from scipy import sparse
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

CLASSES = 50  # of a label, at most
MOST = 50_000  # records to train on, at most
TREES, LINEAR = "gradient boosting", "logistic regression"
RESAMPLES = 200
CODES = 200  # values of a category that trees tell apart
Floats = NDArray[np.float64]
Scores = NDArray[np.float64]  # (test records, classes)


def utility(columns: Sequence[Coded], sides: Mapping[str, Side], label: str, *, seed: int) -> dict[str, Any]:
    """Return, as JSON values, the AUROC of each classifier, with intervals over test records.

    Raises `InvalidConfig` if the label is no category of at least two classes, or is the only column.
    """
    answers, classes = _answers(columns, sides, label)
    inputs = [one for one in columns if one.field.name != label]
    if not inputs:
        raise InvalidConfig(f"{label!r} is the only column; expected others to predict it from")
    n = min(len(sides[REAL].drawn), len(sides[SYNTHETIC].drawn), MOST)
    rng = np.random.default_rng(seed)
    at = {name: np.sort(rng.permutation(len(sides[name].drawn))[:n]) for name in (REAL, SYNTHETIC)}
    worded = any(one.is_text for one in inputs)
    systems: dict[str, Callable[..., Scores]] = {LINEAR: _linear}
    if not all(one.is_text for one in inputs):
        systems = {TREES: _trees, **systems}
    right = answers[HELD_OUT]
    told: dict[str, Any] = {"label": label, "classes": classes, "trained_on": n, "tested_on": len(right), "systems": {}}
    for name, fitted in systems.items():
        scores = {side: fitted(inputs, sides, side, at[side], answers[side][at[side]], classes) for side in at}
        told["systems"][name] = _measured(right, scores[SYNTHETIC], scores[REAL], classes, seed)
    if worded and TREES in systems:
        told["note"] = "gradient boosting sees of a text the number of its words alone"
    return told


def _answers(
    columns: Sequence[Coded], sides: Mapping[str, Side], label: str
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return the class of each record of each side, -1 where the real records never have it, and how many there are."""
    found = next((one for one in columns if one.field.name == label), None)
    if found is None:
        names = ", ".join(repr(one.field.name) for one in columns[:12])
        raise InvalidConfig(f"label {label!r} is no column that is compared; expected one of {names}")
    known = np.unique(found.codes[REAL])
    if not 2 <= len(known) <= CLASSES:
        raise InvalidConfig(f"label {label!r} has {len(known)} values; expected 2 to {CLASSES}")
    place = np.full(max(int(each.max(initial=0)) for each in found.codes.values()) + 1, -1)
    place[known] = np.arange(len(known))
    return {name: place[each] for name, each in found.codes.items()}, len(known)


def _measured(right: NDArray[np.int64], ours: Scores, real: Scores, classes: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    every = np.arange(len(right))
    draws = [every, *(rng.integers(0, len(right), len(right)) for _ in range(RESAMPLES))]
    each = np.array([[auroc(right[at], one[at], classes) for one in (ours, real)] for at in draws])
    return {
        "synthetic": float(each[0, 0]),
        "synthetic_interval": _interval(each[1:, 0], each[0, 0]),
        "real": float(each[0, 1]),
        "real_interval": _interval(each[1:, 1], each[0, 1]),
        "difference": float(each[0, 0] - each[0, 1]),
        "difference_interval": _interval(each[1:, 0] - each[1:, 1], each[0, 0] - each[0, 1]),
    }


def _interval(found: Floats, value: float) -> list[float]:
    low, high = np.nanquantile(found, [0.025, 0.975])
    return [float(min(low, value)), float(max(high, value))]


def auroc(right: NDArray[np.int64], scores: Scores, classes: int) -> float:
    """Return the AUROC of scores (n, classes), of several classes the mean over those that `right` (n,) holds."""
    which = range(classes) if classes > 2 else (1,)
    areas = [auc(scores[right == k, k], scores[right != k, k]) for k in which if 0 < (right == k).sum() < len(right)]
    return float(np.mean(areas)) if areas else 0.5


def _scored(model: Any, seen: NDArray[np.int64], classes: int, n: int) -> Callable[[Any], Scores]:
    """Return a function from features to scores (n, classes); of a class that was never seen they are all 0."""

    def score(features: Any) -> Scores:
        found = np.zeros((n, classes))
        if model is None:
            found[:, seen] = 1.0
        else:
            found[:, model.classes_] = model.predict_proba(features)
        return found

    return score


def _trees(
    inputs: Sequence[Coded], sides: Mapping[str, Side], side: str, at: NDArray[np.int64], answers: NDArray[np.int64],
    classes: int,
) -> Scores:  # fmt: skip
    known, test, categories = _plain(inputs, side, at)
    return _fitted(
        HistGradientBoostingClassifier(categorical_features=categories, early_stopping=False, random_state=0),
        known, test, answers, classes,
    )  # fmt: skip


def _fitted(model: Any, known: Any, test: Any, answers: NDArray[np.int64], classes: int) -> Scores:
    there = np.flatnonzero(answers >= 0)
    seen = np.unique(answers[there])
    fitted = model.fit(known[there], answers[there]) if len(seen) > 1 else None
    return _scored(fitted, seen, classes, test.shape[0])(test)


def _plain(inputs: Sequence[Coded], side: str, at: NDArray[np.int64]) -> tuple[Floats, Floats, list[bool]]:
    """Return the features to learn from, those of the test, and which are codes of categories.

    Codes go by how often the side that is learned from has the value; a rare value, or a new one, is missing.
    """
    known, test, coded = [], [], []
    for one in inputs:
        coded.append(one.values is None)
        if one.values is not None:
            known.append(one.values[side][at])
            test.append(one.values[HELD_OUT])
            continue
        values, counts = np.unique(one.codes[side][at], return_counts=True)
        common = values[np.argsort(-counts, kind="stable")][:CODES]
        place = np.full(max(int(each.max(initial=0)) for each in one.codes.values()) + 1, np.nan)
        place[common] = np.arange(len(common))
        known.append(place[one.codes[side][at]])
        test.append(place[one.codes[HELD_OUT]])
    return np.array(known, float).T, np.array(test, float).T, coded


def _linear(
    inputs: Sequence[Coded], sides: Mapping[str, Side], side: str, at: NDArray[np.int64], answers: NDArray[np.int64],
    classes: int,
) -> Scores:  # fmt: skip
    """Logistic regression of scaled numbers, one column for each category's class, and TF-IDF of words."""
    known, test = [], []
    for one in inputs:
        if one.is_text:
            cells = [sides[name].columns[one.field.name] for name in (side, HELD_OUT)]
            both = weighted([cells[0][k] or "" for k in at], [cell or "" for cell in cells[1]])
        else:
            both = _blocks(one, side, at)
        known.append(both[0])
        test.append(both[1])
    model = LogisticRegression(C=1.0 if not any(one.is_text for one in inputs) else 10.0, max_iter=300)
    return _fitted(model, sparse.hstack(known).tocsr(), sparse.hstack(test).tocsr(), answers, classes)


def weighted(known: Sequence[str], test: Sequence[str]) -> list[sparse.csr_matrix]:
    """Return the TF-IDF of words of texts, weights by those that are known, each text of length 1."""
    found = []
    rare: Floats | None = None
    for texts in (known, test):
        counts = hashed(texts)
        counts.data = 1 + np.log(counts.data)
        if rare is None:
            held = np.asarray((counts > 0).sum(0)).ravel()
            rare = np.log((1 + counts.shape[0]) / (1 + held)) + 1
        scaled = counts @ sparse.diags(rare)
        norms = np.sqrt(np.asarray(scaled.multiply(scaled).sum(1)).ravel())
        found.append(sparse.csr_matrix(sparse.diags(1 / np.maximum(norms, 1e-12)) @ scaled))
    return found


def _blocks(one: Coded, side: str, at: NDArray[np.int64]) -> list[sparse.csr_matrix]:
    """Return the features of a column: of numbers the scaled value and whether it is missing, else its classes."""
    parts = ((side, at), (HELD_OUT, np.arange(len(one.codes[HELD_OUT]))))
    if one.values is None:
        return [
            sparse.csr_matrix((np.ones(len(where)), (np.arange(len(where)), one.classes[name][where])),
                              shape=(len(where), one.many))
            for name, where in parts
        ]  # fmt: skip
    known = one.values[side][at]
    there = known[~np.isnan(known)]
    middle, wide = (float(there.mean()), float(there.std())) if len(there) else (0.0, 1.0)
    found = []
    for name, where in parts:
        values = one.values[name][where]
        gone = np.isnan(values)
        scaled = np.clip(np.where(gone, 0.0, (values - middle) / (wide or 1.0)), -10, 10)
        found.append(sparse.csr_matrix(np.stack([scaled, gone.astype(float)], axis=1)))
    return found
