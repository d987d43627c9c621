"""Write records to two shards folders, members and nonmembers, as a coin decides: `ult encode --coin-split`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.owner.canaries import plant
from ult.owner.coin import derived, halves
from ult.owner.pipeline import pieces
from ult.owner.pipeline.resume import Partial
from ult.owner.table import Table
from ult.public.manifest import SIDES, Canaries, Coin, Manifest
from ult.public.shards import Shards

if TYPE_CHECKING:
    from ult.owner.coin import Whole
    from ult.owner.pipeline.engine import Engine
    from ult.owner.pipeline.pieces import Advance, Piece


def encode_halves(
    read: Callable[[], Iterable[Whole]],
    table: Table,
    paths: Sequence[Path],
    command: Mapping[str, Any],
    *,
    column: str,
    kept: pa.Schema,
    engine: Engine,
    canaries: Canaries | None = None,
    check: Callable[[], None] = lambda: None,
    opened: Callable[[Partial], None] = lambda partial: None,
    advance: Advance = lambda _: None,
    force: bool = False,
) -> list[Manifest]:
    """Write the folder of the members and that of the nonmembers, the two `paths`, and return their manifests.

    `read` returns the pieces of the input. The coin is derived from the table and from the "inputs" of `command`;
    canaries are members. Neither folder appears before the parts of both are written and `check` has found no change of
    the input. After a kill, the same command resumes. `opened` is called with each folder that is written. Raises
    `InvalidConfig` if one path is or holds the other, and as `ult.owner.pipeline.resume.Partial`.
    """
    if paths[0].resolve() == paths[1].resolve():
        raise InvalidConfig(f"members and nonmembers would both be {paths[0]}; expected two folders")
    for one, other in (paths, paths[::-1]):
        if one.resolve() in other.resolve().parents:
            raise InvalidConfig(f"{other} would lie inside {one}; expected two folders side by side")
    split = derived(table, "split", command).hex()[:32]
    found = {side: _finished(path, split, side) for path, side in zip(paths, SIDES, strict=True)}
    done = {side: manifest for side, manifest in found.items() if manifest is not None}
    if len(done) == len(SIDES):
        done = {}  # both are of an earlier command that ended: replace them, or raise `OutputExists`
    planted = canaries.rows if canaries else 0
    with ExitStack() as stack:
        open_ones: dict[str, Partial] = {}
        for path, side in zip(paths, SIDES, strict=True):
            if side not in done:
                open_ones[side] = stack.enter_context(Partial(path, {**command, "coin": [split, side]}, force=force))
                opened(open_ones[side])
        for side, partial in open_ones.items():
            if not partial.published:
                many = _pieces(read, table, command["inputs"], side, canaries)
                pieces.write_parts(many, table, partial, kept=kept, engine=engine, advance=advance)
        check()
        rows = [sum(part.rows for part in partial.parts.values()) for partial in open_ones.values()]
        records = sum(rows) + sum(manifest.rows for manifest in done.values()) - planted
        for side, partial in open_ones.items():
            if not partial.published:
                coin, told = Coin(split, side, records), canaries if side == SIDES[0] else None
                pieces.publish(table, partial, column=column, kept=kept, canaries=told, coin=coin)
            done[side] = partial.manifest
    return [done[side] for side in SIDES]


def _pieces(
    read: Callable[[], Iterable[Whole]], table: Table, inputs: object, side: str, canaries: Canaries | None
) -> Iterable[Piece]:
    """Return the pieces of one side; those of the members hold the canaries."""
    if canaries is None or side != SIDES[0]:
        return halves(read(), table, inputs, side)
    return plant(lambda: halves(read(), table, inputs, side), table, canaries.count, canaries.repeats)


def _finished(path: Path, split: str, side: str) -> Manifest | None:
    """Return the manifest of a half that an earlier run of this command published; None if it did not."""
    try:
        manifest = Shards(path).manifest
    except (MissingSource, FormatError):
        return None
    same = manifest.coin is not None and (manifest.coin.split, manifest.coin.side) == (split, side)
    return manifest if same else None
