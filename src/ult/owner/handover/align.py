"""Move the embedding rows of a run from one table to another. It needs both tables, so only their owner can do it.

The same id means different things under two tables, but the same phrase means the same. So a model that was trained
with one table gets, for each id of the other table, the embedding rows of the id that had its phrase before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ult.errors import InvalidConfig, WrongVocabulary
from ult.host.extras import require
from ult.host.free import check_free
from ult.owner.handover.belonging import check_body
from ult.owner.table import Table
from ult.public.published import parted
from ult.public.run import MEMBERS, Run
from ult.public.vocabulary import N_SPECIAL, UNK
from ult.trainer.models.embeddings import Model, rows_of
from ult.trainer.models.load import load_trained
from ult.trainer.workdir import RUN, deriving, founding, save

with require("torch", extra="train"):
    import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How the row of a phrase that the old table lacks is best made from the rows of its parts, before any training.
# wikitext-2 to medical abstracts, 2,048 ids, of which 994 are composed of 2.4 parts each, tiny preset, bits per byte of
# 100 abstracts: the mean 3.04, weights doubling towards the last part 3.07 or the first 3.11, the mean scaled to the
# norm of the parts 3.21 or of the table's rows 3.25, the last part alone 3.30, the sum over the root of their number
# 3.33, the first part alone 3.40, the sum 4.76.


def align(run: str | Path, old: Table, new: Table, out: str | Path, *, force: bool = False) -> dict[str, int]:
    """Write `out`, the run with its embedding rows moved from table `old` to `new`; return how many ids are of a kind.

    The kinds are: "special" ids keep their rows, because they mean the same under every table; "copied" ids, all base
    symbols among them, take the row of the same phrase in `old`; "composed" ids take the mean of the rows of the ids
    with which `old` writes their phrase; "unused" ids of the vocabulary take the row of `<unk>`, which never occurs
    either. If `new` extends `old`, a public table, it may have a larger vocabulary. All members of a run are moved.

    Raises `InvalidConfig` if the codecs differ, `WrongTable`, `WrongVocabulary`, `OutputExists` or `OutputError`.
    """
    opened, out = Run.open(run), Path(out)
    check_free(out, RUN, force=force)
    opened = opened.of_tables({old.fingerprint})
    _check(opened, old, new)
    parts = sources(old, new)
    several = sum(len(part) > 1 for part in parts)
    unused = new.vocabulary.size - new.size
    counts = {"special": N_SPECIAL, "copied": new.size - N_SPECIAL - several, "composed": several, "unused": unused}
    model = None if opened.members else _moved(opened, new, parts)
    metrics = _metrics(opened, old, new, counts)
    made = (
        deriving(opened, out, metrics, force=force)
        if new.vocabulary == opened.vocabulary
        else founding(out, new.vocabulary, metrics, force=force)
    )
    with made as folder:
        if model is not None:
            save(model, folder, out)
        for k, one in enumerate(opened.each() if opened.members else []):
            (folder / MEMBERS).mkdir(exist_ok=True)
            align(one.path, old, new, folder / MEMBERS / str(k))
    return counts


def _moved(run: Run, new: Table, parts: Sequence[NDArray[np.int64]]) -> Model:
    """Return the model of a run with the mean of the rows of `parts`, the old ids (n,), for each id of `new`."""
    model = load_trained(run)
    check_body(model, run.path)
    with torch.no_grad():
        moved = [torch.stack([weight[part].mean(0) for part in parts]) for weight in rows_of(model)]
        if new.vocabulary != run.vocabulary:
            model.resize_token_embeddings(new.vocabulary.size, mean_resizing=False)
        for weight, rows in zip(rows_of(model), moved, strict=True):
            weight.copy_(rows)
    return model


def sources(old: Table, new: Table) -> list[NDArray[np.int64]]:
    """Return, for each id of the vocabulary, the ids (n,) int64 of `old` whose rows are averaged for it under `new`."""
    spelled: dict[bytes, int] = {}
    spellings = old.spellings()
    for k in np.argsort(-old.counts, kind="stable").tolist():  # of two equal phrases, the more frequent one
        spelled.setdefault(spellings[k].tobytes(), N_SPECIAL + k)
    wanted = new.spellings()
    for k, symbols in enumerate(wanted[: len(spellings)]):  # of those, the one with the same id, as after an update
        if spellings[k].tobytes() == symbols.tobytes():
            spelled[symbols.tobytes()] = N_SPECIAL + k
    missing = [symbols for symbols in wanted if symbols.tobytes() not in spelled]
    composed = iter(old.encode_phrases(missing))
    parts = [
        np.array([spelled[key]]) if (key := symbols.tobytes()) in spelled else next(composed) for symbols in wanted
    ]
    unused = [np.array([UNK])] * (new.vocabulary.size - new.size)
    return [*np.arange(N_SPECIAL)[:, None], *(part.astype(np.int64) for part in parts), *unused]


def _check(run: Run, old: Table, new: Table) -> None:
    run.check_only_table(old.fingerprint, hint="--table with the one table that `ult encode` used for its shards")
    extends = new.base is not None and new.base.table == old.fingerprint
    if new.vocabulary != run.vocabulary and not extends:
        raise WrongVocabulary(
            f"{run.path} has a vocabulary of {run.vocabulary.size}; the table to align to has {new.vocabulary.size}",
            hint=f"ult fit --vocabulary-size {run.vocabulary.size}",
        )
    if (old.codec.id, old.codec.config()) != (new.codec.id, new.codec.config()):
        same, of_fields = old.codec.id == new.codec.id, old.codec.id == new.codec.id == "record/columns"
        of = f"of {old.codec.id} and {new.codec.id}" if not same else f"both of {old.codec.id}, with other options"
        raise InvalidConfig(
            f"the tables are {of if not of_fields else 'of other fields'}; their symbols mean different things",
            hint="fit both with one --schema" if of_fields else "ult train --from RUN --embeddings fresh",
        )


def _metrics(run: Run, old: Table, new: Table, counts: dict[str, int]) -> dict[str, Any]:
    """Return the metrics of the aligned run.

    Its rows depend on both tables, so it keeps the privacy promises of its shards only if `new` is public.
    """
    moved = {
        name: [
            {
                **lot,
                "table": new.fingerprint,
                "privacy": lot.get("privacy") if new.public else None,
                "public_table": lot.get("public_table", False) and new.public,
            }
            for lot in run.metrics[name]
        ]
        for name in ("shards", "targets")
        if name in run.metrics
    }
    aligned = {"from": old.fingerprint, **counts}
    metrics = {
        **run.metrics,
        "model": None,
        "from_run": run.path.name,
        "from_digest": run.digest(),
        "embeddings": "aligned",
        **moved,
        "aligned": aligned,
    }
    if told := run.metrics.get("forgotten"):  # a promise of the old table is none of the new one
        metrics["forgotten"] = told if new.public else {**told, "table": "aligned"}
    return parted(metrics)[0] if run.metrics.get("privacy") else metrics
