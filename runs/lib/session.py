"""A row at work: what was asked for, a folder in which finished trainings stay, and the writing of its result.

Every row takes `--data FOLDER`, and `--quick`, which runs all of it at a size that shows nothing: its result stays in
the work folder. What has run is kept in `runs/.work/<row>/`, and not done again with the same settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lib.result import ROOT, committed, document, earlier, git, write

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
Settings = dict[str, Any]  # JSON values


@dataclass(frozen=True)
class Session:
    """One call of a row; cheap to send to another process."""

    row: str
    data: Path
    quick: bool
    workers: int  # processes, of one thread each
    model: str  # a preset or checkpoint that `ult train` takes
    began: float  # seconds since 1970: what is used from then on is what the result rests on
    kept: bool = False  # whether figures of trained models that the result has are taken from it

    @classmethod
    def begin(cls, row: str) -> Session:
        """Return the session that the command line asks for."""
        parser = argparse.ArgumentParser(description=f"Measure row {row}.")
        data = os.environ.get("DATA", "../shared/data")
        parser.add_argument(
            "--data", type=Path, default=data, help="the folder with text/, images/, series/, molecules/"
        )
        parser.add_argument("--quick", action="store_true", help="try everything at a size that shows nothing")
        parser.add_argument("--workers", type=int, default=2, help="processes to train in, of one thread each")
        parser.add_argument("--model", default="tiny", help="a preset or checkpoint that ult train takes")
        parser.add_argument("--kept", action="store_true", help="take figures of trained models from the result")
        asked = parser.parse_args()
        if not asked.data.is_dir():
            parser.error(f"{asked.data} is not a folder")
        began = time.time() - 1  # the times of files lag behind the clock
        session = cls(row, asked.data.resolve(), asked.quick, asked.workers, asked.model, began, asked.kept)
        session.work.mkdir(parents=True, exist_ok=True)
        return session

    @property
    def work(self) -> Path:
        """The folder of all that this row has done."""
        return ROOT / "runs" / ".work" / (f"{self.row}-quick" if self.quick else self.row)

    def sized(self, full: Any, quick: Any) -> Any:
        """Return what a full run takes, or a quick one."""
        return quick if self.quick else full

    def once(self, name: str, settings: Settings, make: Callable[[Path], Settings]) -> Settings:
        """Return what `make(folder)` returned, called in a new folder of that name unless it was with these settings.

        The answer has `seconds` (CPU time of this process) and `folder` too.
        """
        folder = self.work / name
        asked = json.loads(json.dumps(settings))
        try:
            done: Settings = json.loads((folder / "done.json").read_text(encoding="utf-8"))
            if done["settings"] == asked:
                (folder / "done.json").touch()
                return done["result"] | {"seconds": done["seconds"], "folder": str(folder)}
        except (FileNotFoundError, ValueError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        at, started, wall = git(), time.process_time(), time.monotonic()
        result = make(folder)
        seconds = time.process_time() - started
        done = {"settings": asked, "result": result, "seconds": seconds, "git": at}
        (folder / "done.json.new").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
        (folder / "done.json.new").rename(folder / "done.json")
        print(f"{self.row}: {name} took {seconds:.0f} s of CPU, {time.monotonic() - wall:.0f} s", flush=True)
        return result | {"seconds": seconds, "folder": str(folder)}

    def each(self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return `work(self, *job)` of every job, in order, in `workers` processes; `work` is a module's function."""
        if self.workers == 1:
            return [work(self, *job) for job in jobs]
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            return [future.result() for future in [pool.submit(work, self, *job) for job in jobs]]

    def earlier(self) -> Settings:
        """Return the row's result as it is in `results/`; each metric says at which day and commit it was measured."""
        return earlier(self.row)

    def beside_earlier(self, metrics: Sequence[Settings], without: str = "") -> list[Settings]:
        """Return metrics with those of the row's result that are not measured anew, beside others of the same name.

        Those in whose name, or system, `without` stands are left out, unless it is empty.
        """
        anew = {(one["name"], one["system"]) for one in metrics}
        old = [one for one in self.earlier()["metrics"] if not (without and without in one["name"] + one["system"])]
        every = [*metrics, *(one for one in old if (one["name"], one["system"]) not in anew)]
        return [one for name in dict.fromkeys(one["name"] for one in every) for one in every if one["name"] == name]

    def write(self, title: str, metrics: Sequence[Settings], *, asked: str, setting: str, model: Settings,
              notes: Sequence[str] = (), chart: Sequence[str] = ()) -> None:  # fmt: skip
        """Check and write the result, draw it, and print its figures."""
        used = [path for path in self.work.rglob("done.json") if path.stat().st_mtime >= self.began]
        finished = [json.loads(path.read_text(encoding="utf-8")) for path in used]
        before: Settings = self.earlier() if self.kept else {"trainings": [], "minutes": 0.0}
        made = document(
            self.row,
            title,
            metrics,
            asked=asked,
            setting=setting,
            notes=notes,
            chart=chart,
            command=f"runs/{self.row}.sh",
            trainings=sorted({*(done["git"] for done in finished), *before["trainings"]}),
            device=_device(),
            minutes=round(before["minutes"] + sum(done["seconds"] for done in finished) / 60, 1),
            model=model,
        )
        path = write(made, self.work if self.quick else ROOT / "results")
        from lib.chart import draw

        draw(committed(made), path.with_suffix(".png"))
        print(f"{made['minutes']} minutes of CPU")


def digest(*paths: Path) -> str:
    """Return a hash of files: what a training rests on."""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()[:16]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
