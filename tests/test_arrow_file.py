"""Files of Arrow: every way to write one is read, in bounded memory; a damaged one is one line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from ult.data import open_source
from ult.data.cells import written
from ult.data.tables.arrow import ArrowRows
from ult.errors import EmptySource, SourceError, UltError

TABLE = pa.table({"text": ["a", "b", "c"], "n": [1, None, 3], "code": pa.array(["x", "y", "x"]).dictionary_encode()})


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, table=TABLE, *, stream=False, rows=2):
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(name, "wb") as file, opened(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def cells(name, columns=("text", "n", "code")):
    chunks = [chunk.columns for chunk in ArrowRows(name).chunks(columns)]
    return {column: [one for chunk in chunks for one in written(chunk[column])] for column in columns}


@pytest.mark.parametrize("how", ["file", "stream", "feather", "lz4"])
def test_every_way_to_write_one(how):
    if how in ("feather", "lz4"):
        feather.write_feather(TABLE, "a.feather", compression="lz4" if how == "lz4" else "uncompressed")
    else:
        write("a.feather", stream=how == "stream")
    assert cells("a.feather") == {"text": ["a", "b", "c"], "n": ["1", None, "3"], "code": ["x", "y", "x"]}
    assert list(cells("a.feather", ["code", "text"])) == ["code", "text"]
    assert list(open_source(["a.feather"], modality="text", column="code")) == ["x", "y", "x"]
    assert next(iter(open_source(["a.feather"], modality="series", column="n")))[0] == 1


def test_columns_of_one_meaning_are_one_across_files():
    for i, kind in enumerate([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]):
        write(f"{i}.arrow", pa.table({"text": pa.array(["a", "b"]).cast(kind)}))
    assert list(open_source(["*.arrow"], modality="text")) == ["a", "b"] * 4


def test_a_batch_is_given_in_pieces():
    write("a.arrow", pa.table({"x": np.arange(5000.0)}), rows=5000)
    lengths = [(chunk.first, chunk.length) for chunk in ArrowRows("a.arrow").chunks(["x"])]
    assert lengths == [(1, 1024), (1025, 1024), (2049, 1024), (3073, 1024), (4097, 904)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_damaged_file_is_one_line(stream):
    write("a.arrow", stream=stream, rows=1)
    whole = Path("a.arrow").read_bytes()
    for length in (*range(1, 40), *range(40, len(whole), 40)):
        Path("a.arrow").write_bytes(whole[:length])
        with pytest.raises(UltError, match=r"^a\.arrow is [^\n]+$"):
            cells("a.arrow")
    rng = np.random.default_rng(1)
    for _ in range(60):
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[rng.integers(8, len(broken), 4)] = rng.integers(0, 256, 4)
        Path("a.arrow").write_bytes(broken.tobytes())
        try:
            cells("a.arrow", ArrowRows("a.arrow").types)
        except UltError as error:
            assert "a.arrow" in str(error)  # noqa: PT017


def test_what_is_no_file_of_arrow():
    Path("a.arrow").write_bytes(b"FEA1" + bytes(40))
    with pytest.raises(SourceError, match="first version of Feather"):
        ArrowRows("a.arrow")
    Path("a.arrow").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"a\.arrow is not a file of Arrow"):
        ArrowRows("a.arrow")
    write("a.arrow", pa.table([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]))
    with pytest.raises(SourceError, match="names a column twice"):
        ArrowRows("a.arrow")
    write("a.arrow", TABLE.slice(0, 0))
    with pytest.raises(EmptySource, match="has no rows"):
        ArrowRows("a.arrow")
