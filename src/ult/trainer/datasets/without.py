"""Records that a training leaves out because they are to be forgotten: `ult train --without gone.rows`.

What is trained is, byte for byte, what shards that never had these records would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.public.gone import Gone, as_gones
from ult.public.shards import Shards

Stays = NDArray[np.bool_]  # (rows,) of shards: which records are trained on


@dataclass(frozen=True, slots=True)
class Without:
    """The records to leave out, from one or more files of `ult forget find`."""

    gones: tuple[Gone, ...]

    @classmethod
    def open(
        cls, rows: Gone | str | Path | Sequence[Gone | str | Path] | None, shards: Iterable[Shards]
    ) -> Without | None:
        """Return what is left out of `shards`; None without files.

        Raises `InvalidConfig` for a file none of whose records is, or was, in these shards: nothing would be left out.
        """
        if rows is None:
            return None
        found, many = cls(as_gones(rows)), list(shards)
        for gone in found.gones:
            if not any(gone.of(one) or _was_taken(gone, one) for one in many):
                named = ", ".join(lot.digest[:16] for lot in gone.lots)
                given = ", ".join(f"{one.path.name} {one.manifest.digest[:16]}" for one in many)
                raise InvalidConfig(
                    f"{gone.path or 'the rows'} names records of shards {named}, and {given} was given",
                    hint="ult forget find with these shards",
                )
        return found

    def stays(self, shards: Shards) -> Stays | None:
        """Return which records of these shards are trained on; None for all."""
        lots = [lot for gone in self.gones if (lot := gone.of(shards)) is not None]
        return np.logical_and.reduce([lot.stays() for lot in lots]) if lots else None

    def together(self, *pairs: Shards) -> Stays | None:
        """Return which rows stay of shards whose rows go together: those that none of them leaves out."""
        found = [stays for one in pairs if (stays := self.stays(one)) is not None]
        return np.logical_and.reduce(found) if found else None

    def told(self, shards: Iterable[Shards]) -> list[dict[str, Any]]:
        """Return what results say of it, as JSON values: each file by its digest, and how many of its records went."""
        many = list(shards)
        lots = [[gone.of(one) for one in many] for gone in self.gones]
        return [
            {"digest": gone.digest, "rows": sum(len(lot.every) for lot in found if lot)}
            for gone, found in zip(self.gones, lots, strict=True)
        ]


def _was_taken(gone: Gone, shards: Shards) -> bool:
    return gone.digest in {one.gone for one in shards.manifest.forgotten}
