"""Match ids by their positions: an id and a phrase that are equally frequent near the ends of records correspond.

It suits codes with patches of fixed size, because records start as patches do. If all records are equally long, as the
rows of a file of numbers are, every position has a histogram of its own: each gene has its own distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.matching import MOST, assign

PLACES = 12  # positions that are distinguished at each end of a record; the rest counts as one more
LONGEST = 1024  # ids: records of equal length up to this have all their positions distinguished
FREQUENCY = 0.1  # weight of the squared difference of log shares, relative to a similarity of at most 1


def by_position(target: Coded, reference: Coded) -> Guess:
    """Match kinds by the histograms of their positions and by their counts, by linear assignment."""
    lengths = {int(n) for coded in (target, reference) for n in coded.ends - coded.starts}
    near = max(lengths) if len(lengths) == 1 and max(lengths) <= LONGEST else PLACES
    rows, columns = target.order[:MOST], reference.order[:MOST]
    similarity = np.sqrt(places(target, near)[rows]) @ np.sqrt(places(reference, near)[columns]).T
    assigned = assign(similarity - FREQUENCY * log_distance(target, reference)[np.ix_(rows, columns)])
    guess = np.full(len(target.ids), -1)
    guess[rows] = np.where(assigned >= 0, columns[assigned], -1)
    return guess


def places(coded: Coded, near: int = PLACES) -> NDArray[np.float64]:
    """Return the share of each kind's occurrences at each position, (k, 2 * near + 1); rows sum to 1."""
    lengths = coded.ends - coded.starts
    place = np.arange(len(coded.kinds)) - np.repeat(coded.starts, lengths)
    to_end = np.repeat(lengths, lengths) - 1 - place
    column = np.where(place < near, place, np.where(to_end < near, near + 1 + to_end, near))
    width = 2 * near + 1
    counts = np.bincount(coded.kinds * width + column, minlength=len(coded.ids) * width).reshape(-1, width)
    shares: NDArray[np.float64] = counts / counts.sum(1, keepdims=True)
    return shares


def log_distance(target: Coded, reference: Coded) -> NDArray[np.float64]:
    """Return the squared differences of the log shares of kinds, (kinds of target, kinds of reference)."""
    return (target.shares[:, None] - reference.shares[None, :]) ** 2
