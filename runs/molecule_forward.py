"""Row `molecule-forward`: does an encoder-decoder predict the products of reactions as well from ids as from atoms?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.interval import counted, over_both, over_seeds
from lib.reacting import LONGEST, Atoms, Ours, Parts, Writer, arranged, canonical, copied, linear, neighbours
from lib.result import metric
from lib.session import Session
from lib.training import trained

from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import Vocabulary

SYSTEMS = ("ult", "raw")
SIZE, BATCH, CONTEXT, RATE = 640, 16, 96, 2e-3
STEPS, READ, TESTED, CHOSEN, BEAMS, TOPS, WRITTEN = 6000, 40_000, 500, 300, 5, (1, 3, 5), 40
PACE = (10, 60)  # steps to tell how long one takes
BODY: dict[str, Any] = {
    "d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 384, "decoder_ffn_dim": 384, "init_std": 0.08,
    "max_position_embeddings": 128, "scale_embedding": False, "dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "tie_word_embeddings": True, "forced_eos_token_id": None,
}  # fmt: skip
TITLE = "Molecules, encoder-decoder"
ASKED = "Does an encoder-decoder predict the product of a reaction as well from ids as from atom-wise tokens?"
SETTING = """\
USPTO-MIT, forward prediction with the reagents told apart: from `reactants>reagents` the product, of the reactions \
whose two sides have at most {longest} atom-wise tokens each: {train:,} of {read:,} to train on, {tested} of the test \
part. For all systems alike, reactions are written so that products are nearly copies: what often changes (counted on \
the training part) ends the first reactant and begins the others; of all spellings of the product the one most like a \
reactant is learned; and runs that a reactant has too are written as two pointers into it, counted in pieces. `ult` is \
`molecule/smiles`, vocabulary {size:,}, one table for both sides; `raw` are atom-wise SMILES tokens. The body is an \
mBART of 2 + 2 layers of 128 with learned positions, batches of {batch}, peak rate {rate:g}, `ult` {steps} steps and \
`raw` as many as take the same CPU time. Beam search with {beams} beams; a hypothesis is exact if RDKit writes what it \
stands for as the product. Answers that stand for no molecule are passed over, for all systems alike, but not in \
`first hypothesis`. The way of writing and the body were chosen on the valid part with `raw` (400 to 1,000 \
steps), the vocabulary there too (640 or 1,024), the rate is one for both. One seed: intervals are over reactions. \
Without training: the largest reactant; the edit of the most similar known reaction; and a logistic regression of \
1-3-grams of the source onto the frequent edits, its penalty chosen on the valid part."""


def main() -> None:
    """Encode, train, let the models predict, and compare."""
    session = Session.begin("molecule-forward")
    seeds, steps = (0,), session.sized(STEPS, 10)
    economy = {system: prepare(session, system) for system in SYSTEMS}
    plain = untrained(session)
    found = {"ult": [train_one(session, "ult", seed, steps) for seed in seeds]}
    spent = [steps * one["step_seconds"] for one in found["ult"]]
    asked = {"ult": steps, "raw": round(float(np.mean(spent)) / seconds(session, "raw"))}
    found["raw"] = [train_one(session, "raw", seed, asked["raw"]) for seed in seeds]
    spent += [asked["raw"] * one["step_seconds"] for one in found["raw"]]
    metrics, of = [], {"n": len(parts(session)["test"]), "seeds": seeds}
    for system in SYSTEMS:
        runs, other = found[system], {"baseline": "raw" if system == "ult" else ""}
        per_byte = over_seeds([one["bits_per_byte"] for one in runs])
        metrics.append(metric("bits per byte of product", system, per_byte, unit="bits", higher_is_better=False, **of,
                              **other))  # fmt: skip
        for name in NAMES:
            scores = np.array([one[name] for one in runs], float)
            metrics.append(metric(name, system, over_both(scores), higher_is_better=True, **of, **other))
        metrics.append(metric("ids per reaction", system, counted(economy[system]["ids"]), higher_is_better=False,
                              n=economy[system]["reactions"]))  # fmt: skip
    for name, right in plain.items():
        metrics.append(metric(NAMES[0], name, over_both(np.array([right], float)), higher_is_better=True, **of))
    exact = {s: np.array([one[NAMES[0]] for one in found[s]], float) for s in SYSTEMS}
    best = max(plain, key=lambda name: np.mean(plain[name]))
    beside = {"raw": exact["raw"], best: np.array([plain[best]] * len(seeds), float)}
    for name, theirs in beside.items():
        less = over_both(exact["ult"] - theirs)
        metrics.append(metric(f"{NAMES[0]}, less that of {name}", "ult", less, baseline=name, goal="at least 0",
                              higher_is_better=True, **of))  # fmt: skip
    one = found["ult"][0]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(read=session.sized(READ, 400), train=len(parts(session)["train"]), tested=of["n"],
                               size=SIZE, steps=steps, batch=BATCH, beams=BEAMS, longest=LONGEST, rate=RATE),
        notes=[
            f"In the time of {asked['ult']} steps of `ult`, `raw` takes {asked['raw']}: "
            f"{spent[0]:.0f} and {spent[-1]:.0f} s.",
            "That unreadable hypotheses are passed over was decided after a first look at the test part, because the "
            "untrained systems pass them over.",
            "In minutes of training neither encoder-decoder is as good as a linear choice among frequent edits.",
        ],
        chart=list(dict.fromkeys(m["name"] for m in metrics)),
        model={"name": "mBART, 2 + 2 layers of 128", "parameters": one["parameters"], "learning rate": RATE},
    )  # fmt: skip


NAMES = (*(f"top-{k} exact" for k in TOPS), "first hypothesis exact", "first hypothesis valid")


def parts(session: Session) -> Parts:
    """Return sources and targets, to train, to choose and to test on."""
    sizes = {"read": session.sized(READ, 400), "train": READ, "valid": session.sized(CHOSEN, 20),
             "test": session.sized(TESTED, 8)}  # fmt: skip
    return arranged(session, sizes)


@cache
def writer(session: Session, system: str) -> Writer:
    """Return what writes reactions as ids of a system."""
    pairs = parts(session)
    train = [text for pair in pairs["train"] for text in pair]
    if system == "ult":
        return Writer(Ours(train, SIZE))
    held = [text for part in ("valid", "test") for pair in pairs[part] for text in pair]
    return Writer(Atoms([*train, *held, ".", ">", "["]))  # a closed set: periodic


def untrained(session: Session) -> dict[str, list[bool]]:
    """Return by system which products of the test part are right without an encoder-decoder."""

    def make(_: Path) -> dict[str, Any]:
        pairs = parts(session)
        return {
            "largest reactant": copied(pairs["test"]),
            "nearest reaction": neighbours(writer(session, "raw"), pairs),
            **{f"linear, {s}": linear(writer(session, s), pairs, frequent=frequent) for s in SYSTEMS},
        }

    frequent = session.sized(30, 1)
    settings = {"tested": session.sized(TESTED, 8), "size": SIZE, "frequent": frequent}
    found = session.once("untrained", settings, make)
    return {name: right for name, right in found.items() if name not in ("seconds", "folder")}


def prepare(session: Session, system: str) -> dict[str, Any]:
    """Write the shards of both sides; return where, and how many ids they take."""

    def make(folder: Path) -> dict[str, Any]:
        code = writer(session, system)
        told: dict[str, Any] = {}
        about: dict[str, Any] = {"vocabulary": Vocabulary(code.pointers.size), "codec": "molecule/smiles",
                                 "column": "reaction"}  # fmt: skip
        for part in ("train", "test"):
            pairs = parts(session)[part]
            sides = {"sources": [code.source(source) for source, _ in pairs],
                     "targets": [code.edit(*pair) for pair in pairs]}  # fmt: skip
            for k, (name, many) in enumerate(sides.items()):
                with ShardWriter(folder / part / name, table=code.coder.fingerprint, **about) as out:
                    out.write([np.array(one, np.uint32) for one in many], sum(len(pair[k].encode()) for pair in pairs))
            ids = sum(map(len, [*sides["sources"], *sides["targets"]])) / len(pairs)
            told = told or {"reactions": len(pairs), "ids": ids}
        return told

    settings = {"size": SIZE, "read": session.sized(READ, 400), "tested": session.sized(TESTED, 8)}
    return session.once(f"shards/{system}", settings, make)


def body(session: Session, seed: int) -> Path:
    """Return the folder of an encoder-decoder with weights drawn at random."""
    import torch
    import transformers

    def make(folder: Path) -> dict[str, Any]:
        torch.manual_seed(seed)
        config = transformers.MBartConfig(vocab_size=64, **BODY)
        transformers.MBartForConditionalGeneration(config).save_pretrained(folder / "body")
        return {}

    return Path(session.once(f"bodies/{seed}", BODY, make)["folder"]) / "body"


def seconds(session: Session, system: str) -> float:
    """Return the CPU time of a step, without what it takes to begin."""
    few, many = (n * float(trained_on_pairs(session, f"pace/{system}-{n}", system, 0, n)["step_seconds"]) for n in PACE)
    return (many - few) / (PACE[1] - PACE[0])


def trained_on_pairs(session: Session, name: str, system: str, seed: int, steps: int) -> dict[str, Any]:
    """Train on the reactions in a system's ids."""
    train = Path(prepare(session, system)["folder"]) / "train"
    return trained(session, name, train / "sources", targets=train / "targets", task="seq2seq",
                   model=str(body(session, seed)), steps=steps, batch_size=BATCH, context=CONTEXT, seed=seed,
                   learning_rate=RATE)  # fmt: skip


