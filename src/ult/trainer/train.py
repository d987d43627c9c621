"""Train a model on shards with the Hugging Face `Trainer`: ids in, a run folder out. No table is needed, nor known."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from ult.errors import InvalidConfig, OutputError, TrainingError
from ult.host.bar import counting
from ult.host.extras import require
from ult.host.remote import scheme_of
from ult.public.published import parted
from ult.public.run import Run
from ult.public.task import LABELS
from ult.trainer.away import Away, Uploads
from ult.trainer.bag_trainer import BagTrainer
from ult.trainer.callbacks.curves import Curves, curve_writers
from ult.trainer.callbacks.early_stopping import EarlyStopping
from ult.trainer.callbacks.freeze_body import FreezeBody, check_freeze_body
from ult.trainer.callbacks.progress import Progress, say
from ult.trainer.compatible import Compatible
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import collate
from ult.trainer.datasets.inputs import Dataset, Files, Inputs, Paths
from ult.trainer.datasets.labelled import Labelled, balanced_weights
from ult.trainer.distributed import broadcast, collective, join_processes, raise_on_all
from ult.trainer.federated.local import Round
from ult.trainer.finished import finished, said
from ult.trainer.fsdp import check_split_weights, splits_weights, whole_weights
from ult.trainer.id_trainer import IdTrainer, per_device_batch_size, training_arguments, uses_bfloat16
from ult.trainer.machine import fitting_threads, slow_bfloat16
from ult.trainer.members import train_members
from ult.trainer.memorisation.goldfish import Goldfish
from ult.trainer.memorisation.ngram_penalty import NgramPenalty
from ult.trainer.memorisation.stop_memorised import StopMemorised
from ult.trainer.models.bag import Bag
from ult.trainer.models.build import build, initial_weights
from ult.trainer.models.causal import check_apart, looks_ahead
from ult.trainer.models.digest import weights_digest
from ult.trainer.models.earlier import of_public_rows
from ult.trainer.models.heads import set_dropout
from ult.trainer.models.lora import FOLDER as ADAPTER
from ult.trainer.models.lora import Adapters
from ult.trainer.models.ngrams import Ngrams
from ult.trainer.models.table_rows import of_one_table
from ult.trainer.ngram_fit import BESIDE_IDS
from ult.trainer.ngram_fit import beside as beside_ngrams
from ult.trainer.ngram_trainer import NgramTrainer
from ult.trainer.recipe import Recipe
from ult.trainer.results import training_metrics, validation_metrics, write_run
from ult.trainer.schedule import shares_of_peak
from ult.trainer.tasks import classify, regress
from ult.trainer.tasks.classify import BAG_IDS
from ult.trainer.teacher import Teacher
from ult.trainer.workdir import Resume, finish, last_checkpoint, partial_folder, working_folder

with require("torch", "accelerate", "transformers", extra="train"):
    import torch
    from accelerate import PartialState
    from safetensors import SafetensorError
    from transformers import PrinterCallback, set_seed

if TYPE_CHECKING:
    from ult.trainer.dp.dp_trainer import Plan


def train(
    shards: Paths,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    targets: Paths | None = None,
    validation: Paths | None = None,
    validation_targets: Paths | None = None,
    teachers: Paths | None = None,
    turn: Round | None = None,
    without: Files | None = None,
    resume: Resume = False,
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

    `without` names records to leave out, as `ult forget find` wrote them, of all these shards.

    With `teachers`, runs, the model learns what these find likely together, not what the records say: see
    `ult.trainer.distil`. A `turn` is one round of a federation: see `ult.trainer.federated`. A recipe with `members`
    trains so many runs, one after the other, in one folder.

    The same call gives the same weights on a CPU. Several processes share a step's `batch_size` blocks or records, and
    see together what one alone would see. `resume` goes on with an interrupted training from its last checkpoint, and
    `resume="auto"` does so if there is one, begins if there is none, and returns the metrics of a run that is finished
    already; `force` replaces a run that is there.

    Shards may be at addresses, such as `s3://bucket/notes.shards`, and are streamed. With such an `out` the training
    works in a folder of this user's cache and uploads its checkpoints, and in the end the run, whole.

    Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `WrongTable`, `OutputExists`, `OutputError` or
    `TrainingError`.
    """
    for option in options:
        raise TypeError(f"{option} is an option of the recipe: train(shards, out, Recipe({option}=...))")
    recipe = Recipe() if recipe is None else recipe
    if not isinstance(recipe, Recipe):
        raise InvalidConfig(
            f"the recipe is of type {type(recipe).__name__}; expected ult.Recipe",
            hint="ult.Recipe(steps=200), or ult.Recipe.read(FILE)",
        )
    if recipe.members is not None:
        if targets or validation_targets or teachers:
            raise InvalidConfig("members were asked for with targets or teachers; expected the one or the other")
        if scheme_of(out):
            raise InvalidConfig(
                f"members were asked for, and out is the address {out}; expected a folder",
                hint="copy it there once it is whole",
            )
        beside: dict[str, Any] = {"validation": validation, "without": without}
        return train_members(train, shards, out, recipe, **beside, resume=resume, force=force)
    state = join_processes()
    with ExitStack() as stack:
        classes: list[Any] = []
        done: dict[str, Any] | None = None
        with raise_on_all(state):
            check_split_weights(recipe, state)
            check_freeze_body(recipe)
            away = Away.of(out, recipe)
            out = away.out if away else Path(out)
            partial = partial_folder(out)
            packed = partial / "packed"
            uses_bfloat16(recipe, state)
            if recipe.secret_rows and state.num_processes > 1:
                raise InvalidConfig("secret_rows was given for several processes, each of which would draw others")
            curves = curve_writers(recipe.report_to, partial)
            inputs = Inputs.open(recipe, shards, targets, validation, validation_targets, without)
            teacher = Teacher.open(teachers, recipe, inputs.shards)
            compatible = Compatible.open(recipe, inputs.shards)
            taught = {"teachers": teacher, "compatible": compatible}
            asked = inputs.summaries | {name: one.runs if one else [] for name, one in taught.items()}
            per_device_batch_size(recipe, state)
            note = slow_bfloat16(recipe.precision, state.device)
            plan = _privacy_plan(recipe, inputs, state)
            if state.is_main_process and away:
                done = away.begin(recipe, asked, resume=resume, force=force)
            elif state.is_main_process and resume == "auto" and not force:
                done = finished(out, recipe, asked)
            if state.is_main_process and done is None:
                if note:
                    say(note)
                stack.enter_context(
                    working_folder(out, recipe, asked, resume=resume, force=force, split=splits_weights(state))
                )
                stack.callback(shutil.rmtree, packed, ignore_errors=True)  # if it is not one that is kept
                with counting("reading shards") as advance:
                    packed, classes = inputs.packed(packed, recipe, advance=advance)
        packed, classes, done = broadcast(state, (packed, classes, done))
        if done is not None:
            if state.is_main_process:
                say(said(out.name, done))
            return done
        with raise_on_all(state):
            if not packed.is_dir():
                raise TrainingError(f"{packed} is not seen by all processes", hint="--out in a folder that all share")
            set_seed(recipe.seed)
            training = _Training.of(recipe, inputs, (packed, partial), classes, plan, curves, state)
            if turn is not None:
                training.trainer.add_callback(turn.callback())
            if away:
                training.trainer.add_callback(Uploads(away, partial, state))
            for curve in curves:
                stack.callback(curve.close)
            stack.enter_context(fitting_threads(training.trainer.model.num_parameters(), state.device))
            if teacher is not None:
                training.trainer.teacher = teacher.model(classes)
            if compatible is not None:
                training.trainer.compatible = compatible.cost(classes)
        checkpoint = broadcast(state, last_checkpoint(partial) if state.is_main_process else None)
        training.progress.tell_cut(training.data, recipe.context)
        if recipe.from_run and recipe.embeddings is None and training.began["embeddings"] == "fresh":
            training.progress.tell_fresh(Run.open(recipe.from_run))
        with collective(state):
            training.run(checkpoint, out)
        with raise_on_all(state):
            if training.adapters:
                training.adapters.merge(partial / "run" / ADAPTER if state.is_main_process else None)
        metrics, owners, losses = training.metrics(recipe, inputs), None, None
        metrics |= teacher.told(metrics) if teacher else {}
        metrics |= compatible.told(metrics) if compatible else {}
        metrics = turn.tell(metrics) if turn else metrics
        if plan is None and turn is None and metrics["validation"] and not splits_weights(state):
            with raise_on_all(state):
                if state.is_main_process:
                    metrics["validation"] |= training.beside(recipe)
        with collective(state):
            weights = whole_weights(training.trainer)
        losses = metrics["loss"]
        if plan is not None:
            metrics, owners = parted(plan.without_losses(metrics))
        with raise_on_all(state):
            if state.is_main_process:
                write_run(training.trainer.model, weights, inputs.vocabulary, metrics, owners, partial)
                finish(partial, out, force=force)
                if turn is None:
                    training.progress.done(out, losses, metrics["validation"])
                if away:
                    away.publish(force=force)
    return metrics


