"""A run's predictions for records: the log-probability of each id, of each target's ids, or of each class.

Each record is read alone, after the ids that start a record, so that no score depends on neighbouring records. A record
longer than the context is read in windows, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.model.record import Record
from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.public.task import LABELS
from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import IGNORED, Item, collate
from ult.trainer.datasets.pairs import read_source
from ult.trainer.loss import number_costs, predict
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import normalizer
from ult.trainer.models.together import load_predictor

with require("torch", extra="train"):
    import torch

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """A run's predictions, in nats, for each id of the records and for the end of each record, concatenated.

    For runs of task "seq2seq" these are the targets' ids, for "classify" one class per record. For "regress" they are
    one number per record, under a Gaussian of deviation 1 in units of the scale around what the run says.
    """

    log: Floats  # (n,) log-probability of the true id, or log-density of the true number
    mean: Floats  # (n,) expected log-probability of an id that the run draws; NaN if `moments` were not asked for
    deviation: Floats  # (n,) its standard deviation; likewise
    ends: NDArray[np.int64]  # (records,) where each record ends in the others

    def each(self, values: Floats) -> list[Floats]:
        """Return `values` (n,) split into one array for each record."""
        return np.split(values, self.ends[:-1])

    @property
    def averages(self) -> Floats:
        """The mean log-probability of each record's ids, (records,)."""
        return np.array([record.mean() for record in self.each(self.log)])

    @property
    def totals(self) -> Floats:
        """The log-probability of each whole record, (records,)."""
        return np.array([record.sum() for record in self.each(self.log)])


def predict_ids(
    run: Run,
    records: Iterable[NDArray[np.uint32]],
    *,
    modality: str | None = None,
    batch_size: int = 16,
    model: Model | None = None,
    moments: bool = True,
    given: int = 0,
    advance: Callable[[int], None] = lambda records: None,
) -> Predicted:
    """Return the predictions of a run of task "lm" for records of ids (n,).

    `model` is the run's model if it is loaded already. Without `moments`, mean and deviation, which take most of the
    time, are not computed. The first `given` ids of each record are read but not predicted. `advance(n)` is called for
    each n finished records. Raises `InvalidConfig` if there are no records.
    """
    options: dict[str, Any] = {"modality": modality, "batch_size": batch_size, "model": model, "moments": moments}
    return predict_records(run, (Record(ids) for ids in records), **options, given=given, advance=advance)


def predict_records(
    run: Run,
    records: Iterable[Record],
    *,
    modality: str | None = None,
    batch_size: int = 16,
    model: Model | None = None,
    moments: bool = True,
    given: int = 0,
    advance: Callable[[int], None] = lambda records: None,
) -> Predicted:
    """Return the predictions of a run of any task for records; options and errors are those of `predict_ids`."""
    model = model or load_predictor(run)
    items = items_of(run, model, modality, given)
    predictions: list[tuple[Floats, Floats, Floats]] = []
    lengths = []
    for batch in _batched(records, batch_size):
        windows_of = [items(record) for record in batch]
        windows = [window for of_record in windows_of for window in of_record]
        firsts = range(0, len(windows), batch_size)
        predictions += [_predicted(model, windows[first : first + batch_size], moments=moments) for first in firsts]
        lengths += [sum(int((window["labels"] != IGNORED).sum()) for window in of_record) for of_record in windows_of]
        advance(len(batch))
    if not lengths:
        raise InvalidConfig("there are no records to audit")
    log, mean, deviation = (np.concatenate(column) for column in zip(*predictions, strict=True))
    return Predicted(log, mean, deviation, np.cumsum(lengths))


def _batched(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    pending: list[Record] = []
    for record in records:
        pending.append(record)
        if len(pending) == size:
            yield pending
            pending = []
    if pending:
        yield pending


def items_of(run: Run, model: Model, modality: str | None, given: int = 0) -> Callable[[Record], list[Item]]:
    """Return a function from a record to the model's input items, built as in the run's training."""
    if run.task == "seq2seq":
        return lambda record: [_pair(record, run.context)]
    head = np.array(run.head(modality), np.int64)
    if run.task in LABELS:
        masked = looks_ahead(model)
        return lambda record: [_labelled(record, head, run.context, masked=masked)]
    return lambda record: _windows(record.ids, head, run.context, given)


def _windows(ids: NDArray[np.uint32], head: NDArray[np.int64], context: int, given: int) -> list[Item]:
    """Return a record in windows of at most `context` ids; each id and the record's end is predicted once."""
    stream = np.concatenate([head, ids.astype(np.int64), [EOS]])
    before = len(head) - 1 + given
    labels = np.append(np.full(before, IGNORED), stream[1 + before :])
    return [
        {"input_ids": stream[:-1][k : k + context], "labels": labels[k : k + context]}
        for k in range(0, len(labels), context)
    ]


def _labelled(record: Record, head: NDArray[np.int64], context: int, *, masked: bool) -> Item:
    """Return a record as `ult.trainer.datasets.labelled.Labelled` gives it."""
    ids = np.append(np.concatenate([head, record.ids.astype(np.int64)])[: context - 1], EOS)
    mask = {"attention_mask": np.ones_like(ids)} if masked else {}
    kind = np.float32 if isinstance(record.label, float) else np.int64
    return {"input_ids": ids, **mask, "labels": np.array(record.label, kind)}


def _pair(record: Record, context: int) -> Item:
    """Return a source and its target as `ult.trainer.datasets.pairs.Pairs` gives them."""
    if record.target is None:
        raise InvalidConfig("a source has no target; a run for seq2seq predicts one", hint="--targets")
    source = read_source(record.ids, context)
    window = np.concatenate([[EOS], record.target.astype(np.int64), [EOS]])[: context + 1]
    return {
        "input_ids": source,
        "attention_mask": np.ones(len(source), np.int64),
        "decoder_input_ids": window[:-1],
        "labels": window[1:],
    }


def _predicted(model: Model, windows: Sequence[Item], *, moments: bool) -> tuple[Floats, Floats, Floats]:
    batch = {name: tensor.to(model.device) for name, tensor in collate(windows).items()}
    with torch.inference_mode():
        if batch["labels"].is_floating_point():
            told = -number_costs(predict(model, batch), batch["labels"]).double().cpu().numpy()
            return told, *(np.full(len(told), np.nan),) * 2
        logits, labels = counted(model, batch)
        total = normalizer(logits)
        taken = logits.gather(1, labels[:, None])[:, 0] - total
        mean = deviation = torch.full_like(taken, torch.nan)
        if moments:
            logs = (logits - total[:, None]).clamp_(min=-1e4)  # impossible ids have -inf
            weights = logs.exp()
            mean = (weights * logs).sum(-1)
            deviation = (weights * (logs - mean[:, None]).square_()).sum(-1).sqrt()
    log, means, deviations = (column.double().cpu().numpy() for column in (taken, mean, deviation))
    return log, means, deviations


def counted(model: Model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (n, vocabulary), or (records, classes), of the predicted positions, and their labels (n,).

    Positions before the first predicted one get no logits if the model supports that.
    """
    told = batch["labels"] != IGNORED
    first = int(told.any(0).int().argmax()) if told.ndim == 2 else 0
    labels = batch["labels"][told]
    if first and "logits_to_keep" in signature(model.forward).parameters:
        kept = {**batch, "logits_to_keep": told.shape[1] - first}
        return predict(model, kept)[told[:, first:]], labels
    return predict(model, batch)[told], labels
