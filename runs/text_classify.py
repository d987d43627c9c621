"""Row `text-classify`: are ids as good as raw tokens to tell texts apart, and does pre-training on other text help?"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import BytePairs, Encoder, Ours, write
from lib.corpus import labelled_texts, wikitext
from lib.interval import over_both
from lib.result import metric
from lib.session import Session
from lib.training import predictions, trained
from numpy.typing import NDArray

SETS = ("abstracts", "sections")
SYSTEMS = ("ult", "ult, aligned", "ult, own texts alone", "ult, scratch", "raw", "raw, scratch")
PAIRS = (("ult", "ult, scratch"), ("ult, aligned", "ult, scratch"), ("ult, own texts alone", "ult, scratch"),
         ("ult", "ult, own texts alone"), ("raw", "raw, scratch"), ("ult", "raw"), ("ult, aligned", "raw"),
         ("ult, scratch", "raw, scratch"))  # fmt: skip
SIZE, CONTEXT, BATCH, LEAST = 2048, 256, 16, 100  # a class of fewer records is left out
PRETRAINING, OWN, STEPS, RATE = 1000, 200, 160, 1e-3
ASKED = (
    "Are ids as good as raw tokens to tell medical texts apart, and does training on wikitext-2 before help, though "
    "the owner of the medical text has a table of its own?"
)
SETTING = """\
Medical abstracts (5 diseases) and sections of abstracts (those headings that {least} training texts have); the rest \
of the sections is left out. `ult` starts from a run on wikitext-2 ({pretraining} steps) with embedding rows drawn \
afresh, for the medical text has a table of its own, goes on as a language model of the owner's training texts ({own} \
steps), and then learns their labels ({steps} steps); `ult, aligned` the same with rows aligned by phrase (`ult \
align`, whoever holds both tables); `raw` the same with a byte-level BPE of wikitext-2, whose rows it keeps; \
`own texts alone` is a language model of the owner's texts first, without wikitext-2; `scratch` learns the labels \
from random weights, with a table or BPE of the medical text. All have 2,048 ids; language models have one seed. \
Texts are cut at {context} ids. Accuracy on the test texts; seeds and texts are drawn anew together for the interval."""


def main() -> None:
    """Pre-train, fine-tune, and compare."""
    session = Session.begin("text-classify")
    seeds = session.sized((0, 1, 2), (0, 1))
    session.each(pretrain, [("ult",), ("raw",)])
    session.each(further, [(of, system) for of in SETS for system in SYSTEMS if "scratch" not in system])
    jobs = [(of, system, seed) for seed in seeds for of in SETS for system in SYSTEMS]
    hits = dict(zip(jobs, session.each(classify, jobs), strict=True))
    metrics, truncated = [], {}
    for of in SETS:
        asked = len(labelled_texts(session, f"{of}", "test")[0])
        right = {s: np.array([hits[of, s, seed]["hits"] for seed in seeds], float) for s in SYSTEMS}
        common = {"n": right["ult"].shape[1], "n_asked": session.sized(asked, right["ult"].shape[1]), "seeds": seeds,
                  "higher_is_better": True}  # fmt: skip
        scores = {s: over_both(right[s]) for s in SYSTEMS}
        for s in SYSTEMS:
            goal = f"at least {scores['raw']['low']:.4f}" if s == "ult" else ""
            metrics.append(metric(f"{of}: accuracy", s, scores[s], baseline="raw" if goal else "", goal=goal, **common))
        for a, b in PAIRS:
            goal = "above 0" if (a, b) == PAIRS[0] else ""
            gain = over_both(right[a] - right[b])
            metrics.append(metric(f"{of}: accuracy, less that of {b}", a, gain, baseline=b, goal=goal, **common))
        truncated[of] = hits[of, "ult", seeds[0]]["truncated"]
    sample = hits[SETS[0], "ult", seeds[0]]
    session.write(
        "Text classification",
        metrics,
        asked=ASKED,
        setting=SETTING.format(least=LEAST, pretraining=session.sized(PRETRAINING, 10), context=CONTEXT,
                               own=session.sized(OWN, 10), steps=session.sized(STEPS, 10)),
        notes=[f"Of the training texts, {truncated['abstracts']} abstracts and {truncated['sections']} sections are "
               "longer than the context, and cut.", _majority(session),
               "Steps on the owner's texts and the rate were chosen on a fifth of the training abstracts, held out, "
               "after the test texts had been seen without those steps (dev/log.md)."],
        chart=[f"{of}: accuracy" for of in SETS],
        model={"name": session.model, "parameters": sample["parameters"], "context": CONTEXT, "batch": BATCH,
               "learning rate": RATE},
    )  # fmt: skip


def pretrain(session: Session, system: str) -> dict[str, Any]:
    """Train on wikitext-2 under its own table or tokenizer."""
    texts = wikitext(session, "train")[: session.sized(None, 300)]
    shards = _shards(session, f"wikitext-{system}", _encoder(system, texts), texts)
    sizes = {"steps": session.sized(PRETRAINING, 10), "batch_size": BATCH // 2, "context": CONTEXT, "seed": 0}
    return trained(session, f"wikitext-{system}", shards, model=session.model, **sizes)


def further(session: Session, of: str, system: str) -> dict[str, Any]:
    """Train a language model of a set's training texts, from wikitext-2's or from nothing."""
    family, _, rest = system.partition(", ")
    folder = _coded(session, of, system, "train")
    if rest == "own texts alone":
        start = None
    else:
        start = aligned(session, of) if rest == "aligned" else Path(pretrain(session, family)["run"])
    rows = None if start is None else "fresh" if system == "ult" else "keep"
    return trained(session, f"further-{of}-{_plain(system)}", folder, start=start, model=session.model if not start
                   else None, embeddings=rows, steps=session.sized(OWN, 10), batch_size=BATCH // 2, context=CONTEXT,
                   seed=0)  # fmt: skip


def classify(session: Session, of: str, system: str, seed: int) -> dict[str, Any]:
    """Train a classifier; return which of the texts to test on it gets right, and what else."""
    folders = {split: _coded(session, of, system, split) for split in ("train", "test")}
    start = None if "scratch" in system else Path(further(session, of, system)["run"])
    name = f"{of}-{_plain(system)}-{seed}"
    run = trained(session, name, folders["train"], start=start, model=None if start else session.model,
                  task="classify", embeddings="keep" if start else None, steps=session.sized(STEPS, 10),
                  batch_size=BATCH, context=CONTEXT, seed=seed, learning_rate=RATE)  # fmt: skip
    logits = predictions(session, name, run, folders["test"])
    classes = np.array(sorted(set(known(session, of, "train")[1])))
    hits: NDArray[np.bool_] = classes[logits.argmax(1)] == np.array(known(session, of, "test")[1])
    return {"hits": hits.tolist(), "truncated": run["truncated"], "parameters": run["parameters"]}


def _coded(session: Session, of: str, system: str, split: str) -> Path:
    """Write the shards of a set's texts and labels, in the code that a system has."""
    public = wikitext(session, "train")[: session.sized(None, 300)]
    code = _encoder(system.partition(", ")[0], public if system == "raw" else known(session, of, "train")[0])
    return _shards(session, f"{of}-{_plain(system)}-{split}", code, *known(session, of, split))


