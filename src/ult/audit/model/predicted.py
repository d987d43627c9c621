"""What a run predicts of records: of each id, of each target's, or of each class, in one pass.

Each record stands alone after what starts a record, so that no score rests on its neighbours; one longer than the
context is read in windows, as in training.
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
from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import IGNORED, Item, collate
from ult.trainer.datasets.pairs import read_source
from ult.trainer.loss import predict
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import normalizer
from ult.trainer.models.load import load_trained

with require("torch", extra="train"):
    import torch

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a run predicts of each id of some records and of each record's end, record after record; in nats.

    Of runs for "seq2seq" those are the targets' ids, of those for "classify" it is one class a record.
    """

    log: Floats  # (n,) the logarithm of the probability of the id that stands there
    mean: Floats  # (n,) what that logarithm would be on average if the run chose the id; NaN if nobody asked
    deviation: Floats  # (n,) and how much it would vary; likewise
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
    """Return what a run for "lm", whose `model` may be loaded already, predicts of records of ids (n,).

    Without `moments` the mean and the deviation, which take most of the time, are not asked; the first `given` ids of
    each record are read and not predicted.
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
    """Return what a run of any task predicts of records, as `predict_ids`. Raises `InvalidConfig` if there are none."""
    model = model or load_trained(run)
    items = _items(run, model, modality, given)
    found: list[tuple[Floats, Floats, Floats]] = []
    lengths = []
    for batch in _batched(records, batch_size):
        each = [items(record) for record in batch]
        windows = [window for many in each for window in many]
        firsts = range(0, len(windows), batch_size)
        found += [_predicted(model, windows[first : first + batch_size], moments=moments) for first in firsts]
        lengths += [sum(int((window["labels"] != IGNORED).sum()) for window in many) for many in each]
        advance(len(batch))
    if not lengths:
        raise InvalidConfig("there are no records to audit")
    log, mean, deviation = (np.concatenate(column) for column in zip(*found, strict=True))
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


def _items(run: Run, model: Model, modality: str | None, given: int) -> Callable[[Record], list[Item]]:
    """Return what makes of a record that which the run is shown, as in its training."""
    if run.task == "seq2seq":
        return lambda record: [_pair(record, run.context)]
    head = np.array(run.head(modality), np.int64)
    if run.task == "classify":
        masked = looks_ahead(model)
        return lambda record: [_labelled(record, head, run.context, masked=masked)]
    return lambda record: _windows(record.ids, head, run.context, given)


def _windows(ids: NDArray[np.uint32], head: NDArray[np.int64], context: int, given: int) -> list[Item]:
    """Return a record in windows of at most `context` ids, each of which and the record's end is predicted once."""
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
    return {"input_ids": ids, **mask, "labels": np.array(record.label, np.int64)}


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
        logits, labels = _counted(model, batch)
        total = normalizer(logits)
        taken = logits.gather(1, labels[:, None])[:, 0] - total
        mean = deviation = torch.full_like(taken, torch.nan)
        if moments:
            logs = (logits - total[:, None]).clamp_(min=-1e4)  # an id that cannot come is -inf
            weights = logs.exp()
            mean = (weights * logs).sum(-1)
            deviation = (weights * (logs - mean[:, None]).square_()).sum(-1).sqrt()
    log, means, deviations = (column.double().cpu().numpy() for column in (taken, mean, deviation))
    return log, means, deviations


def _counted(model: Model, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (n, vocabulary), or (records, classes), of what is predicted, and what it truly is (n,).

    Of places before which nothing is predicted no logits are made, where a model can be told so.
    """
    counted = batch["labels"] != IGNORED
    first = int(counted.any(0).int().argmax()) if counted.ndim == 2 else 0
    labels = batch["labels"][counted]
    if first and "logits_to_keep" in signature(model.forward).parameters:
        kept = {**batch, "logits_to_keep": counted.shape[1] - first}
        return predict(model, kept)[counted[:, first:]], labels
    return predict(model, batch)[counted], labels
