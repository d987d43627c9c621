"""Attacks on codes: planted codes that must be read, one that nobody can read, and parts checked by hand."""

import numpy as np
import pytest

from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import ATTACKS, SIZES, attack, first, guesses, sizes
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.frequency import by_rank
from ult.audit.code.homophones import spread
from ult.audit.code.known_plaintext import by_plaintext
from ult.audit.code.matching import align_graphs, assign, neighbours
from ult.audit.code.position import PLACES, places
from ult.audit.code.trigrams import by_trigrams
from ult.codecs.bwt import TextBwt
from ult.data import open_source
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary


@pytest.fixture(scope="module")
def topics():
    """Paragraphs of Python's help topics: the owner's, and the adversary's."""
    return [list(open_source([f"sample:topics?owner={who}"], modality="text", column="text")) for who in "ab"]


@pytest.fixture(scope="module")
def letters(topics):
    """The papers' compressor without phrases: target, reference, and the true partner of each kind."""
    codec = TextBwt(patch_size=10)
    truth = Table.fit(topics[0], codec=codec, vocabulary=Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    adversary = Adversary.fitted(truth, topics[1])
    return truth, Coded.of(truth.encode_batch(topics[0])), adversary


def share(name, letters):
    truth, target, adversary = letters
    return adversary.score(adversary.named(ATTACKS[name](target, adversary.reference)), target, truth)


def test_planted_code_is_read_the_better_the_more_an_attack_uses(letters):
    found = {name: share(name, letters) for name in ATTACKS}
    assert found["frequency ranks"].occurrences > 0.25
    assert found["positions"].occurrences > 0.7
    assert found["bigram graph"].occurrences > 0.95
    assert found["co-occurrence"].occurrences > 0.97
    assert found["co-occurrence"].patches > 0.75
    assert all(one.blind < 0.2 and one.ceiling > 0.999 for one in found.values())


def test_a_secret_permutation_changes_nothing(letters):
    _, target, adversary = letters
    secret = np.random.default_rng(0).permutation(len(target.ids))
    hidden = Coded(secret[target.kinds], target.ends, target.ids)
    plain, found = by_context(target, adversary.reference), by_context(hidden, adversary.reference)
    counts = target.counts
    assert counts[found[secret] == plain].sum() / counts.sum() > 0.97  # rare kinds of equal counts may change places


def test_ids_that_are_ranks_are_read_much_better(topics):
    """Few ids of many phrases: their counts tell little, their ranks much, and a secret permutation takes that away."""
    truth = Table.fit(topics[0], vocabulary=Vocabulary(700), min_records=5)
    adversary = Adversary.fitted(truth, topics[1])
    target = Coded.of(first(truth.encode_batch(topics[0]), 2000))
    assert target.tells_ranks
    hidden, places = target.hidden(np.random.default_rng(1))
    assert not Coded.of([hidden.kinds]).tells_ranks

    def read(guess):
        return adversary.score(adversary.named(guess), target, truth)

    plain = read(by_context(hidden, adversary.reference)[places])
    ranked = read(by_context(target.ranked(adversary.reference), adversary.reference))
    alone = read(by_rank(target, adversary.reference))
    assert ranked.occurrences > plain.occurrences + 0.05
    assert ranked.occurrences_interval[0] > plain.occurrences_interval[1]
    assert plain.blind < alone.occurrences < ranked.occurrences


def test_attacks_read_ranks_off_the_ids_alone(topics):
    """The audit tries ranks where ids tell them; with secret ids neither says anything of ranks."""
    tables = [
        Table.fit(topics[0], vocabulary=Vocabulary(330), secret_ids=secret, min_records=1) for secret in (False, True)
    ]
    for table, tried in zip(tables, (True, False), strict=True):
        ids = table.encode_batch(topics[0][:8])
        found = list(attack(ids, adversary=Adversary.fitted(table, topics[1]), truth=table, plaintext=False))
        assert ("rank alone" in [one["name"] for one in found]) == tried


def test_a_rank_is_taken_for_the_phrase_of_that_rank():
    reference = Coded.of([np.array([50, 50, 50, 40, 40, 70])])
    target = Coded.of([np.array([N_SPECIAL + 1, N_SPECIAL, N_SPECIAL + 9])])
    assert by_rank(target, reference).tolist() == [1, 0, -1]  # 50 is the commonest, then 40; there is no tenth
    ranked = target.ranked(reference)
    assert np.exp(ranked.expected).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 12])
    assert ranked.order.tolist() == [0, 1, 2]
    often = Coded.of([np.repeat(target.ids, [1, 5000, 5000])]).ranked(reference)
    assert np.exp(often.shares[1:]) == pytest.approx(
        [1 / 2, 1 / 2], abs=0.08
    )  # what is seen outweighs what is expected


