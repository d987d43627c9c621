"""Trainings and evaluations of a row, each done once: what `ult train` and `ult evaluate` do, on ids of any origin."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.session import Session, digest
from ult.public.manifest import manifest_of

SAID = ("parameters", "steps", "batch_size", "context", "seed", "learning_rate", "embeddings", "truncated", "device")


DATA = ("targets", "validation", "validation_targets", "teachers", "without")  # what is given beside a recipe


def trained(
    session: Session, name: str, shards: Path | list[Path], *, start: Path | None = None, **options: Any
) -> dict[str, Any]:
    """Return what there is to know of a training: `run`, its folder, `step_seconds`, and what its metrics say.

    `options` are those of `Recipe`, and `DATA`; `start` is the run to go on from. Seconds are CPU time of this
    process, or of the clock where a GPU does the work; they count setting up too, and are spread over the steps.
    """
    import torch

    from ult.trainer.recipe import Recipe
    from ult.trainer.train import train

    torch.set_num_threads(1)

    def make(folder: Path) -> dict[str, Any]:
        cpu = time.process_time()
        asked = {name: value for name, value in options.items() if name not in DATA}
        beside = {name: options[name] for name in DATA if name in options}
        metrics = train(shards, folder / "run", Recipe(from_run=start, **asked), **beside)
        seconds = metrics["seconds"] if metrics["device"] == "cuda" else time.process_time() - cpu
        return {"step_seconds": seconds / metrics["steps"], **{key: metrics[key] for key in SAID}}

    manifests = [manifest_of(folder) for folder in ([shards] if isinstance(shards, Path) else shards)]
    settings = {**options, "shards": digest(*manifests), "start": _origin(start)}
    plain = {name: _plain(value) for name, value in settings.items()}
    found = session.once(f"runs/{name}", plain, make)
    return found | {"run": str(Path(found["folder"]) / "run"), "origin": digest(Path(found["folder"]) / "done.json")}


def bits(session: Session, name: str, run: dict[str, Any], shards: Path) -> dict[str, Any]:
    """Return what `ult evaluate` says of a run on shards."""
    from ult.trainer.evaluate import evaluate

    def make(_: Path) -> dict[str, Any]:
        return evaluate(run["run"], shards, batch_size=32)

    return session.once(f"bits/{name}", {"shards": digest(manifest_of(shards)), "run": run["origin"]}, make)


def row_bits(session: Session, name: str, run: dict[str, Any], shards: Path) -> NDArray[np.float64]:
    """Return the bits (records,) in which a run tells each record of shards, its end included."""
    import torch

    from ult.public.run import Run
    from ult.trainer.datasets.blocks import Blocks
    from ult.trainer.datasets.collator import IGNORED
    from ult.trainer.datasets.packing import open_shards, pack
    from ult.trainer.loss import batches
    from ult.trainer.models.load import load_trained

    def make(folder: Path) -> dict[str, Any]:
        opened = Run.open(run["run"])
        pack(open_shards(shards), folder / "packed")
        data = Blocks.open(folder / "packed", context=opened.context)
        bits = np.zeros(len(data.counts))
        for numbers, logits, labels in batches(load_trained(opened), data, 32):
            lost = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")
            told = (lost[labels != IGNORED] / np.log(2)).double().cpu().numpy()
            np.add.at(bits, np.concatenate([data.records(k) for k in numbers]), told)
        return {"bits": bits.tolist()}

    settings = {"shards": digest(manifest_of(shards)), "run": run["origin"]}
    return np.array(session.once(f"bits/{name}", settings, make)["bits"])


def predictions(session: Session, name: str, run: dict[str, Any], shards: Path) -> NDArray[np.float64]:
    """Return the logits (records, classes) of a classifier, classes sorted by name."""
    import torch

    from ult.public.run import Run
    from ult.trainer.datasets.collator import collate
    from ult.trainer.datasets.labelled import Labelled
    from ult.trainer.datasets.packing import open_shards, pack
    from ult.trainer.models.load import load_trained

    def make(folder: Path) -> dict[str, Any]:
        opened = Run.open(run["run"])
        model, label = load_trained(opened), opened.metrics["label"]
        classes = pack(open_shards(shards), folder / "packed", label=label, classes=opened.classes)
        data = Labelled.open(folder / "packed", context=opened.context, label=label, classes=classes)
        found = []
        for first in range(0, len(data), 32):
            batch = collate([data[k] for k in range(first, min(first + 32, len(data)))])
            with torch.inference_mode():
                found += model(input_ids=batch["input_ids"].to(model.device)).logits.float().tolist()
        return {"logits": found}

    settings = {"shards": digest(manifest_of(shards)), "run": run["origin"]}
    return np.array(session.once(f"predictions/{name}", settings, make)["logits"])


def _plain(value: Any) -> Any:
    """Return a setting as a JSON value."""
    several = isinstance(value, list) and any(isinstance(one, Path) for one in value)
    return [str(one) for one in value] if several else str(value) if isinstance(value, Path) else value


def _origin(start: Path | None) -> str:
    return "" if start is None else digest(start.parent / "done.json")
