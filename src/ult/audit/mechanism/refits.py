"""Test the promise of `ult fit --epsilon` by fitting a table many times, with one record and without it.

Each fit runs the command's own code: records are counted in pieces, each in a bounded number of its patches, the counts
get noise, and patches above the threshold make the table. Nothing is simulated. The record is a worst case: it repeats
either the words of all others or its own words, three times as many as may count, and each three times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from string import ascii_lowercase
from typing import Any

import numpy as np
import pyarrow as pa

from ult.audit.mechanism import claims
from ult.codecs.text import TextBytes
from ult.data import Batch
from ult.errors import InvalidConfig
from ult.owner.bpe.private_counts import promise
from ult.owner.pipeline import pieces
from ult.owner.pipeline.engine import Local
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary

_AGAIN = 3  # the record has this many times the words that may count, each this often
_MARGIN = 2.5  # standard deviations of the noise by which the count of a shared word exceeds the threshold
_MOST = 160  # patches per record; there are not enough words of two letters for more
_CODEC = TextBytes()


def refit(
    epsilon: float,
    delta: float,
    *,
    patches: int,
    records: int | None,
    trials: int,
    miss: float,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Return, as JSON values, whether `trials` fits of each kind refute a promise of (epsilon, delta).

    A fit has `records`, by default enough to lift the counts of shared words above the threshold. `advance(n)` is
    called for each n finished fits. Raises `InvalidConfig`.
    """
    if patches > _MOST:
        raise InvalidConfig(f"patches_per_record is {patches}; an audit knows words for {_MOST} at most")
    kept = promise(epsilon, delta, patches=patches, records=records or 1)
    least = math.ceil(kept.threshold + _MARGIN * kept.noise) + 1
    records = least if records is None else records
    if records < least:
        raise InvalidConfig(
            f"records is {records}; expected at least {least}, so that words of all records pass the threshold"
        )
    kept = promise(epsilon, delta, patches=patches, records=records)
    shared, own = _words(patches, 0), _words(_AGAIN * patches, patches)
    worlds = {"without": "", "shared": "".join(shared * _AGAIN), "own": "".join(own * _AGAIN)}
    others = ["".join(shared)] * (records - 1)
    fits: dict[str, list[dict[str, int]]] = {name: [] for name in worlds}
    for _ in range(trials):
        for name, record in worlds.items():
            fits[name].append(_counts(_fit([*others, record], epsilon, delta, patches)))
        advance(len(worlds))

    noise = math.sqrt(patches) / claims.shift_of(epsilon, delta / 2)  # what the promise needs, whatever the code adds

    def scores(name: str) -> claims.Floats:
        return np.array([_log_ratio(counts, shared, records - 1, noise) for counts in fits[name]])

    leaked = {name: sum(any(word in counts for word in own) for counts in fits[name]) for name in worlds}
    shares = {"whole": delta, "miss": miss / 2}
    claimed = [
        claims.rare("a patch that only this record holds is in the table", leaked["own"], trials, delta / 2, **shares),
        claims.alike(
            "counts of shared patches", scores("shared"), scores("without"), epsilon, delta / 2, miss=miss / 2
        ),
    ]
    about = {"epsilon": epsilon, "delta": delta, "patches": patches, "records": records}
    return {"mechanism": "table", **about, "noise": kept.noise, "threshold": kept.threshold, "claims": claimed}


def _fit(records: list[str], epsilon: float, delta: float, patches: int) -> Table:
    """Fit a table as `ult fit --epsilon` does."""
    batch = Batch(records, pa.table({}))
    counts = pieces.count(lambda: [batch], _CODEC, min_records=1, engine=Local(1), most=patches)
    kept = promise(epsilon, delta, patches=patches, records=counts.records)
    return Table.from_counts(counts, codec=_CODEC, vocabulary=_VOCABULARY, privacy=kept)


_VOCABULARY = Vocabulary(N_SPECIAL + _CODEC.alphabet + 2 * (1 + _AGAIN) * _MOST)  # at most two phrases for each word


def _counts(table: Table) -> dict[str, int]:
    """Return the counts of the table's phrases, without those that are 0."""
    counts, spellings = table.counts, table.spellings()
    found = np.flatnonzero(counts).tolist()
    return {bytes(spellings[k].tolist()).decode("latin-1"): int(counts[k]) for k in found}


def _log_ratio(counts: dict[str, int], words: list[str], without: int, noise: float) -> float:
    """Return the log-likelihood ratio of the counts with one more record that holds all `words`, to those without."""
    return sum(counts.get(word, 0) - without - 0.5 for word in words) / noise**2


def _words(n: int, first: int) -> list[str]:
    """Return `n` words that are one patch each, from number `first` on."""
    letters = [" " + a + b for a, b in product(ascii_lowercase, repeat=2)]
    return letters[first : first + n]
