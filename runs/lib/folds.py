"""Linear classifiers tuned alike on folds of the known records, and mixtures of two: with what they say of each record.

What is told are log probabilities, those of a known record by a model that never saw it, so that systems can be chosen
among, and mixed, without a look at what is to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Features = Callable[[Places], Any]  # of all records, those known first (n, m): what is fitted is fitted on the places
FOLDS, STRENGTHS = 5, (3.0, 10.0, 30.0)  # inverse penalties
SHARES = (0.25, 0.5, 0.75)  # of the first of two systems in their mixture


@dataclass(frozen=True)
class Told:
    """What a system says of every record: log probabilities (records, classes), classes sorted."""

    known: Floats  # of records in no fold that was asked: not a number
    asked: Floats
    chosen: str = ""  # of the settings tried


def folds(labels: Sequence[str]) -> list[tuple[Places, Places]]:
    """Return the places to learn from and those held out, `FOLDS` times."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(len(labels)), list(labels)))


def tuned(candidates: Mapping[str, Features], labels: Sequence[str], strengths: Sequence[float] = STRENGTHS) -> Told:
    """Return what logistic regression says, with the features and the penalty that tell most of the held-out records.

    Of equal ones the first and the stronger is taken, and then fitted on all known records.
    """
    names, best, found, told = np.array(list(labels)), -1.0, ("", 0.0), np.empty(0)
    classes = np.unique(names)
    for name, features in candidates.items():
        held = np.full((len(strengths), len(names), len(classes)), np.nan)
        for train, apart in folds(labels):
            x = features(train)
            for k, strength in enumerate(strengths):
                held[k, apart] = _fitted(x[train], names[train], strength).predict_log_proba(x[apart])
        right = [hits(one, names).mean() for one in held]
        if max(right) > best:
            k = int(np.argmax(right))
            best, found, told = right[k], (name, strengths[k]), held[k]
    every = np.arange(len(names))
    x = candidates[found[0]](every)
    asked = _fitted(x[every], names, found[1]).predict_log_proba(x[len(names) :])
    return Told(told, asked, f"{found[0]}, C {found[1]:g}")


def _fitted(x: Any, labels: NDArray[Any], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, labels)


def bags(texts: Sequence[str], token: str, *, lower: bool) -> dict[str, Features]:
    """Return TF-IDF of tokens, and of tokens and pairs, of all texts; `token` is a regular expression.

    A count weighs 1 + its logarithm; pairs are those that two texts have. Triples told less on two folds (dev/log.md).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    every = np.array(list(texts), object)

    def features(most: int) -> Features:
        def make(places: Places) -> Any:
            least = 1 if most == 1 else 2
            counted = TfidfVectorizer(
                token_pattern=token, lowercase=lower, ngram_range=(1, most), min_df=least, sublinear_tf=True
            )
            counted.fit(every[places])
            return counted.transform(every)

        return make

    return {f"1 to {most}" if most > 1 else "1": features(most) for most in (1, 2)}


def dense(values: NDArray[np.floating[Any]]) -> Features:
    """Return features (n, m) at deviation 1, each record's of a length of about 1, as those of TF-IDF have."""

    def make(places: Places) -> Floats:
        mean, deviation = values[places].mean(0), values[places].std(0)
        return (values - mean) / np.where(deviation > 0, deviation, 1) / np.sqrt(values.shape[1])

    return make


def share_of(a: Told, b: Told, labels: Sequence[str]) -> float:
    """Return the share of `a` in the mixture of both that tells most of the records that both held out."""
    names = np.array(list(labels))
    both = ~np.isnan(a.known[:, 0] + b.known[:, 0])
    right = [hits(blended(a, b, share).known[both], names[both], names).mean() for share in SHARES]
    return SHARES[int(np.argmax(right))]


def blended(a: Told, b: Told, share: float) -> Told:
    """Return the mean of the log probabilities of two systems, with a share of `a`."""
    known, asked = (share * x + (1 - share) * y for x, y in ((a.known, b.known), (a.asked, b.asked)))
    return Told(known, asked, f"{share:g} of the bag")


def hits(told: Floats, labels: NDArray[Any], known: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Return of which records (n,) the likeliest class is the label; classes are those of `known`, if given."""
    classes = np.unique(labels if known is None else known)
    found: NDArray[np.bool_] = classes[told.argmax(1)] == labels
    return found
