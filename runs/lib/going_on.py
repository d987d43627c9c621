"""Going on with next ids of a second month: what is forgotten of the first, by schedule and replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.interval import BOTH, RESAMPLES, over_both
from lib.months import months, shards, tables
from lib.result import metric
from lib.session import Session, digest
from lib.training import row_bits, trained

SIZE, CONTEXT, BATCH = 1024, 128, 8
STEPS, MORE, ANNEAL = 120, 60, 20
RATES = (3e-3, 1e-3)  # of the second month, of which validation chooses
RESTART, REPLAYED, INFINITE, NEW = "cosine restarts", "cosine restarts, replay", "infinite", "infinite, replay"
WAYS = (RESTART, REPLAYED, INFINITE, NEW)


def going_on(session: Session, seeds: tuple[int, ...]) -> tuple[list[dict[str, Any]], list[str], int]:
    """Return what each way forgets and learns, what was chosen, and how many parameters a run has."""
    valid = {
        rate: float(np.mean([_bits(session, RESTART, rate, s, "valid").sum() for s in seeds[:1]])) for rate in RATES
    }
    rate = min(RATES, key=valid.__getitem__)
    texts = months(session, "wards")
    of = {name: np.array([len(text.encode()) for text in getattr(texts, f"{name}_test")]) for name in ("old", "new")}
    before = np.stack([row_bits(session, f"first-{s}", first(session, "cosine", s), part(session, "old_test"))
                       for s in seeds])  # fmt: skip
    bits = {(way, name): np.stack([_bits(session, way, rate, s, f"{name}_test") for s in seeds])
            for way in WAYS for name in of}  # fmt: skip
    found: list[dict[str, Any]] = []
    common = {"seeds": seeds, "higher_is_better": False}
    scale = {name: len(size) / size.sum() for name, size in of.items()}  # from a mean over texts to bits a byte
    forgotten = {way: (bits[way, "old"] - before) * scale["old"] for way in WAYS}
    for way in WAYS:
        found.append(metric("bits a byte of the first month forgotten", way, over_both(forgotten[way]),
                            n=len(of["old"]), unit="bits", **common))  # fmt: skip
        found.append(metric("bits a byte of the second month", way, over_both(bits[way, "new"] * scale["new"]),
                            n=len(of["new"]), unit="bits", **common))  # fmt: skip
    for way in WAYS[1:]:
        mine = way == NEW
        found.append(metric("forgetting, ratio to cosine restarts", way, ratio(forgotten[way], forgotten[RESTART]),
                            n=len(of["old"]), unit="x", goal="at most 0.5" if mine else "", **common))  # fmt: skip
        found.append(metric("bits a byte of the second month, ratio to cosine restarts", way,
                            ratio(bits[way, "new"], bits[RESTART, "new"]), n=len(of["new"]), unit="x",
                            goal="at most 1.01" if mine else "", **common))  # fmt: skip
    said = ", ".join(f"{one:g}: {total:,.0f}" for one, total in valid.items())
    notes = [f"Next ids: the rate of the second month is {rate:g}, by the bits of validation texts (seed 0: {said})."]
    return found, notes, first(session, "cosine", seeds[0])["parameters"]


def ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, Any]:
    """Return the ratio of sums of values (seeds, texts), with seeds and texts drawn anew at once."""
    rng, (seeds, texts) = np.random.default_rng(0), ours.shape
    drawn = []
    for _ in range(RESAMPLES):
        k = np.ix_(rng.integers(0, seeds, size=(seeds,)), rng.integers(0, texts, size=(texts,)))
        drawn.append(ours[k].sum() / theirs[k].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(ours.sum() / theirs.sum())
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high)), "interval": BOTH}


def part(session: Session, name: str) -> Path:
    """Return the shards of a part of `wards` by the updated table, which runs of both months have."""
    texts = getattr(months(session, "wards"), name)
    return shards(session, f"wards-{name}", tables(session, "wards", SIZE)["updated"], texts)


def first(session: Session, schedule: str, seed: int) -> dict[str, Any]:
    """Train a run of the first month."""
    return trained(session, f"first-{schedule}-{seed}", part(session, "old"), seed=seed, schedule=schedule,
                   steps=int(session.sized(STEPS, 6)), context=CONTEXT, batch_size=BATCH)  # fmt: skip


def _second(session: Session, way: str, rate: float, seed: int) -> dict[str, Any]:
    schedule = "infinite" if way in (INFINITE, NEW) else "cosine"
    more: dict[str, Any] = {"replay": f"{part(session, 'old')}:0.1"} if way in (REPLAYED, NEW) else {}
    more |= {"anneal": int(session.sized(ANNEAL, 2))} if schedule == "infinite" else {}
    peak = {"learning_rate": rate} if schedule == "cosine" else {}  # the other goes on at the rate that it has
    start = Path(first(session, schedule, seed)["run"])
    name = f"second-{way.replace(', ', '-').replace(' ', '-')}-{rate:g}-{seed}"
    return trained(session, name, part(session, "new"), start=start, seed=seed, schedule=schedule,
                   steps=int(session.sized(MORE, 6)), context=CONTEXT, batch_size=BATCH, **peak, **more)  # fmt: skip


def _bits(session: Session, way: str, rate: float, seed: int, name: str) -> NDArray[np.float64]:
    run = _second(session, way, rate, seed)
    label = digest(Path(run["folder"]) / "done.json")
    return row_bits(session, f"{label}-{name}", run, part(session, name))
