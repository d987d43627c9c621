"""Positions: ids that stand as often near the start or the end of a record are taken for the same.

For codes of patches of fixed size, where the place in a patch tells much, records start as patches do. Where all
records are as long, as those of wide tables are, each place counts: a gene's values are its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import MOST, assign

PLACES = 12  # from each end of a record; the rest is one place more
LONGEST = 1024  # ids of records that are all as long, if each place shall count
FREQUENCY = 0.1  # weight of squared differences of log shares, beside a similarity of at most 1


def by_position(target: Coded, reference: Coded) -> Guess:
    """Match histograms of places in the record, and counts, by linear assignment."""
    lengths = {int(n) for coded in (target, reference) for n in coded.ends - coded.starts}
    near = max(lengths) if len(lengths) == 1 and max(lengths) <= LONGEST else PLACES
    rows, columns = target.order[:MOST], reference.order[:MOST]
    similarity = np.sqrt(places(target, near)[rows]) @ np.sqrt(places(reference, near)[columns]).T
    found = assign(similarity - FREQUENCY * log_distance(target, reference)[np.ix_(rows, columns)])
    guess = np.full(len(target.ids), -1)
    guess[rows] = np.where(found >= 0, columns[found], -1)
    return guess


def places(coded: Coded, near: int = PLACES) -> NDArray[np.float64]:
    """Return the share of each kind's occurrences at each place, (k, 2 * near + 1), rows of sum 1."""
    lengths = coded.ends - coded.starts
    place = np.arange(len(coded.kinds)) - np.repeat(coded.starts, lengths)
    to_end = np.repeat(lengths, lengths) - 1 - place
    column = np.where(place < near, place, np.where(to_end < near, near + 1 + to_end, near))
    width = 2 * near + 1
    table = np.bincount(coded.kinds * width + column, minlength=len(coded.ids) * width).reshape(-1, width)
    shares: NDArray[np.float64] = table / table.sum(1, keepdims=True)
    return shares


def log_distance(target: Coded, reference: Coded) -> NDArray[np.float64]:
    """Return the squared difference of the logarithms of the shares of kinds, (k of target, k of reference)."""
    return (target.shares[:, None] - reference.shares[None, :]) ** 2
