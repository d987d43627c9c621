"""Shards, verified and written once as flat files that every process of a training maps into memory.

The stream of ids is `<eos> r1 <eos> r2 <eos> ...`: nothing is dropped. If asked for, each record begins with a special
id that names its modality; the model reads that id and never predicts it. Parts are read one at a time, so memory does
not grow with the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.errors import InvalidConfig, MissingColumn, OutputError, TrainingError, WrongVocabulary
from ult.host.portable import cpus
from ult.public.id_columns import flat_ids
from ult.public.manifest import IDS, Manifest
from ult.public.shards import Shards
from ult.public.vocabulary import EOS, Vocabulary, modality_id
from ult.trainer.datasets.parting import of_part
from ult.trainer.part import Part

Named: TypeAlias = str | Path | Shards
Stream: TypeAlias = NDArray[np.int32] | NDArray[np.uint16]
# Without a header, in this machine's byte order. A stream is uint16 if the vocabulary has no larger id.
STREAMS = {"stream.uint16": np.uint16, "stream.int32": np.int32}
ENDS, LABELS = "ends.int64", "labels.int64"
NUMBERS = "numbers.float64"
HEADS = "heads.int64"  # the special ids that name modalities in the stream


def open_shards(paths: Named | Sequence[Named], vocabulary: Vocabulary | None = None) -> list[Shards]:
    """Open shards folders of one vocabulary, those that are not open yet: `vocabulary` if it is given, that of a run.

    Raises `InvalidConfig` without a folder, `WrongVocabulary`, and `TrainingError` if there is no record.
    """
    several = [paths] if isinstance(paths, Named) else paths
    opened = [one if isinstance(one, Shards) else Shards(one) for one in several]
    if not opened:
        raise InvalidConfig("no shards folder was named; expected at least one")
    expected = vocabulary or opened[0].vocabulary
    for shards in opened:
        if shards.vocabulary != expected:
            owner = "the run's" if vocabulary else f"that of {opened[0].path}"
            raise WrongVocabulary(
                f"{shards.path} has a vocabulary of {shards.vocabulary.size}; {owner} is {expected.size}",
                hint="encode with a table of the same --vocabulary-size",
            )
    if not sum(shards.manifest.rows for shards in opened):
        raise TrainingError(f"no record in {', '.join(str(shards.path) for shards in opened)}")
    return opened


def summary(shards: Sequence[Shards]) -> list[dict[str, Any]]:
    """Return what a result says about the shards it rests on, as JSON values, one object a folder."""
    return [{"name": one.path.name, **_summary(one.manifest)} for one in shards]


def _summary(manifest: Manifest) -> dict[str, Any]:
    said = asdict(manifest)
    optional = ("privacy", "canaries", "coin", "public_table")
    always = {name: said[name] for name in ("table", "codec", "column", "rows", "ids", "bytes")}
    return {**always, "digest": manifest.digest, **{name: said[name] for name in optional if said[name]}}


def pack(
    shards: Sequence[Shards],
    folder: Path,
    *,
    label: str | None = None,
    classes: list[Any] | None = None,
    numbers: bool = False,
    modality_token: bool = False,
    part: Part | None = None,
    stays: Sequence[NDArray[np.bool_] | None] = (),
    advance: Callable[[int], None] = lambda records: None,
) -> list[Any]:
    """Write the stream of all records into `folder`; with `label`, a kept column, also the number of each one's class.

    With `part`, only the records of that part are written; with `stays`, one for each folder, only those of its records
    (rows,) that it says, or all. `advance(n)` is called after each file of the shards with
    the number of its records.

    With `numbers` the column is one of numbers, and their mean and standard deviation are returned. Else it returns the
    classes: `classes` if they are given, those of a run, which must then hold every label; else all labels
    that occur, sorted. Raises `FormatError`, `InvalidConfig`, `TrainingError` or `OutputError`.
    """
    seen: dict[Any, int] = {}
    found: list[NDArray[Any]] = []
    heads = [[modality_id(one.manifest.codec)] if modality_token else [] for one in shards]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.unique(np.array(heads, np.int64)).tofile(folder / HEADS)
        name = next(iter(STREAMS)) if shards[0].vocabulary.size <= 2**16 else "stream.int32"
        kind = STREAMS[name]
        with (folder / name).open("wb") as stream, (folder / ENDS).open("wb") as ends:
            stream.write(np.array([EOS], kind).data)
            last = records = 0
            for table, read, head in _to_pack(shards, part, stays, heads):
                lengths = _lengths(table) + 1 + len(head)
                places = np.cumsum(lengths)
                ids = np.full(int(lengths.sum()), EOS, kind)
                is_id = np.ones(len(ids), bool)
                is_id[places - 1] = False
                for k, token in enumerate(head):
                    ids[places - lengths + k], is_id[places - lengths + k] = token, False
                ids[is_id] = flat_ids(table)
                stream.write(ids.data)
                ends.write((last + places).data)
                last += len(ids)
                records += table.num_rows
                if label is not None:
                    found.append(as_numbers(table[label], label) if numbers else _numbers(table[label], label, seen))
                advance(read)
        if stays and not records and part is None:
            raise TrainingError("every record is to be left out; expected some to train on", hint="other shards")
        if part is not None and not records:
            raise TrainingError(
                f"part {part} holds none of the {sum(one.manifest.rows for one in shards):,} records",
                hint="fewer parts, or fewer members",
            )
        if label is not None:
            whole = np.concatenate(found)
            if numbers:
                (folder / NUMBERS).write_bytes(whole.data)
                return _scale(whole, label) if classes is None else classes
            classes = _sorted(seen, label) if classes is None else classes
            (folder / LABELS).write_bytes(_renumber(whole, seen, classes, label).data)
    except OSError as error:
        if isinstance(error, OutputError | FileNotFoundError):
            raise
        raise OutputError(f"cannot pack the ids: {error.strerror}") from error
    return classes or []


def _to_pack(
    shards: Sequence[Shards], part: Part | None, stays: Sequence[NDArray[np.bool_] | None], heads: list[list[int]]
) -> Iterator[tuple[pa.Table, int, list[int]]]:
    """Yield of each file the records to pack, how many it holds, and the ids before each record."""
    for number, one in enumerate(shards):
        kept, first = stays[number] if stays else None, 0
        for table in _parts(one):
            read = table.num_rows
            table = table if kept is None else table.filter(pa.array(kept[first : first + read]))
            yield table if part is None else of_part(table, part), read, heads[number]
            first += read


def _parts(shards: Shards) -> Iterator[pa.Table]:
    """Yield the parts in order; threads read and verify the next ones meanwhile, one for each core."""
    count, threads = len(shards.manifest.parts), cpus()
    if min(count, threads) < 2:
        yield from shards.parts()
        return
    pool = ThreadPoolExecutor(threads, "ult-parts")
    try:
        ahead = deque(pool.submit(shards.part, number) for number in range(min(threads, count)))
        for number in range(threads, count + threads):
            table = ahead.popleft().result()
            if number < count:
                ahead.append(pool.submit(shards.part, number))
            yield table
            if not ahead:
                return
    finally:
        pool.shutdown(cancel_futures=True)


def label_name(shards: Sequence[Shards], label: str | None) -> str:
    """Return the kept column to predict: `label`, or the only column that all folders keep. Raises `MissingColumn`."""
    kept = [name for name in shards[0].manifest.kept if all(name in one.manifest.kept for one in shards)]
    if label is not None and label not in kept:
        raise MissingColumn(f"no column {label!r} is kept in the shards; kept are {kept}", hint=_labels(shards, kept))
    if label is None and len(kept) != 1:
        what = f"the shards keep {len(kept)} columns {kept}; expected one to predict"
        raise MissingColumn(what, hint=_labels(shards, kept))
    return label or kept[0]


def _labels(shards: Sequence[Shards], kept: Sequence[str]) -> str:
    """Return what to type; if no column is kept, what needs no values in the clear, or whom to ask for them."""
    if kept:
        return "--label COLUMN"
    if all(one.manifest.codec == "record/columns" for one in shards):
        return "--task lm, then ult predict RUN RECORDS --target COLUMN by their owner: no values in the clear"
    return "their owner decides which labels lie beside the ids, in the clear"


def _numbers(column: pa.ChunkedArray, name: str, seen: dict[Any, int]) -> NDArray[np.int64]:
    """Return the number of each label of a part (rows,) in `seen`, and add labels that are new."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int64())  # 0 and 1, as classes are named in a model's config
    elif not any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)):
        raise InvalidConfig(f"label {name!r} is {kind}; expected integers, booleans or strings")
    if column.null_count:
        raise InvalidConfig(f"label {name!r} is empty in {column.null_count} of {len(column)} records")
    return np.array([seen.setdefault(value, len(seen)) for value in column.to_pylist()], np.int64)


