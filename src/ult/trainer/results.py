"""What a finished training writes: weights, vocabulary, `metrics.json` and the curve of its loss."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ult.errors import OutputError
from ult.host.distribution import versions
from ult.host.extras import require
from ult.public.metrics import FORMAT
from ult.public.published import OWNER
from ult.public.run import PER_TABLE
from ult.public.vocabulary import Vocabulary
from ult.trainer.callbacks.curves import copy_curves
from ult.trainer.callbacks.early_stopping import best, validation_bits
from ult.trainer.callbacks.progress import Progress
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.inputs import Dataset
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.id_trainer import IdTrainer
from ult.trainer.machine import used_share
from ult.trainer.memorisation.stop_memorised import memorisation_facts
from ult.trainer.models.earlier import began_with
from ult.trainer.models.table_rows import save_per_table
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import write_told

with require("torch", "safetensors", extra="train"):
    from safetensors import SafetensorError


def training_metrics(recipe: Recipe, trainer: IdTrainer, progress: Progress, data: Dataset) -> dict[str, Any]:
    """Return what `metrics.json` says of a training, as JSON values: what was asked, and what came of it."""
    origin = recipe.origin()
    history = trainer.state.log_history
    return {
        "format": FORMAT,
        "recipe": asdict(recipe) | origin,
        "task": recipe.task,
        "context": recipe.context,
        "model": origin["model"],
        **began_with(recipe),
        "steps": trainer.state.max_steps,
        "batch_size": recipe.batch_size,
        "processes": trainer.args.world_size,
        "accumulate": recipe.accumulate,
        "learning_rate": trainer.args.learning_rate,
        "schedule": recipe.schedule,
        "weight_decay": trainer.args.weight_decay,
        "warmup_steps": trainer.args.warmup_steps,
        "precision": "bfloat16" if trainer.args.bf16 else "float32",
        "freeze_body": recipe.freeze_body,
        "lora": recipe.lora,
        "mixture": recipe.mixture and list(recipe.mixture),
        "modality_token": recipe.modality_token,
        "document_mask": recipe.document_mask,
        "privacy": None,
        "goldfish": recipe.goldfish,
        "memorisation": memorisation_facts(history, recipe.stop_memorised),
        "restrain_ngrams": recipe.restrain_ngrams,
        "seed": recipe.seed,
        "parameters": trainer.model.num_parameters(),
        "label": data.label,
        "classes": data.classes,
        **({"scale": list(data.scale)} if isinstance(data, Labelled) and data.scale else {}),
        "truncated": data.truncated,
        **_part(recipe, data),
        "loss": [[entry["step"], entry["loss"]] for entry in history if "loss" in entry],
        "resumed_at": progress.first_step,
        "seconds": progress.seconds,
        "ids_per_second": progress.speed,
        "mfu": used_share(trainer.model, recipe.context, progress.speed, trainer.args),
        "device": str(trainer.args.device.type),
        "versions": versions("torch", "transformers", "numpy"),
    }


def _part(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """Return what `metrics.json` says of the part of the records that was trained on, if it was one: never of which."""
    if recipe.part is None or not isinstance(data, Blocks | Labelled):
        return {}
    return {"part": {"part": recipe.part, "records": len(data.ends)}}


def validation_metrics(recipe: Recipe, trainer: IdTrainer, shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `metrics.json` says of the evaluations on `shards`, the summaries of the validation folders."""
    bits = validation_bits(trainer.state.log_history)
    return {
        "evaluate_every": trainer.args.eval_steps,
        "patience": recipe.most_patience,
        "bits": bits,
        "best_step": bits[best(bits)][0],
        "shards": shards,
    }


def write_run(
    model: Any,
    weights: dict[str, Any] | None,
    vocabulary: Vocabulary,
    metrics: dict[str, Any],
    owners: dict[str, Any] | None,
    partial: Path,
) -> None:
    """Write the files of a run into `partial / "run"`; `owners` is what only the owner keeps. Raises `OutputError`.

    `weights` are those of the model where it holds only a part of them itself.
    """
    folder = partial / "run"
    try:
        model.config.use_cache = True  # the trainer turned it off
        if metrics["embeddings"] == PER_TABLE:
            save_per_table(model, sorted({lot["table"] for lot in metrics["shards"]}), folder)
        else:
            model.save_pretrained(folder, state_dict=weights)
        vocabulary.tokenizer().save_pretrained(folder)
        vocabulary.save(folder / "vocabulary.json")
        if metrics["loss"] or metrics["validation"]:
            draw_loss(metrics, folder / "loss.png")
        copy_curves(partial, folder)
        write_told(folder, metrics)
        if owners is not None:
            (folder / OWNER).touch(mode=0o600)
            (folder / OWNER).write_text(json.dumps(owners, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the run: {error}") from error


def draw_loss(metrics: dict[str, Any], path: Path) -> None:
    """Draw the loss of training and validation, in nats a prediction, over the steps, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if metrics["loss"]:
        axes.plot(*zip(*metrics["loss"], strict=True), color="#3366aa", linewidth=1.6, label="training")
    if metrics["validation"]:
        nats = [(step, bits * math.log(2)) for step, bits in metrics["validation"]["bits"]]
        axes.plot(*zip(*nats, strict=True), color="#cc6633", linewidth=1.6, marker=".", label="validation")
        axes.legend(frameon=False)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats)" if metrics["validation"] else "training loss (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.savefig(path)
