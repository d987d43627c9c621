"""`ult encode --coin-split`: records in two shards folders, those to train on and those to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial as binding
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ult.cli.console import count, counting, note, say, size

if TYPE_CHECKING:
    from ult.data import Source
    from ult.owner.pipeline.engine import Engine
    from ult.owner.pipeline.resume import Partial
    from ult.owner.table import Table
    from ult.public.manifest import Canaries


def encode_halves(
    source: Source,
    table: Table,
    paths: tuple[Path, Path],
    command: Mapping[str, Any],
    *,
    engine: Engine,
    canaries: Canaries | None,
    force: bool,
) -> None:
    """Write both folders and say what is in them. Raises as `ult.owner.pipeline.halves.encode_halves`."""
    from ult.owner.pipeline.halves import encode_halves as write

    with counting("encoding") as advance:
        written = write(
            binding(source.pieces, command["part_bytes"]),
            table,
            paths,
            command,
            column=source.column,
            kept=source.kept_schema,
            engine=engine,
            canaries=canaries,
            check=source.check_unchanged,
            opened=_going_on,
            advance=advance,
            force=force,
        )
    for path, done in zip(paths, written, strict=True):
        said = f"{count(done.rows, 'record')}, {size(done.bytes)} of data, {done.ids:,} ids"
        say(f"{path}: {said}" + (f", {done.ids / done.bytes:.4f} ids a byte" if done.bytes else ""))
    members, nonmembers = paths
    note(
        f"a coin, tossed after the table was fitted, decided of each record alone: train on {members}, then "
        f"ult audit model RUN --members {members} --nonmembers {nonmembers}"
    )
    note(f"equal records may stand in both: ult dedupe before, or what {members} holds of {nonmembers} hides leaks")
    if canaries:
        note(f"{canaries.count} canaries planted among the members alone, each {canaries.repeats} times")
    if written[0].kept:
        note(f"both hold {', '.join(written[0].kept)} in the clear, for whoever has them")


def _going_on(partial: Partial) -> None:
    if partial.parts:
        note(f"going on: {count(len(partial.parts), 'part')} of {partial.path} finished already")
    if partial.lost:
        note(f"{', '.join(partial.lost)} of {partial.path} was deleted or altered since and is written again")
