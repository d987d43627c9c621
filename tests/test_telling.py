"""Passages that an attack read, beside the truth, for the owner only."""

import json

import numpy as np
import pytest

from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import attack
from ult.audit.code.evidence import Coded
from ult.audit.code.likelihood import by_likelihood
from ult.audit.code.score import phrases
from ult.audit.code.telling import FORMAT, LONGEST, UNREAD, most_telling
from ult.codecs.bwt import TextBwt
from ult.data import open_source
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary

RECORDS = ["the patient has a cough", "the patient has no cough", "zebra quagga", "the patient has a cough"]


@pytest.fixture(scope="module")
def coded():
    truth = Table.fit(RECORDS, vocabulary=Vocabulary(300), min_records=1)
    return truth, Coded.of(truth.encode_batch(RECORDS))


def told(named, target, truth, **options):
    return most_telling(named, target, truth, subject={"table": truth.fingerprint}, attack="co-occurrence", **options)


def test_what_was_read_stands_beside_the_truth(coded):
    truth, target = coded
    secret = [phrases(truth)[i - N_SPECIAL] for i in target.ids.tolist()]
    unknown = {np.array([ord(c)], np.uint32).tobytes() for c in "zebraq"}
    named = [None if phrase in unknown else phrase for phrase in secret]
    found = told(named, target, truth, most=2)
    assert (found["format"], found["attack"], found["subject"]) == (FORMAT, "co-occurrence",
                                                                    {"table": truth.fingerprint})  # fmt: skip
    assert {pair["truth"] for pair in found["pairs"]} == set(RECORDS[:2])  # the fourth is as the first
    for pair in found["pairs"]:
        assert pair["read"] == "".join(piece["text"] for piece in pair["pieces"])
        assert pair["pieces"][0]["right"] is True
        assert all(set(piece["text"]) == {UNREAD} for piece in pair["pieces"] if not piece["right"])
        assert 0.5 < pair["share"] <= 1
    assert json.loads(json.dumps(found)) == found


def test_nothing_read_tells_nothing(coded):
    truth, target = coded
    assert told([None] * len(target.ids), target, truth)["pairs"] == []
    wrong = [b"\1\0\0\0"] * len(target.ids)
    assert told(wrong, target, truth)["pairs"] == []


def test_the_best_passage_of_a_long_record_is_found():
    long = "x" * 300 + "the secret word" + "y" * 300
    truth = Table.fit([long], vocabulary=Vocabulary(N_SPECIAL + 256), min_records=1)
    target = Coded.of(truth.encode_batch([long]))
    secret = [phrases(truth)[i - N_SPECIAL] for i in target.ids.tolist()]
    outer = {np.array([ord(c)], np.uint32).tobytes() for c in "xy"}
    (pair,) = told([None if phrase in outer else phrase for phrase in secret], target, truth)["pairs"]
    assert "the secret word" in pair["truth"]
    assert "the secret word" in pair["read"]
    assert len(pair["truth"]) == LONGEST
    assert pair["share"] == pytest.approx(15 / LONGEST)


def test_codecs_that_spell_no_parts_and_guesses_that_spell_nothing(coded):
    truth = Table.fit(RECORDS, codec=TextBwt(patch_size=4), vocabulary=Vocabulary(N_SPECIAL + 260), min_records=1)
    target = Coded.of(truth.encode_batch(RECORDS))
    secret = [phrases(truth)[i - N_SPECIAL] for i in target.ids.tolist()]
    pairs = told(secret, target, truth)["pairs"]
    assert {pair["share"] for pair in pairs} == {1.0}
    bytes_table, held = coded
    cut = [b"\xff\0\0\0" for _ in held.ids]
    cut[int(held.order[0])] = phrases(bytes_table)[held.ids[held.order[0]] - N_SPECIAL]
    assert all("\ufffd" in pair["read"] for pair in told(cut, held, bytes_table)["pairs"])


def test_likelihood_reads_no_less_of_another_field_than_what_it_starts_from():
    owner, public = (list(open_source([f"sample:topics?owner={who}"], modality="text", column="text")) for who in "ab")
    truth = Table.fit(owner, vocabulary=Vocabulary(500), min_records=5)
    adversary = Adversary.fitted(truth, public)
    kept = {}

    def keep(one, named, target):
        kept[one["name"], one["units"]] = named, target

    ids = truth.encode_batch(owner)[:40]
    found = list(attack(ids, adversary=adversary, truth=truth, plaintext=False, keep=keep))
    assert {(one["name"], one["units"]) for one in found} == set(kept)
    shares = {one["name"]: one["occurrences"] for one in found if one["units"] == found[-1]["units"]}
    assert shares["bigram likelihood"] > shares["co-occurrence"] - 0.03
    assert shares["bigram likelihood"] > shares["rank alone"] + 0.1
    named, target = kept["bigram likelihood", found[-1]["units"]]
    scrambled = np.random.default_rng(0).permutation(len(target.ids)) % len(adversary.reference.ids)
    again = by_likelihood(target, adversary.reference, scrambled)
    assert adversary.score(adversary.named(again), target, truth).occurrences < shares["bigram likelihood"]
    assert told(named, target, truth)["pairs"]
