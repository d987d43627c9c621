"""Was this record in the data that a table was fitted on? Scores of records by the phrases that write them.

The adversary holds the table. Its phrases were taken from records, the rarest from few, and the counts say how few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import Scores, promised_delta, summarize
from ult.audit.fitted import sides
from ult.audit.subject import records_digest
from ult.errors import InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL

RARE = 0.1  # the share of a table's phrases that count as rare: those of the lowest counts


def audit_table(
    table: Table, members: Sequence[Any], others: Sequence[Any], *, delta: float | None = None
) -> tuple[dict[str, Any], dict[str, tuple[Scores, Scores]]]:
    """Return, as JSON values, what a table betrays of records that it was fitted on, and the scores.

    `delta` is that of the bounds on epsilon: unless said, that of the table's own promise, else 1e-5.
    Nonmembers that were in the fit are taken out. Raises `InvalidConfig` if there are too few records, or the two were
    swapped, `InvalidRecord` if the codec reads none of their kind.
    """
    scores = phrase_scores(table)
    if delta is None:
        delta = promised_delta(table.privacy.document() if table.privacy else None)
    inside, outside = table.encode_batch(members), table.encode_batch(others)
    shown, left = sides(table, inside, outside)
    outside = [outside[k] for k in left]
    curves = {name: (score(inside), score(outside)) for name, score in scores.items()}
    found = {
        "format": "ult-audit-table/2",
        "subject": {
            "table": table.fingerprint,
            "members": records_digest(members),
            "nonmembers": records_digest(others),
        },
        "shown": shown,
        "records": table.records,
        "min_records": table.min_records,
        "phrases": table.size - N_SPECIAL - table.codec.alphabet,
        "membership": {name: summarize(*pair, delta=delta, attacks=len(curves)) for name, pair in curves.items()},
    }
    return found, curves


def phrase_scores(table: Table) -> dict[str, Callable[[Sequence[NDArray[np.uint32]]], Scores]]:
    """Return by name what scores records of ids, higher for members.

    `compression` is the symbols that an id writes on average, `longest` those of the longest phrase, `rare` the share
    of a record's symbols that the rarest phrases write, and `counts` the mean of one over the phrase's count over all
    symbols: how probably the record is among those few that the phrase was counted in (after Tong et al. 2025).
    """
    lengths = table.lengths.astype(np.float64)
    long = lengths > 1
    if not long.any():
        raise InvalidConfig("the table has no phrases, only single symbols: they tell nothing of a record")
    counts = np.maximum(table.counts, 1).astype(np.float64)
    rare = long & (counts <= np.quantile(counts[long], RARE))

    def each(score: Callable[[NDArray[np.int64]], float]) -> Callable[[Sequence[NDArray[np.uint32]]], Scores]:
        return lambda many: np.array([score(ids.astype(np.int64) - N_SPECIAL) if len(ids) else 0.0 for ids in many])

    def over_symbols(values: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
        return lambda ranks: float((values[ranks] * lengths[ranks]).sum() / lengths[ranks].sum())

    return {
        "compression": each(lambda ranks: float(lengths[ranks].mean())),
        "longest": each(lambda ranks: float(lengths[ranks].max())),
        "rare": each(over_symbols(rare.astype(np.float64))),
        "counts": each(over_symbols(np.where(long, 1 / counts, 0.0))),
    }
