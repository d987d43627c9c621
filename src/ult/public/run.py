"""The run folder: a Hugging Face checkpoint, `vocabulary.json`, `metrics.json` and `loss.png`.

It appears whole or not at all. Training works in a hidden folder beside it, which an interrupted run leaves behind
with its last checkpoint, so that the same command can go on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ult.errors import FormatError, InvalidConfig, OutputExists, TrainingError, WrongTable, writing
from ult.host.atomic import Claim, hidden, recover
from ult.host.disk import strangers
from ult.host.regular import check_all, read_text
from ult.public.manifest import UNTOLD, may_be_same
from ult.public.metrics import TASKS, check_metrics, read_metrics
from ult.public.published import OWNER, rejoined
from ult.public.vocabulary import EOS, Vocabulary, modality_id

if TYPE_CHECKING:
    from ult.public.shards import Shards

SHAPES = ("cosine", "linear", "constant")
WITHHELD = "withheld"  # what a run says of its embeddings if its rows stayed with the owner
_JOURNAL = "recipe.json"  # of an unfinished training
_OURS = re.compile(  # all that --force may replace, that earlier versions of libraries write included
    rf"(metrics|vocabulary|config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json|{OWNER}"
    r"|loss\.png|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|adapter/(adapter_config\.json|adapter_model\.safetensors|README\.md)|tensorboard/events\.[^/]+"
)
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


@dataclass(frozen=True, slots=True)
class Run:
    """A trained run, opened: its folder, what `metrics.json` says, and its vocabulary."""

    path: Path
    metrics: dict[str, Any]
    vocabulary: Vocabulary

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read a run folder but for its weights. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
        folder = Path(path)
        recover(folder)
        check_all(folder)
        metrics = rejoined(read_metrics(folder / "metrics.json"), folder)
        check_metrics(metrics, folder / OWNER)
        return cls(folder, metrics, Vocabulary.load(folder / "vocabulary.json"))

    @property
    def task(self) -> str:
        """What the run was trained for: one of `TASKS`."""
        return str(self.metrics["task"])

    def digest(self) -> str:
        """Return the SHA-256 of all that decides what the run predicts, by which an audit says what it looked at.

        That is the weights, `config.json`, the vocabulary, and what `metrics.json` says of how records are read; not
        `generation_config.json`, which is never asked. Raises `FormatError`.
        """
        names = ("task", "context", "classes", "label", "modality_token")
        read = {name: self.metrics.get(name) for name in names} | {"alone": self.alone}
        try:
            config = json.loads(read_text(self.path / "config.json", 2**24))
            weights = {}
            for path in sorted(self.path.glob("*.safetensors")):
                with path.open("rb") as file:
                    weights[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        except FormatError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{self.path} has no config.json or weights that can be read") from error
        if "model.safetensors" not in weights:
            raise FormatError(f"{self.path} has no model.safetensors")
        what = {"weights": weights, "config": config, "vocabulary": self.vocabulary.size, "read": read}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def withheld(self) -> bool:
        """Whether the run has no embedding rows, for they stayed with the owner."""
        return self.metrics.get("embeddings") == WITHHELD

    @property
    def context(self) -> int:
        """How many ids the model saw at once in training."""
        return int(self.metrics["context"])

    @property
    def classes(self) -> list[Any]:
        """The labels that the run can tell apart, sorted; empty but for "classify"."""
        return list(self.metrics["classes"])

    @property
    def modality_token(self) -> bool:
        """Whether a special id before each record said its modality."""
        return bool(self.metrics.get("modality_token"))

    @property
    def alone(self) -> bool:
        """Whether, in task "lm", the model saw each record by itself, as a promise of privacy needs it."""
        return self.metrics.get("privacy") is not None

    def head(self, modality: str | None = None) -> list[int]:
        """Return the ids that stand before a record: `<eos>`, then that of its modality if the run has seen them.

        None is the only modality of the run's shards. Raises `InvalidConfig` for one that they do not have.
        """
        if not self.modality_token:
            return [EOS]
        known = {shards["codec"].partition("/")[0] for shards in self.metrics["shards"]}
        if modality is None and len(known) > 1:
            raise InvalidConfig(f"{self.path} knows {', '.join(sorted(known))}; expected one of them", hint="--table T")
        if modality is not None and modality not in known:
            raise InvalidConfig(f"{self.path} was trained on {', '.join(sorted(known))}, not on {modality}")
        return [EOS, modality_id(modality or min(known))]

    @property
    def tables(self) -> set[str]:
        """Fingerprints of the tables whose shards the run was trained on; `UNTOLD` for one that it does not name."""
        return {shards["table"] for shards in [*self.metrics["shards"], *self.metrics.get("targets", [])]}

    @property
    def names_tables(self) -> bool:
        """Whether the run says which tables its shards were of; a released one may not, to keep its promise."""
        return UNTOLD not in self.tables

    @property
    def trained_on(self) -> list[str] | None:
        """The digests of all shards that the run, and those before it, were trained on; None if not all are known."""
        own = [lot.get("digest") for lot in [*self.metrics["shards"], *self.metrics.get("targets", [])]]
        before = self.metrics.get("trained_before", None if self.metrics.get("from_run") else [])
        return None if before is None or not all(own) else sorted({*own, *before})

    def check_shards(self, shards: Shards) -> None:
        """Raise `WrongTable` unless the shards are, or may be, of a table that the run was trained on."""
        if not any(may_be_same(shards.manifest.table, table) for table in self.tables):
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; the run was trained on "
                f"{', '.join(sorted(self.tables))}",
                hint="shards of the run's own table",
            )

    def check_only_table(self, fingerprint: str, *, hint: str) -> None:
        """Raise `WrongTable` unless this is, or may be, the table of all shards that the run was trained on."""
        if not all(may_be_same(fingerprint, table) for table in self.tables):
            raise WrongTable(
                f"{self.path} was trained on shards of table {', '.join(sorted(self.tables))}; {fingerprint} was given",
                hint=hint,
            )


def check_free(out: Path, *, force: bool) -> None:
    """Raise `OutputExists` if `out` is there, unless it is a run, holds nothing else, and `force` is set."""
    recover(out)
    if not os.path.lexists(out):
        return
    if not all((out / name).is_file() for name in ("metrics.json", "vocabulary.json")):
        raise OutputExists(f"{out} exists already, and is no run", hint="another --out")
    if not force:
        raise OutputExists(f"{out} exists already", hint="another --out, or --force to replace it")
    if others := strangers(out, _OURS):
        raise OutputExists(f"{out} holds {others[0]}, which is no part of a run", hint="move it, or another --out")


def partial_folder(out: Path) -> Path:
    """Return the hidden folder in which the training of `out` works."""
    return hidden(out)


@contextmanager
def working_folder(
    out: Path, recipe: Recipe, data: dict[str, list[dict[str, Any]]], *, resume: bool, force: bool
) -> Iterator[Path]:
    """Give the folder to work in, new or (with `resume`) the one left behind by the very same command.

    `data` are the summaries of its shards, by what they are for.
    After an error or an interrupt it stays only if it holds a checkpoint to resume from.
    Raises `OutputExists` if the run or an unfinished one is there or another process works on it, `TrainingError` if
    there is nothing to resume.
    """
    partial = partial_folder(out)
    if resume and force:
        raise InvalidConfig("resume and force were both given; expected one of them")
    check_free(out, force=force)
    options = asdict(recipe)
    way = options.pop("schedule")
    options |= {"schedule": way.pop("shape"), **way}  # by the names that users know
    asked = json.loads(json.dumps({"recipe": options, "data": data}))
    with Claim(out, journal=_JOURNAL) as claim:
        there = claim.keep = (partial / _JOURNAL).exists()
        check_free(out, force=force)
        if resume:
            _check_same(partial, asked, out)
        elif there and not force:
            raise OutputExists(
                f"an unfinished training of {out} is there", hint="--resume to go on, --force to start again"
            )
        else:
            with writing(out):
                claim.clear()
                (partial / _JOURNAL).write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
        claim.keep = False
        try:
            yield partial
        except BaseException as error:
            if last_checkpoint(partial) is not None:
                claim.keep = True
                error.add_note("the last checkpoint is kept: the same command with --resume goes on from it")
            raise


def _check_same(partial: Path, asked: dict[str, Any], out: Path) -> None:
    try:
        before = json.loads((partial / _JOURNAL).read_text(encoding="utf-8"))
        changed = [name for part in asked for name in asked[part] if before[part][name] != asked[part][name]]
    except FileNotFoundError as error:
        raise TrainingError(f"no unfinished training of {out} to resume", hint="leave out --resume") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"the unfinished training of {out} is damaged", hint="--force to start again") from error
    if changed:
        raise TrainingError(
            f"the unfinished training of {out} was started with other {', '.join(changed)}",
            hint="the same options, or --force to start again",
        )


def last_checkpoint(partial: Path) -> Path | None:
    """Return the newest whole checkpoint in `partial`, removing torn ones; None if there is none.

    The trainer writes `trainer_state.json` last, so a checkpoint where it can be read is whole.
    """
    for folder in sorted(partial.glob("checkpoint-*"), key=lambda f: int(f.name.partition("-")[2]), reverse=True):
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
            return folder
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
    return None


def finish(partial: Path, out: Path, *, force: bool) -> None:
    """Turn `partial / "run"` into `out`, for whoever holds `partial`."""
    check_free(out, force=force)
    Claim(out).publish(partial / "run", owners=(OWNER,))
