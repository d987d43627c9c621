"""A script at work: its folder of data, and the writing of its result by the one schema, `runs/lib/result.py`."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "runs"))  # after bench: some scripts have one name

from lib import result
from lib.interval import counted, of_growth, of_rounds, over_seeds, unmeasured
from lib.mixed import csv_lines, great, with_header
from lib.result import FIGURES, ROOT, SPEEDS, earlier, load, metric, verdict

__all__ = [
    "FIGURES",
    "ROOT",
    "SPEEDS",
    "counted",
    "csv_lines",
    "data_folder",
    "earlier",
    "great",
    "load",
    "metric",
    "of_growth",
    "of_rounds",
    "over_seeds",
    "unmeasured",
    "verdict",
    "with_header",
    "write",
]


def write(
    row: str,
    title: str,
    metrics: Sequence[dict[str, Any]],
    about: str,
    *,
    command: str,
    device: str = "cpu",
    notes: Sequence[str] = (),
) -> None:
    """Write `results/<row>.json`; `about` is the script's docstring: what is asked, a blank line, and the setting."""
    asked, _, setting = (" ".join(part.split()) for part in inspect.cleandoc(about).partition("\n\n"))
    told = {"asked": asked, "setting": setting, "command": command, "device": device, "notes": notes}
    result.write(result.document(row, title, metrics, **told))


def data_folder() -> Path:
    """Return the folder named by `--data`; exit with a message if it is not there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder with text/, images/, series/, molecules/")
    folder: Path = parser.parse_args().data
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    return folder
