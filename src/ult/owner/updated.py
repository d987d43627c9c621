"""A table that goes on from another: each phrase that both have has the same id, so a run of the old one fits the new.

What is counted: each unit occurs as often as the old table says, times `decay`, and as often as the new records, cut
with the merges of the new table, hold it. Which phrases go, and which come, is decided by these occurrences alone
(`ult.owner.bpe.updated`). The alphabet, the special ids and the ids of a public base never move. The result depends on
no order of the records; only ids that are in a secret order are drawn.
"""

from __future__ import annotations

import operator
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.host.shown import count
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.updated import Counted, updated
from ult.owner.coder import Coder
from ult.owner.table import MIN_RECORDS, Table
from ult.public.vocabulary import N_SPECIAL

_SYSTEM = secrets.SystemRandom()


class Phrase(NamedTuple):
    """A phrase as its owner reads it, and its id."""

    id: int
    text: str
    uses: int  # occurrences, as the table counts them


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update changed: `kept` phrases with their ids, those that were `freed`, and those that were `added`.

    These are the secret itself: they are for the owner alone.
    """

    kept: int
    freed: tuple[Phrase, ...]
    added: tuple[Phrase, ...]


def check_updatable(table: Table, *, public: bool) -> None:
    """Raise `InvalidConfig` for a table that cannot be updated with records that are, or are not, public."""
    if table.privacy is not None:
        raise InvalidConfig(
            f"table {table.fingerprint} promises epsilon {table.privacy.epsilon:g} to its records; an update would "
            "count the new ones without noise",
            hint="ult fit --epsilon on the old and the new records together, and align runs to that table",
        )
    if table.public and not public:
        raise InvalidConfig(
            f"table {table.fingerprint} is of public records; an update with others would mix its phrases with theirs",
            hint="ult fit --base with the public table, or --public if everyone may read the new records too",
        )
    if public and not table.public:
        raise InvalidConfig(
            f"table {table.fingerprint} is not of public records, so an update of it is not either",
            hint="leave out --public",
        )


def least_holders(table: Table, min_records: int | None) -> int:
    """Return how many of the new records must hold a new phrase: what is asked for, else 5 or more if the table says.

    A table of public merges says 1, which would let a phrase of a single record in.
    """
    return max(MIN_RECORDS, table.min_records) if min_records is None else min_records


def update(
    old: Table,
    counts: PatchCounts,
    *,
    decay: float = 1.0,
    draw: Callable[[list[int]], None] = _SYSTEM.shuffle,
) -> tuple[Table, Changes]:
    """Return the table that updates `old` by counted patches of new records, and what changed.

    `decay` is how much an occurrence in the records of `old` counts beside one in the new records: 1 as much, 0 not at
    all. With secret ids, `draw` shuffles in place which free id each new phrase gets; otherwise the phrase that occurs
    most gets the lowest one. Raises `InvalidConfig` if there are no records or no decay from 0 to 1.
    """
    if not 0 <= decay <= 1:
        raise InvalidConfig(f"decay is {decay:g}; expected a number from 0, old records do not count, to 1, as much")
    if counts.records == 0:
        raise InvalidConfig("there are no records to update a table with")
    alphabet = old.codec.alphabet
    most = old.vocabulary.size - N_SPECIAL
    by_unit = np.zeros(len(old.ranks), np.int64)
    by_unit[old.ranks] = np.floor(old.counts * decay)
    merges, before, total = updated(
        old.merges,
        by_unit,
        Counted(*counts.patches()),
        alphabet=alphabet,
        fixed=old.base.ids if old.base else alphabet,
        most=most,
        min_records=counts.min_records,
        longest=old.codec.max_patch,
    )
    ranks, places = _ranks(old, merges, before, total, draw if old.secret_ids else None)
    new = Table(
        codec=old.codec,
        vocabulary=old.vocabulary,
        merges=merges,
        ranks=ranks,
        counts=total[ranks],
        records=int(np.floor(old.records * decay)) + counts.records,
        min_records=min(old.min_records, counts.min_records),
        fields=old.fields,
        public=old.public,
        secret_ids=old.secret_ids,
        base=old.base,
        updated_from=old.fingerprint,
    )
    return new, _changes(old, new, places)


def _ranks(
    old: Table,
    merges: NDArray[np.int32],
    before: NDArray[np.int64],
    total: NDArray[np.int64],
    draw: Callable[[list[int]], None] | None,
) -> tuple[NDArray[np.int32], list[int]]:
    """Return the units by id (units,), and the places of phrases that the old table has not: ids less `N_SPECIAL`.

    A new unit that spells what a unit spelled that is gone has that unit's id: its phrase was kept.
    """
    units = len(before)
    place = np.full(units, -1, np.int64)
    stays = before >= 0
    place_of = np.empty(len(old.ranks), np.int64)
    place_of[old.ranks] = np.arange(len(old.ranks))
    place[stays] = place_of[before[stays]]
    spelled = Coder(old.codec, merges, np.arange(units, dtype=np.int32)).spellings()
    left = set(place[stays].tolist())
    gone = {symbols.tobytes(): k for k, symbols in enumerate(old.spellings()) if k not in left}
    for unit in np.flatnonzero(~stays).tolist():
        place[unit] = gone.pop(spelled[unit].tobytes(), -1)
    free = np.setdiff1d(np.arange(units), place[place >= 0]).tolist()
    new = np.flatnonzero(place < 0)
    new = new[np.lexsort((new, -total[new]))]
    if draw is not None:
        draw(free)
    place[new] = free
    ranks = np.empty(units, np.int32)
    ranks[place] = np.arange(units)
    return ranks, sorted(free)


def _changes(old: Table, new: Table, places: list[int]) -> Changes:
    added = _phrases(new, places)
    freed = _phrases(old, [k for k in places if k < old.size - N_SPECIAL])
    return Changes(new.phrases - len(added), freed, added)


def _phrases(table: Table, places: list[int]) -> tuple[Phrase, ...]:
    spelled, counts = table.spellings(), table.counts
    return tuple(Phrase(N_SPECIAL + k, _text(table, spelled[k]), int(counts[k])) for k in places)


def _text(table: Table, symbols: NDArray[np.uint32]) -> str:
    if table.codec.id == "text/bytes":
        return symbols.astype(np.uint8).tobytes().decode("utf-8", "replace")
    return f"({count(len(symbols), 'symbol')})"


def same_ids(old: Table, new: Table) -> tuple[int, int]:
    """Return how many units, symbols and phrases, two tables share, and how many of these have one id in both."""
    ours, theirs = ([symbols.tobytes() for symbols in table.spellings()] for table in (old, new))
    return (Counter(ours) & Counter(theirs)).total(), sum(map(operator.eq, ours, theirs))


def document(changes: Changes, old: Table, new: Table) -> dict[str, Any]:
    """Return the changes as JSON values, for the owner."""
    return {
        "updates": old.fingerprint,
        "table": new.fingerprint,
        "kept": changes.kept,
        "freed": [one._asdict() for one in changes.freed],
        "added": [one._asdict() for one in changes.added],
    }
