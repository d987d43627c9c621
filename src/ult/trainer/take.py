"""Make an ordinary run, of one table, from a run with rows per table: its body and that table's rows."""

from __future__ import annotations

from pathlib import Path

from ult.errors import InvalidConfig
from ult.host.free import check_free
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.packing import open_shards
from ult.trainer.models.load import load_trained
from ult.trainer.workdir import RUN, deriving, save


def take(run: str | Path, shards: Shards | str | Path, out: str | Path, *, force: bool = False) -> str:
    """Write `out`, the run with the rows of the table of `shards` alone; return the table's fingerprint.

    What the body was trained on besides stands in `trained_before`. Raises `InvalidConfig` for a run without rows per
    table, `WrongTable`, `WrongVocabulary`, `OutputExists` or `OutputError`.
    """
    opened, out = Run.open(run), Path(out)
    check_free(out, RUN, force=force)
    opened.check_single()
    if not opened.per_table:
        raise InvalidConfig(f"{opened.path} has one set of rows; expected a run of ult train --rows-per-table")
    (found,) = open_shards([shards], opened.vocabulary)
    opened = opened.of_tables({found.manifest.table})
    model = load_trained(opened)
    began = {"model": None, "from_run": opened.path.name, "from_digest": Run.open(run).digest(), "embeddings": "keep"}
    metrics = {**opened.metrics, **began, "parameters": model.num_parameters()}
    with deriving(opened, out, metrics, force=force) as folder:
        save(model, folder, out)
    return found.manifest.table
