"""`ult.average`: a run of several runs, each of which counts as much as other records say it should.

Its members are copies of the runs. N-grams and a transformer err in other places, so that their mean is often better
than either: the shares are those with which the validation records are likeliest (EM, of a mixture of known parts).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig, WrongVocabulary
from ult.host.arguments import checked, one_or_more, path, switch
from ult.host.bar import counting
from ult.host.free import check_free
from ult.public import folders
from ult.public.folders import Folders
from ult.public.metrics import FORMAT
from ult.public.run import MEMBERS, Run
from ult.public.shards import Shards
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import open_shards, pack, summary
from ult.trainer.datasets.windows import Windows
from ult.trainer.forgetting.again import copy_run
from ult.trainer.loss import batches
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.generation import check_finite
from ult.trainer.models.together import check_alike, classes_of, in_classes
from ult.trainer.workdir import RUN, founding

TASKS = ("lm", "classify")
_ROUNDS, _BATCH = 100, 16
_LEAST = 1e-3  # so that no run finds impossible what another knows
# What the whole says of itself in the words of its first run, because all of them say the same.
_SAME = ("task", "context", "label", "modality_token", "document_mask")
Costs = NDArray[np.float64]


@checked(
    runs=one_or_more(folders.run_argument, "runs"),
    out=path,
    validation=folders.folders_argument,
    force=switch,
)
def average(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path,
    *,
    validation: Folders,
    force: bool = False,
) -> Run:
    """Write a run that averages what `runs` find likely, and return it, opened.

    How much each counts is chosen by `validation`, shards of the runs' table on which none of them was trained. The
    runs, for "lm" or "classify", have one vocabulary, context and way to read records; one may have members itself.
    What they promise to their records they do not promise together, so a run with a promise of privacy is refused.

    Raises `InvalidConfig`, `WrongVocabulary`, `WrongTable`, `MissingColumn`, `TrainingError`, `OutputExists` or
    `OutputError`.

    For example, of a transformer and n-grams:

        whole = ult.average(["run", "counts"], "whole", validation="held-out.shards")
    """
    out = Path(out)
    check_free(out, RUN, force=force)
    opened = [Run.open(folders.run_path(one)) for one in ([runs] if isinstance(runs, Run | str | Path) else runs)]
    _check(opened)
    held = open_shards(folders.paths(validation), opened[0].vocabulary)
    for run in opened:
        for shards in held:
            run.check_shards(shards)
    _check_unseen(opened, held)
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        told = _chances(opened, held, Path(folder))
    shares = _shares(told)
    each = [one for run in opened for one in (run.each() if run.members else [run])]
    weights = [share * w / (run.members or 1) for run, share in zip(opened, shares, strict=True) for w in run.weights]
    bits = [float(-np.log2(one).mean()) for one in (told @ shares, *told.T)]
    with founding(out, opened[0].vocabulary, _metrics(opened, each, weights, held, bits[0]), force=force) as new:
        for k, one in enumerate(each):
            (new / MEMBERS / str(k)).mkdir(parents=True)
            copy_run(one, new / MEMBERS / str(k))
    alone = ", ".join(
        f"{run.path.name} {one:.3f} (share {share:.2f})"
        for run, one, share in zip(opened, bits[1:], shares, strict=True)
    )
    say(f"{out.name}: {bits[0]:.3f} bits a prediction on validation; alone {alone}")
    return Run.open(out)


def _check(runs: Sequence[Run]) -> None:
    """Raise `InvalidConfig` unless runs can be averaged."""
    if len(runs) < 2:
        raise InvalidConfig(f"{len(runs)} run was named; expected two or more to average")
    for run in runs:
        if run.task not in TASKS:
            raise InvalidConfig(f"{run.path} was trained for {run.task}; expected a run for {' or '.join(TASKS)}")
        if run.metrics.get("privacy") is not None:
            raise InvalidConfig(
                f"{run.path} promises its records privacy, and runs together promise none", hint="leave it out"
            )
        if run.vocabulary != runs[0].vocabulary:
            raise WrongVocabulary(
                f"{run.path} has a vocabulary of {run.vocabulary.size}; that of {runs[0].path} is "
                f"{runs[0].vocabulary.size}"
            )
    check_alike(runs)


def _check_unseen(runs: Sequence[Run], held: Sequence[Shards]) -> None:
    """Raise `InvalidConfig` if a run was trained on shards that are to choose: it would count for too much."""
    for run in runs:
        for shards in held:
            if shards.manifest.digest in (run.trained_on or []):
                raise InvalidConfig(
                    f"{run.path} was trained on {shards.path}, by which it would look better than it is",
                    hint="--validation with shards of other records of the table",
                )


def _chances(runs: Sequence[Run], held: Sequence[Shards], folder: Path) -> Costs:
    """Return how likely each run finds what is true (predictions, runs)."""
    first, found = runs[0], []
    classes = classes_of([one for run in runs for one in (run.each() if run.members else [run])])
    label = first.metrics.get("label")
    known = pack(held, folder, label=label, classes=classes or None, modality_token=first.modality_token)
    with counting("asking runs", "predictions") as advance:
        for run in runs:
            model = in_classes(run, classes)
            if first.task == "classify":
                data: Any = Labelled.open(folder, context=first.context, label=str(label), classes=known)
                data = replace(data, masked=looks_ahead(model))
            else:
                data = (Windows if first.alone else Blocks).open(folder, context=first.context)
            found.append(_of_truth(model, data, advance))
    return np.stack(found, 1)


def _of_truth(model: Any, data: Blocks | Windows | Labelled, advance: Callable[[int], None]) -> Costs:
    found = []
    for _, logits, labels in batches(model, data, _BATCH):
        told = check_finite(logits).log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        found.append(told[labels != IGNORED].double().cpu().numpy())
        advance(len(found[-1]))
    nats = np.maximum(np.concatenate(found), math.log(1e-30))  # a class that a run never saw is impossible to it
    return np.asarray(np.exp(nats))


def _shares(told: Costs) -> Costs:
    """Return the share of each run (runs,), with which what is true is likeliest; none is below `_LEAST`."""
    shares = np.full(told.shape[1], 1 / told.shape[1])
    for _ in range(_ROUNDS):
        parts = told * shares
        shares = np.maximum((parts / parts.sum(1, keepdims=True)).mean(0), _LEAST)
    return np.asarray(shares / shares.sum())


def _metrics(
    runs: Sequence[Run], each: Sequence[Run], weights: Sequence[float], held: Sequence[Shards], bits: float
) -> dict[str, Any]:
    """Return what `metrics.json` says of the whole."""
    first = {name: runs[0].metrics.get(name) for name in _SAME}
    shards = {lot.get("digest", str(lot)): lot for run in runs for lot in run.metrics["shards"]}
    seen = [run.trained_on for run in runs]
    return {
        "format": FORMAT,
        **first,
        "document_mask": runs[0].alone,
        "modality_token": runs[0].modality_token,
        "model": " + ".join(str(run.metrics.get("model") or run.path.name) for run in runs),
        "from_run": None,
        "trained_before": None if None in seen else sorted({one for lots in seen for one in lots or []}),
        "classes": classes_of(each),
        "shards": list(shards.values()),
        "targets": [],
        "privacy": None,
        "embeddings": None,
        "steps": max(int(one.metrics.get("steps") or 0) for one in each),
        "batch_size": int(runs[0].metrics.get("batch_size") or 0),
        "parameters": sum(int(one.metrics.get("parameters") or 0) for one in each),
        "loss": [],
        "members": {"count": len(each), "weights": list(map(float, weights))},
        "averaged": [{"run": run.path.name, "digest": run.digest(), "members": run.members or 1} for run in runs],
        "validation": {"bits": [[0, bits]], "best_step": 0, "shards": summary(held)},
    }
