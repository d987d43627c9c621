"""Canonical SMILES by RDKit, and the two sides of reaction SMILES.

A SMILES that RDKit cannot read is counted and left unchanged. The "left" side of a reaction is `reactants>reagents>`,
with both arrows, and the "right" side the products. The cut lies where a patch of `molecule/smiles` ends, so a table
fitted on whole reactions encodes the sides with the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ult.data.batch import Batch
from ult.data.rows import Chunk
from ult.errors import SourceError
from ult.host.extras import require

Rewritten = tuple[Batch, list[int]]  # canonical records, and which of them, from 0, are invalid and as they were
Rewriting = Callable[[Iterator[Batch]], Generator[Rewritten, None, None]]

SIDES = ("left", "right")
_SHOWN = 5
_ARROW = re.compile("(?<!-)>")  # the arrow of a reaction; "->" is a dative bond


def sides(reactions: Iterator[str], side: str, chunk: Chunk) -> Iterator[str]:
    """Yield the "left" or "right" side of each reaction; raise `SourceError`, naming the row, if one is no reaction."""
    for i, reaction in enumerate(reactions):
        if any(character.isspace() for character in reaction):
            raise SourceError(
                f"{chunk.place(i)} holds white space; expected a reaction alone: what follows it (a name, or an "
                "extension as in ' |f:1.2|') belongs to both sides",
                hint="cut -d' ' -f1 FILE > new.txt keeps only the reactions",
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
    """The number of records that are not valid SMILES, and the first few of them, counted from 1 over all inputs."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows)) + (", ..." if self.count > len(self.rows) else "")
        return f"{self.count:,} of the SMILES are not valid (record {rows})"

    def add(self, row: int) -> None:
        """Count record number `row`, from 1."""
        self.count += 1
        if len(self.rows) < _SHOWN:
            self.rows.append(row)


class Canonicaliser:
    """Rewrites SMILES, and each side of reaction SMILES, in RDKit's canonical form.

    Raises `MissingExtra` without RDKit.
    """

    def __init__(self) -> None:
        with require("rdkit", extra="molecule"):
            from rdkit import Chem, rdBase
        self._chem, self._silence = Chem, rdBase.BlockLogs

    def rewrite(self, records: Sequence[str]) -> tuple[list[str], list[int]]:
        """Return the records in canonical form, and which of them, from 0, are invalid, and so as they were."""
        with self._silence():
            found = [self.canonical(record) for record in records]
        kept = [record if one is None else one for one, record in zip(found, records, strict=True)]
        return kept, [i for i, one in enumerate(found) if one is None]

    def canonical(self, record: str) -> str | None:
        """Return `record` in canonical form, or None if it is not valid SMILES.

        A side (between ">") is read as a whole, because "C1.C1" is one molecule. A record with white space counts as
        invalid, because RDKit takes what follows as a name and drops it.
        """
        sides = _ARROW.split(record)
        if not record.isascii() or not record.isprintable() or " " in record or len(sides) not in (1, 3):
            return None
        molecules = [self._read(side) for side in sides]
        if any(molecule is None for molecule in molecules):
            return None
        return ">".join(self._chem.MolToSmiles(molecule) for molecule in molecules)

    def _read(self, side: str) -> Any:
        """Return RDKit's molecule or None; numbered hydrogens are kept, because removing them loses the number."""
        form: Any = self._chem.SmilesParserParams()
        form.removeHs = "[H:" not in side
        return self._chem.MolFromSmiles(side, form)


def rewritten(batches: Iterator[Batch]) -> Generator[Rewritten, None, None]:
    """Yield the batches in canonical form, in order. Raises `MissingExtra` without RDKit."""
    rewrite = Canonicaliser().rewrite
    for batch in batches:
        records, invalid = rewrite(batch.records)
        yield replace(batch, records=records), invalid
