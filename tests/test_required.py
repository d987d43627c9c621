"""Fields without a missing cell at fit: what is made up never leaves them out, and an unusual cell is spelled."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from strategies import REQUIRED_FIELDS
from ult.codecs.grammar import REFUSED
from ult.codecs.record import RecordColumns
from ult.errors import CorruptSymbols
from ult.owner.constrained import TableGrammar


def fields_of(path, **options):
    return {one.name: one for one in ult.describe(path, **options).schema.fields}


def test_a_column_without_nulls_is_required(tmp_path):
    cells = {
        "always": ["a", "b", "c", "d"],
        "empty": ["a", "", "", "d"],
        "null": [None, None, None, "1"],
        "both": ["", None, None, "x"],
        "more": ["", "", "", None],
    }
    pq.write_table(pa.table(cells), tmp_path / "t.parquet")
    found = fields_of(tmp_path / "t.parquet")
    assert {name: (one.absent, one.required) for name, one in found.items()} == {
        "always": (None, True),
        "empty": ("", True),
        "null": (None, False),
        "both": (None, False),
        "more": ("", False),
    }
    fitted = ult.fit(
        tmp_path / "t.parquet", tmp_path / "t.ult", codec="record/columns", vocabulary_size=512, encrypt=False,
        min_records=1, workers=1,
    )  # fmt: skip
    ult.encode(tmp_path / "t.parquet", fitted.table, tmp_path / "out")
    ult.decode(tmp_path / "out", fitted.table, tmp_path / "back.parquet")
    assert pq.read_table(tmp_path / "back.parquet").equals(pq.read_table(tmp_path / "t.parquet"))


def test_an_empty_cell_in_a_column_that_never_had_one_is_spelled(tmp_path):
    lines = [f"{k % 9},{'mf'[k % 2]},2024-01-{k + 1:02d}" for k in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["age,sex,day", *lines]) + "\n")
    (tmp_path / "b.csv").write_text('age,sex,day\n"","",""\n5,m,2024-01-09\n')
    fitted = ult.fit(
        tmp_path / "a.csv",
        tmp_path / "t.ult",
        codec="record/columns",
        vocabulary_size=512,
        encrypt=False,
        min_records=1,
        workers=1,
    )
    codec: Any = fitted.table.codec
    assert all(one.required for one in codec.fields)
    ult.encode(tmp_path / "b.csv", fitted.table, tmp_path / "out")
    ult.decode(tmp_path / "out", fitted.table, tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_text() == (tmp_path / "b.csv").read_text()
    grammar = TableGrammar(fitted.table)
    with pytest.raises(CorruptSymbols):
        fitted.table.decode(np.empty(0, np.uint32))
    state = grammar.start(fitted.table.encode(("", "", "")))  # a prompt may hold it
    assert grammar.allowed(state, 9)[2]
    assert not grammar.allowed(grammar.start([]), 99)[2]


def test_what_is_left_out_is_refused():
    codec = RecordColumns(fields=REQUIRED_FIELDS)
    record = ("a", "5", "70", "1950-02-03", "ok", "a", "C", np.zeros(2), (("K", "4", None, "2024-01-01"),), None)
    symbols = codec.encode(record).symbols.tolist()
    marks = [k for k, symbol in enumerate(symbols) if codec.first_marker <= symbol < codec.first_marker + 14]
    for start, stop in zip(marks, [*marks[1:], len(symbols)], strict=True):
        with pytest.raises(CorruptSymbols):
            codec.decode(np.array(symbols[:start] + symbols[stop:]))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_made_up_holds_only_usual_cells(seed):
    codec, rng = RecordColumns(fields=REQUIRED_FIELDS), np.random.default_rng(seed)
    grammar: Any = codec.usual_grammar()
    singles, ends = np.arange(codec.alphabet, dtype=np.uint32), np.arange(1, codec.alphabet + 1)
    state, symbols = grammar.start(), list[int]()
    for room in range(grammar.least(state) + 60, 0, -1):
        if grammar.least(state) == 0 and rng.random() < 0.1:
            break
        after = grammar.after(state, singles, ends)
        symbols.append(int(rng.choice(np.flatnonzero((after != REFUSED) & (after < room)))))  # there always is one
        state = grammar.advance(state, np.array(symbols[-1:], np.uint32))
    record = codec.decode(np.array(symbols))
    assert None not in [cell if cell is None else "" for cell in record[:9]]
    assert record[8]
    for code, value, _, time in record[8]:
        assert None not in (code, value, time)
        assert value != ""
        assert time != ""
    assert record[1] != ""
    assert record[3] != ""
