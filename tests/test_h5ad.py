"""Annotated matrices, `.h5ad`, that the tests write themselves: exact values, what travels, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ult.cli import app
from ult.data import open_source
from ult.data.matrices import matrix
from ult.errors import EmptySource, InvalidConfig, MissingColumn, SourceError

COUNTS = np.random.default_rng(0).poisson(0.6, (53, 7)).astype(np.float32)
GENES = [f"G{k}" for k in range(7)]


def dense(root: Any, path: str, values: Any) -> None:
    root[path] = values


def sparse(kind: str) -> Any:
    def write(root: Any, path: str, values: Any) -> None:
        by = values if kind == "csr" else values.T
        places = [np.flatnonzero(line) for line in by]
        group = root.create_group(path)
        group.attrs["encoding-type"], group.attrs["shape"] = f"{kind}_matrix", values.shape
        group["data"] = np.concatenate([line[at] for line, at in zip(by, places, strict=True)])
        group["indices"] = np.concatenate(places).astype(np.int32)
        group["indptr"] = np.cumsum([0, *map(len, places)])

    return write


def frame(root: Any, path: str, names: list[str], **columns: Any) -> None:
    group = root.create_group(path)
    group.attrs["_index"] = "names"
    group["names"] = names
    for name, values in columns.items():
        group[name] = values


def cells(path: Path, write: Any = dense, values: Any = COUNTS) -> Path:
    """Write an annotated matrix, with X doubled in `layers/twice` and tripled in `raw/X`."""
    rows = len(values)
    with h5py.File(path, "w") as root:
        write(root, "X", values)
        write(root, "layers/twice", values * 2)
        write(root, "raw/X", values * 3)
        frame(root, "var", GENES[: values.shape[1]])
        frame(root, "raw/var", [f"R{k}" for k in range(values.shape[1])])
        note = {"n": np.arange(rows), "share": np.arange(rows) / 7, "ok": np.arange(rows) % 2 > 0}
        frame(root, "obs", [f"AAAC-{k}" for k in range(rows)], **note, G3=np.zeros(rows))
        root["obs/kind/codes"], root["obs/kind/categories"] = (np.arange(rows) % 3 - 1).astype(np.int8), ["T", "B"]
        root["obs/age/values"], root["obs/age/mask"] = np.arange(rows), np.arange(rows) == 1
        root["obs/wide"] = np.zeros((rows, 2))
    return path


def read(path: Path, layer: str | None = None, **options: Any) -> Any:
    return np.stack(
        list(open_source([path], modality="series", reading={"layer": layer} if layer else None, **options))
    )


@pytest.mark.parametrize("write", [dense, sparse("csr"), sparse("csc")], ids=["dense", "csr", "csc"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8])
def test_each_cell_is_a_record_of_its_genes(write, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "_ENTRIES", 40)
    monkeypatch.setattr(matrix, "_SLICE", 33)
    path = cells(tmp_path / "x.h5ad", write, COUNTS.astype(kind))
    for layer, factor in ((None, 1), ("X", 1), ("layers/twice", 2), ("raw/X", 3)):
        values = read(path, layer)
        assert values.dtype == kind
        assert np.array_equal(values, COUNTS * factor)
    assert open_source([path], modality="series").fields == tuple(GENES)
    assert open_source([path], modality="series", reading={"layer": "raw/X"}).fields[0] == "R0"


@pytest.mark.parametrize("write", [dense, sparse("csr"), sparse("csc")], ids=["dense", "csr", "csc"])
def test_blocks_of_rows_are_bounded_and_in_order(write, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "_ENTRIES", 40)
    with h5py.File(tmp_path / "x.h5", "w") as root:
        write(root, "X", COUNTS)
        blocks = list(matrix.of(root["X"], "X", "x.h5").blocks(5))
    assert max(map(len, blocks)) == 5
    assert np.array_equal(np.concatenate(blocks), COUNTS)


def test_columns_of_obs_travel_if_asked_for_and_as_they_are(tmp_path):
    path = cells(tmp_path / "x.h5ad")
    names = ["kind", "n", "share", "ok", "age", "names"]
    (batch,) = open_source([path], modality="series", keep=names).batches()
    kept = batch.kept.to_pydict()
    assert kept["kind"][:4] == [None, "T", "B", None]
    assert kept["n"] == list(range(53))
    assert kept["share"][5] == 5 / 7
    assert kept["ok"][:2] == [False, True]
    assert kept["age"][:3] == [0, None, 2]
    assert kept["names"][0] == "AAAC-0"
    assert not next(open_source([path], modality="series").batches()).kept.column_names
    for keep, error, message in (
        ("kinds", MissingColumn, "no column 'kinds' of obs; obs has 'names', .*'kind'"),
        ("wide", MissingColumn, "no column 'wide'"),
        ("G1", SourceError, "'G1' is a gene"),
        ("G3", SourceError, "as a gene and as a column of obs"),
    ):
        with pytest.raises(error, match=message):
            open_source([path], modality="series", keep=[keep])


def test_files_of_old_versions(tmp_path):
    """Arrays of records with codes whose categories are in `uns`, and `raw.X`, as before 0.7; `__categories` of 0.7."""
    with h5py.File(tmp_path / "old.h5ad", "w") as root:
        root["X"] = COUNTS
        sparse("csr")(root, "raw.X", COUNTS)
        del root["raw.X"].attrs["encoding-type"]
        root["raw.X"].attrs["h5sparse_format"] = "csr"
        root["var"] = root["raw.var"] = np.array([(g.encode(),) for g in GENES], [("index", "S4")])
        rows = [(f"c{k}".encode(), k % 2, k) for k in range(53)]
        root["obs"] = np.array(rows, [("index", "S4"), ("kind", "i1"), ("n", "<i8")])
        root["uns/kind_categories"] = np.array([b"T", b"B"])
    (batch,) = open_source([tmp_path / "old.h5ad"], modality="series", keep=["kind", "n", "index"]).batches()
    assert batch.kept.slice(0, 2).to_pylist() == [
        {"kind": "T", "n": 0, "index": "c0"},
        {"kind": "B", "n": 1, "index": "c1"},
    ]
    assert np.array_equal(read(tmp_path / "old.h5ad", "raw/X"), COUNTS)
    path = cells(tmp_path / "x.h5ad")
    with h5py.File(path, "a") as root:
        root["obs/lab"], root["obs/__categories/lab"] = np.zeros(53, np.int8), ["north"]
    (batch,) = open_source([path], modality="series", keep=["lab"]).batches()
    assert set(batch.kept["lab"].to_pylist()) == {"north"}


def broken(change: Any, write: Any = dense) -> Any:
    def make(path: Path) -> Path:
        with h5py.File(cells(path, write), "a") as root:
            change(root)
        return path

    return make


def put(path: str, values: Any) -> Any:
    def change(root: Any) -> None:
        if path in root:
            del root[path]
        root[path] = values

    return change


def outside(root: Any) -> None:
    del root["X"]
    root.create_dataset("X", COUNTS.shape, "f4", external=[("/etc/passwd", 0, COUNTS.nbytes)])


def virtual(root: Any) -> None:
    del root["X"]
    layout = h5py.VirtualLayout(COUNTS.shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "X", COUNTS.shape)
    root.create_virtual_dataset("X", layout)


def absent(root: Any) -> None:
    del root["X"]
    root.create_dataset("X", (2**40, 7), "f4", chunks=(2**10, 7))


def dense_chunks(root: Any) -> None:
    del root["X"]
    root.create_dataset("X", (2**40, 7), "f4", chunks=(2**26, 7))


CSR, CSC = sparse("csr"), sparse("csc")
BROKEN = [
    (broken(put("X", h5py.ExternalLink("/etc/passwd", "X"))), "link to another file"),
    (broken(put("X", h5py.SoftLink("/X"))), "link to another place"),
    (broken(put("obs/n", h5py.SoftLink("/obs"))), "link to another place"),
    (broken(put("layers", h5py.ExternalLink("x.h5ad", "layers"))), "link to another file"),
    (broken(outside), "stored in other files"),
    (broken(virtual), "stored in other files"),
    (broken(absent), "not all in the file"),
    (broken(dense_chunks), "chunks of more than"),
    (broken(put("X", np.zeros(53))), r"array \(53,\); expected \(cells, genes\)"),
    (broken(put("X", np.zeros((5, 7)))), r"X is \(5, 7\); its cells and genes are 53 and 7"),
    (broken(put("X", np.array([["a"]], "S1"))), "expected numbers"),
    (broken(put("var/names", ["G"] * 7)), "several genes of one name.*hint: adata.var_names_make_unique"),
    (broken(lambda root: root.__delitem__("obs")), "has no obs"),
    (broken(lambda root: root.__delitem__("var/names")), "has no names of its rows"),
    (broken(lambda root: root["X"].attrs.__setitem__("encoding-type", "ellpack"), CSR), "is 'ellpack'"),
    (broken(lambda root: root.__delitem__("X/indptr"), CSR), "lacks a part"),
    (broken(put("X/indptr", np.zeros(54, int)), CSR), "bounds from 0 to 0"),
    (broken(put("X/indptr", np.full(54, -1)), CSR), "bounds that do not increase"),
    (broken(put("X/indptr", np.arange(54) * 2**50), CSR), "bounds that do not increase, or lie outside"),
    (broken(put("X/indptr", np.zeros(9, int)), CSR), "has 9 bounds"),
    (broken(lambda root: root["X/indices"].__setitem__(0, 7), CSR), "outside its 7 columns"),
    (broken(lambda root: root["X/indices"].__setitem__(0, -1), CSR), "outside its 7 columns"),
    (broken(lambda root: root["X/indices"].__setitem__(slice(None), 2), CSR), "two entries in one place"),
    (broken(lambda root: root["X/indices"].__setitem__(0, 53), CSC), "outside its 53 rows"),
    (broken(lambda root: root["X/indices"].__setitem__(slice(None), 2), CSC), "two entries in one place"),
    (broken(put("obs/kind/codes", np.full(53, 2))), "code outside its 2 categories"),
    (lambda path: path.write_bytes(b"no HDF5" * 99) and path, "is not an HDF5 file"),
    (
        lambda path: path.write_bytes(cells(path).read_bytes()[:9000]) and path,
        "is not an HDF5 file|not all in the file",
    ),
]


@pytest.mark.parametrize(("make", "message"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_damaged_or_leads_elsewhere_is_refused(make, message, tmp_path):
    path = make(tmp_path / "x.h5ad")
    with pytest.raises(SourceError, match=message):
        list(open_source([path], modality="series", keep=["kind"]))


def test_a_layer_is_named_and_never_guessed(tmp_path):
    path = cells(tmp_path / "x.h5ad")
    with pytest.raises(InvalidConfig, match=r"no matrix 'twice'; it has 'X', 'raw/X', 'layers/twice' .hint: --layer X"):
        read(path, "twice")
    broken(lambda root: root.__delitem__("X"))(path)
    with pytest.raises(InvalidConfig, match=r"no matrix 'X'; it has 'raw/X', 'layers/twice'"):
        read(path)
    with pytest.raises(InvalidConfig, match="layer is 3"):
        open_source([path], modality="series", reading={"layer": 3})
    with pytest.raises(InvalidConfig, match="reading has 'lair'; expected 'layer', 'window'"):
        open_source([path], modality="series", reading={"lair": "X"})
    with pytest.raises(EmptySource, match="0 cells"):
        read(cells(tmp_path / "none.h5ad", dense, COUNTS[:0]))


def test_several_files_have_the_same_genes(tmp_path):
    paths = [cells(tmp_path / name) for name in ("a.h5ad", "b.h5ad")]
    assert len(list(open_source([tmp_path / "*.h5ad"], modality="series", keep=["kind"]))) == 106
    broken(put("var/names", [*GENES[:6], "H"]))(paths[1])
    with pytest.raises(MissingColumn, match="no gene and no column 'G6'"):
        list(open_source(paths, modality="series"))


def test_counts_from_cells_to_ids_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    many = np.random.default_rng(1).poisson(np.arange(1, 8) * 3, (60, 7))
    cells(tmp_path / "x.h5ad", sparse("csr"), many)
    for line in (
        "fit x.h5ad --codec series/mulaw -o t.ult --no-encryption --vocabulary-size 2048 --layer layers/twice -w 1 "
        "--option clip=0 --option levels=1024",
        "encode x.h5ad -t t.ult -o s --layer layers/twice --keep kind -w 1",
        "decode s -t t.ult -o back.parquet",
    ):
        app(line.split(), standalone_mode=False)
    source = open_source(["back.parquet"], modality="series", keep=["kind"])
    assert source.fields == tuple(GENES)
    assert np.array_equal(np.rint(np.stack(list(source))), many * 2)


def test_audits_read_the_layer_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("in.h5ad", "out.h5ad"):
        cells(Path(name), dense, rng.poisson(9, (60, 7)))
    options = "--codec series/mulaw -o t.ult --no-encryption --vocabulary-size 400 --option low=0 --option high=99 -w 1"
    app(f"fit in.h5ad --layer raw/X {options}".split(), standalone_mode=False)
    audit = "audit table t.ult --members in.h5ad --nonmembers out.h5ad --json a.json --layer"
    app(f"{audit} raw/X".split(), standalone_mode=False)
    assert Path("a.json").exists()
    with pytest.raises(InvalidConfig, match="no matrix 'layers/none'"):
        app(f"{audit} layers/none --force".split(), standalone_mode=False)
