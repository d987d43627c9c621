"""`ult.forget.run`: a run without records that it was trained on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, OutputExists
from ult.host.arguments import checked, integer, number, path, switch_or, text
from ult.host.arguments import switch as yes
from ult.host.free import check_free
from ult.host.shown import Facts, Shown, count
from ult.public import folders
from ult.public.folders import Folders
from ult.public.gone import gone_argument
from ult.public.metrics import METHODS, Metrics
from ult.public.run import Run
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.inputs import Files
from ult.trainer.distributed import join_processes
from ult.trainer.forgetting.again import Cost, train_again
from ult.trainer.forgetting.against import Against, train_against
from ult.trainer.forgetting.asked import Asked
from ult.trainer.forgetting.base import Base, base_of
from ult.trainer.train import train
from ult.trainer.workdir import RUN, Resume, finish, partial_folder, working_folder, write_told

AGAINST = METHODS[2:]  # methods that train against the records and guarantee nothing


@dataclass(frozen=True, slots=True, repr=False)
class Forgotten(Shown):
    """A run without records that an earlier one was trained on: what was done, at what cost, and what is promised."""

    run: Run
    told: Metrics  # `forgotten` in its metrics
    said: tuple[str, ...] = ()

    def facts(self) -> Facts:
        """Return the run, the records, the method, and what it promises."""
        promise = {"exact": "trained again without the records", "guaranteed": f"epsilon {self.told.get('epsilon')}"}
        method = str(self.told["method"])
        return [
            ("folder", str(self.run.path)),
            ("records forgotten" if method in promise else "records trained against", f"{self.told['rows']:,}"),
            ("method", method),
            ("guarantee", promise.get(method, "none")),
            ("table", str(self.told["table"]).replace("unchanged", "of before")),
        ]

    def remarks(self) -> tuple[str, ...]:
        """Return what the owner should know, in one sentence each."""
        return self.said


@checked(
    run=folders.run_argument,
    shards=folders.folders_argument,
    out=path,
    rows=gone_argument,
    method=text("exact, guaranteed, npo or graddiff"),
    base=path,
    targets=folders.folders_or_none,
    validation=folders.folders_or_none,
    validation_targets=folders.folders_or_none,
    steps=integer(1),
    learning_rate=number,
    beta=number,
    resume=switch_or("auto"),
    force=yes,
)
def forget(
    run: Run | str | Path,
    shards: Folders,
    out: str | Path,
    *,
    rows: Files,
    method: str = "exact",
    base: str | Path | None = None,
    targets: Folders | None = None,
    validation: Folders | None = None,
    validation_targets: Folders | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    beta: float | None = None,
    resume: Resume = False,
    force: bool = False,
) -> Forgotten:
    """Write `out`, the run without the records that files of `ult forget find` name, and return it.

    `shards`, and targets and validation shards if there were any, are those that the run was trained on. Method "exact"
    trains again the members that saw a record, and copies the others; "guaranteed" trains again from `base`, a run with
    epsilon that the run went on from. Both need no table and learn nothing of one. "npo" and "graddiff" train the run
    against the records for `steps`, and guarantee nothing.

    Raises `InvalidConfig`, `MissingSource`, `OutputExists`, `OutputError` or `TrainingError`.

    For example, after `ult.forget.find`:

        ult.forget.run("run", "notes.shards", "run2", rows="gone.rows")
    """
    opened, out = run if isinstance(run, Run) else Run.open(run), Path(out)
    options = Against.of(method, steps, learning_rate, beta)
    _check(opened, method, base)
    if join_processes().num_processes > 1:
        raise InvalidConfig("ult forget run works in one process", hint="without torchrun or accelerate launch")
    beside = {
        name: None if given is None else folders.paths(given)
        for name, given in (
            ("targets", targets),
            ("validation", validation),
            ("validation_targets", validation_targets),
        )
    }
    places = folders.paths(shards)
    asked = Asked.open(opened, places, rows, **beside)
    told = _told(asked, method)
    if resume == "auto" and not force and out.exists():
        return _finished(out, told)
    check_free(out, RUN, force=force)
    began = None if options else base_of(asked, base, guaranteed=method == "guaranteed")
    with _working(asked, out, told, resume=resume, force=force) as folder:
        if options:
            metrics, cost = train_against(asked, options, folder), None
        else:
            place = None if began is None else began.run.path
            metrics, cost = train_again(train, asked, place, folder, shards=places, beside=beside, rows=rows)
        told |= _cost(cost) | _promised(began if method == "guaranteed" else None, asked)
        private = {"gone"} if metrics.get("privacy") else set()  # an exact function of the records' places
        write_told(folder, {**metrics, "forgotten": {k: v for k, v in told.items() if k not in private}})
        finish(folder.parent, out, force=force)
    return Forgotten(Run.open(out), told, tuple(_remarks(asked, out, told, cost, began)))


def _check(run: Run, method: str, base: object) -> None:
    """Raise `InvalidConfig` for a run that cannot forget by this method."""
    if taught := run.metrics.get("distilled"):
        names = " ".join(str(one["run"]) for one in taught)
        raise InvalidConfig(
            f"{run.path} was distilled from {names}, and learned of the records from there",
            hint=f"ult forget run {taught[0]['run']} SHARDS --rows GONE.rows -o FORGOT, then "
            f"ult distil FORGOT --shards SHARDS --without GONE.rows -o {run.path.name}2",
        )
    if parts := run.metrics.get("averaged"):
        names = " ".join(str(one["run"]) for one in parts)
        raise InvalidConfig(
            f"{run.path} was averaged of {names}, each of which learned of the records by itself",
            hint=f"ult forget run {parts[0]['run']} SHARDS --rows GONE.rows -o FORGOT, and so on; then ult average",
        )
    if run.metrics.get("federated") is not None and method not in AGAINST:
        raise InvalidConfig(
            f"{run.path} is an owner's run of a federation: its body went to the others and came back, so training it "
            "again is a matter of all owners",
            hint="ult federate again with shards of ult forget shards",
        )
    _check_taught(run)
    if base is not None and method in AGAINST:
        raise InvalidConfig(f"a base was given for method {method}, which goes on from the run itself")
    told = run.metrics.get("recipe") or {}
    began, derived = run.metrics.get("from_run"), told and not run.metrics.get("forgotten")
    if method not in AGAINST and derived and told.get("from_run") != began:
        raise InvalidConfig(
            f"{run.path} was made from {began} without a training, so none can be done again",
            hint=f"ult forget run {began}, then make it again from what that writes",
        )


def _check_taught(run: Run) -> None:
    """Raise `InvalidConfig` for a run that had records, or another run, to learn from besides its shards."""
    if earlier := run.metrics.get("compatible"):
        raise InvalidConfig(
            f"{run.path} was trained to agree with {earlier[0]['run']}, and learned of its records from there",
            hint="ult forget run with that one, then ult train --without GONE.rows --compatible-with what it writes",
        )
    if replayed := run.metrics.get("replay"):
        raise InvalidConfig(
            f"{run.path} replayed {replayed['name']}, which ult forget run cannot",
            hint=f"ult train SHARDS --replay {replayed['name']}:{replayed['share']:g} --without GONE.rows",
        )


def _told(asked: Asked, method: str) -> dict[str, Any]:
    """Return what metrics say of what is forgotten, as far as it is known before."""
    free = all(one.manifest.privacy or one.manifest.public_table for one in asked.inputs.shards)
    return {
        "rows": asked.rows,
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "method": method,
        "of": asked.run.digest(),
        "gone": [gone.digest for gone in asked.new],
        "table": "promised" if free else "unchanged",
        "epsilon": None,
        "delta": None,
    }


def _cost(cost: Cost | None) -> dict[str, int]:
    if cost is None:
        return {}
    return {"members": cost.of, "members_again": cost.again, "steps": cost.steps, "steps_before": cost.before}


def _promised(base: Base | None, asked: Asked) -> dict[str, Any]:
    if base is None or base.promise is None:
        return {}
    return {"epsilon": base.promise.epsilon, "delta": base.promise.delta}


@contextmanager
def _working(asked: Asked, out: Path, told: dict[str, Any], *, resume: Resume, force: bool) -> Iterator[Path]:
    """Yield the folder of the new run, in the hidden one that an interrupted call leaves to the next."""
    same = {name: told[name] for name in ("of", "method", "gone")}
    data = asked.inputs.summaries | {"teachers": [], "forgetting": [same]}
    with ExitStack() as stack:
        stack.enter_context(working_folder(out, asked.recipe, data, resume=resume, force=force))
        yield partial_folder(out) / "run"


def _finished(out: Path, told: dict[str, Any]) -> Forgotten:
    """Return what an earlier call of the same wrote. Raises `OutputExists` if `out` is something else."""
    check_free(out, RUN, force=True)
    done = Run.open(out)
    before = done.metrics.get("forgotten") or {}
    if any(before.get(name, told[name]) != told[name] for name in ("of", "method", "gone")) or not before:
        raise OutputExists(f"{out} is there, and forgot other records, or otherwise", hint="another --out, or --force")
    say(f"{out.name}: done already; nothing was trained")
    return Forgotten(done, dict(before))


def _remarks(asked: Asked, out: Path, told: dict[str, Any], cost: Cost | None, base: Base | None) -> Iterator[str]:
    """Yield sentences on the cost, on what is promised, and on what still holds the records."""
    records = count(told["rows"], "record")
    if cost is not None:
        yield str(cost)
    if told["method"] in AGAINST:
        yield f"no guarantee: {told['method']} makes the run less likely to write {records}, and leaves what it learned"
    if base is not None and base.promise is not None:
        yield f"the base still depends on {records}, each by no more than {base.promise}"
        if told["rows"] > 1:
            yield f"the promise is for one record: if all {records} are one person's, it is {told['rows']} times that"
    if told["table"] == "unchanged":
        yield "the table of the shards was fitted before: its owner's ult forget table says whether it changes"
    if partial_folder(asked.run.path).exists():
        yield f"{partial_folder(asked.run.path)} holds checkpoints of an unfinished training, which saw the records"
    still = "the" if asked.run.path.absolute() == out.absolute() else f"{asked.run.path} and its"
    yield f"{still} shards still hold the records: ult inspect GONE.rows --lineage lists what does"
