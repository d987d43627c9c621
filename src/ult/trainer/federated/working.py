"""The hidden folder in which a federation works, until what came of it appears whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, OutputExists, TrainingError, writing
from ult.host.atomic import Claim
from ult.host.free import check_free
from ult.trainer.federated.group import KIND
from ult.trainer.workdir import JOURNAL, Resume, partial_folder

_DONE = ("change-*", "members-*", "round-*", "run/*/.*.partial/checkpoint-*")  # what there is to go on from
_KEPT = "what is done is kept: the same command with --resume goes on from it"


@contextmanager
def working(out: Path, about: dict[str, Any], *, resume: Resume, force: bool) -> Iterator[Path]:
    """Yield the hidden folder of `out`, as it was left or new; in the end `run` in it becomes `out`.

    Raises `OutputExists` or `TrainingError` as `ult.trainer.workdir.working_folder`.
    """
    if resume and force:
        raise InvalidConfig("resume and force were both given; expected one of them")
    check_free(out, KIND, force=force)
    asked, partial = json.loads(json.dumps(about)), partial_folder(out)
    with Claim(out, journal=JOURNAL) as claim:
        there = claim.keep = (partial / JOURNAL).exists()
        if there and resume:
            _check_same(partial / JOURNAL, asked, out)
        elif there and not force:
            raise OutputExists(f"an unfinished federation of {out} is there", hint="--resume, or --force")
        elif resume is True:
            raise TrainingError(f"no unfinished federation of {out} to resume", hint="leave out --resume")
        else:
            with writing(out):
                claim.clear()
                fresh = partial / f"{JOURNAL}.tmp"
                fresh.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
                fresh.replace(partial / JOURNAL)
        claim.keep = False
        try:
            yield partial
        except BaseException as error:
            claim.keep = any(any(partial.glob(what)) for what in _DONE)
            if claim.keep:
                error.add_note(_KEPT)
            raise
        check_free(out, KIND, force=force)
        claim.publish(partial / "run")


def _check_same(journal: Path, asked: dict[str, Any], out: Path) -> None:
    try:
        before = json.loads(journal.read_text(encoding="utf-8"))
        changed = [name for name in asked if before[name] != asked[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"the unfinished federation of {out} is damaged", hint="--force to start again") from error
    if changed:
        raise TrainingError(
            f"the unfinished federation of {out} was started with another {', '.join(changed)}",
            hint="the same options, or --force to start again",
        )
