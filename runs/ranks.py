"""Row `ranks`: what does it tell an attacker that an id is a rank, and what does drawing the ids take away?

A part of row `attacks`: the code that has phrases, at the sizes where ranks matter, with ids as tables give them and
with ids in a secret order (`ult fit --secret-ids`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attacks import CHARACTERS, REFERENCE, cut, medical
from lib.corpus import labelled_texts, wikitext
from lib.interval import over_seeds
from lib.result import metric
from lib.session import Session

import ult
from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import first
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.frequency import by_rank
from ult.audit.code.likelihood import LARGEST, by_likelihood

SPLITS, SIZES = (0, 1), (1_000, 10_000, 125_000)
DRAWN, RANKS = ", ids drawn", ", ids are ranks"
FIELDS = ("WikiText by other WikiText", "abstracts by other abstracts")
ASKED = "What does it tell an attacker that an id is a rank, and what does drawing the ids take away?"
SETTING = """\
`text/bytes`, 2,048 ids. WikiText: 1.1 M characters of one part of wikitext-2 (the train or the valid part: a seed \
is a part), by 2.4 M of the others. Abstracts: every other one of 2,300 medical abstracts, at most 1.1 M characters, \
by 1.3 M of sections of other abstracts, of another collection. The attacker has a table fitted on its own text, and \
the first ids of the owner's. Ids drawn: in a secret order, as `ult fit --secret-ids` makes them. The blind guess \
takes every id for the commonest phrase. Taken: what the best attack on ranks reads more than the best on drawn ids, \
in points of 100."""


def main() -> None:
    """Attack ids that are ranks and ids that are not."""
    session = Session.begin("ranks")
    jobs = [(field, split) for field in FIELDS for split in session.sized(SPLITS, SPLITS[:1])]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (field, _), attacks in zip(jobs, session.each(attacked, jobs), strict=True):
        for one in attacks:
            found.setdefault(f"{field}, {one['held']:,} ids", {}).setdefault(one["name"], []).append(one)
    metrics: list[dict[str, Any]] = []
    for held, named in found.items():
        for name, runs in named.items():
            of: dict[str, Any] = {"n": min(one["units"] for one in runs), "seeds": range(len(runs))}
            read = over_seeds([one["occurrences"] for one in runs])
            metrics.append(metric(f"{held}: ids read", name, read, higher_is_better=False, **of))
        best = {
            end: np.max([[one["occurrences"] for one in runs] for name, runs in named.items() if name.endswith(end)], 0)
            for end in (DRAWN, RANKS)
        }
        taken = over_seeds((100 * (best[RANKS] - best[DRAWN])).tolist())
        metrics.append(metric(f"{held}: taken by drawing the ids", "best attack", taken, higher_is_better=True, **of))
    session.write(
        "Ids that are ranks",
        metrics,
        asked=ASKED,
        setting=SETTING,
        chart=[m["name"] for m in metrics if m["system"] == "blind guess"],
        model={"name": "none", "parameters": 0},
    )


def attacked(session: Session, field: str, split: int) -> list[dict[str, Any]]:
    """Return what each attack got, once."""

    def measure(_: Path) -> dict[str, Any]:
        return {"attacks": list(attacks(session, field, split))}

    found: list[dict[str, Any]] = session.once(f"{field.replace(' ', '-')}-{split}", {"version": 1}, measure)["attacks"]
    return found


def texts(session: Session, field: str, split: int) -> tuple[list[str], list[str]]:
    """Return the owner's text and the attacker's."""
    if field == FIELDS[0]:
        names = ["train", "valid", "test"]
        own = wikitext(session, names.pop(split))
        others = [text for name in names for text in wikitext(session, name)]
    else:
        own, others = medical(session)[split::2], labelled_texts(session, "sections", "train")[0]
    return cut(own, session.sized(CHARACTERS, 60_000)), cut(others, session.sized(REFERENCE, 90_000))


def attacks(session: Session, field: str, split: int) -> Iterator[dict[str, Any]]:
    """Give what each attack reads of the first ids, at each size."""
    own, others = texts(session, field, split)
    truth = ult.Table.fit(own, vocabulary=ult.Vocabulary(2048), min_records=1)
    adversary, records = Adversary.fitted(truth, others), truth.encode_batch(own)
    reference = adversary.reference
    for held in (size for size in SIZES if size < sum(map(len, records))):
        plain = Coded.of(first(records, held))
        hidden, places = plain.hidden(np.random.default_rng(split))
        ranked = plain.ranked(reference)
        guesses = {"rank alone": by_rank(plain, reference)}
        for target, end in ((hidden, DRAWN), (ranked, RANKS)):
            guess = by_context(target, reference)
            guesses[f"co-occurrence{end}"] = guess
            if len(target.kinds) <= LARGEST:
                guesses[f"bigram likelihood{end}"] = by_likelihood(target, reference, guess)
        for name, guess in guesses.items():
            mine = guess[places] if name.endswith(DRAWN) else guess
            found = adversary.recovered(adversary.named(mine), plain, truth)
            yield {"held": held, "name": name, **found}
        yield {"held": held, "name": "blind guess", "units": found["units"], "occurrences": found["blind"]}


if __name__ == "__main__":
    main()
