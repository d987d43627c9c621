"""How true synthetic records are: marginals of one column and of two, associations, tails, and what is never written.

Each figure stands beside that of held-out records, which are as true as records can be: what is above theirs is what
the synthesis lost. Figures of one and of two columns are over equally many synthetic and held-out records.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, Coded, Codes
from ult.audit.synth.side import Side

CLASSES = 12  # of a column in marginals of two columns
PAIRS = 1000  # pairs of columns that are compared
TAIL = 0.01  # the share of real records in each tail
SELDOM = 5  # real records that a value must have, so that it counts as never written


def fidelity(columns: Sequence[Coded], sides: Mapping[str, Side], *, seed: int) -> dict[str, Any]:
    """Return the figures as JSON values; those of `held_out` are None without that side."""
    others = [name for name in (SYNTHETIC, HELD_OUT) if name in sides]
    n = min(len(sides[name].drawn) for name in others)
    rng = np.random.default_rng(seed)
    drawn = {name: np.sort(rng.permutation(len(sides[name].drawn))[:n]) for name in others}
    ones = [_one(column, drawn) for column in columns]
    twos = list(_two(columns, drawn))
    worst = max(twos, key=lambda one: one["synthetic"], default=None)
    wrong = np.zeros(len(sides[SYNTHETIC].drawn), bool)
    for column in columns:
        wrong |= column.wrong[SYNTHETIC]
    return {
        "compared": n,
        "invalid": int(wrong.sum()),
        "of": len(wrong),
        "columns": ones,
        "one_way": _both(ones, "total_variation"),
        "two_way": {**_both(twos, None), "pairs": len(twos), "worst": worst},
        "associations": _associations(twos),
    }


def _one(column: Coded, drawn: Mapping[str, Codes]) -> dict[str, Any]:
    """Return the figures of one column."""
    real = column.classes[REAL]
    told: dict[str, Any] = {
        "column": column.field.name,
        "kind": column.field.kind,
        "total_variation": {
            _key(name): _variation(real, column.classes[name][at], column.many) for name, at in drawn.items()
        },
        "missing": {_key(name): float((codes == 0).mean()) for name, codes in column.codes.items()},
        "invalid": int(column.wrong[SYNTHETIC].sum()),
    }
    if column.values is not None:
        told["tails"] = _tails(column)
    else:
        told |= _never(column)
    return told


def _variation(real: Codes, other: Codes, many: int) -> float:
    """Return the total variation distance of two columns, or pairs of columns, of classes: 0 to 1."""
    shares = [np.bincount(codes, minlength=many) / max(len(codes), 1) for codes in (real, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _tails(column: Coded) -> dict[str, float]:
    """Return the share of each side's values that lie beyond the real records' outer percentiles: 0.02 is as many."""
    values = column.values or {}
    there = {name: each[~np.isnan(each)] for name, each in values.items()}
    if not len(there[REAL]):
        return {}
    low, high = np.quantile(there[REAL], [TAIL, 1 - TAIL])
    return {_key(name): float(((each < low) | (each > high)).mean()) for name, each in there.items() if len(each)}


def _never(column: Coded) -> dict[str, Any]:
    """Return how many values real records have that synthetic ones never do, and the reverse."""
    codes, counts = np.unique(column.codes[REAL], return_counts=True)
    known = codes[counts >= SELDOM]
    lost = ~np.isin(known, column.codes[SYNTHETIC])
    new = ~np.isin(column.codes[SYNTHETIC], codes)
    return {
        "values": len(known),
        "never_written": int(lost.sum()),
        "never_written_share": float(counts[counts >= SELDOM][lost].sum() / max(counts.sum(), 1)),
        "new": float(new.mean()),
    }


def _two(columns: Sequence[Coded], drawn: Mapping[str, Codes]) -> Iterator[dict[str, Any]]:
    """Yield the figures of pairs of columns, at most `PAIRS`."""
    merged = [_merged(column) for column in columns]
    for a, b in itertools.islice(itertools.combinations(range(len(columns)), 2), PAIRS):
        many = merged[a][1] * merged[b][1]
        pairs = {name: merged[a][0][name] * merged[b][1] + merged[b][0][name] for name in columns[a].classes}
        pairs = {name: codes[drawn[name]] if name in drawn else codes for name, codes in pairs.items()}
        shape = (merged[a][1], merged[b][1])
        yield {
            "columns": [columns[a].field.name, columns[b].field.name],
            **{_key(name): _variation(pairs[REAL], pairs[name], many) for name in drawn},
            "association": {_key(name): _association(codes, shape) for name, codes in pairs.items()},
        }


def _merged(column: Coded) -> tuple[dict[str, Codes], int]:
    """Return the classes with all but the commonest of the real records merged into one."""
    counts = np.bincount(column.classes[REAL], minlength=column.many)
    order = np.argsort(-counts, kind="stable")
    new = np.full(column.many, min(column.many, CLASSES) - 1)
    new[order[: CLASSES - 1]] = np.arange(min(column.many, CLASSES - 1))
    return {name: new[codes] for name, codes in column.classes.items()}, min(column.many, CLASSES)


def _association(codes: Codes, shape: tuple[int, int]) -> float:
    """Return Cramér's V of two columns, corrected for their numbers of classes (Bergsma 2013): 0 to 1."""
    counts = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    n, (r, k) = counts.sum(), counts.shape
    if min(r, k) < 2 or n < 2:
        return 0.0
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    phi = ((counts - expected) ** 2 / expected).sum() / n
    phi = max(0.0, phi - (r - 1) * (k - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / least)) if least > 0 else 0.0


def _associations(twos: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the mean difference of the associations from those of the real records."""
    found: dict[str, float | None] = {"synthetic": None, "held_out": None}
    for name in found:
        gaps = [
            abs(one["association"][name] - one["association"]["real"]) for one in twos if name in one["association"]
        ]
        found[name] = float(np.mean(gaps)) if gaps else None
    return found


def _both(found: Sequence[Mapping[str, Any]], part: str | None) -> dict[str, float | None]:
    told = {}
    for name in ("synthetic", "held_out"):
        each = [one[part][name] if part else one[name] for one in found if name in (one[part] if part else one)]
        told[name] = float(np.mean(each)) if each else None
    return told


def _key(name: str) -> str:
    """Return the name of a side in JSON."""
    return name.replace("-", "_")
