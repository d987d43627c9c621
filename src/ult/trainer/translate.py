"""Find the likeliest targets of sources, as ids, by beam search with an encoder-decoder run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ult.errors import InvalidConfig, TrainingError
from ult.host.extras import require
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import EOS, N_SPECIAL
from ult.trainer.datasets.collator import collate
from ult.trainer.datasets.pairs import read_source
from ult.trainer.ids import given_ids, record_of
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import write
from ult.trainer.models.load import load_trained

with require("torch", extra="train"):
    import torch

KEPT = pa.schema([("source", pa.int64()), ("rank", pa.int64())])  # row of the source, rank among its hypotheses
SORTED = 2**13  # sources that are sorted by length at a time, so that batches hold little padding
_NEVER = [i for i in range(N_SPECIAL) if i != EOS]  # a record holds no special id

Hypotheses = list[NDArray[np.uint32]]  # of one source, the likeliest first


def translate(
    run: str | Path,
    sources: Iterable[ArrayLike],
    *,
    beams: int = 1,
    best: int = 1,
    max_new: int | None = None,
    batch_size: int = 32,
) -> list[Hypotheses]:
    """Return for each source, ids (n,), the `best` likeliest targets found, each (m,) uint32 without special ids.

    Beam search keeps `beams` beginnings at a time; with 1 it takes the likeliest id each time. It ranks targets by the
    sum of their log probabilities, the `<eos>` included. A target has at most `max_new` ids with its `<eos>`; by
    default, and at most, as many as the run's context. The model sees the first `context` - 1 ids of a source, as in
    training.

    Raises `InvalidConfig`, `CorruptSymbols` or `TrainingError`.
    """
    opened = Run.open(run)
    if opened.task != "seq2seq":
        raise TrainingError(
            f"run {opened.path} was trained for {opened.task}; it reads no sources", hint="ult train --task seq2seq"
        )
    max_new = opened.context if max_new is None else max_new
    if not 1 <= max_new <= opened.context:
        raise InvalidConfig(f"{max_new} ids to write; expected 1 to {opened.context}, the run's context")
    check_beams(beams, best, batch_size)
    read = [read_source(given_ids(ids, opened.vocabulary.size, "source"), opened.context) for ids in sources]
    model = load_trained(opened)
    return list(search(model, read, beams=beams, best=best, max_new=max_new, batch_size=batch_size))


def check_beams(beams: int, best: int, batch_size: int) -> None:
    """Raise `InvalidConfig` unless a search with `beams` beams can find `best` targets."""
    if batch_size < 1 or not 1 <= best <= beams:
        raise InvalidConfig(
            f"batch_size {batch_size}, beams {beams}, best {best}; expected at least 1 each, and as many beams as best"
        )


def search(
    model: Model, sources: Iterable[NDArray[np.int64]], *, beams: int, best: int, max_new: int, batch_size: int
) -> Iterator[Hypotheses]:
    """Yield the hypotheses of each source in order; `sources` are as `read_source` of `pairs` makes them."""
    pending: list[NDArray[np.int64]] = []
    for source in sources:
        pending.append(source)
        if len(pending) == SORTED:
            yield from _search(model, pending, beams, best, max_new, batch_size)
            pending = []
    yield from _search(model, pending, beams, best, max_new, batch_size)


def _search(
    model: Model, sources: Sequence[NDArray[np.int64]], beams: int, best: int, max_new: int, batch_size: int
) -> list[Hypotheses]:
    found: list[Hypotheses] = [[] for _ in sources]
    order = np.argsort([-len(source) for source in sources], kind="stable")
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size].tolist()
        written = write(
            model,
            _batch([sources[k] for k in numbers], model.device),
            num_beams=beams,
            num_return_sequences=best,
            do_sample=False,
            max_new_tokens=max_new,
            length_penalty=0.0,  # hypotheses are ranked by their log probability, whatever their length,
            early_stopping=False,  # and the search ends once no beginning can become a better one
            never=_NEVER,
            decoder_start_token_id=EOS,
        )
        rows = written[:, 1:].cpu().numpy()
        for place, k in enumerate(numbers):
            found[k] = [record_of(row) for row in rows[place * best : (place + 1) * best]]
    return found


def write_translated(
    run: str | Path, hypotheses: Sequence[Hypotheses], out: str | Path, *, force: bool = False
) -> None:
    """Write hypotheses as shards that the owner of the targets' table can decode.

    They stand source by source, the likeliest first; the kept columns `source` and `rank`, both from 0, say which
    hypothesis a record is. Raises `TrainingError` if the run was trained on targets of several tables, because no one
    table decodes its ids.
    """
    opened = Run.open(run)
    targets = {(s["table"], s["codec"], s["column"]) for s in opened.metrics["targets"]}
    tables = {table for table, _, _ in targets}
    if len(tables) != 1:
        raise TrainingError(f"run {opened.path} learnt targets of {len(tables)} tables; expected one to decode with")
    table, codec, column = min(targets)
    places = [(k, rank) for k, found in enumerate(hypotheses) for rank in range(len(found))]
    kept = pa.table(list(np.array(places, np.int64).reshape(-1, 2).T), schema=KEPT)
    of = {"table": table, "codec": codec, "column": column, "kept": KEPT, "written_by": opened.digest()}
    with ShardWriter(out, vocabulary=opened.vocabulary, **of, force=force) as writer:
        writer.write([ids for found in hypotheses for ids in found], nbytes=0, kept=kept)


def _batch(sources: Sequence[NDArray[np.int64]], device: torch.device) -> dict[str, torch.Tensor]:
    items = [{"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": np.array(0)} for ids in sources]
    batch = collate(items)
    return {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
