"""What `ult audit code` reads of images without their table, given others that are public."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.baselines import Ours, write_ids
from lib.interval import RECORDS
from lib.session import Session

Image = NDArray[Any]


def attacked(session: Session, name: str, ours: Ours, own: Sequence[Image], public: Sequence[Image]) -> dict[str, Any]:
    """Return the share of ids that the strongest attack by `public` images reads of those of `own`, `read`.

    `n` is how many ids there are; `decibels` is by how much the best rebuilt images are nearer to the true ones than
    the mean of the public ones is.
    """
    from ult.audit import audit_code

    def make(folder: Path) -> dict[str, Any]:
        ours.table.save(folder / "images.ult", encrypt=False)
        write_ids(folder / "shards", ours.encode(own), ours, sum(one.size for one in own), column="image")
        np.savez(folder / "public.npz", image=np.stack(public))
        found: Any = audit_code(
            folder / "shards", reference=folder / "public.npz", table=folder / "images.ult"
        ).document
        best = found["best"]
        low, high = best["occurrences_interval"]
        read = {"value": best["occurrences"], "low": low, "high": high, "interval": RECORDS}
        rebuilt = [one for one in found["attacks"] if one["knows"] == best["knows"] and "psnr" in one]
        nearer = max(one["psnr"] - one["psnr_blind"] for one in rebuilt)
        return {"read": read, "n": best["units"], "decibels": nearer}

    settings = {"table": ours.table.fingerprint, "own": len(own), "public": len(public)}
    return session.once(name, settings, make)
