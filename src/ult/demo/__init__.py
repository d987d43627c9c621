"""Run the whole workflow offline on made-up notes: a hospital, a trainer, an adversary, the audit's page, and a report.

The command line itself runs every command, in a hidden folder beside `out` that is renamed to `out` at the end. So the
demo appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ult.errors import writing
from ult.host import atomic
from ult.host.extras import require_all
from ult.host.free import Kind, check_free

if TYPE_CHECKING:
    from ult.demo.session import Command
    from ult.demo.steps import Scale

_PARTIES = ("hospital", "trainer", "adversary")
_FORMER = ("owner-a", "owner-b", "trainer")  # the parties in a demo of 0.1.0, which --force may replace
_NEEDS = {"train": ("torch", "transformers", "accelerate", "matplotlib"), "demo": ("jinja2", "scikit-learn", "scipy")}


def demo(
    out: str | Path, *, command: Command, seed: int = 0, force: bool = False, scale: Scale | None = None
) -> dict[str, Any]:
    """Run the demo, write it to the folder `out`, and return the contents of its `demo.json`.

    `command` is the command line, a function of a list of arguments. Raises `OutputExists` or `MissingExtra` before
    anything is done.
    """
    out = Path(out).absolute()
    require_all(_NEEDS)
    check_free(out, DEMO, force=force)
    from ult.demo import report, steps
    from ult.demo.digits import digits
    from ult.demo.patient import whole_patient
    from ult.demo.session import Session

    scale = scale or steps.Scale()
    session = Session(command)
    way = report.called()
    typed = "" if way == "ult" else f"\n`ult` below is {way} here."
    started = time.perf_counter()
    with _folder(out, force=force), _one_thread():
        session.say(
            f"[bold]ult demo[/]: everything below happens in {out.name}/, offline, on records of nobody." + typed
        )
        figures = _merged(
            steps.encoding(session, scale, seed),
            steps.decoding(session, scale, seed),
            steps.attacking(session),
            steps.training(session, scale, seed),
            steps.remembering(session, scale),
            steps.judging(session),
            digits(session),
            whole_patient(session, scale.patients, scale.patient_ids, seed),
        )
        session.close()
        figures = report.summary(figures, session.steps, scale, seed, time.perf_counter() - started)
        report.write(figures, Path())
    session.say(report.farewell(figures, out))
    return figures


def _is_demo(folder: Path) -> bool:
    from ult.demo.report import FIGURES

    return (folder / FIGURES).is_file()


def _others(out: Path) -> list[str]:
    """Return the names of what a demo's folder holds, at any depth, but the demo did not write."""
    from ult.demo.report import FIGURES, parties
    from ult.demo.session import REPORT

    names = {path.name for path in out.iterdir()} - {FIGURES, REPORT}
    whose = _FORMER if _FORMER[0] in names else _PARTIES
    if others := sorted(names - set(whose)):
        return others
    try:
        made = json.loads((out / FIGURES).read_bytes())["parties"]
        now = parties(out, whose)
        return sorted(
            f"{party}/{name}"
            for party in whose
            for name, count in ((one["name"], one["files"]) for one in now[party])
            if {one["name"]: one["files"] for one in made[party]}.get(name) != count
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return [FIGURES]  # no demo wrote this file


DEMO = Kind("a demo", _is_demo, _others)


@contextlib.contextmanager
def _folder(out: Path, *, force: bool) -> Iterator[None]:
    """Run the block in a new folder, which is renamed to `out` if there is no error, and removed otherwise."""
    with atomic.whole(out, modes=False) as folder:  # the commands have set the modes of their files
        with writing(out):
            folder.mkdir()
            for party in _PARTIES:
                (folder / party).mkdir()
        with contextlib.chdir(folder):
            yield
        check_free(out, DEMO, force=force)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: a step then takes 0.07 s; with two threads, 0.5 s if another process uses the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return one dict with the entries of all parts; dicts under the same name are joined."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = {**whole[name], **value} if name in whole else value
    return whole
