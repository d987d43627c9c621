"""Committed vectors: what was written once is read for ever, and each damaged file is refused for its own reason.

No test writes a vector; `make vectors` adds those that are not there.
"""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

import laws
from ult import Shards, Table, Vocabulary, errors
from ult.codecs import CODECS

FOLDER = Path(__file__).parent / "vectors"
VECTORS = {
    kind: {path.stem: path for path in sorted((FOLDER / kind).glob("*.json"))} for kind in ("codec", "table", "reject")
}


def vectors(kind):
    return pytest.mark.parametrize("path", VECTORS[kind].values(), ids=VECTORS[kind])


def read(path):
    return json.loads(path.read_text(encoding="ascii"))


def record_of(value):
    """Return the record that a vector holds: text, its {codes}, {bytes}, {dtype, shape, data} of an array, or cells."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return tuple(map(record_of, value))
    if "bytes" in value:
        return base64.b64decode(value["bytes"])
    if "codes" in value:
        return "".join(map(chr, value["codes"]))
    return np.frombuffer(base64.b64decode(value["data"]), value["dtype"]).reshape(value["shape"])


def test_there_are_vectors_of_everything():
    assert len(VECTORS["codec"]) >= 27
    assert {read(path)["codec"] for path in VECTORS["codec"].values()} == set(CODECS)
    others = {"text-bytes-secret-ids", "text-bytes-base", "image-dct-places"}
    assert set(VECTORS["table"]) == {name.replace("/", "-") for name in CODECS} | others
    assert len(VECTORS["reject"]) >= 150
    kinds = ("age", "manifest", "part", "printable", "symbols", "table", "vocabulary")
    assert {name.partition("-")[0] for name in VECTORS["reject"]} == set(kinds)
    assert not [path for path in FOLDER.rglob("*.json") if path.parent.name not in VECTORS]


@vectors("codec")
def test_symbols_are_for_ever(path):
    vector = read(path)
    codec = CODECS[vector["codec"]](**vector["config"])
    assert codec.config() == vector["config"]
    symbols = np.array(vector["symbols"], np.uint32)
    laws.assert_same(codec.decode(symbols), record_of(vector["decoded"]))
    laws.assert_same(codec.encode(record_of(vector["record"])).symbols, symbols)
    if codec.lossless:
        assert vector["decoded"] == vector["record"]


@pytest.mark.filterwarnings("ignore::ult.errors.ValuesClipped")  # a value of a vector lies outside, on purpose
@vectors("table")
def test_tables_are_for_ever(path, tmp_path):
    vector = read(path)
    (tmp_path / "t.ult").write_text(vector["payload"], encoding="ascii")
    table = Table.load(tmp_path / "t.ult")
    assert table.fingerprint == vector["fingerprint"]
    assert vector["pairs"]
    for pair in vector["pairs"]:
        ids = table.encode(record_of(pair["record"]))
        assert ids.tolist() == pair["ids"]
        laws.assert_same(table.decode(pair["ids"]), record_of(pair["decoded"]))
    table.save(tmp_path / "again.ult", encrypt=False)
    assert (tmp_path / "again.ult").read_text(encoding="ascii") == vector["payload"]


def use(vector, folder):
    """Do what a vector must be refused for."""
    if "payload" in vector:
        (folder / "t.ult").write_text(vector["payload"], encoding="utf-8")
        Table.load(folder / "t.ult")
    elif "age" in vector:
        (folder / "t.ult").write_bytes(base64.b64decode(vector["age"]))
        Table.load(folder / "t.ult", identities=[vector["identity"]])
    elif "files" in vector:
        for name, data in vector["files"].items():
            (folder / name).write_bytes(base64.b64decode(data))
        list(Shards(folder).ids())
    elif "symbols" in vector:
        CODECS[vector["codec"]](**vector["config"]).decode(np.array(vector["symbols"], np.int64))
    elif "printable" in vector:
        Vocabulary(vector["vocabulary_size"]).from_text(vector["printable"])
    else:
        (folder / "vocabulary.json").write_text(vector["vocabulary"], encoding="utf-8")
        Vocabulary.load(folder / "vocabulary.json")


@vectors("reject")
def test_refused_for_its_own_reason(path, tmp_path):
    vector = read(path)
    with pytest.raises(errors.UltError) as caught:
        use(vector, tmp_path)
    assert type(caught.value).__name__ == vector["error"]
    assert vector["message"] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::ult.errors.ValuesClipped")  # a value of a vector lies outside, on purpose
def test_a_vector_that_is_there_is_not_written_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import make

    monkeypatch.setattr(make, "HERE", tmp_path)
    monkeypatch.setattr(make.rejects, "scenarios", lambda folder: [("reject/a", {"x": 2})])
    (tmp_path / "reject").mkdir()
    (tmp_path / "reject" / "a.json").write_text("old")
    make.main()
    assert (tmp_path / "reject" / "a.json").read_text() == "old"
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("codec/*.json")} == {
        f"codec/{name}.json" for name in VECTORS["codec"]
    }
