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
from lib import patches
from lib.attacked import attacked
from lib.baselines import Ours, write_ids
from lib.corpus import Image, labelled_cifar, tiles
from lib.interval import counted, over_both
from lib.paper_image import PaperImages, psnr
from lib.result import ROOT, metric
from lib.session import Session
from lib.training import predictions, trained

from ult.codecs.image import ImageDct

TRAINED = ("ult, transformer", "ult, pre-trained", "paper")
SIZE = 8192
SECONDS, PRETRAINING = 40, 50  # of CPU; the second at a classifier's pace, which a language model takes 3 times
BATCH = {"ult": 32, "paper": 8}  # images a step: who reads slower takes smaller ones, and more of them
RATE = 1e-3  # of classifiers: at 3e-3, which suits language models, small batches learn nothing (dev/log.md)
RAW_RATES, CHOOSING = (1e-3, 3e-3), 2_000  # of which raw has the better one, by so many of the images to train on
SHOWN, TESTED = 20_000, {"ult": 2_000, "paper": 500}  # images to train on, and to test on
QUALITY = 60  # unless the papers' setting is truer
CHOSEN_ON = 500  # images on which to choose a quality
LEAKED = 500  # images to attack, and as many others that the attacker has
DRAWN, ACROSS, ZOOM = 64, 8, 3  # images to draw, how many side by side, how many times as large
LINEAR, PLAIN = "logistic regression", "ult, without places"
PLACES = {"ult": 4, PLAIN: 0}
TITLE = "Images, classified"
ASKED = "Does a model of ids tell as much of an image as a model of its pixels, and what does such a code give away?"
SETTING = """\
CIFAR-10, 20,000 images of 32x32 to train and 2,000 to test on (as JPEGs, as the data folder has them). `ult` is \
`ult train --model bag`, a linear model of which ids an image holds, on `image/dct` with places at quality {quality} \
({as_true} is one above what is as true to 500 training images as the papers' setting), vocabulary {size:,}; it took \
{bag:.0f} seconds of CPU. `ult, without places` is the same model on the code of before. `ult, transformer` is \
`tiny` on the same ids, `paper` `tiny` on the papers' setting (8x8 blocks, 3x3 frequencies a channel, one decimal, \
ranks as ids): a record at a time between two ends of record, the class read off the last id, {ult} and {paper} \
images a step. `raw` is a transformer as wide and deep, of 8x8 patches of pixels through a linear map, all attending \
to all, with the better of two rates. Transformers take as many steps as fit in {seconds} seconds of CPU, by each \
system's own seconds a step, with a schedule of that length. `ult, pre-trained` first was a language model of \
{photos:,} tiles of 234 photographs for {pretraining:.0f} more seconds, encoded with the same table: the owner's, \
fitted on CIFAR-10, so that rows are kept; one such model, fine-tuned with each seed. `paper` is slow to run and is \
tested on fewer images. Accuracy above another's is paired, on the images that both were asked. `logistic \
regression` on pixels has all 20,000 images. What leaks: `ult audit code` on the ids of {leaked} images, with \
{leaked} others as public ones."""


def main() -> None:
    """Encode, pre-train, train for equal time, compare, attack, and let the pre-trained model draw."""
    session = Session.begin("image-classify")
    seeds = session.sized((0, 1, 2), (0, 1))
    paper, kinds = reference(session), ("ult", PLAIN, "paper")
    prepared = dict(zip(kinds, session.each(prepare, [(kind, paper) for kind in kinds]), strict=True))
    pace = dict(zip(BATCH, session.each(step_seconds, [(kind, prepared[kind]) for kind in BATCH]), strict=True))
    steps = {kind: max(2, round(session.sized(SECONDS, 2) / pace[kind])) for kind in BATCH}
    photos = pretrain(session, prepared["ult"], max(2, round(session.sized(PRETRAINING, 4) / pace["ult"])))
    jobs = [(one, seed, prepared[_kind(one)], steps[_kind(one)], photos) for seed in seeds for one in TRAINED]
    each = session.each(train_one, jobs)
    found = {s: [one for (system, *_), one in zip(jobs, each, strict=True) if system == s] for s in TRAINED}
    bags = session.each(bag, [(kind, prepared[kind]) for kind in ("ult", PLAIN)])
    rate = patches_rate(session)
    raw = session.each(train_patches, [(seed, rate) for seed in seeds])
    right = {
        "ult": [bags[0]["right"]] * len(seeds),
        **{system: [one["right"] for one in runs] for system, runs in found.items()},
        PLAIN: [bags[1]["right"]] * len(seeds),
        "raw": [one["right"] for one in raw],
        LINEAR: [linear(session)] * len(seeds),
    }
    drawn = draw(session, photos, prepared["ult"])
    picture = (session.work if session.quick else ROOT / "results") / "image-classify-generated.png"
    shutil.copyfile(Path(drawn["folder"]) / "generated.png", picture)
    metrics = accuracies(right, seeds) + economy(prepared)
    seen = {
        "ult, transformer": steps["ult"] * BATCH["ult"],
        "raw": raw[0]["seen"],
        "paper": steps["paper"] * BATCH["paper"],
    }
    for system, many in seen.items():
        metrics.append(metric("images seen in equal time", system, counted(many), n=many, higher_is_better=True))
    for kind, told in zip(("ult", PLAIN), session.each(leak, [("ult", paper), (PLAIN, paper)]), strict=True):
        of = {"n": told["n"], "seeds": [0], "higher_is_better": False}
        metrics.append(metric("ids read by the strongest attack", kind, told["read"], **of))
        more = counted(told["decibels"])
        metrics.append(
            metric("dB nearer than the blind guess", kind, more, n=LEAKED, higher_is_better=False, unit="dB")
        )
    for system, whole in drawn["whole"].items():
        of = {"n": len(whole), "seeds": [0], "higher_is_better": True}
        metrics.append(metric("drawn images that decode", system, over_both(np.array([whole], float)), **of))
    one = found["ult, transformer"][0]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(seconds=session.sized(SECONDS, 2), size=SIZE, quality=paper["quality"],
                               as_true=paper["as_true"],
                               pretraining=photos["step_seconds"] * photos["steps"], bag=bags[0]["cpu"],
                               photos=prepared["ult"]["photos"], leaked=LEAKED, **BATCH),
        notes=notes(paper, drawn, photos),
        chart=["accuracy", "ids per image", "ids read by the strongest attack", "drawn images that decode"],
        model={"name": session.model, "parameters": one["parameters"], "learning rate": one["learning_rate"]},
    )  # fmt: skip


