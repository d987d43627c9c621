"""What a model writes under the grammar of a table goes into a file of the same types, and comes back from it."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.codecs.record import RecordColumns
from ult.codecs.record.reach import fewest_plain, interval_of
from ult.codecs.record.typed import plain_of
from ult.data import open_source
from ult.data.composed.record_sink import open_record_sink
from ult.owner.constrained import TableGrammar
from ult.public.vocabulary import EOS

DRAW = np.random.default_rng(0)
DAYS = [datetime.datetime(2024, 1, 1) + datetime.timedelta(int(k), int(s)) for k, s in DRAW.integers(0, 900, (60, 2))]
TYPED = {
    "age": pa.array(DRAW.integers(0, 120, 60), pa.int8()),
    "key": pa.array(DRAW.integers(-(2**62), 2**62, 60), pa.int64()),
    "code": pa.array(DRAW.integers(0, 3, 60), pa.uint8()),
    "weight": pa.array([None if k % 7 == 0 else round(float(x), 2) for k, x in enumerate(DRAW.normal(70, 9, 60))]),
    "short": pa.array(DRAW.normal(0, 1, 60).round(1) + 0.0, pa.float32()),
    "cost": pa.array([Decimal(int(x)) / 100 for x in DRAW.integers(-999, 999, 60)], pa.decimal128(9, 2)),
    "smoker": pa.array([bool(x) for x in DRAW.integers(0, 4, 60) == 0]),
    "born": pa.array([day.date() for day in DAYS], pa.date32()),
    "seen": pa.array(DAYS, pa.timestamp("ms")),
    "sent": pa.array(DAYS, pa.timestamp("ns", "UTC")),
    "tags": pa.array([["a", "b"][: k % 3] for k in range(60)], pa.list_(pa.string())),
    "note": pa.array(["one two three four five six é 中 " + str(k) for k in range(60)]),
}


def made_up(table: ult.Table, room: int, rng: np.random.Generator) -> Any:
    """Return a record of ids that are drawn evenly from those that may follow."""
    grammar, ids = TableGrammar(table), list[int]()
    state = grammar.start([])
    for left in range(room, 0, -1):
        chosen = int(rng.choice(np.flatnonzero(grammar.allowed(state, left))))
        if chosen == EOS:
            break
        ids.append(chosen)
        state = grammar.advance(state, chosen)
    return table.decode(np.array(ids, np.uint32))


@pytest.mark.parametrize("room", [60, 140])
def test_every_type_holds_what_is_made_up(tmp_path, room):
    pq.write_table(pa.table(TYPED), tmp_path / "t.parquet")
    schema = ult.describe(tmp_path / "t.parquet").schema
    assert schema is not None
    records = list(open_source([tmp_path / "t.parquet"], modality="record", schema=schema))
    codec = RecordColumns(fields=[one.document() for one in schema.fields])
    table = ult.Table.fit(records, codec=codec, vocabulary=ult.Vocabulary(700), min_records=1)
    grammar = TableGrammar(table).grammar
    usual = sum(grammar.advance(grammar.start(), codec.encode(record).symbols) is not None for record in records)
    assert usual == 60  # nothing that was there is refused
    rng = np.random.default_rng(1)
    made = [made_up(table, room, rng) for _ in range(15)]
    with open_record_sink(tmp_path / "made.parquet", schema, None) as sink:
        sink.write(made)
    assert list(open_source([tmp_path / "made.parquet"], modality="record", schema=schema)) == made


@pytest.mark.parametrize(
    ("core", "kind", "edges", "number", "expected"),
    [
        ("", "int8", (), 0, 1), ("0", "int8", (), 0, 0), ("00", "int8", (), 0, None), ("12", "int8", (), 0, 0),
        ("128", "int8", (), 0, None), ("-128", "int8", (), 0, 0), ("-", "uint8", (), 0, None),
        ("-0", "int8", (), 0, None), ("", "int64", ("100", "200"), 1, 3), ("3", "int64", ("100", "200"), 1, None),
        ("1", "int64", ("100", "200"), 1, 2), ("5.", "double", (), 0, 1), ("5.0", "double", (), 0, 1),
        ("5.10", "double", ("5.1", "5.2"), 1, 1), ("", "double", ("0.25", "0.26"), 1, 4),
        ("1", "decimal128(9, 2)", (), 0, 3), ("1.5", "decimal128(9, 2)", (), 0, 1),
        ("-0.0", "decimal128(9, 2)", (), 0, 1), ("1.505", "decimal128(9, 2)", (), 0, None),
        ("+1", "double", (), 0, None), ("1e5", "double", (), 0, None), ("12345678901", "double", (), 0, None),
        ("0.00000", "double", (), 0, 1), ("0.000000", "double", (), 0, None),
    ],
)  # fmt: skip
def test_numbers_as_their_type_writes_them(core, kind, edges, number, expected):
    plain = plain_of(kind)
    assert plain is not None
    assert fewest_plain(core, interval_of(edges, number), plain) == expected
