"""What a column of a record can be predicted to be: the values that a table knows, or the bins of a number."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record import RecordColumns
from ult.codecs.record.column import FIRST_BIN, NOTHING, NULL
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Told
from ult.codecs.record.numeric import Number
from ult.data.rows import listed
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord, MissingColumn
from ult.host.near import near
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL

_DAYS = (("1999", "12", "31"), ("2020", "07", "01"))
WHOLE = ("image", "series", "rows")  # kinds whose cells nobody can list


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a table's records: its place among the fields, and its place among the markers."""

    table: Table
    k: int
    place: int

    @classmethod
    def named(cls, table: Table, name: str) -> Column:
        """Return the column `name` of records of fields; raise `InvalidConfig` or `MissingColumn`."""
        codec = table.codec
        if not isinstance(codec, RecordColumns):
            raise InvalidConfig(
                f"the table is of {codec.id}, whose records have no columns; expected record/columns",
                hint="ult fit --codec record/columns",
            )
        names = [one.name for one in codec.fields]
        if name in names:
            k = names.index(name)
            return cls(table, k, sum(1 + len(one.fields) for one in codec.fields[:k]))
        if holders := [one.name for one in codec.fields if name in [inner.name for inner in one.fields]]:
            raise InvalidConfig(
                f"{name!r} is a column of the rows {holders[0]!r}, of which a record has many; expected a column of "
                f"which it has one cell: {listed([one.name for one in codec.fields if not one.fields]) or 'none is'}"
            )
        raise MissingColumn(f"the table has no column {name!r}; it has {listed(names)}", hint=near(name, names))

    @property
    def codec(self) -> RecordColumns:
        """The codec of the table's records."""
        codec: RecordColumns = self.table.codec  # type: ignore[assignment]
        return codec

    @property
    def field(self) -> Field:
        """The field."""
        return self.codec.fields[self.k]

    @property
    def marker(self) -> int:
        """The symbol that begins its cells."""
        return self.codec.first_marker + self.place

    @property
    def alone(self) -> RecordColumns:
        """The codec of records that have this field alone, whose symbols behind the marker are the same."""
        return RecordColumns(fields=[self.field.alone])

    def known(self) -> Counter[str]:
        """Return the cells that a phrase of the table spells whole, with the number of their occurrences at the fit.

        A phrase that spells but the beginning of longer cells counts as a cell too.
        """
        alone, found = self.alone, Counter[str]()
        for symbols, uses in zip(self.table.spellings(), self.table.counts.tolist(), strict=True):
            if uses and len(symbols) > 1 and symbols[0] == self.marker:
                own = symbols[1 : 1 + _before_marker(symbols[1:], self.codec.first_marker)]
                head = int(own[0]) if len(own) and 255 < own[0] < self.codec.first_marker else NOTHING
                cell = self._read(head, own[int(head != NOTHING) :], own)
                if cell is not None and np.array_equal(_symbols(alone, cell), own):
                    found[cell] += uses
        if self.field.absent is not None:
            found[self.field.absent] = 0
        return found

    def _read(self, head: int, body: NDArray[np.uint32], symbols: NDArray[np.uint32]) -> str | None:
        if head == NULL or (len(body) and int(body.max()) > 255):
            return None
        try:
            cell = self.codec.kinds[self.place].read(head, body.astype(np.uint8).tobytes(), symbols, Told())
        except CorruptSymbols:
            return None
        return cell if isinstance(cell, str) else None

    def values(self, given: Sequence[str]) -> tuple[str, ...]:
        """Return the cells that are told apart: those `given`, or those that the table knows, without missing ones.

        Raises `InvalidConfig` for a cell that the column cannot hold, and if there are fewer than two.
        """
        if self.field.kind in WHOLE:
            raise InvalidConfig(f"{self.field.name!r} is of kind {self.field.kind}, which has no values to choose from")
        if given:
            return self._given(tuple(given))
        if self.field.levels:
            return self.field.levels
        if self.field.kind not in ("category", "number"):
            raise InvalidConfig(
                f"{self.field.name!r} is of kind {self.field.kind}, whose values nobody can list; expected those to "
                "choose from",
                hint=asked(self.field),
            )
        known = self.known()
        found = tuple(sorted(cell for cell in known if cell and cell not in self.field.missing))
        if len(found) < 2:
            raise InvalidConfig(
                f"the table knows {len(found)} value{'s' * (len(found) != 1)} of {self.field.name!r}: it has no phrase "
                "for others; expected at least two to choose from",
                hint="--value ONE --value OTHER, or a table of more ids",
            )
        return found

    def _given(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) < 2 or len(set(values)) < len(values):
            raise InvalidConfig("expected at least two values, all different", hint="--value ONE --value OTHER")
        alone = self.alone
        for value in values:
            try:
                alone.encode((value,))
            except InvalidRecord as error:
                raise InvalidConfig(f"value {value!r:.40} of {error.what}") from None
        return values


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a number: of each its name, a cell that stands for it with its value, and the mean of its values."""

    names: tuple[str, ...]
    cells: tuple[str, ...]
    values: NDArray[np.float64]
    centres: NDArray[np.float64]

    @classmethod
    def of(cls, column: Column) -> Bins:
        """Return the bins of a column; raise `InvalidConfig` if they differ by another column.

        The cell is the median of those that the table has a phrase for, the centre their mean; a bin without a phrase
        has a cell in its middle.
        """
        field, kind = column.field, column.codec.kinds[column.place]
        if not isinstance(kind, Number) or field.by:
            raise InvalidConfig(
                f"the bins of {field.name!r} stand in one phrase with {field.by!r}; expected the values to choose from",
                hint=asked(field),
            )
        known, edges = column.known(), [Decimal(edge) for edge in field.edges]
        within: list[list[tuple[float, str, int]]] = [[] for _ in range(len(edges) + 1)]
        for cell, uses in known.items():
            if cell not in kind.numbers.missing and kind.numbers.machine.accepts(cell.encode("utf-8", "surrogatepass")):
                value = float(kind.numbers.plain(cell))
                within[kind.numbers.bin_of(cell, None)].append((value, cell, max(uses, 1)))
        chosen, centres = [], []
        for number, found in enumerate(within):
            found = sorted(found) or [_middle(kind, number, edges)]
            weights = np.array([uses for _, _, uses in found], np.float64)
            chosen.append(found[int(np.searchsorted(np.cumsum(weights), weights.sum() / 2))])
            centres.append(float(np.average([value for value, _, _ in found], weights=weights)))
        cells = tuple(cell for _, cell, _ in chosen)
        return cls(_names(field.edges), cells, np.array([value for value, _, _ in chosen]), np.array(centres))

    def begun_by(self, column: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which bin each id (vocabulary,) begins, -1 for none: after the ids before the marker, and after it."""
        size = column.table.vocabulary.size
        with_marker, after_marker = np.full(size, -1), np.full(size, -1)
        for written, symbols in enumerate(column.table.spellings(), N_SPECIAL):
            if len(symbols) > 1 and symbols[0] == column.marker:
                with_marker[written] = int(symbols[1]) - FIRST_BIN
            after_marker[written] = int(symbols[0]) - FIRST_BIN
        for bins in (with_marker, after_marker):
            bins[(bins < 0) | (bins >= len(self.cells))] = -1
        return with_marker, after_marker


