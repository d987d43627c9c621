"""`ult.translate`: the targets of sources, written by a run as ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ult.host.arguments import checked, integer, path, switch
from ult.host.free import check_free
from ult.host.shown import Facts, Shown
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run
from ult.public.shards import SHARDS
from ult.trainer.datasets.packing import open_shards
from ult.trainer.models.generation import ignored
from ult.trainer.translate import translate as search
from ult.trainer.translate import write_translated


@dataclass(frozen=True, slots=True, repr=False)
class Translated(Shown):
    """What a run wrote for sources, as ids that the owner of the targets' table decodes.

    `hypotheses` holds for each source its targets, ids (n,) uint32, the likeliest first. `cut` sources are longer than
    the run's `context` and were read up to it. `path` is the shards folder, if one was written.
    """

    hypotheses: tuple[tuple[NDArray[np.uint32], ...], ...]
    cut: int
    context: int
    path: Path | None
    ignored: tuple[str, ...]  # what the run's folder asked of how to write, and was not asked

    @property
    def targets(self) -> int:
        """How many targets there are, over all sources."""
        return sum(map(len, self.hypotheses))

    def facts(self) -> Facts:
        """Return how many sources and targets there are, and where."""
        sources, targets = f"{len(self.hypotheses):,}", f"{self.targets:,}"
        return [("sources", sources), ("targets", targets), *([("folder", str(self.path))] if self.path else [])]

    def remarks(self) -> list[str]:
        """Return what the reader should know of the targets."""
        of = f"{self.cut} of {len(self.hypotheses)} sources"
        why = f"{of} are longer than the run's context of {self.context} and were cut"
        return [*self.ignored, *([why] if self.cut else [])]


@checked(
    run=folders.run_argument,
    sources=folders.folders_argument,
    out=path,
    beams=integer(),
    best=integer(),
    max_new=integer(),
    batch_size=integer(),
    force=switch,
)
def translate(
    run: Run | str | Path,
    sources: Folders,
    out: str | Path | None = None,
    *,
    beams: int = 1,
    best: int = 1,
    max_new: int | None = None,
    batch_size: int = 32,
    force: bool = False,
) -> Translated:
    """Let a run of task "seq2seq" write the targets of sources, one or more shards folders.

    The arguments are those of `ult translate`: the search keeps `beams` beginnings, and the `best` targets of each
    source are written, of at most `max_new` ids. With `out` they go to a shards folder, which `ult.decode` turns into
    records with `prefix=True`. Raises `WrongVocabulary`, `InvalidConfig`, `TrainingError`, `OutputExists` or
    `OutputError`.

    For example:

        ult.translate("pairs", "sources.shards", "written.shards", beams=5)
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    if out is not None:
        check_free(out, SHARDS, force=force)
    many = [ids for shards in open_shards(folders.paths(sources), opened.vocabulary) for ids in shards.ids()]
    written = search(opened.path, many, beams=beams, best=best, max_new=max_new, batch_size=batch_size)
    if out is not None:
        write_translated(opened.path, written, out, force=force)
    return Translated(
        tuple(map(tuple, written)),
        cut=sum(len(ids) >= opened.context for ids in many),
        context=opened.context,
        path=None if out is None else Path(out),
        ignored=tuple(ignored(opened.path)),
    )
