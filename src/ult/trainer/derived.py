"""A run made of another, with other weights or rows, that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ult.errors import MissingExtra, OutputError, writing
from ult.host import atomic
from ult.public.run import Run, check_free

try:
    from safetensors import SafetensorError
except ImportError as missing:
    raise MissingExtra("safetensors", extra="train") from missing

# No adapters and no curves: adapters hold rows. A private run has no loss.png.
_COPIED = ("vocabulary.json", "tokenizer.json", "tokenizer_config.json", "loss.png")


@contextmanager
def deriving(run: Run, out: Path, metrics: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Give the folder for the weights of `out`, which has the other files of `run` and these metrics.

    When the block ends it takes its place; after an error nothing is left. Raises `OutputExists` if `out` is there and
    is no run that `force` lets be replaced, or if it is being trained, and `OutputError`.
    """
    with atomic.Claim(out) as claim:
        folder = begin(run, claim, metrics)
        yield folder
        check_free(out, force=force)
        claim.publish(folder)


def begin(run: Run, claim: atomic.Claim, metrics: dict[str, Any]) -> Path:
    """Return a folder in the hidden one of `claim` that has the files of `run` but for its weights, and these metrics.

    Raises `OutputError`.
    """
    folder = claim.folder / "run"
    with writing(claim.out):
        folder.mkdir()
        for name in _COPIED:
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, folder / name)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return folder


def save(model: Any, folder: Path, out: Path, weights: dict[str, Any] | None = None) -> None:
    """Save a model, or these of its weights, as one file in the folder that `deriving` gave for `out`."""
    try:
        with writing(out):
            model.save_pretrained(folder, state_dict=weights, max_shard_size="1TB")
    except SafetensorError as error:
        raise OutputError(f"cannot write {out}: {error}") from error
