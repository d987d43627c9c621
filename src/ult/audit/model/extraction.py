"""Extraction: how often a run continues the first ids of a record exactly as the record does (Carlini et al. 2023).

The same measurement on nonmembers is the baseline, because some continuations can be guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import MISS, clopper_pearson
from ult.audit.model.predicted import predict_ids, predict_records
from ult.audit.model.record import Record
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.trainer.datasets.pairs import read_source
from ult.trainer.generate import generate
from ult.trainer.memorisation.ngrams import memorised
from ult.trainer.models.together import load_predictor
from ult.trainer.translate import search

PREFIX = SUFFIX = 50  # ids given and asked for, as in the extraction benchmark of Carlini et al.
ERRORS = 100  # wrong answers that the attacker tolerates, in order of decreasing confidence
SAMPLES = 10
TOGETHER = 8  # generation batches are this many times larger: only one position per record is computed at a time
Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a record: the ids that the attacker is given, and the ids that it must produce."""

    prefix: Ids
    suffix: Ids


def passages(records: Iterable[Ids], *, prefix: int = PREFIX, suffix: int = SUFFIX) -> list[Passage]:
    """Return the first `prefix` + `suffix` ids of each record that is long enough; raise `InvalidConfig`."""
    if prefix < 1 or suffix < 1:
        raise InvalidConfig(f"prefix is {prefix} and suffix {suffix} ids; expected at least 1 each")
    return [Passage(ids[:prefix], ids[prefix : prefix + suffix]) for ids in records if len(ids) >= prefix + suffix]


def extract(
    run: str | Path,
    asked: list[Passage],
    *,
    samples: int = 0,
    seed: int = 0,
    modality: str | None = None,
    batch_size: int = 32,
    advance: Callable[[int, int], None] = lambda records, ids: None,
) -> dict[str, Any]:
    """Return, as JSON values, how many passages a run continues exactly.

    Greedy decoding takes the likeliest id each time. With `samples`, that many continuations are drawn from the 40
    likeliest ids (the benchmark's baseline) and the likeliest as a whole is the answer. `recall` is the share of
    passages that are right, in order of decreasing confidence, before `ERRORS` wrong answers. `ngrams` is the mean of
    `ult.trainer.memorisation.ngrams.memorised`. Raises `InvalidConfig` if there are no passages, or the context is too
    short.
    """
    opened = Run.open(run)
    if not asked:
        raise InvalidConfig("no record is long enough to extract from", hint="fewer --prefix or --suffix ids")
    length = len(asked[0].suffix)
    together = TOGETHER * batch_size
    options: dict[str, Any] = {"max_new": length, "modality": modality, "batch_size": together, "advance": advance}
    prefixes = [passage.prefix for passage in asked]
    drawn = {"n": samples, "top_k": 40, "seed": seed} if samples else {"temperature": 0.0}
    written = generate(opened.path, prefixes, **drawn, **options)
    draws = max(1, samples)
    model = load_predictor(opened)
    about: dict[str, Any] = {"modality": modality, "batch_size": batch_size, "model": model, "moments": False}
    surety = predict_ids(opened, written, given=len(prefixes[0]), **about, advance=lambda records: advance(0, 0))
    sums = np.array([log[:length].sum() for log in surety.each(surety.log)])
    best = sums.reshape(-1, draws).argmax(1) + draws * np.arange(len(asked))
    answers = [written[k][len(prefix) :] for k, prefix in zip(best, prefixes, strict=True)]
    return {"samples": samples, **told(asked, answers, sums[best])}


def complete(
    run: Run,
    records: Sequence[Record],
    *,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda records: None,
) -> dict[str, Any] | None:
    """Return, as JSON values, how many targets a run for "seq2seq" writes exactly, by greedy decoding.

    Targets that do not fit the context are left out; None if none fits.
    """
    short = [record for record in records if record.target is not None and 0 < len(record.target) < run.context]
    if not short:
        return None
    model, answers = load_predictor(run), []
    for first in range(0, len(short), batch_size):
        batch = [read_source(record.ids, run.context) for record in short[first : first + batch_size]]
        beams = search(model, batch, beams=1, best=1, max_new=run.context, batch_size=batch_size)
        answers += [hypotheses[0] for hypotheses in beams]
        advance(len(batch))
    answered = [replace(record, target=answer) for record, answer in zip(short, answers, strict=True)]
    surety = predict_records(run, answered, batch_size=batch_size, model=model).totals
    asked = [Passage(record.ids, record.target) for record in short if record.target is not None]
    return {"samples": 0, **told(asked, answers, surety)}


def told(asked: Sequence[Passage], answers: Sequence[Ids], surety: NDArray[np.float64]) -> dict[str, Any]:
    """Return, as JSON values, how good the answers to passages are; `surety` (passages,) orders them by confidence."""
    right = np.array([np.array_equal(a, passage.suffix) for a, passage in zip(answers, asked, strict=True)])
    scores = [memorised(a, passage.suffix) for a, passage in zip(answers, asked, strict=True)]
    return {
        "passages": len(asked),
        "exact": int(right.sum()),
        "share": float(right.mean()),
        "share_interval": clopper_pearson(int(right.sum()), len(right)),
        "smallest_detectable": smallest(len(right)),
        "errors": ERRORS,
        "recall": recall(right, surety),
        "ngrams": float(np.mean(scores)),
    }


def smallest(n: int) -> float:
    """Return the smallest share that `n` records would show at least one case of, with probability 0.95.

    >>> round(smallest(20), 3)
    0.139
    """
    return float(1 - MISS ** (1 / n))


def recall(right: NDArray[np.bool_], surety: NDArray[np.float64], errors: int = ERRORS) -> float:
    """Return the share of all answers that are right and, in order of confidence, come before too many errors."""
    order = np.argsort(-surety, kind="stable")
    given = np.cumsum(~right[order]) <= errors
    return float((right[order] & given).sum() / len(right))
