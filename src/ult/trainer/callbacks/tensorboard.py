"""Write curves for TensorBoard while a model trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ult.host.extras import require
from ult.trainer.callbacks.early_stopping import METRIC

with require("transformers", extra="train"):
    from transformers import TrainerCallback

FOLDER = "tensorboard"  # in the run; while it trains, in its hidden working folder
NAMES = {  # of each curve, by that in the log of a trainer
    "loss": "training/loss",
    "grad_norm": "training/gradient norm",
    "learning_rate": "training/learning rate",
    METRIC: "validation/bits",
}


class TensorBoard(TrainerCallback):
    """Writes numbers alone: neither options nor paths of the training. Raises `MissingExtra`."""

    def __init__(self, folder: Path) -> None:
        with require("tensorboard", extra="tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self.folder, self.kind = folder, SummaryWriter
        self.writer: SummaryWriter | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open a file on the main process; it hides points that an interrupted training wrote after its checkpoint."""
        if state.is_world_process_zero:
            self.writer = self.kind(str(self.folder), purge_step=state.global_step + 1 if state.global_step else None)

    def on_log(self, args: Any, state: Any, control: Any, **told: Any) -> None:
        """Write the next point of each curve, visible at once."""
        logs: dict[str, float] = told["logs"]
        if self.writer is not None:
            for name in NAMES.keys() & logs.keys():
                self.writer.add_scalar(NAMES[name], logs[name], state.global_step)
            self.writer.flush()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file if it is open."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None
