"""The figures of an audit by field, with names for the owner, and without them for the JSON that others may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ult.audit import words
from ult.audit.code.fields import cell_of, same, true_places
from ult.audit.code.inferred import inferred
from ult.audit.code.people import Named
from ult.audit.code.records import Attacker, Records, attackers
from ult.audit.code.telling import FORMAT, UNREAD
from ult.errors import InvalidConfig, SourceError
from ult.host.shown import Facts
from ult.owner.inputs import schema_of

SHOWN = 20  # fields that the command prints of an attacker; the file of pairs has all
PAIRS, LONGEST = 5, 60  # records shown beside the truth, and characters of a cell


@dataclass(frozen=True, slots=True)
class OfFields:
    """What each attacker reads of each field of `records`; `named` are the phrases that the first of them guesses."""

    records: Records
    named: Named
    attackers: tuple[Attacker, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def attacked(
        cls,
        records: Records,
        best: tuple[str, Named],
        reference: Sequence[str | Path],
        reading: Mapping[str, str | float] | None,
        notice: Callable[[str], None],
    ) -> OfFields:
        """Return what attackers read by the public files `reference`; `best` is the best attack by public data."""
        schema, notes, form = schema_of(records.table), list[str](), None
        if schema is not None:
            try:
                form = inferred(reference, schema, reading)
            except (InvalidConfig, SourceError) as error:
                notes.append(f"what somebody reads without the table's fields was not measured: {error.what}")
        found = attackers(records, best, form)
        for one in found:
            notice(words.of_attacker(one.name, one.overall(), one.people))
        return cls(records, best[1], tuple(found), tuple(notes))

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON values, without names of fields, which are the owner's."""
        form = self.records.form
        return {
            "records": len(self.records.truth.readings),
            "known": len(self.records.known),
            "attackers": [one.document(form) for one in self.attackers],
        }

    def figures(self) -> Facts:
        """Return what is printed for the owner: each attacker, and under the first the fields, worst first."""
        found: Facts = []
        for k, one in enumerate(self.attackers):
            found.append(("cells of fields", words.of_attacker(one.name, one.overall(), one.people)))
            if k == 0 or one.people is not None:
                found += self._fields(one)
        return found

    def _fields(self, one: Attacker) -> Facts:
        shown: Facts = [(f"  {self._name(each)}", words.of_field(each)) for each in one.fields[:SHOWN]]
        more = len(one.fields) - SHOWN
        return [*shown, *([("  ...", f"{more} more fields, which are read less; --pairs has all")] if more > 0 else [])]

    def _name(self, each: Any) -> str:
        return "/".join(filter(None, self.records.form.name(each.leaf)))

    def pairs(self, subject: Mapping[str, Any]) -> dict[str, Any]:
        """Return the records that were read best beside the truth, and all figures with names, for the owner only."""
        first = self.attackers[0]
        by_name = [
            {
                "attack": one.name,
                "fields": [
                    {"field": self._name(each), **figures} for each, figures in zip(one.fields, shown, strict=True)
                ],
            }
            for one in self.attackers
            for shown in [one.document(self.records.form)["fields"]]
        ]
        return {
            "format": FORMAT, "subject": dict(subject), "attack": first.name, "pairs": self._pairs(), "fields": by_name
        }  # fmt: skip

    def _pairs(self) -> list[dict[str, Any]]:
        truth, form = self.records.truth, self.records.form
        shown = list[dict[str, Any]]()
        for phrases, true in zip(truth.spelled(self.named)[:500], truth.readings, strict=False):
            guess, pieces, whole, right = form.read(phrases), list[dict[str, Any]](), list[str](), list[bool]()
            for leaf in form.leaves:
                absent, name = form.of(leaf).absent, "/".join(filter(None, form.name(leaf)))
                for place in true_places(true, leaf):
                    cell = true.cells.get(place, absent)
                    said = cell_of(guess, place, absent, None)
                    right.append(same(said, cell))
                    pieces.append({"text": f"{name}: {_text(said)}; ", "right": right[-1]})
                    whole.append(f"{name}: {_text(cell)}; ")
            share = float(np.mean(right)) if right else 0.0
            read = "".join(piece["text"] for piece in pieces)
            shown.append({"read": read, "pieces": pieces, "truth": "".join(whole), "share": share})
        different = {one["truth"]: one for one in shown}.values()
        return sorted(different, key=lambda one: float(one["share"]), reverse=True)[:PAIRS]


def _text(cell: Any) -> str:
    if cell is None:
        return UNREAD
    text = cell if isinstance(cell, str) else f"<{type(cell).__name__}>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
