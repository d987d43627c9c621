"""Levels of `series/levels` learnt from private records at a stated part of epsilon.

They are the edges that part the values of a column into bins of about equal counts (`ult.privacy.quantiles`). A record
counts with one of its values in each column, or, if all values have the same levels, with one that is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ult.codecs.base import check_option
from ult.codecs.nearest import Floats
from ult.codecs.series import check_values
from ult.data.columns.bins import CHOICES
from ult.errors import InvalidConfig, InvalidRecord
from ult.owner.private_bins import SHARE, Learnt, edges_of
from ult.privacy import accountant
from ult.privacy.quantiles import NO_CELLS, Cells, rank_error
from ult.privacy.randomness import SAMPLE, Secure
from ult.public.guarantee import Spent

LEVELS = 31  # of a column, unless asked otherwise: the edges of 32 bins
_ROWS = 4096  # records that are counted together


def learnt(
    batches: Iterable[Sequence[Floats]],
    names: Sequence[str],
    options: dict[str, Any],
    *,
    epsilon: float,
    delta: float | None,
) -> tuple[dict[str, Any], Learnt]:
    """Return the options of a codec with `columns` of levels in place of how to find them, and what they cost.

    `options` are those of `SeriesLevels.calibrated`: `levels` from 7 to 63, `by_column`, by default whether there are
    `names`. They cost `SHARE` of (epsilon, delta). Raises `InvalidConfig` or `InvalidRecord`.
    """
    if "clip" in options:
        raise InvalidConfig("clip is for levels from records without a promise; under epsilon the ends are noisy")
    levels, by_column = options.get("levels", LEVELS), options.get("by_column", int(bool(names)))
    check_option("levels", levels, min(CHOICES[1:]) - 1, max(CHOICES) - 1)
    check_option("by_column", by_column, 0, 1)
    bins = 1 << ((levels + 1).bit_length() - 1)
    cells, records = _counted(batches, by_column=bool(by_column))
    delta = accountant.default_delta(records) if delta is None else delta
    accountant.check(epsilon, delta, records)
    spent = Spent(SHARE * epsilon, SHARE * delta)
    edges, draw = edges_of(cells, bins, spent)
    told = tuple(names) if by_column and names else tuple(f"value {k + 1}" for k in range(len(edges)))
    if lost := [name for name, some in zip(told, edges, strict=True) if not some]:
        raise InvalidConfig(
            f"{len(lost)} of {len(told)} columns, {lost[0]!r} first, have too few values for levels at this epsilon",
            hint="a greater --epsilon, --option levels=7, or a file without them",
        )
    kept = {name: value for name, value in options.items() if name not in ("levels", "by_column")}
    codec = {"patch_size": 1} if by_column else {}
    columns = [[float(edge) for edge in some] for some in edges]
    helps = "--option levels=7 or fewer columns"
    return {**codec, **kept, "columns": columns}, Learnt((), spent, told, bins, records, rank_error(draw), helps)


def _counted(batches: Iterable[Sequence[Floats]], *, by_column: bool) -> tuple[list[Cells], int]:
    """Return one value of each record for each column, and the number of records."""
    found: list[Cells] = []
    records = 0
    for batch in batches:
        for start in range(0, len(batch), _ROWS):
            rows = [check_values(record) for record in batch[start : start + _ROWS]]
            rows = rows if by_column else [_one_of(row) for row in rows]
            found = found or [NO_CELLS] * len(rows[0])
            for k, row in enumerate(rows, records):
                if len(row) != len(found):
                    raise InvalidRecord(
                        f"records[{k}] has {len(row)} values; expected {len(found)}, one for each column"
                    )
            for k, values in enumerate(np.stack(rows).T):
                found[k] = found[k].with_those(Cells.of(values[~np.isnan(values)]))
            records += len(rows)
    return found, records


def _one_of(row: Floats) -> Floats:
    """Return one value of a record (1,), NaN if it has none."""
    values = row[~np.isnan(row)]
    if not len(values):
        return np.full(1, np.nan)
    drawn: Floats = values[[np.argmin(Secure().at(SAMPLE, 0).random(len(values)))]]
    return drawn
