"""Tables with ids in a secret order: the same phrases and records, and ids that reveal no ranks."""

import json
from random import Random

import numpy as np
import pytest

import format_reader
from ult import Table, Vocabulary
from ult.audit.code.evidence import Coded
from ult.codecs import CODECS
from ult.errors import FormatError
from ult.owner.bpe.counts import PatchCounts
from ult.owner.handover.align import sources
from ult.public.vocabulary import N_SPECIAL

RECORDS = ["to be or not to be", "that is the question", "to be is to do", "whether 'tis nobler"] * 3
V = Vocabulary(330)


def drawn(seed, records=RECORDS, vocabulary=V):
    """A table whose ids are drawn by a seed: the hook of tests alone."""
    codec, counts = CODECS["text/bytes"](), PatchCounts()
    counts.add(codec.encode_batch(records))
    return Table.from_counts(counts, codec=codec, vocabulary=vocabulary, secret_ids=True, draw=Random(seed).shuffle)  # noqa: S311


def test_records_come_back_and_cost_as_many_ids():
    plain, table = Table.fit(RECORDS, vocabulary=V, min_records=1), drawn(1)
    for record in [*RECORDS, "unseen: 中文"]:
        ids = table.encode(record)
        assert table.decode(ids) == record
        assert table.decode_prefix(np.append(ids, [2, 40]))[0] == record
        assert len(ids) == len(plain.encode(record))
    assert {s.tobytes() for s in table.spellings()} == {s.tobytes() for s in plain.spellings()}
    assert sorted(table.counts.tolist()) == sorted(plain.counts.tolist())
    count = dict(zip((s.tobytes() for s in plain.spellings()), plain.counts.tolist(), strict=True))
    assert [count[s.tobytes()] for s in table.spellings()] == table.counts.tolist()


def test_every_fit_draws_anew_and_no_fit_draws_unasked():
    secret = [Table.fit(RECORDS, vocabulary=V, secret_ids=True, min_records=1) for _ in range(2)]
    assert len({table.fingerprint for table in secret}) == 2
    assert drawn(7).fingerprint == drawn(7).fingerprint
    assert (
        Table.fit(RECORDS, vocabulary=V, min_records=1).fingerprint
        == Table.fit(RECORDS[::-1], vocabulary=V, min_records=1).fingerprint
    )
    places = np.array(
        [Table.fit(RECORDS, vocabulary=V, secret_ids=True, min_records=1).encode("t")[0] for _ in range(12)]
    )
    assert len(set(places.tolist())) > 6


def test_stored_read_and_read_by_another_reader(tmp_path):
    table = drawn(3)
    table.save(tmp_path / "t", encrypt=False)
    document = json.loads((tmp_path / "t").read_text())
    assert document["format"] == "ult-table/5"
    loaded = Table.load(tmp_path / "t")
    assert loaded.secret_ids
    assert not Table.fit(RECORDS, vocabulary=V, min_records=1).secret_ids
    assert loaded.fingerprint == table.fingerprint
    second = format_reader.Table((tmp_path / "t").read_bytes())
    assert second.fingerprint == table.fingerprint
    ids = table.encode(RECORDS[0]).tolist()
    assert (second.encode(RECORDS[0]), second.decode(ids)) == (ids, RECORDS[0])


def test_counts_that_rise_are_refused_of_ranks(tmp_path):
    document = json.loads(drawn(3).cleartext())
    for version in (1, 3, 4):
        wrong = json.dumps(document | {"format": f"ult-table/{version}"}, sort_keys=True, separators=(",", ":"))
        with pytest.raises(FormatError):
            Table.from_cleartext(wrong.encode())
    Table.from_cleartext(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_with_a_promise_of_privacy(tmp_path):
    table = Table.fit([f"{record} {k}" for record in RECORDS for k in range(40)], vocabulary=V, epsilon=8.0,
                      patches_per_record=3, secret_ids=True)  # fmt: skip
    loaded = Table.from_cleartext(table.cleartext())
    assert (loaded.privacy, loaded.secret_ids) == (table.privacy, True)
    table.save(tmp_path / "t", encrypt=False)
    assert format_reader.Table((tmp_path / "t").read_bytes()).fingerprint == table.fingerprint


def test_ids_tell_ranks_or_do_not():
    many, letters = ["".join(letter * (60 // (k + 1)) for k, letter in enumerate("etaoinshrdlu"))], Vocabulary(288)
    ranked, secret = Table.fit(many, vocabulary=letters, min_records=1), drawn(5, many, letters)
    assert Coded.of(ranked.encode_batch(many)).tells_ranks
    assert not Coded.of(secret.encode_batch(many)).tells_ranks


def test_rows_are_aligned_by_phrase_whatever_the_order():
    old, new = drawn(1), drawn(2)
    moved = sources(old, new)
    spelled = [None] * N_SPECIAL + [s.tobytes() for s in new.spellings()]
    before = [None] * N_SPECIAL + [s.tobytes() for s in old.spellings()]
    assert all(len(moved[i]) == 1 and before[moved[i][0]] == spelled[i] for i in range(N_SPECIAL, new.size))
