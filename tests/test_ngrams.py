"""The counts of n-grams that language models of the rows stand beside."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "runs"))

from lib import ngrams


@pytest.mark.parametrize(("order", "told"), [(1, 1 - (1 - 6 / 17) ** 8), (2, 0.99), (3, 0.99)])
def test_counts_of_ngrams_share_out_all_of_the_probability(order, told):
    """All records of fewer than 8 ids: no less than all but long ones, and never more than 1."""
    known = [np.array(one, int) for one in ([1, 1, 2], [2], [], [1, 2], [1], [2, 2, 1])]
    model = ngrams.Counts(known, 4, order)
    every = [np.array(one, int) for n in range(8) for one in itertools.product((1, 2, 3), repeat=n)]
    assert told - 0.02 < sum(2 ** -model.bits([one]) for one in every) < 1
