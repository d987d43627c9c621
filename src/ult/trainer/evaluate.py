"""Measure how well a run predicts: bits per byte of the original data, accuracy, exact matches, with 95 % intervals."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, open_shards, pack, summary
from ult.trainer.datasets.pairs import TARGETS, Pairs, open_targets, read_source
from ult.trainer.datasets.windows import Windows
from ult.trainer.loss import batches
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import check_finite
from ult.trainer.models.load import load_trained
from ult.trainer.translate import check_beams, search

with require("torch", extra="train"):
    import torch

Z = 1.959964  # the normal deviate of a two-sided 95 % interval
RESAMPLES = 2000
TOPS = (1, 3, 5, 10)  # numbers of hypotheses among which an exact one is looked for, up to the number of beams


def evaluate(
    run: str | Path,
    shards: str | Path | Sequence[str | Path],
    *,
    targets: str | Path | Sequence[str | Path] | None = None,
    beams: int = 1,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a run achieves on shards, as JSON values.

    Task "lm": every id of every record and each record's `<eos>` is predicted once, from at most `context` ids before
    it; a run with a promise of privacy sees only ids of the same record. `bits_per_byte` divides the sum of bits by the
    bytes of the original data, and is None if the manifest counts none; lower is better.

    Task "classify": `accuracy` and `balanced_accuracy`; higher is better.

    Task "seq2seq": the bits of `targets` given their sources; `bits_per_byte` is None if a target is cut to the
    context. `exact_match` is the share of sources whose likeliest target, found by a search with `beams` beams, has the
    very ids; `exact_match_top_3` counts a source if one of the first 3 has.

    `table_seen` says whether the run was trained on shards of these tables, and is None if the run names no table.

    Raises `InvalidConfig`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.
    """
    opened = Run.open(run)
    sources = open_shards(shards, opened.vocabulary)
    answers = open_targets(targets, sources, task=opened.task)
    check_beams(beams, 1, batch_size)
    if beams > 1 and not answers:
        raise InvalidConfig(f"{beams} beams were asked for; a run for {opened.task} searches nothing")
    model = load_trained(opened)
    result = {
        "run": opened.path.name,
        "task": opened.task,
        "shards": summary(sources),
        "table_seen": {s.manifest.table for s in [*sources, *answers]} <= opened.tables
        if opened.names_tables
        else None,
        "context": opened.context,
    }
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        if opened.task == "lm":
            pack(sources, Path(folder), modality_token=opened.modality_token)
            kind = Windows if opened.alone else Blocks
            return result | _bits(model, sources, kind.open(Path(folder), context=opened.context), batch_size)
        if answers:
            pack(sources, Path(folder))
            pack(answers, Path(folder) / TARGETS)
            pairs = Pairs.open(Path(folder), context=opened.context)
            result |= {"targets": summary(answers), "truncated": pairs.truncated}
            return result | _bits(model, answers, pairs, batch_size) | _matches(model, pairs, beams, batch_size)
        label = label_name(sources, opened.metrics.get("label"))
        classes = pack(sources, Path(folder), label=label, classes=opened.classes, modality_token=opened.modality_token)
        data = Labelled.open(Path(folder), context=opened.context, label=label, classes=classes)
        data = replace(data, masked=looks_ahead(model))
        return result | {"label": label, "truncated": data.truncated} | _accuracies(model, data, batch_size, seed)


