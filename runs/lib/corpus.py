"""The data of the rows, as records: from the data folder, or, with `ULT_ONLINE=1`, from the Hugging Face Hub."""

from __future__ import annotations

import ast
import csv
import itertools
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lib.session import Session
from ult.data import open_source

PHOTOS = 234
Image = NDArray[np.uint8]  # (h, w, 3)
WIKITEXT = "hf:Salesforce/wikitext?name=wikitext-2-raw-v1&split={}"


@dataclass(frozen=True)
class Values:
    """Rows of numbers, their labels, and which of them are kept for testing."""

    values: NDArray[np.float64]  # (n, m)
    labels: NDArray[Any]  # (n,) of str
    test: NDArray[np.bool_]  # (n,)


def wikitext(session: Session, split: str) -> list[str]:
    """Return the lines of wikitext-2 that hold a word: paragraphs and headings of "train", "valid" or "test"."""
    if os.environ.get("ULT_ONLINE"):
        address = WIKITEXT.format("validation" if split == "valid" else split)
    else:
        address = str(session.data / "text" / "wikitext-2" / f"{split}.txt")
    return [line for line in _texts(address) if line.strip()]


def _texts(address: str) -> list[str]:
    return [record for batch in open_source([address], modality="text").batches() for record in batch.records]


def labelled_texts(session: Session, name: str, split: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of `text/medical/<name>_<split>.csv`."""
    with (session.data / "text" / "medical" / f"{name}_{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def python_help() -> list[str]:
    """Return paragraphs of Python's help, each once: its topics, and what the standard library says of itself."""
    found = dict.fromkeys(open_source(["sample:topics"], modality="text", column="text"))
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "dist-packages", "test", "tests"} & set(path.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):  # of another version, on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                paragraphs = (ast.get_docstring(node) or "").split("\n\n")
                found |= dict.fromkeys(" ".join(p.split()) for p in paragraphs if len(p) > 60 and ">>>" not in p)
    return list(found)


def genes(session: Session, name: str, most: int) -> Values:
    """Return the first `most` genes of a table of expression; tumours without a class are left out."""
    table = pq.read_table(session.data / "series" / f"{name}.parquet")
    labels = np.array(table["label"].to_pylist())
    test = (
        np.array(table["split"].to_pylist()) == "test" if "split" in table.column_names else np.zeros(len(labels), bool)
    )
    known = labels != "unclassified"
    return Values(_numbers(table)[known, :most], labels[known], test[known])


def heartbeats(session: Session) -> Values:
    """Return the 500 heartbeats of ECG5000."""
    table = pq.read_table(session.data / "series" / "ecg5000.parquet")
    test = np.array(table["split"].to_pylist()) == "test"
    return Values(
        _numbers(table.drop_columns(["label", "split"])), np.array(list(map(str, table["label"].to_pylist()))), test
    )


def _numbers(table: pa.Table) -> NDArray[np.float64]:
    columns = [column.to_numpy() for column in table.columns if pa.types.is_floating(column.type)]
    return np.stack(columns, axis=1).astype(float)


def cifar(session: Session, split: str, most: int) -> list[Image]:
    """Return the first images (32, 32, 3) of CIFAR-10; classes take turns in it."""
    return labelled_cifar(session, split, most)[0]


def labelled_cifar(session: Session, split: str, most: int) -> tuple[list[Image], list[str]]:
    """Return the first images (32, 32, 3) of CIFAR-10, and the number of the class of each."""
    if os.environ.get("ULT_ONLINE"):
        source = open_source([f"hf:uoft-cs/cifar10?split={split}"], modality="image", column="img", keep=["label"])
    else:
        path = session.data / "images" / f"cifar10_{split}.parquet"
        source = open_source([path], modality="image", column="jpeg", keep=["label"])
    found: list[Image] = []
    labels: list[str] = []
    for batch in source.batches():
        found += batch.records
        labels += map(str, batch.kept["label"].to_pylist())
        if len(found) >= most:
            break
    return found[:most], labels[:most]


def tiles(session: Session, most: int) -> list[Image]:
    """Return tiles (32, 32, 3) of photographs, half over one another, at scales of 32, 64 and 128 pixels a side."""
    from PIL import Image as Pillow

    if os.environ.get("ULT_ONLINE"):
        source = open_source(["hf:yukimasano/pass?split=train"], modality="image")
    else:
        source = open_source([session.data / "images" / "photos"], modality="image")
    found = []
    for photo in itertools.islice(source, PHOTOS):
        for shorter in (32, 64, 128):
            scale = shorter / min(photo.shape[:2])
            height, width = (max(shorter, round(side * scale)) for side in photo.shape[:2])
            small = np.asarray(Pillow.fromarray(photo).convert("RGB").resize((width, height)))
            starts = itertools.product(range(0, height - 31, 16), range(0, width - 31, 16))
            found += [small[y : y + 32, x : x + 32].copy() for y, x in starts]
    return [found[k] for k in np.random.default_rng(0).permutation(len(found))[:most]]


def transformer(session: Session) -> NDArray[np.float64]:
    """Return ETTh1 (hours, 7): what an electricity transformer carries, and last its oil's temperature."""
    with (session.data / "series" / "ETTh1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return np.array([row[1:] for row in rows[1:]], float)


def molecules(session: Session) -> tuple[list[str], list[str]]:
    """Return SMILES of the HIV screen, as published: those to train on, and those to test on."""
    with (session.data / "molecules" / "smiles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple([row["smiles"] for row in rows if row["split"] == split] for split in ("train", "test"))  # type: ignore[return-value]


def reactions(session: Session, split: str) -> list[str]:
    """Return the reactions of USPTO-MIT, reactants>reagents>products: "train", "valid" or "test"."""
    return (session.data / "molecules" / "uspto-mit" / f"{split}.txt").read_text(encoding="utf-8").splitlines()
