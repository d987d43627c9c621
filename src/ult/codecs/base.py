"""The contract between records and symbols that every codec keeps; `tests/laws.py` tests all codecs against it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Patches, Symbols, cut
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

if TYPE_CHECKING:
    from ult.codecs.grammar import Grammar

T = TypeVar("T")
Found = TypeVar("Found")


class Codec(ABC, Generic[T]):
    """Record <-> symbols for one modality: stateless, public, deterministic, without secrets.

    A lossless codec keeps `decode(encode(x).symbols) == x` for every record x. A lossy codec is a projection: encoding
    and decoding what it decoded changes nothing more. For any symbols, `decode` returns a record or raises
    `CorruptSymbols`.
    """

    id: ClassVar[str]  # a format promise: the same id decodes the same symbols in every later version
    modality: ClassVar[str]  # what readers give: "text", "image", "jpeg", "series", "molecule" or "record"
    lossless: ClassVar[bool]
    calibrates: ClassVar[bool] = False  # whether `calibrated` reads the records it is given
    preferred: ClassVar[Mapping[str, float]] = {}  # the options of new tables, where they are not its defaults
    alphabet: int  # symbols are range(alphabet)
    max_length: int  # the longest record, in the codec's own unit; decode refuses more before it allocates
    max_patch: int  # symbols in the longest patch
    max_symbols: int  # symbols in the longest record

    if TYPE_CHECKING:  # a codec that is found by its id takes options, which are numbers

        def __init__(self, **options: float) -> None: ...

    @property
    def family(self) -> str:
        """The modality that the id begins with, which shards and special ids name."""
        return self.id.partition("/")[0]

    @abstractmethod
    def encode(self, record: T) -> Patches:
        """Return the patches of `record`; raise `InvalidRecord` if it is not one."""

    @abstractmethod
    def decode(self, symbols: Symbols) -> T:
        """Return the record that `symbols` spell; raise `CorruptSymbols` if no encode could have made them."""

    @abstractmethod
    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k for which `decode(symbols[:k])` returns a record, (m,) int64, increasing."""

    @abstractmethod
    def nbytes(self, record: T) -> int:
        """Return how many bytes of original data `record` holds."""

    def nbytes_of_batch(self, records: Sequence[T]) -> int:
        """Return how many bytes of original data several records hold."""
        return sum(map(self.nbytes, records))

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that construct an equal codec, as JSON values."""

    def encode_batch(self, records: Sequence[T]) -> Patches:
        """Return the patches of several records; raise `InvalidRecord` if one of them is not a record."""
        return Patches.concatenate([self.encode(record) for record in records])

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[T]:
        """Return the records whose symbols end at `ends` in `symbols`; raise `CorruptSymbols`."""
        return [self.decode(part) for part in cut(symbols, ends)]

    def grammar(self, values: int = 0) -> Grammar[Any] | None:
        """Return the grammar of the symbols that `decode` accepts, or None if only a whole record can be checked.

        `values` is the number of values in each record if all records have the same number, else 0.
        """
        return None

    def usual_grammar(self, values: int = 0) -> Grammar[Any] | None:
        """Return the grammar of records that may be made up: `grammar` without cells that no column is meant to have.

        Its states are those of `grammar`. `least` may be how many runs suffice, of those that `after` was asked about.
        """
        return self.grammar(values)

    @classmethod
    def calibrated(cls, records: Iterable[T], **options: Any) -> Self:
        """Return a codec whose config suits `records`; only codecs with `calibrates` read them."""
        return cls(**{**cls.preferred, **options})

    def _check(self, symbols: Symbols) -> Symbols:
        """Return `symbols` as uint32; raise `CorruptSymbols` if one is outside the alphabet or there are too many."""
        if np.size(symbols) > self.max_symbols:
            raise CorruptSymbols(f"{np.size(symbols)} {self.id} symbols; expected at most {self.max_symbols}")
        return self._in_alphabet(symbols)

    def _in_alphabet(self, symbols: Symbols) -> Symbols:
        """Return `symbols` as uint32; raise `CorruptSymbols` if one is outside the alphabet."""
        array = np.asarray(symbols)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "ui"):
            raise CorruptSymbols(f"{self.id} symbols are {array.dtype} {array.shape}; expected integers (n,)")
        signed = array.dtype.kind == "i"
        if array.size and ((signed and int(array.min()) < 0) or int(array.max()) >= self.alphabet):
            raise CorruptSymbols(f"{self.id} symbol outside range({self.alphabet})")
        return array.astype(np.uint32, copy=False)


def encoded(codec: Codec[T], records: Sequence[T], first: int = 0) -> Patches:
    """Return the patches of `records`; an `InvalidRecord` names the record by its number, counted from `first`."""
    return named(codec, codec.encode_batch, records, first)


def named(codec: Codec[T], how: Callable[[Sequence[T]], Found], records: Sequence[T], first: int) -> Found:
    """Return what `how` says of `records`; an `InvalidRecord` names the record by its number, counted from `first`."""
    try:
        return how(records)
    except InvalidRecord as error:
        for number, record in enumerate(records, first):
            try:
                codec.encode(record)
            except InvalidRecord as refusal:
                if number == 0 and len(records) == 1:
                    raise
                what = f"records[{number}]: {refusal.what}"
                raise InvalidRecord(what, hint=refusal.hint, value=refusal.value) from None
        raise error from None


def check_unmasked(record: object) -> None:
    """Raise `InvalidRecord` if `record` has masked values, because a codec would encode the data under the mask."""
    if isinstance(record, np.ma.MaskedArray) and np.ma.getmaskarray(record).any():
        masked = int(np.ma.getmaskarray(record).sum())
        raise InvalidRecord(
            f"record is a masked array with {masked} of {record.size} values masked; expected a plain one",
            hint="for a series, record.astype(float).filled(numpy.nan)",
        )


def check_option(name: str, value: object, low: float, high: float, *, kind: type = int) -> None:
    """Raise `InvalidConfig` unless `value` is of type `kind` and from `low` to `high`."""
    numeric = isinstance(value, kind | int if kind is float else kind) and not isinstance(value, bool)
    if not numeric or not low <= value <= high:  # type: ignore[operator]
        raise InvalidConfig(f"{name} is {value!r}; expected {kind.__name__} from {low} to {high}")
