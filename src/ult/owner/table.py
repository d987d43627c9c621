"""The secret half: a codec, the phrases learned on the owner's data, and their ranks, which are the ids."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ult.codecs import codec_class
from ult.codecs.base import Codec, Ends, Patches, Symbols, cut, encoded
from ult.codecs.batches import BATCH, batched, check_many
from ult.codecs.columns import kept
from ult.errors import CorruptSymbols, FormatError, InvalidConfig
from ult.owner import keyfile, table_format
from ult.owner.bpe.counts import CAPACITY, PatchCounts
from ult.owner.bpe.decoder import Spelling
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.merges import learn_merges
from ult.owner.bpe.private_counts import ROOM, bounded, check_asked, promise, release, without_records
from ult.public.guarantee import Guarantee
from ult.public.vocabulary import N_SPECIAL, Vocabulary

_IDS = np.dtype(np.uint32)
_FIRST = np.uint32(N_SPECIAL)
_SYSTEM = secrets.SystemRandom()  # no seed, and nothing that was drawn tells what will be
BATCH_IDS = 2**20  # decoded together, at most, but for one record


class Table:
    """Encodes records to ids and back; fitted by counting; the owner's secret.

    >>> table = Table.fit(["to be or not to be", "to be is to do"], vocabulary=Vocabulary(size=320))
    >>> ids = table.encode("to be or not")
    >>> ids.dtype, len(ids)
    (dtype('uint32'), 4)
    >>> table.decode(ids)
    'to be or not'
    """

    def __init__(
        self,
        *,
        codec: Codec[Any],
        vocabulary: Vocabulary,
        merges: NDArray[np.int32],
        ranks: NDArray[np.int32],
        counts: NDArray[np.int64],
        records: int,
        min_records: int,
        fields: Sequence[str] = (),
        privacy: Guarantee | None = None,
        public: bool = False,
        secret_ids: bool = False,
    ) -> None:
        """Make a table of its parts; use `fit` or `load`.

        Units are symbols, `range(codec.alphabet)`, then `codec.alphabet + k` for `merges[k]` (m, 2), a pair of
        earlier units. `ranks` (units,) lists them by id, and `counts` (units,) says how often each occurred when
        the table was fitted: falling, or, with `secret_ids`, in any order. Id `N_SPECIAL + r` is the unit `ranks[r]`.
        """
        self.codec, self.vocabulary = codec, vocabulary
        self.records, self.min_records, self.fields = records, min_records, tuple(fields)
        self.privacy = privacy  # what each record was promised; None is nothing
        self.public = public  # whether its owner declared that all records it was fitted on are public
        self.secret_ids = secret_ids  # whether ids were drawn, and do not tell which phrase is how common
        self._merges, self._ranks, self._counts = merges, ranks, counts
        self._ids = np.empty(len(ranks), np.uint32)  # of each unit
        self._ids[ranks] = np.arange(N_SPECIAL, N_SPECIAL + len(ranks), dtype=np.uint32)
        self._spelling = Spelling(merges, ranks, codec.alphabet, codec.max_patch)

    @classmethod
    def fit(
        cls,
        records: Iterable[Any],
        *,
        codec: str | Codec[Any] = "text/bytes",
        vocabulary: Vocabulary,
        min_records: int = 1,
        fields: Sequence[str] = (),
        capacity: int = CAPACITY,
        epsilon: float | None = None,
        delta: float | None = None,
        patches_per_record: int | None = None,
        public: bool = False,
        secret_ids: bool = False,
        allow_lost: bool = False,
    ) -> Table:
        """Return the table of a multiset of records; their order changes nothing.

        A phrase enters only if at least `min_records` distinct records hold it. `fields` names the values of a wide
        numeric record and is kept with the secret. A column or place that `series/mulaw` would lose is refused
        (`ult.codecs.columns`), but with `allow_lost`. If the distinct patches
        have more than `capacity` symbols, the records are read twice, and the rarest patches are left out (see
        `ult.owner.bpe.counts`); of an iterator that is an error. With `epsilon` each record has differential privacy,
        and each fit draws anew: see `ult.owner.bpe.private_counts`; with `secret_ids` it draws which phrase has which
        id. `public` declares that everyone may read these records. Raises `InvalidRecord`, `InvalidConfig` or
        `UnknownCodec`.
        """
        most = check_asked(epsilon, delta, patches_per_record, min_records, public=public)
        counts = PatchCounts(min_records=min_records, capacity=capacity if most is None else max(capacity, ROOM))
        check_many(records)
        if isinstance(codec, str) and most is not None:
            codec = without_records(codec_class(codec), {})
        elif isinstance(codec, str):
            if iter(records) is records and codec_class(codec).calibrates:
                records = list(records)  # it is read twice
            codec = codec_class(codec).calibrated(records)
        for batch in batched(records if allow_lost else kept(records, codec, fields)):
            patches = encoded(codec, batch, counts.records)
            counts.add(patches if most is None else bounded(patches, most))
        privacy = None
        if epsilon is not None and most is not None:
            privacy = promise(epsilon, delta, patches=most, records=counts.records)
        elif counts.over_capacity:
            if iter(records) is records:
                raise InvalidConfig(
                    f"the distinct patches have more than {capacity} symbols, and the records can be read only once",
                    hint="give them as a list, or a greater capacity",
                )
            counts = counts.second_pass()
            for batch in batched(records):
                counts.add(encoded(codec, batch, counts.records))
        about: dict[str, Any] = {"codec": codec, "vocabulary": vocabulary, "fields": fields}
        return cls.from_counts(counts, **about, privacy=privacy, public=public, secret_ids=secret_ids)

    @classmethod
    def from_counts(
        cls,
        counts: PatchCounts,
        *,
        codec: Codec[Any],
        vocabulary: Vocabulary,
        fields: Sequence[str] = (),
        privacy: Guarantee | None = None,
        public: bool = False,
        secret_ids: bool = False,
        draw: Callable[[list[int]], None] = _SYSTEM.shuffle,
    ) -> Table:
        """Return the table of counted patches: learn merges until the vocabulary is full, rank units by use.

        With `secret_ids`, `draw` puts the ids in a secret order: the operating system's, but in a test. With
        `privacy`, what `ult.owner.bpe.private_counts.promise` gave, from noisy counts of records that were `bounded`.
        """
        least = N_SPECIAL + codec.alphabet
        if vocabulary.size < least:
            raise InvalidConfig(
                f"vocabulary of {vocabulary.size} ids is too small for {codec.id}; expected at least {least}",
                hint=f"--vocabulary-size {max(1024, 1 << (least - 1).bit_length())}",
            )
        if counts.records == 0:
            raise InvalidConfig("there are no records to fit a table on")
        symbols, ends, weight, holders = counts.patches() if privacy is None else release(counts, privacy)
        # No phrase is held by more records than there are; nor is room made to count so many.
        room = vocabulary.size - least if counts.min_records <= counts.records else 0
        merges, uses = learn_merges(symbols, ends, weight, holders, codec.alphabet, room, counts.min_records)
        ranks = np.lexsort((np.arange(len(uses)), -uses)).astype(np.int32)
        if secret_ids:
            order = list(range(len(ranks)))
            draw(order)
            ranks = ranks[order]
        return cls(
            codec=codec,
            vocabulary=vocabulary,
            merges=merges,
            ranks=ranks,
            counts=uses[ranks],
            records=counts.records,
            min_records=counts.min_records,
            fields=fields,
            privacy=privacy,
            public=public,
            secret_ids=secret_ids,
        )

    # ---- records <-> ids

    @property
    def size(self) -> int:
        """How many ids the table uses, special tokens included; at most `vocabulary.size`."""
        return N_SPECIAL + len(self._ranks)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each id from `N_SPECIAL` on occurred in fitting, (ids,) int64: falling, but with `secret_ids`."""
        return self._counts.copy()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many symbols each id from `N_SPECIAL` on spells; (ids,) int64."""
        return self._spelling.lengths.copy()

    def spellings(self) -> list[Symbols]:
        """Return the symbols (n,) of each id from `N_SPECIAL` on: the secret itself, for its owner and scores."""
        ranks, ends = np.arange(len(self._ranks), dtype=np.uint32), np.cumsum(self._spelling.lengths)
        return cut(self._spelling.spell(ranks, int(ends[-1])).astype(np.uint32), ends)

    def encode_phrases(self, phrases: Sequence[Symbols]) -> list[NDArray[np.uint32]]:
        """Return the ids (n,) that write each of `phrases`, symbols (n,) of one patch, by itself."""
        if not phrases:
            return []
        ends = np.cumsum([len(symbols) for symbols in phrases])
        symbols = np.concatenate(phrases).astype(np.uint32)
        return cut(*self._segmenter.ids(Patches(symbols, ends, np.arange(1, len(phrases) + 1))))

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self._merges, self._ids, self.codec.alphabet, self.codec.max_patch)

    def encode(self, record: Any) -> NDArray[np.uint32]:
        """Return the ids (n,) of a record; raise `InvalidRecord` if it is none for the codec."""
        return self._encode([record])[0]

    def encode_batch(self, records: Sequence[Any]) -> list[NDArray[np.uint32]]:
        """Return the ids (n,) of each record."""
        return cut(*self.encode_ragged(records))

    def encode_ragged(self, records: Sequence[Any]) -> tuple[NDArray[np.uint32], Ends]:
        """Return the ids (n,) of all records, one after the other, and where each record ends in them (r,) int64.

        As Arrow holds lists, and much faster than a list of arrays where records are short.
        """
        check_many(records)
        many = [self._encode(records[first : first + BATCH], first) for first in range(0, len(records), BATCH)]
        if len(many) == 1:
            return many[0]
        bases = np.cumsum([0, *(len(ids) for ids, _ in many)])
        ends = [ends + base for (_, ends), base in zip(many, bases, strict=False)]
        return (
            np.concatenate([np.empty(0, np.uint32), *(ids for ids, _ in many)]),
            np.concatenate([np.empty(0, np.int64), *ends]),
        )

    def _encode(self, records: Sequence[Any], first: int = 0) -> tuple[NDArray[np.uint32], Ends]:
        return self._segmenter.ids(encoded(self.codec, records, first))

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> Any:
        """Return the record that `ids` spell; raise `CorruptSymbols` if they spell none."""
        ranks = self._check(_integers(ids))
        (size,) = self._ends(ranks, np.array([len(ranks)]))
        return self.codec.decode(self._spelling.spell(ranks, int(size)))

    def decode_batch(self, many: Sequence[Sequence[int] | NDArray[Any]]) -> list[Any]:
        """Return the record of each sequence of ids."""
        if len(many) == 0:
            return []
        ours = all(isinstance(ids, np.ndarray) and ids.dtype == _IDS for ids in many)  # as `encode_batch` gives them
        flat = np.concatenate(many if ours else [_integers(ids) for ids in many])
        return self.decode_ragged(flat, np.cumsum(np.fromiter(map(len, many), np.int64, len(many))))

    def decode_ragged(self, ids: Sequence[int] | NDArray[Any], ends: Ends) -> list[Any]:
        """Return the records whose ids end at `ends` (r,) in `ids` (n,), as `encode_ragged` gives them."""
        return [record for records in self.decode_ragged_batches(ids, ends) for record in records]

    def decode_ragged_batches(self, ids: Sequence[int] | NDArray[Any], ends: Ends) -> Iterator[list[Any]]:
        """Give what `decode_ragged` returns, in order, as many records at a time as fit in little memory."""
        array, stops = _integers(ids), np.asarray(ends, np.int64)
        rising = stops.ndim == 1 and bool((np.diff(stops, prepend=0) >= 0).all())
        if not rising or (int(stops[-1]) if len(stops) else 0) != len(array):
            raise CorruptSymbols(f"ends do not rise to {len(array)}, the number of ids")
        ranks, first, start = self._check(array), 0, 0
        while first < len(stops):
            fitting = int(np.searchsorted(stops, start + BATCH_IDS, side="right"))
            last = min(first + BATCH, max(first + 1, fitting))
            run, batch = ranks[start : stops[last - 1]], stops[first:last] - start
            symbol_ends = self._ends(run, batch)
            yield self.codec.decode_batch(self._spelling.spell(run, int(symbol_ends[-1])), symbol_ends)
            first, start = last, int(stops[last - 1])

    def _ends(self, ranks: NDArray[np.uint32], stops: Ends) -> Ends:
        """Return where each record ends in the symbols; refuse one of too many before it is spelled."""
        ends = self._spelling.ends(ranks, stops)
        longest = int(np.diff(ends, prepend=0).max())
        if longest > self.codec.max_symbols:
            raise CorruptSymbols(f"ids spell {longest} symbols; {self.codec.id} has at most {self.codec.max_symbols}")
        return ends

    def decode_prefix(self, ids: Sequence[int] | NDArray[Any]) -> tuple[Any, int]:
        """Return the record of the longest prefix of `ids` that spells one, and how many ids that is.

        For what a model wrote: it stops before the first special or unknown id. Raises `CorruptSymbols` if no prefix
        spells a record.
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
        """Return the ranks of `ids`."""
        if ids.dtype == _IDS:
            ranks = ids - _FIRST  # an id below wraps around, and is as far outside
            valid = not ranks.size or int(ranks.max()) < len(self._ranks)
        else:
            valid = not ids.size or N_SPECIAL <= int(ids.min()) <= int(ids.max()) < self.size
            ranks = (ids - N_SPECIAL).astype(np.uint32) if valid else ids
        if not valid:
            raise CorruptSymbols(f"an id is special or outside the table; expected {N_SPECIAL} to {self.size - 1}")
        return ranks

    # ---- at rest

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that name the table in public; shards carry it, so that a wrong table is an error.

        A hash of the whole table: who can guess the table exactly can confirm the guess, and nobody else learns more.
        """
        return hashlib.sha256(b"ult-table/1 fingerprint\n" + self._payload()).hexdigest()[:32]

    def save(
        self,
        path: str | Path,
        *,
        passphrase: str | None = None,
        recipients: Sequence[str] = (),
        encrypt: bool = True,
        force: bool = False,
    ) -> None:
        """Write the table as an age file, mode 0600, whole or not at all; plain only if `encrypt` is False.

        `recipients` are age X25519 public keys. Raises `InvalidConfig` unless exactly one way is given,
        `OutputExists` if the file is there and `force` is not set.
        """
        encryptor = keyfile.encryptor(passphrase=passphrase, recipients=recipients, encrypt=encrypt)
        keyfile.check_free(path, force=force)
        keyfile.write(path, encryptor(self._payload()), force=force)

    @classmethod
    def load(cls, path: str | Path, *, passphrase: str | None = None, identities: Sequence[str] = ()) -> Table:
        """Read what `save` wrote; `identities` are age X25519 secret keys.

        Raises `MissingSource`, `WrongKey`, `FormatError` or `NewerFormat`.
        """
        payload = keyfile.read(path, passphrase=passphrase, identities=identities)
        try:
            return cls(**table_format.read(payload, path))
        except InvalidConfig as error:  # a phrase too long
            raise FormatError(f"{path} holds a damaged table: {error}") from None

    def cleartext(self) -> bytes:
        """Return the table's document, the secret itself: for another process of its owner, by an `Engine`.

        Never for a disk: `save` encrypts.
        """
        return self._payload()

    @classmethod
    def from_cleartext(cls, payload: bytes) -> Table:
        """Return the table that `cleartext` gave. Raises `FormatError` or `NewerFormat`."""
        return cls(**table_format.read(payload, "a table in memory"))

    def _payload(self) -> bytes:
        return table_format.write(
            codec=self.codec,
            vocabulary=self.vocabulary,
            merges=self._merges,
            ranks=self._ranks,
            counts=self._counts,
            records=self.records,
            min_records=self.min_records,
            fields=self.fields,
            privacy=self.privacy,
            public=self.public,
            secret_ids=self.secret_ids,
        )

    def __repr__(self) -> str:
        return f"<Table {self.codec.id}, {self.size} of {self.vocabulary.size} ids, {self.fingerprint}>"

    def __reduce__(self) -> Never:
        raise TypeError("a table is a secret and is not pickled; use save and load")


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
