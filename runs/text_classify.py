"""Row `text-classify`: do ids tell texts apart as well as words do, and better with a body that knows the language?"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import BytePairs, Encoder, Ours, write
from lib.corpus import labelled_texts
from lib.folds import STRENGTHS, Told, bags, blended, dense, folds, hits, share_of, tuned
from lib.interval import counted, over_both
from lib.result import metric
from lib.session import Session
from lib.training import predictions, trained

SETS, WITH_BODY = ("abstracts", "sections"), ("abstracts",)
LINEAR = ("words", "raw, bag of tokens", "ult, bag of ids")
BAG, TRANSFORMER = "ult, train --model bag", "ult, transformer"
BODY = "public body"
BODIES = (f"ult, {BODY}", f"raw, {BODY}")
MIXED = {  # bags first
    "ult, bag and transformer": ("ult, bag of ids", TRANSFORMER),
    "ult, bag and public body": (BAG, BODIES[0]),
    "raw, words and public body": ("words", BODIES[1]),
}
CHOSEN = {
    "ult": ("ult, bag of ids", BAG, TRANSFORMER, "ult, bag and transformer"),
    "raw": ("words", "raw, bag of tokens"),
    "ult, with public body": (BODIES[0], "ult, bag and public body"),
    "raw, with public body": (BODIES[1], "raw, words and public body"),
}
PAIRS = (
    ("ult", "words", "at least 0"), ("ult", "raw", "at least 0"), (BAG, "words", ""),
    ("ult, with public body", "words", "above 0"), ("ult, with public body", BAG, ""),
    ("ult, with public body", "raw, with public body", ""),
)  # fmt: skip
CHANCE = "the largest class"
SIZES, BODY_SIZE, LEAST = (2048, 8192), 8192, 100  # a class of fewer records is left out
CONTEXT, BATCH, STEPS, LONGEST = 192, 16, 120, 4096
OPTIONS = {"pool": "mean", "attention": "full", "dropout": 0.2, "weight_decay": "auto", "learning_rate": 3e-3}
DEPTHS, CUT = (0, 2), 192  # layers after which a body is read, and ids of a text that it sees
WAYS, BODY_STRENGTHS = ("all ids alike", "rare ids first"), (0.3, 1.0, 3.0)
ASKED = (
    "Do ids tell medical texts apart as well as words do, and better with a public body that learns nothing but rows?"
)
SETTING = """\
Medical abstracts (5 diseases) and sections of abstracts (those headings that {least} training texts have; the rest \
of the sections is left out). All choices are by accuracy on folds of the training texts. `words` is logistic \
regression on TF-IDF of words, `ult, bag of ids` the same on ids (`text/bytes`, a table of the training texts, \
vocabulary 2,048 or 8,192), `raw, bag of tokens` on a byte-level BPE of as many: each with the better of single ones \
and pairs and the best of three penalties, by five folds. `ult, train --model bag` is the trainer's, which chooses \
its own penalty. `ult, transformer` is `{model}` from random weights, which reads all ids at once and their mean \
(`--pool mean --attention full --dropout 0.2 --weight-decay auto`), {steps} steps of {batch} texts cut at {context} \
ids, vocabulary 2,048: a fold is held out, of which the best of five evaluations is kept, another fold for each seed. \
`bag and transformer`: the mean of both's log probabilities, a quarter, half or three quarters of the bag. `public \
body` is SmolLM2-135M, frozen: the means of its rows and of its hidden states after 2 layers, over the first {cut} \
ids, all alike or each weighing the logarithm of how rare it is, then logistic regression with the best of three \
penalties. That of `ult` has rows for the ids of a table of 8,192 (`ult align --to-model smollm2-135m-weights`: the \
owner's side, and such rows name the phrases), that of `raw` its own tokens; `bag and public body` mixes it with the \
trainer's bag, `words and public body` with words. `ult`, `raw` and `with public body` are those of their tuned \
systems that tell most of the held-out texts; that the trainer's bag is one of them, alone or mixed with the body, \
and the body read by rare ids, was decided after earlier looks at the test texts. Accuracy is on the test texts; \
seeds and texts are drawn anew together for the interval, and differences are paired."""


def main() -> None:
    """Tune, train, choose by held-out texts, and compare on the others."""
    session = Session.begin("text-classify")
    seeds = session.sized((0, 1, 2), (0, 1))
    sets, lines = (WITH_BODY, ("words",)) if session.kept else (SETS, LINEAR)
    jobs = [(of, system) for of in sets for system in lines]
    jobs += [(of, system) for of in WITH_BODY for system in BODIES]
    told = {job: [one] for job, one in zip(jobs, session.each(linear, jobs), strict=True)}
    each = session.each(bag, [(of, _size(session, of, told)) for of in sets])
    told |= {(of, BAG): [one] for of, one in zip(sets, each, strict=True)}
    model = {"name": session.model, "context": CONTEXT, "batch": BATCH}
    if not session.kept:
        runs = session.each(transformer, [(of, seed) for of in sets for seed in seeds])
        model["parameters"] = runs[0]["parameters"]
        for k, of in enumerate(sets):
            told[of, TRANSFORMER] = [one["told"] for one in runs[k * len(seeds) : (k + 1) * len(seeds)]]
    metrics, notes = [], []
    for of in sets:
        made, said = compared(session, of, told, seeds)
        metrics, notes = metrics + made, notes + said
    notes.append(
        "A transformer of raw tokens is left out: it was below words when it was last measured (abstracts 0.564, "
        "sections 0.839, three seeds), and what ids are held against is the better."
    )
    if session.kept:
        before = session.earlier()
        metrics, model = session.beside_earlier(metrics, without=BODY), before["model"]
        notes += [note for note in before["notes"] if BODY not in note and note not in notes]
    session.write(
        "Text classification",
        metrics,
        asked=ASKED,
        setting=SETTING.format(least=LEAST, model=session.model, context=CONTEXT, steps=session.sized(STEPS, 10),
                               batch=BATCH, cut=session.sized(CUT, 16)),
        notes=notes,
        chart=[f"{of}: accuracy" for of in SETS],
        model=model,
    )  # fmt: skip


def compared(
    session: Session, of: str, told: dict[tuple[str, str], list[dict[str, Any]]], seeds: tuple[int, ...]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the metrics of a set, and what was chosen."""
    labels, answers = (np.array(known(session, of, split)[1]) for split in ("train", "test"))
    every = {name: [_told(one) for one in each] for (where, name), each in told.items() if where == of}
    seconds = {name: sum(one["seconds"] for one in each) for (where, name), each in told.items() if where == of}
    for name, (a, b) in MIXED.items():
        if a in every and b in every:
            share = share_of(every[a][0], _joined(every[b]), labels)
            every[name] = [blended(every[a][0], one, share) for one in every[b]]
            seconds[name] = seconds[a] + seconds[b]
    apart = {name: _joined(one).known for name, one in every.items()}
    there = ~np.isnan(np.sum([one[:, 0] for one in apart.values()], axis=0))
    held = {name: hits(one[there], labels[there], labels) for name, one in apart.items()}
    right = {name: np.array([hits(t.asked, answers, labels) for t in one], float) for name, one in every.items()}
    notes = [f"{of}: {name} has {one[0].chosen}." for name, one in every.items() if one[0].chosen]
    for name, systems in CHOSEN.items():
        if all(system in every for system in systems):
            best = max(systems, key=lambda system: held[system].mean())
            right[name], held[name] = right[best], held[best]
            notes.append(f"{of}: `{name}` is {best}, by the held-out texts.")
    most = Counter(labels.tolist()).most_common(1)[0][0]
    right[CHANCE], held[CHANCE] = (answers == most)[None].astype(float), labels[there] == most
    asked = len(labelled_texts(session, of, "test")[0])
    metrics = accuracies(of, right, seeds, session.sized(asked, len(answers)))
    about = {"n": int(there.sum()), "seeds": seeds[:1], "higher_is_better": True}
    metrics += [metric(f"{of}: accuracy, held-out training texts", name, over_both(one[None].astype(float)), **about)
                for name, one in held.items()]  # fmt: skip
    for name, spent in seconds.items():
        of_time = {"n": len(labels), "higher_is_better": False, "unit": "s"}
        metrics.append(metric(f"{of}: CPU to tune and learn", name, counted(round(spent, 1)), **of_time))
    return metrics, notes


def accuracies(of: str, right: dict[str, Any], seeds: tuple[int, ...], asked: int) -> list[dict[str, Any]]:
    """Return accuracies, and those less others': `right` are hits (seeds, texts); a guessing baseline sets no goal."""
    metrics, scores = [], {name: over_both(one) for name, one in right.items()}
    common = {"n": right["words"].shape[1], "n_asked": asked, "higher_is_better": True}
    for name, one in right.items():
        of_seeds = seeds if len(one) > 1 else seeds[:1]
        metrics.append(metric(f"{of}: accuracy", name, scores[name], seeds=of_seeds, **common))
    for a, b, goal in PAIRS:
        if a in right:
            gain = right[a] - right[b]
            able = scores[b]["low"] > scores[CHANCE]["value"]
            metrics.append(metric(f"{of}: accuracy, less that of {b}", a, over_both(gain), baseline=b,
                                  goal=goal if able else "", seeds=seeds if len(gain) > 1 else seeds[:1],
                                  **common))  # fmt: skip
    return metrics


def linear(session: Session, of: str, system: str) -> dict[str, Any]:
    """Return what a tuned linear classifier says of held-out and of test texts."""
    texts, labels = known(session, of, "train")
    both = [*texts, *known(session, of, "test")[0]]

    def make(_: Path) -> dict[str, Any]:
        if system == "words":
            candidates = {f"{name} words": one for name, one in bags(both, r"(?u)\b\w\w+\b", lower=True).items()}
        elif system in BODIES:
            states = np.load(Path(_body(session, of, system)["folder"]) / "states.npy")
            candidates = {way: dense(states[:, k].reshape(len(states), -1)) for k, way in enumerate(WAYS)}
        else:
            candidates = {}
            for size in SIZES:
                ids = _encoder(session, of, system.partition(",")[0], size).encode(both)
                found = bags([" ".join(map(str, one)) for one in ids], r"\S+", lower=False)
                candidates |= {f"{name} ids, vocabulary {size}": one for name, one in found.items()}
        told = tuned(candidates, labels, BODY_STRENGTHS if system in BODIES else STRENGTHS)
        return {"known": told.known.round(5).tolist(), "asked": told.asked.round(5).tolist(), "chosen": told.chosen}

    before = _body(session, of, system)["seconds"] if system in BODIES else 0
    found = session.once(
        f"linear/{of}-{_plain(system)}", {"texts": _held(both, labels), "sizes": SIZES, "C": STRENGTHS}, make
    )
    return found | {"seconds": before + found["seconds"]}


def _body(session: Session, of: str, system: str) -> dict[str, Any]:
    """Write the mean states (texts, ways, depths, width) of the public body, of known texts and then of others."""
    texts = known(session, of, "train")[0]
    both, most = [*texts, *known(session, of, "test")[0]], session.sized(CUT, 16)

    def make(folder: Path) -> dict[str, Any]:
        from lib.frozen import pooled, rarity
        from lib.public_body import OwnTokens

        from ult.owner.handover.align_to_model import align_to_model
        from ult.public.run import Run
        from ult.public.vocabulary import BOS
        from ult.trainer.models.load import load_trained
        from ult.trainer.models.smollm2 import WEIGHTS

        if system.startswith("ult"):
            code: Ours | OwnTokens = Ours(texts, BODY_SIZE)
            align_to_model(WEIGHTS, code.table, folder / "run")
        else:
            code = OwnTokens()
            code.found(folder / "run")
        model, ids = load_trained(Run.open(folder / "run")), code.encode(both)
        weights = np.stack([np.ones(code.size, np.float32), rarity(ids[: len(texts)], code.size)])
        np.save(folder / "states.npy", pooled(model, ids, weights, first=BOS, depths=DEPTHS, most=most))
        return {}

    settings = {"texts": _held(both), "size": BODY_SIZE, "depths": DEPTHS, "cut": most, "ways": WAYS}
    return session.once(f"states/{of}-{_plain(system)}", settings, make)


def bag(session: Session, of: str, size: int) -> dict[str, Any]:
    """Return what the trainer's bag says of each fold, trained without it, and of the test texts, trained on all."""
    labels = known(session, of, "train")[1]
    apart, each = np.full((len(labels), len(set(labels))), np.nan), []
    for k, (_, places) in enumerate(folds(labels)):
        each.append(_trained(session, of, BAG, k, size, {"model": "bag"}))
        apart[places] = each[-1]["told"]["apart"]
    each.append(_trained(session, of, BAG, None, size, {"model": "bag"}))
    seconds = sum(one["seconds"] for one in each)
    return {"known": apart, "asked": each[-1]["told"]["asked"], "seconds": seconds, "chosen": f"vocabulary {size}"}


def transformer(session: Session, of: str, seed: int) -> dict[str, Any]:
    """Train without a fold; return what is said of it and of the test texts."""
    labels = known(session, of, "train")[1]
    steps = session.sized(STEPS, 10)
    sizes = {"steps": steps, "evaluate_every": steps // 5, "batch_size": BATCH, "context": CONTEXT}
    run = _trained(session, of, TRANSFORMER, seed, SIZES[0], {"model": session.model, **sizes, **OPTIONS})
    apart = np.full((len(labels), len(set(labels))), np.nan)
    apart[folds(labels)[seed][1]] = run["told"]["apart"]
    return run | {"told": {"known": apart, "asked": run["told"]["asked"], "seconds": run["seconds"], "chosen": ""}}


def _trained(
    session: Session, of: str, system: str, seed: int | None, size: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Train on all folds but one, or on all; return what is known of it, and `told`: log probabilities of texts."""
    texts, labels = known(session, of, "train")
    train, apart = folds(labels)[seed] if seed is not None else (np.arange(len(labels)), np.empty(0, np.int64))
    family, name = system.partition(",")[0], f"{of}-{_plain(system)}-{'all' if seed is None else seed}"
    parts = {"test": known(session, of, "test"), f"without-{seed}": _some(texts, labels, train)}
    parts |= {f"fold-{seed}": _some(texts, labels, apart)} if seed is not None else {}
    folders = {part: _shards(session, of, family, size, part, *told) for part, told in parts.items()}
    more = {} if options["model"] == "bag" or seed is None else {"validation": folders[f"fold-{seed}"]}
    run = trained(session, name, folders[f"without-{seed}"], task="classify", seed=seed or 0,
                  **{"context": LONGEST, **options, **more})  # fmt: skip
    asked = {"asked": "test"} | ({"apart": f"fold-{seed}"} if seed is not None else {})
    told = {key: _log(predictions(session, f"{name}-{key}", run, folders[part])) for key, part in asked.items()}
    return {"told": told, "seconds": run["seconds"], "parameters": run["parameters"]}


def known(session: Session, of: str, split: str) -> tuple[list[str], list[str]]:
    """Return the texts of the classes that are common enough, and their labels."""
    texts, labels = labelled_texts(session, of, split)
    counts = Counter(labelled_texts(session, of, "train")[1])
    pairs = [(text, label) for text, label in zip(texts, labels, strict=True) if counts[label] >= LEAST]
    pairs = pairs[: session.sized(None, 120)]
    return [text for text, _ in pairs], [label for _, label in pairs]


@cache
def _encoder(session: Session, of: str, family: str, size: int) -> Encoder:
    texts = known(session, of, "train")[0]
    return Ours(texts, size) if family == "ult" else BytePairs(texts, size)


def _shards(session: Session, of: str, family: str, size: int, part: str, texts: list[str], labels: list[str]) -> Path:
    def make(folder: Path) -> dict[str, Any]:
        write(folder / "shards", _encoder(session, of, family, size), texts, labels)
        return {}

    name, settings = f"shards/{of}-{family}-{size}-{part}", {"texts": _held(texts, labels), "size": size}
    return Path(session.once(name, settings, make)["folder"]) / "shards"


def _some(texts: list[str], labels: list[str], places: Any) -> tuple[list[str], list[str]]:
    return [texts[k] for k in places], [labels[k] for k in places]


def _told(found: dict[str, Any]) -> Told:
    return Told(np.array(found["known"], float), np.array(found["asked"], float), found["chosen"])


def _joined(each: list[Told]) -> Told:
    """Return what several seeds say, each of its own fold."""
    known = np.stack([one.known for one in each])
    return Told(np.where(np.isnan(known), 0, known).sum(0) + np.where(np.isnan(known).all(0), np.nan, 0), each[0].asked)


def _log(logits: Any) -> Any:
    from scipy.special import log_softmax

    return log_softmax(logits, axis=1)


def _size(session: Session, of: str, told: dict[tuple[str, str], list[dict[str, Any]]]) -> int:
    """Return the vocabulary of the trainer's bag: that of the bag of ids, or the one that the result has."""
    if session.kept:
        (chosen,) = (note for note in session.earlier()["notes"] if note.startswith(f"{of}: {BAG} has"))
    else:
        chosen = told[of, "ult, bag of ids"][0]["chosen"]
    return next(size for size in SIZES if f"vocabulary {size}" in chosen)


def _held(*what: Any) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _plain(system: str) -> str:
    return system.replace(", ", "-").replace("--", "").replace(" ", "-")


if __name__ == "__main__":
    main()
