"""Row `unified`: does one model of all modalities predict each as well as a model of that one alone?"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import LEVELS, Ours, raw_tokens, write_parts
from lib.five_sets import LOSSY, SETS, TEST_BYTES, geometric, records
from lib.interval import counted, of_ratio, over_seeds
from lib.result import metric
from lib.session import Session
from lib.starts import match_moments
from lib.training import bits, trained

from ult.codecs import codec_class

SIZE, CONTEXT, BATCH, MODEL, STEPS = 1024, 128, 8, "tiny", 100
TABLES, SHARED, ALONE = "ult, rows per table", "ult, rows shared", "ult, alone"
PLAIN, LONGER = f"{SHARED}, no token", f"{ALONE}, all the steps"
TOGETHER: dict[str, dict[str, Any]] = {  # the options of a model of all sets
    TABLES: {"rows_per_table": True}, SHARED: {"modality_token": True}, PLAIN: {},
}  # fmt: skip
HELD = "molecules"  # the set that comes to a body of the other four
BODIES = ("body of the others", "body of the others, frozen", "body of the others, matched")
TITLE = "One model, all modalities"
ASKED = "Does one model of five modalities predict each of them as well as a model of that one alone?"
SETTING = """\
Five sets, each encoded with a table of its own, all of one vocabulary of {size:,}: wikitext-2 (`text/bytes`), \
CIFAR-10 (`image/dct`), USPTO reactions (`molecule/smiles`), expression of 200 genes in tumours (`series/mulaw`, \
every fifth tumour is tested) and days of the seven series of ETTh1 (`series/mulaw`, the last fifth of the days is \
tested). `{tables}` is one model trained on all five in equal parts for {all} steps, one body with embedding rows \
for each table (`--rows-per-table --mixture 1,1,1,1,1`); `{shared}` has one set of rows for all, and the id that \
names the modality (`--modality-token`); `{plain}` lacks that id. `{alone}` are five models of {steps} steps on one \
set each, so every set is seen as often: equal steps a set. `{longer}` are the same with {all} steps each: equal \
total steps, of which the one model gives each set a fifth. `raw` is `alone` on raw data: byte-level BPE of 1,024, \
bytes of pixels, atom-wise tokens, and values in {levels} even bins; the same model, steps and ids a step, so the \
same time. {batch} blocks of {context} ids a step. Bits per byte of the original data on up to {kilobytes} kB of \
records to test; the id that names the modality is given to the model and not counted. Controls: {held} come to a \
body of the other four sets (rows per table, {four} steps) with rows of their own, for {steps} steps: the body goes \
on learning, or is frozen, or was drawn at random with the mean and deviation of each of its tensors. Ids that lose \
something leave less to predict: those of images, which pixels are no measure for, and those of omics and series, as \
bins do. Signal-to-noise says how much: the test records' energy over that of the error."""


def main() -> None:
    """Train one model on all, and one on each, and compare."""
    session = Session.begin("unified")
    seeds, steps = session.sized((0, 1, 2), (0, 1)), session.sized(STEPS, 3)
    session.each(encode, [(name, raw) for name in SETS for raw in (False, True)])
    alone = [(kind, name) for kind in (ALONE, LONGER, "raw") for name in SETS]
    jobs = [(*which, seed, steps) for seed in seeds for which in (*((kind, "") for kind in TOGETHER), *alone)]
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for (kind, _, seed, _), sets in zip(jobs, session.each(train_one, jobs), strict=True):
        found |= {(kind, name, seed): one for name, one in sets.items()}
    session.each(others, [(seed, steps) for seed in seeds])
    bodies = [(body, seed, steps) for body in BODIES for seed in seeds]
    arrived = dict(zip(bodies, session.each(arrive, bodies), strict=True))
    found |= {(body, HELD, seed): one for (body, seed, _), one in arrived.items()}
    decibels = dict(zip(LOSSY, session.each(loss, [(name,) for name in LOSSY]), strict=True))
    one = found[TABLES, "text", seeds[0]]
    session.write(
        TITLE,
        [*figures(found, seeds), *of_loss(decibels, found, seeds)],
        asked=ASKED,
        setting=SETTING.format(size=SIZE, steps=steps, all=len(SETS) * steps, batch=BATCH, context=CONTEXT,
                               levels=LEVELS, kilobytes=session.sized(TEST_BYTES, 6000) // 1000, tables=TABLES,
                               shared=SHARED, plain=PLAIN, alone=ALONE, longer=LONGER, held=HELD,
                               four=(len(SETS) - 1) * steps),
        notes=[
            "Mu-law's levels lie close about zero, which takes bits where an even bin is one level; its range leaves "
            "out 0.1 % of the values, that of the bins none.",
        ],
        chart=[MEAN, *(f"{n}: bits per byte" + (", ratio to alone" if n == "images" else "") for n in SETS)],
        model={"name": MODEL, "parameters": one["parameters"], "learning rate": one["learning_rate"]},
    )  # fmt: skip


MEAN = "all five: bits per byte, ratio to alone"


