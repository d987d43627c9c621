"""The adversary of attacks on a code: public records, and a table of its own fitted on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.reconstruct import MODALITIES, Rebuilder
from ult.audit.code.score import Recovered, check_codecs, phrases, score
from ult.owner.table import Table


class Adversary:
    """An adversary with public `records` and a table: fitted on them, or the owner's, to measure what that adds."""

    def __init__(self, known: Table, records: Sequence[Any]) -> None:
        self.known = known
        self.reference = Coded.of(known.encode_batch(records))
        self.spelled = phrases(known)
        self.rebuilder = Rebuilder(known.codec, records) if known.codec.modality in MODALITIES else None

    @classmethod
    def fitted(cls, like: Table, records: Sequence[Any]) -> Adversary:
        """Return an adversary whose table is fitted on `records` with the public options of the table `like`.

        These are its codec, vocabulary size, `min_records` and the public table that it extends.
        """
        public: dict[str, Any] = {"codec": like.codec, "vocabulary": like.vocabulary, "min_records": like.min_records}
        public |= {"base": like.base}
        fit = Table.fit(records, **public, allow_lost=True)  # the codec's range suits the owner's records, not these
        return cls(fit, records)

    def named(self, guess: Guess) -> list[bytes | None]:
        """Return the phrase guessed for each kind of a target, None where there is no guess."""
        ranks = self.known_ranks
        return [self.spelled[ranks[kind]] if kind >= 0 else None for kind in guess.tolist()]

    @property
    def known_ranks(self) -> list[int]:
        """The rank of each kind of the reference in the adversary's table."""
        ranks: list[int] = (self.reference.ids - self.known.size + len(self.spelled)).tolist()
        return ranks

    @property
    def own(self) -> dict[bytes, int]:
        """The count of each phrase in the adversary's records."""
        return {self.spelled[k]: n for k, n in zip(self.known_ranks, self.reference.counts.tolist(), strict=True)}

    def recovered(
        self, guesses: Sequence[bytes | None], target: Coded, truth: Table, *, public: Collection[bytes] = ()
    ) -> dict[str, Any]:
        """Return the fields of `Recovered`, and for images and series those of `Rebuilder.psnr`, as JSON values.

        `public` are phrases that the adversary can name beside those of its records.
        """
        recovered = asdict(self.score(guesses, target, truth, public))
        return recovered | (self.rebuilder.psnr(guesses, target, truth) if self.rebuilder else {})

    def score(
        self, guesses: Sequence[bytes | None], target: Coded, truth: Table, public: Collection[bytes] = ()
    ) -> Recovered:
        """Score the phrases guessed for the kinds of `target`; raise `InvalidConfig` if the codecs differ."""
        check_codecs(self.known, truth)
        commonest = self.spelled[self.known_ranks[self.reference.order[0]]]
        return score(guesses, target=target, truth=truth, commonest=commonest, nameable={*self.own, *public})
