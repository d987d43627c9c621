"""Of records that a model writes under the grammar of a table, how many are none?

Five tables: numbers and categories (flchain), dates, lists and texts (clinical_trials), rows of a patient (observations
of Synthea), medical events (FHIR bulk of Synthea), and a made one of every kind with nulls, images, series, molecules.
Each has a table of 2,048 ids and two models of 0.7 million parameters: one with random weights, which is the worst
case, and one trained for 40 steps. Each writes 2,000 records of at most 31 ids. A record is invalid if it is cut, its
ids do not decode, the file of its kind (CSV, or Parquet) refuses it, or the file read again gives another record or
other symbols. No invalid one of n bounds the rate by 3 / n, at 95 %.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from session import counted, data_folder, metric, write

import ult
from ult.codecs.record import RecordColumns
from ult.data import open_source
from ult.data.columns.schema import Schema
from ult.data.composed.record_sink import open_record_sink
from ult.data.images.image import packed
from ult.errors import UltError
from ult.owner.constrained import TableGrammar
from ult.public.shard_writer import ShardWriter
from ult.trainer.generate import generate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

SIZE, MANY, CONTEXT = 2048, 2000, 32
TRAINED = 40  # steps
MODELS = {"random weights": {"steps": 1, "learning_rate": 1e-9}, "trained": {"steps": TRAINED, "learning_rate": 3e-3}}


def every_kind(path: Path, rows: int = 2000) -> Path:
    """Write a table with a column of each kind, of which some have nulls and others none."""
    rng = np.random.default_rng(0)
    start = np.datetime64("2020-01-01")

    def sparse(values: Sequence[Any]) -> list[Any]:
        return [None if rng.random() < 0.2 else value for value in values]

    words = ["fever", "cough", "no", "pain", "since", "two", "days", "of", "the", "chest"]
    table = {
        "age": rng.integers(0, 99, rows),
        "dose": sparse([f"{value:.2f} mg" for value in rng.gamma(2, 20, rows)]),
        "sex": rng.choice(["m", "f"], rows).tolist(),
        "ward": sparse(rng.choice(["A1", "B2", "ICU"], rows).tolist()),
        "seen": (start + rng.integers(0, 900, rows)).astype("datetime64[D]"),
        "left": sparse((start + rng.integers(900, 999, rows)).astype("datetime64[D]").tolist()),
        "note": sparse([" ".join(rng.choice(words, 9)) for _ in range(rows)]),
        "codes": ["|".join(rng.choice(["I10", "E11.9", "J45"], rng.integers(1, 4))) for _ in range(rows)],
        "smiles": sparse(rng.choice(["CCO", "c1ccccc1", "CC(=O)O", "C[C@H](N)C(=O)O"], rows).tolist()),
        "curve": sparse([rng.normal(0, 1, 4) for _ in range(rows)]),
        "scan": sparse([packed(rng.integers(0, 255, (8, 8), np.uint8)) for _ in range(rows)]),
    }
    pq.write_table(pa.table({name: pa.array(values) for name, values in table.items()}), path)
    return path


def cases(data: Path, folder: Path) -> list[tuple[str, str, str, str]]:
    """Return of each table a name, the input, the unit, and the suffix of a file for its records."""
    tables = data / "records"
    return [
        ("flchain", str(tables / "tables/flchain.csv"), "", ".csv"),
        ("clinical_trials", str(tables / "tables/clinical_trials.csv"), "", ".csv"),
        ("observations by patient", str(tables / "synthea/observations.csv"), "PATIENT", ".csv"),
        ("FHIR events by patient", f"fhir:{tables / 'fhir/synthea10'}", "subject_id", ".parquet"),
        ("every kind", str(every_kind(folder / "kinds.parquet")), "", ".parquet"),
    ]


def same(one: Any, other: Any) -> bool:
    """Return whether two cells, or records, are the same."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return type(one) is type(other) and bool(one == other)


def through_file(records: Sequence[Any], schema: Schema, path: Path) -> list[Any]:
    """Write records to a file and return those that it then holds. Raises `UltError`."""
    with open_record_sink(path, schema, None, force=True) as sink:
        sink.write(records)
    return list(open_source([str(path)], modality="record", schema=schema))


def invalid(many: Sequence[Any], table: ult.Table, schema: Schema, path: Path) -> int:
    """Return how many of the ids of records are none."""
    codec, found, wrong = table.codec, [], 0
    for ids in many:
        try:
            found.append(table.decode(ids))
        except UltError:
            wrong += 1
    try:
        back = through_file(found, schema, path)
    except UltError:
        back = []
    if len(back) != len(found):  # then one by one
        back = [None] * len(found)
        for k, one in enumerate(found):
            try:
                back[k] = (*through_file([one], schema, path), None)[0]
            except UltError:
                continue
    for one, other in zip(found, back, strict=True):
        right = same(one, other)
        if right and codec.lossless:  # of an image there are several spellings
            right = np.array_equal(codec.encode(one).symbols, codec.encode(other).symbols)
        wrong += not right
    return wrong


def main() -> None:
    """Measure, and write `results/generated.json`."""
    data, metrics = data_folder(), []
    totals = dict.fromkeys(MODELS, 0)
    written, started, seconds = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, source, unit, suffix in cases(data, folder):
            schema = ult.describe(source, unit=unit).schema
            assert schema is not None
            records = list(open_source([source], modality="record", schema=schema))[:3000]
            vocabulary, codec = ult.Vocabulary(SIZE), RecordColumns(fields=[one.document() for one in schema.fields])
            table = ult.Table.fit(records, codec=codec, vocabulary=vocabulary, min_records=1)
            shards = folder / f"shards-{started}"
            told = {"table": table.fingerprint, "codec": codec.id, "column": ""}
            with ShardWriter(shards, vocabulary=vocabulary, **told) as writer:
                writer.write(table.encode_batch(records), nbytes=sum(map(codec.nbytes, records)))
            for system, options in MODELS.items():
                run = folder / f"run-{started}"
                started += 1
                train(shards, run, Recipe(batch_size=16, context=CONTEXT, **options))
                begin = time.perf_counter()
                many = generate(run, n=MANY, batch_size=250, grammar=TableGrammar(table))
                seconds += time.perf_counter() - begin
                written += sum(map(len, many))
                wrong = invalid(many, table, schema, folder / f"made{suffix}")
                totals[system] += wrong
                about: dict[str, Any] = {"n": MANY, "higher_is_better": False, "unit": "records"}
                metrics.append(metric(f"invalid, {title}", system, counted(wrong), **about))
                print(title, system, wrong, f"{np.mean([len(ids) for ids in many]):.0f} ids", flush=True)
    n = MANY * len(metrics) // len(MODELS)
    every = [
        metric("invalid records", system, counted(wrong), n=n, higher_is_better=False, unit="records", goal="at most 0")
        for system, wrong in totals.items()
    ]
    pace = metric("time of an id, model included", "tiny models", counted(1e3 * seconds / written), n=written,
                  higher_is_better=False, unit="ms")  # fmt: skip
    write("generated", "Records that a model writes", [*every, *metrics, pace], __doc__,
          command="python bench/generated.py --data DATA")  # fmt: skip


if __name__ == "__main__":
    main()
