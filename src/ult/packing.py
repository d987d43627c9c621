"""Shards as a model reads them: one stream of ids cut into blocks, or one labelled record a row.

Nothing is dropped and nothing counted twice: the stream is `<eos> r1 <eos> r2 <eos> ...`, and every id after the first
is predicted exactly once, each record's `<eos>` included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.errors import InvalidConfig, MissingColumn, TrainingError, WrongVocabulary
from ult.shards import IDS, Shards
from ult.vocabulary import EOS, PAD, Vocabulary

if TYPE_CHECKING:
    import torch

IGNORED = -100  # a label that counts in no loss; torch.nn.functional.cross_entropy's own default
Item = dict[str, NDArray[np.int64]]


def open_shards(paths: str | Path | Sequence[str | Path], vocabulary: Vocabulary | None = None) -> list[Shards]:
    """Open shards folders that share one vocabulary (that of a run, if given).

    Raises `WrongVocabulary`, or `TrainingError` if there is no record.
    """
    many = [Shards(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not many:
        raise InvalidConfig("no shards folder was named; expected at least one")
    expected = vocabulary or many[0].vocabulary
    for shards in many:
        if shards.vocabulary != expected:
            owner = "the run's" if vocabulary else f"that of {many[0].path}"
            raise WrongVocabulary(
                f"{shards.path} has a vocabulary of {shards.vocabulary.size}; {owner} is {expected.size}",
                hint="encode with a table of the same --vocabulary-size",
            )
    if not sum(shards.manifest.rows for shards in many):
        raise TrainingError(f"no record in {', '.join(str(shards.path) for shards in many)}")
    return many


def summary(many: Sequence[Shards]) -> list[dict[str, Any]]:
    """Return, as JSON values, what a result says about the shards it rests on."""
    keys = ("table", "codec", "column", "rows", "ids", "bytes")
    return [{"name": s.path.name, **{key: getattr(s.manifest, key) for key in keys}} for s in many]


@dataclass(frozen=True, slots=True)
class Blocks:
    """The stream of all records, cut into blocks of `context` predictions; the last may be shorter.

    Block k reads `stream[k * context :][:context]` and predicts the ids one further on, so its first prediction
    rests on the last id of the block before.
    """

    stream: NDArray[np.int32]  # (1 + ids + rows,) starts with <eos>, which nobody predicts
    ends: NDArray[np.int64]  # (rows,) where in the predictions each record's end, past its <eos>
    context: int
    label: ClassVar[None] = None
    classes: ClassVar[list[Any]] = []
    truncated: ClassVar[int] = 0

    @classmethod
    def of(cls, many: Sequence[Shards], *, context: int) -> Blocks:
        """Read every record of `many`, in order."""
        tables = [table for shards in many for table in shards.parts()]
        lengths = np.concatenate([_lengths(table) for table in tables])
        ends = np.cumsum(lengths + 1)
        stream = np.full(1 + int(ends[-1]), EOS, np.int32)
        is_id = np.ones(len(stream), bool)
        is_id[0] = is_id[ends] = False
        stream[is_id] = np.concatenate([_flat(table) for table in tables])
        return cls(stream, ends, context)

    @property
    def ids(self) -> int:
        """How many ids a pass reads and predicts: those of every record and an `<eos>` each."""
        return len(self.stream) - 1

    def __len__(self) -> int:
        return -(-self.ids // self.context)

    def __getitem__(self, k: int) -> Item:
        window = self.stream[k * self.context : (k + 1) * self.context + 1].astype(np.int64)
        return {"input_ids": window[:-1], "labels": window[1:]}

    def records(self, k: int) -> NDArray[np.int64]:
        """Return the record (n,) that each prediction of block k belongs to."""
        places = np.arange(k * self.context, min((k + 1) * self.context, self.ids))
        return np.searchsorted(self.ends, places, side="right")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Every record between two `<eos>`, cut to `context` ids in all, with the number of its class."""

    flat: NDArray[np.int32]  # (ids,)
    ends: NDArray[np.int64]  # (rows,) in flat
    labels: NDArray[np.int64]  # (rows,) in range(len(classes))
    label: str
    classes: list[Any]  # sorted
    context: int

    @classmethod
    def of(
        cls, many: Sequence[Shards], *, context: int, label: str | None, classes: list[Any] | None = None
    ) -> Labelled:
        """Read every record and its `label` column, the only kept one by default.

        `classes` is the list of a run, against which labels are checked; None collects it.
        Raises `MissingColumn`, `InvalidConfig` or `TrainingError`.
        """
        name = _label_name(many, label)
        tables = [table for shards in many for table in shards.parts()]
        values = [value for table in tables for value in _labels(table[name], name)]
        if classes is None:
            classes = sorted(set(values), key=lambda value: (isinstance(value, str), value))
            if len(classes) < 2:
                raise InvalidConfig(f"label {name!r} has {len(classes)} class; expected at least 2")
        number = {value: i for i, value in enumerate(classes)}
        unknown = sum(value not in number for value in values)
        if unknown:
            raise TrainingError(f"{unknown} of {len(values)} records have a {name!r} that the run was never shown")
        return cls(
            np.concatenate([_flat(table) for table in tables]),
            np.cumsum(np.concatenate([_lengths(table) for table in tables])),
            np.array([number[value] for value in values], np.int64),
            name,
            classes,
            context,
        )

    @property
    def ids(self) -> int:
        """How many ids a pass reads."""
        return int((np.minimum(np.diff(self.ends, prepend=0), self.context - 2) + 2).sum())

    @property
    def truncated(self) -> int:
        """How many records are longer than the context holds."""
        return int((np.diff(self.ends, prepend=0) > self.context - 2).sum())

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, k: int) -> Item:
        start = self.ends[k - 1] if k else 0
        ids = self.flat[start : min(self.ends[k], start + self.context - 2)].astype(np.int64)
        return {"input_ids": np.concatenate([[EOS], ids, [EOS]]), "labels": self.labels[k]}


