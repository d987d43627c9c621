"""The audit of an update: what an earlier run had right and its successor has wrong, and whom that hits.

Users learn what a model can do. A successor of equal accuracy that is wrong elsewhere breaks what they rely on: each of
its *negative flips* is a record, or an id, that the earlier run had right. Accuracy alone shows none of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.errors import InvalidConfig, WrongTable
from ult.host.distribution import versions
from ult.host.shown import Facts
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.datasets.packing import label_name, mapped_labels, open_shards, pack, summary
from ult.trainer.datasets.windows import Windows
from ult.trainer.loss import batches
from ult.trainer.models.generation import check_finite
from ult.trainer.models.together import load_predictor
from ult.trainer.tasks.classify import chances_of, unlabelled
from ult.trainer.tasks.interval import RESAMPLES, wilson

FORMAT = "ult-audit-update/1"
TASKS = ("classify", "lm")
_SHOWN = 12  # labels that are printed, those that are hit most


@dataclass(frozen=True, slots=True)
class Told:
    """What two runs have right: of each prediction (n,) the record, and the label where there is one."""

    old: NDArray[np.bool_]
    new: NDArray[np.bool_]
    record: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    classes: list[Any]


def audit_update(
    old: str | Path,
    new: str | Path,
    shards: Sequence[str | Path],
    *,
    old_shards: Sequence[str | Path] | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, Any]:
    """Return, as JSON values, what run `new` has wrong on shards that run `old` has right, and the reverse.

    Both are asked on the same ids, so both are of the table of `shards`: an earlier run of another table is first moved
    by `ult align`. Or, for classifiers, `old_shards` hold the same records, in the same order, by the table of `old`.
    Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.
    """
    before, after = Run.open(old), Run.open(new)
    _check_alike(before, after)
    sources = open_shards(shards, after.vocabulary)
    earlier = sources if old_shards is None else open_shards(old_shards, before.vocabulary)
    before = _of_shards(before, earlier, "ult align OLD -t OLD.ult --to NEW.ult -o MOVED, by the owner, or --old-on")
    after = _of_shards(after, sources, "shards of the new run's table")
    if after.task == "classify":
        told = _labels(before, after, earlier, sources, batch_size)
    elif old_shards is not None:
        raise InvalidConfig(
            "old_shards were given for runs for lm: ids of two tables cannot be compared one by one",
            hint="ult align OLD -t OLD.ult --to NEW.ult -o MOVED, and ult audit update MOVED NEW",
        )
    else:
        told = _ids(before, after, sources, batch_size)
    return {
        "format": FORMAT,
        "task": after.task,
        "old": {"run": before.path.name, "digest": before.digest()},
        "new": {"run": after.path.name, "digest": after.digest()},
        "shards": summary(sources),
        "old_shards": None if old_shards is None else summary(earlier),
        "learned": [
            name for name, run, lots in (("old", before, earlier), ("new", after, sources)) if _learned(run, lots)
        ],
        **figures(told, seed),
        "seed": seed,
        "versions": versions("numpy", "torch", "transformers"),
    }


def figures(told: Told, seed: int) -> dict[str, Any]:
    """Return the flips, accuracies and the verdict, as JSON values, with 95 % intervals over records."""
    negative, positive = told.old & ~told.new, ~told.old & told.new
    n, records = len(told.old), int(told.record.max()) + 1
    each = {"old": told.old, "new": told.new, "negative": negative, "positive": positive}
    sums: dict[str, NDArray[np.float64]] = {
        name: np.bincount(told.record, which, records).astype(np.float64) for name, which in each.items()
    }
    sums["n"] = np.bincount(told.record, minlength=records).astype(np.float64)
    drawn = _resampled(sums, seed)
    gain = (told.new.mean() - told.old.mean()).item()
    found: dict[str, Any] = {"records": records, "predictions": n}
    for name in each:
        one = {"count": int(each[name].sum()), "share": float(each[name].mean())}
        of_ids = np.quantile(drawn[name] / drawn["n"], [0.025, 0.975]).tolist()
        found[name] = one | {"interval": wilson(one["share"], n) if n == records else of_ids}
    right = int(told.old.sum())
    found["lost"] = {"of": right, "share": found["negative"]["count"] / right if right else 0.0}
    found["lost"]["interval"] = wilson(found["lost"]["share"], right) if right and n == records else None
    spread = np.quantile((drawn["new"] - drawn["old"]) / drawn["n"], [0.025, 0.975]).tolist()
    found["gain"] = {"value": gain, "interval": spread}
    found["labels"] = _by_label(told, negative, positive)
    return found | {"verdict": verdict(found)}


def verdict(found: dict[str, Any]) -> str:
    """Return in a sentence whether the new run is better, and what it costs those who rely on the old one."""
    low, high = found["gain"]["interval"]
    change = "more accurate" if low > 0 else "less accurate" if high < 0 else "as accurate, as far as shown"
    lost, right = found["negative"]["count"], found["lost"]["of"]
    what = "records" if found["labels"] else "ids"
    cost = f"of {right:,} {what} that the old run has right it has {lost:,} wrong ({found['lost']['share']:.1%})"
    hit = [one for one in found["labels"] if one["negative"]]
    most = f"; label {hit[0]['label']} loses most, {hit[0]['negative']:,} of {hit[0]['right']:,}" if hit else ""
    return f"the new run is {change}; {cost}{most}"


def words(found: dict[str, Any]) -> Facts:
    """Return the figures as names and values."""
    what = "records" if found["labels"] else "ids"

    def share(one: dict[str, Any]) -> str:
        low, high = one["interval"]
        return f"{one['share']:.2%}  (95 %: {low:.2%} to {high:.2%})"

    low, high = found["gain"]["interval"]
    facts = [
        ("verdict", found["verdict"]),
        (what, f"{found['predictions']:,}"),
        ("old run, right", share(found["old"])),
        ("new run, right", share(found["new"])),
        ("difference", f"{found['gain']['value']:+.2%}  (95 %: {low:+.2%} to {high:+.2%})"),
        ("negative flips", f"{found['negative']['count']:,}, {share(found['negative'])} of all"),
        ("positive flips", f"{found['positive']['count']:,}, {share(found['positive'])} of all"),
    ]
    for one in found["labels"][:_SHOWN]:
        flips = f"{one['negative']:,} of {one['right']:,} lost, {one['positive']:,} of {one['wrong']:,} won"
        facts.append((f"label {one['label']}", flips))
    more = len(found["labels"]) - _SHOWN
    return [*facts, *([("more labels", f"{more:,}")] if more > 0 else [])]


def _check_alike(old: Run, new: Run) -> None:
    made_of = [old.metrics.get("from_digest"), *(one["digest"] for one in old.metrics.get("compatible") or [])]
    if new.digest() in made_of and old.digest() != new.digest():
        raise InvalidConfig(
            f"{old.path} went on from {new.path}, and was named as the earlier one",
            hint=f"ult audit update {new.path} {old.path}",
        )
    for run in (old, new):
        if run.task not in TASKS:
            raise InvalidConfig(f"{run.path} was trained for {run.task}; expected a run for {' or '.join(TASKS)}")
    ways = [{"task": one.task, "document mask": one.alone, "modality token": one.modality_token} for one in (old, new)]
    if others := [name for name in ways[0] if ways[0][name] != ways[1][name]]:
        raise InvalidConfig(f"{new.path} has another {', '.join(others)} than {old.path}; expected runs of one")


def _learned(run: Run, shards: Sequence[Shards]) -> bool:
    """Return whether a run, or one that it went on from, was trained on any of the shards."""
    own = [lot.get("digest") for lot in [*run.metrics["shards"], *run.metrics.get("targets", [])]]
    known = {*own, *(run.metrics.get("trained_before") or [])}
    return any(one.manifest.digest in known for one in shards)


def notes(found: dict[str, Any]) -> list[str]:
    """Return what else a reader of the figures should know, in one sentence each."""
    return [
        f"the {name} run learned these shards, so they do not show how it does on others: flips of records that "
        "neither run saw are what users meet"
        for name in found["learned"]
    ]


def _of_shards(run: Run, shards: Sequence[Shards], hint: str) -> Run:
    """Return the run as one of the shards' table. Raises `WrongTable`."""
    try:
        run = run.of_tables({one.manifest.table for one in shards})
        for one in shards:
            run.check_shards(one)
    except WrongTable as error:
        raise WrongTable(error.what, hint=hint) from None
    return run


