"""The recipe of a training: the one place where its options are declared.

A new option takes a field of `Recipe` and the line that uses it. The command line, the file of arguments (`ult train
--config`), the checks, `metrics.json` and what `--resume` compares follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.arguments import checked
from ult.host.arguments import path as path_argument
from ult.public.task import TASKS
from ult.trainer.config import check_names, config_text, read_config
from ult.trainer.option import Option, option, options_of

LEARNS, STARTS = "What it learns", "Where it starts"
STEPS, CHECKS = "How it is optimized", "Evaluation while it trains"
PRIVACY = "Differential privacy for each record"


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy for each record that a model is trained on: (epsilon, delta)."""

    epsilon: float
    delta: float | None = None  # None is the number of records to the power of -1.1
    clip: float = 1.0  # the greatest length of a record's gradient
    secure_random: bool = True  # whether samples and noise come from the operating system, not from the seed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Recipe:
    """What is asked of a training: with the shards, all that decides its weights.

    Raises `InvalidConfig` for a value out of range and for options that do not go together.

    >>> Recipe(steps=200, seed=3)
    Recipe(steps=200, seed=3)
    >>> Recipe(steps=0)
    Traceback (most recent call last):
    ult.errors.InvalidConfig: steps is 0; expected an integer of at least 1
    """

    task: str = option(
        "lm",
        panel=LEARNS,
        choices=TASKS,
        help="What to learn: lm predicts the next id, classify a kept label, seq2seq a target from its source",
    )
    context: int = option(
        128,
        panel=LEARNS,
        at_least=4,
        help="Ids that the model sees at once; for seq2seq, of the source and of the target each",
    )
    label: str | None = option(
        None,
        panel=LEARNS,
        tasks=("classify",),
        metavar="COLUMN",
        help="The kept column to predict",
        unset="the only kept column",
    )
    mixture: Sequence[float] | None = option(
        None,
        panel=LEARNS,
        metavar="WEIGHTS",
        above=0,
        excludes=("epsilon",),
        help="Weights of the shards folders against one another, as 3,1,1",
        unset="their sizes",
    )
    modality_token: bool = option(
        False,
        panel=LEARNS,
        tasks=("lm", "classify"),
        help="Put a special id before each record that names its modality",
    )
    rows_per_table: bool = option(
        False,
        panel=LEARNS,
        tasks=("lm",),
        excludes=("epsilon", "lora", "goldfish", "restrain_ngrams", "stop_memorised"),
        help="Give each table embedding rows of its own beside one body; the run keeps them in a file a table",
    )
    goldfish: int | None = option(
        None,
        panel=LEARNS,
        tasks=("lm",),
        excludes=("epsilon",),
        metavar="K",
        at_least=2,
        help="Leave one in K ids out of the loss, so that no record is recited whole",
        unset="every id counts",
    )
    restrain_ngrams: float | None = option(
        None,
        panel=LEARNS,
        tasks=("lm",),
        needs="from_run",
        excludes=("epsilon",),
        metavar="MARGIN",
        above=0,
        below=1,
        help="Let no n-gram become likelier than the earlier run has it by more than MARGIN, such as 0.3",
        unset="n-grams are not restrained",
    )
    model: str | None = option(
        None,
        panel=STARTS,
        excludes=("from_run",),
        metavar="NAME",
        help="A preset (tiny, small, smollm2-135m, smollm2-135m-weights), a checkpoint folder or a name on the Hub; "
        "for classify also bag, linear on which ids a record holds and fitted at once",
        unset="tiny",
    )
    from_run: str | Path | None = option(
        None,
        panel=STARTS,
        flag="--from",
        metavar="RUN",
        help="Go on from an earlier run of the same vocabulary",
        unset="start from the model",
    )
    embeddings: str | None = option(
        None,
        panel=STARTS,
        choices=("fresh", "keep"),
        help="With --from: draw fresh embedding rows, or keep those of the earlier run",
        unset="keep if the tables are the same, else fresh",
    )
    freeze_body: int = option(
        0,
        panel=STARTS,
        at_least=0,
        at_most="steps",
        metavar="STEPS",
        help="Train only the embedding rows and the head in the first STEPS steps",
    )
    lora: int | None = option(
        None,
        panel=STARTS,
        metavar="RANK",
        at_least=1,
        help="Train adapters of this rank in place of the body; they are merged into it at the end",
        unset="the whole body is trained",
    )
    steps: int = option(1000, panel=STEPS, at_least=1, help="Optimizer steps")
    batch_size: int = option(
        16, panel=STEPS, at_least=1, help="Blocks or records of a step, over all processes together"
    )
    learning_rate: float | None = option(
        None,
        panel=STEPS,
        metavar="RATE",
        above=0,
        below=1,
        help="The peak of the learning rate",
        unset="3e-3; for seq2seq and from 5 M parameters on 1e-3; from 20 M on 5e-4",
    )
    schedule: str = option(
        "cosine",
        panel=STEPS,
        choices=("cosine", "linear", "constant"),
        help="The learning rate after its peak: cosine and linear fall to zero, constant stays",
    )
    warmup: float | None = option(
        None,
        panel=STEPS,
        at_least=0,
        metavar="STEPS",
        help="Steps up to the peak; below 1, their share of all steps",
        unset="a tenth of all steps, 100 at most",
    )
    weight_decay: float = option(
        0.1,
        panel=STEPS,
        at_least=0,
        below=1,
        metavar="RATE",
        help="How much each step shrinks the weights, times the learning rate (AdamW)",
    )
    accumulate: int = option(
        1,
        panel=STEPS,
        at_least=1,
        metavar="PARTS",
        help="Parts in which a device takes its share of a batch: less memory, the same losses",
    )
    precision: str = option(
        "auto",
        panel=STEPS,
        choices=("auto", "float32", "bfloat16"),
        help="Of the arithmetic; weights stay float32. auto is bfloat16 on GPUs that can",
    )
    seed: int = option(0, panel=STEPS, at_least=0, help="The same seed gives the same weights on a CPU")
    evaluate_every: int | None = option(
        None,
        panel=CHECKS,
        at_least=1,
        at_most="steps",
        metavar="STEPS",
        help="Steps between evaluations on --validation",
        unset="a tenth of all steps",
    )
    patience: int | None = option(
        None,
        panel=CHECKS,
        at_least=1,
        metavar="N",
        help="Stop after N evaluations on --validation in a row without a better one",
        unset="all steps are done",
    )
    stop_memorised: float | None = option(
        None,
        panel=CHECKS,
        tasks=("lm",),
        excludes=("epsilon",),
        metavar="SHARE",
        at_least=0,
        below=1,
        help="Stop once the model writes more than this share of its data's n-grams again, such as 0.2",
        unset="it is not measured",
    )
    report_to: str | None = option(
        None,
        metavar="NAME",
        panel=CHECKS,
        choices=("tensorboard",),
        shapes_weights=False,
        help="Where the curves are written: tensorboard is the folder of that name in the run",
        unset="no curves",
    )
    epsilon: float | None = option(
        None,
        panel=PRIVACY,
        metavar="EPSILON",
        above=0,
        help="Bound what any one record can change by a factor of e^epsilon in probabilities; 8 is weak, 1 strong",
        unset="no promise",
    )
    delta: float | None = option(
        None,
        panel=PRIVACY,
        needs="epsilon",
        above=0,
        below=1,
        help="The probability with which that may fail",
        unset="records^-1.1",
    )
    clip: float | None = option(
        None,
        panel=PRIVACY,
        needs="epsilon",
        metavar="LENGTH",
        above=0,
        help="The greatest length of a record's gradient",
        unset="1",
    )
    secure_random: bool = option(
        True,
        panel=PRIVACY,
        needs="epsilon",
        help="Draw samples and noise from the operating system, which nobody can repeat, and not from the seed",
    )

    def __post_init__(self) -> None:
        for name, one in OPTIONS.items():
            object.__setattr__(self, name, one.checked(getattr(self, name)))
        for one in OPTIONS.values():
            one.check_beside(self, OPTIONS)
        if self.embeddings == "keep" and self.from_run is None:
            raise InvalidConfig("embeddings can be kept from an earlier run only", hint="--from RUN")
        if self.model == "bag":
            self._check_bag()
        if self.warmup is not None and (self.warmup > self.steps or (self.warmup >= 1 and self.warmup % 1)):
            raise InvalidConfig(
                f"warmup is {self.warmup:g}; expected a share below 1, or from 1 to {self.steps} whole steps"
            )

    def _check_bag(self) -> None:
        if self.task != "classify":
            raise InvalidConfig(
                f"model bag was given for task {self.task!r}; it is for classify", hint="--task classify --label COLUMN"
            )
        for name, one in OPTIONS.items():
            if one.is_set(self) and name not in ("task", "context", "label", "model", "seed"):
                raise InvalidConfig(
                    f"{name} was given for model bag, which is fitted to its optimum, not step by step",
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

    @property
    def privacy(self) -> Privacy | None:
        """What is promised to each record; None trains as usual."""
        if self.epsilon is None:
            return None
        return Privacy(self.epsilon, self.delta, 1.0 if self.clip is None else self.clip, self.secure_random)

    def shaping(self) -> dict[str, Any]:
        """Return, as JSON values, the options that decide the trained weights."""
        return {name: value for name, value in asdict(self).items() if OPTIONS[name].shapes_weights}


OPTIONS: Mapping[str, Option] = options_of(Recipe)
