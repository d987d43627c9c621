"""What lies in and beside the folder of a run and is no part of it: earlier weights, optimizer states, checkpoints.

The digest of a run covers what it predicts with. What else lies there may hold records that the run forgot.
"""

from __future__ import annotations

import filecmp

from ult.host.disk import strangers
from ult.public.run import Run
from ult.trainer.models.lora import FOLDER
from ult.trainer.workdir import OURS, partial_folder


def beside_of(ran: Run, again: Run) -> list[str]:
    """Return the names of what lies with a run and neither its digest nor the retrained run accounts for."""
    adapters = sorted(path.relative_to(ran.path).as_posix() for path in ran.path.glob(f"{FOLDER}/*"))
    found = [*strangers(ran.path, OURS), *(one for one in adapters if not _equal(ran, again, one))]
    hidden = partial_folder(ran.path)
    return [*found, *([hidden.name] if hidden.exists() else [])]


def _equal(ran: Run, again: Run, name: str) -> bool:
    return (again.path / name).is_file() and filecmp.cmp(ran.path / name, again.path / name, shallow=False)
