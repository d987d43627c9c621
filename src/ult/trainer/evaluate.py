"""Measure how well a run predicts: bits per byte of the original data, accuracy, exact matches, with 95 % intervals."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.task import LABELS
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.datasets.packing import open_shards, pack, summary
from ult.trainer.datasets.pairs import TARGETS, Pairs, open_targets, read_source
from ult.trainer.datasets.windows import Windows
from ult.trainer.loss import batches
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import check_finite
from ult.trainer.models.together import load_predictor
from ult.trainer.tasks.beside import check_no_ngrams, fitted_ngrams
from ult.trainer.tasks.classify import class_figures
from ult.trainer.tasks.interval import half_width, wilson
from ult.trainer.tasks.regress import number_figures
from ult.trainer.translate import check_beams, search

with require("torch", extra="train"):
    import torch

TOPS = (1, 3, 5, 10)  # numbers of hypotheses among which an exact one is looked for, up to the number of beams


def evaluate(
    run: str | Path,
    shards: str | Path | Sequence[str | Path],
    *,
    targets: str | Path | Sequence[str | Path] | None = None,
    beams: int = 1,
    bag: str | Path | Sequence[str | Path] | None = None,
    ngrams: str | Path | Sequence[str | Path] | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a run achieves on shards, as JSON values.

    Task "lm": every id of every record and each record's `<eos>` is predicted once, from at most `context` ids before
    it; a run with a promise of privacy sees only ids of the same record. `bits_per_byte` divides the sum of bits by the
    bytes of the original data, and is None if the manifest counts none; lower is better. With `ngrams`, the shards that
    the run was trained on, the n-grams of their ids are counted, and the same is told of them.

    Task "classify": `accuracy`, beside which stands `majority`, `balanced_accuracy`, beside which stands `chance`,
    `auroc` and `auprc`; higher is better. `log_loss`, in nats, and `calibration_error`; lower is better. `confusion`
    counts the records of each true label, a row, by the predicted one, both in the order of `labels`. With `bag`, the
    shards that the run was trained on, the model `bag` is fitted on them, and the same is told of it.

    Task "regress": `mae` and `rmse`, beside those of the mean in training; lower is better. `r2`; higher is better.
    With `bag`, as above, the same of a bag that predicts numbers.

    Task "seq2seq": the bits of `targets` given their sources; `bits_per_byte` is None if a target is cut to the
    context. `exact_match` is the share of sources whose likeliest target, found by a search with `beams` beams, has the
    very ids; `exact_match_top_3` counts a source if one of the first 3 has.

    `table_seen` says whether the run was trained on shards of these tables, and is None if the run names no table.

    Raises `InvalidConfig`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.
    """
    opened = Run.open(run)
    sources = open_shards(shards, opened.vocabulary)
    opened = opened.of_tables({one.manifest.table for one in sources})
    answers = open_targets(targets, sources, task=opened.task)
    check_beams(beams, 1, batch_size)
    beside = [bag] if isinstance(bag, str | Path) else bag
    if beside is not None and opened.task not in LABELS:
        hint = "--ngrams" if opened.task == "lm" else "no --bag"
        raise InvalidConfig(f"a bag was asked for; it predicts labels, the run is for {opened.task}", hint=hint)
    counted = [ngrams] if isinstance(ngrams, str | Path) else ngrams
    if counted is not None and opened.task != "lm":
        raise InvalidConfig(
            f"n-grams were asked for; they predict the next id, the run is for {opened.task}", hint="no --ngrams"
        )
    if beams > 1 and not answers:
        raise InvalidConfig(f"{beams} beams were asked for; a run for {opened.task} searches nothing")
    model = load_predictor(opened)
    result = {
        "run": opened.path.name,
        "task": opened.task,
        "shards": summary(sources),
        "table_seen": {s.manifest.table for s in [*sources, *answers]} <= opened.tables
        if opened.names_tables
        else None,
        "context": opened.context,
    }
    if opened.task in LABELS:
        figures = number_figures if opened.task == "regress" else class_figures
        return result | figures(opened, model, sources, bag=beside, batch_size=batch_size, seed=seed)
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        if opened.task == "lm":
            pack(sources, Path(folder), modality_token=opened.modality_token)
            data = (Windows if opened.alone else Blocks).open(Path(folder), context=opened.context)
            result |= _bits(model, sources, data, batch_size)
            if counted is None:
                return result
            check_no_ngrams(opened, model)
            known = open_shards(counted, opened.vocabulary)
            line = fitted_ngrams(opened, known, Path(folder) / "ngrams", seed)
            return result | {"ngrams": _bits(line, sources, data, batch_size) | {"shards": summary(known)}}
        pack(sources, Path(folder))
        pack(answers, Path(folder) / TARGETS)
        pairs = Pairs.open(Path(folder), context=opened.context)
        result |= {"targets": summary(answers), "truncated": pairs.truncated}
        return result | _bits(model, answers, pairs, batch_size) | _matches(model, pairs, beams, batch_size)


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
    per_id, half = total / predictions, half_width(nats / math.log(2), counts)
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
