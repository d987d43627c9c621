"""Reactions written so that the product is nearly a copy: what changes stands where the reactants meet.

"Root-aligned SMILES" (Zhong et al., 2022) know which atom became which. These reactions do not say it, so it is counted
on the training part which atoms change: those with neighbours that the products do not have. The first reactant is
then written with what often changes at its end, the others with it at their beginning: without a look at the products.
Of all spellings of the product, the target is the one that begins and ends most like a reactant.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

SMOOTHED = 5.0  # reactions that the wider neighbourhood of an atom must outweigh

Atoms = list[tuple[int, int]]  # of each atom, its neighbourhood of bonds and that of its neighbours


class Sites:
    """How often atoms of a neighbourhood change, in reactions of one reactant and in those of several."""

    def __init__(self, reactions: Iterable[str]) -> None:
        self._seen: Counter[tuple[bool, int]] = Counter()
        self._changed: Counter[tuple[bool, int]] = Counter()
        for reaction in reactions:
            reactants, _, products = (side.split(".") for side in reaction.split(">"))
            before = [pair for one in reactants for pair in neighbourhoods(one)]
            after = Counter(near for one in products for near, _ in neighbourhoods(one))
            held = Counter(near for near, _ in before)
            for near, far in before:
                share = max(0, held[near] - after[near]) / held[near]
                for key in (near, far):
                    self._seen[len(reactants) > 1, key] += 1
                    self._changed[len(reactants) > 1, key] += share  # type: ignore[assignment]  # of one atom

    def chances(self, molecule: str, several: bool) -> list[float]:
        """Return how likely each atom changes."""
        found = []
        for near, far in neighbourhoods(molecule):
            usual = (self._changed[several, near] + 0.05) / (self._seen[several, near] + 1)
            found.append((self._changed[several, far] + SMOOTHED * usual) / (self._seen[several, far] + SMOOTHED))
        return found

    def source(self, reaction: str) -> str:
        """Return `reactants>reagents`, the longest reactant first."""
        reactants, reagents, _ = reaction.split(">")
        first, *others = by_length(reactants.split("."))
        written = [self._written(first, bool(others), last=True)]
        written += [self._written(one, True, last=False) for one in others]
        return f"{'.'.join(written)}>{reagents}"

    def _written(self, smiles: str, several: bool, *, last: bool) -> str:
        chances = self.chances(smiles, several)

        def far(spelling: tuple[str, Sequence[int]]) -> tuple[float, str]:
            text, order = spelling
            steps = range(len(order) - 1, -1, -1) if last else range(len(order))
            return sum(chances[atom] * step for atom, step in zip(order, steps, strict=True)), text

        return min(spellings(smiles), key=far)[0] if chances else smiles


def target(reaction: str, source: str) -> str:
    """Return the products, the longest first and so spelled that it begins and ends like a reactant of `source`."""
    first, *others = by_length(reaction.split(">")[2].split("."))
    reactants = source.split(">")[0].split(".")
    texts = [text for text, _ in spellings(first)]
    return ".".join([max(texts, key=lambda text: (shared(text, reactants), text)), *others])


def by_length(molecules: Sequence[str]) -> list[str]:
    """Return SMILES, the longest first, equal lengths by the alphabet."""
    return sorted(molecules, key=lambda one: (-len(one), one))


def spellings(smiles: str) -> list[tuple[str, Sequence[int]]]:
    """Return a SMILES for each atom that it may begin with, and the order of the atoms in it."""
    from rdkit import Chem

    molecule = _molecule(smiles)
    if molecule is None:
        return [(smiles, [])]
    found: list[tuple[str, Sequence[int]]] = []
    for k in range(molecule.GetNumAtoms()):
        text = Chem.MolToSmiles(molecule, rootedAtAtom=k)
        found.append((text, list(molecule.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])))
    return found


def shared(text: str, others: Sequence[str]) -> int:
    """Return how many characters a text has in common with the beginning of one other and the end of one."""
    begin = max(len(os.path.commonprefix([text, one])) for one in others)  # noqa: RUF071  of characters
    rest = text[begin:][::-1]
    return begin + max(len(os.path.commonprefix([rest, one[::-1]])) for one in others)  # noqa: RUF071


def neighbourhoods(smiles: str) -> Atoms:
    """Return of each atom a number for it and its neighbours, and one for its neighbours' neighbours too."""
    molecule = _molecule(smiles)
    if molecule is None:
        return []
    own = [
        (a.GetAtomicNum(), a.GetFormalCharge(), a.GetTotalNumHs(), a.GetDegree(), int(a.GetIsAromatic()))
        for a in molecule.GetAtoms()
    ]
    beside: list[list[tuple[int, int]]] = [[] for _ in own]
    for bond in molecule.GetBonds():
        one, other, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondType())
        beside[one].append((kind, other))
        beside[other].append((kind, one))
    near = [
        hash((atom, *sorted((kind, *own[k]) for kind, k in around))) for atom, around in zip(own, beside, strict=True)
    ]
    far = [
        hash((one, *sorted((kind, near[k]) for kind, k in around))) for one, around in zip(near, beside, strict=True)
    ]
    return list(zip(near, far, strict=True))


@cache
def _molecule(smiles: str) -> Any:
    from rdkit import Chem

    return Chem.MolFromSmiles(smiles)
