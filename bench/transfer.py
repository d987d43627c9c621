"""What a run on one table is worth for another: bits per byte on B's data after a few steps, from each kind of start.

    python bench/transfer.py A.run A.ult B.ult B.shards B.test.shards --steps 100 --seed 0

Tables are plain, or opened with ULT_PASSPHRASE. One JSON object a line on stdout: start, bits per byte, interval.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ult.align import align
from ult.evaluate import evaluate
from ult.model import load_trained
from ult.run import Run
from ult.table import Table
from ult.train import train
from ult.vocabulary import N_SPECIAL


def starts(run: Path, old: Table, new: Table, folder: Path, *, steps: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return the options of `ult.train.train` for each start; runs that these need are written to `folder`."""
    align(run, old, new, folder / "aligned")
    third = steps * 3 // 10
    return {
        "from scratch": {"model": Run.open(run).metrics["model"] or "tiny"},
        "random, matched in moments": {
            "from_run": changed(run, folder / "matched", matched, seed),
            "embeddings": "keep",
        },
        "rows kept": {"from_run": run, "embeddings": "keep"},
        "rows permuted": {"from_run": changed(run, folder / "permuted", permuted, seed), "embeddings": "keep"},
        "rows fresh": {"from_run": run, "embeddings": "fresh"},
        "rows fresh, body frozen first": {"from_run": run, "embeddings": "fresh", "freeze_body": third},
        "rows aligned": {"from_run": folder / "aligned"},
        "rows aligned, body frozen first": {"from_run": folder / "aligned", "freeze_body": third},
    }


def matched(model: Any, seed: int) -> None:
    """Draw every weight afresh, with the mean and deviation that its tensor had."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.copy_(weight.mean() + weight.std(correction=0) * torch.randn(weight.shape, generator=generator))


def permuted(model: Any, seed: int) -> None:
    """Give the ids one another's rows; the special ones keep theirs."""
    for weight in {layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings())}:
        order = N_SPECIAL + np.random.default_rng(seed).permutation(len(weight) - N_SPECIAL)
        weight[N_SPECIAL:] = weight[torch.from_numpy(order)].clone()


def changed(run: Path, out: Path, change: Any, seed: int) -> Path:
    """Return a copy of a run with its weights changed."""
    shutil.copytree(run, out)
    model = load_trained(Run.open(run)).cpu()
    with torch.no_grad():
        change(model, seed)
    model.save_pretrained(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("run", "old", "new", "shards", "test"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    old, new = (Table.load(path, passphrase=os.environ.get("ULT_PASSPHRASE")) for path in (given.old, given.new))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, options in starts(given.run, old, new, folder, steps=given.steps, seed=given.seed).items():
            if given.only is None or name in given.only:
                train(given.shards, folder / "run", steps=given.steps, seed=given.seed, force=True, **options)
                found = evaluate(folder / "run", given.test, batch_size=64)
                keys = ("bits_per_byte", "bits_per_byte_interval")
                print(json.dumps({"start": name, "seed": given.seed, **{key: found[key] for key in keys}}), flush=True)


if __name__ == "__main__":
    main()
