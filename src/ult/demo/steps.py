"""What the demo does, step by step: each returns its figures as JSON values.

Two owners hold half of Python's help topics each; owner A holds scikit-learn's digits too. Whatever the trainer gets
lies in `trainer/`, and whatever is secret or plain in `owner-a/` and `owner-b/`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ult.audit.code.adversary import Adversary
from ult.audit.code.evidence import Coded
from ult.audit.code.frequency import by_frequency
from ult.audit.code.score import Recovered
from ult.codecs import CODECS
from ult.data import open_source
from ult.demo.measure import DIGITS, TOPICS, forced_text, image_strips, open_table, paragraphs, pixel_baseline, short
from ult.demo.session import Session
from ult.errors import WrongTable
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.vocabulary import N_SPECIAL, Vocabulary

A, B, TRAINER = "owner A", "owner B", "trainer"
KEY_A, KEY_B = ("--identity", "owner-a/identity.txt"), ("--identity", "owner-b/identity.txt")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is trained. One thread of two cores trains 800 steps of text in about a minute."""

    pretraining: int = 500  # optimizer steps on A's text
    steps: int = 200  # on B's text, from A's run and from scratch alike
    digits: int = 300
    generated: int = 6  # records
    vocabulary_size: int = 1024
    digit_holders: int = 100  # a phrase of digits is held by so many: 1,439 images teach few


def documents_of_a(session: Session, scale: Scale) -> dict[str, Any]:
    """Owner A fits a table, keeps it encrypted, and gives away shards."""
    session.step(
        "Owner A turns documents into ids",
        "A's documents are half of Python's help topics, a record a paragraph. A table learned from them decides "
        "which phrase has which id. It is A's secret, so it is stored encrypted to A's own age key. The shards, "
        "ids and nothing else, go to the trainer.",
    )
    public = session.run(A, "keygen", "-o", "owner-a/identity.txt").strip()
    size = str(scale.vocabulary_size)
    fitted = ("--column", "text", "--vocabulary-size", size, "-r", public, "-o", "owner-a/table.ult")
    session.run(A, "fit", TOPICS["A"], *fitted)
    session.run(A, *_encode(TOPICS["A"], "owner-a/table.ult", "trainer/a.shards"), *KEY_A)
    return {"shards": {"a": _sizes("trainer/a.shards")}}


