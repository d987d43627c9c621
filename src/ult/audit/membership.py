"""Was this record trained on? Scores of records from what a run predicts of their ids, higher for members.

One pass over the records feeds all scores. Each record stands alone after what starts a record, so that no score rests
on its neighbours; one longer than the context is read in windows, as in training.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig, MissingExtra, TrainingError, WrongTable
from ult.evaluate import predict
from ult.model import Model, load_trained
from ult.packing import IGNORED, Item, collate, open_shards
from ult.run import Run
from ult.settings import check_finite
from ult.shards import Shards
from ult.table import Table
from ult.vocabulary import EOS

try:
    import torch
except ImportError as missing:
    raise MissingExtra("torch", extra="train") from missing

LEAST = 0.2  # the share of a record's ids that Min-K% looks at; its authors' own choice
OFFLINE = 1 / 3  # RMIA's a, by which a reference that never saw a record stands for those that did
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a run predicts of each id of some records and of each record's end, record after record; in nats."""

    log: Floats  # (n,) the logarithm of the probability of the id that stands there
    mean: Floats  # (n,) what that logarithm would be on average if the run chose the id
    deviation: Floats  # (n,) and how much it would vary
    ends: NDArray[np.int64]  # (records,)

    def each(self, values: Floats) -> list[Floats]:
        """Return the values (n,) of each record."""
        return np.split(values, self.ends[:-1])

    @property
    def averages(self) -> Floats:
        """The mean of `log` over each record's ids (records,)."""
        return np.array([record.mean() for record in self.each(self.log)])

    @property
    def totals(self) -> Floats:
        """The logarithm of the probability of each whole record (records,)."""
        return np.array([record.sum() for record in self.each(self.log)])


def open_audited(run: str | Path, *many: str | Path | Sequence[str | Path]) -> tuple[Run, list[list[Shards]]]:
    """Open a run that predicts ids, and groups of shards of its own tables.

    Raises `TrainingError`, `WrongVocabulary` or `WrongTable`.
    """
    opened = Run.open(run)
    if opened.task != "lm":
        raise TrainingError(f"run {opened.path} was trained for {opened.task}; the audit reads runs for lm")
    groups = [open_shards(paths, opened.vocabulary) for paths in many]
    for shards in (shards for group in groups for shards in group):
        opened.check_shards(shards)
    return opened, groups


def predict_ids(
    run: Run,
    records: Iterable[NDArray[np.uint32]],
    *,
    modality: str | None = None,
    batch_size: int = 16,
    model: Model | None = None,
    advance: Callable[[int], None] = lambda records: None,
) -> Predicted:
    """Return what a run, whose `model` may be loaded already, predicts of records of ids (n,)."""
    model, head = model or load_trained(run), np.array(run.head(modality), np.int64)
    found: list[tuple[Floats, Floats, Floats]] = []
    lengths = []
    for batch in _batched(records, batch_size):
        windows = [window for ids in batch for window in _windows(ids, head, run.context)]
        firsts = range(0, len(windows), batch_size)
        found += [_predicted(model, windows[first : first + batch_size]) for first in firsts]
        lengths += [len(ids) + 1 for ids in batch]
        advance(len(batch))
    if not lengths:
        raise InvalidConfig("there are no records to audit")
    log, mean, deviation = (np.concatenate(column) for column in zip(*found, strict=True))
    return Predicted(log, mean, deviation, np.cumsum(lengths))


def _batched(records: Iterable[NDArray[np.uint32]], size: int) -> Iterator[list[NDArray[np.uint32]]]:
    pending: list[NDArray[np.uint32]] = []
    for ids in records:
        pending.append(ids)
        if len(pending) == size:
            yield pending
            pending = []
    if pending:
        yield pending


def _windows(ids: NDArray[np.uint32], head: NDArray[np.int64], context: int) -> list[Item]:
    """Return a record in windows of at most `context` ids, each of which and the record's end is predicted once."""
    stream = np.concatenate([head, ids.astype(np.int64), [EOS]])
    labels = np.append(np.full(len(head) - 1, IGNORED), stream[len(head) :])
    return [
        {"input_ids": stream[:-1][k : k + context], "labels": labels[k : k + context]}
        for k in range(0, len(labels), context)
    ]


