"""What an attack reads of each field: the share of its cells, beside what anybody would guess without the ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.cells import Cell, Form, Leaf, Place, Reading
from ult.audit.code.evidence import Coded
from ult.audit.code.interval import of_ratio
from ult.audit.code.score import true_phrases
from ult.owner.table import Table

MOST, IDS, CELLS = 5_000, 500_000, 2_000_000  # records whose cells are compared: the first ones, with at most so many

NOWHERE = Leaf(-1, -1)  # a field that an attacker has not

Floats = NDArray[np.float64]


class Truth:
    """The true cells of the first records of a target, by the owner's table, and the commonest cells of public ones."""

    def __init__(self, target: Coded, truth: Table, public: Sequence[tuple[Cell, ...]]) -> None:
        self.form, self.target = Form(truth.codec), target  # type: ignore[arg-type]
        few = min(MOST, max(1, CELLS // len(self.form.leaves)), max(1, int(np.searchsorted(target.ends, IDS))))
        self.spans = list(zip(target.starts.tolist(), target.ends.tolist(), strict=True))[:few]
        self.phrases = true_phrases(target, truth)
        self.readings = [self.form.read(phrases) for phrases in self.spelled(self.phrases)]
        self.usual = {leaf: commonest(public, leaf) for leaf in self.form.leaves}

    def spelled(self, named: Sequence[bytes | None]) -> list[list[bytes | None]]:
        """Return the phrases of each record's ids, given that of each kind of the target."""
        kinds = self.target.kinds.tolist()
        return [[named[kind] for kind in kinds[start:stop]] for start, stop in self.spans]


@dataclass(frozen=True, slots=True)
class Read:
    """What an attack reads of a field's cells; all shares are of the cells of the records compared.

    `cells` were compared; `read` is the share that was read exactly, with its 95 % interval over records, and `blind`
    the share that is right if every cell is guessed to be the commonest one of the public records. `near` is the share
    of numbers whose bin was read, `near_blind` likewise; `pieces` the share of the field's symbols in ids that were
    read, whole cells or not. These three are None if the attacker has not the owner's fields.
    """

    leaf: Leaf
    cells: int
    read: float
    read_interval: list[float]
    blind: float
    near: float | None
    near_blind: float | None
    pieces: float | None

    @property
    def beyond(self) -> float:
        """The share read of the cells that a blind guess does not know, 0 to 1; below 0 if a blind guess is better."""
        return beyond(self.read, self.blind)


def beyond(read: float, blind: float) -> float:
    """Return by how much `read` exceeds `blind`, as a share of what is left to read; 0 if nothing is.

    >>> beyond(0.9, 0.8)
    0.5
    """
    return round((read - blind) / (1 - blind), 12) if blind < 1 else 0.0


def read_fields(
    truth: Truth, named: Sequence[bytes | None], form: Form, blind: Sequence[dict[Place, Cell]] | None = None
) -> list[Read]:
    """Return what the phrases guessed for the kinds of the target read of each field, the worst first.

    `form` is that of the attacker, whose fields are found by their names. `blind` are the cells that the attacker
    guesses of each record without its ids; by default the commonest ones.
    """
    guesses = [form.read(phrases) for phrases in truth.spelled(named)]
    right = np.array([a == b for a, b in zip(named, truth.phrases, strict=True)])
    places = {form.name(leaf): leaf for leaf in form.leaves}
    found = []
    for leaf in truth.form.leaves:
        theirs = places.get(truth.form.name(leaf), NOWHERE)
        found.append(_Compared(truth, leaf, form.config == truth.form.config).read(guesses, theirs, right, blind))
    return sorted((one for one in found if one is not None), key=lambda one: -one.beyond)


class _Compared:
    """A field whose true cells are compared with guesses."""

    def __init__(self, truth: Truth, leaf: Leaf, same: bool) -> None:
        self.truth, self.leaf, self.same = truth, leaf, same
        self.usual = truth.usual[leaf]

    def read(
        self,
        guesses: Sequence[Reading],
        theirs: Leaf,
        right: NDArray[np.bool_],
        blind: Sequence[dict[Place, Cell]] | None,
    ) -> Read | None:
        """Return the figures, or None if there are no cells."""
        form, n = self.truth.form, len(guesses)
        kind = form.of(self.leaf)
        hits, near, sizes, blinds, nears, numbers, ids = (np.zeros(n) for _ in range(7))
        pieces = np.zeros(n)
        binned = self.same and kind.kind == "number" and kind.bins > 1
        usual_bin = _bin_of(form, self.leaf, self.usual) if binned else None
        kinds, starts = self.truth.target.kinds, self.truth.spans
        for r, (true, guess) in enumerate(zip(self.truth.readings, guesses, strict=True)):
            for place in true_places(true, self.leaf):
                cell = true.cells.get(place, kind.absent)
                other = Place(theirs, place.row)
                unread = self.usual if blind is None else blind[r].get(place, self.usual)
                said = cell_of(guess, other, form.of(self.leaf).absent, unread)
                sizes[r] += 1
                hits[r] += same(said, cell)
                blinds[r] += same(unread, cell)
                if binned and place in true.bins:
                    numbers[r] += 1
                    near[r] += guess.bins.get(other, usual_bin) == true.bins[place]
                    nears[r] += usual_bin == true.bins[place]
                if self.same and place in true.spans:
                    at, symbols = true.spans[place]
                    ids[r] += symbols.sum()
                    pieces[r] += symbols[right[kinds[starts[r][0] + at]]].sum()
        if not sizes.sum():
            return None
        share = float(hits.sum() / sizes.sum())
        many = max(numbers.sum(), 1)
        return Read(
            leaf=self.leaf,
            cells=int(sizes.sum()),
            read=share,
            read_interval=of_ratio(hits, sizes),
            blind=float(blinds.sum() / sizes.sum()),
            near=float(near.sum() / many) if numbers.any() else None,
            near_blind=float(nears.sum() / many) if numbers.any() else None,
            pieces=float(pieces.sum() / ids.sum()) if ids.any() else None,
        )


def true_places(true: Reading, leaf: Leaf) -> list[Place]:
    """Return the places of a field's cells in a record: one, or one for each row."""
    return [Place(leaf, -1)] if leaf.inner < 0 else [Place(leaf, row) for row in true.rows.get(leaf.field, [])]


def cell_of(guess: Reading, place: Place, absent: Cell, unread: Cell) -> Cell:
    """Return the cell that an attacker takes to be at a place: what was read, else `absent` or `unread`.

    A cell that was not read was left out if everything of the record was read.
    """
    if place in guess.spans or (guess.whole and place in guess.cells):
        return guess.cells.get(place, unread)
    return absent if guess.whole and place.row < 0 and place.leaf != NOWHERE else unread


def same(one: Cell, other: Cell) -> bool:
    """Return whether two cells are equal."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other)
    return bool(one == other)


def commonest(records: Sequence[tuple[Cell, ...]], leaf: Leaf) -> Cell:
    """Return the commonest cell of a field in public records; the first in order of several, None without any."""
    cells: list[Any] = [record[leaf.field] for record in records]
    if leaf.inner >= 0:
        cells = [row[leaf.inner] for rows in cells for row in rows]
    counts = Counter(cell for cell in cells if cell is None or isinstance(cell, str))
    return max(counts, key=lambda cell: (counts[cell], cell or "")) if counts else None


def _bin_of(form: Form, leaf: Leaf, cell: Cell) -> int | None:
    """Return the bin of the commonest number, None if it is none or its bins are those of a code."""
    one = form.of(leaf)
    if not isinstance(cell, str) or one.by or cell in one.missing:
        return None
    kind: Any = form.kinds[[form.reader.top[n] for n in range(len(form.kinds))].index(_top(leaf))]
    return int(kind.numbers.bin_of(cell, None))


def _top(leaf: Leaf) -> tuple[int, int | None]:
    return (leaf.field, None if leaf.inner < 0 else leaf.inner)
