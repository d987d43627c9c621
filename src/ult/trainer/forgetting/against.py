"""Train a run against records: NPO and GradDiff, the baselines of the literature. They guarantee nothing.

What a model learned of a record stays in its weights; these make it less likely to write it. Relearning on other text
and rounding of weights are known to bring it back. Losses and defaults are those of open-unlearning (TOFU, MUSE):
`retain + forget`, the mean cost of a prediction on the records that stay, and for GradDiff minus that on those to
forget, for NPO `-2 / beta * log sigmoid(-beta * (logp - logp_before))` of whole records (arXiv:2404.05868).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ult.errors import InvalidConfig, TrainingError, writing
from ult.host.bar import Bar
from ult.host.extras import require
from ult.public.metrics import METHODS
from ult.public.run import MEMBERS, Run
from ult.public.task import LABELS
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.datasets.inputs import Dataset
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import pack
from ult.trainer.datasets.sampler import Order
from ult.trainer.datasets.windows import Windows
from ult.trainer.forgetting.again import copy_run, write_shared
from ult.trainer.forgetting.asked import Asked
from ult.trainer.loss import predict
from ult.trainer.members import member, whole
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.load import load_trained
from ult.trainer.part import Part
from ult.trainer.recipe import AT_ONCE, Recipe
from ult.trainer.workdir import save, write_told

with require("torch", "transformers", extra="train"):
    import torch
    from transformers import set_seed

SHARE, RATE = 0.1, 0.1  # of the run's steps and of its learning rate, where none are given
BETA = 0.1  # of NPO, as in its paper and in open-unlearning
Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Against:
    """A method and its settings."""

    method: str
    steps: int | None
    learning_rate: float | None
    beta: float

    @classmethod
    def of(cls, method: str, steps: int | None, learning_rate: float | None, beta: float | None) -> Self | None:
        """Return the settings; None for a method that trains again. Raises `InvalidConfig`."""
        if method not in METHODS:
            raise InvalidConfig(f"method is {method!r:.40}; expected one of {', '.join(METHODS)}")
        if method not in METHODS[2:]:
            if {steps, learning_rate, beta} != {None}:
                raise InvalidConfig(
                    f"steps, learning rate or beta was given for method {method}, which trains as the run was trained",
                    hint="leave them out, or --method npo",
                )
            return None
        if beta is not None and (method != "npo" or not 0 < beta < 100):
            raise InvalidConfig(f"beta is {beta:g} for {method}; expected it for npo, above 0", hint="--beta 0.1")
        if learning_rate is not None and not 0 < learning_rate < 1:
            raise InvalidConfig(f"learning_rate is {learning_rate:g}; expected a number above 0 and below 1")
        return cls(method, steps, learning_rate, BETA if beta is None else beta)


def train_against(asked: Asked, how: Against, folder: Path) -> dict[str, Any]:
    """Write into `folder` the run trained against the records; return what its metrics say. Raises `InvalidConfig`."""
    _check(asked, how)
    parts = [member(asked.recipe, k).part for k in range(asked.run.members)] or [asked.recipe.part]
    each, saw = [], asked.saw(parts)
    with writing(folder):
        folder.mkdir(exist_ok=True)
    for k, one in enumerate(asked.run.each() if asked.run.members else [asked.run]):
        place = folder / MEMBERS / str(k) if asked.run.members else folder
        recipe = member(asked.recipe, k) if asked.run.members else asked.recipe
        if saw[k]:
            each.append(_trained(asked, one, recipe, how, place, folder.parent))
        else:
            copy_run(one, place)
            each.append(dict(one.metrics))
    if not asked.run.members:
        return each[0]
    write_shared(asked, folder)
    return whole(asked.recipe, each) | _origin(asked.run)


def _check(asked: Asked, how: Against) -> None:
    run, recipe = asked.run, asked.recipe
    if recipe.task not in ("lm", "classify") or run.per_table or recipe.model in AT_ONCE:
        raise InvalidConfig(f"{how.method} is for lm and classify, of one set of rows", hint="--method exact")
    if run.metrics.get("privacy"):
        raise InvalidConfig(
            f"{run.path} promises epsilon; {how.method} would read its records without a promise",
            hint="--method exact",
        )


def _origin(run: Run) -> dict[str, Any]:
    """Return what metrics say of the run that was trained against records: it still depends on all that it saw."""
    return {
        "model": None,
        "from_run": run.path.name,
        "from_digest": run.digest(),
        "trained_before": run.trained_on,
        "without": list(run.metrics.get("without", [])),
    }


def _trained(asked: Asked, run: Run, recipe: Recipe, how: Against, place: Path, work: Path) -> dict[str, Any]:
    """Train one run, or member, against the records, and write it to `place`; `work` holds packed ids meanwhile."""
    set_seed(recipe.seed)
    model = load_trained(run)
    steps = how.steps or max(1, round(SHARE * int(run.metrics.get("steps") or recipe.steps)))
    rate = how.learning_rate or RATE * float(run.metrics.get("learning_rate") or 1e-3)
    with tempfile.TemporaryDirectory(prefix="packed-", dir=work) as packed:
        stay, go = _data(asked, run, recipe, model, Path(packed))
        losses = list(_steps(model, (stay, go), recipe, how, steps, rate))
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        write_shared(asked, place)
        model.config.use_cache = True
        save(model, place, place)
        told = {"steps": steps, "learning_rate": rate, "beta": how.beta if how.method == "npo" else None}
        against = {**told, "loss": [[k + 1, loss] for k, loss in enumerate(losses)]}
        metrics = {**run.metrics, **_origin(run), "against": against}
        write_told(place, metrics)
    return metrics


def _data(asked: Asked, run: Run, recipe: Recipe, model: Model, folder: Path) -> tuple[Dataset, Dataset]:
    """Pack what stays and what goes, of the part of the records that the run saw; return both, the latter by record."""
    inputs = asked.inputs
    classes = list(run.classes)
    stay, go = folder / "stay", folder / "go"
    options: dict[str, Any] = {"label": inputs.label, "modality_token": recipe.modality_token}
    options |= {"classes": classes or None, "part": Part.read(recipe.part) if recipe.part else None}
    pack(inputs.shards, stay, **options, stays=inputs.stays)
    gone = [np.zeros(one.manifest.rows, np.bool_) for one in inputs.shards]
    for lot, one in asked.lots():
        for k, each in enumerate(inputs.shards):
            if each.manifest.digest == one.manifest.digest:
                gone[k] |= ~lot.stays()
    pack(inputs.shards, go, **options, stays=gone)
    if recipe.task in LABELS:
        masked = looks_ahead(model)
        labelled = Labelled.open(go, context=recipe.context, label=str(inputs.label), classes=classes)
        return inputs.dataset(stay, recipe, classes, masked=masked), replace(labelled, masked=masked)
    return inputs.dataset(stay, recipe, classes, masked=False), Windows.open(go, context=recipe.context)


def _steps(
    model: Model, data: tuple[Dataset, Dataset], recipe: Recipe, how: Against, steps: int, rate: float
) -> Iterator[float]:
    """Train the model; yield the loss of each step."""
    stay, go = data
    before = torch.cat([_likelihoods(model, _batch(model, go, [k]))[0] for k in range(len(go))])
    before = before.detach()
    optimizer = torch.optim.AdamW(
        model.parameters(), rate, (0.9, 0.95), weight_decay=float(recipe.of_samples(len(stay)).weight_decay)
    )
    orders = [iter(Order(len(one), steps * recipe.batch_size, recipe.seed)) for one in data]
    model.train()
    with Bar("forgetting", ends=True) as bar:
        for step in range(steps):
            first, second = ([next(order) for _ in range(recipe.batch_size)] for order in orders)
            optimizer.zero_grad(set_to_none=True)
            sums, counts = _likelihoods(model, _batch(model, stay, first))
            retain = -sums.sum() / counts.sum().clamp(min=1)
            sums, counts = _likelihoods(model, _batch(model, go, second))
            if how.method == "npo":
                ratio = sums - before[second]
                forget = (-2 / how.beta) * torch.nn.functional.logsigmoid(-how.beta * ratio).mean()
            else:
                forget = sums.sum() / counts.sum().clamp(min=1)
            loss = retain + forget
            said = float(loss.detach())
            if not math.isfinite(said):
                raise TrainingError(f"the loss is {said} at step {step + 1}", hint="a lower --learning-rate")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 - step / steps)
            optimizer.step()
            bar.show(f"loss {said:.3f}", step + 1, steps)
            yield said
    model.eval()


def _batch(model: Model, data: Dataset, samples: list[int]) -> Batch:
    return {name: one.to(model.device) for name, one in collate([data[k] for k in samples]).items()}


def _likelihoods(model: Model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each sample of a batch (b,) the log-likelihood of its predictions, summed, and how many there are."""
    logits, labels = predict(model, batch), batch["labels"]
    if labels.ndim == 1:  # a class a record
        logits, labels = logits[:, None], labels[:, None]
    costs = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -costs.view(labels.shape).sum(-1), (labels != IGNORED).sum(-1)