def _labels(old: Run, new: Run, earlier: Sequence[Shards], sources: Sequence[Shards], batch_size: int) -> Told:
    label = label_name(sources, new.metrics.get("label"))
    with tempfile.TemporaryDirectory(prefix="ult-") as place:
        folder = Path(place)
        classes = pack(sources, folder / "labels", label=label)
        truth = np.array(mapped_labels(folder / "labels"))
        if earlier is not sources:
            known = pack(earlier, folder / "earlier", label=label)
            same = known == classes and np.array_equal(mapped_labels(folder / "earlier"), truth)
            if what := _differing(earlier, sources) if same else "labels":
                raise InvalidConfig(
                    f"{earlier[0].path} does not hold the records of {sources[0].path}, in their order: their {what} "
                    "differ",
                    hint="the same files, encoded with either table",
                )
        right = []
        for number, (run, lots) in enumerate(((old, earlier), (new, sources))):
            model = load_predictor(run)
            data = unlabelled(run, model, lots, folder / str(number))
            place_of = {name: k for k, name in enumerate(classes)}
            names = np.array([place_of.get(name, -1) for name in run.classes])
            right.append(names[chances_of(model, data, batch_size).argmax(1)] == truth)
    return Told(right[0], right[1], np.arange(len(truth)), truth, classes)


