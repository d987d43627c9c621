"""A training whose run goes to an address, such as `gs://bucket/run`, from whatever machine does the work.

It works in a folder of this user's cache, and uploads only what is whole there: each checkpoint, then the run.

    gs://bucket/run/                   the run; its `metrics.json` comes last and goes first, and makes it one
    gs://bucket/.run.partial/          while it trains:
        recipe.json                    what was asked of it
        checkpoint-20/                 a checkpoint of the trainer
        checkpoint-20.json             the size of each of its files; it comes last and goes first

An object store renames nothing, so what is there without its last file is no run and no checkpoint. Machines do not
lock one another out: two trainings of one address would upload over one another.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, OutputError, OutputExists, SourceError
from ult.host import cache
from ult.host.atomic import Claim, hidden
from ult.host.extras import require
from ult.host.remote import Address, located
from ult.host.shown import count, size
from ult.trainer.callbacks.progress import say
from ult.trainer.distributed import collective
from ult.trainer.finished import other
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import JOURNAL, OURS, Resume, last_checkpoint

with require("accelerate", "transformers", extra="train"):
    from accelerate import PartialState
    from transformers import TrainerCallback

_LAST = "metrics.json"  # of the files of a run
_MARK = re.compile(r"checkpoint-(\d+)\.json")
_PLAIN = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*")  # names of files that lie in the folder they are told of
_MOST = 2**26  # bytes of a file that is read into memory
Data = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Away:
    """Where a run goes, and the local folder in which it is made."""

    address: Address
    out: Path

    @classmethod
    def of(cls, out: str | Path, recipe: Recipe) -> Away | None:
        """Return it for an address; None for a path of this machine. Raises `OutputError` or `InvalidConfig`."""
        address = located(out)
        if isinstance(address, Path):
            return None
        address.check_writable()
        if recipe.epsilon is not None:
            raise InvalidConfig(
                f"a training with epsilon has checkpoints that are yours alone; {address} is no place for them",
                hint="--out FOLDER, then ult release",
            )
        if (desk := cache.kept("trainings")) is None:
            raise OutputError("no folder of yours is safe to train in", hint="XDG_CACHE_HOME=FOLDER")
        return cls(address, desk / hashlib.sha256(str(address).encode()).hexdigest()[:16] / address.name)

    @property
    def partial(self) -> Address:
        """Where the checkpoints of the unfinished training go."""
        return self.address.parent / f".{self.address.name}.partial"

    def begin(self, recipe: Recipe, data: Data, *, resume: Resume, force: bool) -> dict[str, Any] | None:
        """Fetch what there is to go on from; return the metrics of a run that is done already, if that is no error.

        Raises `OutputExists`, or `SourceError` or `OutputError` for a store that does not answer.
        """
        there = self.address.files()
        if strangers := [name for name in there if not OURS.fullmatch(name)]:
            raise OutputExists(f"{self.address} holds {strangers[0]}, which is no part of a run", hint="another --out")
        if _LAST in there and not force:
            if resume != "auto":
                raise OutputExists(f"{self.address} exists already", hint="another --out, or --force to replace it")
            metrics = self._metrics()
            self._check_same(metrics, recipe, data)
            self._tidy()
            return metrics
        if force:
            return None
        if (self.out / _LAST).is_file():
            return self._go_on_uploading(recipe, data, resume)
        marks = self._marks()
        if marks and not resume:
            raise OutputExists(
                f"an unfinished training of {self.address} is there",
                hint="--resume to go on, --force to start again",
            )
        self._fetch(marks)
        return None

    def _metrics(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.address / _LAST).read(_MOST)))
        except (ValueError, TypeError, RecursionError) as error:
            raise FormatError(f"{self.address / _LAST} is damaged", hint="--force to train again") from error

    def _check_same(self, metrics: dict[str, Any], recipe: Recipe, data: Data) -> None:
        if others := other(metrics, recipe, data):
            raise OutputExists(
                f"{self.address} is there, and was trained with other {', '.join(others)}",
                hint="another --out, or --force",
            )

    def _go_on_uploading(self, recipe: Recipe, data: Data, resume: Resume) -> dict[str, Any]:
        if not resume:
            raise OutputExists(
                f"the training of {self.address} is done, and its upload was interrupted",
                hint="--resume to upload it, --force to start again",
            )
        metrics = dict(json.loads((self.out / _LAST).read_text(encoding="utf-8")))
        self._check_same(metrics, recipe, data)
        self.publish(force=False)
        return metrics

    def _marks(self) -> dict[int, Address]:
        return {
            int(match[1]): self.partial / name
            for name in self.partial.files()
            if (match := _MARK.fullmatch(name)) is not None
        }

    def _fetch(self, marks: Mapping[int, Address]) -> None:
        """Put the checkpoints of the address in place of those here, unless those go further in the same training."""
        if not marks:
            return
        journal = (self.partial / JOURNAL).read(_MOST)
        mine, here = hidden(self.out) / JOURNAL, last_checkpoint(hidden(self.out))
        same = mine.is_file() and mine.read_bytes() == journal
        if same and here is not None and int(here.name.partition("-")[2]) >= max(marks):
            return
        with Claim(self.out, journal=JOURNAL) as claim:
            claim.clear()
            for step, mark in marks.items():
                _download(self.partial / f"checkpoint-{step}", _sizes(mark), claim.folder / f"checkpoint-{step}")
            (claim.folder / JOURNAL).write_bytes(journal)  # last: without it nothing here is gone on from
            claim.keep = True
        say(f"{self.address}: checkpoint of step {max(marks):,} fetched")

    def keep(self, partial: Path) -> None:
        """Upload the checkpoints in the hidden folder that are not there yet, and remove those that went.

        A store that fails is told of, and the training goes on: the next checkpoint tries again.
        """
        try:
            marks = self._marks()
            here = {int(one.name.partition("-")[2]): one for one in partial.glob("checkpoint-*")}
            (self.partial / JOURNAL).write((partial / JOURNAL).read_bytes())
            for step, folder in here.items():
                if step not in marks:
                    _upload(folder, self.partial / folder.name)
                    (self.partial / f"{folder.name}.json").write(json.dumps(_files(folder)).encode())
            for step in marks.keys() - here.keys():
                self._remove_checkpoint(step)
        except (OutputError, SourceError) as error:
            say(f"note: the checkpoint was not uploaded: {error.what}")

    def _remove_checkpoint(self, step: int) -> None:
        folder = self.partial / f"checkpoint-{step}"
        self.partial.remove(f"{folder.name}.json")
        folder.remove(*folder.files())

    def publish(self, *, force: bool) -> None:
        """Upload the finished run, remove its checkpoints, and then the folder here. Raises as `begin`."""
        there, files = self.address.files(), _files(self.out)
        if _LAST in there and not force:
            raise OutputExists(f"{self.address} is there now, from another machine", hint="another --out, or --force")
        self.address.remove(*sorted(there, key=lambda name: name != _LAST))
        _upload(self.out, self.address, but=_LAST)
        (self.address / _LAST).upload(self.out / _LAST)
        self._tidy()
        say(f"{self.address}: {count(len(files), 'file')}, {size(sum(files.values()))}")

    def _tidy(self) -> None:
        """Remove what is left of the training, there and here."""
        left = self.partial.files()
        self.partial.remove(*sorted(left, key=lambda name: _MARK.fullmatch(name) is None))
        shutil.rmtree(self.out, ignore_errors=True)
        with suppress(OutputError), Claim(self.out, journal=JOURNAL):  # unless this training still holds it
            pass


class Uploads(TrainerCallback):
    """Uploads each checkpoint as soon as all processes have written theirs."""

    def __init__(self, away: Away, partial: Path, state: PartialState) -> None:
        self.away, self.partial, self.state = away, partial, state

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Upload what the trainer has just written."""
        with collective(self.state):
            self.state.wait_for_everyone()
        if self.state.is_main_process:
            self.away.keep(self.partial)


