"""Row `image-classify`: does a classifier of images learn from ids, and more after a language model of photographs?

`ULT_ONLINE=1` reads hf:uoft-cs/cifar10 and hf:yukimasano/pass instead of the data folder. On a GPU the same script
runs unchanged.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lib.baselines import Ours, Pixels, write_ids
from lib.corpus import Image, labelled_cifar, tiles
from lib.interval import counted, over_both
from lib.paper_image import PaperImages, psnr
from lib.result import ROOT, metric
from lib.session import Session
from lib.training import predictions, trained

from ult.codecs.image import ImageDct

SYSTEMS = ("ult", "ult, pre-trained", "raw", "paper")
SIZE = 1024
SECONDS, PRETRAINING = 40, 100  # of CPU; the second at a classifier's pace, which a language model takes 3 times
BATCH = {"ult": 32, "raw": 2, "paper": 8}  # images a step: who reads slower takes smaller ones, and more of them
RATE = 1e-3  # of classifiers: at 3e-3, which suits language models, small batches learn nothing (dev/log.md)
SHOWN = {"ult": 20_000, "raw": 2_000, "paper": 20_000}  # images to train on; `raw` sees fewer in its time
TESTED = {"ult": 2_000, "raw": 200, "paper": 500}
CHOSEN_ON = 500  # images on which to choose a quality
DRAWN, ACROSS, ZOOM = 64, 8, 3  # images to draw, how many side by side, how many times as large
LINEAR = "logistic regression"
TITLE = "Images, classified"
ASKED = "Does a classifier of images learn from fewer ids, and does it gain from seeing other photographs first?"
SETTING = """\
CIFAR-10, 20,000 images of 32x32 to train and 2,000 to test on (as JPEGs, as the data folder has them). `ult` is \
`image/dct` at quality {quality}, one above what is as true to 500 training images as the papers' setting, \
vocabulary {size:,}; `paper` is the papers' setting (8x8 blocks, 3x3 frequencies a channel, one decimal, ranks as \
ids); `raw` the 3,072 bytes of pixels. The same model for all, a record at a time between two ends of record, the \
class read off the last id; {ult}, {paper} and {raw} images a step; as many steps as fit in {seconds} seconds of \
CPU, by each system's own seconds a step, with a schedule of that length. `ult, pre-trained` first was a language \
model of {photos:,} tiles of 234 photographs for {pretraining:.0f} more seconds, encoded with the same table: the \
owner's, fitted on CIFAR-10, so that rows are kept; one such model, fine-tuned with each seed. `paper` and `raw` are \
slow to run and are tested on fewer images. Accuracy above another's is paired, on the images that both were asked. \
`logistic regression` on pixels has all 20,000 images, and is no sequence model."""


def main() -> None:
    """Encode, pre-train, train for equal time, compare, and let the pre-trained model draw."""
    session = Session.begin("image-classify")
    seeds = session.sized((0, 1, 2), (0, 1))
    kinds = tuple(BATCH)
    paper = reference(session)
    prepared = dict(zip(kinds, session.each(prepare, [(kind, paper) for kind in kinds]), strict=True))
    pace = dict(zip(kinds, session.each(step_seconds, [(kind, prepared[kind]) for kind in kinds]), strict=True))
    steps = {kind: max(2, round(session.sized(SECONDS, 2) / pace[kind])) for kind in kinds}
    photos = pretrain(session, prepared["ult"], max(2, round(session.sized(PRETRAINING, 4) / pace["ult"])))
    jobs = [
        (system, seed, prepared[_kind(system)], steps[_kind(system)], photos) for seed in seeds for system in SYSTEMS
    ]
    each = session.each(train_one, jobs)
    found = {s: [one for (system, *_), one in zip(jobs, each, strict=True) if system == s] for s in SYSTEMS}
    drawn = draw(session, photos, prepared["ult"])
    picture = (session.work if session.quick else ROOT / "results") / "image-classify-generated.png"
    shutil.copyfile(Path(drawn["folder"]) / "generated.png", picture)
    metrics = accuracies(found, linear(session), seeds) + economy(prepared)
    for kind in kinds:
        of = {"n": steps[kind] * BATCH[kind], "higher_is_better": True}
        metrics.append(metric("images seen in equal time", kind, counted(steps[kind] * BATCH[kind]), **of))
    for system, whole in drawn["whole"].items():
        of = {"n": len(whole), "seeds": [0], "higher_is_better": True}
        metrics.append(metric("drawn images that decode", system, over_both(np.array([whole], float)), **of))
    one = found["ult"][0]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(seconds=session.sized(SECONDS, 2), size=SIZE, quality=paper["quality"],
                               pretraining=photos["step_seconds"] * photos["steps"],
                               photos=prepared["ult"]["photos"], **BATCH),
        notes=notes(paper, drawn, photos),
        chart=["accuracy", "ids per image", "drawn images that decode"],
        model={"name": session.model, "parameters": one["parameters"], "learning rate": one["learning_rate"]},
    )  # fmt: skip


