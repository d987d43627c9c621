"""Row `small-data`: what is the best that can be learned of 300 kB of text, and what does each way remember of it?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from lib.corpus import labelled_texts
from lib.interval import over_both, over_records, over_seeds
from lib.outcomes import auroc
from lib.result import metric
from lib.session import Session, digest
from lib.training import trained
from numpy.typing import NDArray

import ult
from ult.public.manifest import manifest_of
from ult.public.shard_writer import ShardWriter

Tried: TypeAlias = tuple[float, int, float]  # a weight decay, passes and a learning rate

SEEDS = (0, 1)  # of the members, and
PLAIN_SEEDS = (0,)
SIZE, CONTEXT, BATCH, MODEL = 2048, 128, 16, "tiny"
TRAIN, VALID, TEST = 300_000, 50_000, 150_000  # bytes
# Decays, passes and learning rates, of which validation chooses; what was tried before is in `notes`.
PLAINS = ((0.1, 8, 3e-3), (0.1, 12, 1.5e-3))
DECAYS = ((6.4, 24, 3e-3), (6.4, 24, 6e-3))
MEMBERS = 2
LARGE = (0.1, 2, 3e-3)  # the same, of all the text there is
# The records that the members write, and how one run, the first member, learns from them.
WRITTEN, SMALL = 300, {"steps": 2000, "weight_decay": 1.6, "learning_rate": 3e-3}
CANARIES, REPEATS, ALTERNATIVES = 10, 4, 150
ATTACKS = ("loss", "min-k", "min-k++", "zlib")
PLAIN, TUNED, TOGETHER, COUNTS = "decay 0.1", "tuned decay", "members", "n-grams"
MIXED, ONE = "members and n-grams", "distilled"
SYSTEMS = (PLAIN, TUNED, TOGETHER, COUNTS, MIXED, ONE)
ASKED = (
    "What is the best that can be learned of 300 kB of text, by weight decay, by members whose probabilities are "
    "averaged, by n-grams, by both together, and by one run distilled from them; and what does each remember of its "
    "records?"
)
SETTING = """\
{train} kB of medical abstracts ({records} records, and {canaries} canaries {repeats} times each), {valid} kB to \
choose by, {test} kB to test on; vocabulary {size:,}, model `{model}`, blocks of {context} ids for all, {batch} a \
step; the best evaluation on validation is kept, and training stops after 3 that are no better. `decay 0.1`: \
{plain}. `tuned decay`: {tuned}. `members`: {members} runs of it with seeds of their own, probabilities averaged. \
`n-grams`: `ult train --model ngrams` (Kneser-Ney, and what followed the last 0 to 2 ids in the record so far), \
order and shares by validation. `members and n-grams`: `ult average` of them, shares by validation. `distilled`: one \
run of the model's size, from the first member on, on their probabilities at the ids of the records and of {written} \
records that they wrote, {small:,} steps, decay {light}. Membership: the best of {attacks} attacks of `ult \
audit model` by AUC, which favours the attacker, on {attacked} records beside as many of the test split. Exposure: \
bits of {most:.1f}, among {alternatives} alternatives."""


