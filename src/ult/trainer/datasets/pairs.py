"""Samples of task "seq2seq": a source to read and a target to write, from two lots of shards whose rows go together.

Both lots are packed alike, the targets in a folder inside that of the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig, TrainingError
from ult.public.shards import Shards
from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import Item
from ult.trainer.datasets.packing import Stream, mapped_stream, open_shards

TARGETS = "targets"  # a folder


def open_targets(
    paths: str | Path | Sequence[str | Path] | None,
    sources: Sequence[Shards],
    *,
    task: str,
    option: str = "--targets",
) -> list[Shards]:
    """Open the shards whose rows go with those of `sources`, folder by folder; none for any task but "seq2seq".

    Raises `InvalidConfig`, `WrongVocabulary`, or `TrainingError` if there are not as many records.
    """
    if task != "seq2seq" or not sources:
        if paths is not None:
            why = f"task {task!r} has no targets" if sources else "there are no sources for them"
            raise InvalidConfig(f"shards of targets were named, but {why}", hint=f"leave out {option}")
        return []
    if paths is None:
        raise InvalidConfig(
            "task 'seq2seq' learns targets from sources; no targets were named", hint=f"{option} SHARDS"
        )
    targets = open_shards(paths, sources[0].vocabulary)
    if len(targets) != len(sources):
        raise InvalidConfig(f"{len(targets)} shards of targets were named for {len(sources)} of sources", hint=option)
    for source, target in zip(sources, targets, strict=True):
        if source.manifest.rows != target.manifest.rows:
            raise TrainingError(
                f"{target.path} holds {target.manifest.rows} records and {source.path} {source.manifest.rows}; "
                "expected a target for each source",
                hint="encode both from the same rows",
            )
    return targets


@dataclass(frozen=True, slots=True)
class Pairs:
    """Each source with an `<eos>` after it, and its target between two `<eos>`.

    Both are cut to `context` ids, the `<eos>` after them included. A target that is cut has none, for it does not end
    there.
    """

    sources: Stream  # (1 + ids + rows,) <eos> record <eos> record <eos> ...
    source_ends: NDArray[np.int64]  # (rows,) the place in the stream of the <eos> after each source
    targets: Stream
    target_ends: NDArray[np.int64]
    context: int
    label: ClassVar[None] = None
    classes: ClassVar[list[Any]] = []

    @classmethod
    def open(cls, folder: Path, *, context: int) -> Pairs:
        """Map the streams of sources, in `folder`, and of targets that `ult.trainer.datasets.packing.pack` wrote."""
        return cls(*mapped_stream(folder), *mapped_stream(folder / TARGETS), context)

    @property
    def ids(self) -> int:
        """How many ids a pass reads and predicts, `<eos>` included."""
        return int(np.minimum(_lengths(self.source_ends), self.context).sum() + self.counts.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return how many ids (rows,) of each target are predicted, its `<eos>` included."""
        return np.minimum(_lengths(self.target_ends), self.context)

    @property
    def truncated(self) -> int:
        """How many pairs have a source or a target that is longer than the context holds."""
        longest = np.maximum(_lengths(self.source_ends), _lengths(self.target_ends))
        return int((longest > self.context).sum())

    @property
    def longest(self) -> int:
        """The context that would hold every pair whole."""
        return int(max(_lengths(self.source_ends).max(), _lengths(self.target_ends).max()))

    @property
    def whole(self) -> bool:
        """Whether every id of the targets is predicted."""
        return bool((_lengths(self.target_ends) <= self.context).all())

    def __len__(self) -> int:
        return len(self.source_ends)

    def __getitem__(self, k: int) -> Item:
        source = read_source(self.source(k), self.context)
        window = np.concatenate([[EOS], self.target(k), [EOS]])[: self.context + 1].astype(np.int64)
        return {
            "input_ids": source,
            "attention_mask": np.ones(len(source), np.int64),
            "decoder_input_ids": window[:-1],
            "labels": window[1:],
        }

    def sample_of(self, row: int) -> int:
        """Return the sample that pair `row` is."""
        return row

    def records(self, k: int) -> NDArray[np.int64]:
        """Return the pair (n,) of each prediction of pair k, which is k."""
        return np.full(min(len(self.target(k)) + 1, self.context), k)

    def source(self, k: int) -> Stream:
        """Return the ids (n,) of source k, uncut."""
        return _record(self.sources, self.source_ends, k)

    def target(self, k: int) -> Stream:
        """Return the ids (n,) of target k, uncut."""
        return _record(self.targets, self.target_ends, k)


def read_source(ids: NDArray[Any], context: int) -> NDArray[np.int64]:
    """Return a source (n,) as a model reads it: at most `context` - 1 ids, then `<eos>`."""
    return np.append(ids[: context - 1], EOS).astype(np.int64)


def _record(stream: Stream, ends: NDArray[np.int64], k: int) -> Stream:
    return stream[(int(ends[k - 1]) if k else 0) + 1 : int(ends[k])]


def _lengths(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many ids (rows,) each record has, its `<eos>` included."""
    return np.diff(ends, prepend=0)
