"""An attacker who knows some columns of the people in the shards, such as age, sex and date, besides public records.

What is known may be linked to the records, person by person, or not: then it is a list of people. Either way the
attacker adds to the public records one for each person, with the other cells of a public record whose known cells are
near.
If the list is linked, an id that occurs in just the records that have a known cell stands for that cell. If not, an id
stands for a known cell if it occurs as often, alone and beside the ids of other known cells. Such ids are the seeds of
the co-occurrence attack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.cells import Cell, Form, Leaf, Place
from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.fields import Truth, commonest, true_places
from ult.audit.code.matching import assign
from ult.errors import InvalidConfig
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy.sparse import csr_matrix
    from scipy.spatial.distance import cdist

GROUP = 10  # public records whose known cells are near, from which on they say what the other cells are
SURE = 0.5  # likeness of an id and a phrase from which on they are one: of the records, or the counts, that they have
ROUNDS, FIRST = 8, 4  # rounds of matching by counts, and the anchors of the first
Record = tuple[Cell, ...]


def leaves_of(form: Form, known: Sequence[str]) -> list[Leaf]:
    """Return the fields of the names `known`; raise `InvalidConfig` for a name that no field or several have."""
    found = []
    for name in known:
        named = [leaf for leaf in form.leaves if form.name(leaf)[1] == name]
        if len(named) != 1:
            names = ", ".join(form.name(leaf)[1] for leaf in form.leaves[:8])
            raise InvalidConfig(
                f"{len(named) or 'no'} fields of the table are called {name!r}; its first fields are {names}",
                hint="--known with the name of a field, as `ult describe` shows it",
            )
        if form.of(named[0]).kind in ("image", "series"):
            raise InvalidConfig(f"field {name!r} is of kind {form.of(named[0]).kind}; expected one of texts or numbers")
        found += named
    if len(set(found)) >= len(form.leaves):
        raise InvalidConfig("every field is known, so that nothing is left to read", hint="--known of fewer fields")
    return list(dict.fromkeys(found))


class Near:
    """Public records by how near their known cells are to those of a person: all equal first, then fewer."""

    def __init__(self, form: Form, public: Sequence[Record], leaves: Sequence[Leaf]) -> None:
        self.form, self.public, self.leaves = form, public, leaves
        self.rough = [_rough(form, leaf) for leaf in leaves]
        self.groups: list[dict[tuple[Any, ...], list[int]]] = []
        every = [self._keys(record) for record in public]
        for depth in range(len(every[0])):
            groups = defaultdict(list)
            for i, keys in enumerate(every):
                groups[keys[depth]].append(i)
            self.groups.append(dict(groups))

    def to(self, person: Record, least: int) -> list[int]:
        """Return the public records whose known cells are nearest to a person's, at least `least` if there are."""
        found: list[int] = []
        for group, key in zip(self.groups, self._keys(person), strict=True):
            found = group.get(key, [])
            if len(found) >= least:
                return found
        return found

    def _keys(self, record: Record) -> list[tuple[Any, ...]]:
        """Return what must be equal: all known cells, all of them roughly, then without the last, and so on."""
        cells = [cell_at(record, leaf) for leaf in self.leaves]
        rough = tuple(of(cell) for of, cell in zip(self.rough, cells, strict=True))
        return [tuple(cells), *(rough[:n] for n in range(len(rough), -1, -1))]


def _rough(form: Form, leaf: Leaf) -> Callable[[Cell], Any]:
    """Return what keeps of a cell what is near: the bin of a number, the year of a date, how many rows there are."""
    one = form.of(leaf)
    if leaf.inner >= 0:
        return len
    if one.kind == "number" and not one.by:
        kind: Any = form.kinds[form.reader.top.index((leaf.field, None))]
        missing = {*one.missing, None, one.absent}
        return lru_cache(2**16)(lambda cell: cell if cell in missing else kind.numbers.bin_of(cell, None))
    if one.kind == "date":
        return lambda cell: cell and max(("".join(filter(str.isdigit, part)) for part in _parts(cell)), key=len)[:4]
    return lambda cell: cell if cell is None or isinstance(cell, str) else None


def _parts(cell: str) -> list[str]:
    return cell[:10].replace("/", "-").replace(".", "-").split("-")


def cell_at(record: Record, leaf: Leaf) -> Cell:
    """Return the cell of a field, or for a field of rows the cells of all rows."""
    cell = record[leaf.field]
    return cell if leaf.inner < 0 else tuple(row[leaf.inner] for row in cell)


def mixed(near: Near, people: Sequence[Record], rng: np.random.Generator, rounds: int) -> list[Record]:
    """Return records with the known cells of `people` and the other cells of public records near them.

    There are `rounds` for each person: first one for each, in their order, then the next for each. No public record is
    taken again before all that are as near were.
    """
    groups = [near.to(person, 1) for person in people]
    turns = {id(group): (rng.permutation(len(group)), count()) for group in groups}
    found = []
    for _ in range(rounds):
        for group, person in zip(groups, people, strict=True):
            order, turn = turns[id(group)]
            found.append(_with(near.public[group[order[next(turn) % len(order)]]], person, near.leaves))
    return found


