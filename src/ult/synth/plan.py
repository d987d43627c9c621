"""What decides a synthesis: sizes and shares of epsilon, chosen from public numbers alone.

Public are what the caller says (rows, epsilon, a schema) and the number of records, as everywhere in this project:
neighbouring sets differ in one record, in whose place the other has nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ult.codecs import codec_class
from ult.codecs.record.field import Field
from ult.data.columns.bins import BINS
from ult.errors import InvalidConfig
from ult.owner.bpe.private_counts import without_records
from ult.privacy import accountant
from ult.privacy.choose import rank_error
from ult.public.guarantee import Spent
from ult.public.vocabulary import N_SPECIAL

TABLE_SHARE = 0.1  # of epsilon and delta: the table, with the edges of bins
CONTEXT_SHARE = 0.02  # of epsilon: how many ids a record has
COUNTS_SHARE = 0.03  # of epsilon: how many records have each label, if labels are asked for
VOTES_SHARE = 0.5  # of what is left, and of delta: votes, if members vote around what a private training has learnt
CONTEXTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # ids
LONGER = 0.02  # the share of records for which the next greater context is worth it
_ERROR = 0.05  # the share of records by which that may be off; with less epsilon, the context is not learnt
_ROOM = 512  # phrases, at least, that a vocabulary has room for
AT_ONCE = 32  # records whose gradients are computed together: of tiny, 250 at once take 2.6 times as long
_OTHERS = 1024  # symbols of a codec whose alphabet the records decide


@dataclass(frozen=True, slots=True)
class Shares:
    """What of (epsilon, delta) each look at the records costs; None is a look that is not taken."""

    table: Spent
    context: Spent | None
    counts: Spent | None
    votes: Spent | None
    rest: Spent  # the training

    @classmethod
    def of(cls, asked: Spent, *, table: float, context: bool, counts: bool, votes: bool) -> Shares:
        """Return the shares; `table` is that of the table, and the others are taken if they are wanted."""
        if not 0 < table < 0.9:
            raise InvalidConfig(f"the share of the table is {table!r}; expected above 0 and below 0.9", hint="0.1")
        length = Spent(CONTEXT_SHARE * asked.epsilon, 0.0) if context else None
        labels = Spent(COUNTS_SHARE * asked.epsilon, 0.0) if counts else None
        less = sum(one.epsilon for one in (length, labels) if one)
        own = Spent(table * asked.epsilon, table * asked.delta)
        left = Spent(asked.epsilon - own.epsilon - less, asked.delta - own.delta)
        if not votes:
            return cls(own, length, labels, None, left)
        cast = Spent(VOTES_SHARE * left.epsilon, VOTES_SHARE * left.delta)
        return cls(own, length, labels, cast, Spent(left.epsilon - cast.epsilon, left.delta - cast.delta))


def asked_of(epsilon: float | None, delta: float | None, records: int) -> Spent | None:
    """Return what is promised to each of so many records; None if nothing is. Raises `InvalidConfig`."""
    if epsilon is None:
        if delta is not None:
            raise InvalidConfig("delta was given without an epsilon", hint="--epsilon 8")
        return None
    delta = accountant.default_delta(records) if delta is None else delta
    accountant.check(epsilon, delta, records)
    return Spent(epsilon, delta)


def learns_context(asked: Spent, records: int) -> bool:
    """Return whether so many records and such an epsilon tell how long records are."""
    return rank_error(CONTEXT_SHARE * asked.epsilon, len(CONTEXTS)) <= _ERROR * records


def usual_context(fields: Sequence[Field]) -> int:
    """Return a context, in ids, by the fields of a record alone; `fields` is empty for other codecs.

    >>> usual_context([]), usual_context([Field(name=str(n), kind="number") for n in range(9)])
    (128, 96)
    """
    if not fields or any(one.kind in ("rows", "text", "image", "series") for one in fields):
        return 128
    return next((one for one in CONTEXTS if one >= 8 + 8 * len(fields)), CONTEXTS[-1])


def vocabulary_of(codec: str, options: dict[str, Any], fields: Sequence[Field], *, private: bool) -> int:
    """Return the size of a vocabulary, by the codec and the fields of records alone: a power of two.

    A private training adds noise to the row of every id, so there are few that stand for nothing.
    """
    try:
        of = {"fields": [one.document() for one in fields]} if fields else {}
        symbols = without_records(codec_class(codec), {**options, **of}).alphabet + BINS * bool(fields)
    except InvalidConfig:
        symbols = _OTHERS
    least = N_SPECIAL + symbols + _ROOM
    return max(1024 if private else 4096, 1 << math.ceil(math.log2(least)))


@dataclass(frozen=True, slots=True)
class Training:
    """How long, and on how many records at once."""

    steps: int
    batch_size: int


def training_of(records: int, *, private: bool) -> Training:
    """Return the default sizes of a training on so many records.

    A private step is the better the more records it draws, as its noise stays the same.
    """
    if private:
        wanted = min(max(records // 8, AT_ONCE), 512) // AT_ONCE * AT_ONCE
        return Training(steps=200, batch_size=min(wanted, records))
    return Training(steps=min(max(20 * records // 32, 200), 4000), batch_size=min(32, records))


def parts_of(batch_size: int) -> int:
    """Return in how many equal parts the gradients of a batch are best computed, of about `AT_ONCE` records each.

    >>> parts_of(512), parts_of(250), parts_of(31)
    (16, 10, 1)
    """
    equal = [parts for parts in range(1, batch_size + 1) if batch_size % parts == 0]
    return min(equal, key=lambda parts: abs(math.log(batch_size / parts / AT_ONCE)))
