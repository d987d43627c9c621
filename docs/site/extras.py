"""The page of extras: what each brings, by pyproject.toml, and what it is for; one that has no words is an error."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

FOR = {
    "train": "`ult train` and whatever opens a run, and data sets of the hub",
    "audit": "`ult audit`: intervals, curves and the page",
    "demo": "`ult demo`, with `train`",
    "excel": "`.xlsx` and `.xlsm`",
    "sql": "tables of PostgreSQL: `postgresql://`",
    "h5ad": "`.h5ad`",
    "dicom": "DICOM, its compressed forms too",
    "nifti": "`.nii` and `.nii.gz`",
    "molecule": "SDF and MOL files, and `--canonical`",
    "remote": "`s3://`",
    "gcs": "`gs://`",
    "dedupe": "`ult dedupe`",
    "ray": "`--engine ray`",
    "privacy": "`--epsilon`",
    "lora": "`ult train --lora`",
    "tensorboard": "`--report-to tensorboard`",
    "wandb": "`--report-to wandb`",
    "weights": "real weights to start from: `make weights`",
}
OURS = ("bench", "dev", "docs", "results")  # of whoever works on the project


def pages(root: Path) -> dict[str, str]:
    """Return the page."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    if set(FOR) | set(OURS) != set(extras):
        raise ValueError(f"extras without words, or words without an extra: {(set(FOR) | set(OURS)) ^ set(extras)}")
    lines = [
        "# Extras",
        "",
        "`ult` alone needs " + _listed(project["dependencies"]) + ". More is asked for by name, in a",
    ]
    lines += ['checkout as `pip install ".[train,audit]"`; an error names the extra that is missing.', ""]
    lines += ["| extra | for | brings |", "|---|---|---|"]
    return {
        "reference/extras.md": "\n".join([*lines, *(f"| `{k}` | {v} | {_listed(extras[k])} |" for k, v in FOR.items())])
    }


def _listed(requirements: list[str]) -> str:
    return ", ".join(re.split(r"[^\w.-]", one)[0] for one in requirements)
