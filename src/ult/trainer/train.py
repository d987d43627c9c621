"""Train a model on shards with the Hugging Face `Trainer`: ids in, a run folder out. No table is needed, nor known."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, TypeAlias

from ult.distribution import versions
from ult.errors import InvalidConfig, OutputError, TrainingError
from ult.host.extras import require
from ult.public.metrics import FORMAT
from ult.public.published import OWNER, parted
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.callbacks.early_stopping import Watch, best, curve
from ult.trainer.callbacks.freeze_body import Frozen, check_frozen
from ult.trainer.callbacks.progress import Progress
from ult.trainer.callbacks.tensorboard import FOLDER, reporters
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import collate
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, open_shards, pack, summary
from ult.trainer.datasets.pairs import TARGETS, Pairs, open_targets
from ult.trainer.datasets.sampler import check_mixture
from ult.trainer.datasets.sampler import mixture as mixed
from ult.trainer.datasets.validation import check_tables, open_validation
from ult.trainer.datasets.windows import Windows
from ult.trainer.distributed import agreed, from_main, processes, together
from ult.trainer.id_trainer import IdTrainer, arguments, in_bfloat16, share_of
from ult.trainer.memorisation.goldfish import Goldfish
from ult.trainer.memorisation.ngram_penalty import Restraint
from ult.trainer.memorisation.stop_memorised import Memorisation, told
from ult.trainer.models.build import build, initial_weights, weights_digest
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.lora import FOLDER as ADAPTER
from ult.trainer.models.lora import Adapted
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import finish, last_checkpoint, partial_folder, working_folder, write_told

with require("torch", "accelerate", "transformers", extra="train"):
    import torch
    from accelerate import PartialState
    from safetensors import SafetensorError
    from transformers import PrinterCallback, set_seed

if TYPE_CHECKING:
    from ult.public.shards import Shards
    from ult.trainer.dp.dp_trainer import Plan


Paths: TypeAlias = str | Path | Sequence[str | Path]


def train(
    shards: Paths,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    targets: Paths | None = None,
    validation: Paths | None = None,
    validation_targets: Paths | None = None,
    resume: bool = False,
    force: bool = False,
    **options: Never,
) -> dict[str, Any]:
    """Train on one or more shards folders, write the run folder `out`, and return what its `metrics.json` says.

    `recipe` holds the options; without one all are at their defaults. `ult train --write-config -` prints them with
    their help.

    For task "seq2seq" the shards are sources. `targets` are as many shards folders, whose rows go with theirs, and
    `validation_targets` go with `validation` in the same way.

    `validation` shards are of a table that the model is trained on. They are evaluated every `evaluate_every` steps
    and after the last one; the run is the best of these.

    The same call gives the same weights on a CPU. Several processes share a step's `batch_size` blocks or records, and
    see together what one alone would see. `resume` goes on with an interrupted training from its last checkpoint;
    `force` replaces a run that is there.

    Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `WrongTable`, `OutputExists`, `OutputError` or
    `TrainingError`.
    """
    for option in options:
        raise TypeError(f"{option} is an option of the recipe: train(shards, out, Recipe({option}=...))")
    recipe = recipe or Recipe()
    out, partial = Path(out), partial_folder(Path(out))
    state, main = processes(), ExitStack()
    with main:
        classes: list[Any] = []
        with agreed(state):
            check_frozen(recipe)
            bfloat16 = in_bfloat16(recipe, state)
            reports = reporters(recipe.report_to, partial)
            many = open_shards(shards)
            goals = open_targets(targets, many, task=recipe.task)
            check_mixture(recipe.mixture, many)
            held = open_validation(validation, many, recipe)
            held_goals = open_targets(validation_targets, held, task=recipe.task, option="--validation-targets")
            check_tables(held_goals, goals)
            name = label_name([*many, *held], recipe.label) if recipe.task == "classify" else None
            summaries = {"shards": summary(many), "targets": summary(goals)}
            summaries |= {"validation": summary(held), "validation_targets": summary(held_goals)}
            share = share_of(recipe, state)
            plan = _plan(recipe, many, held, state)
            if state.is_main_process:
                main.enter_context(working_folder(out, recipe, summaries, resume=resume, force=force))
                main.callback(shutil.rmtree, partial / "packed", ignore_errors=True)
                classes = pack(many, partial / "packed", label=name, modality_token=recipe.modality_token)
                if held:
                    held_in = partial / "packed" / "held"
                    pack(held, held_in, label=name, classes=classes, modality_token=recipe.modality_token)
                for part, folder in ((goals, partial / "packed"), (held_goals, partial / "packed" / "held")):
                    if part:
                        pack(part, folder / TARGETS)
        classes = from_main(state, classes)
        with agreed(state):
            set_seed(recipe.seed)
            built, rows = build(recipe, many[0].vocabulary, {s.manifest.table for s in [*many, *goals]}, classes)
            masked = recipe.task == "classify" and looks_ahead(built)
            data = _open(partial / "packed", recipe, name, classes, masked=masked)
            began = {"initial_weights": initial_weights(recipe), "initial_digest": weights_digest(built)}
            restraint = Restraint.of(built, rows, recipe.restrain_ngrams) if recipe.restrain_ngrams else None
            adapted = Adapted(built, recipe, recipe.lora) if recipe.lora else None
            progress = Progress(data.ids * recipe.batch_size / len(data))
            frozen = Frozen(built, recipe.freeze_body) if recipe.freeze_body else None
            trainer = _carrier(plan, frozen)(
                model=built,
                args=arguments(recipe, built.num_parameters(), share, partial, state, bfloat16, validated=bool(held)),
                train_dataset=Goldfish(data, recipe.goldfish) if recipe.goldfish and isinstance(data, Blocks) else data,
                eval_dataset=_open(partial / "packed" / "held", recipe, name, classes, masked=masked) if held else None,
                data_collator=collate,
                callbacks=[
                    progress,
                    *([frozen] if frozen else []),
                    *([Watch(partial, recipe.patience)] if held else []),
                    *_memorisation(built, data, recipe),
                    *reports,
                ],
            )
            for report in reports:
                main.callback(report.close)
            trainer.remove_callback(PrinterCallback)
            trainer.restraint = restraint
            if recipe.mixture and not isinstance(data, Windows):  # a recipe has not both
                trainer.mixture = mixed(recipe.mixture, many, data)
        checkpoint = from_main(state, last_checkpoint(partial) if state.is_main_process else None)
        with together(state):
            _fit(trainer, checkpoint, progress, out)
        with agreed(state):
            if adapted:
                adapted.merge(partial / "run" / ADAPTER if state.is_main_process else None)
        metrics = _metrics(recipe, trainer, progress, data) | {"embeddings": rows, **began}
        metrics |= {name: summaries[name] for name in ("shards", "targets")}
        metrics["validation"] = _validation(recipe, trainer) | {"shards": summaries["validation"]} if held else None
        losses, own = metrics["loss"], None
        if plan is not None:
            metrics, own = parted(plan.told(metrics))
        with agreed(state):
            if state.is_main_process:
                _write(built, many[0].vocabulary, metrics, own, partial)
                finish(partial, out, force=force)
                progress.done(out, losses, metrics["validation"])
    return metrics


def _memorisation(model: Any, data: Any, recipe: Recipe) -> list[Memorisation]:
    if recipe.stop_memorised is None or not isinstance(data, Blocks):
        return []
    return [Memorisation(model, data, recipe.stop_memorised, recipe.evaluate_every or max(1, recipe.steps // 20))]


def _plan(recipe: Recipe, many: Sequence[Shards], held: Sequence[Shards], state: PartialState) -> Plan | None:
    if recipe.privacy is None:
        return None
    if recipe.report_to is not None:
        raise InvalidConfig("report_to would publish losses of records, which epsilon does not cover")
    from ult.trainer.dp.dp_trainer import Plan

    if seen := {one.manifest.digest for one in held} & {one.manifest.digest for one in many}:
        twice = next(one.path for one in held if one.manifest.digest in seen)
        raise InvalidConfig(f"{twice} is trained on and validated on: its losses would be told, which epsilon covers")
    return Plan.of(recipe, recipe.privacy, sum(shards.manifest.rows for shards in many), state)


def _carrier(plan: Plan | None, frozen: Frozen | None) -> Callable[..., IdTrainer]:
    if plan is None:
        return IdTrainer
    from ult.trainer.dp.dp_trainer import private_trainer

    return private_trainer(plan, frozen)


def _open(
    folder: Path, recipe: Recipe, label: str | None, classes: list[Any], *, masked: bool
) -> Blocks | Windows | Labelled | Pairs:
    if recipe.task == "seq2seq":
        return Pairs.open(folder, context=recipe.context)
    if label is None and recipe.privacy is not None:
        return Windows.open(folder, context=recipe.context)
    if label is None:
        return Blocks.open(folder, context=recipe.context)
    return replace(Labelled.open(folder, context=recipe.context, label=label, classes=classes), masked=masked)


def _fit(trainer: IdTrainer, checkpoint: Path | None, progress: Progress, out: Path) -> None:
    try:
        with progress.bar:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the training of {out}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError("the device has no memory left", hint="a smaller --batch-size or --context") from error


def _metrics(
    recipe: Recipe, trainer: IdTrainer, progress: Progress, data: Blocks | Windows | Labelled | Pairs
) -> dict[str, Any]:
    began = {  # by name alone: no run tells where it was made
        "model": None if recipe.from_run else Path(recipe.model or "tiny").name,
        "from_run": recipe.from_run and Path(recipe.from_run).name,
    }
    return {
        "format": FORMAT,
        "recipe": asdict(recipe) | {"model": began["model"], "from_run": began["from_run"]},
        "task": recipe.task,
        "context": recipe.context,
        **began,
        "trained_before": [] if recipe.from_run is None else Run.open(recipe.from_run).trained_on,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "processes": trainer.args.world_size,
        "accumulate": recipe.accumulate,
        "learning_rate": trainer.args.learning_rate,
        "schedule": recipe.schedule,
        "warmup_steps": trainer.args.warmup_steps,
        "precision": "bfloat16" if trainer.args.bf16 else "float32",
        "freeze_body": recipe.freeze_body,
        "lora": recipe.lora,
        "mixture": recipe.mixture and list(recipe.mixture),
        "modality_token": recipe.modality_token,
        "privacy": None,
        "goldfish": recipe.goldfish,
        "memorisation": None
        if recipe.stop_memorised is None
        else told(trainer.state.log_history, recipe.stop_memorised),
        "restrain_ngrams": recipe.restrain_ngrams,
        "seed": recipe.seed,
        "parameters": trainer.model.num_parameters(),
        "label": data.label,
        "classes": data.classes,
        "truncated": data.truncated,
        "loss": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
        "resumed_at": progress.first_step,
        "seconds": progress.seconds,
        "ids_per_second": progress.speed,
        "device": str(trainer.args.device.type),
        "versions": versions("torch", "transformers", "numpy"),
    }


def _validation(recipe: Recipe, trainer: IdTrainer) -> dict[str, Any]:
    bits = curve(trainer.state.log_history)
    return {
        "evaluate_every": trainer.args.eval_steps,
        "patience": recipe.patience,
        "bits": bits,
        "best_step": bits[best(bits)][0],
    }


def _write(
    model: Any, vocabulary: Vocabulary, metrics: dict[str, Any], own: dict[str, Any] | None, partial: Path
) -> None:
    folder = partial / "run"
    try:
        model.config.use_cache = True  # the trainer turned it off
        model.save_pretrained(folder)
        vocabulary.tokenizer().save_pretrained(folder)
        vocabulary.save(folder / "vocabulary.json")
        if metrics["loss"] or metrics["validation"]:
            _draw_loss(metrics, folder / "loss.png")
        if (partial / FOLDER).is_dir():
            shutil.copytree(partial / FOLDER, folder / FOLDER, dirs_exist_ok=True)
        write_told(folder, metrics)
        if own is not None:
            (folder / OWNER).touch(mode=0o600)
            (folder / OWNER).write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the run: {error}") from error


def _draw_loss(metrics: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if metrics["loss"]:
        axes.plot(*zip(*metrics["loss"], strict=True), color="#3366aa", linewidth=1.6, label="training")
    if metrics["validation"]:
        held = [(step, bits * math.log(2)) for step, bits in metrics["validation"]["bits"]]
        axes.plot(*zip(*held, strict=True), color="#cc6633", linewidth=1.6, marker=".", label="validation")
        axes.legend(frameon=False)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats)" if metrics["validation"] else "training loss (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.savefig(path)
