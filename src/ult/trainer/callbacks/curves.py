"""Where the curves of a training go while it runs: to TensorBoard's files, or to Weights & Biases."""

from __future__ import annotations

import shutil
from pathlib import Path

from ult.trainer.callbacks import tensorboard, wandb
from ult.trainer.callbacks.tensorboard import TensorBoard
from ult.trainer.callbacks.wandb import WeightsAndBiases

Curves = TensorBoard | WeightsAndBiases


def curve_writers(report_to: str | None, folder: Path) -> list[Curves]:
    """Return the callbacks that write curves of a training that works in `folder`. Raises `MissingExtra`."""
    if report_to is None:
        return []
    return [WeightsAndBiases(folder) if report_to == "wandb" else TensorBoard(folder / tensorboard.FOLDER)]


def copy_curves(partial: Path, run: Path) -> None:
    """Copy the curves that a training wrote in its working folder into the folder of its run."""
    if (partial / tensorboard.FOLDER).is_dir():
        shutil.copytree(partial / tensorboard.FOLDER, run / tensorboard.FOLDER, dirs_exist_ok=True)
    for path in wandb.offline(partial):
        there = run / path.relative_to(partial)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
