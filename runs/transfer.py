"""Row `transfer`: what does a model trained on one owner's ids bring to another owner's, whose table is another?

A model is trained on the source's ids, then on a share of the target's, from different starting weights. An owner has
no more data than that share: its table is fitted on it too. Intervals are over seeds, which draw the source's training,
the share and the target's training alike.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import Ours, nbytes, raw_tokens, write_parts
from lib.corpus import cifar, labelled_texts, molecules, reactions, tiles, wikitext
from lib.curves import RAW, draw_curves
from lib.interval import of_ratio, over_seeds
from lib.result import ROOT, metric
from lib.session import Session
from lib.starts import match_moments, permute_rows
from lib.training import bits, trained

SIZE, CONTEXT, BATCH, MODEL = 1024, 128, 8, "tiny"
SOURCE_STEPS, STEPS, RELEARNING, TEST_BYTES = 600, 100, 30, 150_000
LOSSY = ("images",)  # whose ids do not hold all that raw tokens hold
BESIDE_RAW = ("rows fresh", "rows aligned", "table shared")
NO_TABLE = ("scratch", "matched", "ranks kept", "ranks permuted", "rows fresh", "rows re-learned")
STARTS = {
    "text": (*NO_TABLE, "rows aligned", "table shared", *RAW),
    "images": (*NO_TABLE, "rows aligned", "table shared", *RAW),
    "molecules": (*NO_TABLE, "rows aligned", "table shared", *RAW),
    "text to reactions": (*NO_TABLE, *RAW),
}
CODECS = {"text": "text/bytes", "images": "image/dct", "molecules": "molecule/smiles"}
SHARES = {"text": (3, 10, 100), "images": (10, 100), "molecules": (10, 100), "text to reactions": (10, 100)}
SEEDS = (0, 1, 2)
WORDS = {
    "text": "wikitext-2 to medical abstracts",
    "images": "tiles of photographs to CIFAR-10",
    "molecules": "SMILES of the HIV screen to USPTO reactions",
    "text to reactions": "wikitext-2 to USPTO reactions",
}
SETTING = f"""\
{"; ".join(f"{pair}: {words}" for pair, words in WORDS.items())}. Vocabulary {SIZE:,}; the source's table and \
the target's own have nothing to do with one another. {{source}} steps on the source, then {{steps}} on 3, 10 or \
100 % of the target's training records (3 % for text alone), {BATCH} blocks of {CONTEXT} ids each; bits per byte \
on up to {{kilobytes}} kB of the target's test records. `scratch`: random weights. `matched`: random weights \
with the mean and deviation of each of the trained tensors. `ranks kept`: all weights taken over, so that equal \
ranks share a row. `ranks permuted`: the same, rows in a random order. `rows fresh`: the body taken over, rows \
drawn anew. `rows re-learned`: the same, and for the first {{relearning}} steps nothing but the rows learns. \
`rows aligned` (`ult align`, whoever holds both tables): each phrase starts with the row of the same phrase, or \
the mean of its parts'. `table shared`: the target is encoded with the source's table, and all weights are taken \
over. `raw` is what all this stands in for: the source's raw data, then the target's, in the source's tokens \
(byte-level BPE of 1,024, bytes of pixels, atom-wise tokens), all weights taken over; `raw, scratch` random weights \
and tokens of the target's share. The same model, steps and ids a step, so the same time. `image/dct` loses what \
pixels keep, so bits of images do not compare the two; each one's ratio to its own scratch does."""