def _with(record: Record, person: Record, leaves: Sequence[Leaf]) -> Record:
    """Return a record with the known cells of a person; rows are as many as the person's if their cells are known."""
    cells = list(record)
    for leaf in leaves:
        if leaf.inner < 0:
            cells[leaf.field] = person[leaf.field]
    for k in {leaf.field for leaf in leaves if leaf.inner >= 0}:
        known = [leaf.inner for leaf in leaves if leaf.field == k]
        others = cells[k] or person[k]
        cells[k] = tuple(
            tuple(
                mine if j in known else other
                for j, (mine, other) in enumerate(zip(row, others[i % len(others)], strict=True))
            )
            for i, row in enumerate(person[k])
        )
    return tuple(cells)


def expected(truth: Truth, near: Near, people: Sequence[Record]) -> list[dict[Place, Cell]]:
    """Return the cells that somebody guesses of each person without any ids: the commonest of the public records near.

    Known cells are as they are.
    """
    known = set(near.leaves)
    others = [leaf for leaf in truth.form.leaves if leaf not in known]
    by_group: dict[int, dict[Leaf, Cell]] = {}
    found = []
    for person, true in zip(people, truth.readings, strict=False):
        group = near.to(person, GROUP)
        if id(group) not in by_group:
            records = [near.public[i] for i in group]
            by_group[id(group)] = {leaf: commonest(records, leaf) for leaf in others}
        usual = by_group[id(group)]
        cells = {place: usual[leaf] for leaf in others for place in true_places(true, leaf)}
        cells |= {
            place: true.cells.get(place, truth.form.of(leaf).absent)
            for leaf in known
            for place in true_places(true, leaf)
        }
        found.append(cells)
    return found


def about(form: Form, spelled: Sequence[bytes], leaves: Sequence[Leaf]) -> list[int]:
    """Return which of the phrases `spelled` begin a cell of the known columns."""
    markers = {form.first + n for n, top in enumerate(form.reader.top) if _leaf(top) in set(leaves)}
    return [k for k, phrase in enumerate(spelled) if int(np.frombuffer(phrase, np.uint32)[0]) in markers]


def seeds_of_records(target: Coded, reference: Coded, some: Sequence[int]) -> Guess:
    """Return, for each kind of the target, which of `some` kinds of the reference stands in the same records, or -1.

    Record i of `reference` has the known cells of record i of `target`.
    """
    n = len(target.ends)
    ours, theirs = _presence(target, n), _presence(reference, n)[:, some]
    both = (ours.T @ theirs).toarray()
    either = sums(ours)[:, None] + sums(theirs)[None, :] - both
    return _sure(both / np.maximum(either, 1), some)


def seeds_of_list(target: Coded, reference: Coded, some: Sequence[int], guess: Guess) -> Guess:
    """Return, for each kind of the target, which of `some` kinds occurs as often, alone and beside others, or -1.

    The first records of `reference` have the known cells of all records of `target`, in whatever order. Others are
    those of the `some` that `guess` has matched: the commonest at first, which are matched best, then twice as many.
    """
    n = len(target.ends)
    ours, theirs = _presence(target, n), _presence(reference, n)[:, some]
    place = np.full(len(reference.ids) + 1, -1)
    place[some] = np.arange(len(some))
    for turn in range(ROUNDS):
        anchors = target.order[((guess >= 0) & (place[guess] >= 0))[target.order]][: FIRST << turn]
        if not len(anchors):
            break
        mine = np.column_stack([sums(ours), (ours.T @ ours[:, anchors]).toarray()])
        known = np.column_stack([sums(theirs), (theirs.T @ theirs[:, place[guess[anchors]]]).toarray()])
        apart = cdist(mine, known, "cityblock")
        guess = _sure(1 - apart / (mine.sum(1)[:, None] + known.sum(1)[None, :]), some)
    return guess


def _sure(alike: NDArray[np.float64], some: Sequence[int]) -> Guess:
    """Return the assignment of kinds to `some`, (kinds,), -1 where their likeness, 0 to 1, is not over `SURE`."""
    guess = np.full(len(alike), -1)
    if len(some):
        matched = assign(alike)
        rows = np.flatnonzero(matched >= 0)
        rows = rows[alike[rows, matched[rows]] > SURE]
        guess[rows] = np.array(some)[matched[rows]]
    return guess


def sums(presence: Any) -> NDArray[np.float64]:
    """Return how many records hold each kind, (kinds,), of a matrix of which hold which."""
    return np.asarray(presence.sum(0)).ravel()


def _leaf(top: tuple[int, int | None]) -> Leaf:
    return Leaf(top[0], -1 if top[1] is None else top[1])


def _presence(coded: Coded, n: int) -> Any:
    """Return which of the first n records hold which kinds, (n, kinds), sparse, 0 or 1."""
    records = np.repeat(np.arange(len(coded.ends)), coded.ends - coded.starts)
    stop = int(coded.ends[n - 1]) if n else 0
    ones = np.ones(stop, np.float32)
    found = csr_matrix((ones, (records[:stop], coded.kinds[:stop])), shape=(n, len(coded.ids)))
    found.data = np.minimum(found.data, 1)
    return found
