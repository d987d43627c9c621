"""The adversary: public records, a table of its own fitted on them, and what its guesses say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.reconstruct import MODALITIES, Rebuilder
from ult.audit.code.score import Recovered, check_codecs, phrases, score
from ult.owner.table import Table


class Adversary:
    """Holds public `records` and a table: fitted on them, or, to be told more than it could know, the owner's."""

    def __init__(self, known: Table, records: Sequence[Any]) -> None:
        self.known = known
        self.reference = Coded.of(known.encode_batch(records))
        self.spelled = phrases(known)
        self.rebuilder = Rebuilder(known.codec, records) if known.codec.modality in MODALITIES else None

    @classmethod
    def fitted(cls, like: Table, records: Sequence[Any]) -> Adversary:
        """Return one that knows what is public of the table `like`: its codec, vocabulary and `min_records`."""
        public: dict[str, Any] = {"codec": like.codec, "vocabulary": like.vocabulary, "min_records": like.min_records}
        fit = Table.fit(records, **public, allow_lost=True)  # whose range suits the owner's records
        return cls(fit, records)

    def named(self, guess: Guess) -> list[bytes | None]:
        """Return the phrase that each kind of a target is taken for."""
        ranks = self.known_ranks
        return [self.spelled[ranks[kind]] if kind >= 0 else None for kind in guess.tolist()]

    @property
    def known_ranks(self) -> list[int]:
        """The rank of each kind of the reference in the adversary's table."""
        ranks: list[int] = (self.reference.ids - self.known.size + len(self.spelled)).tolist()
        return ranks

    @property
    def own(self) -> dict[bytes, int]:
        """How often each phrase occurs in the adversary's records."""
        return {self.spelled[k]: n for k, n in zip(self.known_ranks, self.reference.counts.tolist(), strict=True)}

    def recovered(self, guesses: Sequence[bytes | None], target: Coded, truth: Table) -> dict[str, Any]:
        """Return the fields of `score`, and of images and series how like the true ones they are rebuilt."""
        found = asdict(self.score(guesses, target, truth))
        return found | (self.rebuilder.psnr(guesses, target, truth) if self.rebuilder else {})

    def score(self, guesses: Sequence[bytes | None], target: Coded, truth: Table) -> Recovered:
        """Score phrases guessed for the kinds of `target`. Raises `InvalidConfig` if the codecs differ."""
        check_codecs(self.known, truth)
        commonest = self.spelled[self.known_ranks[self.reference.order[0]]]
        return score(guesses, target=target, truth=truth, commonest=commonest, nameable=set(self.own))
