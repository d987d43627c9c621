"""What attackers read of each field of records: by public data, without the fields, and with known columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import clopper_pearson
from ult.audit.code import columns
from ult.audit.code.adversary import Adversary
from ult.audit.code.cells import Cell, Form, Place
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import PUBLIC, Coded
from ult.audit.code.fields import Read, Truth, beyond, read_fields
from ult.audit.code.interval import of_ratio
from ult.audit.code.linking import groups
from ult.audit.code.people import Attempt, Named, People, ranked
from ult.owner.table import Table

NO_FORM = "public data, and no field of the table"  # only a file of the same columns
PEOPLE = "public data, and some columns of the people, not which record is whose"
LINKED = "public data, and some columns of the people, record by record"
FEW = 5  # people with the same known cells below which a group is small


@dataclass(frozen=True, slots=True)
class Attacker:
    """What one attacker reads: of each field, the worst first, and of all cells but those that it knows."""

    name: str
    knows: str
    fields: tuple[Read, ...]
    people: Mapping[str, Any] | None = None  # how many were singled out, and linked to their records

    def document(self, form: Form) -> dict[str, Any]:
        """Return the figures as JSON values, without the name of any field."""
        shown = [
            {"kind": form.of(one.leaf).kind, "in_rows": one.leaf.inner >= 0, **_figures(one)} for one in self.fields
        ]
        return {"name": self.name, "knows": self.knows, **self.overall(), "people": self.people, "fields": shown}

    def overall(self) -> dict[str, Any]:
        """Return the number of cells, and the shares that were read and that a blind guess reads."""
        cells = sum(one.cells for one in self.fields)
        read, blind = (
            sum(getattr(one, name) * one.cells for one in self.fields) / max(cells, 1) for name in ("read", "blind")
        )
        return {"cells": cells, "read": read, "blind": blind, "beyond": beyond(read, blind)}


def _figures(one: Read) -> dict[str, Any]:
    found = {name: value for name, value in asdict(one).items() if name != "leaf"}
    return {**found, "beyond": one.beyond}


class Records:
    """The records that are attacked, their truth, and public records of the same kind.

    Of the people whose columns are `known` only the first are held, those whose cells are compared.
    """

    def __init__(self, target: Coded, truth: Table, public: Sequence[Any], known: Sequence[str]) -> None:
        self.target, self.table, self.public = target, truth, public
        self.truth = Truth(target, truth, public)
        self.form = self.truth.form
        self.known = columns.leaves_of(self.form, known)
        self._tried: dict[bool, list[Attempt]] = {}  # by whether it is known which record is whose
        self._found: dict[bool, tuple[list[Read], Named]] = {}

    def best(self, name: str, named: Named) -> Attacker:
        """Return what the attack `name`, by public data and the table's fields, reads."""
        return Attacker(name, PUBLIC, tuple(read_fields(self.truth, named, self.form)))

    def without_form(self, codec: Any, public: Sequence[Any]) -> Attacker:
        """Return what somebody reads whose fields were inferred from the public records: `codec` is theirs."""
        like: dict[str, Any] = {"vocabulary": self.table.vocabulary, "min_records": self.table.min_records}
        adversary = Adversary(Table.fit(public, codec=codec, **like, allow_lost=True), public)
        named = adversary.named(by_context(ranked(self.target, adversary), adversary.reference))
        return Attacker("co-occurrence, form guessed", NO_FORM, tuple(read_fields(self.truth, named, Form(codec))))

    def with_people(self, public: Named, *, place: bool) -> Attacker:
        """Return what somebody reads of the other fields who knows some columns of the people in the shards.

        With `place` it is known which record is whose. Of all attacks, with that by `public` data alone, which guesses
        these phrases, the figures of cells are those of the one that reads most, and the figures of people those of the
        one that links most of them rightly.
        """
        fields, _ = self._best(public, place)
        told = self._people(None if place else max((one.links for one in self._attempts(place)), key=_right))
        return Attacker(
            "known columns, linked" if place else "known columns", LINKED if place else PEOPLE, tuple(fields), told
        )

    def named_with_people(self, public: Named, *, place: bool) -> list[bytes | None]:
        """Return the phrase that somebody who knows the columns guesses for each kind of the target.

        There is none for an id that the people who are held have not.
        """
        _, named = self._best(public, place)
        by_id = dict(zip(self.held.target.ids.tolist(), named, strict=True))
        return [by_id.get(one) for one in self.target.ids.tolist()]

    def _best(self, public: Named, place: bool) -> tuple[list[Read], Named]:
        """Return what is read of the fields that are not known, and the phrases guessed, by the attack that reads most.

        Who knows more can do all that who knows less can.
        """
        if place not in self._found:
            by_id = dict(zip(self.target.ids.tolist(), public, strict=True))
            alone = [by_id[one] for one in self.held.target.ids.tolist()]
            first = self._best(public, False) if place else self._read(alone)
            tried = [first, *(self._read(one.named) for one in self._attempts(place))]
            self._found[place] = max(tried, key=lambda one: _share(one[0]))
        return self._found[place]

    def _read(self, named: Named) -> tuple[list[Read], Named]:
        fields = read_fields(self.held, named, self.form, self._blind)
        return [one for one in fields if one.leaf not in set(self.known)], named

    def _attempts(self, place: bool) -> list[Attempt]:
        if place not in self._tried:
            self._tried[place] = People(self.held, self.table, self.near, self.people).attempts(place=place)
        return self._tried[place]

    @cached_property
    def _blind(self) -> list[dict[Place, Cell]]:
        return columns.expected(self.held, self.near, self.people)

    @cached_property
    def near(self) -> columns.Near:
        """The public records by how near their known cells are."""
        return columns.Near(self.form, self.public, self.known)

    @cached_property
    def held(self) -> Truth:
        """The truth of the people who are held, whose cells are compared."""
        if len(self.truth.spans) == len(self.target.ends):
            return self.truth
        ids = self.target.ids[self.target.kinds]
        few = [ids[start:stop] for start, stop in self.truth.spans]
        return Truth(Coded.of(few), self.table, self.public)

    @cached_property
    def people(self) -> list[Any]:
        """The records of the people who are held, of whom the attacker knows the known cells."""
        held = self.held.target
        return self.table.decode_ragged(held.ids[held.kinds].astype(np.uint32), held.ends)

    def _people(self, found: Any) -> dict[str, Any]:
        """Return how many people are singled out by what is known, and how many were linked to their records."""
        size = groups(self.people, self.known)
        n, single = len(size), (size == 1).astype(float)
        told: dict[str, Any] = {
            "people": n, "columns": len(self.known), "alone": float(single.mean()),
            "alone_interval": of_ratio(single, np.ones(n)), "few": float((size < FEW).mean()),
        }  # fmt: skip
        if found is None:
            return told
        right = _right(found)
        return told | {
            "linked": right / len(found), "linked_interval": clopper_pearson(right, len(found)),
            "linked_wrongly": float(((found >= 0) & (found != np.arange(len(found)))).mean()),
            "chance": 1 / n,
        }  # fmt: skip


def _share(fields: Sequence[Read]) -> float:
    return sum(one.read * one.cells for one in fields) / max(sum(one.cells for one in fields), 1)


def _right(links: NDArray[np.int64]) -> int:
    return int((links == np.arange(len(links))).sum())


def attackers(records: Records, best: tuple[str, Named], inferred: tuple[Any, Sequence[Any]] | None) -> list[Attacker]:
    """Return what each attacker reads; `inferred` is a codec of fields inferred from public records, and these."""
    found = [records.best(*best)]
    if inferred is not None:
        found.append(records.without_form(*inferred))
    if records.known:
        found += [records.with_people(best[1], place=place) for place in (False, True)]
    return found
