"""All attacks on a code, at several sizes of what the adversary holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.adversary import Adversary
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import BEFORE, PUBLIC, Coded, Guess
from ult.audit.code.frequency import by_frequency, by_rank
from ult.audit.code.graph import by_graph
from ult.audit.code.homophones import by_homophones
from ult.audit.code.known_plaintext import by_plaintext
from ult.audit.code.likelihood import LARGEST, by_likelihood
from ult.audit.code.matching import MOST
from ult.audit.code.position import by_position
from ult.audit.code.seriation import by_order
from ult.audit.code.trigrams import by_trigrams
from ult.owner.table import Table

ATTACKS: dict[str, Callable[[Coded, Coded], Guess]] = {
    "frequency ranks": by_frequency,
    "positions": by_position,
    "bigram graph": by_graph,
    "co-occurrence": by_context,
}
HOMOPHONES = 2  # times as many kinds as the adversary knows, from which on several are taken to mean the same
SIZES = (1_000, 10_000, 125_000, 1_000_000)  # units: ids
COUNTED = 500_000  # units: ids whose counts tell as much as their ranks
KNOWN_RECORDS = (1, 10, 100)
PHRASES = "public data, and the owner's phrases"  # what the second attacker knows besides the ids


def attack(
    records: Sequence[NDArray[np.uint32]],
    *,
    adversary: Adversary,
    truth: Table,
    told: Adversary | None = None,
    plaintext: bool = True,
    keep: Callable[[dict[str, Any], list[bytes | None], Coded], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Give what each attack recovers of `records`, ids (n,) each, at each size: its name, what it `knows`
    besides the ids, `Recovered`'s fields and, of images and series, `psnr` and `psnr_blind`.

    `truth`, the table that encoded, serves the scores, and lets the attack by known `plaintext` know records. `told` is
    an adversary that knows the owner's phrases, and not which id is which: it is named so, and shows what is lost for
    want of them. `keep` is called with what each attack by public data found, the phrase guessed of each kind, and the
    kinds.
    """
    for units in sizes(sum(map(len, records))):
        held = first(records, units)
        plain = Coded.of(held)
        target = plain.ranked(adversary.reference) if plain.tells_ranks else plain
        for name, guess in guesses(target, adversary.reference, values=adversary.rebuilder is not None):
            named = adversary.named(guess)
            found = {"name": name, "knows": PUBLIC, **adversary.recovered(named, target, truth)}
            if keep is not None:
                keep(found, named, target)
            yield found
        if told is not None:
            hidden = plain.ranked(told.reference) if plain.tells_ranks else plain
            named = told.named(by_context(hidden, told.reference))
            yield {"name": "co-occurrence, phrases known", "knows": PHRASES, **told.recovered(named, target, truth)}
    for n in (n for n in KNOWN_RECORDS if plaintext and n < len(held)):
        known = truth.codec.encode_batch(truth.decode_batch(held[:n]))
        found = adversary.recovered(by_plaintext(target, known, adversary.own), target, truth)
        found["ceiling"] = float(target.counts[np.unique(target.kinds[: target.ends[n - 1]])].sum() / found["units"])
        knows = f"{n} of the {len(held)} records"
        yield {"name": f"known plaintext, {n} records", "knows": knows, **found}


def best(attacks: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the attack that reads most beyond a blind guess, of those that anybody can do, or None without any."""
    anybody = [one for one in attacks if one["knows"] in (PUBLIC, BEFORE)]
    return max(anybody, key=lambda one: float(one["occurrences"]) - float(one["blind"]), default=None)


def guesses(target: Coded, reference: Coded, *, values: bool) -> Iterator[tuple[str, Guess]]:
    """Give what each attack by public data makes of the target, its name first; `values` are images or series.

    Where the target is `ranked`, all use what ranks tell, and two say what is read by the rank alone and without any.
    """
    if target.expected is not None:
        yield "rank alone", by_rank(target, reference)
    if target.expected is not None and len(target.kinds) < COUNTED:
        hidden, places = target.hidden(np.random.default_rng(0))
        yield "co-occurrence without ranks", by_context(hidden, reference)[places]
    for name, match in ATTACKS.items():
        guess = match(target, reference)
        yield name, guess
    if max(len(target.ids), len(reference.ids)) <= MOST:
        yield "trigrams", by_trigrams(target, reference, guess)  # of what the last, co-occurrence, found
    if len(target.kinds) <= LARGEST:
        yield "bigram likelihood", by_likelihood(target, reference, guess)
    if values:
        yield "order", by_order(target, reference)
    if len(target.ids) >= HOMOPHONES * len(reference.ids):
        yield "homophones", by_homophones(target, reference)


def sizes(total: int) -> list[int]:
    """Return the sizes to attack at, in units: those of `SIZES` below the total, and the total."""
    return [*(size for size in SIZES if size < total), total]


def first(records: Sequence[NDArray[np.uint32]], units: int) -> Sequence[NDArray[np.uint32]]:
    """Return the fewest first records that hold `units` ids together."""
    ends = np.cumsum([len(record) for record in records])
    return records[: int(np.searchsorted(ends, units)) + 1]
