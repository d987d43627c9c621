"""The table, the owner's secret: a codec, the phrases learned on the owner's data, and the id of each phrase."""

from __future__ import annotations

import hashlib
import secrets
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ult.codecs import codec_class
from ult.codecs.base import Codec, encoded, named
from ult.codecs.batches import batched, check_many
from ult.codecs.columns import kept
from ult.codecs.options import by_column
from ult.errors import FormatError, InvalidConfig, NoPhrases
from ult.host import arguments
from ult.host.arguments import KEYS, checked, integer, kind, number, switch
from ult.host.shown import Facts, Shown, count
from ult.owner import keyfile, table_format
from ult.owner.bpe.counts import CAPACITY, PatchCounts
from ult.owner.bpe.extended import Base
from ult.owner.bpe.learner import learned
from ult.owner.bpe.private_counts import ROOM, bounded, check_asked, promise, release, without_records
from ult.owner.bpe.public_merges import uses_of
from ult.owner.coder import Coder
from ult.owner.keyfile import Identities, Passphrase
from ult.public.guarantee import Guarantee
from ult.public.vocabulary import N_SPECIAL, Vocabulary

_SYSTEM = secrets.SystemRandom()  # has no seed, and past draws do not reveal later ones
MIN_RECORDS = 5  # default: the number of distinct records that must hold a phrase


def held_by(min_records: int | None, patches: int | None) -> int:
    """Return how many distinct records must hold a phrase: `min_records` if given, else 1 if `patches` is, else 5.

    `patches` is given for a table with a privacy promise only.
    """
    if min_records is not None:
        return min_records
    return MIN_RECORDS if patches is None else 1


