"""Do the cells of mixed tables come back as they were written, and in how few ids?

Every table of `records/tables` and `records/synthea` is described by `ult describe`, no more said. All cells are
encoded and decoded. Ids are counted on a fifth of the rows that no table was fitted on, at a vocabulary of 8,192 for
each of three: record/columns, the line of CSV under a table of text/bytes of its own, and the sentences of GReaT
("age is 39, sex is Male") under a byte-level BPE of their own. Only tables of at least 5,000 rows are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from session import counted, csv_lines, data_folder, great, metric, with_header, write
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import ult
from ult.codecs.record import RecordColumns
from ult.data import open_source

SIZE = 8192
LEAST = 5000  # rows of a table that is compared
APART = {"diabetes130_ids_mapping.csv"}  # three tables in one file


def tables(data: Path, folder: Path) -> Iterator[Path]:
    """Yield every table as a file with a header and commas; cells stay as they are."""
    for path in sorted([*(data / "records/tables").rglob("*.*"), *(data / "records/synthea").glob("*.csv")]):
        if path.name not in APART:
            yield with_header(path, folder)


def bpe_ids(train: Sequence[str], test: Sequence[str]) -> int:
    """Return how many tokens `test` has under a byte-level BPE of `train`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(train, trainers.BpeTrainer(vocab_size=SIZE, initial_alphabet=alphabet))
    return sum(len(one.ids) for one in tokenizer.encode_batch(list(test)))


def ids_of(table: ult.Table, records: Sequence[object]) -> int:
    """Return how many ids records have."""
    return len(table.encode_ragged(records)[0])


def compared(table: str, n: int, ids: dict[str, int]) -> list[dict[str, Any]]:
    """Return the ids a row of each system on `n` rows, and ours beside the others."""
    about: dict[str, Any] = {"n": n, "higher_is_better": False}
    ours, lines, sentences = ids.values()
    system = "record/columns"
    name = f"ids a row, {table}"
    return [
        *(metric(name, which, counted(many / n), unit="ids", **about) for which, many in ids.items()),
        metric(f"{name}, to CSV's", system, counted(ours / lines), unit="x", goal="at most 0.6", **about),
        metric(
            f"{name}, to GReaT's", "record/columns", counted(ours / sentences), unit="x", goal="at most 0.5", **about
        ),
    ]


def main() -> None:
    """Measure, and write `results/records.json`."""
    data, metrics, cells, unequal, files = data_folder(), [], 0, 0, 0
    vocabulary = ult.Vocabulary(SIZE)
    with tempfile.TemporaryDirectory() as folder:
        for path in tables(data, Path(folder)):
            schema = ult.describe(str(path)).schema
            assert schema is not None
            rows = list(open_source([str(path)], modality="record", schema=schema))
            codec = RecordColumns(fields=[one.document() for one in schema.fields])
            whole = ult.Table.fit(rows, codec=codec, vocabulary=vocabulary)
            back = whole.decode_batch(whole.encode_batch(rows))
            cells += sum(map(len, rows))
            unequal += sum(
                a != b for row, other in zip(rows, back, strict=True) for a, b in zip(row, other, strict=True)
            )
            files += 1
            if len(rows) < LEAST:
                continue
            order = np.random.default_rng(0).permutation(len(rows))
            test, train = ([rows[i] for i in part] for part in np.split(order, [len(rows) // 5]))
            ours = ids_of(ult.Table.fit(train, codec=codec, vocabulary=vocabulary), test)
            lines = ids_of(ult.Table.fit(csv_lines(train), vocabulary=vocabulary), csv_lines(test))
            names = [one.name for one in schema.fields]
            sentences = bpe_ids(great(train, names), great(test, names))
            systems = {"record/columns": ours, "text/bytes of CSV": lines, "BPE of GReaT's text": sentences}
            metrics += compared(path.stem, len(test), systems)
    exact = metric(
        f"cells that come back as written, {files} tables",
        "record/columns",
        counted(1 - unequal / cells),
        n=cells,
        higher_is_better=True,
        unit="share",
        goal="at least 1",
    )
    write("records", "Mixed tables", [exact, *metrics], __doc__, command="python bench/records.py --data DATA")


if __name__ == "__main__":
    main()
