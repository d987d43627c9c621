"""Train a model on shards with the Hugging Face `Trainer`: ids in, a run folder out. No table is needed, nor known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ult.errors import MissingExtra, OutputError, TrainingError
from ult.model import build
from ult.packing import IGNORED, Blocks, Labelled, collate, open_shards, summary
from ult.progress import Progress
from ult.run import FORMAT, Recipe, finish, last_checkpoint, partial_folder, working_folder
from ult.shards import Shards
from ult.vocabulary import Vocabulary

try:
    import torch
    from accelerate import PartialState
    from safetensors import SafetensorError
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed
except ImportError as missing:
    raise MissingExtra("accelerate", extra="train") from missing

# The tiny preset gains from a high rate, above all with a body that was trained before: 100 steps on medical
# abstracts, vocabulary 2,048, one seed, bits per byte at 1e-3 and 3e-3: from scratch 2.83 and 2.79, after 400 steps
# on wikitext-2 2.69 and 2.42. The rate of larger models has not been tuned.
SMALL, SMALL_RATE, LARGE_RATE = 20_000_000, 3e-3, 5e-4  # parameters; peak rates below and above


def train(
    shards: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    task: str = "lm",
    model: str | None = None,
    from_run: str | Path | None = None,
    embeddings: str | None = None,
    steps: int = 1000,
    batch_size: int = 16,
    context: int = 128,
    learning_rate: float | None = None,
    label: str | None = None,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Train on one or more shards folders, write the run folder `out`, and return what its `metrics.json` says.

    `model` is a preset ("tiny" if nothing is said), a folder or a Hub name; `from_run` goes on from an earlier run
    instead, whose embedding rows are drawn afresh ("fresh") or taken over ("keep"), see `ult.model.build`. The peak
    `learning_rate` suits the model's size if nothing is said. The same call gives the same weights on a CPU.
    Interrupted, it goes on where its last checkpoint was with `resume`.

    Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `OutputExists`, `OutputError` or `TrainingError`.
    """
    out = Path(out)
    recipe = Recipe(
        task=task,
        model=model,
        from_run=None if from_run is None else str(from_run),
        embeddings=embeddings,
        steps=steps,
        batch_size=batch_size,
        context=context,
        learning_rate=learning_rate,
        label=label,
        seed=seed,
    )
    many = open_shards(shards)
    state = PartialState()
    mine = working_folder(out, recipe, summary(many), resume=resume, force=force)
    with mine if state.is_main_process else nullcontext(partial_folder(out)) as partial:
        state.wait_for_everyone()
        metrics = _train(many, recipe, partial, out)
        state.wait_for_everyone()
    return metrics


def _train(many: Sequence[Shards], recipe: Recipe, partial: Path, out: Path) -> dict[str, Any]:
    data: Blocks | Labelled
    if recipe.task == "classify":
        data = Labelled.of(many, context=recipe.context, label=recipe.label)
    else:
        data = Blocks.of(many, context=recipe.context)
    set_seed(recipe.seed)
    model, embeddings = build(recipe, many[0].vocabulary, {s.manifest.table for s in many}, data.classes)
    learning_rate = recipe.learning_rate or (SMALL_RATE if model.num_parameters() < SMALL else LARGE_RATE)
    progress = Progress(data.ids)
    trainer = IdTrainer(
        model=model,
        args=_arguments(recipe, learning_rate, partial),
        train_dataset=data,
        data_collator=collate,
        callbacks=[progress],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(partial)
    try:
        with progress.bar:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the training of {out}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError("the device has no memory left", hint="a smaller --batch-size or --context") from error
    metrics = {
        "format": FORMAT,
        "task": recipe.task,
        "context": recipe.context,
        "model": None if recipe.from_run else Path(recipe.model or "tiny").name,
        "from_run": recipe.from_run and Path(recipe.from_run).name,
        "embeddings": embeddings,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "processes": trainer.args.world_size,
        "learning_rate": learning_rate,
        "seed": recipe.seed,
        "parameters": model.num_parameters(),
        "shards": summary(many),
        "label": data.label,
        "classes": data.classes,
        "truncated": data.truncated,
        "loss": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
        "resumed_at": progress.first_step,
        "seconds": progress.seconds,
        "ids_per_second": progress.speed,
        "device": str(trainer.args.device.type),
        "versions": {name: version(name) for name in ("ult", "torch", "transformers", "numpy")},
    }
    if trainer.is_world_process_zero():
        _write(model, many[0].vocabulary, metrics, partial)
        finish(partial, out)
        progress.done(out, metrics["loss"])
    return metrics


class IdTrainer(Trainer):  # type: ignore[misc]
    """A `Trainer` for labels that need no shift: the mean cross-entropy over what a batch predicts."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """Return the loss in nats."""
        labels = inputs["labels"]
        logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def _arguments(recipe: Recipe, learning_rate: float, partial: Path) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(partial),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, recipe.steps // 10),
        weight_decay=0.1,
        adam_beta2=0.95,
        seed=recipe.seed,
        bf16=cuda and torch.cuda.is_bf16_supported(),
        save_steps=min(500, max(1, recipe.steps // 10)),
        save_total_limit=1,  # the older one goes only after the newer is whole
        logging_steps=max(1, recipe.steps // 100),
        logging_nan_inf_filter=False,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )


def _write(model: Any, vocabulary: Vocabulary, metrics: dict[str, Any], partial: Path) -> None:
    folder = partial / "run"
    try:
        model.config.use_cache = True  # the trainer turned it off
        model.save_pretrained(folder)
        vocabulary.tokenizer().save_pretrained(folder)
        vocabulary.save(folder / "vocabulary.json")
        _draw_loss(metrics["loss"], folder / "loss.png")
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the run: {error}") from error


def _draw_loss(loss: list[list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*loss, strict=True), color="#3366aa", linewidth=1.6)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.savefig(path)
