"""Row `molecule-forward`: does an encoder-decoder predict the products of reactions as well from ids as from atoms?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import ATOMS, fingerprint
from lib.corpus import reactions
from lib.interval import counted, of_ratio, over_both, over_seeds
from lib.result import metric
from lib.session import Session
from lib.training import trained
from numpy.typing import NDArray

import ult
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL, Vocabulary

SYSTEMS = ("ult", "raw")
SIZE, BATCH, CONTEXT, MODEL = 512, 32, {"ult": 192, "raw": 256}, "tiny"
STEPS, REACTIONS, TESTED, BEAMS, TOPS = 3000, 40_000, 300, 5, (1, 3, 5)
SHARE, PACE = 0.98, (10, 60)  # of raw's top-1 that ids should reach; steps to tell how long one takes
TITLE = "Molecules, encoder-decoder"
ASKED = "Does an encoder-decoder predict the product of a reaction as well from ids as from atom-wise tokens?"
SETTING = """\
USPTO-MIT, forward prediction with the reagents told apart: from `reactants>reagents>` the product. \
{reactions:,} reactions to train on, {tested} of the test part. `ult` is `molecule/smiles`, vocabulary {size:,}, \
one table for both sides; `raw` are atom-wise SMILES tokens. The same model, {steps} steps of {batch} reactions; \
contexts hold nearly all sides. Equal time: `raw` with as many steps as fit in the CPU time of `ult`. Beam \
search with {beams} beams; a hypothesis is exact if RDKit writes it as the product, and valid if RDKit reads it. \
One seed: intervals are over reactions. Vocabulary and rate were chosen for `ult`, by bits on the same test part."""

Coder = tuple[Callable[[str], NDArray[Any]], Callable[[NDArray[Any]], str], int, str]


def main() -> None:
    """Encode, train, let the models predict, and compare."""
    session = Session.begin("molecule-forward")
    seeds, steps = session.sized((0,), (0, 1)), session.sized(STEPS, 10)
    economy = dict(zip(SYSTEMS, session.each(prepare, [(system,) for system in SYSTEMS]), strict=True))
    pace = dict(zip(SYSTEMS, session.each(seconds, [(system,) for system in SYSTEMS]), strict=True))
    fewer = round(steps * pace["ult"] / pace["raw"])
    jobs = [(s, seed, n) for seed in seeds for s, n in (("raw", steps), ("ult", steps), ("raw", fewer))]
    runs = dict(zip(jobs, session.each(train_one, jobs), strict=True))
    metrics = []
    for words, of_raw in (("equal steps", steps), ("equal time", fewer)):
        found = {s: [runs[s, seed, of_raw if s == "raw" else steps] for seed in seeds] for s in SYSTEMS}
        metrics += compared(found, words, seeds)
    for system in SYSTEMS:
        of = {"n": economy[system]["reactions"], "higher_is_better": False}
        for name in ("ids per reaction", "reactions longer than the context, %"):
            metrics.append(metric(name, system, counted(economy[system][name]), **of))
    one = runs["ult", seeds[0], steps]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(reactions=session.sized(REACTIONS, 300), tested=session.sized(TESTED, 8), size=SIZE,
                               steps=steps, batch=BATCH, beams=BEAMS),
        notes=[f"In the time of {steps} steps of `ult`, `raw` takes {fewer}."],
        chart=list(dict.fromkeys(m["name"] for m in metrics if "ratio" not in m["name"])),
        model={"name": MODEL, "parameters": one["parameters"], "learning rate": one["learning_rate"]},
    )  # fmt: skip


def compared(found: dict[str, list[dict[str, Any]]], words: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the metrics of both systems, and their ratios."""
    metrics = []
    per_byte = {s: [one["bits_per_byte"] for one in found[s]] for s in SYSTEMS}
    of = {"n": found["ult"][0]["tested"], "seeds": seeds}
    for s in SYSTEMS:
        other = "raw" if s == "ult" else ""
        metrics.append(metric(f"bits per byte of product, {words}", s, over_seeds(per_byte[s]), unit="bits",
                              baseline=other, higher_is_better=False, **of))  # fmt: skip
        for name in [*(f"top-{k} exact" for k in TOPS), "top-1 valid"]:
            scores = np.array([one[name] for one in found[s]], float)
            metrics.append(
                metric(f"{name}, {words}", s, over_both(scores), baseline=other, higher_is_better=True, **of)
            )
    ratio = of_ratio(per_byte["ult"], per_byte["raw"])
    metrics.append(metric(f"bits per byte of product, {words}, ratio to raw", "ult", ratio, unit="x",
                          higher_is_better=False, **of))  # fmt: skip
    exact = {s: np.array([one["top-1 exact"] for one in found[s]], float) for s in SYSTEMS}
    less = over_both(exact["ult"] - SHARE * exact["raw"])
    metrics.append(metric(f"top-1 exact, {words}, less {SHARE} of raw's", "ult", less, baseline="raw",
                          goal="at least 0", higher_is_better=True, **of))  # fmt: skip
    return metrics


def seconds(session: Session, system: str) -> float:
    """Return the CPU time of a step, without what it takes to begin."""
    few, many = (n * float(trained_on_pairs(session, f"pace/{system}-{n}", system, 0, n)["step_seconds"]) for n in PACE)
    return (many - few) / (PACE[1] - PACE[0])


