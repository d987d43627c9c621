"""The contract between records and symbols that every codec keeps; `tests/laws.py` tests it once for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

if TYPE_CHECKING:
    from ult.codecs.grammar import Grammar

T = TypeVar("T")
# (n,) uint32, every value < codec.alphabet; inside batches narrower where the alphabet allows.
Symbols = NDArray[Any]
Ends = NDArray[np.int64]  # exclusive ends, never falling


@dataclass(frozen=True, slots=True)
class Patches:
    """The symbols of one or more records, cut into the patches that phrases never cross.

    `symbols` is (n,) uint32, or uint8 where an `encode_batch` has bytes. `ends` is (p,) int64: where each patch ends
    in `symbols`, rising, the last is n. `records` is (r,) int64: where each record ends in `ends`, never falling, the
    last is p; a record may be empty.
    """

    symbols: Symbols
    ends: Ends
    records: Ends

    @classmethod
    def one(cls, symbols: Symbols, ends: Ends) -> Patches:
        """Return the patches of a single record."""
        return cls(symbols, ends, np.array([len(ends)], np.int64))

    @classmethod
    def concatenate(cls, many: Sequence[Patches]) -> Patches:
        """Return the records of `many`, one after the other."""
        if not many:
            return cls(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64))
        symbol_base = np.cumsum([0] + [len(p.symbols) for p in many[:-1]])
        patch_base = np.cumsum([0] + [len(p.ends) for p in many[:-1]])
        return cls(
            np.concatenate([p.symbols for p in many]),
            np.concatenate([p.ends + base for p, base in zip(many, symbol_base, strict=True)]),
            np.concatenate([p.records + base for p, base in zip(many, patch_base, strict=True)]),
        )


class Codec(ABC, Generic[T]):
    """Record <-> symbols for one modality: stateless, public, deterministic, without secrets.

    For every record x: `decode(encode(x).symbols)` is x (lossless), or projects it: decoding, encoding and decoding
    again changes nothing more (lossy). For any symbols, `decode` returns a record or raises `CorruptSymbols`.
    """

    id: ClassVar[str]  # a format promise: the same id decodes the same symbols for ever
    modality: ClassVar[str]  # "text", "image", "series", "molecule"
    lossless: ClassVar[bool]
    calibrates: ClassVar[bool] = False  # whether `calibrated` reads the records
    alphabet: int  # symbols are range(alphabet)
    max_length: int  # the longest record, in the codec's own unit; decode refuses more before it allocates
    max_patch: int  # symbols in the longest patch
    max_symbols: int  # symbols in the longest record

    @abstractmethod
    def encode(self, record: T) -> Patches:
        """Return the patches of `record`; raise `InvalidRecord` if it is not one."""

    @abstractmethod
    def decode(self, symbols: Symbols) -> T:
        """Return the record that `symbols` spell; raise `CorruptSymbols` if no encode could have made them."""

    @abstractmethod
    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return, rising, every k for which `decode(symbols[:k])` returns a record."""

    @abstractmethod
    def nbytes(self, record: T) -> int:
        """Return the bytes of the original data in `record`."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this codec again, JSON values only."""

    def encode_batch(self, records: Sequence[T]) -> Patches:
        """Return the patches of many records."""
        return Patches.concatenate([self.encode(record) for record in records])

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[T]:
        """Return the records whose symbols end at `ends` in `symbols`."""
        return [self.decode(part) for part in cut(symbols, ends)]

    def grammar(self, values: int = 0) -> Grammar[Any] | None:
        """Return which symbols may follow which, as `decode` takes them; None if only whole records can tell.

        `values` is how many values a record has, if all have as many.
        """
        return None

    @classmethod
    def calibrated(cls, records: Iterable[T], **options: Any) -> Self:
        """Return a codec whose config suits `records`; most codecs need not look at them."""
        return cls(**options)

    def _check(self, symbols: Symbols) -> Symbols:
        """Return `symbols` as uint32; raise `CorruptSymbols` unless they lie in the alphabet and in bounds."""
        if np.size(symbols) > self.max_symbols:
            raise CorruptSymbols(f"{np.size(symbols)} {self.id} symbols; expected at most {self.max_symbols}")
        return self._in_alphabet(symbols)

    def _in_alphabet(self, symbols: Symbols) -> Symbols:
        """Return `symbols` as uint32; raise `CorruptSymbols` unless they lie in the alphabet."""
        array = np.asarray(symbols)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "ui"):
            raise CorruptSymbols(f"{self.id} symbols are {array.dtype} {array.shape}; expected integers (n,)")
        if array.size and (int(array.min()) < 0 or int(array.max()) >= self.alphabet):
            raise CorruptSymbols(f"{self.id} symbol outside range({self.alphabet})")
        return array.astype(np.uint32, copy=False)


def cut(array: NDArray[Any], ends: Ends) -> list[NDArray[Any]]:
    """Return the pieces of `array` that end at `ends`, as views; eight times as fast as `np.split`."""
    stops = ends.tolist()
    return [array[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def encoded(codec: Codec[T], records: Sequence[T], first: int = 0) -> Patches:
    """Return the patches of records, of which the first is number `first`; say which one it is that is refused."""
    try:
        return codec.encode_batch(records)
    except InvalidRecord as error:
        for number, record in enumerate(records, first):
            try:
                codec.encode(record)
            except InvalidRecord as found:
                if number == 0 and len(records) == 1:
                    raise
                what = f"records[{number}]: {found.what}"
                raise InvalidRecord(what, hint=found.hint, value=found.value) from None
        raise error from None


def check_unmasked(record: object) -> None:
    """Raise `InvalidRecord` at an array with masked values: a codec would encode what the mask hides."""
    if isinstance(record, np.ma.MaskedArray) and np.ma.getmaskarray(record).any():
        masked = int(np.ma.getmaskarray(record).sum())
        raise InvalidRecord(
            f"record is a masked array with {masked} of {record.size} values masked; expected a plain one",
            hint="of a series record.astype(float).filled(numpy.nan)",
        )


def check_option(name: str, value: object, low: float, high: float, *, kind: type = int) -> None:
    """Raise `InvalidConfig` unless `value` is a `kind` from `low` to `high`."""
    numeric = isinstance(value, kind | int if kind is float else kind) and not isinstance(value, bool)
    if not numeric or not low <= value <= high:  # type: ignore[operator]
        raise InvalidConfig(f"{name} is {value!r}; expected {kind.__name__} from {low} to {high}")
