"""Score an attack on a code against the true table, which only the owner can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.audit.code.interval import over_records
from ult.codecs.patches import cut
from ult.errors import CorruptSymbols, InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an attack recovered; each share is from 0 to 1, and higher is worse for the owner.

    `units` id occurrences of `kinds` distinct ids were attacked. `occurrences`, `types` and `patches` are the shares of
    id occurrences, of distinct ids and of whole patches whose phrases were guessed exactly. `blind` is the share of
    occurrences that are right if every id is guessed to be the adversary's commonest phrase. `ceiling` is the share of
    occurrences whose phrase is in the adversary's own records at all, the most that this reference could recover. The
    95 % intervals are those of `over_records`.
    """

    units: int
    kinds: int
    occurrences: float
    occurrences_interval: list[float]
    types: float
    patches: float
    blind: float
    blind_interval: list[float]
    ceiling: float


def score(
    guesses: Sequence[bytes | None], *, target: Coded, truth: Table, commonest: bytes, nameable: set[bytes]
) -> Recovered:
    """Compare the phrase guessed for each kind of `target` with its true phrase in the table `truth`.

    Phrases are bytes as from `phrases`. Raises `CorruptSymbols` if the ids are not of `truth`.
    """
    secret = true_phrases(target, truth)
    right = np.array([guess == phrase for guess, phrase in zip(guesses, secret, strict=True)])
    blind = np.array([phrase == commonest for phrase in secret])
    counts, total = target.counts, len(target.kinds)
    patch = patch_numbers(target, truth)
    whole = np.ones(int(patch.max()) + 1, bool)
    whole[patch[~right[target.kinds] & (patch >= 0)]] = False
    return Recovered(
        units=total,
        kinds=len(target.ids),
        occurrences=float(counts[right].sum() / total),
        occurrences_interval=over_records(right, target),
        types=float(right.mean()),
        patches=float(whole.mean()) if len(whole) else 0.0,
        blind=float(counts[blind].sum() / total),
        blind_interval=over_records(blind, target),
        ceiling=float(counts[[phrase in nameable for phrase in secret]].sum() / total),
    )


def check_codecs(known: Table, truth: Table) -> None:
    """Raise `InvalidConfig` unless both tables have the same codec and config, so that phrases can be compared."""
    if (known.codec.id, known.codec.config()) != (truth.codec.id, truth.codec.config()):
        raise InvalidConfig(
            f"the tables are of codecs {known.codec.id} {known.codec.config()} and {truth.codec.id} "
            f"{truth.codec.config()}; expected the same"
        )


def phrases(table: Table) -> list[bytes]:
    """Return the symbols of each rank's phrase, uint32, as bytes that can be compared."""
    return [spelled.tobytes() for spelled in table.spellings()]


def true_phrases(target: Coded, truth: Table) -> list[bytes]:
    """Return the true phrase of each kind; raise `CorruptSymbols` if an id is special or not in the table."""
    if not N_SPECIAL <= int(target.ids.min()) <= int(target.ids.max()) < truth.size:
        raise CorruptSymbols(f"an id is special or outside the table; expected {N_SPECIAL} to {truth.size - 1}")
    secret = phrases(truth)
    return [secret[id_ - N_SPECIAL] for id_ in target.ids.tolist()]


def patch_numbers(target: Coded, truth: Table) -> NDArray[np.int64]:
    """Return the number of the patch that each occurrence belongs to, (n,) int64, non-decreasing from 0.

    It is -1 after the part that decodes, in a record that a model wrote.
    """
    ids = target.ids[target.kinds].astype(np.uint32)
    sizes = target.ends - target.starts
    try:
        records = truth.decode_ragged(ids, target.ends)
        used = sizes
    except CorruptSymbols:
        pairs = [_prefix(record_ids, truth) for record_ids in cut(ids, target.ends)]
        records, used = [record for record, n in pairs if n], np.array([n for _, n in pairs])
    numbers = np.full(len(ids), -1)
    decoded = np.arange(len(ids)) - np.repeat(target.starts, sizes) < np.repeat(used, sizes)
    patches = truth.codec.encode_batch(records)
    ends = np.cumsum(truth.lengths[ids[decoded] - N_SPECIAL])  # in symbols; a phrase never crosses the end of a patch
    numbers[decoded] = np.searchsorted(patches.ends, ends, side="left")
    return numbers


def _prefix(ids: NDArray[np.uint32], truth: Table) -> tuple[Any, int]:
    """Return the record of the longest prefix that decodes, and the length of that prefix in ids (0 if none does)."""
    try:
        return truth.decode_prefix(ids)
    except CorruptSymbols:
        return None, 0
