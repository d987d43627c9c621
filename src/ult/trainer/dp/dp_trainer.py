"""Train with differential privacy for each record (DP-SGD, arXiv:1607.00133), by the same `Trainer`.

A step draws a Poisson sample, sums the clipped gradients of its records, adds noise, and divides by the expected batch
size, not by the size that was drawn. The optimizer, the schedule and the choice of a checkpoint read only gradients
that have noise already. The accountant needs no state but the number of steps, which every checkpoint holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from ult.errors import InvalidConfig, TrainingError
from ult.host.extras import require
from ult.privacy import accountant
from ult.privacy.randomness import NOISE, source
from ult.public.guarantee import composed
from ult.trainer.callbacks.freeze_body import FreezeBody
from ult.trainer.datasets.collator import Item
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.pairs import Pairs
from ult.trainer.datasets.windows import Windows
from ult.trainer.dp.clipping import clipped_sum
from ult.trainer.dp.poisson import PoissonSamples
from ult.trainer.id_trainer import IdTrainer
from ult.trainer.recipe import Privacy, Recipe

with require("torch", "accelerate", extra="train"):
    import torch
    from accelerate import PartialState

_OF_RECORDS: dict[str, Any] = {
    "loss": [],
    "truncated": None,
    "seconds": None,
    "ids_per_second": None,
    "mfu": None,
}  # in place of what `metrics.json` otherwise computes of records without noise
_LOSSES = ("loss", "train_loss", "grad_norm")  # of a log; exact functions of records, though nothing clipped them


@dataclass(frozen=True, slots=True)
class Plan:
    """What each record is promised, and the noise that keeps the promise."""

    asked: Privacy
    delta: float
    noise: float  # standard deviation, in units of the clipped length
    records: int
    batch_size: int  # expected
    steps: int
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, asked: Privacy, records: int, state: PartialState) -> Plan:
        """Return the plan for a recipe on so many records. Raises `InvalidConfig` or `MissingExtra`."""
        devices = int(torch.cuda.device_count() if state.device.type == "cuda" else 1)
        if max(devices, state.num_processes) > 1:
            raise InvalidConfig(
                f"epsilon was given on {max(devices, state.num_processes)} devices; expected a single one",
                hint="CUDA_VISIBLE_DEVICES=0 in a single process",
            )
        if recipe.batch_size > records:
            raise InvalidConfig(f"batch_size is {recipe.batch_size}; expected at most the {records} records")
        delta = accountant.default_delta(records) if asked.delta is None else asked.delta
        accountant.check(asked.epsilon, delta, records)
        rate = recipe.batch_size / records
        noise = accountant.noise_multiplier(asked.epsilon, delta, rate=rate, steps=recipe.steps)
        return cls(asked, delta, noise, records, recipe.batch_size, recipe.steps, recipe.seed)

    @property
    def rate(self) -> float:
        """The probability with which a record is in a sample."""
        return self.batch_size / self.records

    def facts(self) -> dict[str, Any]:
        """Return, as JSON values, what `metrics.json` says of the guarantee."""
        return {
            "epsilon": accountant.spent(self.noise, self.delta, rate=self.rate, steps=self.steps),
            "delta": self.delta,
            "unit": "record",
            "neighbours": "add or remove one",
            "noise_multiplier": self.noise,
            "clip": self.asked.clip,
            "sampling_rate": self.rate,
            "steps": self.steps,
            "records": self.records,
            "accountant": accountant.name(),
            "secure_random": self.asked.secure_random,
        }

    def without_losses(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return metrics that say what was promised, and nothing that was computed of records without noise."""
        found = metrics | _OF_RECORDS | {"privacy": self.facts()}
        account = composed(found)
        return found | {"privacy": found["privacy"] | {"account": account and account.document()}}


class PrivateTrainer(IdTrainer):
    """A trainer that uses nothing of its records but clipped gradients with noise."""

    def __init__(
        self,
        plan: Plan,
        *,
        model: Any,
        args: Any,
        train_dataset: Windows | Labelled | Pairs,
        frozen: FreezeBody | None,
        **options: Any,
    ) -> None:
        args.gradient_accumulation_steps = 1  # a step takes its sample in parts of its own
        args.max_grad_norm = 0.0  # each record's gradient is clipped instead
        model.set_attn_implementation("eager")  # other kinds look at the values of masks
        self.plan, self.frozen = plan, frozen
        self.source = source(secure=plan.asked.secure_random, seed=plan.seed)
        draws = PoissonSamples(train_dataset, plan.rate, plan.steps, self.source)
        super().__init__(model=model, args=args, train_dataset=draws, **options)

    def get_train_dataloader(self) -> Any:
        """Return a loader whose n-th batch is the n-th Poisson sample, a list of items."""
        order = range(len(self.train_dataset))
        loader = torch.utils.data.DataLoader(self.train_dataset, sampler=order, collate_fn=itemgetter(0))
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, iterator: Any, *_: Any) -> tuple[list[Any], Any]:
        """Return the Poisson sample of the next step."""
        return [next(iterator)], None

    def training_step(self, model: Any, inputs: Any, *_: Any) -> torch.Tensor:
        """Set the noisy gradient of every weight; return the mean loss of the sample, which is not published."""
        model.train()
        items: Sequence[Item] = inputs  # as `get_batch_samples` returns them
        step, plan = self.state.global_step, self.plan
        frozen = self.frozen.frozen(step) if self.frozen else set()
        weights = {name: w for name, w in model.named_parameters() if w.requires_grad and id(w) not in frozen}
        with self.compute_loss_context_manager():
            part = self.args.per_device_train_batch_size
            sums, losses = clipped_sum(model, weights, items, clip=plan.asked.clip, part=part)
        draw = self.source.at(NOISE, step)
        for name, weight in weights.items():
            noise = torch.from_numpy(draw.standard_normal(tuple(weight.shape))).to(weight.device)
            noisy = sums[name].double() + plan.noise * plan.asked.clip * noise
            weight.grad = (noisy / plan.batch_size).to(weight.dtype)
        return losses.detach() / max(1, len(items))

    def log(self, logs: dict[str, float], *more: Any, **options: Any) -> None:
        """Log everything but losses, which have no noise; every checkpoint holds the log.

        Raises `TrainingError` if one is not finite.
        """
        if not all(math.isfinite(logs.get(name, 0.0)) for name in _LOSSES):
            raise TrainingError(
                f"the loss is not finite at step {self.state.global_step}", hint="a lower --learning-rate"
            )
        super().log({name: value for name, value in logs.items() if name not in _LOSSES}, *more, **options)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0; the number is not used."""
        return 0


def private_trainer(plan: Plan, frozen: FreezeBody | None) -> partial[PrivateTrainer]:
    """Return a function that makes a trainer keeping `plan`, from the arguments of `IdTrainer`."""
    return partial(PrivateTrainer, plan, frozen=frozen)
