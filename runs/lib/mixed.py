"""Mixed tables: as CSV with a header, and their rows as others write them: lines, sentences, tokens of deciles."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.public.vocabulary import N_SPECIAL

HEADS = {  # names for the columns of files that have none
    "adult.data": (
        "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,"
        "capital-loss,hours-per-week,native-country,income"
    ),
    "heart": "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num",
}
SEMICOLONS = {"bank_additional.csv"}
Row = tuple[str, ...]


def with_header(path: Path, folder: Path) -> Path:
    """Return the table as a file with a header and commas, `path` itself if it is one; cells stay as they are."""
    head = HEADS.get(path.name) or (HEADS["heart"] if path.suffix == ".data" else "")
    if not head and path.name not in SEMICOLONS:
        return path
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=";" if path.name in SEMICOLONS else ",") if row]
    new = folder / f"{path.stem}.csv"
    with new.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head.split(",")] * bool(head) + rows)
    return new


def csv_lines(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines of CSV."""
    quoted = [
        ['"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell for cell in row] for row in rows
    ]
    return [",".join(row) for row in quoted]


def great(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return the sentences of GReaT (Borisov et al., 2023), columns in their order."""
    return [", ".join(f"{name} is {cell}" for name, cell in zip(names, row, strict=True)) for row in rows]


class Deciles:
    """A token a cell: of a number its decile, of any other text, or of a number that is missing, the text itself.

    The deciles and the texts are those of the rows to train on; another text is the token "unseen" of its column.
    """

    codec = "raw/deciles"

    def __init__(self, train: Sequence[Row], fields: Sequence[Field], size: int) -> None:
        self._columns = [_Column(one, [row[k] for row in train]) for k, one in enumerate(fields)]
        sizes = [len(column.tokens) + 1 for column in self._columns]
        self._first = np.cumsum([N_SPECIAL, *sizes[:-1]])
        self.size = size
        if N_SPECIAL + sum(sizes) > size:
            raise ValueError(f"{sum(sizes)} tokens do not fit in {size - N_SPECIAL} ids: take a greater vocabulary")

    def encode(self, rows: Sequence[Row]) -> list[NDArray[np.uint32]]:
        """Return the tokens of each row."""
        columns = [column.numbers([row[k] for row in rows]) for k, column in enumerate(self._columns)]
        return list((np.stack(columns, 1) + self._first).astype(np.uint32))

    def left_out(self, rows: Sequence[Row], *, free: bool = False) -> NDArray[np.float64]:
        """Return the bits (rows,) that say each number of its decile: how often its text stands there in training.

        A text that training has not is one more there, seen once; it then takes one of all numbers of as many decimals
        between the least and the greatest of the decile, or, if `free`, no more bits.
        """
        columns = [column.left_out([row[k] for row in rows], free=free) for k, column in enumerate(self._columns)]
        return np.sum(columns, axis=0)

    def coarse(self) -> list[Field]:
        """Return the fields that keep of each number its decile alone, and give the commonest number of it back."""
        return [column.coarse() for column in self._columns]


class _Column:
    def __init__(self, field: Field, train: Sequence[str]) -> None:
        self._field, self._said = field, {*field.missing, ""}
        numbers = [text for text in train if self._is_number(text)]
        values = np.array([float(text) for text in numbers])
        cuts = np.arange(1, 10) / 10
        edges = np.unique(np.quantile(values, cuts, method="inverted_cdf")) if numbers else np.zeros(0)
        self._edges = edges[edges > values.min(initial=np.inf)]  # no decile is empty
        tokens = sorted({self._token(text) for text in train}, key=str)
        self.tokens = {token: k for k, token in enumerate(tokens)}
        self._texts = Counter(numbers)
        places = np.searchsorted(self._edges, values, side="right")
        self._many = Counter(places.tolist())
        self._different = Counter(self._token(text) for text in self._texts)
        self._ends = {k: (values[places == k].min(), values[places == k].max()) for k in self._many}

    def _is_number(self, text: str) -> bool:
        return self._field.kind == "number" and text not in self._said

    def _token(self, text: str) -> int | str:
        """Return the decile of a number, or the text."""
        return int(np.searchsorted(self._edges, float(text), side="right")) if self._is_number(text) else text

    def numbers(self, cells: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of each cell's token; the last one is "unseen"."""
        return np.array([self.tokens.get(self._token(cell), len(self.tokens)) for cell in cells])

    def left_out(self, cells: Sequence[str], *, free: bool) -> NDArray[np.float64]:
        """Return the bits (cells,) that a decile leaves out."""
        return np.array([self._left_out(cell, free=free) for cell in cells])

    def _left_out(self, cell: str, *, free: bool) -> float:
        token = self._token(cell)
        if isinstance(token, str):
            return 0.0
        bits = -math.log2((self._texts[cell] + 1) / (self._many[token] + self._different[token] + 1))
        if cell in self._texts or free:
            return bits
        low, high = self._ends[token]
        return bits + math.log2((high - low) * 10.0 ** len(cell.partition(".")[2]) + 1)

    def coarse(self) -> Field:
        """Return the field that keeps of a number its decile alone."""
        if not self._texts:
            return self._field
        edges = tuple(np.format_float_positional(edge, trim="-") for edge in self._edges)
        common = {self._token(text): text for text, _ in reversed(self._texts.most_common())}
        levels = tuple(common[k] for k in range(len(edges) + 1))
        absent = None if self._field.absent in self._texts else self._field.absent
        return replace(self._field, edges=edges, levels=levels, absent=absent)
