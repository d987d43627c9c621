"""Link people of whom some columns are known to their records, by what an attacker reads of these columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.cells import Cell, Leaf, Place, Reading
from ult.audit.code.columns import Record, cell_at, sums
from ult.audit.code.fields import Truth, cell_of
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy.sparse import csr_matrix


def linked(
    truth: Truth, named: Sequence[bytes | None], people: Sequence[Record], leaves: Sequence[Leaf]
) -> NDArray[np.int64]:
    """Return which record an attacker takes for each person's, (people,) int64, -1 for none.

    A person and a record are linked if each has more in common with the other than with anybody else: known cells that
    are read, the rarer ones counting more.
    """
    asked = [set(_tokens(leaves, [_all(cell_at(person, leaf), leaf) for leaf in leaves])) for person in people]
    read = []
    for phrases in truth.spelled(named):
        guess = truth.form.read(phrases)
        read.append(set(_tokens(leaves, [_read(truth, guess, leaf) for leaf in leaves])))
    number = {token: k for k, token in enumerate(dict.fromkeys(token for tokens in asked for token in tokens))}
    here, there = _held(asked, number), _held(read, number)
    alike = (here.multiply(np.log(len(asked) / sums(here)) + 1e-3) @ there.T).toarray()
    return np.where(_alone(alike) & _alone(alike.T)[alike.argmax(1)] & _mutual(alike), alike.argmax(1), -1)


def _all(cell: Cell, leaf: Leaf) -> tuple[Cell, ...]:
    return (cell,) if leaf.inner < 0 else tuple(cell)


def _tokens(leaves: Sequence[Leaf], cells: Sequence[tuple[Cell, ...]]) -> Iterator[tuple[Leaf, Cell]]:
    return ((leaf, cell) for leaf, every in zip(leaves, cells, strict=True) for cell in every)


def _held(records: Sequence[set[tuple[Leaf, Cell]]], number: dict[tuple[Leaf, Cell], int]) -> Any:
    """Return which record holds which token, (records, tokens), sparse, 0 or 1; unknown tokens do not count."""
    pairs = [(r, number[token]) for r, tokens in enumerate(records) for token in tokens if token in number]
    rows, places = zip(*pairs, strict=True) if pairs else ((), ())
    return csr_matrix((np.ones(len(pairs), np.float32), (rows, places)), shape=(len(records), len(number)))


def _alone(alike: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether the largest value of each row is larger than all others, and not 0."""
    top = alike.max(1)
    single: NDArray[np.bool_] = ((alike > top[:, None] - 1e-4).sum(1) == 1) & (top > 0)
    return single


def _mutual(alike: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether the record that each person is most like is most like that person."""
    return np.asarray(alike.argmax(0)[alike.argmax(1)] == np.arange(len(alike)))


def _read(truth: Truth, guess: Reading, leaf: Leaf) -> tuple[Cell, ...]:
    absent = truth.form.of(leaf).absent
    if leaf.inner < 0:
        return (cell_of(guess, Place(leaf, -1), absent, truth.usual[leaf]),)
    rows = guess.rows.get(leaf.field, [])
    return tuple(cell_of(guess, Place(leaf, row), absent, truth.usual[leaf]) for row in rows)


def groups(people: Sequence[Record], leaves: Sequence[Leaf]) -> NDArray[np.int64]:
    """Return with how many people, themselves included, people share all known cells, (people,) int64."""
    keys = [tuple(cell_at(person, leaf) for leaf in leaves) for person in people]
    counts = Counter(keys)
    return np.array([counts[key] for key in keys], np.int64)
