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

from ult.audit.model.update_verdict import judge
from ult.audit.release.finding import verdict
from ult.errors import InvalidConfig, WrongTable
from ult.host.distribution import versions
from ult.host.extras import require
from ult.owner.table import Table
from ult.owner.updated import same_ids
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

with require("torch", extra="train"):
    import torch

FORMAT = "ult-audit-update/2"
TASKS = ("classify", "lm")


@dataclass(frozen=True, slots=True)
class Told:
    """What two runs have right: of each prediction (n,) the record, and the label, or of ids the bits of both runs."""

    old: NDArray[np.bool_]
    new: NDArray[np.bool_]
    record: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    classes: list[Any]
    bits: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    kinds: int | None = None  # of ids: how many different ones the old run has right


def audit_update(
    old: str | Path,
    new: str | Path,
    shards: Sequence[str | Path],
    *,
    old_shards: Sequence[str | Path] | None = None,
    tables: tuple[Table, Table] | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, Any]:
    """Return, as JSON values, what run `new` has wrong on shards that run `old` has right, and the reverse.

    Both are asked on the same ids, so both are of the table of `shards`: an earlier run of another table is first moved
    by `ult align`. Or, for classifiers, `old_shards` hold the same records, in the same order, by the table of `old`.
    `tables`, the old one and the new, tell whether what both hold has its ids in both.
    Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.
    """
    before, after = Run.open(old), Run.open(new)
    _check_alike(before, after)
    sources = open_shards(shards, after.vocabulary)
    earlier = sources if old_shards is None else open_shards(old_shards, before.vocabulary)
    before = _of_shards(before, earlier, "ult align OLD -t OLD.ult --to NEW.ult -o MOVED, by the owner, or --old-on")
    after = _of_shards(after, sources, "shards of the new run's table")
    ids = _kept_ids(before, earlier, sources, tables)
    if after.task == "classify":
        told = _labels(before, after, earlier, sources, batch_size)
    elif old_shards is not None:
        raise InvalidConfig(
            "old_shards were given for runs for lm: ids of two tables cannot be compared one by one",
            hint="ult align OLD -t OLD.ult --to NEW.ult -o MOVED, and ult audit update MOVED NEW",
        )
    else:
        told = _ids(before, after, sources, batch_size)
    found = {
        "format": FORMAT,
        "task": after.task,
        "old": {"run": before.path.name, "digest": before.digest()},
        "new": {"run": after.path.name, "digest": after.digest()},
        "shards": summary(sources),
        "old_shards": None if old_shards is None else summary(earlier),
        "learned": [
            name for name, run, lots in (("old", before, earlier), ("new", after, sources)) if _learned(run, lots)
        ],
        "kept_ids": ids,
        **figures(told, seed),
        "seed": seed,
        "versions": versions("numpy", "torch", "transformers"),
    }
    findings = judge(found)
    return found | {"verdict": verdict(findings), "findings": [one.document() for one in findings]}


def figures(told: Told, seed: int) -> dict[str, Any]:
    """Return the flips, accuracies and bits, as JSON values, with 95 % intervals over records."""
    negative, positive = told.old & ~told.new, ~told.old & told.new
    n, records = len(told.old), int(told.record.max()) + 1
    each = {"old": told.old, "new": told.new, "negative": negative, "positive": positive}
    sums: dict[str, NDArray[np.float64]] = {
        name: np.bincount(told.record, which, records).astype(np.float64) for name, which in each.items()
    }
    sums["n"] = np.bincount(told.record, minlength=records).astype(np.float64)
    for name, bits in zip(("old_bits", "new_bits"), told.bits or (), strict=False):
        sums[name] = np.bincount(told.record, bits, records).astype(np.float64)
    drawn = _resampled(sums, seed)
    gain = (told.new.mean() - told.old.mean()).item()
    found: dict[str, Any] = {"records": records, "predictions": n}
    for name in each:
        one = {"count": int(each[name].sum()), "share": float(each[name].mean())}
        of_ids = np.quantile(drawn[name] / drawn["n"], [0.025, 0.975]).tolist()
        found[name] = one | {"interval": wilson(one["share"], n) if n == records else of_ids}
    right = int(told.old.sum())
    found["lost"] = {"of": right, "share": found["negative"]["count"] / right if right else 0.0}
    found["lost"]["kinds"] = told.kinds if told.labels is None else len(np.unique(told.labels[told.old]))
    found["lost"]["interval"] = _of_right(found["lost"]["share"], right, drawn, by_record=n == records)
    spread = np.quantile((drawn["new"] - drawn["old"]) / drawn["n"], [0.025, 0.975]).tolist()
    found["gain"] = {"value": gain, "interval": spread}
    found["bits"] = None
    if told.bits is not None:
        ratios = np.quantile(drawn["new_bits"] / drawn["old_bits"], [0.025, 0.975]).tolist()
        old, new = (float(one.mean()) for one in told.bits)
        found["bits"] = {"old": old, "new": new, "ratio": new / old, "interval": ratios}
    found["labels"] = _by_label(told, negative, positive)
    return found


def _of_right(
    share: float, right: int, drawn: dict[str, NDArray[np.float64]], *, by_record: bool
) -> list[float] | None:
    """Return the interval of a share of what the old run has right; None if that is nothing."""
    if by_record:
        return wilson(share, right) if right else None
    some = drawn["old"] > 0
    return np.quantile(drawn["negative"][some] / drawn["old"][some], [0.025, 0.975]).tolist() if right else None


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


def _kept_ids(
    before: Run, earlier: Sequence[Shards], sources: Sequence[Shards], tables: tuple[Table, Table] | None
) -> dict[str, Any] | None:
    """Return how many symbols and phrases both tables hold, and with one id; None if one table made all ids.

    The numbers are None without the tables. Raises `WrongTable` for tables of other shards or of another run.
    """
    now = sources[0].manifest.table
    was = str((before.metrics.get("aligned") or {}).get("from") or earlier[0].manifest.table)
    if tables is None:
        return None if was == now else {"shared": None, "same": None}
    for name, wanted, one in (("--old-table", was, tables[0]), ("--table", now, tables[1])):
        if one.fingerprint != wanted:
            raise WrongTable(
                f"{name} is table {one.fingerprint}; expected {wanted}",
                hint="--table with that of the shards, --old-table with the one that it updates",
            )
    shared, same = same_ids(*tables)
    return {"shared": shared, "same": same}


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
        right: list[NDArray[np.bool_]] = []
        cost, records, kinds = [], np.empty(0, np.int64), 0
        for run in (old, new):
            model, kind = load_predictor(run), Windows if run.alone else Blocks
            data = kind.open(Path(place), context=run.context)
            found, bits, of, known = [], [], [], set[int]()
            for numbers, logits, labels in batches(model, data, batch_size):
                counted = labels != IGNORED
                said, true = check_finite(logits)[counted], labels[counted]
                hit = said.argmax(-1) == true
                found.append(hit.cpu().numpy())
                known.update(true[hit].tolist())
                nats = torch.nn.functional.cross_entropy(said, true, reduction="none")
                bits.append(nats.double().cpu().numpy() / np.log(2))
                of.append(np.concatenate([data.records(k) for k in numbers]))
            kinds = kinds if right else len(known)
            right.append(np.concatenate(found))
            cost.append(np.concatenate(bits))
            records = np.concatenate(of)
    return Told(right[0], right[1], records, None, [], (cost[0], cost[1]), kinds)


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