def images(session: Session, kind: str) -> tuple[tuple[list[Image], list[str]], tuple[list[Image], list[str]]]:
    """Return the images to train and to test on, with their labels."""
    shown, tested = session.sized(SHOWN, 200), session.sized(TESTED.get(kind, TESTED["ult"]), 20)
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
        return told | {"as_true": told["quality"], "quality": max(QUALITY, told["quality"])}

    settings = {"train": len(train), "test": len(test), "chosen on": CHOSEN_ON, "quality": QUALITY}
    return session.once("reference", settings, make)


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
        code: Any = PaperImages(train) if kind == "paper" else table(train, paper["quality"], PLACES[kind])
        for part, records, classes in (("train", train, labels), ("test", test, test_labels)):
            write_ids(folder / part, code.encode(records), code, sum(i.size for i in records), classes, column="image")
        if kind != "paper":
            told = {"psnr": psnr(test, code.table.decode_batch(code.encode(test)))}
        if kind == "ult":
            photos = tiles(session, session.sized(10**6, 200))
            write_ids(folder / "photos", code.encode(photos), code, sum(i.size for i in photos), column="image")
            at_plain = table(train, paper["quality_plain"], PLACES[kind]).encode(test)
            at_true = table(train, paper["as_true"], PLACES[kind]).encode(test)
            told |= {"photos": len(photos), "ids_true": float(np.mean([len(ids) for ids in at_true])),
                    "psnr_plain": psnr(test, _restored(ImageDct(quality=paper["quality_plain"]), test)),
                    "ids_plain": float(np.mean([len(ids) for ids in at_plain]))}  # fmt: skip
        lengths = [len(ids) for ids in code.encode(test)]
        longest = max(lengths + [len(ids) for ids in code.encode(train)])
        return told | {"ids": float(np.mean(lengths)), "longest": longest, "size": code.size, "n": len(test)}

    settings = {"size": SIZE, "train": len(train), "test": len(test), "quality": paper["quality"]}
    return {**paper, **session.once(f"shards/{kind.replace(', ', '-')}", settings, make)}


def table(train: Sequence[Image], quality: int, places: int) -> Ours:
    """Return our encoder, fitted on the images to train on."""
    return Ours(train, SIZE, ImageDct(quality=quality, places=places))


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


def bag(session: Session, kind: str, prepared: dict[str, Any]) -> dict[str, Any]:
    """Fit a linear model of ids; return of which test images it told the class, and the seconds of CPU it took."""
    name, folder = f"bag-{kind.replace(', ', '-')}", Path(prepared["folder"])
    about = {"task": "classify", "model": "bag", "context": prepared["longest"] + 2, "seed": 0}
    run = trained(session, name, folder / "train", **about)
    logits = predictions(session, name, run, folder / "test")
    _, (_, labels) = images(session, kind)
    return {"right": (logits.argmax(1) == np.array(labels, int)).tolist(), "cpu": run["step_seconds"] * run["steps"]}


def patches_rate(session: Session) -> float:
    """Return the rate with which a transformer of patches tells most of the images that are kept apart."""

    def make(_: Path) -> dict[str, Any]:
        train, labels = images(session, "raw")[0]
        apart = session.sized(CHOOSING, 50)
        found = []
        for rate in RAW_RATES:
            told = _patches(session, train[:-apart], labels[:-apart], train[-apart:], seed=0, rate=rate)["told"]
            found.append(float(np.mean(told == np.array(labels[-apart:], int))))
        return {"rate": RAW_RATES[int(np.argmax(found))], "accuracies": found}

    rate: float = session.once("raw-rate", {"rates": RAW_RATES, "seconds": SECONDS}, make)["rate"]
    return rate


