"""Membership inference on tables: succeeds where records left rare phrases, and is chance where none was fitted."""

import numpy as np
import pytest

from ult.audit.bounds import auc
from ult.audit.table import audit_table, phrase_scores
from ult.errors import InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary

COMMON = ["the", "of", "and", "to", "in", "is", "was", "for", "on", "with", "as", "by", "at", "from", "it", "an"]


def people(rows, seed):
    """Records of common words, each with one rare name."""
    rng = np.random.default_rng(seed)
    names = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 9)) for _ in range(rows)]
    return [" ".join([*rng.choice(COMMON, 6), name]) for name in names]


def table_of(records, min_records):
    return Table.fit(records, vocabulary=Vocabulary(900), min_records=min_records)


def test_rare_phrases_give_their_records_away():
    members, others = people(60, 1), people(60, 2)
    found, curves = audit_table(table_of(members, 1), members, others)
    for name in ("compression", "rare", "counts"):
        assert found["membership"][name]["auc_interval"][0] > 0.8
        assert auc(*curves[name]) == found["membership"][name]["auc"]
    assert found["membership"]["counts"]["epsilon_at_least"] > 1
    assert found["phrases"] > 400


@pytest.mark.parametrize("min_records", [1, 5])
def test_records_that_were_not_fitted_on_score_as_any_other(min_records):
    found, _ = audit_table(table_of(people(60, 1), min_records), people(60, 3), people(60, 4))
    for told in found["membership"].values():
        assert told["auc_interval"][0] < 0.5 < told["auc_interval"][1]
        assert told["epsilon_at_least"] == 0


def test_a_threshold_on_records_takes_most_of_it_away():
    members, others = people(60, 1), people(60, 2)
    loose, strict = (audit_table(table_of(members, k), members, others)[0]["membership"] for k in (1, 5))
    assert strict["counts"]["auc"] < loose["counts"]["auc"] - 0.2


def test_scores_by_hand():
    table = Table.fit(["ab ab ab xyz"], vocabulary=Vocabulary(N_SPECIAL + 256 + 3), min_records=1)
    spelled = {bytes(s.astype(np.uint8)): rank for rank, s in enumerate(table.spellings())}
    ids = np.array([N_SPECIAL + spelled[b" ab"], N_SPECIAL + spelled[b"x"]], np.uint32)
    found = {name: score([ids, ids[:0]]) for name, score in phrase_scores(table).items()}
    count = table.counts[spelled[b" ab"]]
    assert found["compression"] == pytest.approx([2, 0])
    assert found["longest"] == pytest.approx([3, 0])
    assert found["counts"] == pytest.approx([3 / 4 / count, 0])


def test_a_table_without_phrases_tells_nothing():
    table = Table.fit(["abc"], vocabulary=Vocabulary(N_SPECIAL + 256), min_records=1)
    with pytest.raises(InvalidConfig, match="no phrases"):
        audit_table(table, ["a", "b"], ["c", "d"])
