"""The data of the rows, as records: from the data folder, or, with `ULT_ONLINE=1`, from the Hugging Face Hub."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from session import Session

from ult.data import open_source

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


def cifar(session: Session, split: str, most: int) -> list[NDArray[np.uint8]]:
    """Return the first images (32, 32, 3) of CIFAR-10; classes take turns in it."""
    if os.environ.get("ULT_ONLINE"):
        source = open_source([f"hf:uoft-cs/cifar10?split={split}"], modality="image", column="img")
    else:
        source = open_source([session.data / "images" / f"cifar10_{split}.parquet"], modality="image", column="jpeg")
    found: list[NDArray[np.uint8]] = []
    for batch in source.batches():
        found += batch.records
        if len(found) >= most:
            break
    return found[:most]


def molecules(session: Session) -> tuple[list[str], list[str]]:
    """Return SMILES of the HIV screen, as published: those to train on, and those to test on."""
    with (session.data / "molecules" / "smiles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple([row["smiles"] for row in rows if row["split"] == split] for split in ("train", "test"))  # type: ignore[return-value]