def asked(field: Field) -> str:
    """Return what to type to name values of a field, with made-up ones that are written as its own are.

    >>> asked(Field(name="birth", kind="date", forms=("d/m/Y",)))
    "--value 31/12/1999 --value 01/07/2020, and so on, each written as the column's cells are"
    """
    form, mark = field.forms[0], field.decimal
    days = [form.replace("Y", year).replace("m", month).replace("d", day) for year, month, day in _DAYS]
    of = {"date": days, "number": [f"1{mark}5", "20"], "list": [f"A{field.separator}B", "A"], "molecule": ["CCO", "C"]}
    one, other = map(shlex.quote, of.get(field.kind, ["ONE", "OTHER"]))
    return f"--value {one} --value {other}, and so on, each written as the column's cells are"


def _symbols(alone: RecordColumns, cell: str) -> NDArray[np.uint32]:
    """Return the symbols of a cell behind the marker, none for one that writes nothing or is refused."""
    try:
        return alone.encode((cell,)).symbols[1:]
    except InvalidRecord:
        return np.empty(0, np.uint32)


def _names(edges: Sequence[str]) -> tuple[str, ...]:
    if not edges:
        return ("any",)
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return (f"below {edges[0]}", *between, f"{edges[-1]} and above")


def _middle(kind: Number, number: int, edges: Sequence[Decimal]) -> tuple[float, str, int]:
    """Return a value of a bin of which no cell is known, and its cell."""
    if not edges:
        value = Decimal(0)
    elif 0 < number < len(edges):
        value = (edges[number - 1] + edges[number]) / 2
    else:
        width = edges[-1] - edges[0] if len(edges) > 1 else Decimal(1)
        step = width / max(len(edges) - 1, 1)
        value = edges[0] - step if number == 0 else edges[-1]
    field = kind.field
    text = f"{value.normalize():f}".replace(".", field.decimal)
    return float(value), field.before[0] + text + field.after[0], 1


def _before_marker(symbols: NDArray[np.uint32], first: int) -> int:
    """Return how many symbols stand before the first marker."""
    marks = np.flatnonzero(symbols >= first)
    return int(marks[0]) if len(marks) else len(symbols)