def train_one(session: Session, system: str, seed: int, steps: int) -> dict[str, Any]:
    """Train a model, measure its bits, and let it predict."""
    from ult.public.shards import Shards
    from ult.trainer.evaluate import evaluate
    from ult.trainer.translate import translate

    held = [Path(prepare(session, system)["folder"]) / "test" / side for side in ("sources", "targets")]
    name = f"{system}-{seed}"
    run = trained_on_pairs(session, name, system, seed, steps)

    def make(_: Path) -> dict[str, Any]:
        per_byte = evaluate(run["run"], held[0], targets=held[1], batch_size=50)["bits_per_byte"]
        many = translate(run["run"], list(Shards(held[0]).ids()), beams=BEAMS, best=BEAMS, max_new=WRITTEN,
                         batch_size=50)  # fmt: skip
        product: Callable[..., str | None] = writer(session, system).product
        tested = parts(session)["test"]
        written = [[product(s, ids.tolist()) for ids in some] for (s, _), some in zip(tested, many, strict=True)]
        right = [canonical(target) for _, target in tested]
        read = [[one for one in some if one is not None] for some in written]
        exact = {f"top-{k} exact": [one in some[:k] for some, one in zip(read, right, strict=True)] for k in TOPS}
        first = {"first hypothesis exact": [some[0] == one for some, one in zip(written, right, strict=True)],
                 "first hypothesis valid": [some[0] is not None for some in written]}  # fmt: skip
        return {"bits_per_byte": per_byte, **exact, **first}

    return session.once(f"predictions/{name}", {"run": run["origin"], "beams": BEAMS, "named": NAMES}, make) | run


if __name__ == "__main__":
    main()