def _bits(model: Model, shards: Sequence[Shards], data: Blocks | Windows | Pairs, batch_size: int) -> dict[str, Any]:
    counts = data.counts
    nats = np.zeros(len(counts))  # a record
    for numbers, logits, labels in batches(model, data, batch_size):
        predicted = check_finite(logits)
        losses = torch.nn.functional.cross_entropy(predicted.mT, labels, ignore_index=IGNORED, reduction="none")
        counted = losses[labels != IGNORED].double().cpu().numpy()
        np.add.at(nats, np.concatenate([data.records(k) for k in numbers]), counted)
    total = float(nats.sum()) / math.log(2)
    predictions, nbytes = int(counts.sum()), sum(one.manifest.bytes for one in shards)
    per_id, half = total / predictions, _half_width(nats / math.log(2), counts)
    scale = predictions / nbytes if nbytes and data.whole else None

    def interval(factor: float | None) -> list[float] | None:
        return None if half is None or factor is None else [(per_id - half) * factor, (per_id + half) * factor]

    return {
        "rows": len(nats),
        "predictions": predictions,
        "bytes": nbytes,
        "bits": total,
        "bits_per_byte": None if scale is None else per_id * scale,
        "bits_per_byte_interval": interval(scale),
        "bits_per_id": per_id,
        "bits_per_id_interval": interval(1.0),
    }


def _matches(model: Model, data: Pairs, beams: int, batch_size: int) -> dict[str, Any]:
    sources = (read_source(data.source(k), data.context) for k in range(len(data)))
    found = search(model, sources, beams=beams, best=beams, max_new=data.context, batch_size=batch_size)
    ranks = np.full(len(data), beams)  # of the exact hypothesis
    for k, hypotheses in enumerate(found):
        exact = [rank for rank, ids in enumerate(hypotheses) if np.array_equal(ids, data.target(k))]
        ranks[k] = min([beams, *exact])
    result: dict[str, Any] = {"beams": beams}
    for top in (top for top in TOPS if top <= beams):
        name, share = "exact_match" + (f"_top_{top}" if top > 1 else ""), float((ranks < top).mean())
        result |= {name: share, f"{name}_interval": wilson(share, len(ranks))}
    return result


def _half_width(bits: NDArray[np.float64], counts: NDArray[np.int64]) -> float | None:
    """Return half the width of the 95 % interval of sum(bits) / sum(counts) over records, by the ratio estimator.

    Cochran, Sampling Techniques (1977), section 6.4. None for a single record.
    """
    n = len(bits)
    if n < 2:
        return None
    residuals = bits - bits.sum() / counts.sum() * counts
    return float(Z * math.sqrt((residuals**2).sum() / (n - 1) / n) / counts.mean())


def _accuracies(model: Model, data: Labelled, batch_size: int, seed: int) -> dict[str, Any]:
    every = (check_finite(logits) for _, logits, _ in batches(model, data, batch_size))
    predicted = np.concatenate([logits.argmax(-1).cpu().numpy() for logits in every])
    right = predicted == data.labels
    classes = len(data.classes)
    counts = np.stack([np.bincount(data.labels[right == hit], minlength=classes) for hit in (False, True)])
    # To resample records is to draw the counts of the (hit, class) cells from a multinomial.
    draws = np.random.default_rng(seed).multinomial(len(right), counts.ravel() / len(right), RESAMPLES)
    balanced = _balanced(draws.reshape(RESAMPLES, 2, classes))
    accuracy = float(right.mean())
    return {
        "rows": len(right),
        "classes": classes,
        "accuracy": accuracy,
        "accuracy_interval": wilson(accuracy, len(right)),
        "balanced_accuracy": float(_balanced(counts[None])[0]),
        "balanced_accuracy_interval": np.quantile(balanced, [0.025, 0.975]).tolist(),
        "chance": 1 / int((counts.sum(0) > 0).sum()),
        "seed": seed,
    }


def _balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean recall over the classes that occur (m,), of `counts` (m, 2, classes) of misses and hits."""
    present = counts.sum(1) > 0
    recall = counts[:, 1] / np.maximum(counts.sum(1), 1)
    return np.asarray(recall.sum(1) / present.sum(1))


def wilson(share: float, n: int) -> list[float]:
    """Return Wilson's 95 % interval (1927) of a share of `n`.

    >>> [round(x, 4) for x in wilson(0.9, 100)]
    [0.8256, 0.9448]
    """
    centre, spread = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return [max(0.0, (centre - spread) / (1 + Z**2 / n)), min(1.0, (centre + spread) / (1 + Z**2 / n))]
