"""Seriation: the order of levels, read from which ids of a value come together, without the table.

With `tilings` neighbouring levels share their ids but one, so that what is common to the ids of a place is where on the
scale its value lies. A trainer may read this, and so may whoever has the ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.levels import SeriesLevels

Floats = NDArray[np.floating[Any]]
Ids = NDArray[np.integer[Any]]


def tiled(known: Floats, asked: Floats, tilings: int, seed: int, *, by_column: int) -> tuple[Floats, Floats]:
    """Return what is read of values (n, places) from ids of so many tilings, of levels that are fitted on `known`."""
    levels = tilings + 1
    codec = SeriesLevels.calibrated(list(known), by_column=by_column, levels=levels, clip=1 / levels, tilings=tilings)
    return read(names(codec, known, seed), names(codec, asked, seed))


def names(codec: SeriesLevels, values: Floats, seed: int) -> Ids:
    """Return the ids (n, places, tilings) of values (n, places): symbols under numbers that say no order."""
    drawn = np.random.default_rng(seed).permutation(codec.alphabet)
    return drawn[codec.encode_batch(list(values)).symbols].reshape(*values.shape, codec.tilings)


def read(known: Ids, asked: Ids) -> tuple[Floats, Floats]:
    """Return numbers (n, places) for both, of which those of a place rise or fall with the value, of deviation 1.

    `known` and `asked` are ids (n, places, tilings). Of each place and tiling an id is a column of zeros and ones. The
    first principal component of a place's columns says by its signs which of them go together; a value is their sum.
    """
    found = [np.empty(ids.shape[:2]) for ids in (known, asked)]
    for place in range(known.shape[1]):
        here = [ids[:, place] for ids in (known, asked)]
        columns = [_columns(here[0], part) for part in here]
        off = columns[0].mean(0)
        centred = [part - off for part in columns]
        signs = np.sign(np.linalg.eigh(centred[0].T @ centred[0])[1][:, -1])
        size = (centred[0] @ signs).std()
        for one, part in zip(found, centred, strict=True):
            one[:, place] = part @ signs / (size if size > 0 else 1.0)
    return found[0], found[1]


def _columns(known: Ids, ids: Ids) -> Floats:
    """Return which of the ids that are known at a place, (n, tilings), each of `ids` has."""
    found = [ids[:, tiling, None] == np.unique(known[:, tiling]) for tiling in range(known.shape[1])]
    return np.concatenate(found, axis=1).astype(float)
