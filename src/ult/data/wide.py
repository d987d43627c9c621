"""Files in which each row of numbers is a record: find the value columns, and explain a column that is not one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from ult.data import record
from ult.data.columns import looks
from ult.data.missing import MISSING
from ult.data.rows import Rows, listed
from ult.errors import SourceError

_TRUTHS = frozenset({"true", "false", "t", "f", "yes", "no", "y", "n", "ja", "nein", "oui", "non"})
_MANY = 20  # rows: from so many on, a column whose values mostly differ identifies the row
_RISING = 7  # steps: seven numbers in a row increase by chance once in 40,000 records
_VALUE = re.compile(r"\s*[<>=~+\-\u2212\u2264\u2265\u00b1]*\s*[.,]?\d")  # a number, maybe with a sign: 1, -1, <5, .5


def fields(rows: Rows, others: Mapping[str, pa.DataType]) -> tuple[str, ...]:
    """Return `others`, the names of the value columns; raise `SourceError` if one of them is not numbers."""
    if rows.texts:
        _check_header(rows, list(others))
        start = next(rows.chunks(list(others)), None) if others else None
        cells = {name: start.columns[name] for name in others} if start else {}
        right = record.parsed_together(list(cells.values())) is not None
        wrong = [] if right else [name for name, column in cells.items() if record.parsed(column) is None]
    else:
        wrong = [name for name, kind in others.items() if not record.is_number(kind)]
    if wrong:
        raise no_numbers(rows, wrong)
    if not others:
        raise SourceError(
            f"{rows.name} has no columns that are not kept; expected numbers in some", hint="fewer --keep"
        )
    return tuple(others)


def _check_header(rows: Rows, names: Sequence[str]) -> None:
    """Raise `SourceError` if the header looks like a record, which would be lost as column names.

    Names may be numbers if they count the columns, or if there are many and they increase, as wavelengths do.
    """
    values = record.parsed(names)
    if values is None or not names:
        return
    steps = np.diff(values)
    counted = bool((steps == 1).all()) and values[0] in (0, 1)
    if not counted and not (len(steps) >= _RISING and (steps > 0).all()):
        new = ",".join(f"c{k}" for k in range(1, 4))
        raise SourceError(
            f"{rows.name}, line 1 holds only numbers; expected column names: a record read as header would be lost",
            hint=f"--no-header, or a first line of names, such as {new}, ...",
        )


def no_numbers(rows: Rows, wrong: Sequence[str]) -> SourceError:
    """Return the error for columns that are not numbers.

    What is kept travels in the clear, so the hint proposes `--keep` only for columns of row names: never for values
    (missing, or of another type), for categories that rows share, or for columns that may identify a person.
    """
    start = next(rows.chunks(list(wrong)), None)  # a Parquet file may have no rows
    texts = [name for name in wrong if record.is_text(rows.types[name])]
    cells_of = {name: record.cells(start.columns[name]) if start else () for name in texts}
    words = [name for name, cells in cells_of.items() if _are_names(cells)]
    names = [name for name in words if _mostly_alone([cell for cell in cells_of[name] if cell])]
    if persons := [name for name in words if _are_of_people(name, cells_of[name])]:
        return SourceError(
            f"{rows.name} has columns that are no numbers: {listed(wrong)}; expected numbers, and "
            f"{persons[0]!r} may say who somebody is",
            hint=f"use a file without {persons[0]!r}: kept columns travel in the clear",
        )
    if values := [name for name in wrong if name not in words]:
        column = values[0]
        met = f"{rows.name}: column {column!r} of values is {rows.types[column]}"
        if start and column in cells_of:
            cells = cells_of[column]
            i = next((i for i, cell in enumerate(cells) if cell is None or record.parsed([cell]) is None), 0)
            spelled = cells[i] if str(cells[i]).strip().lower() in MISSING else ""
            what = f"a missing value spelled {spelled!r}" if spelled else "no number"
            met = f"{start.place(i)}: {column!r} is {what}"
        return SourceError(
            f"{met}; expected a number, or an empty cell for a missing value",
            hint="write the column as numbers (float64), or leave it out of the file",
        )
    if categories := [name for name in wrong if name not in names]:
        column = categories[0]
        several = len(set(cells_of[column]))
        return SourceError(
            f"{rows.name} has columns that are no numbers: {listed(wrong)}; expected numbers, and {column!r} is one of "
            f"{several} words in each row",
            hint=f"a number for each word of {column!r}, or a file without it",
        )
    return SourceError(
        f"{rows.name} has columns that are no numbers: {listed(wrong)}; expected numbers in every column that is not "
        "kept, and what is kept travels in the clear",
        hint=" ".join(f"--keep {shlex.quote(name)}" for name in names[:4]),
    )


def _mostly_alone(cells: Sequence[str]) -> bool:
    """Return whether over half of the values are distinct, as names of rows are and categories are not."""
    return len(set(cells)) > len(cells) / 2


def _are_names(cells: Sequence[str | None]) -> bool:
    """Return whether cells are words: none looks like a number or a truth value, and not all are missing."""
    present = [cell for cell in cells if cell is not None and cell.strip().lower() not in MISSING]
    truths = all(cell.strip().lower() in _TRUTHS for cell in present)
    return bool(present) and not truths and not any(_VALUE.match(cell) for cell in present)


def _are_of_people(name: str, cells: Sequence[str | None]) -> bool:
    """Return whether a column may identify people, by its header or by the form of its values."""
    kind, sure = looks.header(name)
    present = [cell for cell in cells if cell]
    alone = _mostly_alone(present)
    if sure or (alone and (kind == "name" or len(present) >= _MANY)):
        return True
    values = pa.array(present, pa.string())
    telling = looks.SURE_FORMS | ({"capitals", "code"} if alone else set())
    shown = [which for form, which in looks.forms(values).items() if form in telling]
    return any(which.mean() >= looks.SEEN for which in [*shown, looks.wordy(values)])
