"""Row `frontier`: does a keyed code keep the attacks of `ult audit code` from reading ids, and what does a model pay?

Every code is given to the same attacks, which know its scheme and not its key, and to the same model.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.codes import Keyed, Said, Scheme
from lib.corpus import wikitext
from lib.interval import of_ratio, over_seeds
from lib.result import ROOT, metric
from lib.session import Session
from lib.training import bits, trained

import ult
from ult.audit.code.attack import ATTACKS
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.known_plaintext import by_plaintext
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL

SIZE, CONTEXT, BATCH, STEPS, MODEL = 1024, 128, 16, 150, "tiny"
SEEDS, UNITS, KNOWN, TEST_BYTES = (0, 1), 125_000, 10, 150_000
SCHEMES = {
    "permutation": Scheme(),
    "2,000 homophones": Scheme(homophones=2000),
    "segmentation, 10 %": Scheme(dropout=0.1),
    "segmentation, 50 %": Scheme(dropout=0.5),
    "4 variants": Scheme(variants=4),
    "16 variants": Scheme(variants=16),
    "homophones, segmentation, 20 %": Scheme(homophones=2000, dropout=0.2),
}
ASKED = "Does a keyed code keep attacks from reading more than a blind guess does, and what does a model pay?"
SETTING = """\
wikitext-2, `text/bytes`, {size:,} ids, permuted at random. *Homophones*: frequent phrases have several ids, one \
drawn for each occurrence, so that ids are as equally common as 2,000 allow. *Segmentation*: each record does without \
so many phrases, drawn by the key, and spells them by their parts. *Variants*: each record has one of so many \
permutations, and nothing says which. The attacks of `ult audit code` (public data alone, and {known} records known) \
on the first records of {units:,} ids; the adversary has other text, a table fitted on it, and the same scheme with a \
key of its own. Recovered: the share of occurrences whose phrase is guessed. Bits per byte of the text: {steps} steps \
of {batch} blocks of {context} ids, on {kilobytes} kB. *Less the choice*: without the bits that the drawing of \
homophones costs whoever knows the key. Seeds draw keys and training."""


def main() -> None:
    """Attack every code, train on it, and draw what each gives and costs."""
    session = Session.begin("frontier")
    seeds = session.sized(SEEDS, (0, 1))
    jobs = [(name, seed) for seed in seeds for name in SCHEMES]
    attacked = dict(zip(jobs, session.each(attack, jobs), strict=True))
    learned = dict(zip(jobs, session.each(learn, jobs), strict=True))
    metrics: list[dict[str, Any]] = []
    plain = [learned["permutation", seed]["bits_per_byte"] for seed in seeds]
    for name, scheme in SCHEMES.items():
        found, runs = [attacked[name, seed] for seed in seeds], [learned[name, seed] for seed in seeds]
        per_byte = [run["bits_per_byte"] for run in runs]
        cheap = [run["bits_per_byte"] - run["choice"] for run in runs]
        of, text = {"n": found[0]["units"], "seeds": seeds}, {"n": runs[0]["rows"], "seeds": seeds}
        above = over_seeds([max(one["shares"].values()) - one["blind"] for one in found])
        metrics += [
            metric("recovered above a blind guess, best attack", name, above, higher_is_better=False,
                   goal="at most 0.05", **of),
            *(metric(f"recovered: {attack}", name, over_seeds([one["shares"][attack] for one in found]),
                     higher_is_better=False, **of) for attack in found[0]["shares"]),
            metric("bits per byte", name, over_seeds(per_byte), unit="bits", higher_is_better=False, **text),
        ]  # fmt: skip
        if name != "permutation":
            metrics.append(metric("bits per byte, ratio to a permutation", name, of_ratio(per_byte, plain), unit="x",
                                  higher_is_better=False, goal="at most 1.05", **text))  # fmt: skip
        if scheme.homophones:
            metrics.append(metric("bits per byte less the choice, ratio to a permutation", name, of_ratio(cheap, plain),
                                  unit="x", higher_is_better=False, **text))  # fmt: skip
        if scheme.variants > 1:
            told = over_seeds([one["told"] for one in found])
            metrics.append(metric("recovered: co-occurrence, variants told", name, told, higher_is_better=False, **of))
    one = learned["permutation", seeds[0]]
    session.write(
        "Keyed codes",
        metrics,
        asked=ASKED,
        setting=SETTING.format(size=SIZE, known=KNOWN, units=_units(session), steps=_steps(session), batch=BATCH,
                               context=CONTEXT, kilobytes=session.sized(TEST_BYTES, 10_000) // 1000),
        notes=["The plot of what each code gives and costs: frontier-plot.png."],
        chart=["recovered above a blind guess, best attack", "bits per byte"],
        model={"name": MODEL, "parameters": one["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip
    draw_plot(metrics, (session.work if session.quick else ROOT / "results") / "frontier-plot.png")


# ---- the owner and the adversary


def texts(session: Session, split: str) -> list[str]:
    """Return the owner's text ("train"), or that which is public ("public") or tested on ("test")."""
    found = wikitext(session, "train") if split == "train" else wikitext(session, "test")
    if split == "public":
        return (wikitext(session, "valid") + found)[: session.sized(None, 400)]
    if split == "test":
        ends = np.cumsum([len(text.encode()) for text in found])
        return found[: int((ends <= session.sized(TEST_BYTES, 10_000)).sum())]
    return found[: session.sized(None, 400)]


