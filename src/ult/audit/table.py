"""Membership inference on a table: whether a record was in the data that the table was fitted on.

The adversary holds the table and scores records by the phrases that encode them. Phrases come from the fitted records,
the rarest from few records, and the counts say from how few.
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

RARE = 0.1  # share of a table's phrases, those of the lowest counts, that count as rare


def audit_table(
    table: Table, members: Sequence[Any], others: Sequence[Any], *, delta: float | None = None
) -> tuple[dict[str, Any], dict[str, tuple[Scores, Scores]]]:
    """Return, as JSON values, how well membership in a table's fit can be inferred, and the scores of each attack.

    The scores are {attack: (members (m,), nonmembers (n,))}. `delta` is for the bounds on epsilon; by default that of
    the table's promise, else 1e-5. Nonmembers that were in the fit are removed. Raises `InvalidConfig` if there are too
    few records or the two were swapped, and `InvalidRecord` if the codec refuses a record.
    """
    scores = phrase_scores(table)
    if delta is None:
        delta = promised_delta(table.privacy.document() if table.privacy else None)
    inside, outside = table.encode_batch(members), table.encode_batch(others)
    shown, left = sides(table, inside, outside)
    outside = [outside[k] for k in left]
    curves = {name: (score(inside), score(outside)) for name, score in scores.items()}
    audit = {
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
    return audit, curves


def phrase_scores(table: Table) -> dict[str, Callable[[Sequence[NDArray[np.uint32]]], Scores]]:
    """Return the attacks by name: functions from records, ids (n,) each, to scores, higher for members.

    `compression` is the mean number of symbols per id, `longest` the symbols of the longest phrase, `rare` the share of
    a record's symbols in the rarest phrases, and `counts` the mean over all symbols of 1 / count of their phrase: how
    probable it is that the record is one of the few that the phrase was counted in (after Tong et al. 2025).
    """
    lengths = table.lengths.astype(np.float64)
    long = lengths > 1
    if not long.any():
        raise InvalidConfig("the table has no phrases, only single symbols, which reveal nothing about a record")
    counts = np.maximum(table.counts, 1).astype(np.float64)
    rare = long & (counts <= np.quantile(counts[long], RARE))

    def each(score: Callable[[NDArray[np.int64]], float]) -> Callable[[Sequence[NDArray[np.uint32]]], Scores]:
        return lambda records: np.array(
            [score(ids.astype(np.int64) - N_SPECIAL) if len(ids) else 0.0 for ids in records]
        )

    def over_symbols(values: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
        return lambda ranks: float((values[ranks] * lengths[ranks]).sum() / lengths[ranks].sum())

    return {
        "compression": each(lambda ranks: float(lengths[ranks].mean())),
        "longest": each(lambda ranks: float(lengths[ranks].max())),
        "rare": each(over_symbols(rare.astype(np.float64))),
        "counts": each(over_symbols(np.where(long, 1 / counts, 0.0))),
    }
