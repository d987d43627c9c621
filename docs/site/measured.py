"""Pages of what was measured, and of how the project came to be: of `dev/`, `results/`, and files at the top."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import links


def pages(root: Path) -> dict[str, str]:
    """Return the pages by their names: each row of `dev/results.md` is one, and each file that is shown as it is."""
    head, *rows = re.split(r"^## ", _read(root, "dev/results.md"), flags=re.MULTILINE)
    found, named = {}, {}
    for row in rows:
        name = re.search(r"^<!-- picture: ([\w-]+) -->$", row, re.MULTILINE)[1]
        more = [one for one in EXTRA if one.startswith(f"{name}-")]
        pictures = "\n\n".join(f"<!-- picture: {one} -->" for one in (name, *more))
        named[name] = row.partition("\n")[0]
        found[f"measured/{name}.md"] = "# " + row.replace(f"<!-- picture: {name} -->", pictures)
    listed = "\n".join(f"- [{title}]({name}.md)" for name, title in named.items())
    tree = "```{toctree}\n:hidden:\n\nspeed\n" + "\n".join(named) + "\n```"
    found["measured/index.md"] = f"{head}\n{listed}\n- [Speed, growth and figures](speed.md)\n\n{tree}\n"
    found["measured/speed.md"] = _read(root, "dev/speed.md")
    found["development/log.md"] = _read(root, "dev/log.md")
    found["development/fuzz.md"] = _read(root, "dev/fuzz.md")
    found["development/changes.md"] = _read(root, "CHANGELOG.md")
    found["development/contributing.md"] = _read(root, "CONTRIBUTING.md")
    return found


EXTRA = ("frontier-plot", "transfer-curves", "public-body-plot")  # of a row, beside its own
GIVEN = ("image-classify-generated",)  # images that a model drew: no build can


def _read(root: Path, name: str) -> str:
    """Return a file of the repository as a page: its links lead to pages of the site."""
    text = (root / name).read_text(encoding="utf-8")
    text = text.replace("](../results/", "](/measured/pictures/")
    text = re.sub(r"\]\((?:\.\./)?docs/([\w/.#-]+)\)", r"](/\1)", text)
    by = Path(name).parent
    for place, page in links.PLACES.items():
        for said in {place, f"../{place}", os.path.relpath(place, by)}:
            text = text.replace(f"]({said}", f"]({page}")
    return text


def draw(root: Path, folder: Path) -> None:
    """Draw all results as PNGs in `folder`, unless they were drawn after the last result was written."""
    sources = [*(root / "results").glob("*.json"), root / "runs" / "lib" / "chart.py"]
    drawn = folder / ".drawn"
    if drawn.exists() and drawn.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "runs/report.py", "--pictures", folder], cwd=root, env=env, check=True)
    for name in GIVEN:
        shutil.copyfile(root / "results" / f"{name}.png", folder / f"{name}.png")
    drawn.touch()
