"""The frequency attack, on cases whose answer is known."""

import numpy as np
import pytest

from ult.audit.frequency import frequency_attack
from ult.codecs.bwt import TextBwt
from ult.errors import CorruptSymbols, InvalidConfig
from ult.table import Table
from ult.vocabulary import N_SPECIAL, Vocabulary

BYTES = Vocabulary(N_SPECIAL + 256)  # single bytes, no phrase


def table(*records, vocabulary=BYTES, codec="text/bytes"):
    return Table.fit(records, codec=codec, vocabulary=vocabulary)


def test_known_answer():
    truth, known = table("aaaaabbbccd"), table("bbbbbaaacce")  # a and b change places, c stays, d is unheard of
    scores = frequency_attack(truth.encode_batch(["aaaaabbbccd"]), known=known, truth=truth)
    assert (scores.n, scores.types) == (11, 4)
    assert scores.occurrences == pytest.approx(2 / 11)
    assert scores.distinct == pytest.approx(1 / 4)
    assert scores.blind == pytest.approx(3 / 11)  # "b" for everything
    assert scores.ceiling == 1  # a table holds every byte


def test_own_data_gives_all_away():
    records = ["to be or not to be", "that is the question"] * 3
    truth = table(*records, vocabulary=Vocabulary(320))
    scores = frequency_attack(truth.encode_batch(records), known=truth, truth=truth)
    # Phrases count as they were when they were learned, so the ranks of the evidence are the table's own.
    assert scores.occurrences == scores.distinct == scores.ceiling == 1


def test_more_of_the_same_changes_nothing():
    truth, known = table("aaaaabbbccd"), table("bbbbbaaacce")
    ids = truth.encode_batch(["aaaaabbbccd"])
    once, thrice = (frequency_attack(ids * k, known=known, truth=truth) for k in (1, 3))
    assert (thrice.n, once.n) == (33, 11)
    assert (thrice.occurrences, thrice.distinct, thrice.blind) == (once.occurrences, once.distinct, once.blind)


def test_a_secret_permutation_of_the_ids_changes_nothing():
    truth, known = table("aaaaabbbccd"), table("aaaaaabbbcce")
    order = np.random.default_rng(0).permutation(len(truth._ranks))
    shuffled = Table(
        codec=truth.codec,
        vocabulary=truth.vocabulary,
        merges=truth._merges,
        ranks=truth._ranks[order],
        counts=truth._counts[order],
        records=1,
        min_records=1,
    )
    plain, hidden = (frequency_attack(t.encode_batch(["aaaaabbbccd"]), known=known, truth=t) for t in (truth, shuffled))
    assert plain == hidden
    assert plain.occurrences == pytest.approx(10 / 11)


def test_ceiling_counts_what_the_adversary_could_name():
    truth = table("ab ab ab xy xy", vocabulary=Vocabulary(N_SPECIAL + 260))
    known = table("ab ab ab zz zz", vocabulary=Vocabulary(N_SPECIAL + 260))
    scores = frequency_attack(truth.encode_batch(["ab ab ab xy xy"]), known=known, truth=truth)
    assert 0 < scores.occurrences <= scores.ceiling < 1


def test_another_codec_is_refused():
    bwt = table("abc", vocabulary=Vocabulary(512), codec=TextBwt())
    with pytest.raises(InvalidConfig, match="expected the same"):
        frequency_attack(bwt.encode_batch(["abc"]), known=table("abc"), truth=bwt)


def test_no_ids_and_foreign_ids_are_refused():
    truth = table("abc")
    with pytest.raises(InvalidConfig, match="no ids"):
        frequency_attack([], known=truth, truth=truth)
    for wrong in (0, truth.size):
        with pytest.raises(CorruptSymbols):
            frequency_attack([np.array([wrong], np.uint32)], known=truth, truth=truth)
