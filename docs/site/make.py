"""What the documentation says that code knows: made anew by every build, never by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import extras
import library
import measured
import verbs

MADE = ("reference", "measured", "development")  # folders of `docs/` that git ignores


def everything(docs: Path) -> None:
    """Write every page that is made; pictures are drawn again only if their results changed."""
    for name in MADE:
        for page in (docs / name).glob("**/*.md"):
            page.unlink()
    shutil.rmtree(docs / "reference", ignore_errors=True)
    pages = verbs.pages() | library.pages() | extras.pages(docs.parent) | measured.pages(docs.parent)
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
    measured.draw(docs.parent, docs / "measured" / "pictures")
