"""Pieces of a record: what each id of it says, field by field, for the owner of the table."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ult.codecs.patches import Ends, Symbols
from ult.codecs.record.codec import Cell, RecordColumns
from ult.codecs.record.column import FIRST_BIN, NULL, TEXT
from ult.codecs.record.field import Field
from ult.codecs.record.read import tops


@dataclass(frozen=True, slots=True)
class Part:
    """What an id says of one field: `of` is the field of rows that it is in, if any, `row` the number of the row."""

    of: str
    field: str
    row: int | None
    text: str


def pieces(codec: RecordColumns, record: tuple[Cell, ...], symbols: Symbols, ends: Ends) -> list[list[Part]]:
    """Return the parts of each id; `symbols` (n,) spell `record`, and those of id i end at `ends[i]`.

    A bin of a number is told as the range of its values in brackets, text as it was written. Symbols that are neither,
    such as those of images, are counted.
    """
    walk = _Walk(codec, record)
    told: list[list[Part]] = []
    start = 0
    for end in ends.tolist():
        told.append(list(walk.of(symbols[start:end].tolist())))
        start = end
    return told


class _Walk:
    """The field at each symbol of a record."""

    def __init__(self, codec: RecordColumns, record: tuple[Cell, ...]) -> None:
        self.record, self.first, self.kinds = record, codec.first_marker, codec.kinds
        self.places: list[tuple[Field, Field | None, int]] = [  # of each marker: field, field of its row, number
            (codec.fields[k], None if j is None else codec.fields[k].fields[j], k) for k, j in tops(codec.fields)
        ]
        self.place, self.row = 0, -1
        self.characters = codecs.getincrementaldecoder("utf-8")("replace")  # a character is told where it ends

    def of(self, symbols: Sequence[int]) -> Iterator[Part]:
        """Yield the parts of the id that is spelled by the next `symbols`."""
        written: list[int] = []
        begins = False
        for symbol in symbols:
            if self.first <= symbol < self.first + len(self.kinds):
                if written or begins:
                    yield self._part(written)
                self._enter(symbol - self.first)
                written, begins = [], True
            else:
                written.append(symbol)
        if written or begins:
            yield self._part(written)

    def _enter(self, place: int) -> None:
        one, inner, k = self.places[place]
        if inner is None:
            fresh = self.places[self.place][2] != k or one.kind != "rows"
            self.row = (0 if fresh else self.row + 1) if one.kind == "rows" else -1
        self.place = place
        self.characters.reset()

    def _part(self, written: list[int]) -> Part:
        one, inner, _ = self.places[self.place]
        of, name = ("", one.name) if inner is None else (one.name, inner.name)
        return Part(of, name, self.row if self.row >= 0 else None, self._text(written))

    def _text(self, symbols: list[int]) -> str:
        if any(symbol >= self.first for symbol in symbols):
            return f"({len(symbols)} {self.kinds[self.place].field.kind} symbols)"
        text = ""
        for symbol in symbols:
            if symbol < TEXT:
                text += self.characters.decode(bytes([symbol]))
            else:
                text += "null" if symbol == NULL else "" if symbol == TEXT else self._range(symbol - FIRST_BIN)
        return text

    def _range(self, number: int) -> str:
        """Return the range of a bin, as far as it has ends."""
        edges: Sequence[str] = self._edges()
        low = edges[number - 1] if 0 < number <= len(edges) else "-∞"
        high = edges[number] if number < len(edges) else "∞"
        return f"[{low}, {high}) "

    def _edges(self) -> Sequence[str]:
        one, inner, k = self.places[self.place]
        of = inner or one
        if not of.by:
            return of.edges
        cells: tuple[Any, ...] = self.record if inner is None else self.record[k][self.row]
        among = [each.name for each in one.fields].index(of.name) if inner is not None else k
        return of.edges_for(cells[among - 1])
