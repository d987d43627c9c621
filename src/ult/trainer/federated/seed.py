"""The seed of an owner who takes part in a group: nobody else may know it.

An owner's rows are drawn by its seed. Whoever knows the seed has the rows that a first round began with, and reads in
the change of that round which ids it was learnt on.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from ult.trainer.workdir import JOURNAL, partial_folder


def seed_of(out: str | Path) -> int:
    """Return the seed of the unfinished training of `out`; one from the operating system if there is none."""
    try:
        told = json.loads((partial_folder(Path(out)) / JOURNAL).read_text(encoding="utf-8"))
        return int(told["recipe"]["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return secrets.randbelow(2**31)
