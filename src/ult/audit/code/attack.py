"""Run all attacks on a code, on samples of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.adversary import Adversary
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import BEFORE, PUBLIC, Coded, Guess
from ult.audit.code.extended import PUBLIC_TABLE, by_public_table
from ult.audit.code.frequency import by_frequency, by_rank
from ult.audit.code.graph import by_graph
from ult.audit.code.homophones import by_homophones
from ult.audit.code.known_plaintext import by_plaintext
from ult.audit.code.likelihood import LARGEST, by_likelihood
from ult.audit.code.matching import MOST
from ult.audit.code.position import by_position
from ult.audit.code.seriation import by_order
from ult.audit.code.trigrams import by_trigrams
from ult.owner.pipeline.engine import Local, in_order
from ult.owner.table import Table

ATTACKS: dict[str, Callable[[Coded, Coded], Guess]] = {
    "frequency ranks": by_frequency,
    "positions": by_position,
    "bigram graph": by_graph,
    "co-occurrence": by_context,
}
HOMOPHONES = 2  # ratio of the target's kinds to the reference's from which on a code is taken to have homophones
SIZES = (1_000, 10_000, 125_000, 1_000_000)  # ids
COUNTED = 500_000  # ids from which on counts tell as much as ranks
KNOWN_RECORDS = (1, 10, 100)
TOLD = "co-occurrence, phrases known"
PHRASES = "public data, and the owner's phrases"  # what the second adversary knows besides the ids


def attack(
    records: Sequence[NDArray[np.uint32]],
    *,
    adversary: Adversary,
    truth: Table,
    told: Adversary | None = None,
    plaintext: bool = True,
    keep: Callable[[dict[str, Any], list[bytes | None], Coded], None] | None = None,
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """Yield the result of each attack on `records`, ids (n,) each, at each size, as JSON values.

    A result has the attack's `name`, what it `knows` besides the ids, the fields of `Recovered` and, for images and
    series, `psnr` and `psnr_blind`. `truth`, the table that encoded the records, is used to score guesses, and to give
    the known-`plaintext` attack its records. `told` is an adversary that knows the owner's phrases, but not their ids;
    it shows what the others lose by not knowing them. `keep` is called after each attack by public data with the
    result, the phrase guessed for each kind, and the target. With several `workers`, processes guess: they get ids
    alone, and no table.
    """
    samples = [first(records, units) for units in sizes(sum(map(len, records)))]
    plains = [Coded.of(sample) for sample in samples]
    state = (adversary.reference, None if told is None else told.reference, adversary.rebuilder is not None)
    pieces = enumerate(product(plains, range(len(CHAINS) + (told is not None))))
    with closing(Local(workers).map(_guesser, state, pieces)) as guessed:
        answers = in_order(guessed)
        for plain in plains:
            target = plain.ranked(adversary.reference) if plain.tells_ranks else plain
            for name, guess in (found for _ in CHAINS for found in next(answers)):
                named = adversary.named(guess)
                result = {"name": name, "knows": PUBLIC, **adversary.recovered(named, target, truth)}
                if keep is not None:
                    keep(result, named, target)
                yield result
            if truth.base is not None:
                named, phrases = by_public_table(plain, adversary, truth.base)
                result = {"name": PUBLIC_TABLE, "knows": PUBLIC}
                result |= adversary.recovered(named, plain, truth, public=phrases)
                if keep is not None:
                    keep(result, named, plain)
                yield result
            if told is not None:
                ((name, guess),) = next(answers)
                yield {"name": name, "knows": PHRASES, **told.recovered(told.named(guess), target, truth)}
    sample = samples[-1]
    for n in (n for n in KNOWN_RECORDS if plaintext and n < len(sample)):
        known = truth.codec.encode_batch(truth.decode_batch(sample[:n]))
        result = adversary.recovered(by_plaintext(target, known, adversary.own), target, truth)
        result["ceiling"] = float(target.counts[np.unique(target.kinds[: target.ends[n - 1]])].sum() / result["units"])
        knows = f"{n} of the {len(sample)} records"
        yield {"name": f"known plaintext, {n} records", "knows": knows, **result}


def best(attacks: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the result that most exceeds a blind guess, among attacks with public knowledge, or None without any."""
    public = [result for result in attacks if result["knows"] in (PUBLIC, BEFORE)]
    return max(public, key=lambda result: float(result["occurrences"]) - float(result["blind"]), default=None)


def guesses(target: Coded, reference: Coded, *, values: bool) -> Iterator[tuple[str, Guess]]:
    """Yield name and guess of each attack by public data; `values` says that records are images or series.

    If the target is `ranked`, all attacks use ranks, and two more show what ranks alone and no ranks recover.
    """
    for chain in CHAINS:
        yield from chain(target, reference, values)


def _by_ranks(target: Coded, reference: Coded, _: bool) -> Iterator[tuple[str, Guess]]:
    if target.expected is not None:
        yield "rank alone", by_rank(target, reference)
    if target.expected is not None and len(target.kinds) < COUNTED:
        hidden, places = target.hidden(np.random.default_rng(0))
        yield "co-occurrence without ranks", by_context(hidden, reference)[places]


def _quickly(target: Coded, reference: Coded, _: bool) -> Iterator[tuple[str, Guess]]:
    for name, match in ATTACKS.items():
        if match is not by_context:
            yield name, match(target, reference)


def _by_neighbours(target: Coded, reference: Coded, _: bool) -> Iterator[tuple[str, Guess]]:
    guess = by_context(target, reference)
    yield "co-occurrence", guess
    if max(len(target.ids), len(reference.ids)) <= MOST:
        yield "trigrams", by_trigrams(target, reference, guess)
    if len(target.kinds) <= LARGEST:
        yield "bigram likelihood", by_likelihood(target, reference, guess)


def _by_values(target: Coded, reference: Coded, values: bool) -> Iterator[tuple[str, Guess]]:
    if values:
        yield "order", by_order(target, reference)
    if len(target.ids) >= HOMOPHONES * len(reference.ids):
        yield "homophones", by_homophones(target, reference)


CHAINS = (_by_ranks, _quickly, _by_neighbours, _by_values)  # attacks that go on from another's guess are in one


def _guesser(reference: Coded, informed: Coded | None, values: bool) -> Callable[[Coded, int], list[tuple[str, Guess]]]:
    """Return what guesses the kinds of a sample by one of `CHAINS`, or after them with the owner's phrases."""

    def work(plain: Coded, chain: int) -> list[tuple[str, Guess]]:
        known = reference if informed is None or chain < len(CHAINS) else informed
        target = plain.ranked(known) if plain.tells_ranks else plain
        if chain < len(CHAINS):
            return list(CHAINS[chain](target, known, values))
        return [(TOLD, by_context(target, known))]

    return work


def sizes(total: int) -> list[int]:
    """Return the sample sizes, in ids: those of `SIZES` below the total, and the total."""
    return [*(size for size in SIZES if size < total), total]


def first(records: Sequence[NDArray[np.uint32]], units: int) -> Sequence[NDArray[np.uint32]]:
    """Return the shortest prefix of the records that holds at least `units` ids."""
    ends = np.cumsum([len(record) for record in records])
    return records[: int(np.searchsorted(ends, units)) + 1]
