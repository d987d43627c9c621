"""The recipe of a training: its options, which `ult.trainer.options` declares, checked against one another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.arguments import checked
from ult.host.arguments import path as path_argument
from ult.public.task import LABELS
from ult.trainer.config import check_names, config_text, read_config
from ult.trainer.option import Option, options_of
from ult.trainer.options import Options
from ult.trainer.part import Part
from ult.trainer.replay import Replay

PATIENCE = 3  # evaluations
# Few records that are seen again and again need a weight decay far above the usual 0.1 (arXiv:2509.14786 finds 0.8 to
# 3.2). Bits per byte of 289 kB of abstracts, 4 layers of 128, the best step on validation, 16 passes (one seed): with
# 0.1 2.200, with 1.0 2.061, with 3.0 1.971; with 0.1 and 8 passes 2.111.
_ENDS = {"cosine": "falls to zero itself", "linear": "falls to zero itself", "constant": "stays"}
# Models that need no steps: their tasks, the options that they have besides those of all, and what to say of others.
AT_ONCE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str, str]] = {
    "bag": (LABELS, ("label",), "is fitted to its optimum, not step by step", "--task classify --label COLUMN"),
    "ngrams": (
        ("lm",),
        ("order", "modality_token", "document_mask", "part"),
        "is counted, not trained step by step, and promises nothing to a record",
        "--model bag, which predicts labels and numbers",
    ),
}
DECAY_A_PASS, LEAST_DECAY, MOST_DECAY = 0.2, 0.1, 3.2


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy for each record that a model is trained on: (epsilon, delta)."""

    epsilon: float
    delta: float | None = None  # None is the number of records to the power of -1.1
    clip: float = 1.0  # the greatest length of a record's gradient
    secure_random: bool = True  # whether samples and noise come from the operating system, not from the seed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Recipe(Options):
    """What is asked of a training: with the shards, all that decides its weights.

    Raises `InvalidConfig` for a value out of range and for options that do not go together.

    >>> Recipe(steps=200, seed=3)
    Recipe(steps=200, seed=3)
    >>> Recipe(steps=0)
    Traceback (most recent call last):
    ult.errors.InvalidConfig: steps is 0; expected an integer of at least 1
    """

    def __post_init__(self) -> None:
        for name, one in OPTIONS.items():
            object.__setattr__(self, name, one.checked(getattr(self, name)))
        for one in OPTIONS.values():
            one.check_beside(self, OPTIONS)
        if self.embeddings == "keep" and self.from_run is None:
            raise InvalidConfig("embeddings can be kept from an earlier run only", hint="--from RUN")
        if self.task == "regress" and self.epsilon is not None:
            raise InvalidConfig("epsilon was given for task 'regress', whose mean and spread would be told as they are")
        if self.model in AT_ONCE:
            self._check_at_once(str(self.model))
        elif self.order is not None:
            raise InvalidConfig(
                f"order was given for model {self.model or 'tiny'}; it is for ngrams", hint="--model ngrams"
            )
        if self.part is not None:
            Part.read(self.part)
            if self.members is not None:
                raise InvalidConfig("part and members were both given; expected one of them", hint="--member-records")
        if self.replay is not None:
            Replay.read(self.replay)
        for name in ("mixture", "replay"):
            if self.member_records == "disjoint" and getattr(self, name) is not None:
                raise InvalidConfig(f"{name} was given with disjoint records of members; expected one of them")
        if self.anneal and self.schedule != "infinite":
            raise InvalidConfig(
                f"anneal was given for schedule {self.schedule!r}, which {_ENDS[self.schedule]}",
                hint="--schedule infinite",
            )
        if self.warmup is not None and (self.warmup > self._most_steps or (self.warmup >= 1 and self.warmup % 1)):
            raise InvalidConfig(
                f"warmup is {self.warmup:g}; expected a share below 1, or from 1 to {self.steps} whole steps"
            )

    @property
    def _most_steps(self) -> float:
        """The steps, as far as they are known before the data are."""
        return self.steps if self.epochs is None else math.inf

    def _check_at_once(self, model: str) -> None:
        tasks, options, how, hint = AT_ONCE[model]
        if self.task not in tasks:
            raise InvalidConfig(
                f"model {model} was given for task {self.task!r}; it is for {' and '.join(tasks)}", hint=hint
            )
        for name, one in OPTIONS.items():
            if one.is_set(self) and name not in ("task", "context", "model", "seed", *options):
                raise InvalidConfig(
                    f"{name} was given for model {model}, which {how}",
                    hint=f"another --model, or leave out {one.flag}",
                )

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self, name)!r}" for name, one in OPTIONS.items() if one.is_set(self)]
        return f"Recipe({', '.join(given)})"

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Return the recipe in a YAML or JSON file of `option: value` pairs; what it does not name is at its default.

        Raises `MissingSource`, `FormatError`, or `InvalidConfig` naming the file and, for YAML, the line.
        """
        return cls(**cls.options_in(path))

    @staticmethod
    @checked(path=path_argument)
    def options_in(path: str | Path) -> dict[str, Any]:
        """Return the options that a YAML or JSON file gives, by name. Raises as `read`."""
        return read_config(Path(path), OPTIONS)

    @classmethod
    def from_metrics(cls, values: Mapping[str, Any], where: str | Path) -> Recipe:
        """Return the recipe in the metrics of a run; errors call their file `where`. Raises `InvalidConfig`."""
        check_names(values, OPTIONS, str(where))
        return cls(**values)

    def to_yaml(self) -> str:
        """Return the recipe as YAML that `read` reads: every option, with its help and its default as comments."""
        return config_text(self, OPTIONS)

    @property
    def warmup_steps(self) -> int:
        """The steps up to the peak of the learning rate."""
        if self.warmup is None:
            return min(100, self.steps // 10)
        return int(self.warmup) if self.warmup >= 1 else round(self.warmup * self.steps)

    def of_samples(self, samples: int) -> Recipe:
        """Return the recipe with steps in place of passes over so many samples, and the weight decay as a number.

        Raises `InvalidConfig` for what needs more steps than that.
        """
        if self.epochs is None and not isinstance(self.weight_decay, str):
            return self
        steps = self.steps if self.epochs is None else max(1, math.ceil(self.epochs * samples / self.batch_size))
        decay = self.weight_decay
        if isinstance(decay, str):
            decay = min(max(DECAY_A_PASS * steps * self.batch_size / samples, LEAST_DECAY), MOST_DECAY)
        return replace(self, steps=steps, epochs=None, weight_decay=decay)

    @property
    def most_patience(self) -> int | None:
        """After how many evaluations without a better one a training stops; None if all steps are done."""
        return PATIENCE if self.patience is None else self.patience or None

    @property
    def privacy(self) -> Privacy | None:
        """What is promised to each record; None trains as usual."""
        if self.epsilon is None:
            return None
        return Privacy(self.epsilon, self.delta, 1.0 if self.clip is None else self.clip, self.secure_random)

    def shaping(self) -> dict[str, Any]:
        """Return, as JSON values, the options that decide the trained weights."""
        return {name: value for name, value in asdict(self).items() if OPTIONS[name].shapes_weights}

    def origin(self) -> dict[str, str | None]:
        """Return, by name alone, what a training starts from and what else it read: no run tells where it was made."""
        path, mark, share = (self.replay or "").rpartition(":")
        return {
            "compatible_with": Path(self.compatible_with).name if self.compatible_with else None,
            "replay": f"{Path(path).name}{mark}{share}" if self.replay else None,
            "model": None if self.from_run else Path(self.model or "tiny").name,
            "from_run": Path(self.from_run).name if self.from_run else None,
        }


OPTIONS: Mapping[str, Option] = options_of(Recipe)
