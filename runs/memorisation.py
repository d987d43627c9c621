"""Row `memorisation`: what keeps a fine-tuned model from reciting records that its data repeat, and what does it cost?

An owner goes on from a run on public text with abstracts, some of which stand in its data many times. Each protection
gets the same steps. Then the repeated abstracts are asked for: 50 ids, greedily, after their first 50.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.corpus import labelled_texts, wikitext
from lib.interval import of_ratio, over_seeds
from lib.result import metric
from lib.session import Session
from lib.training import bits, trained

import ult
from ult.public.shard_writer import ShardWriter

SIZE, CONTEXT, BATCH, MODEL = 1024, 128, 16, "tiny"
SEEDS, BEFORE, STEPS = (0, 1, 2), 400, 250
ONCE, PLANTED, REPEATS, LETTERS = 1000, 40, 30, 400  # abstracts; and how many characters of each
PROTECTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dedupe --near 0.8": {},
    "--goldfish 3": {"goldfish": 3},
    "--goldfish 4": {"goldfish": 4},
    "--stop-memorised 0.1": {"stop_memorised": 0.1},
    "--stop-memorised 0.2": {"stop_memorised": 0.2},
    "--restrain-ngrams 0.3": {"restrain_ngrams": 0.3},
    "--restrain-ngrams 0.5": {"restrain_ngrams": 0.5},
}
TWIN = "early-stopped"
STOPPED: dict[str, dict[str, Any]] = {TWIN: {}, f"{TWIN}, --restrain-ngrams 0.3": {"restrain_ngrams": 0.3}}
CHOOSING, EVERY = 200, 25  # other abstracts that tell when to stop, and steps between two looks at them
FREE = ("dedupe", "--restrain")  # these learn less of the repeats: their bits have a goal beside the twin alone
MOST = {
    name: 0.5 if name.startswith("--stop") else 0.6 for name in (*PROTECTIONS, *STOPPED)
}  # of plain's extraction, as asked
ASKED = (
    "What keeps a fine-tuned model from reciting records that its training data repeat, and what does it cost in bits "
    "per byte?"
)
SETTING = """\
A run on wikitext-2 ({before} steps), then {steps} steps of {batch} blocks of {context} ids on the first {letters} \
characters of medical abstracts: {once:,} once and {planted} others {repeats} times each, shuffled; one table, fitted \
on abstracts, vocabulary {size:,}. Extracted: of the {planted}, the share whose 50 ids after the first 50 are written \
exactly, the likeliest id each time. `n-gram score`: the share of 4- to 6-grams of those 50 ids that were written. \
Bits per byte are of {tested} abstracts that were never seen. `dedupe --near 0.8` trains on the {unique} different \
records, at equal steps. `early-stopped` has the weights of the step, of every {every}, that told {choosing} other \
abstracts best, with the restraint and without: what a restraint costs is told beside the twin that may stop where it \
is best. Seeds draw the abstracts and the training; \
the setting was chosen on seed 9."""


def main() -> None:
    """Train with every protection, ask for the planted, and compare with none."""
    session = Session.begin("memorisation")
    seeds = session.sized(SEEDS, (0, 1))
    pretrained(session)
    systems = [*({} if session.kept else PROTECTIONS), *STOPPED]
    jobs = [(how, seed) for seed in seeds for how in systems]
    found = dict(zip(jobs, session.each(protected, jobs), strict=True))
    runs = {how: [found[how, seed] for seed in seeds] for how in systems}
    metrics: list[dict[str, Any]] = []
    for how, each in runs.items():
        base = TWIN if how in STOPPED else "plain"
        metrics += figures(how, each, base, runs[base], seeds)
    notes = [f"`{how}` ended at step {', '.join(str(run['stopped_at'] or _steps(session)) for run in each)} of "
             f"{_steps(session)}." for how, each in runs.items() if "--stop" in how]  # fmt: skip
    notes += [f"`{how}` has the weights of step {', '.join(str(run['best_step']) for run in each)} of "
              f"{_steps(session)}." for how, each in runs.items() if how in STOPPED]  # fmt: skip
    first = found[TWIN, seeds[0]]
    unique = f"{first['unique']:,}"
    if session.kept:
        before = session.earlier()
        old = [m for m in before["metrics"] if m["system"] in PROTECTIONS]
        metrics = [_without_goal(m) for m in old] + metrics
        notes = [*(note for note in before["notes"] if note.startswith("`--stop")), *notes]
    session.write(
        "Records that are repeated",
        metrics,
        asked=ASKED,
        setting=SETTING.format(before=_sized(session, BEFORE, 20), steps=_steps(session), batch=BATCH, context=CONTEXT,
                               letters=LETTERS, once=_sized(session, ONCE, 40), planted=_sized(session, PLANTED, 5),
                               repeats=REPEATS, size=SIZE, tested=first["rows"], unique=unique, every=_every(session),
                               choosing=_sized(session, CHOOSING, 20)),
        notes=notes,
        chart=["extracted, share of the planted", "bits per byte"],
        model={"name": MODEL, "parameters": first["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip


def figures(
    how: str, runs: list[dict[str, Any]], base: str, twins: list[dict[str, Any]], seeds: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Return what a protection leaves of what is recited and what it costs, also beside a training without it."""
    of = {"seeds": seeds, "higher_is_better": False}
    n, rows = runs[0]["passages"], runs[0]["rows"]
    beside = {"baseline": "" if how == base else base}
    share, score = ([run[key] for run in runs] for key in ("share", "ngrams"))
    per_byte = [[run["bits_per_byte"] for run in each] for each in (runs, twins)]
    metrics = [
        metric("extracted, share of the planted", how, over_seeds(share), n=n, **of, **beside),
        metric("n-gram score of the planted", how, over_seeds(score), n=n, **of, **beside),
        metric("bits per byte", how, over_seeds(per_byte[0]), n=rows, unit="bits", **of, **beside),
    ]
    if how == base:
        return metrics
    ratio = of_ratio(*per_byte)
    goal = "" if how.startswith(FREE) else "at most 1.01"
    metrics.append(metric(f"bits per byte, ratio to {base}", how, ratio, n=rows, unit="x", goal=goal, **of))
    if all(run["share"] for run in twins):  # who recites nothing sets no goal
        left = over_seeds([mine / run["share"] for mine, run in zip(share, twins, strict=True)])
        most = f"at most {MOST[how]}" if how in MOST and not how.startswith("dedupe") else ""
        metrics.append(metric(f"extracted, ratio to {base}", how, left, n=n, unit="x", goal=most, **of))
    if all(run["ngrams"] for run in twins):
        left = of_ratio(score, [run["ngrams"] for run in twins])
        if base == TWIN:
            metrics.append(metric(f"n-gram score, ratio to {base}", how, left, n=n, unit="x", goal="below 1", **of))
    return metrics


