"""What an audit returns: its figures as people read them, and the JSON document that files hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ult.audit.bounds import Scores
from ult.audit.seal import sealed
from ult.host.atomic import write_text
from ult.host.free import check_free
from ult.host.shown import Facts, Shown
from ult.owner.table import Table

Curves = Mapping[str, tuple[Scores, Scores]]  # by attack the scores of members (m,) and of nonmembers (n,)


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Shown):
    """What an audit found: of a code, a model, a table, a mechanism, or of what is to be released.

    `figures` are names and values as the command prints them, `notes` what must be known besides. `text` is the JSON
    document, sealed under the table where one scored; `docs/format.md` says what it holds. `curves` are the scores of
    attacks on membership, higher for members.
    """

    of: str
    figures: tuple[tuple[str, str], ...]
    text: str
    notes: tuple[str, ...] = ()
    curves: Curves = field(default_factory=dict)

    @classmethod
    def made(
        cls,
        of: str,
        document: Mapping[str, Any],
        figures: Sequence[tuple[str, str]],
        *,
        table: Table | None = None,
        notes: Sequence[str] = (),
        curves: Curves | None = None,
    ) -> Audit:
        """Return the audit that a document of JSON values says, sealed under the `table` that scored it."""
        whole = document if table is None else sealed(document, table)
        return cls(of, tuple(figures), json.dumps(whole, indent=1) + "\n", tuple(notes), curves or {})

    @property
    def document(self) -> Mapping[str, object]:
        """The JSON document, read."""
        found: Mapping[str, object] = json.loads(self.text)
        return found

    def to_json(self) -> str:
        """Return the document as files hold it; `ult.audit.audit_release` reads such files."""
        return self.text

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the document, whole or not at all. Raises `OutputExists` or `OutputError`."""
        check_free(path, force=force)
        write_text(Path(path), self.text)

    def draw(self, path: str | Path, *, force: bool = False) -> None:
        """Draw the curves of attacks on membership as a PNG, on logarithmic axes. Raises `OutputExists`."""
        from ult.audit.roc import draw

        check_free(path, force=force)
        draw(dict(self.curves), Path(path))

    def facts(self) -> Facts:
        """Return the figures that the command prints."""
        return list(self.figures)

    def remarks(self) -> list[str]:
        """Return what the reader of the figures should know besides."""
        return list(self.notes)

    def __repr__(self) -> str:
        first = f": {': '.join(filter(None, self.figures[0]))}" if self.figures else ""
        return f"<Audit of a {self.of}{first}>"
