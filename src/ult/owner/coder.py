"""Encode records to ids and decode ids to records, by merges and ranks: the work of a table once it is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, encoded, named
from ult.codecs.batches import BATCH, COLUMNS_BATCH, check_many
from ult.codecs.cells import Cells
from ult.codecs.clipped import clipped
from ult.codecs.patches import Ends, Patches, Symbols, cut
from ult.codecs.record.columns import Columns
from ult.codecs.text import TextBytes
from ult.errors import CorruptSymbols, ValuesClipped
from ult.host import native
from ult.host.arguments import checked, path, text
from ult.owner.bpe.decoder import Spelling
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.text import TextSegmenter
from ult.public.vocabulary import N_SPECIAL

_IDS = np.dtype(np.uint32)
_FIRST = np.uint32(N_SPECIAL)
BATCH_IDS = 2**17  # the most ids that are decoded together, as processors cache them; a single record may have more


class Coder:
    """Encodes records to ids and decodes ids to records.

    Units are the symbols, `range(codec.alphabet)`, and then the phrases: phrase `codec.alphabet + k` joins the two
    earlier units `merges[k]`. `merges` is (m, 2) int32. `ranks` (units,) int32 lists the units by id: id
    `N_SPECIAL + r` stands for the unit `ranks[r]`.
    """

    def __init__(self, codec: Codec[Any], merges: NDArray[np.int32], ranks: NDArray[np.int32]) -> None:
        self.codec = codec
        self._merges, self._ranks = merges, ranks
        self._ids = np.empty(len(ranks), np.uint32)  # the id of each unit
        self._ids[ranks] = np.arange(N_SPECIAL, N_SPECIAL + len(ranks), dtype=np.uint32)
        self._spelling = Spelling(merges, ranks, codec.alphabet, codec.max_patch)

    @property
    def size(self) -> int:
        """The number of ids that the table uses, special tokens included; at most `vocabulary.size`."""
        return N_SPECIAL + len(self._ranks)

    @property
    def merges(self) -> NDArray[np.int32]:
        """The pairs of units that the phrases join, (m, 2) int32, as `Coder` says. This is the secret itself."""
        return self._merges.copy()

    @property
    def ranks(self) -> NDArray[np.int32]:
        """The units by id, (units,) int32, as `Coder` says."""
        return self._ranks.copy()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of symbols that each id from `N_SPECIAL` on spells, (ids,) int64."""
        return self._spelling.lengths.copy()

    def spellings(self) -> list[Symbols]:
        """Return the symbols of each id from `N_SPECIAL` on, (n,) uint32 each. This is the secret itself."""
        ranks, ends = np.arange(len(self._ranks), dtype=np.uint32), np.cumsum(self._spelling.lengths)
        return cut(self._spelling.spell(ranks, int(ends[-1])).astype(np.uint32), ends)

    def encode_phrases(self, phrases: Sequence[Symbols]) -> list[NDArray[np.uint32]]:
        """Return the ids of each phrase alone, (n,) uint32; a phrase is given as the symbols (n,) of one patch."""
        if not phrases:
            return []
        ends = np.cumsum([len(symbols) for symbols in phrases])
        symbols = np.concatenate(phrases).astype(np.uint32)
        return cut(*self._segmenter.ids(Patches(symbols, ends, np.arange(1, len(phrases) + 1))))

    @cached_property
    def _text(self) -> TextSegmenter | None:
        """What writes texts in one pass; None where the kernels in C were not built."""
        library = native.library()
        return None if library is None else TextSegmenter(library, self._merges, self._ids)

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self._merges, self._ids, self.codec.alphabet, self.codec.max_patch)

    def encode(self, record: Any) -> NDArray[np.uint32]:
        """Return the ids of a record, (n,) uint32. Raises `InvalidRecord` if the codec cannot encode it.

        Warns as `encode_batch` does.
        """
        ids, _ = self._encode([record])
        self._warn(*clipped(self.codec, [record]))
        return ids

    def encode_batch(self, records: Sequence[Any]) -> list[NDArray[np.uint32]]:
        """Return the ids of each record, (n,) uint32 each. Raises `InvalidRecord`.

        Values outside the range of `series/mulaw` are clipped to it; one `ValuesClipped` warning per call says how
        many.
        """
        ids, ends, outside, values = self._many(records, look=True)
        self._warn(outside, values)
        return cut(ids, ends)

    def encode_ragged(self, records: Sequence[Any], *, warn: bool = True) -> tuple[NDArray[np.uint32], Ends]:
        """Return the ids of all records in one array, (n,) uint32, and where each record ends in it, (r,) int64.

        Arrow holds lists in this form, and for short records it is much faster than a list of arrays. Warns as
        `encode_batch` does unless `warn` is False, for a caller that counts clipped values itself. Raises
        `InvalidRecord`.
        """
        ids, ends, outside, values = self._many(records, look=warn)
        self._warn(outside, values)
        return ids, ends

    @checked(path=path, column=text())
    def encode_file(self, path: str | Path, *, column: str | None = None) -> tuple[NDArray[Any], Ends]:
        """Return the ids of all texts of a file in one array, (n,), and where each text ends in it, (r,) int64.

        The ids are uint16 if the table has up to 65,536 of them, else uint32. Each line of a `.txt` is a text; of a
        table `column` holds the texts, and may be left out if only one fits. `ult.encode` takes all codecs, and writes
        what does not fit into memory. Raises `SourceError` or `InvalidRecord`, with file and row, or `InvalidConfig`.

        For example, the ids of a text file, of which nothing but the ids is kept:

            ids, ends = table.encode_file("notes.txt")
        """
        from ult.owner.lines import ids_of_file  # readers of files, which bring Arrow

        whole = self._text if isinstance(self.codec, TextBytes) else None
        return ids_of_file(path, column, self.codec, whole, self.encode_ragged, self.size)

    def encode_lines(self, piece: object) -> tuple[tuple[NDArray[np.uint32], Ends], int] | None:
        """Return what `encode_ragged` does of a piece of an input, and the bytes of its texts, if it is lines alone.

        None if it is not, or has a line that whoever reads it must name in an error. Raises `SourceError`.
        """
        from ult.owner.lines import ids_of_piece

        return ids_of_piece(piece, self.codec, self._text if isinstance(self.codec, TextBytes) else None)

    def _many(self, records: Sequence[Any], *, look: bool) -> tuple[NDArray[np.uint32], Ends, int, int]:
        """Return ids, ends, the number of clipped values and the number of values; both are 0 unless `look` is set."""
        check_many(records)
        if isinstance(self.codec, TextBytes) and self._text is not None and type(records) in (list, tuple):
            ragged = self._text.ids_of_list(list(records), self.codec.max_length)
            if ragged is not None:
                return *ragged, 0, 0
        many, outside, values = [], 0, 0
        size = COLUMNS_BATCH if isinstance(records, Columns | Cells) else BATCH
        for first in range(0, len(records), size):
            batch = records[first : first + size]
            many.append(self._encode(batch, first))
            if look:
                found = clipped(self.codec, batch)
                outside, values = outside + found[0], values + found[1]
        if len(many) == 1:
            return *many[0], outside, values
        bases = np.cumsum([0, *(len(ids) for ids, _ in many)])
        ends = [ends + base for (_, ends), base in zip(many, bases, strict=False)]
        flat = np.concatenate([np.empty(0, np.uint32), *(ids for ids, _ in many)])
        return flat, np.concatenate([np.empty(0, np.int64), *ends]), outside, values

    def _encode(self, records: Sequence[Any], first: int = 0) -> tuple[NDArray[np.uint32], Ends]:
        if isinstance(self.codec, TextBytes) and self._text is not None:
            return self._text.ids(*named(self.codec, self.codec.joined, records, first))
        return self._segmenter.ids(encoded(self.codec, records, first))

    def _warn(self, outside: int, values: int) -> None:
        if outside:
            warnings.warn(
                f"{outside:,} of {values:,} values lie outside the range of {self.codec.id} and come back as an end of "
                "it",
                ValuesClipped,
                stacklevel=3,
            )

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> Any:
        """Return the record that `ids` (n,) spell. Raises `CorruptSymbols` if they spell none."""
        ranks = self._check(_integers(ids))
        (size,) = self._ends(ranks, np.array([len(ranks)]))
        return self.codec.decode(self._spelling.spell(ranks, int(size)))

    def decode_batch(self, many: Sequence[Sequence[int] | NDArray[Any]]) -> list[Any]:
        """Return the record of each sequence of ids (n,). Raises `CorruptSymbols` if one spells none."""
        if not isinstance(many, Sequence | np.ndarray):
            raise CorruptSymbols(f"ids are of type {type(many).__name__}; expected those of several records")
        if len(many) == 0:
            return []
        ours = all(isinstance(ids, np.ndarray) and ids.dtype == _IDS for ids in many)  # as `encode_batch` returns them
        flat = np.concatenate(many if ours else [_integers(ids) for ids in many])
        return self.decode_ragged(flat, np.cumsum(np.fromiter(map(len, many), np.int64, len(many))))

    def decode_ragged(self, ids: Sequence[int] | NDArray[Any], ends: Ends) -> list[Any]:
        """Return the records whose ids end at `ends` (r,) in `ids` (n,), the form that `encode_ragged` returns.

        Raises `CorruptSymbols` if a record's ids spell none, or if the ends do not rise to n.
        """
        return [record for records in self.decode_ragged_batches(ids, ends) for record in records]

    def decode_ragged_batches(self, ids: Sequence[int] | NDArray[Any], ends: Ends) -> Iterator[list[Any]]:
        """Yield the records of `decode_ragged` in order, in lists that are small enough to need little memory."""
        for symbols, symbol_ends in self._spelled(ids, ends, BATCH):
            yield self.codec.decode_batch(symbols, symbol_ends)

    def decode_cells(self, ids: Sequence[int] | NDArray[Any], ends: Ends) -> Iterator[Sequence[Any]]:
        """Yield the records as `decode_ragged_batches` does, but texts as `Cells` where they are UTF-8."""
        if not isinstance(self.codec, TextBytes):
            yield from self.decode_ragged_batches(ids, ends)
            return
        for symbols, symbol_ends in self._spelled(ids, ends, COLUMNS_BATCH):
            yield self.codec.decode_cells(symbols, symbol_ends)

    def _spelled(self, ids: Sequence[int] | NDArray[Any], ends: Ends, most: int) -> Iterator[tuple[Symbols, Ends]]:
        """Yield the symbols of records in order, of `most` at a time, and where each record ends in them."""
        array, stops = _integers(ids), np.asarray(ends, np.int64)
        rising = stops.ndim == 1 and bool((np.diff(stops, prepend=0) >= 0).all())
        if not rising or (int(stops[-1]) if len(stops) else 0) != len(array):
            raise CorruptSymbols(f"ends do not rise to {len(array)}, the number of ids")
        first = start = 0
        while first < len(stops):
            fitting = int(np.searchsorted(stops, start + BATCH_IDS, side="right"))
            last = min(first + most, max(first + 1, fitting))
            run, batch = self._check(array[start : stops[last - 1]]), stops[first:last] - start
            symbol_ends = self._ends(run, batch)
            yield self._spelling.spell(run, int(symbol_ends[-1])), symbol_ends
            first, start = last, int(stops[last - 1])

    def _ends(self, ranks: NDArray[np.uint32], stops: Ends) -> Ends:
        """Return where each record ends in the symbols, (r,) int64.

        Raises `CorruptSymbols` if one has more symbols than the codec allows, before any memory is taken for them.
        """
        ends = self._spelling.ends(ranks, stops)
        longest = int(np.diff(ends, prepend=0).max())
        if longest > self.codec.max_symbols:
            raise CorruptSymbols(f"ids spell {longest} symbols; {self.codec.id} has at most {self.codec.max_symbols}")
        return ends

    def decode_prefix(self, ids: Sequence[int] | NDArray[Any]) -> tuple[Any, int]:
        """Return the record that the longest possible prefix of `ids` (n,) spells, and the number of ids in it.

        It is for the output of a model. The prefix ends before the first id that is special or unknown. Raises
        `CorruptSymbols` if no prefix spells a record.
        """
        array = _integers(ids)
        valid = (array >= N_SPECIAL) & (array < self.size)
        ranks = self._check(array[: len(array) if valid.all() else int(valid.argmin())])
        ends = np.append(0, np.cumsum(self._spelling.lengths[ranks]))
        ranks = ranks[: int(np.searchsorted(ends, self.codec.max_symbols, side="right")) - 1]
        symbols = self._spelling.spell(ranks, int(ends[len(ranks)]))
        used = np.flatnonzero(np.isin(ends[: len(ranks) + 1], self.codec.prefixes(symbols)))
        if not len(used):
            raise CorruptSymbols(f"no prefix of these {len(array)} ids spells a record of {self.codec.id}")
        last = int(used[-1])
        return self.codec.decode(symbols[: int(ends[last])]), last

    def _check(self, ids: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the ranks of `ids`, (n,) uint32. Raises `CorruptSymbols` if an id is special or outside the table."""
        if ids.dtype == _IDS:
            ranks = ids - _FIRST  # a special id wraps around to a large rank, which is refused below
            valid = not ranks.size or int(ranks.max()) < len(self._ranks)
        else:
            valid = not ids.size or N_SPECIAL <= int(ids.min()) <= int(ids.max()) < self.size
            ranks = (ids - N_SPECIAL).astype(np.uint32) if valid else ids
        if not valid:
            raise CorruptSymbols(f"an id is special or outside the table; expected {N_SPECIAL} to {self.size - 1}")
        return ranks


def _integers(ids: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
    try:
        array = np.asarray(ids)
    except (ValueError, OverflowError):
        raise CorruptSymbols("ids are not integers (n,)") from None
    if array.size == 0 and array.ndim == 1:
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise CorruptSymbols(f"ids are {array.dtype} {array.shape}; expected integers (n,)")
    return array
