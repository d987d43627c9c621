"""Row `attacks`: how much of a code does somebody read who has public data, and never the table?

Every attack of `ult audit code` on codes of text, images and series, at several sizes, on ids in a secret order and,
beside it, on ids that are ranks, as tables give them; the papers' own ids, also with homophones; text of other fields;
known records; and embedding rows of a run that was aligned from a known one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lib.corpus import cifar, genes, heartbeats, labelled_texts, python_help, transformer, wikitext
from lib.interval import over_seeds
from lib.paper import PATCH, runs_of
from lib.result import metric
from lib.session import Session, digest
from lib.training import trained
from numpy.typing import NDArray

import ult
from ult.audit.code.adversary import Adversary
from ult.audit.code.attack import KNOWN_RECORDS, SIZES, first, guesses
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.embedding_rows import attack_rows
from ult.audit.code.evidence import Coded, Guess
from ult.audit.code.frequency import by_rank
from ult.audit.code.homophones import spread
from ult.audit.code.known_plaintext import by_plaintext
from ult.audit.code.likelihood import LARGEST, by_likelihood
from ult.codecs.bwt import TextBwt
from ult.codecs.image import ImageDct
from ult.codecs.series import SeriesMulaw
from ult.owner.handover.align import align
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL

CHARACTERS, REFERENCE = 1_100_000, 2_400_000
HOMOPHONES, ALL, BLIND = 1127, "all ids", "blind guess"
RANKED = " by ranks"  # ends the names of attacks on ids that are ranks
TRAINED = {"aligned": 0, "aligned, 100 steps": 100, "aligned, 400 steps": 400, "fresh rows, 400 steps": 400}
GOALS = {  # (setting, ids, attack): the share of ids to reach
    ("text/bwt", ALL, "co-occurrence"): "at least 0.998",
    ("text/bwt", "10,000 ids", "co-occurrence"): "at least 0.963",
    ("text/bwt by medical abstracts", ALL, "trigrams"): "at least 0.957",
    ("text/bwt by Python's help", ALL, "trigrams"): "at least 0.957",
    ("text/bytes, 2,048 ids", ALL, "co-occurrence"): "at least 0.90",
    ("papers' ids, 1,127 homophones", ALL, "homophones"): "at least 0.987",
}
TITLE = "Attacks on the code"
ASKED = "How much of a code does somebody read who holds ids, or a model, and public data, but never the table?"
SETTING = """\
Shares of ids that are read right. Text: 1.1 M characters of WikiText (wikitext-2's train, valid and test part in \
turn: a seed is a part), by 2.4 M of the others, by 2.9 M of medical abstracts, or by 1.7 M of Python's help and \
docstrings. `text/bwt` has patches of 10 and no phrases; the papers' ids are (count, character) of the same patches; \
homophones write each by several ids, in proportion to how common it is; `text/bytes` has 2,048 ids, also of 1.1 M \
characters of medical abstracts by 1.3 M of sections of other abstracts. Ids are permuted at random, as with `ult \
fit --secret-ids`, but where an attack is *by ranks*: there they are the ranks of their phrases. Series: one id a \
value, 256 levels; every other record of 500 heartbeats (ECG5000), of 4 days of 7 variables of a transformer \
(ETTh1), of 200 genes of 220 tumours, by the rest, or ETTh1's first year by its second. Images: 10,000 of CIFAR-10 \
by 10,000 others, quality 50, no phrases. The blind guess takes every id for the commonest phrase; of images and \
series it rebuilds the mean of the public records. Embedding rows: a tiny model, 400 steps on one part of WikiText, \
aligned to the table of 700 medical abstracts, and trained on them or not."""


def main() -> None:
    """Run all attacks."""
    session = Session.begin("attacks")
    found: dict[tuple[str, str, str], list[tuple[int, dict[str, Any]]]] = {}
    jobs = [(name, split) for name, (_, splits) in SETTINGS.items() for split in session.sized(splits, splits[:1])]
    for (name, split), attacks in zip(jobs, session.each(attacked, jobs), strict=True):
        for one in attacks:
            found.setdefault((name, one["held"], one["name"]), []).append((split, one))
    metrics = [m for key, runs in found.items() for m in told(key, runs)]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING,
        chart=[f"{name}, {ALL}: ids read" for name in (*dict.fromkeys(key[0] for key in GOALS), "embedding rows")]
        + [f"{name}, {ALL}: rebuilt" for name in ("series, heartbeats", "image/dct")],
        model={"name": "tiny, for embedding rows", "parameters": 0},
    )


def told(key: tuple[str, str, str], runs: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the metrics of an attack."""
    (setting, held, name), splits = key, [split for split, _ in runs]
    of: dict[str, Any] = {"seeds": splits, "n": min(one["units"] for _, one in runs), "higher_is_better": False}
    goal = GOALS.get(key, "")
    metrics = []
    for what, field in (("ids", "occurrences"), ("different ids", "types"), ("patches", "patches")):
        values = [one[field] for _, one in runs if field in one]
        if values and (what == "ids" or held == ALL):
            metrics.append(metric(f"{setting}, {held}: {what} read", name, over_seeds(values),
                                  goal=goal if what == "ids" else "", **of))  # fmt: skip
    values = [one["psnr"] for _, one in runs if "psnr" in one]
    if values:
        metrics.append(metric(f"{setting}, {held}: rebuilt", name, over_seeds(values), unit="dB", **of))
    return metrics


def attacked(session: Session, setting: str, split: int) -> list[dict[str, Any]]:
    """Return what each attack of a setting got, once."""
    make, _ = SETTINGS[setting]

    def measure(_: Path) -> dict[str, Any]:
        return {"attacks": list(make(session, split))}

    name = f"{setting}/{split}".replace(" ", "-").replace(",", "").replace("'", "")
    found: list[dict[str, Any]] = session.once(name, {"version": 2}, measure)["attacks"]
    return found


# ---- text


def parts(session: Session, split: int) -> tuple[list[str], list[str]]:
    """Return the owner's text, and the adversary's of the same kind."""
    names = ["train", "valid", "test"]
    own = names.pop(split)
    others = [text for name in names for text in wikitext(session, name)]
    return cut(wikitext(session, own), session.sized(CHARACTERS, 60_000)), cut(others, session.sized(REFERENCE, 90_000))


def cut(texts: Sequence[str], characters: int) -> list[str]:
    """Return the first texts, of so many characters together."""
    ends = np.cumsum([len(text) for text in texts])
    return list(texts[: int(np.searchsorted(ends, characters)) + 1])


def bwt(session: Session, split: int, public: Callable[[Session], list[str]] | None = None) -> Iterator[dict[str, Any]]:
    """Attack `text/bwt`, by text of the same kind or by `public`."""
    own, others = parts(session, split)
    codec = TextBwt(patch_size=PATCH)
    truth = ult.Table.fit(own, codec=codec, vocabulary=ult.Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    adversary = Adversary.fitted(truth, public(session) if public else others)
    yield from coded(truth.encode_batch(own), adversary, truth, sizes=not public)


def medical(session: Session) -> list[str]:
    """Return medical abstracts."""
    return labelled_texts(session, "abstracts", "train")[0]


def pairs(session: Session, split: int) -> Iterator[dict[str, Any]]:
    """Attack `text/bytes` with phrases, also by who knows the phrases or some records."""
    own, others = parts(session, split)
    truth = ult.Table.fit(own, vocabulary=ult.Vocabulary(2048), min_records=1)
    adversary, ids = Adversary.fitted(truth, others), truth.encode_batch(own)
    yield from coded(ids, adversary, truth)
    owner, target = Adversary(truth, others), permuted(Coded.of(ids))
    found = owner.recovered(owner.named(by_context(target, owner.reference)), target, truth)
    yield {"held": ALL, "name": "co-occurrence, phrases known", **found}
    for n in KNOWN_RECORDS:
        known = truth.codec.encode_batch(own[:n])
        found = adversary.recovered(by_plaintext(target, known, adversary.own), target, truth)
        yield {"held": ALL, "name": f"known plaintext, {n} records", **found}


def abstracts(session: Session, split: int) -> Iterator[dict[str, Any]]:
    """Attack `text/bytes` of medical abstracts by sections of others, of another collection."""
    own = cut(medical(session)[split::2], session.sized(CHARACTERS, 60_000))
    truth = ult.Table.fit(own, vocabulary=ult.Vocabulary(2048), min_records=1)
    others = labelled_texts(session, "sections", "train")[0][: session.sized(None, 400)]
    yield from coded(truth.encode_batch(own), Adversary.fitted(truth, others), truth)


def papers(session: Session, split: int, homophones: int = 0) -> Iterator[dict[str, Any]]:
    """Attack the papers' (count, character) ids."""
    target, reference = (_runs(texts) for texts in parts(session, split))
    meant = np.arange(len(target.ids))
    said = target.ids
    if homophones:
        target, meant = spread(target, homophones, np.random.default_rng(split))
    for held, units in held_sizes(len(target.kinds)):
        stop = int(np.searchsorted(target.ends, units))
        records = np.split(target.kinds[: target.ends[stop]], target.ends[:stop])
        some = permuted(Coded.of(records))
        true = said[meant[some.ids]]
        shares = some.counts / len(some.kinds)
        for name, guess in guesses(some, reference, values=False):
            yield {"held": held, "name": name, "units": len(some.kinds), **_right(guess, reference, true, shares)}
        commonest = np.full(len(true), reference.order[0])
        yield {"held": held, "name": BLIND, "units": len(some.kinds), **_right(commonest, reference, true, shares)}


def _runs(texts: Sequence[str]) -> Coded:
    runs, ends = runs_of(TextBwt(patch_size=PATCH), texts)
    return Coded.of(np.split(runs, ends[:-1]))


def _right(guess: Guess, reference: Coded, true: NDArray[Any], shares: NDArray[Any]) -> dict[str, float]:
    right = (guess >= 0) & (reference.ids[guess] == true)
    return {"occurrences": float(shares[right].sum()), "types": float(right.mean())}


# ---- values


def series(
    session: Session, split: int, values: Callable[[Session], Sequence[NDArray[Any]]]
) -> Iterator[dict[str, Any]]:
    """Attack a code of one id a value, by every other record."""
    records = list(values(session))[:: session.sized(1, 4)]
    own, others = records[split::2], records[1 - split :: 2]
    yield from values_coded(own, others, SeriesMulaw.calibrated(own, patch_size=1), sizes=False)


def beats(session: Session) -> Sequence[NDArray[Any]]:
    """Return heartbeats."""
    return list(heartbeats(session).values)


def tumours(session: Session) -> Sequence[NDArray[Any]]:
    """Return gene expressions."""
    return list(genes(session, "tcga_brca_mrna", 200).values)


def days(session: Session) -> Sequence[NDArray[Any]]:
    """Return 4 days of each variable of the transformer, one after the other."""
    hours = transformer(session)
    return [hours[at : at + 96, k] for at in range(0, len(hours) - 95, 96) for k in range(hours.shape[1])]


def years(session: Session) -> Sequence[NDArray[Any]]:
    """Return the same, the first year's and the second's in turn."""
    found = days(session)
    half = len(found) // 2
    return [one for pair in zip(found[:half], found[half:], strict=False) for one in pair]


def images(session: Session, split: int) -> Iterator[dict[str, Any]]:
    """Attack images without phrases."""
    records = cifar(session, "train", session.sized(20_000, 200))
    yield from values_coded(records[split::2], records[1 - split :: 2], ImageDct())


def values_coded(
    own: Sequence[Any], others: Sequence[Any], codec: Any, *, sizes: bool = True
) -> Iterator[dict[str, Any]]:
    """Attack a code without phrases."""
    truth = ult.Table.fit(own, codec=codec, vocabulary=ult.Vocabulary(N_SPECIAL + codec.alphabet), min_records=1)
    yield from coded(truth.encode_batch(own), Adversary.fitted(truth, others), truth, sizes=sizes)


# ---- all codes


def held_sizes(total: int) -> list[tuple[str, int]]:
    """Return names and numbers of the ids to attack."""
    return [*((f"{size:,} ids", size) for size in SIZES[:3] if size < total), (ALL, total)]


def coded(
    records: Sequence[Any], adversary: Adversary, truth: ult.Table, *, sizes: bool = True
) -> Iterator[dict[str, Any]]:
    """Give what every attack by public data gets of records, of the first of them too."""
    for held, units in held_sizes(sum(map(len, records)))[0 if sizes else -1 :]:
        plain = Coded.of(first(records, units))
        target = permuted(plain)
        for name, guess in guesses(target, adversary.reference, values=adversary.rebuilder is not None):
            found = adversary.recovered(adversary.named(guess), target, truth)
            yield {"held": held, "name": name, **found}
        for name, guess in ranked(plain.ranked(adversary.reference), adversary.reference):
            yield {"held": held, "name": name, **adversary.recovered(adversary.named(guess), plain, truth)}
        blind = {"held": held, "name": BLIND, "units": found["units"], "occurrences": found["blind"]}
        yield blind | ({"psnr": found["psnr_blind"]} if "psnr" in found else {})


def ranked(target: Coded, reference: Coded) -> Iterator[tuple[str, Guess]]:
    """Give what the attacks that read most make of ids that are ranks."""
    yield "rank alone", by_rank(target, reference)
    guess = by_context(target, reference)
    yield f"co-occurrence{RANKED}", guess
    if len(target.kinds) <= LARGEST:
        yield f"bigram likelihood{RANKED}", by_likelihood(target, reference, guess)


def permuted(coded: Coded) -> Coded:
    """Return the same, its kinds numbered in a secret order."""
    return coded.hidden(np.random.default_rng(0))[0]


# ---- embedding rows


def rows(session: Session, split: int) -> Iterator[dict[str, Any]]:
    """Match rows of runs that were aligned from a known run, or given fresh rows."""
    known_texts = wikitext(session, "valid")[: session.sized(None, 100)]
    texts = medical(session)[: session.sized(700, 40)]
    known, truth = (
        ult.Table.fit(some, vocabulary=ult.Vocabulary(2048), min_records=1) for some in (known_texts, texts)
    )
    start = _trained(session, "start", known, known_texts, session.sized(400, 4), model="tiny")

    def moved(folder: Path) -> dict[str, Any]:
        return align(start, known, truth, folder / "run")

    origin = {"from": digest(start.parent / "done.json"), "to": truth.fingerprint}
    aligned = Path(session.once("rows/aligned", origin, moved)["folder"]) / "run"
    target = Coded.of(truth.encode_batch(texts))
    for name, steps in TRAINED.items():
        fresh = {"embeddings": "fresh"} if name.startswith("fresh") else {}
        from_run = start if fresh else aligned
        steps = min(steps, session.sized(400, 4))
        run = _trained(session, name, truth, texts, steps, start=from_run, **fresh) if steps else aligned
        found = attack_rows(target, run=run, start=start, known=known, truth=truth)
        yield found | {"held": ALL, "name": name}
    yield {
        "held": ALL,
        "name": "phrases that both tables have",
        "units": found["units"],
        "occurrences": found["ceiling"],
    }
    yield {"held": ALL, "name": BLIND, "units": found["units"], "occurrences": found["blind"]}


def _trained(
    session: Session, name: str, table: ult.Table, texts: Sequence[str], steps: int, *, start: Path | None = None,
    model: str | None = None, **options: Any,
) -> Path:  # fmt: skip
    def make(folder: Path) -> dict[str, Any]:
        with ShardWriter(folder / "shards", vocabulary=table.vocabulary, table=table.fingerprint, codec="text/bytes",
                         column="text") as writer:  # fmt: skip
            writer.write(table.encode_batch(list(texts)), sum(len(text.encode()) for text in texts))
        return {}

    shards = session.once(f"rows/shards-{table.fingerprint[:8]}", {"n": len(texts)}, make)["folder"]
    run = trained(session, f"rows-{name.replace(' ', '-').replace(',', '')}", Path(shards) / "shards", start=start,
                  model=model, steps=steps, batch_size=8, context=128, seed=0, **options)  # fmt: skip
    return Path(run["run"])


SETTINGS: dict[str, tuple[Callable[..., Iterator[dict[str, Any]]], tuple[int, ...]]] = {
    "text/bytes, 2,048 ids": (pairs, (0, 1)),
    "text/bytes, 2,048 ids, by other abstracts": (abstracts, (0,)),
    "text/bwt": (bwt, (0, 1)),
    "series, heartbeats": (partial(series, values=beats), (0, 1)),
    "series, ETTh1": (partial(series, values=days), (0, 1)),
    "series, ETTh1's years": (partial(series, values=years), (0, 1)),
    "series, tumours": (partial(series, values=tumours), (0, 1)),
    "text/bwt by medical abstracts": (partial(bwt, public=medical), (0,)),
    "text/bwt by Python's help": (partial(bwt, public=lambda _: python_help()), (0,)),
    "papers' ids": (papers, (0,)),
    "embedding rows": (rows, (0,)),
    "papers' ids, 1,127 homophones": (partial(papers, homophones=HOMOPHONES), (0,)),
    "image/dct": (images, (0,)),
}


if __name__ == "__main__":
    main()
