"""Row `text-classify`: are ids as good as raw tokens to tell texts apart, and does pre-training on other text help?"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from baselines import BytePairs, Encoder, Ours, write
from corpus import labelled_texts, wikitext
from interval import over_both
from numpy.typing import NDArray
from result import metric
from session import Session
from training import predictions, trained

SETS = ("abstracts", "sections")
SYSTEMS = ("ult", "ult, aligned", "ult, public table", "ult, scratch", "raw", "raw, scratch")
PAIRS = (("ult", "ult, scratch"), ("ult, aligned", "ult, scratch"), ("ult, public table", "ult, scratch"),
         ("raw", "raw, scratch"), ("ult", "raw"), ("ult, aligned", "raw"),
         ("ult, scratch", "raw, scratch"))  # fmt: skip
SIZE, CONTEXT, BATCH, LEAST = 2048, 256, 16, 100  # a class of fewer records is left out
PRETRAINING, STEPS, RATES, FOLDS = 1000, 160, (1e-3, 3e-3), 5
ASKED = (
    "Are ids as good as raw tokens to tell medical texts apart, and does training on wikitext-2 before help, though "
    "the owner of the medical text has a table of its own?"
)
SETTING = """\
Medical abstracts (5 diseases) and sections of abstracts (those headings that {least} training texts have); the rest \
of the sections is left out. `ult` starts from a run on wikitext-2 with embedding rows drawn afresh, for the medical \
text has a table of its own; `ult, aligned` with rows aligned by phrase (`ult align`, whoever holds both tables); \
`ult, public table` encodes it with wikitext-2's table and keeps the rows; `raw` does \
the same with a byte-level BPE of wikitext-2; `scratch` starts from random weights, with a table or BPE of the \
medical text. All have 2,048 ids, {pretraining} steps of pre-training (one seed), {steps} of training on the labels. \
Of the rates {rates} each system has the one that is better on a fifth of the training texts, held out (seed 0). \
Texts are cut at {context} ids. Accuracy on the test texts; seeds and texts are drawn anew together for the interval."""


def main() -> None:
    """Pre-train, fine-tune, and compare."""
    session = Session.begin("text-classify")
    seeds = session.sized((0, 1, 2), (0, 1))
    session.each(pretrain, [("ult",), ("raw",)])
    tries = [(of, system, 0, rate, True) for rate in RATES for of in SETS for system in SYSTEMS]
    tried = dict(zip(tries, session.each(classify, tries), strict=True))
    best = {(of, system): max(RATES, key=lambda rate: np.mean(tried[of, system, 0, rate, True]["hits"]))
            for of in SETS for system in SYSTEMS}  # fmt: skip
    jobs = [(of, system, seed, best[of, system]) for seed in seeds for of in SETS for system in SYSTEMS]
    found = session.each(classify, jobs)
    hits = {(of, system, seed): one for (of, system, seed, _), one in zip(jobs, found, strict=True)}
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
                               steps=session.sized(STEPS, 10), rates=" and ".join(f"{rate:g}" for rate in RATES)),
        notes=[f"Of the training texts, {truncated['abstracts']} abstracts and {truncated['sections']} sections are "
               "longer than the context, and cut.", _majority(session),
               *(f"Rates chosen for {of}: {', '.join(f'{s} {best[of, s]:g}' for s in SYSTEMS)}." for of in SETS)],
        chart=[f"{of}: accuracy" for of in SETS],
        model={"name": session.model, "parameters": sample["parameters"], "context": CONTEXT, "batch": BATCH},
    )  # fmt: skip


def pretrain(session: Session, system: str) -> dict[str, Any]:
    """Train on wikitext-2 under its own table or tokenizer."""
    texts = wikitext(session, "train")[: session.sized(None, 300)]
    shards = _shards(session, f"wikitext-{system}", _encoder(system, texts), texts)
    sizes = {"steps": session.sized(PRETRAINING, 10), "batch_size": BATCH // 2, "context": CONTEXT, "seed": 0}
    return trained(session, f"wikitext-{system}", shards, model=session.model, **sizes)


def classify(session: Session, of: str, system: str, seed: int, rate: float, held_out: bool = False) -> dict[str, Any]:
    """Train a classifier; return which texts it gets right, of the test or `held_out` of training, and what else."""
    parts = {split: known(session, of, split, held_out) for split in ("train", "test")}
    family, _, rest = system.partition(", ")
    public = wikitext(session, "train")[: session.sized(None, 300)]
    own = system in ("ult", "ult, aligned", "ult, scratch", "raw, scratch")
    code = _encoder(family, parts["train"][0] if own else public)
    coded = f"{of}{'-held-out' if held_out else ''}-{system.replace(', ', '-').replace(' ', '-')}"
    name = f"{coded}-{rate:g}-{seed}"
    folders = {split: _shards(session, f"{name}-{split}", code, *parts[split]) for split in parts}
    start = None
    if rest != "scratch":
        start = aligned(session, of, held_out) if rest == "aligned" else Path(pretrain(session, family)["run"])
    model = session.model if start is None else None
    sizes = {"steps": session.sized(STEPS, 10), "batch_size": BATCH, "context": CONTEXT, "seed": seed,
             "learning_rate": rate}  # fmt: skip
    rows = None if start is None else "fresh" if system == "ult" else "keep"
    run = trained(session, name, folders["train"], start=start, model=model, task="classify", embeddings=rows, **sizes)
    logits = predictions(session, name, run, folders["test"])
    classes = np.array(sorted(set(parts["train"][1])))
    hits: NDArray[np.bool_] = classes[logits.argmax(1)] == np.array(parts["test"][1])
    return {"hits": hits.tolist(), "truncated": run["truncated"], "parameters": run["parameters"]}


def aligned(session: Session, of: str, held_out: bool) -> Path:
    """Return the run on wikitext-2 with its rows aligned to the table of a set's texts."""
    from ult.align import align

    before = pretrain(session, "ult")
    public, mine = wikitext(session, "train")[: session.sized(None, 300)], known(session, of, "train", held_out)[0]

    def make(folder: Path) -> dict[str, Any]:
        return align(before["run"], Ours(public, SIZE).table, Ours(mine, SIZE).table, folder / "run")

    name = f"starts/{of}{'-held-out' if held_out else ''}-aligned"
    return Path(session.once(name, {"from": before["origin"]}, make)["folder"]) / "run"


def known(session: Session, of: str, split: str, held_out: bool = False) -> tuple[list[str], list[str]]:
    """Return the texts of the classes that are common enough, and their labels.

    With `held_out` the test is one in `FOLDS` of the training texts, and training has the others.
    """
    texts, labels = labelled_texts(session, of, "train" if held_out else split)
    counts = Counter(labelled_texts(session, of, "train")[1])
    pairs = [(text, label) for text, label in zip(texts, labels, strict=True) if counts[label] >= LEAST]
    if held_out:
        pairs = [pair for k, pair in enumerate(pairs) if (k % FOLDS == 0) == (split == "test")]
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


def _majority(session: Session) -> str:
    shares = []
    for of in SETS:
        counts = Counter(known(session, of, "test")[1])
        shares.append(f"{max(counts.values()) / counts.total():.3f} of {len(counts)} classes ({of})")
    return f"Always naming the largest class is right for {' and '.join(shares)}."


if __name__ == "__main__":
    main()
