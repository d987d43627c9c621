"""Membership: whether somebody who has only the synthetic records can tell whose record they were made from.

Each real and each held-out record gets a score, higher where it looks used; the statistics are those of all our audits
(`ult.audit.bounds`). No attack knows more than the synthetic records and half of the held-out ones, which stand for
other data of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import Scores, auc, blind_interval, summarize
from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, Coded, Codes
from ult.audit.synth.frontier import hashed
from ult.audit.synth.side import Side
from ult.audit.synth.utility import weighted
from ult.host.extras import require

with require("scipy", "scikit-learn", extra="audit"):
    from scipy import sparse, stats
    from sklearn.linear_model import LogisticRegression

MOST = 2000  # members that are compared, at most, and as many nonmembers
WRITTEN = 20_000  # synthetic records that they are compared with
LEAST = 20  # of a side
RUN = 3  # words of a passage, of which the rarest are looked for
FOLDS = 5
_BLOCK = 256
Floats = NDArray[np.float64]


def membership(
    columns: Sequence[Coded], sides: Mapping[str, Side], *, delta: float, seed: int
) -> tuple[dict[str, Any] | None, dict[str, tuple[Scores, Scores]]]:
    """Return, as JSON values, what the attacks find, and their scores; None if a side has too few records."""
    members, others, beside = _chosen(sides, seed)
    n = min(len(members), len(others))
    if n < LEAST:
        return None, {}
    rng = np.random.default_rng(seed)
    members, others = (np.sort(each[rng.permutation(len(each))[:n]]) for each in (members, others))
    written = rng.permutation(len(sides[SYNTHETIC].drawn))[:WRITTEN]
    scores = score(columns, sides, {REAL: members, HELD_OUT: others}, written=written, beside=beside[:WRITTEN])
    curves = {
        name: tuple(
            _by_unit(found, sides[side], at)
            for found, side, at in zip(each, (REAL, HELD_OUT), (members, others), strict=True)
        )
        for name, each in scores.items()
    }
    told = {
        "attacks": {name: summarize(*pair, delta=delta, attacks=len(curves)) for name, pair in curves.items()},
        "blind": _blind(columns, sides, {REAL: members, HELD_OUT: others}, seed),
    }
    return told, curves  # type: ignore[return-value]


def _chosen(sides: Mapping[str, Side], seed: int) -> tuple[Codes, Codes, Codes]:
    """Return places of members, of nonmembers, and of held-out records that an attacker has; none is on two sides.

    A record that both sides have is neither a member nor a nonmember, and units stay whole.
    """
    keys = {name: sides[name].keys[sides[name].drawn] for name in (REAL, HELD_OUT)}
    whose = {name: np.array(_units(sides[name]), object) for name in keys}
    rng = np.random.default_rng(seed)
    names = np.unique(whose[HELD_OUT].astype(str))
    known = set(rng.permutation(names)[: len(names) // 2].tolist())
    beside = np.array([str(one) in known for one in whose[HELD_OUT]], bool)
    alone = {
        REAL: ~np.isin(keys[REAL], keys[HELD_OUT]),
        HELD_OUT: ~np.isin(keys[HELD_OUT], keys[REAL]) & ~beside,
    }
    places = [_of_units(rng, whose[name], np.flatnonzero(alone[name])) for name in (REAL, HELD_OUT)]
    return places[0], places[1], rng.permutation(np.flatnonzero(beside))


def _of_units(rng: np.random.Generator, units: NDArray[Any], places: Codes) -> Codes:
    """Return the places of at most `MOST` units, all of each."""
    names = np.unique(units[places].astype(str))
    if len(names) <= MOST:
        return places
    kept = set(rng.permutation(names)[:MOST].tolist())
    return np.array([place for place in places.tolist() if str(units[place]) in kept], np.int64)


def _units(side: Side) -> list[str]:
    if side.units is None:
        return list(map(str, range(len(side.drawn))))
    return [unit or "" for unit in side.units]


def _by_unit(scores: Scores, side: Side, at: Codes) -> Scores:
    """Return the greatest score of each unit, of records alone the scores themselves."""
    if side.units is None:
        return scores
    names = np.array([side.units[k] or "" for k in at.tolist()], object)
    return np.array([scores[names == name].max() for name in np.unique(names.astype(str))])


def score(
    columns: Sequence[Coded], sides: Mapping[str, Side], at: Mapping[str, Codes], *, written: Codes, beside: Codes
) -> dict[str, list[Scores]]:
    """Return the scores of the records `at` each side, by attack: how near the nearest synthetic record is, and so on.

    `written` are synthetic records, `beside` held-out ones that the attacker has.
    """
    found: dict[str, list[Scores]] = {"nearest": [], "nearest, beside others": [], "rare pieces": []}
    rare = _Rare(columns, sides, written, beside)
    for name, places in at.items():
        near = _nearest(columns, sides, (name, places), (SYNTHETIC, written))
        other = _nearest(columns, sides, (name, places), (HELD_OUT, beside))
        found["nearest"].append(-near)
        found["nearest, beside others"].append(other - near)
        found["rare pieces"].append(rare(name, places))
    return found


def _nearest(
    columns: Sequence[Coded], sides: Mapping[str, Side], ours: tuple[str, Codes], theirs: tuple[str, Codes]
) -> Floats:
    """Return the distance, 0 to 1, of each of our records to the nearest of theirs: the mean over columns.

    Numbers differ by the share of real records between them, texts by 1 less the cosine of their words, other cells by
    1 unless they are the same.
    """
    (name, at), (other, among) = ours, theirs
    if not len(among):
        return np.ones(len(at))
    pairs = [_points(one, sides, (name, at), (other, among)) for one in columns]
    found = np.ones(len(at))
    for first in range(0, len(at), _BLOCK):
        block = slice(first, first + _BLOCK)
        apart = np.zeros((len(at[block]), len(among)), np.float32)
        for mine, others in pairs:
            apart += _apart(mine[block], others)
        found[block] = apart.min(1) / len(pairs)
    return found


def _points(one: Coded, sides: Mapping[str, Side], ours: tuple[str, Codes], theirs: tuple[str, Codes]) -> Any:
    parts = (ours, theirs)
    if one.is_text:
        cells = [[sides[name].columns[one.field.name][k] or "" for k in at] for name, at in parts]
        mine, others = weighted(cells[1], cells[0])[::-1]
        return mine.astype(np.float32), others.astype(np.float32)
    if one.values is None:
        return tuple(one.codes[name][at].astype(np.int32) for name, at in parts)
    known = np.sort(one.values[REAL][~np.isnan(one.values[REAL])])
    found = []
    for name, at in parts:
        values = one.values[name][at]
        low, high = (np.searchsorted(known, values, side=side) for side in ("left", "right"))
        placed = ((low + high) / 2 / max(len(known), 1)).astype(np.float32)
        placed[np.isnan(values)] = np.nan
        found.append(placed)
    return tuple(found)


def _apart(mine: Any, others: Any) -> NDArray[np.float32]:
    """Return the distances (mine, others)."""
    if sparse.issparse(mine):
        return np.asarray(1 - (mine @ others.T).toarray(), np.float32)
    if mine.dtype == np.int32:
        return np.asarray(mine[:, None] != others[None], np.float32)
    both = np.isnan(mine)[:, None] & np.isnan(others)[None]
    apart = np.abs(mine[:, None] - others[None])
    found: NDArray[np.float32] = np.where(both, 0, np.where(np.isnan(apart), 1, apart)).astype(np.float32)
    return found


class _Rare:
    """Scores records by their pieces that synthetic records have too: the rarer among others, the more they weigh.

    A piece is the value of a cell, or a run of three words.
    """

    def __init__(self, columns: Sequence[Coded], sides: Mapping[str, Side], written: Codes, beside: Codes) -> None:
        self._columns, self._sides = columns, sides
        self._weights = [self._weigh(one, written, beside) for one in columns]

    def _weigh(self, one: Coded, written: Codes, beside: Codes) -> Floats:
        if one.is_text:
            counts = [
                np.asarray((self._runs(one, name, at) > 0).sum(0)).ravel()
                for name, at in ((SYNTHETIC, written), (HELD_OUT, beside))
            ]
        else:
            size = max(int(codes.max(initial=0)) for codes in one.codes.values()) + 1
            counts = [
                np.bincount(one.codes[name][at], minlength=size)
                for name, at in ((SYNTHETIC, written), (HELD_OUT, beside))
            ]
        there = counts[0] > 0
        found: Floats = np.where(there, np.log((len(beside) + 1) / (counts[1] + 1)), 0.0)
        return found

    def _runs(self, one: Coded, name: str, at: Codes) -> sparse.csr_matrix:
        cells = self._sides[name].columns[one.field.name]
        return hashed([cells[k] or "" for k in at], run=RUN)

    def __call__(self, name: str, at: Codes) -> Scores:
        total = np.zeros(len(at))
        for one, weights in zip(self._columns, self._weights, strict=True):
            if one.is_text:
                runs = (self._runs(one, name, at) > 0).astype(float)
                total += (runs @ weights) / np.maximum(np.asarray(runs.sum(1)).ravel(), 1)
            else:
                total += weights[one.codes[name][at]]
        return total


def _blind(columns: Sequence[Coded], sides: Mapping[str, Side], at: Mapping[str, Codes], seed: int) -> dict[str, Any]:
    """Return, as JSON values, how well real and held-out records are told apart without any synthetic one."""
    parts, truth = [], np.repeat([1, 0], [len(places) for places in at.values()])
    for one in columns:
        if one.is_text:
            cells = [sides[name].columns[one.field.name][k] or "" for name, places in at.items() for k in places]
            parts.append(weighted(cells, [])[0])
            continue
        codes = np.concatenate([one.classes[name][places] for name, places in at.items()])
        parts.append(sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)),
                                       shape=(len(codes), one.many)))  # fmt: skip
        if one.values is not None:
            values = np.concatenate([one.values[name][places] for name, places in at.items()])
            ranks = stats.rankdata(np.where(np.isnan(values), np.inf, values)) / len(values)
            parts.append(sparse.csr_matrix(ranks[:, None]))
    features = sparse.hstack(parts).tocsr()
    fold = np.random.default_rng(seed).permutation(len(truth)) % FOLDS
    areas = []
    for k in range(FOLDS):
        known = fold != k
        model = LogisticRegression(C=0.1, max_iter=200).fit(features[known], truth[known])
        guessed = model.decision_function(features[~known])
        areas.append(auc(guessed[truth[~known] == 1], guessed[truth[~known] == 0]))
    area, counts = float(np.mean(areas)), np.bincount(truth)
    ends = blind_interval(area, int(counts[1]), int(counts[0]), FOLDS)
    return {"auc": area, "auc_interval": ends, "folds": FOLDS, "shift": ends[0] > 0.5}
