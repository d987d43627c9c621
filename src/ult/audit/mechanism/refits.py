"""A table that is fitted many times on few records, with one of them and without: what `ult fit --epsilon` promises.

Each fit goes the way of the command: records are counted piece by piece, each in so many of its patches, counts get
their noise, what passes the threshold becomes a table. Nothing is simulated. The record is as harmful as one can be: it
says what others say, or three times as many words of its own as may count, and all of it three times.
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

_AGAIN = 3  # as many own words as may count, and as often each
_MARGIN = 2.5  # deviations of noise by which what all say is above the threshold
_MOST = 160  # patches of a record: more words of two letters there are not
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
    """Return what `trials` fits of each kind prove of a promise of (epsilon, delta), as JSON values.

    There are `records` of them, by default as many as put what all say above the threshold. Raises `InvalidConfig`.
    """
    if patches > _MOST:
        raise InvalidConfig(f"patches_per_record is {patches}; an audit knows words for {_MOST} at most")
    kept = promise(epsilon, delta, patches=patches, records=records or 1)
    least = math.ceil(kept.threshold + _MARGIN * kept.noise) + 1
    records = least if records is None else records
    if records < least:
        raise InvalidConfig(f"records is {records}; expected at least {least}, or what all say may not be released")
    kept = promise(epsilon, delta, patches=patches, records=records)
    shared, own = _words(patches, 0), _words(_AGAIN * patches, patches)
    told = {"without": "", "shared": "".join(shared * _AGAIN), "own": "".join(own * _AGAIN)}
    crowd = ["".join(shared)] * (records - 1)
    found: dict[str, list[dict[str, int]]] = {name: [] for name in told}
    for _ in range(trials):
        for name, record in told.items():
            found[name].append(_counts(_fit([*crowd, record], epsilon, delta, patches)))
        advance(len(told))

    noise = math.sqrt(patches) / claims.shift_of(epsilon, delta / 2)  # that keeps the promise, whatever the code's is

    def scores(name: str) -> claims.Floats:
        return np.array([_likelier(counts, shared, records - 1, noise) for counts in found[name]])

    stood = {name: sum(any(word in counts for word in own) for counts in found[name]) for name in told}
    shares = {"whole": delta, "miss": miss / 2}
    claimed = [
        claims.rare(
            "a patch that the record alone holds stands in the table", stood["own"], trials, delta / 2, **shares
        ),
        claims.alike(
            "counts of what others say too", scores("shared"), scores("without"), epsilon, delta / 2, miss=miss / 2
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


_VOCABULARY = Vocabulary(N_SPECIAL + _CODEC.alphabet + 2 * (1 + _AGAIN) * _MOST)  # two phrases a word at most


def _counts(table: Table) -> dict[str, int]:
    """Return how often the table says that each phrase occurred, of those that did."""
    counts = table.counts
    spelt = (bytes(symbols.tolist()).decode("latin-1") for symbols in table.spellings())
    return {word: int(n) for word, n in zip(spelt, counts, strict=True) if n}


def _likelier(counts: dict[str, int], words: list[str], without: int, noise: float) -> float:
    """Return the logarithm of how much likelier these counts are if one record more holds all of the words."""
    return sum(counts.get(word, 0) - without - 0.5 for word in words) / noise**2


def _words(n: int, first: int) -> list[str]:
    """Return words that are one patch each, from number `first` on."""
    letters = [" " + a + b for a, b in product(ascii_lowercase, repeat=2)]
    return letters[first : first + n]
