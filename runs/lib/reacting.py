"""Short reactions of USPTO-MIT as sources and targets that are nearly copies, and what predicts products untrained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

import ult
from lib.baselines import ATOMS, fingerprint
from lib.copies import Pointers
from lib.corpus import reactions
from lib.rooted import Sites, by_length, target
from lib.session import Session
from ult.errors import CorruptSymbols
from ult.public.vocabulary import N_SPECIAL, Vocabulary

LONGEST = 64  # atom-wise tokens of a source, and of a target
NEIGHBOURS = 20  # of which the first whose edit can be made answers
RATES, FREQUENT, PASSES = (
    (1e-6, 1e-5, 1e-4),
    30,
    5,
)  # penalties of the linear model; reactions that make an edit a class

Parts = dict[str, list[tuple[str, str]]]  # sources and targets by part


def arranged(session: Session, sizes: dict[str, int]) -> Parts:
    """Return the first reactions of each part whose sides are short, as sources and targets."""

    def make(folder: Path) -> dict[str, Any]:
        many = {part: [one for one in reactions(session, part)[: sizes["read"]] if _short(one)] for part in PARTS}
        sites = Sites(many["train"])
        found: Parts = {}
        for part, some in many.items():
            pairs = [(source := sites.source(one), target(one, source)) for one in some[: sizes[part]]]
            found[part] = [pair for pair in pairs if max(map(_tokens, pair)) <= LONGEST] if part == "train" else pairs
        (folder / "pairs.json").write_text(json.dumps(found), encoding="utf-8")
        return {part: len(some) for part, some in many.items()}

    folder = Path(session.once("pairs", sizes, make)["folder"])
    pairs: Parts = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
    return pairs


PARTS = ("train", "valid", "test")


def _short(reaction: str) -> bool:
    reactants, reagents, products = reaction.split(">")
    return _tokens(f"{reactants}>{reagents}") <= LONGEST and _tokens(products) <= LONGEST


def _tokens(text: str) -> int:
    return len(ATOMS.findall(text))


class Atoms:
    """Atom-wise tokens of SMILES as ids."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._tokens = sorted({token for text in texts for token in ATOMS.findall(text)})
        self._number = {token: N_SPECIAL + k for k, token in enumerate(self._tokens)}
        self.size, self.fingerprint = N_SPECIAL + len(self._tokens), fingerprint("raw/atoms")

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [self._number[token] for token in ATOMS.findall(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return "".join(self._tokens[k - N_SPECIAL] for k in ids if N_SPECIAL <= k < self.size)


class Ours:
    """A table of `ult` for both sides."""

    def __init__(self, texts: Sequence[str], size: int) -> None:
        table = ult.Table.fit(texts, codec="molecule/smiles", vocabulary=Vocabulary(size), min_records=1)
        self._table, self.size, self.fingerprint = table, size, table.fingerprint

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [int(one) for one in self._table.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; raise `CorruptSymbols` if they spell none."""
        return str(self._table.decode(np.array(ids, np.uint32)))


@dataclass(frozen=True)
class Writer:
    """Writes reactions as ids, and reads the products that a model writes. Made with `Atoms` or `Ours`."""

    coder: Any

    @cached_property
    def pointers(self) -> Pointers:
        """The pointers above the coder's ids."""
        return Pointers(self.coder.size)

    def source(self, source: str) -> list[int]:
        """Return the ids of a source, each molecule encoded by itself."""
        left, right = source.split(">")
        dot, found = self.coder.encode("."), []
        for part in self._parts(left):
            found += [*(dot if found else []), *part]
        return [*found, *self.coder.encode(">"), *self.coder.encode(right)]

    def edit(self, source: str, target: str) -> list[int]:
        """Return the ids of a target."""
        pieces = [[self._spelled(one) for one in part] for part in self._parts(source.split(">")[0])]
        return self.pointers.written(pieces, ATOMS.findall(target), self.coder.encode)

    def product(self, source: str, edit: Sequence[int]) -> str | None:
        """Return the products that an edit makes of a source, as RDKit writes them; None if it makes none."""
        ids = self.pointers.read(self._parts(source.split(">")[0]), edit)
        try:
            return None if ids is None else canonical(self.coder.decode(ids))
        except CorruptSymbols:
            return None

    def _parts(self, left: str) -> list[list[int]]:
        return [self.coder.encode(one) for one in left.split(".")]

    @cached_property
    def _spelled(self) -> Callable[[int], str]:
        inside = self.coder.encode("[")

        @cache
        def spelled(one: int) -> str:
            try:
                return str(self.coder.decode([one]))
            except CorruptSymbols:  # the middle of an atom in brackets
                return str(self.coder.decode([*inside, one])[1:])

        return spelled


@cache
def canonical(smiles: str | None) -> str | None:
    """Return RDKit's SMILES, None of what it cannot read."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # which its types leave out
    molecule = Chem.MolFromSmiles(smiles) if smiles else None
    return None if molecule is None else str(Chem.MolToSmiles(molecule))


def copied(tested: Sequence[tuple[str, str]]) -> list[bool]:
    """Return whether the largest reactant is the product."""
    return [canonical(by_length(s.split(">")[0].split("."))[0]) == canonical(t) for s, t in tested]


def neighbours(writer: Writer, parts: Parts, part: str = "test") -> list[bool]:
    """Return whether the edit of the most similar known reaction, by fingerprint, makes the product."""
    from rdkit import DataStructs
    from rdkit.Chem import MolFromSmiles, rdFingerprintGenerator

    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024).GetFingerprint
    known = [make(MolFromSmiles(source.replace(">", ".").strip("."))) for source, _ in parts["train"]]
    edits = [writer.edit(*pair) for pair in parts["train"]]
    right = []
    for source, product in parts[part]:
        alike = DataStructs.BulkTanimotoSimilarity(make(MolFromSmiles(source.replace(">", ".").strip("."))), known)
        nearest = np.argsort(-np.array(alike), kind="stable")[:NEIGHBOURS]
        made = (writer.product(source, edits[k]) for k in nearest)
        right.append(next(filter(None, made), None) == canonical(product))
    return right


def linear(writer: Writer, parts: Parts, *, frequent: int) -> list[bool]:
    """Return whether the likeliest edit that makes a molecule makes the product, by logistic regression.

    It knows the edits of at least `frequent` reactions, and sees a source's ids, one, two and three together, by
    TF-IDF. Its penalty is the best of three on the valid part.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier

    edits = [tuple(writer.edit(*pair)) for pair in parts["train"]]
    often = [edit for edit, count in Counter(edits).items() if count >= frequent]
    number = {edit: k for k, edit in enumerate(often)}
    known = [k for k, edit in enumerate(edits) if edit in number]
    bag = TfidfVectorizer(analyzer=_grams, sublinear_tf=True, min_df=2)
    features = bag.fit_transform([writer.source(parts["train"][k][0]) for k in known])
    labels = np.array([number[edits[k]] for k in known])

    def right(model: Any, part: str) -> list[bool]:
        scores = model.decision_function(bag.transform([writer.source(source) for source, _ in parts[part]]))
        found = []
        for (source, product), order in zip(parts[part], np.argsort(-scores, axis=1, kind="stable"), strict=True):
            made = (writer.product(source, often[model.classes_[k]]) for k in order)
            found.append(next(filter(None, made), None) == canonical(product))
        return found

    models = [
        SGDClassifier(loss="log_loss", alpha=rate, max_iter=PASSES, tol=None, random_state=0).fit(features, labels)
        for rate in RATES
    ]
    return right(models[int(np.argmax([np.mean(right(model, "valid")) for model in models]))], "test")


def _grams(ids: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple(ids[k : k + n]) for n in (1, 2, 3) for k in range(len(ids) - n + 1)]
