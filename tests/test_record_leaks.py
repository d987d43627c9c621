"""Records of fields beside the rest: what attacks read of their ids, and what a model may write under their grammar."""

from typing import Any

import numpy as np
import pytest

import ult
from ult.audit.model.membership import plain_bytes
from ult.codecs.record import RecordColumns
from ult.errors import InvalidConfig
from ult.owner.constrained import TableGrammar
from ult.public.vocabulary import EOS

FIELDS = [
    {"name": "age", "kind": "number", "edges": ["30", "60"], "missing": ["?"], "absent": "?"},
    {"name": "sex", "kind": "category"},
    {"name": "seen", "kind": "date"},
    {"name": "labs", "kind": "rows", "fields": [
        {"name": "code", "kind": "category"},
        {"name": "value", "kind": "number", "by": "code", "edges_by": {"K": ["3.5", "5"]}},
    ]},
]  # fmt: skip


def patients(n, seed):
    rng = np.random.default_rng(seed)
    return [
        (str(20 + int(rng.integers(60))), "fm"[int(rng.integers(2))], f"2024-0{1 + int(rng.integers(9))}-11",
         tuple(("K", f"{rng.normal(4, 1):.1f}") for _ in range(int(rng.integers(3)))))
        for _ in range(n)
    ]  # fmt: skip


def lines(rows):
    return "\n".join(["age,sex,day", *(",".join(row[:3]) for row in rows)]) + "\n"


def test_any_walk_under_the_grammar_is_a_record():
    table = ult.Table.fit(patients(300, 0), codec=RecordColumns(fields=FIELDS), vocabulary=ult.Vocabulary(700))
    grammar, rng = TableGrammar(table), np.random.default_rng(0)
    for _ in range(60):
        ids: list[int] = []
        state = grammar.start([])
        while True:
            drawn = int(rng.choice(np.flatnonzero(grammar.allowed(state, 40 - len(ids)))))
            if drawn == EOS:
                break
            ids.append(drawn)
            state = grammar.advance(state, drawn)
        assert len(ids) <= 40
        record = table.decode(np.array(ids, np.uint32))
        assert table.decode(table.encode(record)) == record


def test_attacks_read_records_by_the_fields_of_their_table(tmp_path):
    mine, others = tmp_path / "mine.csv", tmp_path / "others.csv"
    mine.write_text(lines(patients(300, 1)))
    others.write_text(lines(patients(300, 2)))
    fitted = ult.fit(mine, tmp_path / "t.ult", codec="record/columns", vocabulary_size=600, encrypt=False, workers=1)
    encoded = ult.encode(mine, fitted, tmp_path / "s.shards", workers=1)
    best: Any = ult.audit.audit_code(encoded, reference=others, table=fitted).document["best"]
    assert best["occurrences"] > 1.5 * best["blind"] > 0
    with pytest.raises(InvalidConfig, match="--table"):
        ult.audit.audit_code(encoded, reference=others)
    assert "membership" in ult.audit.audit_table(fitted, mine, others).text


@pytest.mark.parametrize(
    "options",
    [
        {"edges": ["1"], "levels": ["5", "2"]},
        {"edges": ["1"], "levels": ["0", "2"], "absent": "0"},
        {"edges": ["1"], "levels": ["0", "2"], "missing": ["0"]},
        {"edges": ["1"], "levels": ["low", "high"]},
        {"decimal": ".,"},
        {"edges": ["1_0"]},
        {"by": "n", "edges_by": {5: ["1"]}},
    ],
)
def test_fields_that_nothing_could_be_read_back_from_are_refused(options):
    with pytest.raises(InvalidConfig):
        RecordColumns(fields=[{"name": "n", "kind": "number", **options}])


def test_a_record_of_fields_has_bytes_to_compress():
    image = np.arange(3, dtype=np.uint8)
    assert (
        plain_bytes(
            ("61", None, (("K", "é"), ("N", ""))),
        )
        == "61\x1f\x1fK\x1fé\x1fN\x1f".encode()
    )
    assert plain_bytes((image, "a")) == b"\0\1\2\x1fa"
