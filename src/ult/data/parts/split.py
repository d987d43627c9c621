"""`ult.split`: the rows of files, dealt to parts of which none knows a person of another."""

from __future__ import annotations

import re
import shlex
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data import files
from ult.data.cells import written
from ult.data.columns import looks
from ult.data.composed import alike, grouped
from ult.data.composed.records import paths
from ult.data.missing import MISSING
from ult.data.opening import open_inputs
from ult.data.parts.copying import SUFFIXES, copy_rows
from ult.data.parts.dealing import Unit, dealt
from ult.data.parts.singly import Labels, Singly
from ult.data.reading import Reading
from ult.data.rows import Chunk, Rows, inside, listed
from ult.errors import InvalidConfig, SourceError, writing
from ult.host import arguments
from ult.host.arguments import COLUMNS, checked, integer, number, path, switch
from ult.host.atomic import whole
from ult.host.buckets import Lane
from ult.host.disk import strangers
from ult.host.free import Kind, check_free
from ult.host.shown import Facts, Shown, count

PARTS = ("train", "validation", "test")
_OURS = re.compile(rf"({'|'.join(PARTS)})/[^/]+({'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE)
_SHOWN = 10  # labels of which the shares are shown


def _is_split(folder: Path) -> bool:
    return folder.is_dir() and (folder / PARTS[0]).is_dir() and {one.name for one in folder.iterdir()} <= {*PARTS}


SPLIT = Kind("a split", _is_split, partial(strangers, ours=_OURS))


@dataclass(frozen=True, slots=True, repr=False)
class Split(Shown):
    """Where the parts are, and how many rows, units and rows of each label each has; `units` is None without a unit."""

    path: Path
    rows: Mapping[str, int]
    units: Mapping[str, int] | None
    labels: Mapping[str, Mapping[str, int]]

    def facts(self) -> Facts:
        """Return what each part holds."""
        return [(name, self._part(name)) for name in self.rows]

    def _part(self, name: str) -> str:
        whose = f" of {count(self.units[name], 'unit')}" if self.units is not None else ""
        counts, every = self.labels.get(name, {}), sum(self.labels.get(name, {}).values())
        shares = [f"{label} {n / every:.1%}" for label, n in sorted(counts.items())] if every else []
        told = f": {', '.join(shares)}" if 0 < len(shares) <= _SHOWN else ""
        return f"{count(self.rows[name], 'row')}{whose}{told}"

    def remarks(self) -> list[str]:
        """Return sentences on labels that a part lacks."""
        every = {label for counts in self.labels.values() for label in counts}
        found = []
        for name, counts in self.labels.items():
            lacking = sorted(every - counts.keys())
            if lacking:
                found.append(f"{name} has no row of {listed(lacking, 5)}")
        return found


@checked(
    inputs=arguments.inputs,
    out=path,
    group=arguments.text("the name of one column"),
    label=arguments.text("the name of one column"),
    test=number,
    validation=number,
    seed=integer(0),
    rows_alone=switch,
    reading=COLUMNS["reading"],
    force=switch,
)
def split(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    group: str | None = None,
    label: str | None = None,
    test: float = 0.2,
    validation: float = 0.0,
    seed: int = 0,
    rows_alone: bool = False,
    reading: Mapping[str, str | float] | None = None,
    force: bool = False,
) -> Split:
    """Deal the rows of files to `out/train`, `out/test` and, if it has a share, `out/validation`, under their names.

    Rows are copied as they stand. All rows with one value in the column `group`, in all files, go to one part; where
    the column has another name, as PATIENT, the input is "labs:PATIENT=labs.csv", as `ult.fit` takes it. With
    `label`, a column of the first file, every part has each label as often as the others, as far as groups allow.
    `test` and `validation` are shares of the rows of the first file. The same seed gives the same parts, in whatever
    order the rows are.

    Without a group, a column that by its name says whose a row is, and of which values repeat, is refused:
    `rows_alone` allows it. Raises `MissingColumn`, `SourceError`, `InvalidConfig`, `OutputExists` or `OutputError`;
    then nothing was written.

    For example:

        parts = ult.split("visits.csv", "parts", group="patient", label="outcome")
        fitted = ult.fit("parts/train/visits.csv", "visits.ult", codec="record/columns", unit="patient")
    """
    shares = _shares(test, validation)
    place = Path(out)
    check_free(place, SPLIT, force=force)
    chosen = Reading.of(reading)
    several = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    opened = _opened(paths(several), chosen)
    groups = [_column_of(str(one), group) for one in several]
    if group is None and not rows_alone:
        _check_alone(opened)
    for one, column in zip(opened, groups, strict=True):
        if column:
            one.check_column(column)
    if label:
        opened[0].check_column(label)
    with whole(place) as new, ExitStack() as aside:
        if group is None:
            found = _alone(opened, label, shares, seed, place, aside)
        else:
            found = _together(opened, groups, label, shares, seed)
        _check_parts(found, shares, group)
        with writing(place):
            new.mkdir()
            for part in shares:
                (new / part).mkdir()
        for one, parts in zip(opened, found.parts, strict=True):
            with writing(place):
                copy_rows(one, chosen, parts, [new / part / Path(one.name).name for part in shares])
        check_free(place, SPLIT, force=force)
    rows = dict(zip(shares, found.rows.sum(0).tolist(), strict=True))
    units = dict(zip(shares, found.units.tolist(), strict=True)) if group else None
    return Split(place, rows, units, dict(zip(shares, found.labels, strict=False)))


def _shares(test: float, validation: float) -> dict[str, float]:
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise InvalidConfig(
            f"test is {test:g} and validation {validation:g}; expected shares above 0, below 1 together",
            hint="--test 0.2 --validation 0.1",
        )
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    return {name: share for name, share in shares.items() if share}


def _opened(inputs: Sequence[str | Path], reading: Reading) -> list[Rows]:
    found: list[Rows] = []
    for one in inputs:  # each by itself: they may be of several kinds
        name = str(one)
        suffix = files.suffix(name)
        if suffix not in SUFFIXES or files.is_url(name):
            raise SourceError(
                f"{name} cannot be split; expected local files that end in {', '.join(SUFFIXES)}",
                hint=inside(name, SUFFIXES) if files.is_folder(name) else "",
            )
        opened, _ = open_inputs([name], "text" if suffix == ".txt" else "record", reading)
        found += opened
    again = [name for name, n in Counter(Path(one.name).name for one in found).items() if n > 1]
    if again:
        raise InvalidConfig(f"two inputs are called {again[0]}; expected names that differ", hint="rename one with mv")
    return found


def _column_of(one: str, group: str | None) -> str | None:
    """Return the column of an input that says whose a row is, which is not called as in the others if it says so."""
    named = grouped.named(one)
    if named is None or not named.column:
        return group
    if group is None:
        raise InvalidConfig(
            f"{one} says whose its rows are; expected the column of the other files too", hint="--group COLUMN"
        )
    return named.column


def _check_alone(opened: Sequence[Rows]) -> None:
    """Raise `InvalidConfig` if a column says whose a row is by its name, and values of it repeat."""
    for rows in opened:
        for name in rows.types:
            kind, sure = looks.header(name)
            if kind != "number" and not (kind == "name" and sure):
                continue
            seen, every = set(), 0
            for _, cells in _cells(rows, [name]):
                every += len(cells[0])
                seen.update(cells[0])
            if len(seen) < every and len(seen) > 1:
                raise InvalidConfig(
                    f"{rows.name}: {count(every, 'row')} have {count(len(seen), 'value')} in {name!r}: rows of one "
                    "would be in several parts, where a model is tested on people whom it knows",
                    hint=f"--group {shlex.quote(name)}, or --rows-alone",
                )


@dataclass(frozen=True, slots=True)
class _Dealt:
    """The parts of the rows of each file; how many rows (files, parts), units (parts,) and of which label each has."""

    parts: list[Lane]
    rows: NDArray[np.int64]
    units: NDArray[np.int64]
    labels: list[Counter[str]]


def _alone(
    opened: Sequence[Rows], label: str | None, shares: Mapping[str, float], seed: int, out: Path, aside: ExitStack
) -> _Dealt:
    """Deal each row by itself; what memory need not hold is aside, in files that the stack closes."""
    sizes = [0 if label and k == 0 else _length(rows) for k, rows in enumerate(opened)]
    labels, told = None, list[Counter[str]]()
    if label:
        labels = aside.enter_context(Labels(out, (cells for _, (cells,) in _cells(opened[0], [label])), sum(sizes)))
        sizes[0] = labels.length
    dealt = aside.enter_context(Singly(out, sizes, list(shares.values()), seed, labels))
    if labels:
        counts = dealt.labelled.T.tolist()
        told = [Counter({one: n for one, n in zip(labels.spelled, of, strict=True) if n}) for of in counts]
    return _Dealt([Lane(dealt.of(k)) for k in range(len(opened))], dealt.rows, dealt.rows.sum(0), told)


def _length(rows: Rows) -> int:
    return sum(chunk.length for chunk in rows.blocks(list(rows.types)[:1]))


def _together(
    opened: Sequence[Rows],
    groups: Sequence[str | None],
    label: str | None,
    shares: Mapping[str, float],
    seed: int,
) -> _Dealt:
    """Deal all rows of a unit to one part. Rows count in the first file."""
    units: dict[str, Unit] = {}
    numbers: dict[str, int] = {}
    spelled: dict[str, tuple[str, Chunk, int]] = {}  # by the plain name, where it was met first
    rows_of = []
    for k, (rows, group) in enumerate(zip(opened, groups, strict=True)):
        asked = [one for one in (group, label if k == 0 else None) if one]
        found = array("i")
        for chunk, cells in _cells(rows, asked):
            for i, name in enumerate(cells[0]):
                if name is None or name.strip().lower() in MISSING:
                    raise SourceError(
                        f"{chunk.place(i)} has nothing in {group!r}; expected whose it is", hint="leave out such rows"
                    )
                if name not in units:
                    before, other, j = spelled.setdefault(alike.plain(name), (name, chunk.without_values(), i))
                    if before != name:
                        raise alike.spelled_twice(chunk.place(i), other.place(j))
                    units[name], numbers[name] = Unit(), len(numbers)
                unit = units[name]
                unit.rows += k == 0
                if label and k == 0:
                    unit.labels[str(cells[-1][i])] += 1
                found.append(numbers[name])
        rows_of.append(np.array(found, np.int32))
    chosen = dealt(units, list(shares.values()), seed)
    parts = np.array([chosen[name] for name in units], np.int8)
    labels: list[Counter[str]] = [Counter() for _ in shares] if label else []
    for name, unit in units.items() if label else ():
        labels[chosen[name]].update(unit.labels)
    many = len(shares)
    held = np.array([np.bincount(parts[of], minlength=many) for of in rows_of])
    return _Dealt([Lane([parts[of]]) for of in rows_of], held, np.bincount(parts, minlength=many), labels)


def _cells(rows: Rows, columns: Sequence[str]) -> Iterator[tuple[Chunk, list[list[str | None]]]]:
    """Yield the cells of columns as texts, chunk by chunk."""
    for chunk in rows.chunks(columns):
        yield chunk, [_texts(chunk.columns[name]) for name in columns]


def _texts(column: Any) -> list[str | None]:
    if isinstance(column, pa.ChunkedArray | pa.Array):
        return written(column)
    return [one if one is None or isinstance(one, str) else str(one) for one in column]


def _check_parts(found: _Dealt, shares: Mapping[str, float], group: str | None) -> None:
    many = int(found.units.sum())
    empty = [name for name, n in zip(shares, found.rows[0].tolist(), strict=True) if not n]
    if empty:
        what = count(many, f"value of {group!r}", f"values of {group!r}") if group else count(many, "row")
        raise InvalidConfig(f"of {what} nothing is left for {empty[0]}; expected more, or a larger share")
