"""The evidence of an adversary who has only a model: ids that the model generates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.owner.table import Table
from ult.public.run import Run
from ult.trainer.generate import generate


def draw(
    run: str | Path,
    *,
    samples: int,
    truth: Table | None = None,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda records, ids: None,
) -> tuple[list[NDArray[np.uint32]], dict[str, Any]]:
    """Return `samples` generated records, ids (n,) each, and the run's metadata on the shards it was trained on.

    An id beyond the table `truth`, which a barely trained run may generate, ends its record. `advance(records, ids)` is
    called as generation proceeds. Raises `InvalidConfig` if the run was trained on several tables, `TrainingError` if
    it cannot generate without a prompt.
    """
    opened = Run.open(run)
    if len(opened.tables) > 1:
        raise InvalidConfig(f"{opened.path} was trained on shards of {len(opened.tables)} tables; expected one")
    records = generate(run, n=samples, seed=seed, advance=advance)
    if truth is not None:
        records = [ids[: int(np.argmax(np.append(ids >= truth.size, True)))] for ids in records]
    return records, opened.metrics["shards"][0]