def test_permuted_phrases_are_read(topics):
    truth = Table.fit(topics[0], vocabulary=Vocabulary(700), min_records=5)
    told = Adversary(truth, topics[1])
    ids = np.random.default_rng(0).permutation(truth.size - N_SPECIAL)
    target = Coded.of(truth.encode_batch(topics[0]))
    hidden = Coded.of([ids[kinds] for kinds in np.split(target.ids[target.kinds] - N_SPECIAL, target.ends[:-1])])
    guess = by_context(hidden, told.reference)
    named = told.reference.ids[guess] - N_SPECIAL
    right = ids[named] == hidden.ids
    assert hidden.counts[right].sum() / len(hidden.kinds) > 0.75
    assert right.mean() < 1


def test_homophones_are_read(letters):
    """Each letter is written by many ids, all about as common."""
    _, target, adversary = letters
    hidden, meant = spread(target, 400, np.random.default_rng(1))
    assert hidden.counts.max() < target.counts.max() / 5
    true = target.ids[meant]
    found = dict(guesses(hidden, adversary.reference, values=False))
    share = {name: hidden.counts[adversary.reference.ids[guess] == true].sum() for name, guess in found.items()}
    assert share["homophones"] > 0.6 * len(hidden.kinds)
    assert max(n for name, n in share.items() if name != "homophones") < 0.5 * share["homophones"]


def test_trigrams_mend_what_co_occurrence_took_for_another(letters):
    _, target, adversary = letters
    guess = by_context(target, adversary.reference)
    common = target.order[:20]
    wrong = guess.copy()
    wrong[common[4:8]] = guess[common[[5, 4, 7, 6]]]
    mended = by_trigrams(target, adversary.reference, wrong)
    assert (mended[common] == guess[common]).mean() > 0.9


def test_of_many_kinds_the_commonest_are_matched_together_and_others_by_them(letters, monkeypatch):
    _, target, adversary = letters
    whole = share("co-occurrence", letters).occurrences
    for name, most in (("cooccurrence.MOST", 60), ("cooccurrence.RARE", 500), ("position.MOST", 60)):
        monkeypatch.setattr(f"ult.audit.code.{name}", most)
    assert share("co-occurrence", letters).occurrences > whole - 0.02
    monkeypatch.setattr("ult.audit.code.cooccurrence.RARE", 0)
    guess = by_context(target, adversary.reference)
    assert (guess >= 0).sum() == 60
    assert set(np.flatnonzero(guess >= 0).tolist()) == set(target.order[:60].tolist())
    assert 0.5 < share("positions", letters).occurrences < whole


def test_ids_without_structure_are_not_read(letters):
    """Ids that stand about as often, in any order: nobody can do better than guess."""
    _, _, adversary = letters
    random = np.random.default_rng(0)
    secret = [np.repeat(k, n) for k, n in enumerate(random.integers(50, 60, 100))]
    target = Coded.of(np.array_split(random.permutation(np.concatenate(secret)), 50))
    meant = random.integers(0, len(adversary.reference.ids), len(target.ids))
    for name, match in ATTACKS.items():
        right = match(target, adversary.reference) == meant
        assert right.mean() < 0.06, name


def test_known_plaintext(topics):
    truth = Table.fit(topics[0], vocabulary=Vocabulary(512), min_records=5)
    held = truth.encode_batch(topics[0])
    target, adversary = Coded.of(held), Adversary.fitted(truth, topics[1])
    few, many = (
        adversary.score(
            by_plaintext(target, truth.codec.encode_batch(topics[0][:n]), adversary.own), target, truth
        ).occurrences
        for n in (1, 40)
    )
    assert few < 0.5
    assert many > 0.85