def trained_on_pairs(session: Session, name: str, system: str, seed: int, steps: int) -> dict[str, Any]:
    """Train on the reactions in a system's ids."""
    train = Path(prepare(session, system)["folder"]) / "train"
    return trained(session, name, train / "sources", targets=train / "targets", task="seq2seq", model=MODEL,
                   steps=steps, batch_size=BATCH, context=CONTEXT[system], seed=seed)  # fmt: skip


def sides(session: Session) -> dict[str, list[tuple[str, str]]]:
    """Return sources and targets, to train and to test on."""
    sizes = {"train": session.sized(REACTIONS, 300), "test": session.sized(TESTED, 8)}
    found = {part: reactions(session, part)[:n] for part, n in sizes.items()}
    return {part: [(r[: (cut := r.rindex(">") + 1)], r[cut:]) for r in many] for part, many in found.items()}


@cache
def coder(session: Session, system: str) -> Coder:
    """Return what encodes and decodes a side, the size of its vocabulary, and a name for its table."""
    train = ["".join(pair) for pair in sides(session)["train"]]
    if system == "ult":
        table = ult.Table.fit(train, codec="molecule/smiles", vocabulary=Vocabulary(SIZE), min_records=1)
        return table.encode, lambda ids: str(table.decode_prefix(ids)[0]), SIZE, table.fingerprint
    test = [side for pair in sides(session)["test"] for side in pair]
    tokens = sorted({token for text in [*train, *test] for token in ATOMS.findall(text)})  # a closed set: periodic
    number = {token: N_SPECIAL + k for k, token in enumerate(tokens)}

    def encode(text: str) -> NDArray[Any]:
        found = ATOMS.findall(text)
        assert "".join(found) == text
        return np.array([number[token] for token in found], np.uint32)

    def decode(ids: NDArray[Any]) -> str:
        return "".join(tokens[k - N_SPECIAL] for k in ids if N_SPECIAL <= k < N_SPECIAL + len(tokens))

    return encode, decode, max(N_SPECIAL + len(tokens), 288), fingerprint("raw/atoms")


def prepare(session: Session, system: str) -> dict[str, Any]:
    """Write the shards of both sides; return where, and how many ids they take."""

    def make(folder: Path) -> dict[str, Any]:
        encode, _, size, table = coder(session, system)
        told: dict[str, Any] = {}
        for part, pairs in sides(session).items():
            lengths = np.zeros((2, len(pairs)), int)
            for k, name in enumerate(("sources", "targets")):
                texts = [pair[k] for pair in pairs]
                ids = [encode(text) for text in texts]
                lengths[k] = [len(one) for one in ids]
                with ShardWriter(folder / part / name, vocabulary=Vocabulary(size), table=table,
                                 codec="molecule/smiles", column="reaction") as writer:  # fmt: skip
                    writer.write(ids, sum(len(text.encode()) for text in texts))
            told = told or {"reactions": len(pairs), "ids per reaction": float(lengths.sum(0).mean()),
                            "reactions longer than the context, %":
                            100 * float((lengths.max(0) >= CONTEXT[system]).mean())}  # fmt: skip
        return told

    settings = {"size": SIZE, "reactions": session.sized(REACTIONS, 300), "tested": session.sized(TESTED, 8)}
    return session.once(f"shards/{system}", settings, make)


def train_one(session: Session, system: str, seed: int, steps: int) -> dict[str, Any]:
    """Train a model, measure its bits, and let it predict."""
    from rdkit import RDLogger

    from ult.public.shards import Shards
    from ult.trainer.evaluate import evaluate
    from ult.trainer.translate import translate

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # which its types leave out
    shards = Path(prepare(session, system)["folder"])
    name = f"{system}-{steps}-{seed}"
    run = trained_on_pairs(session, name, system, seed, steps)

    def make(_: Path) -> dict[str, Any]:
        held = [shards / "test" / side for side in ("sources", "targets")]
        per_byte = evaluate(run["run"], held[0], targets=held[1], batch_size=50)["bits_per_byte"]
        decode = coder(session, system)[1]
        many = translate(run["run"], list(Shards(held[0]).ids()), beams=BEAMS, best=BEAMS, batch_size=50)
        written = [[canonical(_decoded(decode, ids)) for ids in hypotheses] for hypotheses in many]
        right = [canonical(product) for _, product in sides(session)["test"]]
        exact = {f"top-{k} exact": [product in some[:k] for some, product in zip(written, right, strict=True)]
                 for k in TOPS}  # fmt: skip
        return {"bits_per_byte": per_byte, "top-1 valid": [some[0] is not None for some in written],
                "tested": len(right), **exact}  # fmt: skip

    return session.once(f"predictions/{name}", {"run": run["origin"], "beams": BEAMS}, make) | run


def canonical(smiles: str | None) -> str | None:
    """Return RDKit's SMILES, None of what it cannot read."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles) if smiles else None
    return None if molecule is None else str(Chem.MolToSmiles(molecule))


def _decoded(decode: Callable[[NDArray[Any]], str], ids: NDArray[Any]) -> str | None:
    from ult.errors import CorruptSymbols

    try:
        return decode(ids)
    except CorruptSymbols:
        return None


if __name__ == "__main__":
    main()
