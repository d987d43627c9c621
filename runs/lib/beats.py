"""Heartbeats told apart by models of values and of ids, linear or by a kernel, every beat once a repetition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib import seriation
from lib.corpus import Values, heartbeats
from lib.interval import over_both
from lib.linear import BENDS, STRAIGHT, Data, told
from lib.result import metric
from lib.session import Session
from ult.codecs.levels import SeriesLevels

OF = "ECG5000, cross-validated"
IDS, TILED, VALUES, RANKS = "linear on ids", "linear on tiled ids", "linear on values", "linear on ranks of values"
BENT = {line: line.replace("linear", "kernel") for line in (TILED, VALUES, RANKS)}
LINES, FOLDS, LEVELS, TILINGS = (IDS, TILED, VALUES, RANKS, *BENT.values()), 5, 16, 32
PAIRS = (  # whose balanced accuracy is held against whose
    (IDS, VALUES, ""), (TILED, VALUES, "at least 0"), (TILED, RANKS, "at least 0"),
    (BENT[TILED], BENT[VALUES], "at least 0"), (BENT[TILED], BENT[RANKS], "at least 0"),
)  # fmt: skip
SETTING = f"""\
Of all visible heartbeats but 2 of a class of their own, {FOLDS} folds, 3 times: logistic regression on the values, \
or on the share of all values that are smaller, each place scaled, and on which id stands at which place; all choose \
among four penalties by three folds of what is trained on. `kernel` is the same with a Gaussian kernel, of which those \
folds choose the width too, among two and none. The ids are those of `series/levels` with {LEVELS} levels; tiled ones \
have {TILINGS + 1} levels and `--option tilings={TILINGS}`, from which the order of levels is read again at each \
place, by which ids come together in what is trained on (`runs/lib/seriation.py`)."""


def measured(session: Session, repeats: range) -> list[dict[str, Any]]:
    """Return accuracy and balanced accuracy of each line, and how far ids are above values."""
    data = _common(heartbeats(session))
    folds = session.sized(range(FOLDS), range(2))
    said = {line: np.full((len(repeats), len(data.labels)), "", object) for line in LINES}
    jobs = [(line, repeat, fold) for line in LINES for repeat in repeats for fold in folds]
    for (line, repeat, _), found in zip(jobs, session.each(fold_of, jobs), strict=True):
        said[line][repeat, found["test"]] = found["said"]
    there = np.flatnonzero((said[VALUES] != "").all(0))
    labels = data.labels[there]
    hits = {line: (one[:, there] == labels).astype(float) for line, one in said.items()}
    common = {"n": len(labels), "n_asked": len(heartbeats(session).labels), "seeds": repeats, "higher_is_better": True}
    metrics = [metric(f"{OF}: accuracy", line, over_both(hits[line]), **common) for line in LINES]
    metrics += [metric(f"{OF}: balanced accuracy", line, over_both(hits[line], labels), **common) for line in LINES]
    for line, other, goal in PAIRS:
        gain = over_both(hits[line] - hits[other], labels)
        metrics.append(metric(f"{OF}: balanced accuracy, less that of {other}", line, gain, baseline=other, goal=goal,
                              **common))  # fmt: skip
    return metrics


def fold_of(session: Session, line: str, repeat: int, fold: int) -> dict[str, Any]:
    """Return which beats are in a fold, and what a line that knows the others says of them."""
    from sklearn.model_selection import StratifiedKFold

    data = _common(heartbeats(session))
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(data.values, data.labels)
    train, test = list(splits)[fold]

    def make(some: NDArray[np.int64], held: NDArray[np.int64]) -> Data:
        known, asked = data.values[train[some]], data.values[train[held] if len(held) else test]
        if "values" in line:
            known, asked = _ranks(known, asked) if "ranks" in line else (known, asked)
            off, size = known.mean(0), known.std(0)
            found = [(part - off) / size for part in (known, asked)]
        elif "tiled" in line:
            found = list(seriation.tiled(known, asked, TILINGS, repeat, by_column=0))
        else:
            found = [_bag(known, part) for part in (known, asked)]
        return found[0], data.labels[train[some]], found[1]

    def work(_: Any) -> dict[str, Any]:
        return {"test": test.tolist(), "said": told(make, data.labels[train], bends).tolist()}

    bends = BENDS if line.startswith("kernel") else STRAIGHT
    settings = {"levels": TILINGS + 1 if "tiled" in line else LEVELS, "bends": bends}
    return session.once(f"beats/{line}-{repeat}-{fold}".replace(" ", "-"), settings, work)


def _ranks(known: NDArray[Any], asked: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the share of known values (n, places) that each of both is above."""
    every = np.sort(known, axis=None)
    return np.searchsorted(every, known) / every.size, np.searchsorted(every, asked) / every.size


def _bag(known: NDArray[Any], part: NDArray[Any]) -> NDArray[np.float32]:
    """Return which ids of one table each beat of `part` has, (n, ids); the levels are fitted on `known`."""
    levels = SeriesLevels.calibrated(list(known), levels=LEVELS, clip=1 / LEVELS).columns[0]
    codec = SeriesLevels(columns=[levels] * part.shape[1], apart=1)
    symbols = codec.encode_batch(list(part)).symbols.reshape(part.shape).astype(np.int64)
    bag = np.zeros((len(part), codec.alphabet), np.float32)
    np.put_along_axis(bag, symbols, 1.0, axis=1)
    return bag


def _common(data: Values) -> Values:
    """Return the beats of classes of which each fold can have one."""
    names, counts = np.unique(data.labels, return_counts=True)
    often = np.isin(data.labels, names[counts >= FOLDS])
    return Values(data.values[often], data.labels[often], data.test[often])
