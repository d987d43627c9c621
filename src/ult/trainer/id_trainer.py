"""The Hugging Face `Trainer` for ids, and what a recipe asks of it on the devices there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.callbacks.early_stopping import METRIC
from ult.trainer.chunked import Chunked
from ult.trainer.compatible import Cost
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.datasets.sampler import Mixture, Order
from ult.trainer.fsdp import split_on_cpus
from ult.trainer.loss import cross_entropy, number_costs, predict, soft_cost
from ult.trainer.memorisation.ngram_penalty import NgramPenalty
from ult.trainer.recipe import Recipe

with require("torch", "accelerate", "transformers", extra="train"):
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object
    from transformers import Trainer, TrainingArguments

# The tiny preset learns best at a high rate, above all when its body was trained before. Bits per byte after 100 steps
# on medical abstracts (vocabulary 2,048, one seed) at 1e-3 and 3e-3: from scratch 2.83 and 2.79; after 400 steps on
# wikitext-2 2.69 and 2.42.
# An encoder-decoder must learn what to copy, which fails at that rate. Bits per byte after 1,000 steps on 40,000
# reactions (vocabulary 512, one seed) at 5e-4 and 1e-3: 1.26 and 1.16; after 800 steps at 3e-3: 1.51.
# The preset small (11 M) does not learn at 3e-3. Bits per byte after 100 steps of 8 x 128 ids of wikitext-2 (vocabulary
# 1,024, one seed) at 5e-4, 1e-3 and 3e-3: 2.65, 2.59 and 3.31. The rate of larger models has not been tuned.
TINY, SMALL = 5_000_000, 20_000_000  # parameters; a model with as many or more is no longer that
TINY_RATE, SMALL_RATE, LARGE_RATE = 3e-3, 1e-3, 5e-4
# As transformers calls schedules; `IdTrainer.rate` is that of infinite.
_SCHEDULES = {"constant": "constant_with_warmup", "infinite": "constant_with_warmup"}


def peak_learning_rate(recipe: Recipe, parameters: int) -> float:
    """Return the recipe's learning rate, or one that suits a model of that task and number of parameters."""
    if recipe.learning_rate is not None:
        return recipe.learning_rate
    if parameters >= SMALL:
        return LARGE_RATE
    return SMALL_RATE if parameters >= TINY or recipe.task == "seq2seq" else TINY_RATE


def per_device_batch_size(recipe: Recipe, state: PartialState) -> int:
    """Return how many samples a device takes at once. Raises `InvalidConfig` if a batch cannot be shared equally."""
    one_process = state.num_processes == 1 and state.device.type == "cuda"  # which drives all GPUs there are
    devices = int(torch.cuda.device_count() if one_process else state.num_processes)
    parts = devices * recipe.accumulate
    samples, left = divmod(recipe.batch_size, parts)
    if left:
        accumulated = f" in {recipe.accumulate} parts each" if recipe.accumulate > 1 else ""
        raise InvalidConfig(
            f"batch_size is {recipe.batch_size} on {devices} devices{accumulated}; expected a multiple of {parts}",
            hint=f"--batch-size {(samples + 1) * parts}",
        )
    return samples


def uses_bfloat16(recipe: Recipe, state: PartialState) -> bool:
    """Return whether to compute in bfloat16. Raises `InvalidConfig` if the recipe asks for it and the device cannot."""
    kind = state.device.type
    supported = kind == "cuda" and bool(torch.cuda.is_bf16_supported())
    if recipe.precision == "auto":
        return supported
    if recipe.precision == "bfloat16" and kind != "cpu" and not supported:
        raise InvalidConfig(f"this {kind} device does not compute in bfloat16", hint="--precision float32")
    return recipe.precision == "bfloat16"


