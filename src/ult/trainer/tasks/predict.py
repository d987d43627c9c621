"""Predict the label of each record of shards by a run that classifies, without any table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ult.errors import InvalidConfig, OutputError, writing
from ult.host.arguments import call as call_argument
from ult.host.arguments import checked, integer, path, switch
from ult.host.atomic import whole
from ult.host.free import check_free
from ult.host.shown import count
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.task import LABELS
from ult.trainer.datasets.packing import as_numbers, open_shards
from ult.trainer.models.embeddings import Model
from ult.trainer.models.together import load_predictor
from ult.trainer.tasks.classify import chances_of, unlabelled
from ult.trainer.tasks.figures import Figures
from ult.trainer.tasks.predicted import Predicted
from ult.trainer.tasks.regress import Numbers, numbers_of, without_numbers

SUFFIXES = (".csv", ".jsonl", ".parquet")
_NOT = {  # what was expected of a run of another task, and what to type
    "lm": (
        "the owner's table and a column, of records, or a run for classify or regress, of shards",
        "--table TABLE --target COLUMN",
    ),
    "seq2seq": ("a run for classify or regress", "ult translate"),
}


@checked(
    run=folders.run_argument,
    shards=folders.folders_argument,
    out=path,
    batch_size=integer(1),
    force=switch,
    advance=call_argument,
)
def predict_labels(
    run: Run | str | Path,
    shards: Folders,
    out: str | Path | None = None,
    *,
    batch_size: int = 64,
    force: bool = False,
    advance: Callable[[int], None] = lambda records: None,
) -> Predicted:
    """Return, and write to `out`, the probability of each label for each record of shards, in order.

    `run` was trained for "classify", or for "regress", of which it is the number of each record. A record is called by
    its place in its shards, from 0, after the folder's name if there are several folders. If the shards keep the label,
    the result has `figures`; it is used for nothing else.

    `out` is a .csv, .jsonl or .parquet file with the columns record, predicted and p(LABEL) for each label. Raises
    `InvalidConfig`, `WrongVocabulary`, `TrainingError`, `OutputExists` or `OutputError`; then nothing was written.
    """
    place = None if out is None else Path(out)
    if place is not None:
        check_free(place, force=force)
        if place.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{place} has suffix {place.suffix!r}; expected {', '.join(SUFFIXES)}")
    opened = run if isinstance(run, Run) else Run.open(run)
    if opened.task not in LABELS:
        expected, hint = _NOT[opened.task]
        raise InvalidConfig(f"run {opened.path} was trained for {opened.task}; expected {expected}", hint=hint)
    sources = open_shards(folders.paths(shards), opened.vocabulary)
    model = load_predictor(opened)
    if opened.task == "regress":
        return _numbers(opened, model, sources, place, batch_size, advance)
    names = tuple(map(str, opened.classes))
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        data = unlabelled(opened, model, sources, Path(folder))
        chances, cut = chances_of(model, data, batch_size, advance), data.truncated
    truth = _truth(sources, opened)
    likeliest = tuple(names[k] for k in chances.argmax(1).tolist())
    found = Predicted(
        target=str(opened.metrics.get("label")),
        values=names,
        records=_places(sources),
        likeliest=likeliest,
        probabilities=chances,
        truth=truth,
        expected=None,
        median=None,
        figures=Figures.of(truth, chances, names, unlisted=0),
        path=place,
        told=_remarks(opened, sources, cut),
    )
    if place is not None:
        _write(place, found)
    return found


def _numbers(
    run: Run,
    model: Model,
    sources: Sequence[Shards],
    place: Path | None,
    batch_size: int,
    advance: Callable[[int], None],
) -> Predicted:
    """Return, and write, the number of each record."""
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        data = without_numbers(run, model, sources, Path(folder))
        found, cut = numbers_of(model, data, batch_size, run.scale, advance), data.truncated
    label = str(run.metrics.get("label"))
    told = all(label in one.manifest.kept for one in sources)
    true = np.concatenate([as_numbers(part[label], label) for one in sources for part in one.parts()]) if told else None
    predicted = Predicted(
        target=label,
        values=(),
        records=_places(sources),
        likeliest=tuple(f"{one:.6g}" for one in found.tolist()),
        probabilities=np.empty((len(found), 0), np.float32),
        truth=np.full(len(found), -1),
        expected=found,
        median=None,
        figures=None if true is None else Numbers.of(true, found, run.scale[0]),
        path=place,
        told=_remarks(run, sources, cut),
    )
    if place is not None:
        _write(place, predicted)
    return predicted


def _truth(sources: Sequence[Shards], run: Run) -> NDArray[np.int64]:
    """Return which of the run's labels each record has; -1 if its shards keep none, or another one."""
    label, number = run.metrics.get("label"), {name: k for k, name in enumerate(run.classes)}
    found: list[int] = []
    for one in sources:
        for part in one.parts():
            kept = part[label].to_pylist() if label in one.manifest.kept else [None] * part.num_rows
            found += [number.get(value, -1) if isinstance(value, int | str) else -1 for value in kept]
    return np.array(found, np.int64)


def _places(sources: Sequence[Shards]) -> tuple[str, ...]:
    return tuple(
        f"{one.path.name}:{k}" if len(sources) > 1 else str(k) for one in sources for k in range(one.manifest.rows)
    )


def _remarks(run: Run, sources: Sequence[Shards], cut: int) -> tuple[str, ...]:
    found = []
    if run.names_tables and not {one.manifest.table for one in sources} <= run.tables:
        found.append("the run was trained on another table than these shards': its embedding rows do not fit them")
    if cut:
        found.append(
            f"{count(cut, 'record')} of more ids than the run's context of {run.context}: the rest was not read"
        )
    return tuple(found)


def _write(out: Path, found: Predicted) -> None:
    chances = {f"p({name})": pa.array(found.probabilities[:, k]) for k, name in enumerate(found.values)}
    table = pa.table({"record": pa.array(found.records), "predicted": pa.array(found.likeliest)} | chances)
    if found.expected is not None:
        table = table.set_column(1, "predicted", pa.array(found.expected))
    with whole(out) as new, writing(out):
        if out.suffix.lower() == ".parquet":
            pq.write_table(table, new)
        elif out.suffix.lower() == ".csv":
            pc.write_csv(table, new)
        else:
            lines = (json.dumps(_rounded(row), ensure_ascii=False) + "\n" for row in table.to_pylist())
            with new.open("w", encoding="utf-8") as file:
                file.writelines(lines)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
