"""The result of an audit: figures for people to read, and the JSON document that is saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ult.audit.bounds import Scores
from ult.audit.seal import sealed
from ult.host.arguments import checked, switch
from ult.host.arguments import path as path_argument
from ult.host.atomic import write_text
from ult.host.free import check_free
from ult.host.shown import Facts, Shown
from ult.owner.table import Table

Curves = Mapping[str, tuple[Scores, Scores]]  # attack -> scores of members (m,) and of nonmembers (n,)


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Shown):
    """The result of an audit of a code, a model, a table, a mechanism, or a release (`of`).

    `figures` are the names and values that the command prints, and `notes` say what else a reader must know. `text` is
    the JSON document that `docs/format.md` describes, sealed under the table if a table scored the audit. `curves` are
    the scores of the membership attacks, higher for members.
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
        """Return the audit with this document, sealed under the `table` that scored it, if any."""
        whole = document if table is None else sealed(document, table)
        return cls(of, tuple(figures), json.dumps(whole, indent=1) + "\n", tuple(notes), curves or {})

    @property
    def document(self) -> Mapping[str, object]:
        """The JSON document as a mapping."""
        document: Mapping[str, object] = json.loads(self.text)
        return document

    def to_json(self) -> str:
        """Return the document as the JSON text of the files that `ult.audit.audit_release` reads."""
        return self.text

    @checked(path=path_argument, force=switch)
    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the document whole or not at all. Raises `OutputExists` or `OutputError`."""
        check_free(path, force=force)
        write_text(Path(path), self.text)

    @checked(path=path_argument, force=switch)
    def draw(self, path: str | Path, *, force: bool = False) -> None:
        """Write the ROC curves of the membership attacks as a PNG, on logarithmic axes. Raises `OutputExists`."""
        from ult.audit.roc import draw

        check_free(path, force=force)
        draw(dict(self.curves), Path(path))

    def facts(self) -> Facts:
        """Return the figures that the command prints."""
        return list(self.figures)

    def remarks(self) -> list[str]:
        """Return what else a reader of the figures should know."""
        return list(self.notes)

    def __repr__(self) -> str:
        first = f": {': '.join(filter(None, self.figures[0]))}" if self.figures else ""
        return f"<Audit of a {self.of}{first}>"
