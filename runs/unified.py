"""Row `unified`: does one model of all modalities predict each as well as a model of that one alone?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import LEVELS, Ours, nbytes, raw_tokens, write_parts
from lib.corpus import cifar, genes, reactions, transformer, wikitext
from lib.interval import counted, of_ratio, over_seeds
from lib.result import metric
from lib.session import Session
from lib.training import bits, trained

from ult.codecs import codec_class
from ult.codecs.series import SeriesMulaw

SETS = ("text", "images", "molecules", "omics", "series")
LOSSY = ("images", "omics", "series")
SIZE, CONTEXT, BATCH, MODEL, STEPS = 1024, 128, 8, "small", 64
TEST_BYTES, HOURS = 60_000, 24
TITLE = "One model, all modalities"
ASKED = "Does one model of five modalities predict each of them as well as a model of that one alone?"
SETTING = """\
Five sets, each encoded with a table of its own, all of one vocabulary of {size:,}: wikitext-2 (`text/bytes`), \
CIFAR-10 (`image/dct`), USPTO reactions (`molecule/smiles`), expression of 200 genes in tumours (`series/mulaw`, \
every fifth tumour is tested) and days of the seven series of ETTh1 (`series/mulaw`, the last fifth of the days is \
tested). `ult, \
unified` is one model trained on all five in equal parts (`--mixture 1,1,1,1,1 --modality-token`) for {all} steps, \
`ult, alone` five models of {steps} steps on one set each: so every set is seen as often. `raw` is `alone` on raw \
data: byte-level BPE of 1,024, bytes of pixels, atom-wise tokens, and values in {levels} even bins; the same model, \
steps and ids a step, so the same time. {batch} blocks of {context} ids a step. Bits per byte \
of the original data on up to {kilobytes} kB of records to test; the id that names the \
modality is given to the model and not counted. Ids that lose something leave less to predict: those of images, which \
pixels are no measure for, and those of omics and series, as bins do. Signal-to-noise says how much: the test records' \
energy over that of the error."""


def main() -> None:
    """Train one model on all, and one on each, and compare."""
    session = Session.begin("unified")
    seeds, steps = session.sized((0, 1, 2), (0, 1)), session.sized(STEPS, 3)
    session.each(encode, [(name, raw) for name in SETS for raw in (False, True)])
    jobs = [(name, seed, steps) for seed in seeds for name in ("all", *SETS, *(f"raw-{name}" for name in SETS))]
    found = dict(zip(jobs, session.each(train_one, jobs), strict=True))
    decibels = dict(zip(LOSSY, session.each(loss, [(name,) for name in LOSSY]), strict=True))
    metrics = []
    for name in SETS:
        alone = [found[name, seed, steps][name] for seed in seeds]
        unified = [found["all", seed, steps][name] for seed in seeds]
        of = {"n": alone[0]["rows"], "seeds": seeds, "higher_is_better": False}
        raw = [found[f"raw-{name}", seed, steps][name] for seed in seeds]
        values = {"ult, unified": unified, "ult, alone": alone, "raw": raw}
        per_byte = {system: [one["bits_per_byte"] for one in each] for system, each in values.items()}
        metrics += [
            metric(f"{name}: bits per byte", system, over_seeds(each), unit="bits", **of,
                   baseline={"ult, unified": "ult, alone", "ult, alone": "raw"}.get(system, ""))
            for system, each in per_byte.items()
        ]  # fmt: skip
        ratio = of_ratio(per_byte["ult, unified"], per_byte["ult, alone"])
        metrics.append(metric(f"{name}: bits per byte, ratio to alone", "ult, unified", ratio, unit="x", **of))
        for system, value in decibels.get(name, {}).items():
            metrics.append(metric(f"{name}: signal-to-noise", system, counted(value), unit="dB", n=of["n"],
                                  higher_is_better=True))  # fmt: skip
        for system in ("ult, unified", "ult, alone") if name != "images" else ():
            ratio = of_ratio(per_byte[system], per_byte["raw"])
            metrics.append(metric(f"{name}: bits per byte, ratio to raw", system, ratio, unit="x", **of))
    one = found["all", seeds[0], steps]["text"]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(size=SIZE, steps=steps, all=len(SETS) * steps, batch=BATCH, context=CONTEXT,
                               levels=LEVELS, kilobytes=session.sized(TEST_BYTES, 6000) // 1000),
        notes=[
            "Mu-law's levels lie close about zero, which takes bits where an even bin is one level; its range leaves "
            "out 0.1 % of the values, that of the bins none.",
        ],
        chart=[f"{n}: bits per byte" + (", ratio to alone" if n == "images" else "") for n in SETS],
        model={"name": session.sized(MODEL, "tiny"), "parameters": one["parameters"],
               "learning rate": one["learning_rate"]},
    )  # fmt: skip