def images(session: Session, kind: str) -> tuple[tuple[list[Image], list[str]], tuple[list[Image], list[str]]]:
    """Return the images to train and to test on, with their labels."""
    shown, tested = session.sized(SHOWN[kind], 200), session.sized(TESTED[kind], 20)
    return labelled_cifar(session, "train", shown), labelled_cifar(session, "test", tested)


def reference(session: Session) -> dict[str, Any]:
    """Return how true the papers' images are, with their stretch and without, and our lowest quality as good as that.

    Qualities are chosen on images to train on; what is reported is measured on those to test on.
    """
    (train, _), (test, _) = images(session, "ult")

    def make(_: Path) -> dict[str, Any]:
        paper, some = PaperImages(train), train[:CHOSEN_ON]
        told: dict[str, Any] = {}
        for name, stretched in (("", True), ("_plain", False)):
            least, truth = (psnr(i, [paper.restored(one, stretched=stretched) for one in i]) for i in (some, test))
            told |= {f"quality{name}": quality(some, least), f"psnr{name}": truth}
        return told

    return session.once("reference", {"train": len(train), "test": len(test), "chosen on": CHOSEN_ON}, make)


def quality(images: Sequence[Image], least: float) -> int:
    """Return one more than the lowest quality at which images keep at least so many dB: others may keep less."""
    return 1 + next(q for q in range(20, 101) if psnr(images, _restored(ImageDct(quality=q), images)) >= least)


def _restored(codec: ImageDct, images: Sequence[Image]) -> list[Image]:
    return [codec.decode(codec.encode(image).symbols) for image in images]


def prepare(session: Session, kind: str, paper: dict[str, Any]) -> dict[str, Any]:
    """Write the shards of a kind of ids; return where, how many an image takes, and how true images are."""
    (train, labels), (test, test_labels) = images(session, kind)

    def make(folder: Path) -> dict[str, Any]:
        told: dict[str, Any] = {}
        code: Any = (
            Pixels() if kind == "raw" else PaperImages(train) if kind == "paper" else table(train, paper["quality"])
        )
        for part, records, classes in (("train", train, labels), ("test", test, test_labels)):
            write_ids(folder / part, code.encode(records), code, sum(i.size for i in records), classes, column="image")
        if kind == "ult":
            photos = tiles(session, session.sized(10**6, 200))
            write_ids(folder / "photos", code.encode(photos), code, sum(i.size for i in photos), column="image")
            at_plain = table(train, paper["quality_plain"]).encode(test)
            told = {"photos": len(photos), "psnr": psnr(test, code.table.decode_batch(code.encode(test))),
                    "psnr_plain": psnr(test, _restored(ImageDct(quality=paper["quality_plain"]), test)),
                    "ids_plain": float(np.mean([len(ids) for ids in at_plain]))}  # fmt: skip
        lengths = [len(ids) for ids in code.encode(test)]
        longest = max(lengths + [len(ids) for ids in code.encode(train)])
        return told | {"ids": float(np.mean(lengths)), "longest": longest, "size": code.size, "n": len(test)}

    settings = {"size": SIZE, "train": len(train), "test": len(test), "quality": paper["quality"]}
    return {**paper, **session.once(f"shards/{kind}", settings, make)}