def main() -> None:
    """Train, choose, average, distil, and look at what is remembered."""
    session = Session.begin("small-data")
    seeds = session.sized(SEEDS, (0, 1))
    plain = chosen(session, session.sized(PLAINS, ((0.1, 1, 3e-3),)))
    tuned = chosen(session, session.sized(DECAYS, ((3.2, 1, 3e-3),)))
    members = [one_run(session, tuned, seed) for seed in range(_members(session))]
    counts = counted(session)
    mixed = averaged(session, [*members, counts])
    small = distilled(session, mixed, members[0])
    runs = {
        PLAIN: [[one_run(session, plain, seed)] for seed in session.sized(PLAIN_SEEDS, (0, 1))],
        TUNED: [[one] for one in members[: len(seeds)]],
        TOGETHER: [members],
        COUNTS: [[counts]],
        MIXED: [[mixed]],
        ONE: [[small]],
    }
    bits = {name: np.stack([text_bits(session, each) for each in runs[name]]) for name in SYSTEMS}
    sizes = np.array([len(text.encode()) for text in texts(session)["test"]])
    metrics = learned(bits, sizes, seeds)
    metrics += of_all(session, sizes)
    for name in SYSTEMS:
        metrics += remembered(name, [leaks(session, each) for each in runs[name]], seeds)
    first = members[0]
    session.write(
        "Small data",
        metrics,
        asked=ASKED,
        setting=SETTING.format(
            train=session.sized(TRAIN, 20_000) // 1000, valid=VALID // 1000, test=session.sized(TEST, 10_000) // 1000,
            records=len(texts(session)["train"]), canaries=CANARIES, repeats=REPEATS, size=SIZE, model=MODEL,
            context=CONTEXT, batch=BATCH, plain=_tried(PLAINS), tuned=_tried(DECAYS), members=_members(session),
            attacks=len(ATTACKS),
            written=WRITTEN, small=SMALL["steps"], light=SMALL["weight_decay"], attacked=_attacked(session),
            most=np.log2(1 + _alternatives(session)), alternatives=_alternatives(session),
        ),
        notes=notes(session, plain, tuned, mixed),
        chart=["bits per byte", "membership, AUC of the best attack"],
        model={"name": MODEL, "parameters": first["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip


def learned(bits: dict[str, NDArray[np.float64]], sizes: NDArray[Any], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return bits per byte, beside `decay 0.1`, and how much of the gain of members and n-grams `distilled` keeps."""
    found, n = [], len(sizes)
    common = {"n": n, "higher_is_better": False}
    mean = {name: each.mean(0) for name, each in bits.items()}
    for name, each in bits.items():
        own = seeds[: len(each)]
        spread = over_seeds((each.sum(1) / sizes.sum()).tolist()) if len(each) > 1 else over_texts(mean[name], sizes)
        found.append(metric("bits per byte", name, spread, seeds=own, unit="bits", **common))
    for name in (one for one in bits if one != PLAIN):
        ratio = over_records(lambda k, name=name: float(mean[name][k].sum() / mean[PLAIN][k].sum()), n)  # type: ignore[misc]
        goal = "at most 0.87" if name == MIXED else ""
        found.append(
            metric("bits per byte, ratio to decay 0.1", name, ratio, seeds=seeds, unit="x", goal=goal, **common)
        )
    for base in (PLAIN, TUNED):

        def kept(k: NDArray[np.int64], base: str = base) -> float:
            of = {name: mean[name][k].sum() for name in (base, MIXED, ONE)}
            return float((of[base] - of[ONE]) / (of[base] - of[MIXED]))

        found.append(metric(f"share kept of the gain of both over {base}", ONE, over_records(kept, n), n=n,
                            seeds=seeds, higher_is_better=True, goal="at least 0.6"))  # fmt: skip
    return found


def of_all(session: Session, sizes: NDArray[Any]) -> list[dict[str, Any]]:
    """Return bits per byte of the same texts by what is learned of all there is to train on."""
    folder, valid = Path(whole_text(session)["folder"]) / "shards", Path(encoded(session)["folder"]) / "valid"
    decay, epochs, rate = session.sized(LARGE, (0.1, 1, 3e-3))
    plain = trained(session, "all-plain", folder, validation=valid, weight_decay=decay, epochs=float(epochs),
                    learning_rate=rate, seed=0, **_sizes())  # fmt: skip
    counts = trained(session, "all-n-grams", folder, validation=valid, model="ngrams", context=CONTEXT)
    runs = {PLAIN: plain, COUNTS: counts, MIXED: averaged(session, [plain, counts], "all-")}
    return [
        metric("bits per byte, of 2.8 MB", name, over_texts(text_bits(session, [one]), sizes), n=len(sizes), seeds=(0,),
               higher_is_better=False, unit="bits")
        for name, one in runs.items()
    ]  # fmt: skip


def whole_text(session: Session) -> dict[str, Any]:
    """Write the shards of all texts to train on, but for those to choose by, with the table of the first 300 kB."""
    table, parts = table_of(session), texts(session)
    known = [*parts["train"], *parts["rest"]][: session.sized(None, 40)]

    def make(folder: Path) -> dict[str, Any]:
        with ShardWriter(folder / "shards", vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                         column="text") as writer:  # fmt: skip
            writer.write(table.encode_batch(known), sum(len(text.encode()) for text in known))
        return {"records": len(known)}

    return session.once("all", {"table": table.fingerprint, "records": len(known)}, make)


def over_texts(bits: NDArray[np.float64], sizes: NDArray[Any]) -> dict[str, Any]:
    """Return bits per byte, and their interval over texts drawn anew."""
    return over_records(lambda k: float(bits[k].sum() / sizes[k].sum()), len(sizes))


def remembered(name: str, each: list[dict[str, Any]], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the best attack's AUC, and the exposure of the canaries, of a system's runs."""
    areas = [max(one["auc"].values()) for one in each]
    members, others = (np.array(each[0]["scores"][side]) for side in ("members", "others"))
    if len(each) > 1:
        area = over_seeds(areas)
    else:
        half = len(members)
        both, right = np.concatenate([members, others]), np.arange(half + len(others)) < half
        area = over_records(lambda k: auroc(right[k], both[k]), len(both)) | {"value": areas[0]}
    exposures = np.array([one["exposure"] for one in each])
    own = seeds[: len(each)]
    return [
        metric("membership, AUC of the best attack", name, area, n=len(members) + len(others), seeds=own,
               higher_is_better=False),
        metric("exposure of canaries, mean", name, over_both(exposures), n=exposures.shape[1], seeds=own,
               higher_is_better=False, unit="bits"),
    ]  # fmt: skip


def notes(session: Session, plain: Tried, tuned: Tried, mixed: dict[str, Any]) -> list[str]:
    """Return what was chosen, and what the intervals are of."""
    asked = [*session.sized(PLAINS, ((0.1, 1, 3e-3),)), *session.sized(DECAYS, ((3.2, 1, 3e-3),))]
    each = "; ".join(f"{_tried([one])} {one_run(session, one, 0)['valid']:.3f}" for one in asked)
    shares = ", ".join(f"{share:.2f}" for share in mixed["shares"])
    return [
        f"Bits a prediction on validation, seed 0: {each}. Chosen: {_tried([plain])}, and {_tried([tuned])}.",
        "Earlier runs of this row tried, at rate 0.003 and 24 passes, decay 1.6 (6.817) and 3.2 (6.686) too, and 4 "
        "members, which took 1.929 bits a byte on test.",
        "Distilling by other steps took, on validation: 240 at decay 0.8 and rate 0.001 6.281 bits a prediction, 1,000 "
        "at decay 1.6 and rate 0.003 6.151.",
        f"Shares of members and n-grams: {shares}.",
        "Intervals of single runs, and all ratios, are over texts only: there is one set of members.",
        f"Of 2.8 MB, all the texts but for those to choose by, one run of {_tried([session.sized(LARGE, LARGE)])}, not "
        "tuned: more passes and decays were not tried, as each pass takes a minute of a quiet core.",
    ]


def _tried(tried: Sequence[Tried]) -> str:
    return ", or ".join(f"decay {decay:g}, {epochs} passes, rate {rate:g}" for decay, epochs, rate in tried)


def chosen(session: Session, asked: Sequence[Tried]) -> Tried:
    """Return the decay, the passes and the rate that are best on validation, by seed 0."""
    return min(asked, key=lambda one: one_run(session, one, 0)["valid"])


def one_run(session: Session, tried: Tried, seed: int) -> dict[str, Any]:
    """Train one run, and keep the best of its evaluations."""
    decay, epochs, rate = tried
    folder = Path(encoded(session)["folder"])
    found = trained(session, f"{decay:g}-{epochs}-{rate:g}-{seed}", folder / "train", validation=folder / "valid",
                    weight_decay=decay, epochs=float(epochs), learning_rate=rate, seed=seed, **_sizes())  # fmt: skip
    return found | {"valid": _valid(found)}


def counted(session: Session) -> dict[str, Any]:
    """Count the n-grams of the records."""
    folder = Path(encoded(session)["folder"])
    return trained(session, "n-grams", folder / "train", validation=folder / "valid", model="ngrams", context=CONTEXT)


def averaged(session: Session, runs: list[dict[str, Any]], of: str = "") -> dict[str, Any]:
    """Make one run of several, with the shares by which validation is likeliest."""
    held = Path(encoded(session)["folder"]) / "valid"

    def make(folder: Path) -> dict[str, Any]:
        from ult.trainer.average import average

        found = average([one["run"] for one in runs], folder / "run", validation=held)
        return {"shares": [weight / len(runs) for weight in found.weights]}

    settings = {"runs": [one["origin"] for one in runs], "validation": digest(manifest_of(held))}
    found = session.once(f"averaged/{of}{len(runs)}", settings, make)
    return found | {"run": str(Path(found["folder"]) / "run"), "origin": digest(Path(found["folder"]) / "done.json")}


def distilled(session: Session, whole: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """Train one run, from a member on, on what the whole finds likely, of the records and of what it wrote itself."""
    folder = Path(encoded(session)["folder"])
    shards = [folder / "train", Path(written(session, whole)["folder"]) / "shards"]
    steps = {**SMALL, "steps": session.sized(SMALL["steps"], 4)}
    return trained(session, "distilled", shards, validation=folder / "valid", teachers=[Path(whole["run"])],
                   start=Path(first["run"]), seed=100, context=CONTEXT, batch_size=BATCH, **steps)  # fmt: skip


def written(session: Session, whole: dict[str, Any]) -> dict[str, Any]:
    """Let members and n-grams write records together, as ids."""

    def make(folder: Path) -> dict[str, Any]:
        from ult.trainer.generate import generate, write_generated

        found = generate(whole["run"], n=session.sized(WRITTEN, 8), batch_size=64)
        write_generated(whole["run"], found, folder / "shards")
        return {"ids": sum(map(len, found))}

    return session.once("written", {"run": whole["origin"], "n": session.sized(WRITTEN, 8)}, make)


def _valid(found: dict[str, Any]) -> float:
    from ult.public.run import Run

    held = Run.open(found["run"]).metrics["validation"]
    return float(dict(map(tuple, held["bits"]))[held["best_step"]])


def _sizes() -> dict[str, Any]:
    return {"model": MODEL, "context": CONTEXT, "batch_size": BATCH}


@cache
def table_of(session: Session) -> ult.Table:
    """Return the table, fitted on the training text alone."""
    return ult.Table.fit(texts(session)["train"], vocabulary=ult.Vocabulary(SIZE), min_records=2)


@cache
def texts(session: Session) -> dict[str, list[str]]:
    """Return the texts of each part; `others`, as many as there are to train on, are of the test split too."""
    known, held = (labelled_texts(session, "abstracts", split)[0] for split in ("train", "test"))
    known, held = ([each[k] for k in np.random.default_rng(0).permutation(len(each))] for each in (known, held))
    ends = np.cumsum([len(text.encode()) for text in known])
    first, second = (int((ends <= most).sum()) for most in _bytes(session))
    tested = np.cumsum([len(text.encode()) for text in held])
    test = held[: int((tested <= session.sized(TEST, 10_000)).sum())]
    return {"train": known[:first], "valid": known[first:second], "test": test, "others": held[:first],
            "rest": known[second:]}  # fmt: skip


def _bytes(session: Session) -> tuple[int, int]:
    train = session.sized(TRAIN, 20_000)
    return train, train + session.sized(VALID, 5_000)


def encoded(session: Session) -> dict[str, Any]:
    """Write the shards of each part, with canaries among those to train on."""

    def make(folder: Path) -> dict[str, Any]:
        from ult.owner.canaries import canary_record, secret_digits

        table, parts = table_of(session), dict(texts(session))
        planted = [canary_record(table, name, digits) for name, digits in enumerate(secret_digits(table, CANARIES))]
        whole = [*parts["train"], *planted * REPEATS]
        parts["train"] = [whole[k] for k in np.random.default_rng(1).permutation(len(whole))]
        for name in ("train", "valid", "test"):
            with ShardWriter(folder / name, vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                             column="text") as writer:  # fmt: skip
                writer.write(table.encode_batch(parts[name]), sum(len(text.encode()) for text in parts[name]))
        return {}

    return session.once("shards", {"table": table_of(session).fingerprint, "bytes": _bytes(session)}, make)


def text_bits(session: Session, runs: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return the bits (records,) in which runs, averaged, tell each test text, its end included."""
    shards = Path(encoded(session)["folder"]) / "test"

    def make(folder: Path) -> dict[str, Any]:
        import torch

        from ult.trainer.datasets.blocks import Blocks
        from ult.trainer.datasets.collator import IGNORED
        from ult.trainer.datasets.packing import open_shards, pack
        from ult.trainer.loss import batches

        pack(open_shards(shards), folder / "packed")
        data = Blocks.open(folder / "packed", context=CONTEXT)
        bits = np.zeros(len(data.counts))
        for numbers, logits, labels in batches(_model(runs), data, 16):
            lost = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")
            told = (lost[labels != IGNORED] / np.log(2)).double().numpy()
            np.add.at(bits, np.concatenate([data.records(k) for k in numbers]), told)
        return {"bits": bits.tolist()}

    settings = {"shards": digest(manifest_of(shards)), "runs": [one["origin"] for one in runs]}
    return np.array(session.once(f"bits/{_name(runs)}", settings, make)["bits"])


def leaks(session: Session, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Attack runs, averaged: which records they were trained on, and which digits their canaries had."""

    def make(_: Path) -> dict[str, Any]:
        from ult.audit.model import membership
        from ult.audit.model.exposure import exposure
        from ult.audit.model.predicted import predict_ids
        from ult.public.run import Run

        table, parts, model = table_of(session), texts(session), _model(runs)
        half, run = _attacked(session), Run.open(runs[0]["run"])
        both = [*parts["train"][:half], *parts["others"][:half]]
        of = predict_ids(run, table.encode_batch(both), modality="text", model=model)
        scores = {
            "loss": membership.loss(of),
            "min-k": membership.min_k(of),
            "min-k++": membership.min_k_plus(of),
            "zlib": membership.zlib_ratio(of, [text.encode() for text in both]),
        }
        right = np.arange(len(both)) < half
        areas = {name: auroc(right, scores[name]) for name in ATTACKS}
        best = scores[max(areas, key=areas.__getitem__)]
        exposed = exposure(run, table, CANARIES, alternatives=_alternatives(session), model=model)
        return {"auc": areas, "exposure": exposed["interpolated"],
                "scores": {"members": best[:half].tolist(), "others": best[half:].tolist()}}  # fmt: skip

    settings = {"runs": [one["origin"] for one in runs], "alternatives": _alternatives(session)}
    return session.once(f"leaks/{_name(runs)}", settings, make)


def _model(runs: list[dict[str, Any]]) -> Any:
    from ult.public.run import Run
    from ult.trainer.models.together import together

    return together([Run.open(one["run"]) for one in runs])


def _name(runs: list[dict[str, Any]]) -> str:
    first = Path(runs[0]["run"]).parent.name
    return first if len(runs) == 1 else f"{first}-and-{len(runs) - 1}"


def _members(session: Session) -> int:
    return int(session.sized(MEMBERS, 2))


def _attacked(session: Session) -> int:
    return min(100, len(texts(session)["train"]))


def _alternatives(session: Session) -> int:
    return int(session.sized(ALTERNATIVES, 20))


if __name__ == "__main__":
    main()