def aligned(session: Session, of: str) -> Path:
    """Return the run on wikitext-2 with its rows aligned to the table of a set's texts."""
    from ult.owner.handover.align import align

    before = pretrain(session, "ult")
    public, mine = wikitext(session, "train")[: session.sized(None, 300)], known(session, of, "train")[0]

    def make(folder: Path) -> dict[str, Any]:
        return align(before["run"], Ours(public, SIZE).table, Ours(mine, SIZE).table, folder / "run")

    return Path(session.once(f"starts/{of}-aligned", {"from": before["origin"]}, make)["folder"]) / "run"


def known(session: Session, of: str, split: str) -> tuple[list[str], list[str]]:
    """Return the texts of the classes that are common enough, and their labels."""
    texts, labels = labelled_texts(session, of, split)
    counts = Counter(labelled_texts(session, of, "train")[1])
    pairs = [(text, label) for text, label in zip(texts, labels, strict=True) if counts[label] >= LEAST]
    pairs = pairs[: session.sized(None, 120)]
    return [text for text, _ in pairs], [label for _, label in pairs]


def _encoder(family: str, texts: list[str]) -> Encoder:
    return Ours(texts, SIZE) if family == "ult" else BytePairs(texts, SIZE)


def _shards(session: Session, name: str, code: Encoder, texts: list[str], labels: list[str] | None = None) -> Path:
    held = hashlib.sha256(repr((texts, labels)).encode()).hexdigest()[:16]

    def make(folder: Path) -> dict[str, Any]:
        write(folder / "shards", code, texts, labels)
        return {}

    return Path(session.once(f"shards/{name}", {"texts": held, "size": SIZE}, make)["folder"]) / "shards"


def _plain(system: str) -> str:
    return system.replace(", ", "-").replace(" ", "-")


def _majority(session: Session) -> str:
    shares = []
    for of in SETS:
        counts = Counter(known(session, of, "test")[1])
        shares.append(f"{max(counts.values()) / counts.total():.3f} of {len(counts)} classes ({of})")
    return f"Always naming the largest class is right for {' and '.join(shares)}."


if __name__ == "__main__":
    main()