def train_patches(session: Session, seed: int, rate: float) -> dict[str, Any]:
    """Train a transformer of patches; return of which test images it told the class, and how many it saw."""

    def make(_: Path) -> dict[str, Any]:
        (train, labels), (test, test_labels) = images(session, "raw")
        found = _patches(session, train, labels, test, seed=seed, rate=rate)
        return {"right": (found["told"] == np.array(test_labels, int)).tolist(), "seen": found["seen"]}

    return session.once(f"raw-{seed}", {"rate": rate, "seconds": SECONDS, "seed": seed}, make)


def _patches(
    session: Session, train: list[Image], labels: list[str], test: list[Image], **about: Any
) -> dict[str, Any]:
    classes = np.array(labels, int)
    steps = max(2, round(session.sized(SECONDS, 2) / patches.step_seconds(train, classes)))
    model = patches.fitted(train, classes, steps=steps, **about)["model"]
    return {"told": patches.told(model, test), "seen": steps * patches.BATCH}


def leak(session: Session, kind: str, paper: dict[str, Any]) -> dict[str, Any]:
    """Return what the strongest attack by public images reads of the ids of others."""
    (train, _), _ = images(session, "ult")
    many = session.sized(LEAKED, 40)
    ours = table(train[:many], paper["quality"], PLACES[kind])
    return attacked(session, f"leak/{kind.replace(', ', '-')}", ours, train[:many], train[-many:])


def accuracies(hits: dict[str, list[list[bool]]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the accuracy of each system, and ours less the others', on the images that both were asked."""
    right = {system: np.array(each, float) for system, each in hits.items()}
    asked = {"n_asked": right["ult"].shape[1], "seeds": seeds, "higher_is_better": True}
    metrics = [metric("accuracy", s, over_both(scores), n=scores.shape[1], **asked) for s, scores in right.items()]
    for system, other, goal in (
        ("ult", "raw", "above 0"),
        ("ult", LINEAR, "above 0"),
        ("ult", PLAIN, "above 0"),
        ("ult", "paper", "above 0"),
        ("ult, transformer", "raw", ""),
        ("ult, pre-trained", "ult, transformer", "above 0"),
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
        for kind in ("ult", PLAIN, "paper")
    ]
    n, ratio = (
        {"n": ours["n"], "unit": "x", "baseline": "paper", "goal": "at most 0.25"} | fewer,
        ours["ids_true"] / theirs["ids"],
    )
    metrics.append(metric("ids per image, ratio at its PSNR", "ult", counted(ratio), **n))
    ratio = ours["ids_plain"] / theirs["ids"]
    metrics.append(metric("ids per image, ratio at its PSNR without stretch", "ult", counted(ratio), **n))
    return metrics


def draw(session: Session, photos: dict[str, Any], prepared: dict[str, Any]) -> dict[str, Any]:
    """Let the language model of photographs draw, freely and with the table's grammar; return what decodes.

    The picture has what was drawn alone, as photographs are not ours to show.
    """
    from PIL import Image as Pillow

    from ult.owner.constrained import TableGrammar, read_written
    from ult.trainer.generate import generate

    (train, _), _ = images(session, "ult")
    n = session.sized(DRAWN, 8)

    def make(folder: Path) -> dict[str, Any]:
        ours = table(train, prepared["quality"], PLACES["ult"]).table
        whole: dict[str, list[bool]] = {}
        for system, grammar in (("ult, without grammar", None), ("ult", TableGrammar(ours))):
            many = generate(photos["run"], n=n, grammar=grammar, seed=0)
            whole[system] = [read_written([ids], ours).whole == 1 for ids in many]
        drawn = [image for image in read_written(many, ours).records if image.shape == (32, 32, 3)]
        sheet = _sheet(drawn, n)
        Pillow.fromarray(sheet.repeat(ZOOM, 0).repeat(ZOOM, 1)).save(folder / "generated.png")
        return {"whole": whole, "of_size": len(drawn)}

    return session.once("drawn-alone", {"run": photos["origin"], "n": n, "quality": prepared["quality"]}, make)


def _sheet(images: Sequence[Image], n: int) -> Image:
    """Return images in rows, the places of those that are missing grey."""
    places = np.full((max(n, len(images)), 32, 32, 3), 192, np.uint8)
    places[: len(images)] = np.stack(images)
    return places.reshape(-1, ACROSS, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32 * ACROSS, 3)


def notes(paper: dict[str, Any], drawn: dict[str, Any], photos: dict[str, Any]) -> list[str]:
    """Return what else was found."""
    return [
        f"The papers' images come back at {paper['psnr']:.1f} dB, {paper['psnr_plain']:.1f} dB without the stretch of "
        f"each to all grey levels; quality {paper['quality_plain']} of `image/dct` is as true as the latter.",
        f"{len(drawn['whole']['ult'])} images that the language model of photographs drew after {photos['steps']} "
        "steps: "
        "![drawn images](../results/image-classify-generated.png)",
    ]


def _kind(system: str) -> str:
    return system.partition(",")[0]


if __name__ == "__main__":
    main()
