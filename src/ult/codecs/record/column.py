"""Columns of cells as patches, and the patches of several columns as those of whole records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Patches, Symbols
from ult.host.kernel import njit

TEXT, NULL, FIRST_BIN = 256, 257, 258  # symbols after the bytes: "as written", null, and the bins of numbers
MAX_PATCH = 256  # symbols of a short cell with its marker; a longer one is cut
NOTHING = -1  # no symbol between the marker and the bytes


def short(
    marker: int, heads: NDArray[np.int64], present: NDArray[np.bool_], data: NDArray[np.uint8], ends: Ends
) -> Patches:
    """Return one patch a present cell: its marker, its head unless that is NOTHING, and its bytes.

    `heads` and `present` are (n,), and cell i has the bytes that end at `ends[i]` in `data`. A patch of more than
    `MAX_PATCH` symbols is cut.
    """
    return Patches(*_short(marker, heads, present, data, ends))


def long(marker: int, heads: NDArray[np.int64], present: NDArray[np.bool_], child: Patches) -> Patches:
    """Return, for each present cell, a patch of its marker and its head, and then the patches of `child`.

    `child` has one record for each present cell.
    """
    records = np.zeros(len(present), np.int64)
    records[present] = np.diff(child.records, prepend=0)
    return Patches(*_long(marker, heads, present, child.symbols, child.ends, np.cumsum(records)))


def interleaved(columns: Sequence[Patches], joins: Sequence[bool]) -> Patches:
    """Return the records of which each column has a cell, (n records in each column).

    Where `joins` is set, the first patch of a cell continues the last patch of the cell of the column before, if that
    is there and both together have at most `MAX_PATCH` symbols.
    """
    symbols = np.concatenate([column.symbols for column in columns]).astype(np.uint32, copy=False)
    ends = np.concatenate([column.ends for column in columns])
    bases = np.cumsum([0] + [len(column.symbols) for column in columns[:-1]])
    patch_bases = np.cumsum([0] + [len(column.ends) for column in columns[:-1]])
    records = np.stack([column.records for column in columns])
    return Patches(*_interleaved(symbols, ends, bases, patch_bases, records, np.array(joins, np.bool_)))


def grouped(rows: Patches, counts: NDArray[np.int64]) -> Patches:
    """Return the patches of rows as those of groups of `counts` (n,) rows each."""
    ends = np.append(0, rows.records)[np.cumsum(counts)]
    return Patches(rows.symbols, rows.ends, ends)


@njit(cache=True)
def _short(
    marker: int, heads: NDArray[np.int64], present: NDArray[np.bool_], data: NDArray[np.uint8], ends: Ends
) -> tuple[Symbols, Ends, Ends]:
    n = len(present)
    symbols = np.empty(len(data) + 2 * n, np.uint32)
    cuts = np.empty(2 * n + len(data) // MAX_PATCH, np.int64)
    records = np.empty(n, np.int64)
    at = patches = start = 0
    for i in range(n):
        if present[i]:
            symbols[at] = marker
            first, at = at, at + 1
            if heads[i] >= 0:
                symbols[at] = heads[i]
                at += 1
            for k in range(start, ends[i]):
                if at - first == MAX_PATCH:
                    cuts[patches] = at
                    first, patches = at, patches + 1
                symbols[at] = data[k]
                at += 1
            cuts[patches] = at
            patches += 1
        start = ends[i]
        records[i] = patches
    return symbols[:at], cuts[:patches], records


@njit(cache=True)
def _long(
    marker: int, heads: NDArray[np.int64], present: NDArray[np.bool_], child: Symbols, ends: Ends, records: Ends
) -> tuple[Symbols, Ends, Ends]:
    n = len(present)
    symbols = np.empty(len(child) + 2 * n, np.uint32)
    cuts = np.empty(len(ends) + n, np.int64)
    found = np.empty(n, np.int64)
    at = patches = read = patch = 0
    for i in range(n):
        if present[i]:
            symbols[at] = marker
            at += 1
            if heads[i] >= 0:
                symbols[at] = heads[i]
                at += 1
            cuts[patches] = at
            patches += 1
            while patch < records[i]:
                while read < ends[patch]:
                    symbols[at] = child[read]
                    at, read = at + 1, read + 1
                cuts[patches] = at
                patches, patch = patches + 1, patch + 1
        found[i] = patches
    return symbols[:at], cuts[:patches], found


@njit(cache=True)
def _interleaved(
    symbols: Symbols,
    ends: Ends,
    bases: NDArray[np.int64],
    patch_bases: NDArray[np.int64],
    records: NDArray[np.int64],
    joins: NDArray[np.bool_],
) -> tuple[Symbols, Ends, Ends]:
    columns, n = records.shape
    out = np.empty(len(symbols), np.uint32)
    cuts = np.empty(len(ends), np.int64)
    found = np.empty(n, np.int64)
    patch = np.zeros(columns, np.int64)  # of each column, how many patches are done
    read = np.zeros(columns, np.int64)  # and how many symbols
    at = patches = 0
    for i in range(n):
        before = -2  # the last column that had a cell in this record
        for column in range(columns):
            many = records[column, i] - patch[column]
            for k in range(many):
                stop = ends[patch_bases[column] + patch[column]]
                size = stop - read[column]
                for j in range(size):
                    out[at + j] = symbols[bases[column] + read[column] + j]
                at += size
                read[column] = stop
                patch[column] += 1
                last = cuts[patches - 1] if patches else 0
                begun = cuts[patches - 2] if patches > 1 else 0
                if k == 0 and joins[column] and before == column - 1 and last - begun + size <= MAX_PATCH:
                    cuts[patches - 1] = at
                else:
                    cuts[patches] = at
                    patches += 1
            if many:
                before = column
        found[i] = patches
    return out, cuts[:patches], found
