"""A group: the body that its owners train together, and the plan that they agreed on. It holds no embedding rows."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, MissingSource, writing
from ult.host.atomic import Claim, recover
from ult.host.disk import strangers
from ult.host.extras import require
from ult.host.free import Kind, check_free
from ult.host.regular import check_all, read_text
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary, check_format
from ult.trainer.federated.body import Body, Shapes, body_of, check, digest, put, read, shapes_of, weights
from ult.trainer.federated.plan import Plan
from ult.trainer.models import prompted  # noqa: F401  a kind of body that transformers has to know
from ult.trainer.models.checkpoint import GROUP, check_checkpoint
from ult.trainer.models.embeddings import Model, row_names
from ult.trainer.models.load import load_checkpoint, load_trained, load_withheld
from ult.trainer.models.presets import PRESETS, from_preset_to_predict
from ult.trainer.workdir import OURS as OF_RUNS
from ult.trainer.workdir import save

with require("torch", "transformers", extra="train"):
    import torch
    import transformers

FORMAT = "ult-group/1"
OWNERS = "owners"  # the folder of a simulated group that holds its owners' runs
_WEIGHTS = "model.safetensors"
_LEAST = 512  # ids of the vocabulary that a body is drawn beside; no owner needs to have it


@dataclass(frozen=True, slots=True)
class Group:
    """A group's folder, opened: its plan, what it began with, and what it says of its body."""

    path: Path
    plan: Plan
    told: dict[str, Any]  # what group.json says

    @classmethod
    def open(cls, path: str | Path) -> Group:
        """Read a group and check its body. Raises `MissingSource`, `FormatError` or `NewerFormat`."""
        folder = Path(path)
        recover(folder)
        check_all(folder)
        try:
            told = json.loads(read_text(folder / GROUP, 2**20))
        except (FileNotFoundError, NotADirectoryError):
            raise MissingSource(f"{folder} is no group: it has no {GROUP}", hint="ult federate init") from None
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{folder / GROUP} is not JSON") from error
        check_format(told, FORMAT, folder / GROUP)
        try:
            plan = Plan(**told["plan"])
            body = read(folder / _WEIGHTS)
            right = told["body"] == digest(body)
        except (KeyError, TypeError, InvalidConfig) as error:
            raise FormatError(f"{folder / GROUP} says nothing that a group says", hint="docs/format.md") from error
        if not right:
            raise FormatError(f"{folder / _WEIGHTS} is not the body that {GROUP} beside it names, or is damaged")
        check_checkpoint(transformers.AutoModelForCausalLM, folder)
        check(body, _shapes(transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)), str(folder))
        return cls(folder, plan, told)

    @property
    def digest(self) -> str:
        """The SHA-256 of what the group says, the digest of its body among it: it names the group in other files."""
        return hashlib.sha256(json.dumps(self.told, sort_keys=True).encode()).hexdigest()

    def body(self) -> Body:
        """Return the body. Raises `FormatError`."""
        return read(self.path / _WEIGHTS)

    def shapes(self) -> Shapes:
        """Return the names and shapes of the body, which are all that a message may carry."""
        return shapes_of(self.body())


def is_group(folder: Path) -> bool:
    """Return whether a folder holds a group."""
    return (folder / GROUP).is_file() and (folder / _WEIGHTS).is_file()


_OURS = re.compile(rf"{GROUP}|config\.json|generation_config\.json|{_WEIGHTS}|{OWNERS}/\d+/({OF_RUNS.pattern})")
KIND = Kind("a group", is_group, partial(strangers, ours=_OURS))


def write(folder: Path, model: Model, body: Body, told: dict[str, Any], out: Path) -> None:
    """Write the files of a group into a new folder, which will be `out`; `model` gives its config alone."""
    with writing(out):
        folder.mkdir(exist_ok=True)
    put(model, body)
    rows = row_names(model)
    save(model, folder, out, {name: weight for name, weight in model.state_dict().items() if name not in rows})
    told = {"format": FORMAT, **told, "weights": weights(shapes_of(body)), "body": digest(read(folder / _WEIGHTS))}
    with writing(out):
        (folder / GROUP).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def begin(start: str, plan: Plan, out: str | Path, *, seed: int = 0, force: bool = False) -> Group:
    """Write a group that begins with the body of `start`: a preset, drawn by `seed`, or a run; return it, opened.

    No owner's vocabulary matters to it. Raises `InvalidConfig` for a model whose body depends on the vocabulary,
    `MissingSource`, `FormatError`, `OutputExists` or `OutputError`.
    """
    out = Path(out)
    check_free(out, KIND, force=force)
    model, origin = _start(start, seed)
    _check_apart(model, start)
    with Claim(out) as claim:
        folder = claim.folder / "group"
        write(folder, model, body_of(model), {"plan": asdict(plan), **origin}, out)
        check_free(out, KIND, force=force)
        claim.publish(folder)
    return Group.open(out)


def model_of(group: Group) -> Model:
    """Return a model with the group's body, and rows that mean nothing."""
    return load_checkpoint(group.path, rows=False)


def _start(start: str, seed: int) -> tuple[Model, dict[str, Any]]:
    if start in PRESETS:
        transformers.set_seed(seed)
        return from_preset_to_predict(start, Vocabulary(_LEAST)), {"model": start, "seed": seed, "from_run": None}
    if not Path(start).is_dir():
        raise InvalidConfig(f"{start!r:.80} is no preset and no run", hint=f"one of {', '.join(PRESETS)}, or a run")
    run = Run.open(start)
    run.check_single()
    if run.task != "lm" or run.per_table:
        raise InvalidConfig(
            f"{run.path} has rows per table or was trained for {run.task}; expected a run of one table for lm",
            hint="ult attach RUN --shards SHARDS -o RUN2 takes one table's rows",
        )
    model = load_withheld(run) if run.withheld else load_trained(run).cpu()
    return model, {"model": None, "seed": None, "from_run": run.path.name, "from_digest": run.digest()}


def _check_apart(model: Model, name: str) -> None:
    """Raise `InvalidConfig` for a model that has weights of ids beside its rows, such as a bias of its head."""
    config = type(model.config).from_dict(model.config.to_dict() | {"vocab_size": model.config.vocab_size + 8})
    if _shapes(model.config) != _shapes(config):
        raise InvalidConfig(
            f"{name} is a {model.config.model_type} model, whose body depends on the vocabulary", hint="tiny or small"
        )


def _shapes(config: Any) -> Shapes:
    """Return the names and shapes of the body of a model of this config: all of its weights but rows."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    rows = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {f"{name}.weight" for name, layer in model.named_modules() if layer is not None and layer in rows}
    return {name: (*weight.shape,) for name, weight in model.state_dict().items() if name not in names}
