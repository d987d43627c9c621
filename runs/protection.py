"""Row `protection`: what each protection costs in bits per byte, beside the same training without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.corpus import labelled_texts
from lib.interval import of_ratio, over_seeds
from lib.result import metric
from lib.session import Session
from lib.training import bits, trained

import ult
from ult.public.shard_writer import ShardWriter

SIZE, CONTEXT, BATCH, STEPS, MODEL = 1024, 128, 16, 100, "tiny"
SEEDS = (0, 1, 2)
FIT: dict[str, dict[str, Any]] = {
    "fit --min-records 5": {"min_records": 5},
    "fit --min-records 20": {"min_records": 20},
    "fit --epsilon 8": {"epsilon": 8.0},
    "fit --epsilon 1": {"epsilon": 1.0},
}
TRAIN: dict[str, dict[str, Any]] = {"train --goldfish 4": {"goldfish": 4}, "train --epsilon 8": {"epsilon": 8.0}}
SYSTEMS = ("plain", "dedupe --near 0.8", *FIT, *TRAIN)
ASKED = "What does each protection cost in bits per byte, beside the same training without it?"
SETTING = """\
{records:,} medical abstracts, vocabulary {size:,}; `plain` is a table of all phrases (`--min-records 1`) and a \
training from scratch, {steps} steps of {batch} blocks of {context} ids, evaluated on {tested} other abstracts. Each \
other system changes what its name says and nothing else; `dedupe` leaves {unique:,} records. A private table is \
fitted anew for each seed, as its noise is the operating system's. `train --epsilon 8` sees {batch} records a step on \
average, by themselves, and is evaluated so. `--restrain-ngrams`, `--stop-memorised` and goldfish in fine-tuning are \
in row `memorisation`, bodies without rows in row `release`."""


def main() -> None:
    """Train with every protection, and compare with none."""
    session = Session.begin("protection")
    seeds = session.sized(SEEDS, (0, 1))
    jobs = [(how, seed) for seed in seeds for how in SYSTEMS]
    found = dict(zip(jobs, session.each(protected, jobs), strict=True))
    metrics, plain = [], [found["plain", seed]["bits_per_byte"] for seed in seeds]
    for how in SYSTEMS:
        runs = [found[how, seed] for seed in seeds]
        of = {"n": runs[0]["rows"], "seeds": seeds, "higher_is_better": False}
        per_byte = [run["bits_per_byte"] for run in runs]
        beside = "" if how == "plain" else "plain"
        metrics += [
            metric("bits per byte", how, over_seeds(per_byte), unit="bits", baseline=beside, **of),
            metric("ids per byte", how, over_seeds([run["predictions"] / run["bytes"] for run in runs]), **of),
        ]
        if beside:
            metrics.append(metric("bits per byte, ratio to plain", how, of_ratio(per_byte, plain), unit="x", **of))
    first = found["plain", seeds[0]]
    session.write(
        "What protections cost",
        metrics,
        asked=ASKED,
        setting=SETTING.format(records=first["records"], size=SIZE, steps=_steps(session), batch=BATCH, context=CONTEXT,
                               tested=first["rows"], unique=found["dedupe --near 0.8", seeds[0]]["records"]),
        notes=[],
        chart=["bits per byte"],
        model={"name": MODEL, "parameters": first["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip


def protected(session: Session, how: str, seed: int) -> dict[str, Any]:
    """Fit, encode, train and evaluate in one of the ways."""
    shards, name = encoded(session, how, seed), f"{_plain(how)}-{seed}"
    folder = Path(shards["folder"])
    run = trained(session, name, folder / "train", model=MODEL, steps=_steps(session), batch_size=BATCH,
                  context=CONTEXT, seed=seed, **TRAIN.get(how, {}))  # fmt: skip
    return bits(session, name, run, folder / "test") | {"parameters": run["parameters"], "records": shards["records"]}


def encoded(session: Session, how: str, seed: int) -> dict[str, Any]:
    """Write the shards of a way; one that is of the training alone has plain ones."""
    way = "plain" if how in TRAIN else how
    name = f"{_plain(way)}-{seed}" if "epsilon" in way else _plain(way)

    def make(folder: Path) -> dict[str, Any]:
        from ult.data.duplicates import Duplicates

        train, test = (_abstracts(session, split) for split in ("train", "test"))
        seen = Duplicates(0.8)
        train = [text for text in train if not way.startswith("dedupe") or seen.is_new(text)]
        table = ult.Table.fit(train, vocabulary=ult.Vocabulary(SIZE), **({"min_records": 1} | FIT.get(way, {})))
        for part, texts in (("train", train), ("test", test)):
            with ShardWriter(folder / part, vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                             column="text") as writer:  # fmt: skip
                writer.write(table.encode_batch(texts), sum(len(text.encode()) for text in texts))
        return {"records": len(train)}

    return session.once(f"shards/{name}", {"size": SIZE}, make)


def _abstracts(session: Session, split: str) -> list[str]:
    texts = labelled_texts(session, "abstracts", split)[0]
    return texts[: session.sized(len(texts), 60)]


def _steps(session: Session) -> int:
    return int(session.sized(STEPS, 4))


def _plain(how: str) -> str:
    return how.replace("--", "").replace(" ", "-")


if __name__ == "__main__":
    main()
