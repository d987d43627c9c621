"""Attacks on codes of values: seriation, and images and series reconstructed from guesses."""

import numpy as np
import pytest

from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import ATTACKS, attack
from ult.audit.code.evidence import Coded
from ult.audit.code.position import PLACES, places
from ult.audit.code.reconstruct import MOST, Rebuilder
from ult.audit.code.score import true_phrases
from ult.audit.code.seriation import by_order, layout
from ult.codecs.image import ImageDct
from ult.codecs.levels import SeriesLevels
from ult.codecs.series import SeriesMulaw
from ult.data import open_source
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary


def walks(n, *, seed):
    """Series that go up and down slowly, more often at the top."""
    rng = np.random.default_rng(seed)
    starts, speeds = rng.uniform(0, 7, (2, n, 1))
    return list(np.sqrt(1.05 + np.sin(starts + (0.05 + speeds / 70) * np.arange(80))))


@pytest.fixture(scope="module")
def series():
    codec = SeriesMulaw(low=0.0, high=1.5, mu=0.01, levels=30, patch_size=1)
    truth = Table.fit(walks(60, seed=0), codec=codec, vocabulary=Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    return truth, Adversary.fitted(truth, walks(60, seed=1)), truth.encode_batch(walks(60, seed=0))


def test_a_series_code_is_laid_out_in_the_order_of_its_values(series):
    truth, _, ids = series
    target = Coded.of(ids)
    values = [float(truth.decode([id_])[0]) for id_ in target.ids[layout(target)]]
    assert values == sorted(values) or values == sorted(values)[::-1]


def test_order_reads_series_whatever_their_ids(series):
    truth, adversary, ids = series
    target = Coded.of(ids)
    found = adversary.recovered(adversary.named(by_order(target, adversary.reference)), target, truth)
    assert found["occurrences"] > 0.5
    assert found["psnr"] > found["psnr_blind"] + 15
    assert 5 < found["psnr_blind"] < 20
    plain = adversary.recovered(adversary.named(ATTACKS["frequency ranks"](target, adversary.reference)), target, truth)
    assert plain["psnr"] < found["psnr"] - 10


def test_order_is_tried_on_values_alone(series):
    truth, adversary, ids = series
    found = list(attack(ids, adversary=adversary, truth=truth, plaintext=False))
    assert [one["name"] for one in found[:9]] == [
        "rank alone", "co-occurrence without ranks", *ATTACKS, "trigrams", "bigram likelihood", "order",
    ]  # fmt: skip
    assert not [one for one in found if one["name"].startswith("known")]


def test_every_place_counts_where_all_records_are_as_long():
    coded = Coded.of([np.arange(40)] * 2)
    assert places(coded).max(1)[20] == 1
    assert places(coded)[12:28, PLACES].tolist() == [1] * 16
    assert (places(coded, 40).argmax(1) == np.arange(40)).all()


@pytest.fixture(scope="module")
def digits():
    """Images of the demo's digits, two halves, and a table of the first without phrases."""
    images = list(open_source(["sample:digits"], modality="image"))[:400]
    codec = ImageDct()
    truth = Table.fit(images[::2], codec=codec, vocabulary=Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    return truth, images


def test_images_are_rebuilt(digits):
    truth, images = digits
    adversary = Adversary.fitted(truth, images[1::2])
    target = Coded.of(truth.encode_batch(images[::2]))
    guess = adversary.named(ATTACKS["co-occurrence"](target, adversary.reference))
    found = adversary.recovered(guess, target, truth)
    assert found["occurrences"] > found["blind"] + 0.2
    assert 5 < found["psnr_blind"] < found["psnr"] < MOST


def test_what_is_guessed_right_is_rebuilt_exactly_and_nothing_is_the_blind_guess(series):
    truth, adversary, ids = series
    target = Coded.of(ids)
    secret = [truth.spellings()[id_ - N_SPECIAL].tobytes() for id_ in target.ids.tolist()]
    right = adversary.rebuilder.psnr(secret, target, truth)
    nothing = adversary.rebuilder.psnr([None] * len(secret), target, truth)
    assert right["psnr"] == MOST
    assert nothing["psnr"] == nothing["psnr_blind"] == right["psnr_blind"]
    values = np.stack(truth.decode_batch(ids))
    public = np.stack(adversary.known.decode_batch(adversary.known.encode_batch(walks(60, seed=1)))).mean(0)
    by_hand = 10 * np.log10(1.5**2 / ((values - public) ** 2).mean())
    assert right["psnr_blind"] == pytest.approx(by_hand)


@pytest.mark.parametrize("options", [{"apart": 1}, {"apart": 1, "tilings": 8}, {"tilings": 8}, {}])
def test_a_value_is_rebuilt_from_its_own_ids_whatever_is_read_of_the_others(options):
    records = list(np.random.default_rng(0).normal(size=(80, 6)))
    codec = SeriesLevels.calibrated(records, by_column=1, levels=9, **options)
    truth = Table.fit(records, codec=codec, vocabulary=Vocabulary(1024), min_records=1)
    target, tilings = Coded.of(truth.encode_batch(records[:9])), codec.tilings
    rebuilder, secret = Rebuilder(codec, records[40:]), true_phrases(target, truth)
    assert rebuilder.psnr(secret, target, truth)["psnr"] == MOST
    symbols = codec.encode(records[0]).symbols
    true, right = codec.decode(symbols), [symbol.tobytes() for symbol in symbols]
    found = np.asarray(rebuilder._rebuilt([None] * tilings + right[tilings:]))
    assert np.isnan(found[0])
    assert (found[1:] == true[1:]).all()
    if options.get("apart"):  # a symbol of another place says nothing, and shifts nothing
        found = np.asarray(rebuilder._rebuilt(right[-tilings:] + right[tilings:]))
        assert np.isnan(found[0])
        assert (found[1:] == true[1:]).all()
    if tilings > 1:  # one tile misread moves a value by no more than it moves the middle of its levels
        wrong = [right[-1] if options.get("apart") else None, *right[1:]]
        near = np.abs(codec.levels_of(np.asarray(rebuilder._rebuilt(wrong))[None]) - codec.levels_of(true[None]))
        assert near[0].tolist() == [near[0, 0], 0, 0, 0, 0, 0]
        assert near[0, 0] <= 1


def test_a_series_whose_first_value_is_not_read_is_not_shifted(series):
    truth, adversary, _ = series
    symbols = truth.codec.encode(walks(1, seed=5)[0]).symbols
    found = np.asarray(adversary.rebuilder._rebuilt([None, *(symbol.tobytes() for symbol in symbols[1:])]))
    assert np.isnan(found[0])
    assert (found[1:] == truth.codec.decode(symbols)[1:]).all()


def test_symbols_that_cannot_follow_are_left_out_and_missing_ones_made_up(digits):
    truth, images = digits
    rebuilder = Rebuilder(truth.codec, images[1::2])
    symbols = truth.codec.encode(images[0]).symbols
    assert (rebuilder._decode(symbols) == truth.codec.decode(symbols)).all()
    broken = np.append(symbols[:-3], 0).astype(np.uint32)  # no byte may follow there, and blocks are missing
    assert rebuilder._decode(broken).shape == images[0].shape
    assert rebuilder._decode(np.array([0, 255, 255, 1, 255, 255, 1], np.uint32)) is None  # 32,767 pixels a side