def main() -> None:
    """Train on all sources, then on the targets from every start."""
    session = Session.begin("transfer")
    pairs = list(STARTS)
    seeds = session.sized(SEEDS, (0, 1))
    shares = {pair: session.sized(SHARES[pair], (100,)) for pair in pairs}
    session.each(encode_source, [(source, raw) for raw in (False, True) for source in CODECS])
    session.each(pretrain, [(source, seed, raw) for source in CODECS for seed in seeds for raw in (False, True)])
    encoded = [
        (pair, share, seed, start) for start in ("scratch", "table shared", *RAW)
        for pair in (pairs if start == "raw" else CODECS) for share in shares[pair] for seed in seeds
    ]  # fmt: skip
    session.each(encode_target, encoded)
    asked = [
        (_run_of(pair, start), share, start, seed)
        for pair in pairs for share in shares[pair] for start in STARTS[pair] for seed in seeds
    ]  # fmt: skip
    jobs = list(dict.fromkeys(asked))
    found = dict(zip(jobs, session.each(fine_tune, jobs), strict=True))
    metrics = []
    for pair in pairs:
        for share in shares[pair]:
            common = {"seeds": seeds, "n": found[_target(pair), share, "scratch", 0]["rows"], "unit": "bits"}
            values = {
                start: [found[_run_of(pair, start), share, start, seed]["bits_per_byte"] for seed in seeds]
                for start in STARTS[pair]
            }
            for start, value in values.items():
                name = f"{pair}, {share} %: bits per byte"
                metrics.append(metric(name, start, over_seeds(value), higher_is_better=False, **common))
            beside = [(start, _base(start)) for start in STARTS[pair] if start != _base(start)]
            if pair not in LOSSY:
                beside += [(start, "raw") for start in BESIDE_RAW if start in values]
            for start, base in beside:
                name = f"{pair}, {share} %: bits per byte, ratio to {'raw' if base == 'raw' else 'scratch'}"
                ratio = of_ratio(values[start], values[base])
                of = common | {"unit": "x", "higher_is_better": False, "baseline": base}
                metrics.append(metric(name, start, ratio, **of))
    one = next(iter(found.values()))
    session.write(
        "Transfer through the common vocabulary",
        metrics,
        asked="What does a model trained on one owner's data bring to another's, whose table is another?",
        setting=SETTING.format(
            source=session.sized(SOURCE_STEPS, 20), steps=session.sized(STEPS, 10),
            relearning=session.sized(RELEARNING, 3), kilobytes=session.sized(TEST_BYTES, 10_000) // 1000,
        ),
        notes=["Curves: transfer-curves.png."],
        chart=[f"{pair}, {shares[pair][0]} %: bits per byte, ratio to scratch" for pair in pairs],
        model={"name": MODEL, "parameters": one["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip
    folder = session.work if session.quick else ROOT / "results"
    draw_pairs(metrics, folder / "transfer-curves.png", shares)


def draw_pairs(metrics: list[dict[str, Any]], path: Path, shares: dict[str, tuple[int, ...]] = SHARES) -> None:
    """Write a PNG with the learning curves of each pair."""
    draw_curves(metrics, {pair: shares[pair] for pair in STARTS}, WORDS, path, lossy=LOSSY)


def _source(pair: str) -> str:
    return "text" if pair == "text to reactions" else pair


def _target(pair: str) -> str:
    return "molecules" if pair == "text to reactions" else pair


def _base(start: str) -> str:
    return "raw, scratch" if start in RAW else "scratch"


def _run_of(pair: str, start: str) -> str:
    """Return the pair that a run is of: one from nothing knows no source."""
    return _target(pair) if start == _base(start) else pair


def _named(*words: object) -> str:
    return "-".join(map(str, words)).replace(",", "").replace(" ", "-")


def source_records(session: Session, source: str) -> list[Any]:
    """Return what the first owner trains on."""
    found = {
        "text": lambda: wikitext(session, "train"),
        "images": lambda: tiles(session, 20_000),
        "molecules": lambda: molecules(session)[0],
    }[source]()
    return found[: session.sized(None, 300)]


def target_records(session: Session, pair: str, share: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Return the share of records that the second owner trains on, and what it tests on."""
    target = _target(pair)
    if target == "text":
        train, test = (labelled_texts(session, "abstracts", split)[0] for split in ("train", "test"))
    elif target == "images":
        train, test = cifar(session, "train", 10_000), cifar(session, "test", 2000)
    else:
        train, test = reactions(session, "train")[:20_000], reactions(session, "test")
    train, ends = train[: session.sized(None, 300)], np.cumsum([nbytes(record) for record in test])
    drawn = np.random.default_rng(seed).permutation(len(train))[: len(train) * share // 100]
    return [train[k] for k in drawn], test[: int((ends <= session.sized(TEST_BYTES, 10_000)).sum())]


@cache
def code_of_source(session: Session, source: str, raw: bool = False) -> Any:
    """Return the first owner's table, or raw tokens; made again where they are needed, for tables stay in memory."""
    return _fitted(source_records(session, source), source, raw)


def encode_source(session: Session, source: str, raw: bool = False) -> Path:
    """Write the first owner's shards, of ids or of raw tokens."""
    records = source_records(session, source)

    def make(folder: Path) -> dict[str, Any]:
        write_parts(folder, code_of_source(session, source, raw), train=records)
        return {}

    name = f"source/{'raw-' if raw else ''}{source}"
    return Path(session.once(name, {"n": len(records), "size": SIZE}, make)["folder"])


def encode_target(session: Session, pair: str, share: int, seed: int, start: str) -> Path:
    """Write the second owner's shards as `start` has them: its own ids, the first owner's, or raw tokens of either."""
    mine, test = target_records(session, pair, share, seed)

    def make(folder: Path) -> dict[str, Any]:
        if start in ("table shared", "raw"):
            code = code_of_source(session, _source(pair), start == "raw")
        else:
            code = _fitted(mine, _target(pair), start in RAW)
        write_parts(folder, code, train=mine, test=test)
        return {}

    kind = start if start in ("table shared", *RAW) else "own"
    name = _named(pair if kind == "raw" else _target(pair), share, seed, kind)
    settings = {"n": len(mine), "test": len(test), "size": SIZE}
    return Path(session.once(f"target/{name}", settings, make)["folder"])


def pretrain(session: Session, source: str, seed: int, raw: bool = False) -> dict[str, Any]:
    """Train on the source."""
    name, shards = f"source-{'raw-' if raw else ''}{source}-{seed}", encode_source(session, source, raw) / "train"
    return trained(session, name, shards, model=MODEL, steps=session.sized(SOURCE_STEPS, 20), batch_size=BATCH,
                   context=CONTEXT, seed=seed)  # fmt: skip


def fine_tune(session: Session, pair: str, share: int, start: str, seed: int) -> dict[str, Any]:
    """Go on with the target from a start, and measure."""
    folder = encode_target(session, pair, share, seed, start)
    name = _named(pair, share, start, seed)
    options: dict[str, Any] = {"model": MODEL}
    if start != _base(start):
        before = starting(session, pair, share, start, seed)
        options = {"start": before, "embeddings": "fresh" if start in ("rows fresh", "rows re-learned") else "keep"}
        options |= {"freeze_body": session.sized(RELEARNING, 3)} if start == "rows re-learned" else {}
    run = trained(session, name, folder / "train", steps=session.sized(STEPS, 10), batch_size=BATCH, context=CONTEXT,
                  seed=seed, **options)  # fmt: skip
    return bits(session, name, run, folder / "test") | run


def starting(session: Session, pair: str, share: int, start: str, seed: int) -> Path:
    """Return the run to go on from, with its weights changed as `start` says."""
    before = pretrain(session, _source(pair), seed, start == "raw")
    if start not in ("matched", "ranks permuted", "rows aligned"):
        return Path(before["run"])

    def make(folder: Path) -> dict[str, Any]:
        if start == "rows aligned":
            from ult.owner.handover.align import align

            mine, _ = target_records(session, pair, share, seed)
            tables = code_of_source(session, pair).table, _fitted(mine, pair).table
            return align(before["run"], *tables, folder / "run")
        shutil.copytree(before["run"], folder / "run")
        change = match_moments if start == "matched" else permute_rows
        change(folder / "run" / "model.safetensors", np.random.default_rng(seed))
        return {}

    name = f"starts/{_named(pair, share, start, seed)}"
    return Path(session.once(name, {"from": before["origin"]}, make)["folder"]) / "run"


def _fitted(records: list[Any], modality: str, raw: bool = False) -> Any:
    return raw_tokens(modality, records, SIZE) if raw else Ours(records, SIZE, CODECS[modality])


if __name__ == "__main__":
    main()
