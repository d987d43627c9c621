"""What whoever has only a model holds of its code: ids that the model writes."""

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
    """Return the ids (n,) of so many records, drawn from a run, and what the run says of the shards they are like.

    An id that no phrase of `truth` has, which a run may write that was trained too little, ends its record. Raises
    `InvalidConfig` if the run knows several tables, `TrainingError` if it does not write by itself.
    """
    opened = Run.open(run)
    if len(opened.tables) > 1:
        raise InvalidConfig(f"{opened.path} was trained on shards of {len(opened.tables)} tables; expected one")
    records = generate(run, n=samples, seed=seed, advance=advance)
    if truth is not None:
        records = [ids[: int(np.argmax(np.append(ids >= truth.size, True)))] for ids in records]
    return records, opened.metrics["shards"][0]
