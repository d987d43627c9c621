"""Let a run write records, as ids; what they say only the owner's table can tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.errors import CorruptSymbols, InvalidConfig, MissingExtra, TrainingError
from ult.model import load_trained
from ult.run import Run
from ult.shards import ShardWriter
from ult.vocabulary import EOS, N_SPECIAL, PAD

try:
    import torch
except ImportError as missing:
    raise MissingExtra("torch", extra="train") from missing

_NEVER = [i for i in range(N_SPECIAL) if i != EOS]  # a record holds no special id


def generate(
    run: str | Path,
    *,
    n: int,
    prompt_ids: ArrayLike | None = None,
    max_new: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    modality: str | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> list[NDArray[np.uint32]]:
    """Return `n` records as ids (length,) uint32, each starting with `prompt_ids`, without special ids.

    A record starts after `<eos>`, as in training, and ends before the next or after `max_new` ids; by default, and at
    most, the run's context is filled. A run with modality tokens writes records of `modality`, by default of the only
    one that it knows. Temperature 0 takes the likeliest id each time. The same arguments give the
    same ids on one machine; another `batch_size` draws others. Raises `InvalidConfig` or `TrainingError`.
    """
    opened = Run.open(run)
    if opened.task != "lm":
        raise TrainingError(
            f"run {opened.path} was trained to classify; it cannot generate", hint="ult train --task lm"
        )
    prompt = _prompt([] if prompt_ids is None else prompt_ids, opened.vocabulary.size)
    head = opened.head(modality)
    room = opened.context - len(head) - len(prompt)
    max_new = room if max_new is None else max_new
    if not 1 <= max_new <= room:
        raise InvalidConfig(
            f"{max_new} ids to write after a prompt of {len(prompt)}; the run's context leaves room for {max(room, 0)}",
            hint="fewer ids, or a run trained with a longer --context",
        )
    _check(n=n >= 1, batch_size=batch_size >= 1, temperature=temperature >= 0)
    _check(top_k=top_k is None or top_k >= 1, top_p=top_p is None or 0 < top_p <= 1)
    model = load_trained(opened)
    start = torch.from_numpy(np.concatenate([head, prompt])).to(model.device)
    records: list[NDArray[np.uint32]] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        while len(records) < n:
            batch = start.expand(min(batch_size, n - len(records)), -1)
            written = model.generate(
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                max_new_tokens=max_new,
                do_sample=temperature > 0,
                temperature=temperature or None,
                top_k=top_k or 0,  # None would mean transformers' own default, 50
                top_p=1.0 if top_p is None else top_p,
                suppress_tokens=_NEVER,
                eos_token_id=EOS,
                pad_token_id=PAD,
                use_cache=True,
            )
            records += [_record(row) for row in written[:, len(head) :].cpu().numpy()]
    return records


def write_generated(
    run: str | Path, records: Sequence[NDArray[np.uint32]], out: str | Path, *, force: bool = False
) -> None:
    """Write generated records as a shards folder that the owner of the run's table can decode.

    Raises `TrainingError` if the run was trained on several tables: no one table decodes its ids.
    """
    opened = Run.open(run)
    sources = {(s["table"], s["codec"], s["column"]) for s in opened.metrics["shards"]}
    if len(opened.tables) != 1:
        raise TrainingError(
            f"run {opened.path} was trained on {len(opened.tables)} tables; expected one to decode with"
        )
    table, codec, column = min(sources)
    with ShardWriter(out, vocabulary=opened.vocabulary, table=table, codec=codec, column=column, force=force) as writer:
        writer.write(records, nbytes=0)


def _check(**right: bool) -> None:
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise InvalidConfig(f"{', '.join(wrong)} out of range; expected n, batch_size, top_k from 1, top_p from 0 to 1")


def _prompt(ids: ArrayLike, size: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "ui"):
        raise CorruptSymbols(f"prompt ids are {array.dtype} {array.shape}; expected integers (n,)")
    if array.size and not N_SPECIAL <= int(array.min()) <= int(array.max()) < size:
        raise CorruptSymbols(f"a prompt id is outside {N_SPECIAL} to {size - 1}")
    return array.astype(np.int64)


def _record(row: NDArray[np.int64]) -> NDArray[np.uint32]:
    ends = np.flatnonzero(row == EOS)
    return row[: ends[0] if len(ends) else len(row)].astype(np.uint32)
