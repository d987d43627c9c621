"""What a synthesis returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ult.host.shown import Facts, Shown, count
from ult.public.synthetic import Synthetic, beside

NO_PROMISE = (
    "RED: no epsilon was asked for, so nothing bounds what these records tell of the real ones; a model may write some "
    "of them again. Do not hand them on as synthetic data that is safe (--epsilon 8)"
)


@dataclass(frozen=True, slots=True, repr=False)
class Synthesised(Shown):
    """Synthetic records that were written to `path`, and what lies beside them and says how they were made."""

    path: Path
    told: Synthetic
    notes: tuple[str, ...] = ()

    def facts(self) -> Facts:
        """Return the path, the number of records, and the promise with its parts."""
        account = self.told.account
        promise = [("promise", str(account))] if account else [("promise", "NONE")]
        return [
            ("file", str(self.path)),
            ("says how", str(beside(self.path))),
            ("records", f"{self.told.records:,}, all of which decode"),
            ("for each", self.told.unit + (f" ({self.told.unit_column})" if self.told.unit_column else "")),
            *promise,
        ]

    def __repr__(self) -> str:
        spent = f"epsilon {self.told.epsilon:.3g}" if self.told.epsilon is not None else "no promise"
        return f"<Synthesised {self.path}: {count(self.told.records, 'record')}, {spent}>"

    def remarks(self) -> list[str]:
        """Return what the owner should know, in one sentence each."""
        if self.told.epsilon is None:
            return [NO_PROMISE, *self.notes]
        once = "each further synthesis of these records costs its epsilon again; what is made of this one costs nothing"
        return [*self.notes, once]
