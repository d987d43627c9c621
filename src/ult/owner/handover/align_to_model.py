"""Give a public model rows for the ids of a table: each phrase has the mean of the rows of its public tokens.

Only the table's owner can do it. A model that knows a language already then reads ids nearly as well as its own tokens.
The price is the code: a row that is the row of a public token says which phrase the id stands for, to whoever has the
public model too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.host.distribution import versions
from ult.host.extras import require
from ult.host.free import check_free
from ult.owner.handover.public_model import PublicModel
from ult.owner.table import Table
from ult.public.metrics import FORMAT
from ult.public.vocabulary import BOS, EOS, N_SPECIAL, PAD, Vocabulary
from ult.trainer.models.digest import weights_digest
from ult.trainer.models.embeddings import rows_of
from ult.trainer.workdir import RUN, founding, save

with require("torch", extra="train"):
    import torch

CODEC = "text/bytes"
_CONTEXT = 128  # ids at once until a training says otherwise


def align_to_model(model: str | Path, table: Table, out: str | Path, *, force: bool = False) -> dict[str, float]:
    """Write `out`, a run of the public `model` with rows for the ids of `table`; return what was made.

    "copied" ids have the row of one public token, "composed" ids the mean of several; "special" and "unused" ids have
    the mean of all rows, but for `<bos>` and `<eos>`, which have that of the model's own end. "named" is the share of
    what `table` counted in fitting that is written by copied ids: what whoever has the run and the model reads of it.

    Raises `InvalidConfig` for another codec than text/bytes, `MissingSource`, `FormatError`, `OutputExists` or
    `OutputError`.
    """
    out = Path(out)
    check_free(out, RUN, force=force)
    if table.codec.id != CODEC:
        raise InvalidConfig(f"the table is of {table.codec.id}; public tokens are of text: expected {CODEC}")
    public = PublicModel.open(model)
    parts = public.tokens([bytes(symbols.astype(np.uint8)) for symbols in table.spellings()])
    of: dict[str, Any] = {"table": table.fingerprint, "codec": table.codec.id, "column": table.codec.modality}
    of |= {"public_table": True} if table.public else {}
    counts = found_on(public, parts, out, vocabulary=table.vocabulary, shards=of, force=force)
    single = np.array([len(part) == 1 for part in parts])
    return {**counts, "named": float(table.counts[single].sum() / max(1, table.counts.sum()))}


def found_on(
    public: PublicModel,
    parts: list[NDArray[np.int64]],
    out: Path,
    *,
    vocabulary: Vocabulary,
    shards: dict[str, Any],
    force: bool = False,
) -> dict[str, int]:
    """Write `out`, a run of `public` whose ids from `N_SPECIAL` on have the mean rows of `parts`, tokens (n,) each.

    `shards` is what its metrics say of shards that it is for. Returns and raises as `align_to_model`.
    """
    _move(public, parts, vocabulary.size)
    said = np.array([len(part) for part in parts])  # in how many tokens
    copied, composed = int((said == 1).sum()), int((said > 1).sum())
    unused = vocabulary.size - N_SPECIAL - copied - composed
    counts = {"special": N_SPECIAL, "copied": copied, "composed": composed, "unused": unused}
    with founding(out, vocabulary, _metrics(public, shards, counts), force=force) as folder:
        save(public.model, folder, out)
    return counts


def _move(public: PublicModel, parts: list[NDArray[np.int64]], size: int) -> None:
    """Put in the place of the public rows `size` rows that are means of them: those of `parts` from `N_SPECIAL` on."""
    model, nothing = public.model, np.empty(0, np.int64)
    whole = [nothing] * N_SPECIAL + parts + [nothing] * (size - N_SPECIAL - len(parts))
    whole[BOS] = whole[EOS] = public.ends()
    moved = [
        torch.stack([weight[part].mean(0) if len(part) else mean for part in whole])
        for weight in rows_of(model)
        for mean in [weight.detach().mean(0)]
    ]
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for weight, rows in zip(rows_of(model), moved, strict=True):
            weight.copy_(rows)
    for config in (model.config, model.generation_config):
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BOS, EOS
    model.config.use_cache = True


def _metrics(public: PublicModel, shards: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    """Return the metrics of the run: what the public model was trained on, nobody here can say."""
    room = getattr(public.model.config, "max_position_embeddings", None)
    return {
        "format": FORMAT,
        "task": "lm",
        "context": min(_CONTEXT, room) if isinstance(room, int) and room >= 4 else _CONTEXT,
        "model": None,
        "from_run": public.name,
        "trained_before": None,
        "steps": 0,
        "embeddings": "aligned",
        "aligned": {"model": public.name, **counts},
        "initial_weights": "loaded",
        "initial_digest": weights_digest(public.model),
        "parameters": public.model.num_parameters(),
        "label": None,
        "classes": [],
        "modality_token": False,
        "privacy": None,
        "loss": [],
        "shards": [shards],
        "targets": [],
        "validation": None,
        "versions": versions("torch", "transformers", "tokenizers", "numpy"),
    }
