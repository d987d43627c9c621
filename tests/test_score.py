"""Scores of attacks, on cases whose answer is known; and the plain frequency attack."""

import numpy as np
import pytest

from ult.audit.code.adversary import Adversary
from ult.audit.code.evidence import Coded
from ult.audit.code.frequency import by_frequency
from ult.audit.code.interval import over_records
from ult.audit.code.score import phrases, score
from ult.codecs.bwt import TextBwt
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary

BYTES = Vocabulary(N_SPECIAL + 256)  # single bytes, no phrase


def table(*records, vocabulary=BYTES, codec="text/bytes"):
    return Table.fit(records, codec=codec, vocabulary=vocabulary, min_records=1)


def ranks_matched(records, truth, adversary):
    target = Coded.of(records)
    return adversary.score(adversary.named(by_frequency(target, adversary.reference)), target, truth)


def test_evidence_of_two_records():
    coded = Coded.of([np.array([40, 33, 40], np.uint32), np.array([99], np.uint32)])
    assert coded.kinds.tolist() == [1, 0, 1, 2]
    assert coded.ids.tolist() == [33, 40, 99]
    assert coded.counts.tolist() == [1, 2, 1]
    assert coded.order.tolist() == [1, 0, 2]
    assert coded.starts.tolist() == [0, 3]
    assert coded.framed(2).tolist() == [0, 0, 2, 1, 2, 0, 0, 3, 0, 0]


def test_guesses_are_scored_by_occurrence_by_type_and_by_patch():
    truth = table("ab ab ab c")
    target = Coded.of(truth.encode_batch(["ab ab", "c ab"]))  # patches ab, _ab | c, _ab
    letters = {phrase: np.frombuffer(phrase, np.uint32).tolist() for phrase in phrases(truth)}
    of = {chr(symbols[0]): phrase for phrase, symbols in letters.items()}
    right = [phrases(truth)[i - N_SPECIAL] for i in target.ids]
    about = {"target": target, "truth": truth, "commonest": of["a"], "nameable": {of["a"], of["b"]}}
    whole = score(right, **about)
    assert (whole.units, whole.kinds, whole.occurrences, whole.types, whole.patches) == (9, 4, 1, 1, 1)
    assert (whole.blind, whole.ceiling) == pytest.approx((3 / 9, 6 / 9))
    partly = score([None if phrase == of[" "] else phrase for phrase in right], **about)
    assert partly.occurrences == pytest.approx(7 / 9)
    assert (partly.types, partly.patches) == (0.75, 0.5)
    wrong = score([of["z"]] * 4, **about)
    assert (wrong.occurrences, wrong.types, wrong.patches) == (0, 0, 0)


def test_frequency_ranks_of_a_known_case():
    truth = table("aaaaabbbccd")
    adversary = Adversary.fitted(truth, ["bbbbbaaacce"])  # a and b change places, c stays, d is unheard of
    found = ranks_matched(truth.encode_batch(["aaaaabbbccd"]), truth, adversary)
    assert (found.units, found.kinds) == (11, 4)
    assert found.occurrences == pytest.approx(2 / 11)
    assert found.types == pytest.approx(1 / 4)
    assert found.blind == pytest.approx(3 / 11)  # "b" for everything
    assert found.ceiling == pytest.approx(10 / 11)  # its table holds every byte, its records hold no d
    assert found.patches == 0


def test_own_data_gives_all_away():
    record = "".join(letter * times for times, letter in enumerate("abcdefg", start=1))
    truth = table(record)
    found = ranks_matched(truth.encode_batch([record]), truth, Adversary(truth, [record]))
    assert found.occurrences == found.types == found.patches == found.ceiling == 1


def test_ceiling_counts_what_the_adversary_could_name():
    truth = table("ab ab ab xy xy", vocabulary=Vocabulary(N_SPECIAL + 260))
    adversary = Adversary.fitted(truth, ["ab ab ab zz zz"])
    found = ranks_matched(truth.encode_batch(["ab ab ab xy xy"]), truth, adversary)
    assert 0 < found.occurrences <= found.ceiling < 1


def test_another_codec_is_refused():
    bwt = table("abc", vocabulary=Vocabulary(512), codec=TextBwt())
    with pytest.raises(InvalidConfig, match="expected the same"):
        ranks_matched(bwt.encode_batch(["abc"]), bwt, Adversary(table("abc"), ["abc"]))


def test_no_ids_and_foreign_ids_are_refused():
    truth = table("abc")
    with pytest.raises(InvalidConfig, match="no ids"):
        Coded.of([])
    for wrong in (0, truth.size):
        with pytest.raises(CorruptSymbols):
            ranks_matched([np.array([wrong], np.uint32)], truth, Adversary(truth, ["abc"]))


def test_few_records_prove_little_and_one_proves_nothing():
    none = np.array([False])
    for n, most in ((1, 1.0), (20, 0.1684), (1000, 0.0037)):  # Clopper and Pearson of 0 in n
        records = Coded(np.zeros(5 * n, np.int64), np.arange(5, 5 * n + 1, 5), np.arange(1))
        assert over_records(none, records) == [0.0, pytest.approx(most, abs=1e-4)]
        assert over_records(~none, records) == [pytest.approx(1 - most, abs=1e-4), 1.0]


@pytest.mark.parametrize("mean", [0.02, 0.4, 0.9])
def test_the_interval_over_records_holds_the_share_that_records_are_drawn_from(mean):
    """Records of uneven length, some read well and some not: of 150 draws about 95 % hold it, so do few records."""
    rng, held = np.random.default_rng(0), {5: 0, 60: 0}
    for n in held:
        for _ in range(150):
            lengths = rng.integers(0, 60, n) + 1
            right = [rng.random(size) < p for size, p in zip(lengths, rng.beta(8 * mean, 8 - 8 * mean, n), strict=True)]
            drawn = Coded(np.concatenate(right).astype(np.int64), np.cumsum(lengths), np.arange(2))
            low, high = over_records(np.array([False, True]), drawn)
            held[n] += low <= mean <= high
    assert min(held.values()) >= 0.88 * 150


def test_records_of_equal_ids_are_no_more_evidence_than_one_id_each():
    whole = np.repeat([1] * 12 + [0] * 8, 50)  # 20 records of 50 ids, each read wholly or not
    drawn = Coded(whole, np.arange(50, 1001, 50), np.arange(2))
    low, high = over_records(np.array([False, True]), drawn)
    assert low < 0.37
    assert high > 0.80
    mixed = Coded(np.tile([1] * 3 + [0] * 2, 200), np.arange(50, 1001, 50), np.arange(2))
    low, high = over_records(np.array([False, True]), mixed)
    assert high - low > 0.3  # they do not scatter: 20 records still


def test_the_ceiling_of_a_tiny_reference_is_what_it_holds():
    truth = table("abcabcabc")
    found = ranks_matched(truth.encode_batch(["abcabcabc"]), truth, Adversary.fitted(truth, ["bb"]))
    assert found.ceiling == pytest.approx(3 / 9)
    assert found.occurrences <= found.ceiling
