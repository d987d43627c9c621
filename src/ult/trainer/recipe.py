"""What is asked of a training: with the shards, all that decides its weights."""

from __future__ import annotations

from dataclasses import dataclass

from ult.errors import InvalidConfig
from ult.public.metrics import TASKS

SHAPES = ("cosine", "linear", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate goes: up in equal steps to its peak, then down to zero or not."""

    shape: str = "cosine"  # after the peak: "cosine" and "linear" end at zero, "constant" stays
    learning_rate: float | None = None  # the peak; None suits the model's size
    warmup: float | None = None  # steps up to the peak, or below 1 a share of all; None is a tenth, 100 steps at most

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise InvalidConfig(f"schedule is {self.shape!r}; expected one of {', '.join(SHAPES)}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise InvalidConfig(f"learning_rate is {self.learning_rate!r}; expected between 0 and 1")

    def warmup_steps(self, steps: int) -> int:
        """Return the steps up to the peak of `steps` in all. Raises `InvalidConfig`."""
        if self.warmup is None:
            return min(100, steps // 10)
        if not 0 <= self.warmup <= steps or (self.warmup >= 1 and self.warmup != int(self.warmup)):
            raise InvalidConfig(
                f"warmup is {self.warmup!r}; expected a share below 1, or from 1 to {steps} whole steps"
            )
        return int(self.warmup) if self.warmup >= 1 else round(self.warmup * steps)


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy for each record that a model is trained on: (epsilon, delta)."""

    epsilon: float
    delta: float | None = None  # None is the number of records to the power of -1.1
    clip: float = 1.0  # the length that a record's gradient has at most
    secure_random: bool = True  # whether samples and noise come from the operating system, not from the seed

    def __post_init__(self) -> None:
        if not 0 < self.clip < 1e6:
            raise InvalidConfig(f"clip is {self.clip!r}; expected above 0")

    @classmethod
    def asked(
        cls, epsilon: float | None, *, delta: float | None, clip: float | None, secure_random: bool
    ) -> Privacy | None:
        """Return what was asked for, None without an epsilon. Raises `InvalidConfig` if more was given without one."""
        if epsilon is not None:
            return cls(epsilon, delta, 1.0 if clip is None else clip, secure_random)
        for name, given in (("delta", delta), ("clip", clip), ("secure_random", None if secure_random else False)):
            if given is not None:
                raise InvalidConfig(f"{name} was given without an epsilon", hint="--epsilon 8")
        return None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was asked of a training: with the shards, all that decides the weights."""

    task: str  # "lm" predicts the next id, "classify" a kept label, "seq2seq" a target from its source
    model: str | None  # a preset, a folder or a Hub name; None with `from_run`
    from_run: str | None  # an earlier run's folder
    embeddings: str | None  # "fresh" or "keep"; None lets the tables decide
    steps: int  # optimizer steps
    batch_size: int  # blocks or records a step, over all processes
    context: int  # ids that the model sees at once; of a source and of its target as many each
    label: str | None  # the kept column to predict; None takes the only one
    seed: int
    schedule: Schedule = Schedule()
    accumulate: int = 1  # parts of a batch that a device takes one after another, for a single optimizer step
    evaluate_every: int | None = None  # steps from an evaluation on validation shards to the next; None is a tenth
    patience: int | None = None  # evaluations in a row that find nothing better before it stops; None never stops
    precision: str = "auto"  # of the arithmetic; weights are float32. "auto" is bfloat16 on GPUs that can
    freeze_body: int = 0  # steps, from the first, that train the embedding rows and the head alone
    lora: int | None = None  # rank of the adapters that are trained instead of the body
    mixture: tuple[float, ...] | None = None  # the weight of each shards folder; None is their sizes
    modality_token: bool = False  # whether a special id before each record says its modality
    privacy: Privacy | None = None  # None trains as usual
    goldfish: int | None = None  # one in so many ids is left out of the loss
    stop_memorised: float | None = None  # the share of n-grams written again above which the training ends
    restrain_ngrams: float | None = None  # by how much an n-gram may become likelier than the earlier run has it

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidConfig(f"task is {self.task!r}; expected one of {', '.join(TASKS)}")
        if self.embeddings not in (None, "fresh", "keep"):
            raise InvalidConfig(f"embeddings is {self.embeddings!r}; expected 'fresh' or 'keep'")
        if self.model is not None and self.from_run is not None:
            raise InvalidConfig("a model and an earlier run were both named; expected one of them")
        if self.embeddings == "keep" and self.from_run is None:
            raise InvalidConfig("embeddings can be kept from an earlier run only", hint="--from RUN")
        if self.label is not None and self.task != "classify":
            raise InvalidConfig(f"label {self.label!r} was named for task {self.task!r}", hint="--task classify")
        if self.precision not in PRECISIONS:
            raise InvalidConfig(f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        counts = {"steps": 1, "batch_size": 1, "context": 4, "seed": 0, "accumulate": 1, "freeze_body": 0}
        optional = {name: 1 for name in ("evaluate_every", "patience", "lora") if getattr(self, name) is not None}
        for name, low in (counts | optional).items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**31:
                raise InvalidConfig(f"{name} is {value!r}; expected an integer of at least {low}")
        if self.evaluate_every is not None and self.evaluate_every > self.steps:
            raise InvalidConfig(f"evaluate_every is {self.evaluate_every}; expected at most the {self.steps} steps")
        if self.mixture is not None and not all(isinstance(w, int | float) and 0 < w < 1e9 for w in self.mixture):
            raise InvalidConfig(f"mixture is {self.mixture}; expected weights above 0")
        if self.modality_token and self.task == "seq2seq":
            raise InvalidConfig("modality tokens stand before records of one stream; task 'seq2seq' has two")
        if self.goldfish is not None and (self.goldfish < 2 or self.task != "lm" or self.privacy is not None):
            raise InvalidConfig(
                f"goldfish is {self.goldfish!r}; expected at least 2, for task 'lm' and without an epsilon"
            )
        if self.stop_memorised is not None and (
            not 0 <= self.stop_memorised < 1 or self.task != "lm" or self.privacy is not None
        ):
            raise InvalidConfig(
                f"stop_memorised is {self.stop_memorised!r}; expected from 0 to below 1, for task 'lm' and without an "
                "epsilon"
            )
        if self.restrain_ngrams is not None:
            self._check_restrained(self.restrain_ngrams)
        if self.privacy is not None and self.mixture is not None:
            raise InvalidConfig("mixture and epsilon were both given; privacy samples all records alike")
        self.schedule.warmup_steps(self.steps)

    def _check_restrained(self, margin: float) -> None:
        if not 0 < margin < 1 or self.task != "lm" or self.privacy is not None:
            raise InvalidConfig(
                f"restrain_ngrams is {margin!r}; expected between 0 and 1, for task 'lm' and without an epsilon"
            )
        if self.from_run is None:
            raise InvalidConfig("restrain_ngrams compares with an earlier run, and none was named", hint="--from RUN")
