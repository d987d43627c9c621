"""`record/columns`: a record of many fields, such as a patient, as one sequence of symbols of one alphabet.

The symbols are bytes (0 to 255), TEXT, NULL, the bins of numbers, a marker for each field, and the alphabets of image,
series and molecule fields. A field that is there writes its marker and then its cell:

- number: the bin of its value, then its text; a text that says "missing" is written after TEXT instead of a bin;
- category: its text. List: each item like a category, with a marker of its own;
- date: its text for the first date of the record, else the days since the date before it (`ult.codecs.record.date`);
- text, molecule, image, series: the patches of `text/bytes`, `molecule/smiles`, `image/dct` or `series/mulaw`;
- rows: each row begins with the marker of the field, and has fields of its own.

A cell that equals the field's `absent` writes nothing, null writes NULL after the marker; a required field whose
`absent` is null is always written, and required rows of which there are none are their marker and NULL. Marker, bin and
text are one patch, so merges learn a frequent value, or a marker with its bin, as one phrase. A number with `by`, and
the first field of a row, continue the patch before them: a code and the bin of its value become one phrase.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.cells import Cells, Flags
from ult.codecs.patches import Ends, Patches, Symbols
from ult.codecs.record.child import Given
from ult.codecs.record.column import FIRST_BIN, MAX_PATCH, NULL, grouped, interleaved, short
from ult.codecs.record.columns import Columns, nbytes_of
from ult.codecs.record.field import Field, check_fields, flat
from ult.codecs.record.grammar import RecordGrammar
from ult.codecs.record.kind import Beside, Kind
from ult.codecs.record.kinds import kind_of
from ult.codecs.record.ordinal import NO_DAY
from ult.codecs.record.read import Reader
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

Cell = Any  # str, None, an array, or a tuple of rows
Record = tuple[Cell, ...]


class RecordColumns(Codec[Record]):
    """Codec of records with `fields`, given as JSON values (`Field.document`); a record is a tuple with a cell each.

    It is lossless unless a field is of kind image or series, or is a number with levels. `max_length` is in symbols.

    >>> codec = RecordColumns(fields=[{"name": "age", "kind": "number"}, {"name": "sex", "kind": "category"}])
    >>> codec.decode(codec.encode(("063", "f")).symbols)
    ('063', 'f')
    """

    id: ClassVar[str] = "record/columns"
    modality: ClassVar[str] = "record"
    lossless = True  # unless a field of the instance is not

    def __init__(self, *, fields: Sequence[Any] = (), max_length: int = 2**28) -> None:
        check_option("max_length", max_length, 1, 2**40)
        if not isinstance(fields, Sequence) or isinstance(fields, str):
            raise InvalidConfig(f"fields are {fields!r:.60}; expected a list of fields, as `ult describe` writes it")
        self.fields = tuple(one if isinstance(one, Field) else Field.read(one) for one in fields)
        check_fields(self.fields)
        every = list(flat(self.fields))
        self.first_marker = FIRST_BIN + max((one.bins for one in every if one.kind == "number"), default=0)
        self.alphabet = self.first_marker + len(every)
        self.kinds: list[Kind] = []  # of every field, in the order of the markers
        for number, one in enumerate(every):
            after = every[number + 1].edges_by if number + 1 < len(every) and every[number + 1].by else {}
            wanted = max((len(code.encode("utf-8", "surrogatepass")) for code in after), default=0)
            wanted = max_length if one.carried else wanted
            kind = kind_of(one, self.first_marker + number, self.alphabet, wanted)
            self.alphabet += kind.more
            self.kinds.append(kind)
        self.lossless = all(kind.lossless for kind in self.kinds)  # type: ignore[misc]
        self.max_length, self.max_patch = max_length, max([MAX_PATCH, *(kind.max_patch for kind in self.kinds)])
        self.max_symbols = max_length
        self._places = _places(self.fields)
        self._joins = [bool(one.by) for one in self.fields]
        self._row_joins: dict[int, list[bool]] = {}  # of the fields of each row, after its marker
        for k, one in enumerate(self.fields):
            self._row_joins[k] = [False, *(inner.by != "" or j == 0 for j, inner in enumerate(one.fields))]
        self._reader = Reader(self.fields, self.kinds, self.first_marker)

    def encode(self, record: Record) -> Patches:
        """Return the patches of a record; raise `InvalidRecord` for a cell that its field does not accept."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[Record]) -> Patches:
        """Return the patches of several records, encoded a column at a time."""
        by_column = Columns.of(records, self.fields)
        tables = _Tables(self, by_column)
        found, joins = [], list[bool]()
        for k, one in enumerate(self.fields):
            if one.kind == "rows":
                found.append(self._rows(k, tables))
            else:
                found.append(self._column(self._places[k], k, by_column.columns, tables))
            joins.append(self._joins[k])
            if one.required and one.kind == "rows" and not tables.columns[k].counts.all():
                found.append(self._no_rows(k, tables))
                joins.append(False)
        patches = interleaved(found, joins)
        sizes = np.diff(np.append(0, patches.ends)[patches.records], prepend=0)
        if len(sizes) and (longest := int(sizes.max())) > self.max_length:
            raise InvalidRecord(f"record has {longest} symbols; expected at most {self.max_length}")
        return patches

    def _rows(self, k: int, tables: _Tables) -> Patches:
        """Return the rows of field `k`: each a marker and the fields of the row."""
        place, rows = self._places[k], tables.columns[k]
        marks = self.kinds[place].encode(range(rows.total), Beside())
        cells = [self._column(place + 1 + j, j, rows.columns, tables, k) for j in range(len(rows.columns))]
        return grouped(interleaved([marks, *cells], self._row_joins[k]), rows.counts)

    def _no_rows(self, k: int, tables: _Tables) -> Patches:
        """Return, for each record without rows of field `k`, which are required, the marker and NULL."""
        none = tables.columns[k].counts == 0
        heads, ends = np.full(len(none), NULL, np.int64), np.zeros(len(none), np.int64)
        return short(self.kinds[self._places[k]].marker, heads, none, np.empty(0, np.uint8), ends)

    def _column(self, place: int, j: int, columns: Sequence[Any], tables: _Tables, of: int | None = None) -> Patches:
        kind = self.kinds[place]
        try:
            return kind.encode(columns[j], tables.beside(place, columns[j - 1] if kind.field.by else None))
        except InvalidRecord as error:
            inner = f" of {self.fields[of].name!r}" if of is not None else ""
            what = f"{kind.field.name!r}{inner}: {error.what}"
            raise InvalidRecord(what, hint=error.hint, value=of if of is not None else j) from None

    def decode(self, symbols: Symbols) -> Record:
        """Return the record; raise `CorruptSymbols` unless it encodes to these symbols."""
        checked = self._check(symbols)
        return self.decode_batch(checked, np.array([len(checked)], np.int64))[0]

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[Record]:
        """Return the records whose symbols end at `ends`; raise `CorruptSymbols` unless they encode to these."""
        checked = self._in_alphabet(symbols)
        if len(ends) and int(np.diff(ends, prepend=0).max()) > self.max_symbols:
            raise CorruptSymbols(f"a record has more than {self.max_symbols} symbols")
        records = self._reader.records(checked, ends)
        try:
            again = self.encode_batch(records)
        except InvalidRecord as error:
            raise CorruptSymbols(f"symbols spell no record: {error.what}") from None
        stops = np.append(0, again.ends)[again.records] if len(records) else ends
        if not np.array_equal(again.symbols, checked) or not np.array_equal(stops, ends):
            raise CorruptSymbols("symbols spell a record in another way than its own")
        return records if self.lossless else [tuple(map(_cell, record)) for record in records]

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k for which `decode(symbols[:k])` returns a record."""
        checked, grammar = self._in_alphabet(symbols), self.grammar()
        state = grammar.start()
        found = [0] if grammar.least(state) == 0 else []
        for k, symbol in enumerate(checked.tolist()):
            after = grammar.step(state, symbol)
            if after is None:
                break
            state = after
            if grammar.least(state) == 0:
                found.append(k + 1)
        return np.array(found, np.int64)

    def grammar(self, values: int = 0) -> RecordGrammar:
        """Return the grammar of the symbols that `decode` accepts."""
        return RecordGrammar(self.fields, self.kinds, self.first_marker, self.max_length)

    def usual_grammar(self, values: int = 0) -> RecordGrammar:
        """Return the grammar of records without null in a required field and without unnamed missing values."""
        return RecordGrammar(self.fields, self.kinds, self.first_marker, self.max_length, usual=True)

    def nbytes(self, record: Record) -> int:
        """Return the bytes of all texts in UTF-8, and of all arrays."""
        return sum(nbytes_of(cell) for cell in record)

    def nbytes_of_batch(self, records: Sequence[Record]) -> int:
        """Return the bytes of several records."""
        return records.nbytes if isinstance(records, Columns) else super().nbytes_of_batch(records)

    def config(self) -> dict[str, Any]:
        """Return `fields` and `max_length`."""
        return {"fields": [one.document() for one in self.fields], "max_length": self.max_length}

    @classmethod
    def calibrated(cls, records: Iterable[Record], **options: Any) -> RecordColumns:
        """Return the codec of given fields; `ult describe` infers fields from files."""
        return cls(**options)


class _Tables:
    """The cells of several records by column, and what stands beside those of each field, by its place."""

    def __init__(self, codec: RecordColumns, records: Columns) -> None:
        self.columns = records.columns
        self._days: dict[int, NDArray[np.int64]] = {}  # of each date field, by place
        self._before: dict[int, NDArray[np.int64]] = {}  # and the day before each of its dates
        self._firsts: dict[int, Flags] = {}  # of each carried field, the first rows of records
        last = np.full(len(records), NO_DAY, np.int64)
        for k, one in enumerate(codec.fields):
            place = codec._places[k]
            if one.kind == "date":
                self._before[place] = last
                days = self._days[place] = codec.kinds[place].days(self.columns[k], Beside())
                last = np.where(days != NO_DAY, days, last)
            elif one.kind == "rows":
                last = self._of_rows(codec, k, place, last)

    def _of_rows(self, codec: RecordColumns, k: int, place: int, last: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look at the rows of field `k`, before which the days `last` stand; return the last day of each record."""
        rows = self.columns[k]
        firsts = np.zeros(rows.total, np.bool_)
        firsts[(rows.ends - rows.counts)[rows.counts > 0]] = True
        inner = list(enumerate(codec.fields[k].fields, place + 1))
        self._firsts |= {at: firsts for at, one in inner if one.carried}
        dated = [at for at, one in inner if one.kind == "date"]
        if not dated:
            return last
        for at in dated:
            cells: Cells = rows.columns[at - place - 1]
            self._days[at] = codec.kinds[at].days(cells, Beside(firsts=self._firsts.get(at)))
        before, last = _carried_days(np.stack([self._days[at] for at in dated], 1), rows.counts, last)
        self._before |= {at: before[:, column] for column, at in enumerate(dated)}
        return last

    def beside(self, place: int, codes: Cells | None) -> Beside:
        """Return what stands beside the cells of the field at `place`; `codes` are those of its field `by`."""
        return Beside(codes, self._days.get(place), self._before.get(place), self._firsts.get(place))


