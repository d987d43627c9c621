"""A cell of any file comes back as it was: describe, encode and decode, through Parquet, SQLite and Excel."""

import datetime as dt
import os
import sqlite3
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import ult
from test_cells import same
from ult.codecs.record import RecordColumns
from ult.data import open_source
from ult.data.columns.schema import Schema
from ult.data.composed.record_sink import open_record_sink
from ult.errors import SourceError

ROWS = 8
FEW = settings(
    max_examples=int(os.environ.get("ULT_EXAMPLES", "6")), phases=[Phase.explicit, Phase.generate]
)  # each writes and reads several files
INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53 + 1, -(2**53) - 1, 0])
FLOATS = st.floats() | st.sampled_from([-0.0, 5e-324, 1e22, 0.1, float("nan"), float("inf")])
WORDS = st.sampled_from(["", " ", "NA", "nan", "null", "007", "5.00", "1e5", "-", "1,5", '"', "2024-02-30", "true"])
TEXTS = WORDS | st.text(st.characters(blacklist_categories=("Cs",)), max_size=9)
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
COLUMNS = {
    "whole": (INT64, pa.int64()),
    "small": (st.integers(0, 255), pa.uint8()),
    "real": (FLOATS, pa.float64()),
    "single": (st.floats(width=32), pa.float32()),
    "exact": (st.decimals(-(10**9), 10**9, places=5), pa.decimal128(20, 5)),
    "word": (TEXTS, pa.string()),
    "large": (TEXTS, pa.large_string()),
    "coded": (st.sampled_from(["a", "b", ""]), pa.dictionary(pa.int32(), pa.string())),
    "flag": (st.booleans(), pa.bool_()),
    "zoned": (MOMENTS.map(lambda at: at.replace(tzinfo=dt.UTC)), pa.timestamp("us", "Europe/Berlin")),
    "local": (MOMENTS, pa.timestamp("us")),
    "day": (st.dates(), pa.date32()),
    "tags": (st.lists(TEXTS | st.none(), max_size=3), pa.list_(pa.string())),
}


def column(cells):
    """Return a strategy of the cells of a column, of which some are null."""
    return st.lists(cells | st.none(), min_size=ROWS, max_size=ROWS)


def through(path, out):
    """Describe a file, encode its records symbol by symbol, and write what they decode to."""
    found = ult.describe(path)
    unreadable = [one.name for one in found.columns if not one.kind]
    assert not unreadable, unreadable
    schema = found.schema
    assert isinstance(schema, Schema)
    codec = RecordColumns(fields=schema.fields)
    records = list(open_source([path], modality="record", schema=schema))
    patches = codec.encode_batch(records)
    again = codec.decode_batch(patches.symbols, np.append(0, patches.ends)[patches.records])
    assert again == records
    with open_record_sink(Path(out), schema, None, force=True) as sink:
        sink.write(again)
    return pq.read_table(out)


@FEW
@given(st.fixed_dictionaries({name: column(cells) for name, (cells, _) in COLUMNS.items()}))
def test_parquet(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("cells")
    kinds = {name: kind for name, (_, kind) in COLUMNS.items()}
    arrays = {
        name: pa.array(cells[name], kind.value_type).dictionary_encode()
        if pa.types.is_dictionary(kind)
        else pa.array(cells[name], kind)
        for name, kind in kinds.items()
    }
    pq.write_table(pa.table(arrays), folder / "a.parquet")
    table = through(folder / "a.parquet", folder / "b.parquet")
    assert [(one.name, one.type) for one in table.schema] == [*kinds.items()]
    for name in kinds:
        one, other = (value.combine_chunks() for value in (pq.read_table(folder / "a.parquet")[name], table[name]))
        equal = one.to_pylist() == other.to_pylist() if name == "coded" else same(one, other)
        assert equal, name


@FEW
@given(st.lists(st.tuples(INT64 | st.none(), FLOATS | st.none(), TEXTS | st.none()), min_size=ROWS, max_size=ROWS))
def test_sqlite(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("cells")
    with sqlite3.connect(folder / "a.db") as base:
        base.execute("create table t (n integer, x real, s text)")
        base.executemany("insert into t values (?, ?, ?)", cells)
    base.close()
    table = through(f"sqlite:{folder / 'a.db'}", folder / "b.parquet")
    assert table["n"].to_pylist() == [None if n is None else str(n) for n, _, _ in cells]
    assert table["s"].to_pylist() == [s for _, _, s in cells]
    kept = [x if x is not None and x == x else None for _, x, _ in cells]  # SQLite keeps nan as null
    assert [None if x is None else float(x) for x in table["x"].to_pylist()] == kept


@FEW
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**14), 10**14),
            st.floats(-1e300, 1e300).map(lambda x: float(f"{x:.15g}")) | st.none(),  # openpyxl writes 16 digits
            st.text(st.characters(min_codepoint=32, blacklist_categories=("Cs", "Cn")), min_size=1, max_size=9).filter(
                lambda text: text[0] not in "=\"'" and "_x" not in text
            )
            | st.none(),
            st.booleans() | st.none(),
            st.dates(dt.date(1901, 1, 1), dt.date(2200, 1, 1)) | st.none(),
        ),
        min_size=ROWS,
        max_size=ROWS,
    )
)
def test_excel(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("cells")
    book = openpyxl.Workbook()
    for row in [("n", "x", "s", "ok", "day"), *cells]:
        book.active.append(row)
    book.save(folder / "a.xlsx")
    table = through(folder / "a.xlsx", folder / "b.parquet")
    assert table["n"].to_pylist() == [str(row[0]) for row in cells]
    assert [None if x is None else float(x) for x in table["x"].to_pylist()] == [row[1] for row in cells]
    assert table["s"].to_pylist() == [row[2] for row in cells]
    assert table["ok"].to_pylist() == [None if row[3] is None else str(row[3]).upper() for row in cells]
    assert table["day"].to_pylist() == [None if row[4] is None else row[4].isoformat() for row in cells]


def test_a_type_that_has_no_cells_is_said_by_its_name(tmp_path):
    pq.write_table(
        pa.table({"n": [1], "m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), tmp_path / "a.parquet"
    )
    assert [one.kind for one in ult.describe(tmp_path / "a.parquet").columns][1] == ""
    with pytest.raises(SourceError, match=r"cannot be encoded: 'm' \(hint: --drop m"):
        ult.fit(tmp_path / "a.parquet", tmp_path / "t.ult", codec="record/columns", encrypt=False)