@cache
def table(session: Session, split: str) -> ult.Table:
    """Return the owner's table, or the adversary's."""
    return ult.Table.fit(texts(session, split), vocabulary=ult.Vocabulary(SIZE), min_records=1)


def keyed(session: Session, name: str, seed: int, split: str = "train") -> Keyed:
    """Return the owner's code, or the adversary's."""
    key = 2 * seed + (split != "train")
    return Keyed(SCHEMES[name], table(session, split), texts(session, split), key)


def attack(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Return the share of occurrences that each attack reads, and a blind guess."""
    scheme = SCHEMES[name]

    def make(_: Path) -> dict[str, Any]:
        owner, adversary = keyed(session, name, seed), keyed(session, name, seed, "public")
        held, public = (
            code.encode(texts(session, split), 0) for code, split in ((owner, "train"), (adversary, "public"))
        )
        first = min(int(np.searchsorted(np.cumsum(held.lengths), _units(session))) + 1, len(held.lengths))
        target, reference = Coded.of(held.records(first)), Coded.of(public.records())
        truth = held.said[: len(target.kinds)]
        ranks = {phrase: k for k, phrase in enumerate(owner.spelled)}
        names = [ranks.get(phrase, -1) for phrase in adversary.spelled]  # by the adversary's rank the owner's
        likely = np.array([names[rank] for rank in _commonest(reference, public)])

        def share(guess: Any) -> float:
            return float((np.where(guess >= 0, likely[guess], -1)[target.kinds] == truth).mean())

        shares = {which: share(match(target, reference)) for which, match in ATTACKS.items()}
        counts = np.bincount(public.said, minlength=len(names))
        own = {phrase: int(n) for phrase, n in zip(adversary.spelled, counts, strict=True) if n}
        known = owner.table.codec.encode_batch(texts(session, "train")[:KNOWN])
        guessed = np.array([ranks.get(phrase or b"", -1) for phrase in by_plaintext(target, known, own)])
        shares[f"known plaintext, {KNOWN} records"] = float((guessed[target.kinds] == truth).mean())
        found = {"shares": shares, "blind": float((truth == names[int(counts.argmax())]).mean()), "units": len(truth)}
        return found | {"told": _told(held, public, first, names) if scheme.variants > 1 else None}

    settings = {"scheme": repr(scheme), "units": _units(session), "size": SIZE}
    return session.once(f"attacks/{_plain(name)}-{seed}", settings, make)


def _commonest(coded: Coded, said: Said) -> list[int]:
    """Return the phrase that each kind stands for most often."""
    pairs, counts = np.unique(coded.kinds * (1 << 32) + said.said, return_counts=True)
    best = dict(
        zip((pairs[order := np.argsort(counts, kind="stable")] >> 32).tolist(), pairs[order].tolist(), strict=True)
    )
    return [best[kind] % (1 << 32) for kind in range(len(coded.ids))]


def _told(held: Said, public: Said, first: int, names: list[int]) -> float:
    """Return what co-occurrence reads if the adversary can tell which records share a variant."""
    right = total = 0
    record = np.repeat(np.arange(first), held.lengths[:first])
    plain = Coded.of(np.split(public.said, np.cumsum(public.lengths)[:-1]))
    records = held.records(first)
    for variant in np.unique(held.variant[:first]):
        some = np.flatnonzero(held.variant[:first] == variant)
        target = Coded.of([records[k] for k in some])
        guess = by_context(target, plain)
        said = np.where(guess >= 0, np.array(names)[plain.ids[guess]], -1)
        truth = held.said[: len(record)][np.isin(record, some)]
        right, total = right + int((said[target.kinds] == truth).sum()), total + len(truth)
    return right / total


# ---- the model


def learn(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Train on a code and evaluate."""
    shards = Path(encoded(session, name, seed)["folder"])
    run = trained(session, f"{_plain(name)}-{seed}", shards / "train", model=MODEL, steps=_steps(session),
                  batch_size=BATCH, context=CONTEXT, seed=seed)  # fmt: skip
    found = bits(session, f"{_plain(name)}-{seed}", run, shards / "test")
    choice = encoded(session, name, seed)["choice"] / found["bytes"]
    return found | {"choice": choice, "parameters": run["parameters"]}


def encoded(session: Session, name: str, seed: int) -> dict[str, Any]:
    """Write the shards of a code."""

    def make(folder: Path) -> dict[str, Any]:
        code = keyed(session, name, seed)
        size = 1 << (N_SPECIAL + code.size - 1).bit_length()
        mark = hashlib.sha256(f"{name} {seed}".encode()).hexdigest()[:32]
        for draw, split in enumerate(("train", "test")):
            said = code.encode(texts(session, split), draw)
            with ShardWriter(folder / split, vocabulary=ult.Vocabulary(size), table=mark, codec="text/bytes",
                             column="text") as writer:  # fmt: skip
                records = [(ids + N_SPECIAL).astype(np.uint32) for ids in said.records()]
                writer.write(records, sum(len(text.encode()) for text in texts(session, split)))
        return {"choice": said.choice}

    return session.once(f"shards/{_plain(name)}-{seed}", {"scheme": repr(SCHEMES[name]), "size": SIZE}, make)


def draw_plot(metrics: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG of what each code hides, over what it costs."""
    from lib.chart import GRID, OURS, plt

    figure, axes = plt.subplots(figsize=(6, 5.6), layout="constrained")
    value = {(m["name"], m["system"]): m["value"] for m in metrics}
    for name, marker in zip(SCHEMES, "osD^v<>", strict=True):
        cost = value.get(("bits per byte, ratio to a permutation", name), 1.0)
        read = value["recovered above a blind guess, best attack", name]
        axes.plot(cost, read, marker, color=OURS, markersize=8, label=name)
    axes.fill_between([0.99, 1.05], 0, 0.05, color="#2da44e", alpha=0.3, linewidth=0, label="what was asked for")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    axes.set(xlabel="bits per byte, ratio to a permutation \u2193", ylabel="recovered above a blind guess \u2193")
    axes.set_ylim(0, 1)
    axes.margins(x=0.25)
    axes.set_title("Keyed codes: what they hide, what they cost", loc="left", fontsize=13, fontweight="bold")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)


def _units(session: Session) -> int:
    return int(session.sized(UNITS, 4000))


def _steps(session: Session) -> int:
    return int(session.sized(STEPS, 4))


def _plain(name: str) -> str:
    return name.replace(", ", "-").replace(",", "").replace(" ", "-").replace("%", "percent")


if __name__ == "__main__":
    main()