def figures(found: dict[tuple[str, str, int], dict[str, Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return bits per byte of every system on every set, and what they are to those of one set alone."""

    def bits_of(system: str, name: str) -> list[float]:
        return [found[system, name, seed]["bits_per_byte"] for seed in seeds]

    metrics = []
    for name in SETS:
        of = {"n": found[ALONE, name, seeds[0]]["rows"], "seeds": seeds, "higher_is_better": False}
        arriving = BODIES if name == HELD else ()
        metrics += [
            metric(f"{name}: bits per byte", system, over_seeds(bits_of(system, name)), unit="bits",
                   baseline="raw" if system == ALONE else "" if system == "raw" else ALONE, **of)
            for system in (*TOGETHER, ALONE, LONGER, *arriving, "raw")
        ]  # fmt: skip
        for system, other, words in (
            *((system, ALONE, "ratio to alone") for system in (*TOGETHER, *arriving)),
            (TABLES, LONGER, "ratio to alone at all the steps"),
            *((system, "raw", "ratio to raw") for system in (TABLES, ALONE) if name != "images"),
        ):
            ratio = of_ratio(bits_of(system, name), bits_of(other, name))
            goal = "at most 1.00" if system == TABLES and other != "raw" else ""
            metrics.append(metric(f"{name}: bits per byte, {words}", system, ratio, unit="x", baseline=other, goal=goal,
                                  **of))  # fmt: skip
    n = sum(found[ALONE, name, seeds[0]]["rows"] for name in SETS)
    for system in TOGETHER:
        mean = of_ratio(*([geometric([bits_of(one, name)[k] for name in SETS]) for k in range(len(seeds))]
                          for one in (system, ALONE)))  # fmt: skip
        goal = "below 1.00" if system == TABLES else ""
        metrics.append(metric(MEAN, system, mean, unit="x", baseline=ALONE, goal=goal, n=n, seeds=seeds,
                              higher_is_better=False))  # fmt: skip
    return metrics


def of_loss(
    decibels: dict[str, dict[str, float]], found: dict[tuple[str, str, int], dict[str, Any]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return how much is left of the records of sets whose ids lose something."""
    return [
        metric(f"{name}: signal-to-noise", system, counted(value), unit="dB", n=found[ALONE, name, seeds[0]]["rows"],
               higher_is_better=True)
        for name, each in decibels.items() for system, value in each.items()
    ]  # fmt: skip


def encode(session: Session, name: str, raw: bool = False) -> Path:
    """Write the shards of a set, encoded or as raw tokens."""

    def make(folder: Path) -> dict[str, Any]:
        train, test, codec = records(session, name)
        code = raw_tokens(name, train, SIZE) if raw else Ours(train, SIZE, codec)
        write_parts(folder, code, train=train, test=test)
        return {}

    settings = {"size": SIZE, "train": session.sized(None, 200), "test": session.sized(TEST_BYTES, 6000)}
    return Path(session.once(f"shards/{'raw-' if raw else ''}{name}", settings, make)["folder"])


def loss(session: Session, name: str) -> dict[str, float]:
    """Return the signal-to-noise ratio in dB of what comes back of the test records, from ids and from raw tokens."""

    def make(_: Path) -> dict[str, Any]:
        train, test, chosen = records(session, name)
        codec = codec_class(chosen)() if isinstance(chosen, str) else chosen
        back = {ALONE: [codec.decode(codec.encode(one).symbols) for one in test]}
        if name != "images":  # whose pixels lose nothing
            bins = raw_tokens(name, train, SIZE)
            back["raw"] = [bins.decode(ids) for ids in bins.encode(test)]
        return {"decibels": {system: _decibels(test, restored) for system, restored in back.items()}}

    found: dict[str, float] = session.once(f"loss/{name}", {"of": session.sized(TEST_BYTES, 6000)}, make)["decibels"]
    return found


def _decibels(records: list[Any], restored: list[Any]) -> float:
    energy = sum(float((one.astype(float) ** 2).sum()) for one in records)
    error = sum(float(((a.astype(float) - b) ** 2).sum()) for a, b in zip(records, restored, strict=True))
    return 10 * math.log10(energy / error)


def train_one(session: Session, kind: str, name: str, seed: int, steps: int) -> dict[str, dict[str, Any]]:
    """Train on one set, or on all; return what each set that was trained on is predicted with."""
    names = SETS if kind in TOGETHER else (name,)
    folders = [encode(session, one, kind == "raw") for one in names]
    options = TOGETHER[kind] | {"mixture": (1.0,) * len(SETS)} if kind in TOGETHER else {}
    many = len(SETS) if kind in (*TOGETHER, LONGER) else 1
    word = _named(kind, name, seed)
    run = trained(session, word, [folder / "train" for folder in folders], batch_size=BATCH, seed=seed, model=MODEL,
                  steps=steps * many, context=CONTEXT, **options)  # fmt: skip
    return {
        one: bits(session, f"{word}-{one}", run, folder / "test") | run
        for one, folder in zip(names, folders, strict=True)
    }


def others(session: Session, seed: int, steps: int) -> dict[str, Any]:
    """Train on all sets but the one that is held."""
    folders = [encode(session, name) / "train" for name in SETS if name != HELD]
    return trained(session, _named("others", seed), folders, batch_size=BATCH, seed=seed, model=MODEL,
                   steps=steps * len(folders), context=CONTEXT, mixture=(1.0,) * len(folders),
                   rows_per_table=True)  # fmt: skip


def arrive(session: Session, body: str, seed: int, steps: int) -> dict[str, Any]:
    """Train on the set that is held from a body of the others; return what it is predicted with."""
    before = others(session, seed, steps)
    start = Path(before["run"])
    if body.endswith("matched"):

        def make(folder: Path) -> dict[str, Any]:
            shutil.copytree(start, folder / "run")
            match_moments(folder / "run" / "model.safetensors", np.random.default_rng(seed))
            return {}

        start = Path(session.once(f"starts/{seed}", {"from": before["origin"]}, make)["folder"]) / "run"
    folder = encode(session, HELD)
    run = trained(session, _named(body, seed), folder / "train", start=start, batch_size=BATCH, seed=seed, steps=steps,
                  context=CONTEXT, freeze_body=steps if body.endswith("frozen") else 0)  # fmt: skip
    return bits(session, f"{_named(body, seed)}-{HELD}", run, folder / "test") | run


def _named(*words: object) -> str:
    return "-".join(str(word) for word in words if word != "").replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
