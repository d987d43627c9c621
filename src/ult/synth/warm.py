"""Records drawn from the grammar of a table's codec, without any real record: what a private training begins with.

A training with differential privacy spends its budget best on what no grammar tells (DP-2Stage, arXiv:2412.02467). So
the model learns first on made-up records how records are built and how often each phrase occurs. It costs no privacy:
grammar and phrases are those of the table, and the counts are the noisy ones that the table's promise covers already.

Each next id is drawn by its count among those that the grammar allows. A record of fields has a field as often as its
marker was counted, in the order of the fields, and as many rows as there are markers of rows for a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record import RecordColumns
from ult.owner.constrained import TableGrammar
from ult.owner.table import Table
from ult.public.vocabulary import EOS, N_SPECIAL

RECORDS = 1024  # that are drawn by default
_SMOOTHED = 0.5  # added to each count, so that every allowed id may come
_THERE = 0.5  # how often a field is there at least, and a further row: what is too rare for noise was not counted


def drawn(table: Table, n: int, *, room: int, seed: int) -> Iterator[NDArray[np.uint32]]:
    """Yield `n` records of ids (length,) uint32, each of at most `room` ids, that the table decodes."""
    rng = np.random.default_rng(seed)
    grammar, choice = TableGrammar(table), _Choice(table)
    for _ in range(n):
        state, ids, last = grammar.start([]), list[int](), -1
        while len(ids) < room:
            one = choice.draw(grammar.allowed(state, room - len(ids)), last, rng)
            if one == EOS:
                break
            ids.append(one)
            state, last = grammar.advance(state, one), choice.last(one, last)
        yield np.array(ids, np.uint32)


class _Choice:
    """Draws the next id by how often each was counted."""

    def __init__(self, table: Table) -> None:
        self.records = max(1, table.records)
        self.weights = np.zeros(table.vocabulary.size)
        self.weights[N_SPECIAL : table.size] = np.maximum(table.counts, 0) + _SMOOTHED
        self.weights[EOS] = self.records
        self.first = table.codec.first_marker if isinstance(table.codec, RecordColumns) else None
        if self.first is not None:
            self._of_fields(table)

    def _of_fields(self, table: Table) -> None:
        """Note which field's marker each id begins and ends with, and how often each field is there."""
        codec: Any = table.codec
        fields, first = codec.fields, int(codec.first_marker)
        row_of = [k for k, one in enumerate(fields) for _ in (one, *one.fields)]
        self.row = [len(fields[k].fields) > 0 for k in row_of]
        self.head = [row_of.index(k) for k in row_of]  # the marker of the row that a marker is in, or itself
        many = len(row_of)
        times = np.zeros(many)
        self.begins, self.ends = np.full(table.vocabulary.size, -1), np.full(table.vocabulary.size, -1)
        for one, spelling in enumerate(table.spellings(), N_SPECIAL):
            marks = np.asarray(spelling, np.int64) - first
            marks = marks[(marks >= 0) & (marks < many)]
            np.add.at(times, marks, self.weights[one] - _SMOOTHED)
            if len(marks):
                self.ends[one] = marks[-1]
                self.begins[one] = marks[0] if spelling[0] == marks[0] + first else -1
        self.times = times

    def last(self, one: int, before: int) -> int:
        """Return the number of the last marker of a record after an id."""
        return int(self.ends[one]) if self.first is not None and self.ends[one] >= 0 else before

    def draw(self, allowed: NDArray[np.bool_], last: int, rng: np.random.Generator) -> int:
        """Return one of the allowed ids (vocabulary,); `last` is the last marker of the record so far, or -1."""
        ids = np.flatnonzero(allowed)
        if self.first is not None and len(ids) > 1:
            ids = self._of_field(ids, last, rng)
        weights = self.weights[ids]
        return int(ids[np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), side="right")])

    def _of_field(self, ids: NDArray[np.int64], last: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return those of the ids that go on with the cell, or those that begin the next field that there is."""
        begins = self.begins[ids]
        inside: NDArray[np.int64] = ids[(begins < 0) & (ids != EOS)]
        if len(inside) == len(ids):
            return ids
        going = float(self.weights[inside].sum())
        if len(inside) and rng.random() < going / (going + self.records):
            return inside
        marks = np.unique(begins[begins >= 0]).tolist()
        for mark in sorted(marks, key=lambda mark: self._order(mark, last)):
            if rng.random() < self._there(mark, last):
                return np.asarray(ids[begins == mark])
        if EOS in ids:
            return np.array([EOS])
        return np.asarray(ids[begins == marks[-1]]) if marks else inside

    def _order(self, mark: int, last: int) -> tuple[int, int]:
        """Return by what markers are tried: the rest of the row, a new row, then fields behind it."""
        same = last >= 0 and self.row[last] and self.head[mark] == self.head[last]
        return (0 if same and mark > last else 1 if same else 2, mark)

    def _there(self, mark: int, last: int) -> float:
        """Return how often a field is there: of records, of rows, or another row after one."""
        head = self.head[mark]
        if mark == head and last >= 0 and self.head[last] == head:  # another row
            return max(_THERE, 1 - self.records / max(float(self.times[mark]), 1e-9))
        of: Any = self.records if mark == head else self.times[head]
        return float(min(1.0, max(_THERE, self.times[mark] / max(of, 1e-9))))