def pretraining(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """The trainer trains on A's shards."""
    session.step(
        "The trainer pre-trains a model on A's ids",
        "A small Llama learns to predict the next id. Neither table nor text is on this side.",
    )
    session.run(TRAINER, *_train("a", "pretrained", scale.pretraining, seed))
    loss = Run.open("trainer/pretrained").metrics["loss"]
    session.result(f"training loss {loss[0][1]:.2f} -> {loss[-1][1]:.2f} nats an id in {scale.pretraining} steps")
    return {"runs": {"pretrained": _run("pretrained")}}


def documents_of_b(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """Owner B fits another table; the model goes on from A's run, and another starts from scratch."""
    session.step(
        "Owner B brings another table to the same model",
        "B has the other half of the topics, a key and a table of its own: the same id means another phrase there. "
        "The body of A's model goes on learning with embedding rows drawn afresh. Beside it, a model from scratch "
        "gets the same steps on the same shards. Both are measured on topics that neither saw.",
    )
    public = session.run(B, "keygen", "-o", "owner-b/identity.txt").strip()
    size = str(scale.vocabulary_size)
    fitted = ("--column", "text", "--vocabulary-size", size, "-r", public, "-o", "owner-b/table.ult")
    session.run(B, "fit", TOPICS["B"], *fitted)
    for source, name in ((TOPICS["B"], "b-train"), (TOPICS["test"], "b-test")):
        session.run(B, *_encode(source, "owner-b/table.ult", f"trainer/{name}.shards"), *KEY_B)
    session.run(TRAINER, *_train("b-train", "fine-tuned", scale.steps, seed), "--from", "trainer/pretrained")
    session.run(TRAINER, *_train("b-train", "from-scratch", scale.steps, seed))
    measured = {}
    for name in ("fine-tuned", "from-scratch"):
        measured[name] = _evaluate(session, name, "b-test")
        low, high = measured[name]["bits_per_byte_interval"]
        session.result(
            f"{name}: {measured[name]['bits_per_byte']:.3f} bits per byte (95 %: {low:.3f} to {high:.3f}), "
            f"{measured[name]['rows']} records, lower is better"
        )
    tuned, scratch = measured["fine-tuned"], measured["from-scratch"]
    gain = scratch["bits_per_byte"] - tuned["bits_per_byte"]
    apart = tuned["bits_per_byte_interval"][1] < scratch["bits_per_byte_interval"][0]
    verdict = f"{abs(gain):.3f} bits per byte {'better' if gain > 0 else 'WORSE'} than from scratch at equal steps"
    session.result(f"fine-tuned from A is {verdict}; the intervals {'do not ' if apart else ''}overlap")
    return {
        "shards": {name: _sizes(f"trainer/{name}.shards") for name in ("b-train", "b-test")},
        "runs": {name: _run(name) for name in ("fine-tuned", "from-scratch")},
        "comparison": {**measured, "gain_bits_per_byte": gain, "intervals_apart": apart},
    }


def decoding(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """The model writes ids, B reads them, and A's table reads nothing of B's."""
    session.step(
        "The model writes; only B can read it",
        "The trainer's model writes ids. B's table turns them, and B's own shards, back into text. A's table is "
        "refused; forced past the refusal, it gives other text, or none.",
    )
    n = str(scale.generated)
    session.run(TRAINER, "generate", "trainer/fine-tuned", "-n", n, "--temperature", "0.7", "--top-p", "0.9",
                "--seed", str(seed), "-o", "trainer/written.shards")  # fmt: skip
    table_b, table_a = ("-t", "owner-b/table.ult", *KEY_B), ("-t", "owner-a/table.ult", *KEY_A)
    session.run(B, "decode", "trainer/written.shards", "--prefix", *table_b, "-o", "owner-b/written.jsonl")
    written = sorted((short(text, 240) for text in _texts("owner-b/written.jsonl")), key=len)[-3:]
    session.quote("the model wrote", written[-1])
    session.run(B, "decode", "trainer/b-test.shards", *table_b, "-o", "owner-b/decoded.jsonl")
    truth = paragraphs("test")
    exact = sum(a == b for a, b in zip(truth, _texts("owner-b/decoded.jsonl"), strict=True))
    session.result(f"with B's table {exact} of {len(truth)} records come back exactly")
    refused = session.run(
        A, "decode", "trainer/b-test.shards", *table_a, "-o", "owner-a/stolen.jsonl", refused=WrongTable
    )
    wrong = forced_text(truth)
    session.result(
        f"forced, A's table decodes {wrong['decoded']} of {len(truth)} records to some text, {wrong['exact']} of them "
        "to what B wrote"
    )
    session.quote("B wrote", short(wrong["sample"], 120))
    session.quote("A's table says", short(wrong["nonsense"], 120))
    return {"written": written, "exact": exact, "records": len(truth), "wrong_table": {**wrong, "refused": refused}}


def digits(session: Session, scale: Scale, seed: int) -> dict[str, Any]:
    """Images go the same way: the label travels in the clear, the trainer learns to tell digits apart."""
    session.step(
        "The same with images",
        "A fits a second table, on handwritten digits: a cosine transform, its symbols learned into phrases, ids of "
        "the same vocabulary. The labels travel in the clear, because the trainer is to learn them. Owner B has a "
        "table of digits as well.",
    )
    key_b = _public_key("owner-b/identity.txt")
    key_a = _public_key("owner-a/identity.txt")
    how = ("--keep", "label", "--codec", "image/dct", "--option", "quality=62", "--min-records",
           str(scale.digit_holders), "--vocabulary-size", str(scale.vocabulary_size))  # fmt: skip
    session.run(A, "fit", DIGITS["train"], *how, "-r", key_a, "-o", "owner-a/digits.ult")
    for part in ("train", "test"):
        session.run(A, "encode", DIGITS[part], "--keep", "label", "-t", "owner-a/digits.ult", *KEY_A,
                    "-o", f"trainer/digits-{part}.shards")  # fmt: skip
    session.run(B, "fit", DIGITS["B"], *how, "-r", key_b, "-o", "owner-b/digits.ult")
    session.run(TRAINER, "train", "trainer/digits-train.shards", "--task", "classify", "--steps", str(scale.digits),
                "--batch-size", "32", "--context", "64", "--seed", str(seed), "-o", "trainer/digits")  # fmt: skip
    measured = _evaluate(session, "digits", "digits-test")
    baseline = pixel_baseline()
    for name in ("accuracy", "balanced_accuracy"):
        low, high = measured[f"{name}_interval"]
        session.result(
            f"{name.replace('_', ' ')} on ids: {measured[name]:.1%} (95 %: {low:.1%} to {high:.1%}) of "
            f"{measured['rows']} digits; logistic regression on the pixels: {baseline[name]:.1%}; "
            f"chance: {measured['chance']:.0%}"
        )
    images = image_strips()
    session.result(
        f"decoded with A's table: {images['psnr_right']:.1f} dB; with B's table {images['wrong_decoded']} of "
        f"{images['n']} decode at all, and told the size and the mean, at {images['psnr_helped']:.1f} dB (the mean "
        f"alone: {images['psnr_flat']:.1f} dB)"
    )
    return {
        "shards": {name: _sizes(f"trainer/{name}.shards") for name in ("digits-train", "digits-test")},
        "runs": {"digits": _run("digits")},
        "digits": {"evaluation": measured, "logistic_regression": baseline, "images": images},
    }


def attack(session: Session, scale: Scale) -> dict[str, Any]:
    """An adversary with B's shards and public text of the same kind, and three codes of B's text."""
    session.step(
        "What an adversary reads without the table",
        "The adversary holds B's shards and public text of the same kind (A's topics), "
        "knows the codec, never the table. It fits a table of its own and matches ranks to ranks: the simplest attack "
        "on any substitution code. Beside the demo's own code stand the same without phrases, and the papers' "
        "compressor without phrases.",
    )
    held = [ids for name in ("b-train", "b-test") for ids in Shards(f"trainer/{name}.shards").ids()]
    secret = open_table("b", "table")
    private = [*paragraphs("B"), *paragraphs("test")]
    public = paragraphs("A")
    scores = {"text/bytes": _ranks_matched(Coded.of(held), Adversary.fitted(secret, public), secret)}
    for codec in ("text/bytes", "text/bwt"):
        vocabulary = Vocabulary(N_SPECIAL + CODECS[codec]().alphabet)
        truth = Table.fit(private, codec=codec, vocabulary=vocabulary, min_records=1)
        target = Coded.of(truth.encode_batch(private))
        scores[f"{codec}, no phrases"] = _ranks_matched(target, Adversary.fitted(truth, public), truth)
    for name, score in scores.items():
        session.result(
            f"{name}: {score.occurrences:.1%} of {score.units:,} ids read, {score.types:.1%} of the {score.kinds:,} "
            f"different ones; one blind guess for all gets {score.blind:.1%}"
        )
    session.result(
        "this is the weakest attack. Those that use what stands beside what read over 90 % of such codes on 1.1 "
        "million characters (docs/threats.md; `ult audit code` runs them). What protects is encryption at rest, and "
        "who gets the shards"
    )
    return {"attack": {name: asdict(score) for name, score in scores.items()}, "public_records": len(public)}


def _ranks_matched(target: Coded, adversary: Adversary, truth: Table) -> Recovered:
    guess = by_frequency(target, adversary.reference)
    return adversary.score(adversary.named(guess), target, truth)


# ---- commands


def _encode(source: str, table: str, out: str) -> tuple[str, ...]:
    return ("encode", source, "--column", "text", "-t", table, "-o", out)


def _train(shards: str, out: str, steps: int, seed: int) -> tuple[str, ...]:
    return ("train", f"trainer/{shards}.shards", "--steps", str(steps), "--batch-size", "8", "--learning-rate", "0.002",
            "--seed", str(seed), "-o", f"trainer/{out}")  # fmt: skip


def _evaluate(session: Session, run: str, shards: str) -> dict[str, Any]:
    said = session.run(TRAINER, "evaluate", f"trainer/{run}", f"trainer/{shards}.shards", "--json", quiet=True)
    result: dict[str, Any] = json.loads(said)
    return result


# ---- figures


def _public_key(path: str) -> str:
    lines = Path(path).read_text(encoding="ascii").splitlines()
    return next(line for line in lines if line.startswith("# public key: ")).removeprefix("# public key: ")


def _sizes(path: str) -> dict[str, Any]:
    manifest = Shards(path).manifest
    ratio = manifest.ids / manifest.bytes
    return {"codec": manifest.codec, "records": manifest.rows, "bytes": manifest.bytes, "ids": manifest.ids,
            "ids_per_byte": ratio}  # fmt: skip


def _run(name: str) -> dict[str, Any]:
    metrics = Run.open(f"trainer/{name}").metrics
    return {key: metrics[key] for key in ("steps", "batch_size", "context", "learning_rate", "seed", "parameters",
                                          "embeddings", "loss", "seconds", "ids_per_second")}  # fmt: skip


def _texts(path: str) -> list[str]:
    return list(open_source([path], modality="text"))
