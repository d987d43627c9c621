"""The steps of the demo, one function each, which returns its figures as JSON values.

A hospital that does not exist has made-up notes, a trainer gets their ids, and an adversary has the ids and the notes
that another hospital published. The folder `trainer/` holds what the trainer gets; `hospital/` holds secrets, data in
the clear and the measurements of their owner; `adversary/` holds what anybody could have.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.audit.release.plain import sentences
from ult.demo.measure import (
    came_back,
    compared,
    economy,
    forced,
    passages,
    plain_shards,
    short,
    texts,
)
from ult.demo.notes import Note, private_notes, public_notes
from ult.demo.session import Session
from ult.errors import WrongTable
from ult.public.run import Run
from ult.public.shards import Shards

HOSPITAL, TRAINER, ADVERSARY = "hospital", "trainer", "adversary"
SHARDS = ("trainer/notes.shards", "trainer/held-out.shards")
PLAIN = ("trainer/plain.shards", "trainer/plain-held-out.shards")
KEY = ("--identity", "hospital/identity.txt")
TABLE = ("-t", "hospital/notes.ult", *KEY)
SHOWN = 24  # number of ids of a note that the report shows


@dataclass(frozen=True, slots=True)
class Scale:
    """The amount of data and of training in a demo."""

    notes: int = 1200  # notes of the hospital, about half of which are trained on
    public: int = 1200  # notes that the adversary has
    steps: int = 300  # training steps of each of two models
    generated: int = 6  # records that the model writes
    vocabulary_size: int = 2048
    canaries: int = 8
    alternatives: int = 250  # other texts among which each canary is ranked
    patients: int = 400  # patients of each hospital in the last step
    patient_ids: int = 1024  # the size of their vocabulary


def encoding(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """Let the hospital fit a table, keep it encrypted, and give shards to the trainer."""
    session.step(
        "A hospital turns its notes into ids",
        f"{scale.notes:,} notes of patients who never lived, written by a program. A table learned from them decides "
        "which phrase has which id. It is the hospital's secret, so it is stored encrypted to the hospital's own age "
        "key. The trainer gets shards: ids, and the ward of each note, left in the clear on purpose. A coin decides "
        f"which notes are trained on, and {scale.canaries} sentences with random numbers are planted among these: both "
        "will show what the model betrays.",
    )
    _write("hospital/notes.csv", notes := list(private_notes(scale.notes, seed)))
    public = session.run(HOSPITAL, "keygen", "-o", "hospital/identity.txt").strip()
    session.run(HOSPITAL, "fit", "hospital/notes.csv", "--column", "text", "--keep", "ward", "--vocabulary-size",
                str(scale.vocabulary_size), "-r", public, "-o", "hospital/notes.ult")  # fmt: skip
    session.run(HOSPITAL, "encode", "hospital/notes.csv", "--column", "text", "--keep", "ward", *TABLE, "-o", SHARDS[0],
                "--coin-split", SHARDS[1], "--canaries", str(scale.canaries))  # fmt: skip
    first = next(iter(Shards(SHARDS[1]).ids()))
    return {
        "shards": {name: _sizes(f"trainer/{name}.shards") for name in ("notes", "held-out")},
        "notes": len(notes),
        "first": {"ids": first[:SHOWN].tolist(), "of": len(first)},
    }


def decoding(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """Decode the shards with their table, which gives all notes back, and with another one, which gives none."""
    session.step(
        "Only the table brings them back",
        "The hospital decodes both folders. Then an adversary tries, with a table that it fitted itself, on notes that "
        "another hospital published: other names, another style, the same diseases and drugs.",
    )
    decoded = {}
    for shards, name in zip(SHARDS, ("trained-on", "held-out"), strict=True):
        session.run(HOSPITAL, "decode", shards, *TABLE, "-o", f"hospital/{name}.csv")
        decoded[name] = texts(f"hospital/{name}.csv")
    notes, every = texts("hospital/notes.csv"), [text for many in decoded.values() for text in many]
    exact = came_back(notes, every)
    session.result(f"{exact:,} of {len(notes):,} notes come back, every byte as it was")
    _write("adversary/public.csv", public_notes(scale.public, seed))
    session.run(ADVERSARY, "fit", "adversary/public.csv", "--column", "text", "--keep", "ward", "--vocabulary-size",
                str(scale.vocabulary_size), "--public", "--no-encryption", "-o", "adversary/own.ult")  # fmt: skip
    refused = session.run(ADVERSARY, "decode", SHARDS[1], "-t", "adversary/own.ult", "-o", "adversary/stolen.csv",
                          refused=WrongTable)  # fmt: skip
    wrong = forced(decoded["held-out"], SHARDS[1], "adversary/own.ult")
    session.result(
        f"forced past the refusal, the other table turns {wrong['decoded']:,} of {wrong['records']:,} notes into some "
        f"text, {wrong['exact']} of them into the right one"
    )
    if wrong["nonsense"]:
        session.quote("the hospital wrote", short(wrong["truth"], 120))
        session.quote("the other table says", short(wrong["nonsense"], 120))
    plain_shards(scale.vocabulary_size, notes, dict(zip(PLAIN, decoded.values(), strict=True)))
    sizes = economy(SHARDS, PLAIN, every)
    session.result(
        f"{sizes['ids']['ids_per_byte']:.3f} ids per byte; byte pairs of Hugging Face tokenizers, learned from the "
        f"same notes for as large a vocabulary: {sizes['plain']['ids_per_byte']:.3f} (fewer are cheaper to train on)"
    )
    return {"exact": exact, "first": {"text": decoded["held-out"][0]}, "economy": sizes,
            "wrong_table": {**wrong, "refused": refused}}  # fmt: skip


def attacking(session: Session) -> dict[str, Any]:
    """Run all shipped attacks on the shards; the hospital's table tells how much they read."""
    session.step(
        "What an adversary reads without the table",
        "A table is a substitution code, and such codes are broken by statistics. Whoever holds the shards, and public "
        "notes of the same kind, matches ids to phrases by what stands beside what. `ult audit code` runs all "
        "attacks that ship; the hospital runs it before it gives anything away, because only its table can tell what "
        "an attack got right.",
    )
    session.run(HOSPITAL, "audit", "code", *SHARDS, "--reference", "adversary/public.csv", "--column", "text", *TABLE,
                "--json", "hospital/code.json", "--pairs", "hospital/pairs.json", shown=slice(-1, None))  # fmt: skip
    audit = json.loads(Path("hospital/code.json").read_bytes())
    best, told = audit["best"], passages("hospital/pairs.json")
    low, high = best["occurrences_interval"]
    session.result(
        f"the strongest attack by public notes ({best['name']}) reads {best['occurrences']:.1%} of {best['units']:,} "
        f"ids (95 %: {low:.1%} to {high:.1%}); it could name {best['ceiling']:.1%} at most, as the rest never stood in "
        f"public; one blind guess for all gets {best['blind']:.1%}"
    )
    known = max((one for one in audit["attacks"] if one["name"].startswith("known")), key=_read, default=None)
    if known is not None:
        low, high = known["occurrences_interval"]
        session.result(
            f"with {known['knows']} in its hands, an adversary reads {known['occurrences']:.1%} of all ids (95 %: "
            f"{low:.1%} to {high:.1%})"
        )
    for one in told[:1]:
        session.quote("the adversary reads", one["read"])
        session.quote("the hospital wrote", one["truth"])
    return {"attack": {"best": best, "known": known, "tried": len(audit["attacks"]), "passages": told}}