def as_numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """Return a kept column of numbers, or of texts that say some, (rows,). Raises `InvalidConfig` for other cells."""
    try:
        found = np.array(column.cast(pa.float64()).to_numpy())
    except pa.ArrowException as error:
        raise InvalidConfig(
            f"label {name!r} holds what is no number", hint="--task classify, or keep a column of numbers"
        ) from error
    if wrong := int((~np.isfinite(found)).sum()):
        raise InvalidConfig(f"label {name!r} is empty or not finite in {wrong} of {len(found)} records")
    return found


def _scale(found: NDArray[np.float64], name: str) -> list[float]:
    """Return the mean and the standard deviation of numbers. Raises `InvalidConfig` if all are equal."""
    mean, deviation = float(found.mean()), float(found.std())
    if not (np.isfinite(deviation) and deviation > 0):
        raise InvalidConfig(f"label {name!r} has one number, or numbers too large to square; expected some that differ")
    return [mean, deviation]


def _sorted(seen: dict[Any, int], name: str) -> list[Any]:
    if len(seen) < 2:
        raise InvalidConfig(f"label {name!r} has {len(seen)} class; expected at least 2")
    return sorted(seen, key=lambda value: (isinstance(value, str), value))


def _renumber(found: NDArray[np.int64], seen: dict[Any, int], classes: list[Any], name: str) -> NDArray[np.int64]:
    number = {value: i for i, value in enumerate(classes)}
    new = np.array([number.get(value, -1) for value in seen], np.int64)[found]
    if unknown := int((new < 0).sum()):
        raise TrainingError(f"{unknown} of {len(new)} records have a {name!r} that the run was never shown")
    return new


