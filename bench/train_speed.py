"""Ids per second of `ult train` beside a bare Hugging Face script: one model, one packed stream, one batch size.

The two are trained in turns, in an order that alternates, `--pairs` times; what counts is the ratio within a pair. The
bare script has its blocks in memory as tensors and lets the model compute its loss; it logs and saves as often.
On a GPU, if there is one, both use it in bfloat16; else one thread of the CPU, whose time is what counts then.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from session import write
from timing import compared

from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.models.presets import from_preset
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

SIZE = 8192


class Clock(transformers.TrainerCallback):
    """Seconds from the end of the first step to the end of the last; waits for the GPU at both."""

    started = 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in (1, state.max_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter(), time.process_time()
            self.wall, self.cpu = (now[i] - self.started[i] for i in (0, 1)) if state.global_step > 1 else (0.0, 0.0)
            if state.global_step == 1:
                self.started = now


def write_shards(folder: Path, ids: int) -> Path:
    rng = np.random.default_rng(0)
    with ShardWriter(
        folder / "shards", vocabulary=Vocabulary(SIZE), table="0" * 32, codec="text/bytes", column="text"
    ) as out:
        for _ in range(-(-ids // 100_000)):
            out.write(list(rng.integers(32, SIZE, (500, 200), dtype=np.uint32)), 300_000)
    return folder / "shards"


def ours(shards: Path, out: Path, given: argparse.Namespace) -> Clock:
    clock: Clock = Clock()
    initialize: Any = transformers.Trainer.__init__

    def with_clock(self: Any, *args: Any, callbacks: list[Any], **options: Any) -> None:
        initialize(self, *args, callbacks=[*callbacks, clock], **options)

    transformers.Trainer.__init__ = with_clock  # type: ignore[assignment]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            train(
                shards,
                out,
                Recipe(model=given.model, steps=given.steps, batch_size=given.batch_size, context=given.context),
            )
    finally:
        transformers.Trainer.__init__ = initialize  # type: ignore[method-assign]
    return clock


def bare(blocks: list[dict[str, torch.Tensor]], out: Path, given: argparse.Namespace) -> Clock:
    clock, cuda = Clock(), torch.cuda.is_available()
    transformers.set_seed(0)
    trainer = transformers.Trainer(
        model=from_preset(given.model, Vocabulary(SIZE)),
        args=transformers.TrainingArguments(
            output_dir=str(out),
            max_steps=given.steps,
            per_device_train_batch_size=given.batch_size,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            weight_decay=0.1,
            bf16=cuda,
            dataloader_pin_memory=cuda,
            save_steps=max(1, given.steps // 10),
            save_total_limit=1,
            logging_steps=max(1, given.steps // 100),
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=blocks,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return clock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--context", type=int, default=128)
    given = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, dict[str, list[float]]] = {
        kind: {"ult train": [], "bare Trainer": []} for kind in ("wall", "CPU")
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        shards = write_shards(here, 2 * given.steps * given.batch_size * given.context)
        pack(open_shards(shards), here / "packed")
        packed = Blocks.open(here / "packed", context=given.context)
        tensors = [torch.from_numpy(packed[k]["input_ids"]) for k in range(len(packed) - 1)]
        blocks = [{"input_ids": tensor, "labels": tensor} for tensor in tensors]
        for pair in range(-1, given.pairs):  # the first is not counted
            out = here / f"{pair}"
            both: dict[str, Callable[[], Clock]] = {
                "ult train": functools.partial(ours, shards, out, given),
                "bare Trainer": functools.partial(bare, blocks, here / "hf", given),
            }
            done = {name: both[name]() for name in sorted(both, reverse=bool(pair % 2))}
            shutil.rmtree(here / "hf")
            for name in both if pair >= 0 else ():
                seconds["wall"][name].append(done[name].wall)
                seconds["CPU"][name].append(done[name].cpu)
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else "CPU, one thread"
    about = f"{given.model}, {given.batch_size} x {given.context} ids, {given.steps} steps, {device}"
    ids = (given.steps - 1) * given.batch_size * given.context
    metrics = [
        compared(f"train, {kind} time: {about}", seconds[kind], "ult train", ["bare Trainer"], amount=ids, unit="ids",
                 n=given.pairs, goal="at least 1.3")
        for kind in (("wall",) if cuda else ("CPU",))
    ]  # fmt: skip
    place = "cuda" if cuda else "cpu"
    write("train-speed", "Speed of training", metrics, __doc__, command="python bench/train_speed.py", device=place)


if __name__ == "__main__":
    main()