@dataclass(frozen=True, slots=True)
class _Training:
    """A model, its data and the trainer that brings them together, on one process."""

    trainer: IdTrainer
    data: Dataset
    progress: Progress
    adapters: Adapters | None
    began: dict[str, Any]  # what `metrics.json` says of where it began

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        inputs: Inputs,
        folders: tuple[Path, Path],
        classes: list[Any],
        plan: Plan | None,
        curves: list[Curves],
        state: PartialState,
    ) -> _Training:
        """Build the model, map the packed data in one folder, and hand both to a trainer that works in another."""
        packed, partial = folders
        model, rows = build(recipe, inputs.vocabulary, inputs.tables, classes)
        if recipe.document_mask:
            check_apart(model, **({"tables": torch.zeros(1, dtype=torch.int64)} if recipe.rows_per_table else {}))
        if recipe.gradient_checkpointing and not model.supports_gradient_checkpointing:
            raise InvalidConfig(
                f"{model.config.model_type} models cannot compute activations again",
                hint="leave out --gradient-checkpointing",
            )
        masked = recipe.task in LABELS and looks_ahead(model)
        data = inputs.dataset(packed, recipe, classes, masked=masked)
        mixed = inputs.mixture(recipe, data)
        recipe = recipe.of_samples(inputs.samples(data, mixed))
        if recipe.dropout:
            set_dropout(model, recipe.dropout)
        began = {
            "embeddings": rows,
            "initial_weights": initial_weights(recipe),
            **({} if recipe.secret_rows else {"initial_digest": weights_digest(model)}),
            **of_public_rows(recipe, rows),
        }
        weights = of_one_table(model, len(inputs.tables)) if recipe.rows_per_table else model.num_parameters()
        penalty = NgramPenalty.of(model, rows, recipe.restrain_ngrams) if recipe.restrain_ngrams else None
        adapters = Adapters(model, recipe, recipe.lora) if recipe.lora else None
        at_once = {Bag: BagTrainer, Ngrams: NgramTrainer}.get(type(model))
        progress = Progress(data.ids * (1 if at_once else recipe.batch_size / len(data)))
        frozen = FreezeBody(model, recipe.freeze_body) if recipe.freeze_body else None
        callbacks: list[Any] = [progress, *([frozen] if frozen else [])]
        if inputs.validation:
            callbacks.append(EarlyStopping(partial, recipe.most_patience))
        if recipe.stop_memorised is not None and isinstance(data, Blocks):
            every = recipe.evaluate_every or max(1, recipe.steps // 20)
            callbacks.append(StopMemorised(model, data, recipe.stop_memorised, every))
        trainer = (at_once or _trainer_class(plan, frozen))(
            model=model,
            args=training_arguments(recipe, partial, state, parameters=weights, validated=bool(inputs.validation)),
            train_dataset=Goldfish(data, recipe.goldfish) if recipe.goldfish and isinstance(data, Blocks) else data,
            eval_dataset=inputs.validation_dataset(packed, recipe, classes, masked=masked),
            data_collator=collate,
            callbacks=[*callbacks, *curves],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.penalty, trainer.label_smoothing = penalty, recipe.label_smoothing
        if recipe.class_weights is not None and isinstance(data, Labelled):
            trainer.class_weights = balanced_weights(data)
        trainer.mixture, trainer.rate = mixed, shares_of_peak(recipe)
        return cls(trainer, data, progress, adapters, began)

    def run(self, checkpoint: Path | None, out: Path) -> None:
        """Train, from `checkpoint` on if there is one. Raises `OutputError` or `TrainingError`."""
        try:
            with self.progress.bar:
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except (OSError, SafetensorError) as error:
            raise OutputError(f"cannot write the training of {out}: {error}") from error
        except torch._dynamo.exc.TorchDynamoException as error:
            raise TrainingError(
                f"torch.compile: {str(error).splitlines()[0][:200]}", hint="leave out --compile"
            ) from error
        except torch.OutOfMemoryError as error:
            raise TrainingError("the device has no memory left", hint="a smaller --batch-size or --context") from error

    def beside(self, recipe: Recipe) -> dict[str, Any]:
        """Return how good the validation labels are predicted, and by a bag of the same ids, and by the usual one.

        Of a language model: what a prediction on validation costs by n-grams of the same ids.
        """
        data, validation = self.data, self.trainer.eval_dataset
        if isinstance(self.trainer.model, Bag | Ngrams) or data.ids > BAG_IDS:
            return {}
        if isinstance(data, Blocks):
            if max(data.ids, validation.ids) > BESIDE_IDS:
                return {}
            return {"ngrams_bits": beside_ngrams(data, validation, self.trainer.model.config.vocab_size) / math.log(2)}
        if not isinstance(data, Labelled):
            return {}
        beside = classify.beside_bag if data.classes else regress.beside_bag
        return beside(self.trainer.model, data, validation, self.trainer.args.train_batch_size, recipe.seed)

    def metrics(self, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
        """Return what `metrics.json` says, as JSON values."""
        summaries = inputs.summaries
        shards = summaries["validation"]
        return {
            **training_metrics(recipe, self.trainer, self.progress, self.data),
            **self.began,
            "shards": summaries["shards"],
            **inputs.replayed,
            "targets": summaries["targets"],
            **({"without": summaries["without"]} if inputs.without else {}),
            "validation": validation_metrics(recipe, self.trainer, shards) if shards else None,
        }


def _privacy_plan(recipe: Recipe, inputs: Inputs, state: PartialState) -> Plan | None:
    """Return how the promise to each record is kept; None if nothing was promised. Raises `InvalidConfig`."""
    if recipe.privacy is None:
        return None
    if recipe.report_to is not None:
        raise InvalidConfig("report_to would publish losses of records, which epsilon does not cover")
    from ult.trainer.dp.dp_trainer import Plan

    trained = {one.manifest.digest for one in inputs.shards}
    for one in inputs.validation:
        if one.manifest.digest in trained:
            raise InvalidConfig(
                f"{one.path} is trained on and validated on: its losses would be told, which epsilon covers"
            )
    return Plan.of(recipe, recipe.privacy, inputs.rows, state)


def _trainer_class(plan: Plan | None, frozen: FreezeBody | None) -> Callable[..., IdTrainer]:
    if plan is None:
        return IdTrainer
    from ult.trainer.dp.dp_trainer import private_trainer

    return private_trainer(plan, frozen)