def mapped_stream(folder: Path) -> tuple[Stream, NDArray[np.int64]]:
    """Map what `pack` wrote into `folder`: the stream (1 + ids + rows,), and where each record's `<eos>` is (rows,)."""
    name = next(name for name in STREAMS if (folder / name).exists() or name == "stream.int32")
    return _mapped(folder / name, STREAMS[name]), _mapped(folder / ENDS, np.int64)


def given_ids(folder: Path) -> NDArray[np.int64]:
    """Return the special ids (n,) that name modalities in what `pack` wrote into `folder`: read, never predicted."""
    return np.fromfile(folder / HEADS, np.int64)


def mapped_labels(folder: Path) -> NDArray[np.int64]:
    """Map the number of each record's class (rows,), which `pack` wrote into `folder`."""
    return _mapped(folder / LABELS, np.int64)


def mapped_numbers(folder: Path) -> NDArray[np.float64]:
    """Map the number of each record (rows,), which `pack` wrote into `folder`."""
    return _mapped(folder / NUMBERS, np.float64)


def _mapped(path: Path, kind: type[Any]) -> NDArray[Any]:
    return np.asarray(np.memmap(path, kind, "r"))


def _lengths(table: pa.Table) -> NDArray[np.int64]:
    chunks = [chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in table[IDS].chunks]
    return np.concatenate([np.empty(0, np.int64), *chunks])
