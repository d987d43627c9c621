"""Row `text-lm`: does a decoder-only model learn text from ids as well as from raw tokens?

`ULT_ONLINE=1` reads hf:Salesforce/wikitext instead of the data folder. On a GPU the same script runs unchanged.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import BytePairs, Bytes, Encoder, Ours, write
from lib.corpus import wikitext
from lib.interval import counted, of_ratio, over_seeds
from lib.ngrams import Counts
from lib.paper import Paper
from lib.result import metric
from lib.score import scores
from lib.session import Session
from lib.training import bits, trained

SYSTEMS = ("ult", "ult, text/bwt", "raw", "raw-bytes", "paper")
SIZE, CONTEXT, BATCH = 2048, 256, 8
STEPS, TEST_BYTES = 500, 300_000
PROMPTS, WRITTEN, LEAST = 200, 100, 150  # continuations; characters to write, and least characters to go on from
CHANCE, TURNS = "another text", 5  # what it stands for: the true continuation of another prompt, so many on
RATIO, LEAST_RATIO = "ratio to paper", "at least 1.16"
COUNTED, ORDERS = {"n-grams of ids": "ult", "n-grams of raw tokens": "raw"}, (2, 3, 4, 5)
BLIND, HALF = "single bytes", "at most 0.5"
TITLE = "Text, decoder-only"
ASKED = "Does a model learn text from ids as well as from raw tokens, and better than from the papers' pipeline?"
SETTING = """\
wikitext-2, paragraphs and headings; tables and tokenizers are fitted on the training text. `ult` is `text/bytes`, \
`raw` byte-level BPE (Hugging Face tokenizers), both of 2,048 ids; `ult, text/bwt` has patches of 10 characters and \
2,048 ids; `raw-bytes` 256; `paper` is the papers' pipeline: patches of 10 through Burrows-Wheeler and run lengths, \
ranks as characters, cut again by SmolLM2's tokenizer, with rows for the tokens that occur. The same model, batch, \
ids a step and learning rate for all. Equal steps: {steps} each. Equal time: as many steps as fit in the CPU time of \
`ult`'s, by each system's own seconds a step, with a schedule of that length. Bits per byte on the first {kilobytes} \
kB of the test text. Continuations: {prompts} paragraphs of the test text, cut at a word after {least} characters; \
the model of equal steps goes on, the likeliest id each time, and {written} characters are compared. A prompt that \
leaves no room to write loses its beginning. `{chance}` is the true continuation of one of the next {turns} prompts: \
what has nothing to do with the prompt reaches as much. `n-grams` are interpolated Kneser-Ney counts of the training \
text's ids or tokens, a record at a time, of the order (2 to 5) that tells the validation text best: no training at \
all. `single bytes` codes each byte by how often it was in the training text. A ratio to `paper` has a goal only where \
that is better than `{chance}` or `single bytes`."""


def main() -> None:
    """Train, evaluate, let them write, and compare."""
    session = Session.begin("text-lm")
    seeds, steps = session.sized((0, 1, 2), (0, 1)), session.sized(STEPS, 20)
    if session.kept:
        before = session.earlier()
        metrics, model, notes = before["metrics"], before["model"], before["notes"]
        untrained = (CHANCE, BLIND, *COUNTED)
        metrics = [m for m in metrics if m["system"] not in untrained and not m["name"].endswith("n-grams of ids")]
    else:
        metrics, model, notes = measured(session, seeds, steps)
    session.write(
        TITLE,
        judged([*metrics, *by_counts(session, metrics), *by_chance(session)]),
        asked=ASKED,
        setting=SETTING.format(steps=steps, kilobytes=session.sized(TEST_BYTES, 20_000) // 1000, written=WRITTEN,
                               prompts=session.sized(PROMPTS, 8), least=LEAST, chance=CHANCE, turns=TURNS),
        notes=notes,
        chart=["bits per byte, equal steps", "bits per byte, equal time", "BLEU", "chrF"],
        model=model,
    )  # fmt: skip