def _differing(earlier: Sequence[Shards], sources: Sequence[Shards]) -> str:
    """Return what shows that two lists of shards, by other tables, are not of the same records; "" if nothing does."""
    if sum(one.manifest.bytes for one in earlier) != sum(one.manifest.bytes for one in sources):
        return "bytes of data"
    both = [{name for one in side for name in one.manifest.kept} for side in (earlier, sources)]
    for name in sorted(both[0] & both[1]):
        one, other = (pa.concat_arrays([c for each in side for part in each.parts() for c in part[name].chunks])
                      for side in (earlier, sources))  # fmt: skip
        if not one.cast(pa.string()).equals(other.cast(pa.string())):  # NaN is equal to no NaN
            return f"values of {name}"
    return ""


def _ids(old: Run, new: Run, sources: Sequence[Shards], batch_size: int) -> Told:
    with tempfile.TemporaryDirectory(prefix="ult-") as place:
        pack(sources, Path(place), modality_token=new.modality_token)
        right, records = [], np.empty(0, np.int64)
        for run in (old, new):
            model, kind = load_predictor(run), Windows if run.alone else Blocks
            data = kind.open(Path(place), context=run.context)
            found, of = [], []
            for numbers, logits, labels in batches(model, data, batch_size):
                counted = labels != IGNORED
                found.append((check_finite(logits).argmax(-1) == labels)[counted].cpu().numpy())
                of.append(np.concatenate([data.records(k) for k in numbers]))
            right.append(np.concatenate(found))
            records = np.concatenate(of)
    return Told(right[0], right[1], records, None, [])


def _by_label(told: Told, negative: NDArray[np.bool_], positive: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the flips of each label, the one that loses the greatest share first."""
    if told.labels is None:
        return []
    found = []
    for k, name in enumerate(told.classes):
        mine = told.labels == k
        right = int(told.old[mine].sum())
        one = {"label": str(name), "records": int(mine.sum()), "right": right, "wrong": int(mine.sum()) - right}
        found.append(one | {"negative": int(negative[mine].sum()), "positive": int(positive[mine].sum())})
    return sorted(found, key=lambda one: (-one["negative"] / max(1, one["right"]), -one["negative"], one["label"]))


def _resampled(sums: dict[str, NDArray[np.float64]], seed: int) -> dict[str, NDArray[np.float64]]:
    """Return the sums (`RESAMPLES`,) over records that are drawn anew, of values (records,) by name."""
    rng, names = np.random.default_rng(seed), list(sums)
    values = np.stack([sums[name] for name in names])
    records = values.shape[1]
    drawn = [values @ np.bincount(rng.integers(0, records, records), minlength=records) for _ in range(RESAMPLES)]
    return dict(zip(names, np.array(drawn).T, strict=True))