def table(train: Sequence[Image], quality: int) -> Ours:
    """Return our encoder, fitted on the images to train on."""
    return Ours(train, SIZE, ImageDct(quality=quality))


def step_seconds(session: Session, kind: str, prepared: dict[str, Any]) -> float:
    """Return the CPU time of a step once all is set up."""
    few, many = (
        _trained(session, f"pace/{kind}-{n}", kind, prepared, steps=n, seed=0, model=session.model) for n in (3, 15)
    )
    return max(1e-3, (many["step_seconds"] * 15 - few["step_seconds"] * 3) / 12)


def pretrain(session: Session, prepared: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return a language model of photographs, in the ids of the table of the images to classify."""
    photos = Path(prepared["folder"]) / "photos"
    context = 2 * (prepared["longest"] + 2)
    return trained(
        session,
        "photos",
        photos,
        model=session.model,
        steps=steps,
        batch_size=BATCH["ult"] // 2,
        context=context,
        seed=0,
    )


def train_one(
    session: Session, system: str, seed: int, prepared: dict[str, Any], steps: int, photos: dict[str, Any]
) -> dict[str, Any]:
    """Train a classifier and return it, and of which test images it told the class."""
    kind = _kind(system)
    start = Path(photos["run"]) if system == "ult, pre-trained" else None
    model = session.model if start is None else None
    name = f"{system.replace(', ', '-')}-{seed}"
    run = _trained(session, name, kind, prepared, steps=steps, seed=seed, model=model, start=start)
    logits = predictions(session, name, run, Path(prepared["folder"]) / "test")
    _, (_, labels) = images(session, kind)
    return run | {"right": (logits.argmax(1) == np.array(labels, int)).tolist()}


def _trained(session: Session, name: str, kind: str, prepared: dict[str, Any], **options: Any) -> dict[str, Any]:
    shards, room = Path(prepared["folder"]) / "train", prepared["longest"] + 2
    options |= {"task": "classify", "context": room, "batch_size": BATCH[kind], "learning_rate": RATE}
    return trained(session, name, shards, **options)


def linear(session: Session) -> list[bool]:
    """Return of which test images logistic regression on pixels tells the class: what needs no ids at all."""
    from sklearn.linear_model import LogisticRegression

    (train, labels), (test, test_labels) = images(session, "ult")

    def make(_: Path) -> dict[str, Any]:
        x, y = (np.stack([i.ravel() for i in many]).astype(np.float32) / 255 - 0.5 for many in (train, test))
        told = LogisticRegression(C=1e-3, max_iter=100).fit(x, labels).predict(y)
        return {"right": (told == np.array(test_labels)).tolist()}

    found: list[bool] = session.once("linear", {"train": len(train), "test": len(test)}, make)["right"]
    return found


def accuracies(
    found: dict[str, list[dict[str, Any]]], pixels: list[bool], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the accuracy of each system, and ours less the others', on the images that both were asked."""
    right = {system: np.array([one["right"] for one in runs], float) for system, runs in found.items()}
    right[LINEAR] = np.array([pixels] * len(seeds), float)
    asked = {"n_asked": right["ult"].shape[1], "seeds": seeds, "higher_is_better": True}
    metrics = [metric("accuracy", s, over_both(scores), n=scores.shape[1], **asked) for s, scores in right.items()]
    for system, other, goal in (
        ("ult", "raw", "above 0"),
        ("ult", "paper", "above 0"),
        ("ult, pre-trained", "ult", "above 0"),
        ("ult, pre-trained", LINEAR, ""),
    ):
        n = min(right[system].shape[1], right[other].shape[1])
        more = over_both(right[system][:, :n] - right[other][:, :n])
        metrics.append(
            metric(f"accuracy, above {other}", system, more, n=n, baseline=other if goal else "", goal=goal, **asked)
        )
    return metrics


def economy(prepared: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ids an image takes, beside how true it is."""
    ours, theirs = prepared["ult"], prepared["paper"]
    fewer, true = {"higher_is_better": False}, {"higher_is_better": True, "unit": "dB"}
    metrics = [metric("ids per image", kind, counted(p["ids"]), n=p["n"], **fewer) for kind, p in prepared.items()]
    metrics += [
        metric("PSNR", kind, counted(prepared[kind]["psnr"]), n=prepared[kind]["n"], **true)
        for kind in ("ult", "paper")
    ]
    n, ratio = (
        {"n": ours["n"], "unit": "x", "baseline": "paper", "goal": "at most 0.25"} | fewer,
        ours["ids"] / theirs["ids"],
    )
    metrics.append(metric("ids per image, ratio at its PSNR", "ult", counted(ratio), **n))
    ratio = ours["ids_plain"] / theirs["ids"]
    metrics.append(metric("ids per image, ratio at its PSNR without stretch", "ult", counted(ratio), **n))
    return metrics


def draw(session: Session, photos: dict[str, Any], prepared: dict[str, Any]) -> dict[str, Any]:
    """Let the language model of photographs draw, freely and with the table's grammar; return what decodes.

    The picture has tiles as they come back on the left, and what was drawn on the right.
    """
    from PIL import Image as Pillow

    from ult.owner.constrained import TableGrammar, read_written
    from ult.trainer.generate import generate

    (train, _), _ = images(session, "ult")
    n = session.sized(DRAWN, 8)

    def make(folder: Path) -> dict[str, Any]:
        ours = table(train, prepared["quality"]).table
        whole: dict[str, list[bool]] = {}
        for system, grammar in (("ult, without grammar", None), ("ult", TableGrammar(ours))):
            many = generate(photos["run"], n=n, grammar=grammar, seed=0)
            whole[system] = [read_written([ids], ours).whole == 1 for ids in many]
        drawn = [image for image in read_written(many, ours).records if image.shape == (32, 32, 3)]
        true = ours.decode_batch(ours.encode_batch(tiles(session, n)))
        sheet = np.concatenate(
            [_sheet(true), np.full((_sheet(true).shape[0], 16, 3), 255, np.uint8), _sheet(drawn, n)], axis=1
        )
        Pillow.fromarray(sheet.repeat(ZOOM, 0).repeat(ZOOM, 1)).save(folder / "generated.png")
        return {"whole": whole, "of_size": len(drawn)}

    return session.once("drawn", {"run": photos["origin"], "n": n, "quality": prepared["quality"]}, make)


def _sheet(images: Sequence[Image], n: int = 0) -> Image:
    """Return images in rows, the places of those that are missing grey."""
    places = np.full((max(n, len(images)), 32, 32, 3), 192, np.uint8)
    places[: len(images)] = np.stack(images)
    return places.reshape(-1, ACROSS, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32 * ACROSS, 3)


def notes(paper: dict[str, Any], drawn: dict[str, Any], photos: dict[str, Any]) -> list[str]:
    """Return what else was found."""
    return [
        f"The papers' images come back at {paper['psnr']:.1f} dB, {paper['psnr_plain']:.1f} dB without the stretch of "
        f"each to all grey levels; quality {paper['quality_plain']} of `image/dct` is as true as the latter.",
        f"Left, tiles of photographs as they come back; right, {len(drawn['whole']['ult'])} images that the language "
        f"model of photographs drew after {photos['steps']} steps: "
        "![drawn images](../results/image-classify-generated.png)",
    ]


def _kind(system: str) -> str:
    return system.partition(",")[0]


if __name__ == "__main__":
    main()