def measured(
    session: Session, seeds: tuple[int, ...], steps: int
) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """Return the metrics of trained models, what there is to say of the model, and notes."""
    prepared = dict(zip(SYSTEMS, session.each(prepare, [(system,) for system in SYSTEMS]), strict=True))
    equal = _trained(session, seeds, dict.fromkeys(SYSTEMS, steps))
    seconds = {system: np.mean([one["step_seconds"] for one in equal[system]]) for system in SYSTEMS}
    fitting = {system: max(1, round(steps * seconds["ult"] / seconds[system])) for system in SYSTEMS}
    timed = _trained(session, seeds, fitting)
    metrics = []
    for name, found in (("bits per byte, equal steps", equal), ("bits per byte, equal time", timed)):
        per_byte = {system: [one["bits_per_byte"] for one in found[system]] for system in SYSTEMS}
        common = {"n": found["ult"][0]["rows"], "seeds": seeds, "higher_is_better": False}
        metrics += [metric(name, s, over_seeds(per_byte[s]), **common) for s in SYSTEMS]
        for other, goal in (("raw", "at most 1.01"), ("paper", "")):
            ratio = of_ratio(per_byte["ult"], per_byte[other])
            metrics.append(metric(f"{name}, ratio to {other}", "ult", ratio, unit="x", goal=goal, **common))
    metrics += written(session, seeds, equal)
    for system in SYSTEMS:
        of = {"n": prepared[system]["bytes"]}
        metrics += [
            metric("ids per byte", system, counted(prepared[system]["ids_per_byte"]), higher_is_better=False, **of),
            metric("steps in equal time", system, counted(fitting[system]), higher_is_better=True, **of),
        ]
    first = equal["ult"][0]
    model = {"name": session.model, "parameters": first["parameters"], "context": CONTEXT, "batch": BATCH,
             "learning rate": first["learning_rate"]}  # fmt: skip
    return metrics, model, notes(prepared)


