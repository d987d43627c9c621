"""Keyed codes over a table's ids, which row `frontier` tries: homophones, secret segmentation, a record's variant.

Each is a public scheme with a secret key: the adversary applies the same to its own records, with a key of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import ult
from ult.audit.code.score import phrases
from ult.public.vocabulary import N_SPECIAL

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scheme:
    """What is public of a code; ids are permuted at random whatever else is done."""

    homophones: int = 0  # ids in all, shared among the phrases by how often each occurs, drawn for each occurrence
    dropout: float = 0.0  # the share of phrases that a record does without, and spells by their parts
    variants: int = 1  # permutations, of which each record has one


@dataclass(frozen=True)
class Said:
    """Records in a code: `ids` (n,) from 0 with `lengths` (r,), the phrase `said` (n,) by each, and what is secret."""

    ids: Ints
    said: Ints  # ranks in the table
    lengths: Ints
    variant: Ints  # (r,)
    choice: float  # bits that the drawing of homophones cost

    def records(self, first: int | None = None) -> list[Ints]:
        """Return the ids of each of the first records."""
        lengths = self.lengths[:first]
        return np.split(self.ids[: lengths.sum()], np.cumsum(lengths)[:-1])


class Keyed:
    """A scheme with a key, over a table, for records like `texts`."""

    def __init__(self, scheme: Scheme, table: ult.Table, texts: Sequence[str], key: int) -> None:
        self.scheme, self.table, self.key = scheme, table, key
        self.spelled = phrases(table)
        place, n = {phrase: k for k, phrase in enumerate(self.spelled)}, len(self.spelled)
        self.parts = np.array([_parts(phrase, place) for phrase in self.spelled])  # (n, 2), -1 for a single symbol
        flat, _ = self._segmented(texts)
        counts = np.bincount(flat, minlength=n)
        room = max(0, scheme.homophones - n)
        self.many = np.maximum(1, counts * room // counts.sum()) if room else np.ones(n, np.int64)
        rng = np.random.default_rng(key)
        self.orders = np.stack([rng.permutation(int(self.many.sum())) for _ in range(scheme.variants)])

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.orders.shape[1]

    def encode(self, texts: Sequence[str], draw: int) -> Said:
        """Return texts in the code; `draw` seeds what is drawn for each occurrence and record."""
        rng = np.random.default_rng([self.key, draw])
        said, lengths = self._segmented(texts)
        starts = np.cumsum(self.many) - self.many
        homophone = starts[said] + (rng.random(len(said)) * self.many[said]).astype(np.int64)
        variant = rng.integers(0, self.scheme.variants, len(lengths))
        ids = self.orders[np.repeat(variant, lengths), homophone]
        return Said(ids, said, lengths, variant, float(np.log2(self.many[said]).sum()))

    def _segmented(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """Return the ranks of all texts (n,) and how many each has; a phrase that a record lacks comes in two parts."""
        many = self.table.encode_batch(list(texts))
        lengths = np.array([len(ids) for ids in many])
        flat, record = np.concatenate(many).astype(np.int64) - N_SPECIAL, np.repeat(np.arange(len(many)), lengths)
        while (missing := (_uniform(record, flat, self.key) < self.scheme.dropout) & (self.parts[flat, 0] >= 0)).any():
            times = 1 + missing
            at = (np.cumsum(times) - times)[missing]
            spelled, record = np.repeat(flat, times), np.repeat(record, times)
            spelled[at], spelled[at + 1] = self.parts[flat[missing]].T
            flat = spelled
        return flat, np.bincount(record, minlength=len(many))


def _parts(phrase: bytes, place: dict[bytes, int]) -> tuple[int, int]:
    cuts = (k for k in range(len(phrase) - 1, 0, -1) if phrase[:k] in place and phrase[k:] in place)
    cut = next(cuts, 0)
    return (place[phrase[:cut]], place[phrase[cut:]]) if cut else (-1, -1)


def _uniform(record: Ints, phrase: Ints, key: int) -> NDArray[np.float64]:
    """Return a number in 0..1 for each pair of a record and a phrase, always the same."""
    mixed = record.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    for other in (phrase.astype(np.uint64), np.uint64(1)):
        mixed = (mixed ^ (mixed >> np.uint64(33)) ^ other) * np.uint64(0xFF51AFD7ED558CCD)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
