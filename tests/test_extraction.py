"""Extraction: succeeds on a run that memorised its records, not on one that never saw them; counts by hand."""

import numpy as np
import pytest
import torch

from toy import counting
from ult.audit.model.audit import audit_model
from ult.audit.model.ethicist import ethicist, smoothed, surest
from ult.audit.model.extraction import extract, passages, recall
from ult.errors import InvalidConfig
from ult.public.shards import Shards
from ult.trainer.memorisation.ngrams import memorised


@pytest.fixture(scope="module")
def asked(audited):
    return passages(Shards(audited / "members").ids(), prefix=4, suffix=6)


@pytest.mark.parametrize("samples", [0, 4])
def test_a_planted_leak_is_recited(audited, asked, samples):
    found = extract(audited / "leak", asked, samples=samples)
    assert found["passages"] == 16
    assert found["share_interval"][0] > 0.5
    assert found["recall"] == found["share"] == found["exact"] / 16
    assert found["ngrams"] >= found["share"]


@pytest.mark.parametrize("samples", [0, 4])
def test_records_never_seen_are_not(audited, asked, samples):
    found = extract(audited / "clean", asked, samples=samples)
    assert found["exact"] == 0
    assert found["share_interval"][0] == 0
    assert found["ngrams"] < 0.05


def test_passages_are_the_beginnings_of_long_records():
    records = [np.arange(32, 32 + n, dtype=np.uint32) for n in (9, 10, 30)]
    found = passages(records, prefix=4, suffix=6)
    assert [p.prefix.tolist() for p in found] == [[32, 33, 34, 35]] * 2
    assert [p.suffix.tolist() for p in found] == [list(range(36, 42))] * 2
    with pytest.raises(InvalidConfig, match="at least 1"):
        passages(records, prefix=0)


def test_nothing_to_extract_or_no_room(audited):
    with pytest.raises(InvalidConfig, match="long enough"):
        extract(audited / "leak", passages(counting(9)))
    with pytest.raises(InvalidConfig, match="room"):
        extract(audited / "leak", passages([np.arange(32, 64, dtype=np.uint32)] * 2, prefix=10, suffix=22))


def test_recall_stops_at_the_errors():
    right = np.array([True, False, True, False, True])
    surety = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    assert recall(right, surety, errors=9) == 3 / 5
    assert recall(right, surety, errors=1) == 2 / 5
    assert recall(right, surety, errors=0) == 1 / 5
    assert recall(right[::-1], surety[::-1], errors=0) == 1 / 5


def test_ngrams_by_hand():
    true = np.array([1, 2, 3, 4, 5, 6])
    assert memorised(true, true) == 1
    # Of the 4-grams 1234, 2345 and 3456 two are there, of the 5-grams one of two, of the 6-grams none.
    assert memorised(np.array([9, 1, 2, 3, 4, 5]), true) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert memorised(np.array([1, 2, 3]), true) == 0
    assert memorised(true, true[:4]) == 1
    assert memorised(true, true[:3]) == 0


def test_a_tuned_prompt_recites_what_it_was_not_tuned_on(audited, asked):
    options = {"prompt": 4, "steps": 25, "samples": 6}
    found = ethicist(audited / "leak", asked[:8], asked[8:], **options)
    assert found["passages"] == 8
    assert found["loss"][1] < found["loss"][0]
    assert found["share_interval"][0] > 0.2
    clean = ethicist(audited / "clean", asked[:8], asked[8:], **options)
    assert clean["exact"] == 0
    again = ethicist(audited / "clean", asked[:8], asked[8:], **options)
    assert again == clean


def test_the_loss_of_a_suffix_weighs_its_worst_ids():
    losses = torch.tensor([[0.0, 1, 2, 3, 4, 5, 6, 7], [1.0] * 8])
    assert smoothed(losses).item() == pytest.approx(((3.5 + 0.7 * 5) + 1.7) / 2)
    assert smoothed(torch.ones(2, 3)).item() == pytest.approx(1.7)


def test_no_room_for_a_prompt(audited, asked):
    with pytest.raises(InvalidConfig, match="room"):
        ethicist(audited / "leak", asked[:2], asked[2:], prompt=30)
    with pytest.raises(InvalidConfig, match="0 passages are known"):
        ethicist(audited / "leak", [], asked)


def test_the_whole_audit_puts_nonmembers_beside_members(audited):
    options = {"prefix": 4, "suffix": 6, "samples": 0, "soft_prompt": 2}
    found, curves = audit_model(audited / "leak", audited / "leak.shards", audited / "others", **options)
    told = found["extraction"]
    assert told["members"]["greedy"]["exact"] > told["nonmembers"]["greedy"]["exact"] == 0
    assert told["members"]["tuned"]["passages"] == told["members"]["tuned"]["known"] == 8
    assert told["nonmembers"]["tuned"]["exact"] == 0
    assert told["members"]["sampled"] is None
    assert told["members"]["greedy"]["smallest_detectable"] == pytest.approx(1 - 0.05 ** (1 / 16))
    assert found["membership"].keys() == curves.keys() == {"loss", "min-k", "min-k++"}
    assert all(
        one["smallest_detectable"] == pytest.approx(1 - 0.05 ** (1 / 16)) for one in found["membership"].values()
    )
    assert found["canaries"] is None
    assert (found["bound"], found["coin"]) == (True, False)
    assert found["subject"]["members"] == [Shards(audited / "leak.shards").manifest.digest]


def test_an_answer_counts_as_often_as_it_was_drawn():
    """The second answer is the likelier one by itself, and was drawn once in ten."""
    times, nats = np.array([9, 1]), np.array([2.0, 1.5])
    best, surety = surest(times, nats)
    shares = times * np.exp(-nats)
    assert best == 0
    assert surety == pytest.approx(np.log(shares[0] / shares.sum()))
