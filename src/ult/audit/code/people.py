"""Attack the records of people of whom some columns are known, and put the list of people in the order of the records.

A first attack links some people to their records. With these in their places, the records that the attacker makes up
are more like the true ones, in what stands in them and in the order in which equally common pieces are ranked, and the
next attack links more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.code import columns
from ult.audit.code.adversary import Adversary
from ult.audit.code.columns import Near, Record
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.fields import Truth
from ult.audit.code.linking import linked
from ult.owner.table import Table

ROUNDS = 4  # records for each person, at most, that the table of somebody who knows columns is fitted on
TURNS = 4  # times that the list is put in order, at most
Named = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The phrase guessed for each kind of the records, and the record that each person is linked to, -1 for none."""

    named: Named
    links: NDArray[np.int64]


class People:
    """Who knows the columns of `near` of `people`, person i being that of record i of `held`; `table` is the owner's.

    The order of `people` is used only if `place`, which record is whose, is known.
    """

    def __init__(self, held: Truth, table: Table, near: Near, people: Sequence[Record]) -> None:
        self.held, self.table, self.near, self.people = held, table, near, people

    def attempts(self, *, place: bool) -> list[Attempt]:
        """Return all attacks that were tried; without `place` each turn puts the list in the order of the best one."""
        rng = np.random.default_rng(0)
        if place:
            return list(self._turn(np.arange(len(self.people)), rng, both=True))
        nobody = np.full(len(self.people), -1)
        tried = list(self._turn(in_order(nobody, rng), rng, both=False))
        for _ in range(TURNS - 1):
            best = max(tried, key=_claimed)
            more = list(self._turn(in_order(best.links, rng), rng, both=True))
            tried += more
            if max(map(_claimed, more)) <= _claimed(best):
                break  # this turn has linked nobody else
        return tried

    def _turn(self, order: NDArray[np.int64], rng: np.random.Generator, *, both: bool) -> Iterator[Attempt]:
        """Yield attacks that take person `order[r]` for that of record r, if `both`, and that count alone."""
        people, public = [self.people[k] for k in order], self.near.public
        made = columns.mixed(self.near, people, rng, min(ROUNDS, max(1, len(public) // len(people))))
        alike = Adversary.fitted(self.table, made)  # its phrases of known cells are most like the owner's
        for adversary in (alike, Adversary(alike.known, [*made[: len(people)], *public])):
            target, reference = ranked(self.held.target, adversary), adversary.reference
            phrases = [adversary.spelled[rank] for rank in adversary.known_ranks]
            some = columns.about(self.held.form, phrases, self.near.leaves)
            seeds = [columns.seeds_of_list(target, reference, some, by_context(target, reference))]
            if both:
                seeds.append(columns.seeds_of_records(target, reference, some))
            for one in seeds:
                named = adversary.named(by_context(target, reference, one))
                yield Attempt(named, linked(self.held, named, self.people, self.near.leaves))


def in_order(links: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a person for each record, (people,): those linked to it, and the others in an order drawn by chance.

    >>> in_order(np.array([2, 0, -1]), np.random.default_rng(0))
    array([1, 2, 0])
    """
    people = np.full(len(links), -1)
    known = np.flatnonzero(links >= 0)
    people[links[known]] = known
    people[people < 0] = rng.permutation(np.flatnonzero(links < 0))
    return people


def _claimed(one: Attempt) -> int:
    return int((one.links >= 0).sum())


def ranked(target: Coded, adversary: Adversary) -> Coded:
    """Return the target with the shares that its ids predict by the adversary's records, if ids look like ranks."""
    plain = Coded(target.kinds, target.ends, target.ids)
    return plain.ranked(adversary.reference) if plain.tells_ranks else plain