class IdTrainer(Trainer):
    """A `Trainer` for labels that need no shift: its loss is the mean over all predictions of a step, on all processes.

    The Hugging Face `Trainer` shifts labels by one and averages over each process by itself.
    """

    control: Any  # a transformers.TrainerControl
    model: Any  # a transformers.PreTrainedModel; the base class says that there may be none
    train_dataset: Any
    eval_dataset: Any
    mixture: Mixture | None = None  # how training samples are drawn from several folders; None is pass after pass
    penalty: NgramPenalty | None = None  # what is added to the loss
    compatible: Cost | None = None  # what is added for other probabilities than those of an earlier run
    rate: Callable[[int], float] | None = None  # the share of the peak by step; None is by `args`
    teacher: Any = None  # a model whose probabilities are learned in place of labels
    class_weights: torch.Tensor | None = None  # (classes,) how much a record of each class counts
    label_smoothing = 0.0
    loss_is_scaled_for_ga = True  # `compute_loss` divides by the predictions of the whole step, not of its part

    def create_accelerator_and_postprocess(self) -> None:
        """Do what the base class does, and split weights on CPUs too if that is asked for."""
        super().create_accelerator_and_postprocess()
        split_on_cpus(self)

    def get_batch_samples(self, *args: Any) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor]:
        """Return the parts of a step, and how many predictions all parts hold on all processes together."""
        parts, _ = super().get_batch_samples(*args)
        predictions = sum((part["labels"] != IGNORED).sum() for part in parts)
        return parts, self.accelerator.reduce(predictions, "sum").clamp(min=1)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **told: Any) -> torch.Tensor:
        """Return the loss of a part in nats. Summed over parts and averaged over processes, it is the step's loss."""
        predictions: torch.Tensor = told["num_items_in_batch"]
        if self.teacher is not None:
            taught: torch.Tensor = soft_cost(self.teacher, predict(model, inputs), inputs) / predictions
            return taught * float(self.args.world_size)
        chunks = self.penalty is None and self.compatible is None and not self.is_fsdp_enabled
        if chunks and not self.args.torch_compile and (chunked := Chunked.of(self.model, inputs)) is not None:
            with self.accelerator.autocast():
                parts = chunked.nats(model, inputs, self.label_smoothing)
            cost: torch.Tensor = parts * self.args.world_size / predictions
            return cost
        logits, labels = predict(model, inputs), inputs["labels"].flatten()
        if labels.is_floating_point():
            costs: torch.Tensor = number_costs(logits, labels).sum() * self.args.world_size / predictions
            return costs
        total = torch.nn.functional.cross_entropy(
            logits.flatten(0, -2),
            labels,
            weight=None if self.class_weights is None else self.class_weights.to(logits.device),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        if self.penalty is not None:
            total = total + self.penalty(inputs, logits)
        if self.compatible is not None:
            total = total + self.compatible(inputs, logits)
        loss: torch.Tensor = total * self.args.world_size / predictions
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return and log the bits that a prediction on the validation samples costs, over all processes together."""
        self.model.eval()
        part = {"part": self.args.process_index, "parts": self.args.world_size, "split": self.is_fsdp_enabled}
        sums = [cross_entropy(self.model, self.eval_dataset, self.args.train_batch_size, **part)]
        nats, predictions = map(sum, zip(*(gather_object(sums) if self.args.world_size > 1 else sums), strict=True))
        metrics = {METRIC: nats / predictions / math.log(2)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return what sets the learning rate at each step, as `rate` says if there is one."""
        if self.rate is None:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            used: Any = self.optimizer if optimizer is None else optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(used, self.rate)
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # an `Order` or a `MixedOrder`
        samples = self.args.max_steps * self.get_total_train_batch_size(self.args)
        if self.mixture is not None:
            return self.mixture.order(samples, self.args.seed)
        return Order(len(self.train_dataset), samples, self.args.seed)


def training_arguments(
    recipe: Recipe, folder: Path, state: PartialState, *, parameters: int, validated: bool
) -> TrainingArguments:
    """Return the arguments of a `Trainer` that writes checkpoints to `folder`; with `validated` it evaluates too.

    `parameters` are those of the model. Raises as `per_device_batch_size` and `uses_bfloat16`.
    """
    every = recipe.evaluate_every or max(1, recipe.steps // 10)
    keep_best: dict[str, Any] = {  # a checkpoint at each evaluation, of which the best and the last stay
        "eval_strategy": "steps",
        "eval_steps": every,
        "load_best_model_at_end": True,
        "metric_for_best_model": METRIC,
        "greater_is_better": False,
    }
    name = "activation_checkpointing"  # as transformers calls it from 5.2x on
    if name not in TrainingArguments.__dataclass_fields__:
        name = "gradient_checkpointing"
    recompute: dict[str, Any] = {name: True, f"{name}_kwargs": {"use_reentrant": False}}
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=state.device.type == "cpu",
        max_steps=recipe.steps,
        per_device_train_batch_size=per_device_batch_size(recipe, state),
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=peak_learning_rate(recipe, parameters),
        lr_scheduler_type=_SCHEDULES.get(recipe.schedule, recipe.schedule),
        warmup_steps=recipe.warmup_steps,
        weight_decay=float(recipe.weight_decay),
        adam_beta2=0.95,
        seed=recipe.seed,
        torch_compile=recipe.compile,
        bf16=uses_bfloat16(recipe, state),
        save_steps=every if validated else recipe.checkpoint_every or min(500, max(1, recipe.steps // 10)),
        save_total_limit=1,  # the older one goes only after the newer is whole
        logging_steps=max(1, recipe.steps // 100),
        logging_nan_inf_filter=False,
        dataloader_pin_memory=state.device.type == "cuda",
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=False,  # `IdTrainer` does it, for labels that need no shift
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        **(recompute if recipe.gradient_checkpointing else {}),
        **(keep_best if validated else {}),
    )
