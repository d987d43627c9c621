"""Ids per second of writing beside the own loop of `transformers`: one model, one thread, as many records at once.

The bare loop is `model.generate`, with sampling, its cache of keys and values, and nothing forbidden. Ours draws from
the same model, writes no special ids, and holds each record to the grammar of the owner's table, so that all that it
writes decodes; it loads the model each time. The model has seen little. A record that ends early counts for the ids
it has, on both sides.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from session import write
from timing import compared

import ult
from ult.owner.constrained import TableGrammar
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import BOS, EOS, PAD
from ult.trainer.generate import generate
from ult.trainer.models.together import load_predictor
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

SIZE, CONTEXT, NEW, STEPS, ROUNDS = 8192, 256, 200, 30, 5
BATCHES = {1: 12, 32: 2}  # records at once, and how often in a round
GOAL = "at least 0.8"


def main() -> None:
    """Write records with both, in turns."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        table, run = trained(Path(folder))
        metrics = [metric for batch in BATCHES for metric in written(table, run, batch)]
    write("generate-speed", "Speed of writing", metrics, __doc__, command="python bench/generate_speed.py")


def trained(folder: Path) -> tuple[ult.Table, Run]:
    """Return a table of words drawn at random, and a run on records of them."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(6000)])
    records = [" ".join(rng.choice(words, 100)) for _ in range(1000)]
    table = ult.Table.fit(records, codec="text/bytes", vocabulary=ult.Vocabulary(SIZE), min_records=1)
    about = {"vocabulary": table.vocabulary, "table": table.fingerprint, "codec": "text/bytes", "column": "text"}
    with ShardWriter(folder / "shards", **about) as shards:
        shards.write(table.encode_batch(records), sum(map(len, records)))
    train(folder / "shards", folder / "run", Recipe(model="tiny", steps=STEPS, batch_size=8, context=CONTEXT))
    return table, Run.open(folder / "run")


def written(table: ult.Table, run: Run, batch: int) -> list[dict[str, Any]]:
    """Compare writing of `batch` records at once, with the grammar and without it."""
    model, grammar = load_predictor(run), TableGrammar(table)
    start = torch.full((batch, 1), EOS)

    def bare(seed: int) -> int:
        torch.manual_seed(seed)
        written = 0
        for _ in range(BATCHES[batch]):
            made = model.generate(
                start, attention_mask=torch.ones_like(start), do_sample=True, top_k=0, max_new_tokens=NEW,
                use_cache=True, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
            )  # fmt: skip
            written += int((((made[:, 1:] == EOS).int().cumsum(1)) == 0).sum())
        return written

    def ours(seed: int, **asked: Any) -> int:
        return sum(map(len, generate(run, n=batch * BATCHES[batch], max_new=NEW, batch_size=batch, seed=seed, **asked)))

    kinds: dict[str, Callable[[int], int]] = {
        "ult generate": lambda seed: ours(seed, grammar=grammar),
        "ult generate, no grammar": ours,
        "transformers": bare,
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}  # of an id
    for k in range(-1, ROUNDS):
        for name in sorted(kinds, reverse=bool(k % 2)):
            began = time.process_time()
            ids = kinds[name](k)
            if k >= 0:
                seconds[name].append((time.process_time() - began) / ids)
    what = f"write, {batch} record{'s' * (batch > 1)} at once, tiny, {SIZE} ids"
    return [
        compared(what, seconds, ours, ["transformers"], amount=1, unit="ids", n=batch * ROUNDS, goal=goal)
        for ours, goal in (("ult generate", GOAL), ("ult generate, no grammar", ""))
    ]


if __name__ == "__main__":
    main()
