"""Canonical SMILES through RDKit; a SMILES that RDKit cannot read is counted, and given on as it came.

Also one side of a reaction: "left" is `reactants>reagents>`, with both arrows, and "right" the products. Together they
are the reaction, cut where a patch of `molecule/smiles` ends: a table fitted on reactions encodes both the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ult.data.rows import Chunk
from ult.errors import SourceError
from ult.host.extras import require

SIDES = ("left", "right")
_SHOWN = 5
_ARROW = re.compile("(?<!-)>")  # of a reaction; "->" is a dative bond


def sides(reactions: Iterator[str], side: str, chunk: Chunk) -> Iterator[str]:
    """Give that side of the reactions of a chunk; raise `SourceError`, naming the row, at what is no reaction."""
    for i, reaction in enumerate(reactions):
        if any(character.isspace() for character in reaction):
            raise SourceError(
                f"{chunk.place(i)} holds white space; expected a reaction alone: what follows it (a name, an extension "
                "as in ' |f:1.2|') speaks of both sides",
                hint="cut -d' ' -f1 FILE > new.txt leaves the reactions alone",
            )
        arrows = [found.end() for found in _ARROW.finditer(reaction)]
        if len(arrows) != 2:
            raise SourceError(
                f"{chunk.place(i)} holds {len(arrows)} of '>'; expected 2, as in reactants>reagents>products",
                hint="leave out --side to encode whole records",
            )
        yield reaction[: arrows[1]] if side == "left" else reaction[arrows[1] :]


@dataclass(slots=True)
class Invalid:
    """How many records are no valid SMILES, and the numbers of the first few, from 1 over all inputs."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows)) + (", ..." if self.count > len(self.rows) else "")
        return f"{self.count:,} of the SMILES are not valid (record {rows})"

    def add(self, row: int) -> None:
        """Count the record of number `row`."""
        self.count += 1
        if len(self.rows) < _SHOWN:
            self.rows.append(row)


class Canonicaliser:
    """Rewrites SMILES, and the sides of reaction SMILES, in RDKit's canonical form.

    Raises `MissingExtra` without RDKit.
    """

    def __init__(self) -> None:
        with require("rdkit", extra="molecule"):
            from rdkit import Chem, rdBase
        self._chem, self._silence = Chem, rdBase.BlockLogs

    def rewrite(self, records: Sequence[str], first: int, invalid: Invalid) -> list[str]:
        """Return the canonical records; count in `invalid` those that stay as they are, numbered from `first` on."""
        with self._silence():
            return list(self._rewrite(records, first, invalid))

    def _rewrite(self, records: Sequence[str], first: int, invalid: Invalid) -> Iterator[str]:
        for row, record in enumerate(records, first):
            canonical = self.canonical(record)
            if canonical is None:
                invalid.add(row)
            yield record if canonical is None else canonical

    def canonical(self, record: str) -> str | None:
        """Return `record` in canonical form, None if it is no SMILES.

        A side (between ">") is read as a whole, for "C1.C1" is one molecule. RDKit takes what follows white space for
        a name and drops it, so a record with white space is none.
        """
        sides = _ARROW.split(record)
        if not record.isascii() or not record.isprintable() or " " in record or len(sides) not in (1, 3):
            return None
        molecules = [self._read(side) for side in sides]
        if any(molecule is None for molecule in molecules):
            return None
        return ">".join(self._chem.MolToSmiles(molecule) for molecule in molecules)

    def _read(self, side: str) -> Any:
        """Return the molecule, None if it is none; hydrogens with a number stay, for RDKit would drop it with them."""
        form: Any = self._chem.SmilesParserParams()
        form.removeHs = "[H:" not in side
        return self._chem.MolFromSmiles(side, form)