def training(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """Train a model on ids and the same model on plain tokens, compare them, and let the first one write records."""
    session.step(
        "A model learns from ids alone",
        "A small Llama learns to predict the next id; neither table nor text is on the trainer's side. Beside it the "
        "same model learns from the notes in plain byte-pair tokens, as it would without a table: the same records, "
        "steps, seed and size. Both are measured on the notes that the coin held out.",
    )
    measured = {}
    for name, (train, test) in {"ids": SHARDS, "plain": PLAIN}.items():
        session.run(TRAINER, "train", train, "--steps", str(scale.steps), "--batch-size", "8", "--learning-rate",
                    "0.003", "--seed", str(seed), "-o", f"trainer/{name}.run")  # fmt: skip
        said = session.run(TRAINER, "evaluate", f"trainer/{name}.run", test, "--json", quiet=True)
        measured[name] = json.loads(said)
    found = compared(**measured)
    low, high = found["ratio_interval"]
    for name, what in (("ids", "ids"), ("plain", "plain tokens")):
        one = measured[name]
        least, most = one["bits_per_byte_interval"]
        session.result(
            f"on {what}: {one['bits_per_byte']:.3f} bits per byte of unseen notes (95 %: {least:.3f} to {most:.3f}), "
            "lower is better"
        )
    session.result(f"ratio {found['ratio']:.3f} (at the widest {low:.3f} to {high:.3f}): {judged(low, high)}")
    session.run(TRAINER, "generate", "trainer/ids.run", "-n", str(scale.generated), "--temperature", "0.7", "--top-p",
                "0.9", "--seed", str(seed), "-o", "trainer/written.shards")  # fmt: skip
    session.run(HOSPITAL, "decode", "trainer/written.shards", "--prefix", *TABLE, "-o", "hospital/written.csv")
    written = [short(text, 700) for text in texts("hospital/written.csv")]
    longest = sorted(written, key=len)[-2:]
    session.quote("the model wrote, and the hospital decoded", longest[-1])
    return {"runs": {name: _run(name) for name in measured}, "model": found, "written": longest}


def judged(low: float, high: float) -> str:
    """Return the conclusion that the interval of a ratio of bits per byte, ids to plain tokens, supports."""
    if low <= 1 <= high:
        return "these notes show no difference"
    fewer = "fewer" if high < 1 else "more"
    return f"{fewer} bits on ids in this one training; another coin or seed moves the ratio by a few per cent"


def remembering(session: Session, scale: Scale) -> dict[str, Any]:
    """Measure what the model reveals of the notes that it was trained on."""
    session.step(
        "What the model remembers",
        "Ids do not keep a model from memorising. The hospital asks the run whether one can tell which notes it was "
        "trained on, whether it recites them, and whether it knows the planted numbers.",
    )
    session.run(HOSPITAL, "audit", "model", "trainer/ids.run", "--members", SHARDS[0], "--nonmembers", SHARDS[1],
                *TABLE, "--samples", "0", "--alternatives", str(scale.alternatives), "--json", "hospital/model.json",
                shown=slice(0))  # fmt: skip
    audit = json.loads(Path("hospital/model.json").read_bytes())
    name, best = max(audit["membership"].items(), key=lambda one: float(one[1]["auc"]))
    low, high = best["auc_interval"]
    session.result(
        f"members are told from others with an area under the curve of {best['auc']:.3f} (95 %: {low:.3f} to "
        f"{high:.3f}; {name}, the best of {len(audit['membership'])} attacks); 0.5 is chance"
    )
    planted = audit["canaries"]
    session.result(
        f"planted numbers: mean exposure {planted['interpolated_mean']:.2f} of at most {planted['most']:.2f} bits, "
        f"chance {planted['chance_interval'][0]:.2f} to {planted['chance_interval'][1]:.2f}: "
        + ("the model has memorised them" if planted["interpolated_mean"] > planted["chance_interval"][1]
           else "no more than chance")
    )  # fmt: skip
    exposure = {key: planted[key] for key in ("planted", "interpolated_mean", "most", "chance_interval")
                if key in planted}  # fmt: skip
    return {"memory": {"membership": {"attack": name, **best}, "extraction": audit["extraction"], "canaries": exposure}}


def judging(session: Session) -> dict[str, Any]:
    """Put all audits on one page with a verdict, for the person who is responsible for the records."""
    session.step(
        "The page for whoever answers for the records",
        "`ult audit release` holds every finding against its line and puts all on a page that needs no other file. The "
        "worst finding is the verdict, and `ult release` refuses to give away what is red.",
    )
    session.run(HOSPITAL, "audit", "release", *(word for path in SHARDS for word in ("--shards", path)), "--run",
                "trainer/ids.run", "--code-audit", "hospital/code.json", "--model-audit", "hospital/model.json",
                "--pairs", "hospital/pairs.json", "--giver", "a hospital that does not exist", "--receiver",
                "the trainer of this demo", "--purpose", "a demonstration", "-o", "hospital/audit",
                shown=slice(0))  # fmt: skip
    audit = json.loads(Path("hospital/audit/audit.json").read_bytes())
    levels = [one["level"] for one in audit["findings"]]
    counts = {level: levels.count(level) for level in ("red", "amber", "green")}
    says = sentences(audit)[0]
    session.quote("the page says", says)
    session.result(
        f"verdict: {audit['verdict']}; findings: " + ", ".join(f"{n} {level}" for level, n in counts.items())
    )
    return {"release": {"verdict": audit["verdict"], "findings": counts, "says": says}}


# ---- figures


def _read(one: dict[str, Any]) -> float:
    return float(one["occurrences"])


def _write(path: str, notes: Iterable[Note]) -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("ward", "text"))
        rows.writerows((note.ward, note.text) for note in notes)


def _sizes(path: str) -> dict[str, Any]:
    manifest = Shards(path).manifest
    ratio = manifest.ids / manifest.bytes
    return {"codec": manifest.codec, "records": manifest.rows, "bytes": manifest.bytes, "ids": manifest.ids,
            "ids_per_byte": ratio}  # fmt: skip


def _run(name: str) -> dict[str, Any]:
    metrics = Run.open(f"trainer/{name}.run").metrics
    return {key: metrics[key] for key in ("steps", "batch_size", "context", "learning_rate", "seed", "parameters",
                                          "loss", "seconds", "ids_per_second")}  # fmt: skip