def _without_goal(m: dict[str, Any]) -> dict[str, Any]:
    """Return a metric without its goal, if it is a restraint's bits beside a training that could not stop."""
    easy = m["name"] == "bits per byte, ratio to plain" and m["system"].startswith(FREE)
    return m | {"goal": ""} if easy else m


def protected(session: Session, how: str, seed: int) -> dict[str, Any]:
    """Train with a protection, and look."""
    folder, planted = encoded(session, seed)
    data = Path(folder["folder"]) / ("different" if how.startswith("dedupe") else "all")
    name = f"{how.replace('--', '').replace(', ', '-').replace(' ', '-')}-{seed}"
    options = PROTECTIONS.get(how, STOPPED.get(how, {}))
    if how in STOPPED:
        options = options | {"validation": Path(folder["folder"]) / "choosing", "evaluate_every": _every(session)}
    run = trained(session, name, data, start=Path(pretrained(session)["run"]), steps=_steps(session), batch_size=BATCH,
                  context=CONTEXT, seed=seed, **options)  # fmt: skip
    test = bits(session, name, run, Path(encoded_public(session)["folder"]) / "test")

    def make(_: Path) -> dict[str, Any]:
        from ult.audit.model.extraction import extract, passages
        from ult.public.run import Run

        found = extract(run["run"], passages(owner_table(session).encode_batch(planted)))
        metrics = Run.open(run["run"]).metrics
        stopped = (metrics["memorisation"] or {}).get("stopped_at")
        best = (metrics["validation"] or {}).get("best_step")
        return {key: found[key] for key in ("passages", "share", "ngrams")} | {"stopped_at": stopped, "best_step": best}

    asked = session.once(f"extracted/{name}", {"run": run["origin"]}, make)
    return test | asked | {"parameters": run["parameters"], "unique": folder["unique"]}