class Table(Coder, Shown):
    """Encodes records to ids and decodes ids to records. A table is fitted by counting, and is the owner's secret.

    >>> records = ["to be or not to be", "to be is to do"]  # so few that a phrase of one record is allowed
    >>> table = Table.fit(records, vocabulary=Vocabulary(size=320), min_records=1)
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
        base: Base | None = None,
        updated_from: str = "",
    ) -> None:
        """Make a table from its parts. Use `fit` or `load` instead.

        `merges` (m, 2) int32 and `ranks` (units,) int32 are those of a `Coder`. `counts` (units,) int64 says how often
        the unit of each id occurred when the table was fitted: falling, or in any order with `secret_ids`, for the
        ids of `base` and after an update.
        """
        super().__init__(codec, merges, ranks)
        self.vocabulary = vocabulary
        self.records, self.min_records, self.fields = records, min_records, tuple(fields)
        self.privacy = privacy  # the guarantee for each record; None if there is none
        self.public = public  # whether the owner declared that all records it was fitted on are public
        self.secret_ids = secret_ids  # whether ids were drawn at random, so that they do not reveal how common each is
        self.base = base  # the public table that this one extends; None if all phrases are the owner's
        self.updated_from = updated_from  # the fingerprint of the table that this one updates; "" if it updates none
        self._counts = counts

    @classmethod
    @checked(
        records=lambda name, value: value,
        codec=kind((str, Codec), "a codec's id, or a codec"),
        vocabulary=kind(Vocabulary, "ult.Vocabulary, such as ult.Vocabulary(8192)"),
        min_records=integer(),
        fields=arguments.texts("the name of a value"),
        capacity=integer(1),
        epsilon=number,
        delta=number,
        patches_per_record=integer(),
        public=switch,
        secret_ids=switch,
        base=kind((Base, type(None)), "what as_base() of a public table returns"),
        allow_lost=switch,
    )
    def fit(
        cls,
        records: Iterable[Any],
        *,
        codec: str | Codec[Any] = "text/bytes",
        vocabulary: Vocabulary,
        min_records: int | None = None,
        fields: Sequence[str] = (),
        capacity: int = CAPACITY,
        epsilon: float | None = None,
        delta: float | None = None,
        patches_per_record: int | None = None,
        public: bool = False,
        secret_ids: bool = False,
        base: Base | None = None,
        allow_lost: bool = False,
    ) -> Table:
        """Fit a table on records. The result does not depend on their order.

        A phrase enters the table only if at least `min_records` distinct records hold it. The default is 5, as in
        `ult fit`, or 1 with `epsilon`, whose noisy counts have a threshold of their own. So a table of fewer than 5
        records has no phrases. If none was found and `min_records` was not given, the `NoPhrases` warning says so. With
        1 a phrase of a single record may enter, and whoever gets the table can read it there.

        `fields` names the values of a wide numeric record; the table stores the names. A column or place that a codec
        of series would lose is an error (`ult.codecs.columns`) unless `allow_lost` is set. If the distinct patches
        have more than `capacity` symbols, the records are read twice and the rarest patches are left out (see
        `ult.owner.bpe.counts`); if `records` is an iterator, that is an error. With `epsilon`, each record has
        differential privacy, and each fit draws new noise: see `ult.owner.bpe.private_counts`. With `secret_ids`, the
        order of the ids is drawn at random. `public` declares that everyone may read these records. With `base`, the
        phrases and ids of a public table come first; `min_records` is then of the phrases that are added.

        Raises `InvalidRecord`, `InvalidConfig` or `UnknownCodec`.
        """
        most = check_asked(epsilon, delta, patches_per_record, min_records, public=public)
        unsaid, min_records = min_records is None and most is None, held_by(min_records, most)
        counts = PatchCounts(min_records=min_records, capacity=capacity if most is None else max(capacity, ROOM))
        check_many(records)
        if isinstance(codec, str) and most is not None:
            codec = without_records(codec_class(codec), {})
        elif isinstance(codec, str):
            if iter(records) is records and codec_class(codec).calibrates:
                records = list(records)  # they are read twice
            found = codec_class(codec)
            codec = found.calibrated(records, **by_column(found, fields, {}))
        for batch in batched(records if allow_lost else kept(records, codec, fields)):
            if most is None:
                named(codec, partial(counts.add_records, codec), batch, counts.records)
            else:
                counts.add(bounded(encoded(codec, batch, counts.records), most))
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
                named(codec, partial(counts.add_records, codec), batch, counts.records)
        about: dict[str, Any] = {"codec": codec, "vocabulary": vocabulary, "fields": fields}
        table = cls.from_counts(counts, **about, privacy=privacy, public=public, secret_ids=secret_ids, base=base)
        if unsaid and not table.phrases and table.size < vocabulary.size:
            # The caller is two frames up, above the check of the arguments.
            what = f"the table has no phrases: no sequence of symbols is held by {min_records} distinct records"
            warnings.warn(
                f"{what} (min_records); more records would have some", NoPhrases, stacklevel=3
            )  # that of `fit`, and of its check
        return table

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
        merges: NDArray[np.int32] | None = None,
        base: Base | None = None,
        draw: Callable[[list[int]], None] = _SYSTEM.shuffle,
    ) -> Table:
        """Return the table of counted patches: learn merges until the vocabulary is full, then rank units by use.

        With `merges` (m, 2), those of a public tokenizer, none are learned: as many of them as there is room for are
        taken, in their order, and the records only say how often each unit is used. With `base`, its merges and ids are
        taken over, and what is learned comes after them.

        With `secret_ids`, `draw` shuffles the ids in place; by default it uses the operating system's random numbers.
        With `privacy`, which `ult.owner.bpe.private_counts.promise` returns, the table is made from noisy counts, and
        the counted records must have been `bounded`. Raises `InvalidConfig` if the vocabulary is smaller than the
        codec's alphabet needs, or if there are no records.
        """
        least = check_room(vocabulary, codec, base)
        if base and secret_ids:
            raise InvalidConfig(
                "with a public base its ids are as public as it is; their order cannot be secret",
                hint="secret_ids, or base, not both",
            )
        if counts.records == 0:
            raise InvalidConfig("there are no records to fit a table on")
        symbols, ends, weight, holders = counts.patches() if privacy is None else release(counts, privacy)
        # No phrase has more holders than there are records, so none is looked for if that many are required.
        room = vocabulary.size - least if counts.min_records <= counts.records else 0
        if base is not None:
            of: dict[str, Any] = {"room": room, "min_records": counts.min_records, "longest": codec.max_patch}
            merges, uses = base.learn(symbols, ends, weight, holders, **of)
        elif merges is None:
            merges, uses = learned(symbols, ends, weight, holders, codec.alphabet, room, counts.min_records)
        else:
            merges = merges[: vocabulary.size - least]
            uses = uses_of(symbols, ends, weight, merges, codec.max_patch)
        ranks = base.ranked(uses) if base else np.lexsort((np.arange(len(uses)), -uses)).astype(np.int32)
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
            base=base,
        )

    def as_base(self) -> Base:
        """Return what others take over of this table. Raises `InvalidConfig` unless it was declared public."""
        if not self.public:
            raise InvalidConfig(
                f"table {self.fingerprint} was fitted on records that nobody declared public; a table that extends it "
                "would hand on its phrases",
                hint="a table that its owner made with ult fit --public",
            )
        return Base(self._merges, self._ranks, self.fingerprint)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each id from `N_SPECIAL` on occurred in fitting, (ids,) int64: falling, as `__init__` says."""
        return self._counts.copy()

    @property
    def phrases(self) -> int:
        """The number of phrases, the ids that stand for more than one symbol."""
        return len(self._merges)

    # ---- at rest

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that identify the table in public. Shards carry it, so that a wrong table is an error.

        It is a hash of the whole table: whoever guesses the table exactly can confirm the guess, and it reveals nothing
        else.
        """
        return hashlib.sha256(b"ult-table/1 fingerprint\n" + self._payload()).hexdigest()[:32]

    @checked(
        path=arguments.path,
        passphrase=arguments.secret,
        recipients=arguments.texts("an age public key (age1...)"),
        encrypt=switch,
        force=switch,
    )
    def save(
        self,
        path: str | Path,
        *,
        passphrase: Passphrase | None = None,
        recipients: Sequence[str] = (),
        encrypt: bool = True,
        force: bool = False,
    ) -> None:
        """Write the table as an age file of mode 0600, whole or not at all; unencrypted only if `encrypt` is False.

        `passphrase` may be a function that asks for it, such as `getpass.getpass`; `recipients` are age X25519 public
        keys. Raises `InvalidConfig` unless exactly one of the three ways is given, `OutputExists` if the file exists
        and `force` is not set.
        """
        encryptor = keyfile.encryptor(passphrase=keyfile.told(passphrase), recipients=recipients, encrypt=encrypt)
        keyfile.check_place(path, force=force)
        keyfile.write(path, encryptor(self._payload()), force=force)

    @classmethod
    @checked(path=arguments.path, **KEYS)
    def load(cls, path: str | Path, *, passphrase: Passphrase | None = None, identities: Identities = ()) -> Table:
        """Read a table that `save` wrote.

        `passphrase` may be a function that asks for it, such as `getpass.getpass`; it is called only if the file is
        encrypted with a passphrase. `identities` are age X25519 secret keys, or paths of files that hold some. Raises
        `MissingSource`, `WrongKey`, `FormatError` or `NewerFormat`.
        """
        asked = not callable(passphrase) or keyfile.needs_passphrase(path)
        phrase = keyfile.told(passphrase) if asked else None
        keys = keyfile.secret_keys(identities)
        payload = keyfile.read(path, passphrase=phrase, identities=keys)
        try:
            return cls(**table_format.read(payload, path))
        except InvalidConfig as error:  # a phrase is too long
            raise FormatError(f"{path} holds a damaged table: {error}") from None

    def cleartext(self) -> bytes:
        """Return the table's document unencrypted, for an `Engine` to hand to another process of the same owner.

        Never write it to a disk; `save` encrypts.
        """
        return self._payload()

    @classmethod
    def from_cleartext(cls, payload: bytes) -> Table:
        """Return the table whose `cleartext` this is. Raises `FormatError` or `NewerFormat`."""
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
            base=self.base,
            updated_from=self.updated_from,
        )

    def __repr__(self) -> str:
        return f"<Table {self.codec.id}, {self.size} of {self.vocabulary.size} ids, {self.fingerprint}>"

    def facts(self) -> Facts:
        """Return the table's size and privacy promise as names and values, without any phrase."""
        ids, order = f"{self.size:,} of {self.vocabulary.size:,}", "secret" if self.secret_ids else "ranks"
        return [
            ("codec", self.codec.id),
            ("ids", ids),
            ("phrases", f"{self.phrases:,}"),
            ("fitted on", count(self.records, "record")),
            ("each phrase held by", f"at least {count(self.min_records, 'record')}"),
            ("privacy", "public records" if self.public else str(self.privacy or "no promise")),
            ("order of ids", order),
            *([("extends", f"public table {self.base.table}, {self.base.ids:,} ids")] if self.base else []),
            *([("updates", f"table {self.updated_from}")] if self.updated_from else []),
            ("fingerprint", self.fingerprint),
        ]

    def __reduce__(self) -> Never:
        raise TypeError("a table is a secret and is not pickled; use save and load")


def check_room(vocabulary: Vocabulary, codec: Codec[Any], base: Base | None = None) -> int:
    """Return how many ids are taken before any phrase is learned; raise `InvalidConfig` if there are fewer.

    These are the special ids and those of the codec's alphabet, or of the public table that is extended.
    """
    least = N_SPECIAL + (base.ids if base else codec.alphabet)
    if vocabulary.size < least and base:
        raise InvalidConfig(
            f"the public table has {least:,} ids, and the vocabulary {vocabulary.size:,}",
            hint=f"--vocabulary-size {least + 1024}, room for 1,024 phrases more",
        )
    if vocabulary.size < least:
        raise InvalidConfig(
            f"vocabulary of {vocabulary.size} ids is too small for {codec.id}; expected at least {least}",
            hint=f"--vocabulary-size {max(1024, 1 << (least - 1).bit_length())}",
        )
    return least