def _predicted(model: Model, windows: Sequence[Item]) -> tuple[Floats, Floats, Floats]:
    batch = {name: tensor.to(model.device) for name, tensor in collate(windows).items()}
    with torch.inference_mode():
        logs = check_finite(predict(model, batch)).log_softmax(-1)[batch["labels"] != IGNORED]  # (n, vocabulary)
        labels = batch["labels"][batch["labels"] != IGNORED]
        weights = logs.exp()
        mean = (weights * logs).sum(-1)
        deviation = ((weights * (logs - mean[:, None]) ** 2).sum(-1)).sqrt()
        taken = logs.gather(1, labels[:, None])[:, 0]
    log, means, deviations = (column.double().cpu().numpy() for column in (taken, mean, deviation))
    return log, means, deviations


def loss(of: Predicted) -> Floats:
    """Score by the mean log-probability (Yeom et al. 2018)."""
    return of.averages


def zlib_ratio(of: Predicted, data: Sequence[bytes]) -> Floats:
    """Score by the mean log-probability over the bytes that zlib makes of the record (Carlini et al. 2021)."""
    return np.asarray(of.averages / [len(zlib.compress(one)) for one in data])


def min_k(of: Predicted, least: float = LEAST) -> Floats:
    """Score by the mean of the lowest log-probabilities (Min-K%, Shi et al. 2024)."""
    return _lowest(of, of.log, least)


def min_k_plus(of: Predicted, least: float = LEAST) -> Floats:
    """Score the same, each log-probability in deviations from what the run expects there (Zhang et al. 2025)."""
    return _lowest(of, (of.log - of.mean) / np.maximum(of.deviation, 1e-6), least)


def _lowest(of: Predicted, values: Floats, least: float) -> Floats:
    return np.array([np.sort(record)[: max(1, int(least * len(record)))].mean() for record in of.each(values)])


def reference(of: Predicted, other: Predicted) -> Floats:
    """Score by how much likelier than under a reference run the record is (Carlini et al. 2021)."""
    return of.averages - other.averages


def rmia(of: Predicted, other: Predicted, a: float = OFFLINE) -> Floats:
    """Score by what a record gains over runs with and without it (RMIA offline, Zarifzadeh et al. 2024).

    That average is told from a reference run without it as ((1 + a) p + 1 - a) / 2, p being the probability of an id,
    the geometric mean over the record's. RMIA's own score is the share of a population over which a record gains more:
    the same order, so the same curve, but for the ties that the population's size makes.
    """
    return np.asarray(of.averages - np.log(((1 + a) * np.exp(other.averages) + 1 - a) / 2))


def plain_bytes(record: Any) -> bytes:
    """Return a decoded record as bytes: of text its UTF-8, of arrays their values."""
    return record.encode("utf-8", "surrogatepass") if isinstance(record, str) else record.tobytes()


def scores(
    run: Run,
    members: Sequence[Shards],
    others: Sequence[Shards],
    *,
    table: Table | None = None,
    reference_run: Run | None = None,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda records: None,
) -> dict[str, tuple[Floats, Floats]]:
    """Return by attack the scores of the members' records and of the others'.

    zlib's needs the owner's table, those by reference a run that was trained without the members on shards of the same
    table. Raises `WrongTable` if the table is not that of all shards.
    """
    many = [*members, *others]
    rows = sum(shards.manifest.rows for shards in members)
    ids = [ids for shards in many for ids in shards.ids()]
    modality = modality_of(many)
    options: dict[str, Any] = {"modality": modality, "batch_size": batch_size, "advance": advance}
    of = predict_ids(run, ids, **options)
    found = {"loss": loss(of), "min-k": min_k(of), "min-k++": min_k_plus(of)}
    if table is not None:
        check_table(table, many)
        found["zlib"] = zlib_ratio(of, [plain_bytes(record) for record in table.decode_batch(ids)])
    if reference_run is not None:
        other = predict_ids(reference_run, ids, **options)
        found["reference"] = reference(of, other)
        found["rmia"] = rmia(of, other)
    return {name: (values[:rows], values[rows:]) for name, values in found.items()}


def modality_of(many: Sequence[Shards]) -> str:
    """Return the modality that all shards are of; raise `InvalidConfig` if there are several."""
    found = sorted({shards.manifest.codec.partition("/")[0] for shards in many})
    if len(found) != 1:
        raise InvalidConfig(f"the shards are of {', '.join(found)}; expected one modality at a time")
    return found[0]


def check_table(table: Table, many: Sequence[Shards]) -> None:
    """Raise `WrongTable` unless all shards were encoded with the table."""
    for shards in many:
        if shards.manifest.table != table.fingerprint:
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; this one is {table.fingerprint}",
                hint="--table with the table that `ult encode` used",
            )
