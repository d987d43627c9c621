"""Send curves to Weights & Biases while a model trains, or keep them for `wandb sync`: numbers, and nothing beside."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.callbacks.tensorboard import NAMES

with require("transformers", extra="train"):
    from transformers import TrainerCallback

FOLDER = "wandb"  # in the run, of a training that was not connected; while it trains, in its hidden working folder
_ID = "id"  # a file there: the name of the run among the user's others, which a resumed training goes on with
_QUIET: dict[str, Any] = {  # nothing of the machine, the command or the source, of which wandb sends much by itself
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "program": "",
    "program_relpath": "",
    "host": "",
    "username": "",
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}


class WeightsAndBiases(TrainerCallback):
    """Sends numbers alone: neither options nor paths of the training. Raises `MissingExtra`.

    WANDB_PROJECT, WANDB_ENTITY, WANDB_NAME and WANDB_MODE say where to, as in any program; the project is `ult`.
    """

    def __init__(self, folder: Path) -> None:
        with require("wandb", extra="wandb"):
            import wandb
        self.folder, self.wandb = folder, wandb
        self.run: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open a run on the main process, or that of the training which this one resumes. Raises `InvalidConfig`."""
        if not state.is_world_process_zero:
            return
        kept = self.folder / FOLDER / _ID
        name = kept.read_text(encoding="utf-8") if kept.is_file() else secrets.token_hex(4)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(name, encoding="utf-8")
        try:
            self.run = self.wandb.init(
                project=os.environ.get("WANDB_PROJECT", "ult"),
                id=name,
                resume="allow",
                dir=str(self.folder),
                settings=self.wandb.Settings(**_QUIET),
            )
        except (self.wandb.errors.Error, OSError) as error:
            raise InvalidConfig(
                f"wandb does not take the curves: {type(error).__name__}", hint="wandb login, or WANDB_MODE=offline"
            ) from error

    def on_log(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Send the next point of each curve."""
        logs: dict[str, float] = told["logs"]
        if self.run is not None:
            self.run.log({NAMES[name]: logs[name] for name in NAMES.keys() & logs.keys()}, step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Send what is left."""
        self.close()

    def close(self) -> None:
        """End the run if it is open."""
        if self.run is not None:
            self.run.finish()
            self.run = None


def offline(partial: Path) -> Iterator[Path]:
    """Yield the files that `wandb sync` reads, of a training that was not connected."""
    yield from sorted((partial / FOLDER).glob("offline-run-*/run-*.wandb"))
