"""What one owner does in a round: train from the group's body for some steps, and tell how the body changed.

The whole training of an owner is one training of rounds x local steps: one optimizer, one schedule of the learning
rate, one order of its records and one account of epsilon. It pauses at the end of each round, in a checkpoint, and goes
on with the body that the group made of all changes. So an owner that is killed in a round begins that round again and
tells the very same change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ult.errors import TrainingError
from ult.host.extras import require
from ult.trainer.federated.body import Body, put, read, shapes_of
from ult.trainer.models.embeddings import draw_rows_in_secret
from ult.trainer.workdir import last_checkpoint, partial_folder

with require("transformers", extra="train"):
    from transformers import TrainerCallback


class RoundDone(BaseException):
    """The steps of a round are done, and their checkpoint is written."""


class Exchange(TrainerCallback):
    """Begins a round with the group's body, and ends the training, for now, at the round's last step."""

    def __init__(self, body: Body | None, first: int, last: int, *, seeded: bool) -> None:
        self.body, self.first, self.last, self.seeded = body, first, last, seeded

    def on_train_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Take over the body, and draw the first rows if no seed does.

        Raises `TrainingError` if the training stands at another step than the group.
        """
        if state.global_step != self.first:
            raise TrainingError(
                f"this owner's training stands at step {state.global_step}, the group at {self.first}",
                hint="a server that began again has a new group: ult federate init, and another --out",
            )
        if self.body is not None:
            put(told["model"], self.body)
        if self.first == 0 and not self.seeded:
            draw_rows_in_secret(told["model"])

    def on_save(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Raise `RoundDone` if that was the round's last step."""
        if state.global_step == self.last > self.first:
            raise RoundDone


@dataclass(frozen=True, slots=True)
class Round:
    """What a training of an owner is told of the round: its body and steps, and what `metrics.json` is to say."""

    body: Body | None  # None to go on with the body that the training has
    first: int  # the step that the round begins after
    last: int  # its last step; `first` once all rounds are done: the training then goes on to its end, alone
    told: dict[str, Any] = field(default_factory=dict)
    seeded: bool = True  # whether the recipe's seed draws the rows that the training begins with

    def tell(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return what `metrics.json` says; of rows that no seed draws there is no digest that could be had again."""
        kept = {name: value for name, value in metrics.items() if self.seeded or name != "initial_digest"}
        return kept | self.told

    def callback(self) -> Exchange:
        """Return what takes part in the training."""
        return Exchange(self.body, self.first, self.last, seeded=self.seeded)


def steps_done(out: Path) -> int:
    """Return the step of the last checkpoint of an owner's unfinished training; 0 if there is none."""
    found = last_checkpoint(partial_folder(out))
    return 0 if found is None else int(found.name.partition("-")[2])


def checkpoint(out: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step of an owner's unfinished training."""
    return partial_folder(out) / f"checkpoint-{step}"


def change_since(body: Body, out: Path, step: int) -> Body:
    """Return how an owner changed a body up to the checkpoint of a step. Raises `FormatError`."""
    after = read(checkpoint(out, step) / "model.safetensors", shapes_of(body))
    return {name: after[name] - body[name] for name in body}