def fetched(address: str) -> Path:
    """Return a folder with the files of a run at an address; it goes when this process ends. Raises `SourceError`."""
    place = Address(address)
    folder = Path(tempfile.mkdtemp(prefix="ult-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _download(place, {name: size for name, size in place.files().items() if OURS.fullmatch(name)}, folder / place.name)
    return folder / place.name


def _files(folder: Path) -> dict[str, int]:
    """Return the size of each file in a folder, by its name relative to it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def _sizes(mark: Address) -> dict[str, int]:
    """Return the sizes of the files of a checkpoint, as its mark says. Raises `FormatError`."""
    try:
        told = {str(name): int(size) for name, size in json.loads(mark.read(_MOST)).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{mark} is damaged", hint="--force to start again") from error
    if wrong := [name for name in told if not _PLAIN.fullmatch(name)]:
        raise FormatError(f"{mark} names {wrong[0][:40]!r}, which is no file of a checkpoint", hint="--force")
    return told


def _upload(folder: Path, address: Address, *, but: str = "") -> None:
    for name in _files(folder):
        if name != but:
            (address / name).upload(folder / name)


def _download(address: Address, sizes: Mapping[str, int], folder: Path) -> None:
    for name, expected in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (address / name).download(folder / name)
        if (arrived := (folder / name).stat().st_size) != expected:
            raise SourceError(f"{address / name} has {arrived} bytes; expected {expected}", hint="try again")