def by_counts(session: Session, metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the bits per byte of counts, which have no steps, and the ratio of ours, in `metrics`, to those of ids."""
    train, test = texts(session)
    valid = wikitext(session, "valid")[: session.sized(None, 100)]
    told = {BLIND: _counted(Bytes(), train, valid, test, (1,))}
    told |= {name: _counted(encoder(system, train), train, valid, test, ORDERS) for name, system in COUNTED.items()}
    found = []
    for name in ("bits per byte, equal steps", "bits per byte, equal time"):
        (ours,) = (m for m in metrics if (m["name"], m["system"]) == (name, "ult"))
        about = {"n": len(test), "higher_is_better": False}
        found += [metric(name, system, counted(bits), **about) for system, bits in told.items()]
        best = told["n-grams of ids"]
        ratio = {key: ours[key] / best for key in ("value", "low", "high")} | {"interval": ours["interval"]}
        found.append(metric(f"{name}, ratio to n-grams of ids", "ult", ratio, goal="at most 1", unit="x",
                            seeds=ours["seeds"], **about))  # fmt: skip
    return found


def _counted(code: Encoder, train: list[str], valid: list[str], test: list[str], orders: tuple[int, ...]) -> float:
    """Return the bits per byte of `test` by counts of the order that tells `valid` best."""
    known, choosing, asked = (code.encode(part) for part in (train, valid, test))
    models = [Counts(known, code.size, order) for order in orders]
    best = min(models, key=lambda model: model.bits(choosing))
    return best.bits(asked) / sum(len(text.encode()) for text in test)


def by_chance(session: Session) -> list[dict[str, Any]]:
    """Return the text metrics of true continuations of other prompts, in place of what a model writes."""
    pairs = prompts(texts(session)[1], session.sized(PROMPTS, 8))
    right = [end for _, end in pairs]
    each = [scores([*right[turn:], *right[:turn]], right) for turn in range(1, TURNS + 1)]
    common = {"n": len(right), "n_asked": session.sized(PROMPTS, 8), "seeds": range(TURNS), "higher_is_better": True}
    return [metric(name, CHANCE, over_seeds([one[name] for one in each]), **common) for name in each[0]]


def judged(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the metrics with goals beside the paper's system where it is better than chance, and only there."""
    value = {(m["name"], m["system"]): m for m in metrics}
    found = []
    for m in metrics:
        name, _, rest = m["name"].rpartition(", ")
        if rest == RATIO and (name, CHANCE) in value:
            able = value[name, "paper"]["low"] > value[name, CHANCE]["high"]
            m = m | {"goal": LEAST_RATIO if able else ""}
        elif rest == RATIO and name.endswith("equal time"):
            able = value[name, "paper"]["high"] < value[name, BLIND]["value"]
            m = m | {"goal": HALF if able else ""}
        found.append(m)
    return found


def prepare(session: Session, system: str) -> dict[str, Any]:
    """Write the shards of a system; return where, and how many ids they take."""
    train, test = texts(session)

    def make(folder: Path) -> dict[str, Any]:
        code = encoder(system, train)
        write(folder / "train", code, train)
        unseen = getattr(code, "unseen", 0)
        write(folder / "test", code, test)
        nbytes = sum(len(text.encode()) for text in test)
        ids = sum(map(len, code.encode(test)))
        return {"bytes": nbytes, "ids_per_byte": ids / nbytes, "size": code.size,
                "unseen": getattr(code, "unseen", 0) - unseen, "symbols": getattr(code, "symbols", 0)}  # fmt: skip

    held = hashlib.sha256("\n".join([*train, "", *test]).encode()).hexdigest()[:16]
    return session.once(f"shards/{_plain(system)}", {"texts": held, "size": SIZE}, make)


def texts(session: Session) -> tuple[list[str], list[str]]:
    """Return what to train and what to test on."""
    train, test = wikitext(session, "train"), wikitext(session, "test")
    ends = np.cumsum([len(text.encode()) for text in test])
    return train[: session.sized(None, 300)], test[: int((ends <= session.sized(TEST_BYTES, 20_000)).sum())]


def encoder(system: str, train: list[str]) -> Encoder:
    """Return what makes a system's ids, fitted on `train`."""
    if system == "ult, text/bwt":
        from ult.codecs.bwt import TextBwt

        return Ours(train, SIZE, TextBwt(patch_size=10))
    if system == "paper":
        return Paper(train)
    return {"ult": Ours, "raw": BytePairs}[system](train, SIZE) if system != "raw-bytes" else Bytes()


def train_one(session: Session, system: str, seed: int, steps: int) -> dict[str, Any]:
    """Train a system and measure it on the test text."""
    shards = Path(prepare(session, system)["folder"])
    name = f"{_plain(system)}-{steps}-{seed}"
    sizes = {"steps": steps, "batch_size": BATCH, "context": CONTEXT, "seed": seed}
    run = trained(session, name, shards / "train", model=session.model, **sizes)
    return bits(session, name, run, shards / "test") | run


def _trained(session: Session, seeds: tuple[int, ...], steps: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    jobs = [(system, seed, steps[system]) for seed in seeds for system in SYSTEMS]
    found = session.each(train_one, jobs)
    return {s: [one for (system, *_), one in zip(jobs, found, strict=True) if system == s] for s in SYSTEMS}


def written(session: Session, seeds: tuple[int, ...], runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the text metrics of what each system's models write."""
    jobs = [(system, k, runs[system][k]) for system in SYSTEMS for k in range(len(seeds))]
    each = session.each(write_on, jobs)
    metrics, values = [], {job[:2]: found for job, found in zip(jobs, each, strict=True)}
    names, n = list(each[0]["scores"]), each[0]["n"]
    common = {"n": n, "n_asked": session.sized(PROMPTS, 8), "seeds": seeds, "higher_is_better": True}
    for name in names:
        of = {s: [values[s, k]["scores"][name] for k in range(len(seeds))] for s in SYSTEMS}
        metrics += [metric(name, system, over_seeds(of[system]), **common) for system in SYSTEMS]
        if min(*of["ult"], *of["paper"]) > 0:
            ratio = of_ratio(of["ult"], of["paper"])
            metrics.append(metric(f"{name}, {RATIO}", "ult", ratio, unit="x", **common))
    return metrics


def write_on(session: Session, system: str, k: int, run: dict[str, Any]) -> dict[str, Any]:
    """Let a model go on with the prompts, and score what it wrote."""
    from ult.trainer.generate import generate

    train, test = texts(session)
    starts = prompts(test, session.sized(PROMPTS, 8))

    def make(_: Path) -> dict[str, Any]:
        code = encoder(system, train)
        most = min(CONTEXT // 2, round(1.5 * WRITTEN * prepare(session, system)["ids_per_byte"]))
        given = [fitting(code, start, CONTEXT - 1 - most) for start, _ in starts]
        ids = generate(run["run"], [code.encode([text])[0] for text in given], max_new=most, temperature=0.0)
        texts = [code.decode(one)[len(text) :][:WRITTEN] for one, text in zip(ids, given, strict=True)]
        return {"scores": scores(texts, [right for _, right in starts]), "n": len(starts), "texts": texts}

    return session.once(f"written/{_plain(system)}-{k}", {"run": run["origin"], "prompts": len(starts), "v": 1}, make)


def prompts(test: list[str], n: int) -> list[tuple[str, str]]:
    """Return beginnings of paragraphs and the characters that follow; cut before a space, after patches of 10."""
    found = []
    for text in test:
        cuts = [k for k in range(LEAST, len(text) - WRITTEN, 10) if text[k] == " "]
        if cuts:
            found.append((text[: cuts[0]], text[cuts[0] : cuts[0] + WRITTEN]))
    return found[:n]


def fitting(code: Encoder, text: str, room: int) -> str:
    """Return as much of the end of `text` as takes at most `room` ids, cut after whole patches of 10 characters."""
    starts = range(0, len(text), 10)
    return next(text[k:] for k in starts if len(code.encode([text[k:]])[0]) <= room)


def notes(prepared: dict[str, dict[str, Any]]) -> list[str]:
    """Return what else was found."""
    found = prepared["paper"]
    return [
        f"The papers' pipeline uses {found['size']:,} ids of SmolLM2's 49,152; {found['unseen']} symbols of the test "
        "text were never seen in training and count as one symbol, whose original nobody has to predict.",
        "The models see as many ids a step and a context of as many ids: where an id holds less text, a step teaches "
        "less and a prompt is shorter. That is a part of what is compared.",
    ]


def _plain(system: str) -> str:
    return system.replace(", ", "-").replace("/", "-")


if __name__ == "__main__":
    main()