def _carried_days(
    days: NDArray[np.int64], counts: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each date of rows, the day before it in its record, and the last day of each record.

    `days` is (rows, dates), `counts` and `last` (records,): the rows of each record, and the last day before these.
    """
    width = days.shape[1]
    sizes = counts * width
    starts = np.cumsum(sizes) - sizes
    line = np.concatenate([[NO_DAY], days.reshape(-1)])
    at = np.arange(len(line))
    latest = np.maximum.accumulate(np.where(line != NO_DAY, at, 0))  # the newest date up to each place, 0 for none
    record = np.repeat(np.arange(len(counts)), sizes)
    before = np.where(latest[:-1] > starts[record], line[latest[:-1]], last[record])
    ends = starts + sizes
    after = np.where(latest[ends] > starts, line[latest[ends]], last)
    return before.reshape(days.shape), after


def _places(fields: Sequence[Field]) -> list[int]:
    """Return the place of each field in the order of the markers."""
    sizes = [1 + len(one.fields) for one in fields]
    return [0, *itertools.accumulate(sizes[:-1])]


def _cell(found: Cell) -> Cell:
    """Return a cell that was read, without its symbols."""
    if isinstance(found, Given):
        return found.cell
    return tuple(tuple(map(_cell, row)) for row in found) if type(found) is tuple else found
