"""The concepts of OMOP: numbers, for which the table CONCEPT has a vocabulary and a code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data.composed.fields import texts
from ult.data.rows import Chunk, Rows
from ult.errors import MissingColumn, SourceError

_NUMBER = re.compile(r"(\d{1,18})(?:\.0+)?")  # a column with nulls may have been written as floats
_COLUMNS = ("concept_id", "vocabulary_id", "concept_code")


class Concepts:
    """What CONCEPT says, in some 30 bytes a concept; without it a concept keeps its number."""

    def __init__(self, opened: Sequence[Rows]) -> None:
        self._opened = opened
        self._met: dict[str, tuple[str, str]] = {}

    def of(self, text: str, chunk: Chunk, row: int) -> tuple[str, str]:
        """Return vocabulary and code of a concept, both empty for none, and the vocabulary empty if it is not known.

        Raises `SourceError` if `text` is no number.
        """
        if (found := self._met.get(text)) is not None:
            return found
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise SourceError(f"{chunk.place(row)}: a concept is no number; expected such as 201826")
        number = int(match[1])
        ids, codes = self._loaded
        at = int(np.searchsorted(ids, number))
        if number == 0:
            found = ("", "")
        elif at < len(ids) and ids[at] == number:
            vocabulary, _, code = codes[at].as_py().partition("\0")
            found = (vocabulary, code)
        else:
            found = ("", match[1])
        self._met[text] = found
        return found

    @cached_property
    def _loaded(self) -> tuple[NDArray[np.int64], pa.ChunkedArray]:
        """The ids, (n,) sorted, and for each the vocabulary and the code, joined by NUL."""
        numbers, codes = [np.empty(0, np.int64)], [pa.array([], pa.large_string())]
        for rows in self._opened:
            spelled = {name.lower(): name for name in rows.types}
            if missing := [name for name in _COLUMNS if name not in spelled]:
                raise MissingColumn(f"{rows.name} has no column {missing[0]!r}; expected {', '.join(_COLUMNS)}")
            for chunk in rows.chunks([spelled[name] for name in _COLUMNS]):
                ids, *rest = (texts(chunk, spelled[name]) for name in _COLUMNS)
                for i, one in enumerate(ids):
                    if not one or not _NUMBER.fullmatch(one):
                        raise SourceError(f"{chunk.place(i)}: 'concept_id' is no number")
                numbers.append(np.array([int(one.partition(".")[0]) for one in ids if one], np.int64))
                codes.append(pa.array([f"{a or ''}\0{b or ''}" for a, b in zip(*rest, strict=True)], pa.large_string()))
        every = np.concatenate(numbers)
        order = np.argsort(every, kind="stable")
        if len(again := np.flatnonzero(np.diff(every[order]) == 0)):
            raise SourceError(
                f"{self._opened[0].name} has the concept {every[order][again[0]]} twice; expected each once"
            )
        return every[order], pa.concat_arrays(codes).take(pa.array(order))