def test_known_plaintext_of_one_symbol_an_id_is_read_off():
    truth = Table.fit(["abc abd"], vocabulary=Vocabulary(N_SPECIAL + 256), min_records=1)
    target = Coded.of(truth.encode_batch(["abc abd", "abz"]))
    guess = by_plaintext(target, truth.codec.encode_batch(["abc abd"]), {})
    spelled = {i - N_SPECIAL: s for i, s in zip(target.ids.tolist(), guess, strict=True)}
    said = [spelled[i - N_SPECIAL] for i in truth.encode("abc d").tolist()]
    assert [np.frombuffer(one, np.uint32).tolist() for one in said] == [[ord(c)] for c in "abc d"]
    assert spelled[int(truth.encode("z")[0]) - N_SPECIAL] is None


def test_known_plaintext_too_long_is_passed_over(monkeypatch):
    monkeypatch.setattr("ult.audit.code.known_plaintext.LONGEST_RECORD", 3)
    truth = Table.fit(["abcd"], vocabulary=Vocabulary(N_SPECIAL + 256), min_records=1)
    guess = by_plaintext(Coded.of(truth.encode_batch(["abcd"])), truth.codec.encode_batch(["abcd"]), {})
    assert guess == [None] * 4


def test_neighbours_and_places_by_hand():
    coded = Coded.of([np.array([7, 8, 7]), np.array([8])])
    after, before = (found.toarray().tolist() for found in neighbours(coded, range(1, 2)))
    assert after == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]  # the edge, then 7, then 8
    assert before == np.array(after).T.tolist()
    where = places(coded)
    assert where.shape == (2, 2 * PLACES + 1)
    assert where[0, [0, 2]].tolist() == [0.5, 0.5]
    assert where[1, [0, 1]].tolist() == [0.5, 0.5]


def test_assignment_leaves_over_what_has_no_partner():
    assert assign(np.array([[1.0], [3.0], [2.0]])).tolist() == [-1, 0, -1]


def test_graphs_are_aligned():
    random = np.random.default_rng(0)
    first, order = random.random((12, 12)), random.permutation(12)
    second = np.empty_like(first)
    second[np.ix_(order, order)] = first
    start = order.copy()
    start[:4] = order[[1, 2, 3, 0]]
    assert align_graphs(first, second, start).tolist() == order.tolist()


def test_sizes_and_records_of_them():
    assert sizes(500) == [500]
    assert sizes(20_000) == [1_000, 10_000, 20_000]
    assert sizes(SIZES[-1]) == list(SIZES)
    records = [np.zeros(n, np.uint32) for n in (3, 4, 5)]
    assert [len(first(records, units)) for units in (1, 3, 4, 7, 8, 12)] == [1, 1, 2, 2, 3, 3]


def test_all_attacks_are_scored_at_every_size(topics):
    codec = TextBwt(patch_size=10)
    truth = Table.fit(topics[0], codec=codec, vocabulary=Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    adversary = Adversary.fitted(truth, topics[1][:100])
    found = list(attack(truth.encode_batch(topics[0][:20]), adversary=adversary, truth=truth, told=adversary))
    names = ["rank alone", "co-occurrence without ranks", *ATTACKS, "trigrams", "bigram likelihood"]
    names.append("co-occurrence, phrases known")
    assert [one["name"] for one in found][: 2 * len(names)] == names * 2
    assert [one["name"] for one in found][2 * len(names) :] == [f"known plaintext, {n} records" for n in (1, 10)]
    assert {"units", "occurrences", "types", "patches", "blind"} < set(found[0])
    assert 1000 <= found[0]["units"] < found[-1]["units"] == sum(map(len, truth.encode_batch(topics[0][:20])))


def test_workers_change_nothing(topics, letters):
    truth, _, adversary = letters
    records = truth.encode_batch(topics[0])[:3]
    options = {"adversary": adversary, "truth": truth, "told": adversary, "plaintext": False}
    alone, together = (list(attack(records, **options, workers=workers)) for workers in (1, 2))
    assert alone == together
    named = ["rank alone", "co-occurrence without ranks", *ATTACKS, "trigrams", "bigram likelihood"]
    assert [one["name"] for one in alone] == [*named, "co-occurrence, phrases known"]