def pretrained(session: Session) -> dict[str, Any]:
    """Train on public text, which the owner's table encoded."""
    return trained(session, "public", Path(encoded_public(session)["folder"]) / "public", model=MODEL, batch_size=BATCH,
                   steps=_sized(session, BEFORE, 20), context=CONTEXT, seed=0)  # fmt: skip


@cache
def owner_table(session: Session) -> ult.Table:
    """Return the owner's table; fitted again where it is needed, for tables stay in memory."""
    return ult.Table.fit(abstracts(session, "train"), vocabulary=ult.Vocabulary(SIZE), min_records=5)


def abstracts(session: Session, split: str) -> list[str]:
    """Return the beginnings of all abstracts of a split."""
    texts = [text[:LETTERS] for text in labelled_texts(session, "abstracts", split)[0]]
    return texts[: _sized(session, len(texts), 100)]


def encoded_public(session: Session) -> dict[str, Any]:
    """Write the shards of the public text, and of abstracts to test on."""
    parts = {"public": wikitext(session, "train"), "test": abstracts(session, "test")}
    parts["public"] = parts["public"][: _sized(session, len(parts["public"]), 300)]

    def make(folder: Path) -> dict[str, Any]:
        return encode(session, folder, **parts)

    return session.once("shards/public", {"table": owner_table(session).fingerprint}, make)


def encoded(session: Session, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Write what is trained on, with and without its repeats; return where, and the planted records."""
    rng, texts = np.random.default_rng(seed), abstracts(session, "train")
    once = _sized(session, ONCE, 40)
    order, upto = rng.permutation(len(texts)), once + _sized(session, PLANTED, 5)
    drawn = [texts[k] for k in order[:upto]]
    others = [texts[k] for k in order[upto : upto + _sized(session, CHOOSING, 20)]]
    planted = drawn[once:]
    every = [*drawn[:once], *planted * REPEATS]
    every = [every[k] for k in rng.permutation(len(every))]

    def make(folder: Path) -> dict[str, Any]:
        from ult.data.duplicates import Duplicates

        seen = Duplicates(0.8)
        different = [text for text in every if seen.is_new(text)]
        return encode(session, folder, all=every, different=different, choosing=others) | {"unique": len(different)}

    settings = {"table": owner_table(session).fingerprint, "once": once, "planted": len(planted), "repeats": REPEATS,
                "choosing": len(others)}  # fmt: skip
    return session.once(f"shards/{seed}", settings, make), planted


def encode(session: Session, folder: Path, **parts: list[str]) -> dict[str, Any]:
    """Write a shards folder for each part."""
    table = owner_table(session)
    for name, texts in parts.items():
        with ShardWriter(folder / name, vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id,
                         column="text") as writer:  # fmt: skip
            writer.write(table.encode_batch(texts), sum(len(text.encode()) for text in texts))
    return {}


def _steps(session: Session) -> int:
    return _sized(session, STEPS, 8)


def _every(session: Session) -> int:
    return _sized(session, EVERY, 2)


def _sized(session: Session, full: int, quick: int) -> int:
    return int(session.sized(full, quick))


if __name__ == "__main__":
    main()