def collate(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    """Stack items, padding on the right; causal models need no mask for that, as no id looks to its right."""
    import torch

    def padded(name: str, value: int) -> torch.Tensor:
        width = max(len(item[name]) for item in items)
        out = np.full((len(items), width), value, np.int64)
        for row, item in zip(out, items, strict=True):
            row[: len(item[name])] = item[name]
        return torch.from_numpy(out)

    if items[0]["labels"].ndim == 0:
        labels = torch.from_numpy(np.array([item["labels"] for item in items], np.int64))
    else:
        labels = padded("labels", IGNORED)
    return {"input_ids": padded("input_ids", PAD), "labels": labels}


def _label_name(many: Sequence[Shards], label: str | None) -> str:
    kept = [name for name in many[0].manifest.kept if all(name in s.manifest.kept for s in many)]
    if label is not None and label not in kept:
        raise MissingColumn(f"no column {label!r} is kept in the shards; kept are {kept}", hint="ult encode --keep")
    if label is None and len(kept) != 1:
        hint = "--label COLUMN" if kept else "ult encode --keep COLUMN"
        raise MissingColumn(f"the shards keep {len(kept)} columns {kept}; expected one to predict", hint=hint)
    return label or kept[0]


def _labels(column: pa.ChunkedArray, name: str) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)):
        raise InvalidConfig(f"label {name!r} is {kind}; expected integers or strings")
    if column.null_count:
        raise InvalidConfig(f"label {name!r} is empty in {column.null_count} of {len(column)} records")
    return column.to_pylist()  # type: ignore[no-any-return]


def _lengths(table: pa.Table) -> NDArray[np.int64]:
    chunks = [chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in table[IDS].chunks]
    return np.concatenate([np.empty(0, np.int64), *chunks])


def _flat(table: pa.Table) -> NDArray[np.int32]:
    chunks = [chunk.flatten().to_numpy() for chunk in table[IDS].chunks]  # zero-copy
    return np.concatenate([np.empty(0, np.int32), *chunks])