def records(session: Session, name: str) -> tuple[list[Any], list[Any], Any]:
    """Return what to train on, what to test on, and the codec."""
    if name == "text":
        train, test, codec = wikitext(session, "train"), wikitext(session, "test"), "text/bytes"
    elif name == "images":
        train, test, codec = cifar(session, "train", 10_000), cifar(session, "test", 2000), "image/dct"
    elif name == "molecules":
        train, test, codec = reactions(session, "train"), reactions(session, "test"), "molecule/smiles"
    else:
        train, test = tumours(session) if name == "omics" else days(session)
        codec = SeriesMulaw.calibrated(train, patch_size=1)  # type: ignore[assignment]
    train = train[: session.sized(None, 200)]
    ends = np.cumsum([nbytes(one) for one in test])
    return train, test[: max(2, int((ends <= session.sized(TEST_BYTES, 6000)).sum()))], codec


def tumours(session: Session) -> tuple[list[Any], list[Any]]:
    """Return the expression of 200 genes in float32, of colorectal and of breast tumours, scaled alike."""
    found = []
    for name in ("tcga_crc_cms", "tcga_brca_mrna"):
        values = genes(session, name, 200).values
        found += list(((values - values.mean()) / values.std()).astype(np.float32))
    return [one for k, one in enumerate(found) if k % 5], found[::5]


def days(session: Session) -> tuple[list[Any], list[Any]]:
    """Return days of 24 hours of each of the seven series, scaled by what is trained on."""
    hours = transformer(session)
    hours = hours[: len(hours) // HOURS * HOURS]
    cut = len(hours) // HOURS * 4 // 5 * HOURS
    hours = ((hours - hours[:cut].mean(0)) / hours[:cut].std(0)).astype(np.float32)
    many = [part.reshape(-1, HOURS, 7).swapaxes(1, 2).reshape(-1, HOURS) for part in (hours[:cut], hours[cut:])]
    return list(many[0]), [many[1][k] for k in np.random.default_rng(0).permutation(len(many[1]))]


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
        back = {"ult, alone": [codec.decode(codec.encode(one).symbols) for one in test]}
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


def train_one(session: Session, name: str, seed: int, steps: int) -> dict[str, dict[str, Any]]:
    """Train on one set, or on all; return what each set that was trained on is predicted with."""
    raw, names = name.startswith("raw-"), SETS if name == "all" else (name.removeprefix("raw-"),)
    folders = [encode(session, one, raw) for one in names]
    options: dict[str, Any] = {"mixture": (1.0,) * len(SETS), "modality_token": True} if name == "all" else {}
    run = trained(session, f"{name}-{seed}", [folder / "train" for folder in folders], batch_size=BATCH, seed=seed,
                  model=session.sized(MODEL, "tiny"), steps=steps * len(names), context=CONTEXT, **options)  # fmt: skip
    return {
        one: bits(session, f"{name}-{one}-{seed}", run, folder / "test") | run
        for one, folder in zip(names, folders, strict=True)
    }


if __name__ == "__main__":
    main()
