"""The front door, as a stranger finds it: the wheel in a bare environment outside the checkout, first commands.

`python scripts/front_door.py` builds the wheel and installs it three times, without a pin of ours: on the oldest and on
the newest Python that there is here, each with the newest releases of what the project needs; and on the oldest with
the lowest versions that `pyproject.toml` claims. In each it runs `ult`, `ult --help`, `ult nonsense`, `ult fit`, and
fits, encodes and decodes a CSV. Before that it asks the index whether what the core, `train`, `audit` and `demo` need
has wheels for the other systems that the project is for. It needs uv and an index, and fails at the first thing that is
not as it says.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)  # `requires-python`
TELLS = "import sys; print(*sys.version_info[:2], sys.implementation.name)"
UV = [sys.executable, "-m", "uv", "--quiet"]
SYSTEMS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
EXTRAS = ("train", "audit", "demo")
OURS = ("PYTHON", "PIP_", "UV_CONSTRAINT", "VIRTUAL_ENV", "ULT_", "NUMBA_")  # what would let a pin or the checkout in


class Failed(Exception):
    """Something is not as a stranger may expect."""


def environment(**more: str) -> dict[str, str]:
    """Return the variables of this process, but for those that would change what is installed or imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "COLUMNS": "80", **more}


def call(command: list[str], cwd: Path, *, status: int = 0, **more: str) -> str:
    """Run a command and return what it said; raise `Failed` at another exit status, or at a traceback."""
    done = subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode != status or "Traceback" in said:
        words = " ".join([Path(command[0]).name, *command[1:]])
        raise Failed(f"{words}\nexit status {done.returncode}, expected {status}\n{said}")
    return said


def pythons() -> list[tuple[tuple[int, int], Path]]:
    """Return the CPythons from 3.11 on that are on the path, of uv or of pyenv, one a minor version, by version."""
    found: dict[tuple[int, int], Path] = {}
    for path in _candidates():
        done = subprocess.run([path, "-c", TELLS], capture_output=True, text=True, check=False)
        told = done.stdout.split()
        if done.returncode == 0 and told[2:] == ["cpython"] and (version := (int(told[0]), int(told[1]))) >= OLDEST:
            found.setdefault(version, path)
    return sorted(found.items())


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in map(Path, os.environ.get("PATH", "").split(os.pathsep)):
        yield from sorted(path for path in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+(\.exe)?", path.name))
    listed = subprocess.run(
        [*UV, "python", "list", "--only-installed", "--offline"], capture_output=True, text=True, check=False
    )
    yield from (Path(line.split()[1]) for line in listed.stdout.splitlines() if len(line.split()) > 1)
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(pyenv.glob("versions/*/bin/python3"))


def build(folder: Path) -> Path:
    """Return the wheel of this checkout, from a copy of what git knows, so that no leftover of a build is in it."""
    source = folder / "source"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if name.startswith("src/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pinned = ["--build-constraints", str(ROOT / "hashes.txt")]
    call([*UV, "build", "--wheel", "--out-dir", str(folder), *pinned, str(source)], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def has_wheels(system: str, version: tuple[int, int]) -> str:
    """Resolve what a system and a Python would install from wheels alone, and return what to say of it."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    place = ["--python-platform", system, "--python-version", "{}.{}".format(*version), "--only-binary", ":all:"]
    found = call([*UV, "pip", "compile", "--no-header", "--no-annotate", "pyproject.toml", *extras, *place], ROOT)
    return "Python {}.{}".format(*version) + f" on {system}: {len(found.split())} packages, each with a wheel"


def install(wheel: Path, python: Path, venv: Path, *, lowest: bool) -> str:
    """Make a bare environment with the wheel and what it asks for; return what came with it."""
    call([*UV, "venv", "--python", str(python), str(venv)], venv.parent)
    inside = ["--python", str(venv)]
    how = ["--resolution", "lowest-direct", "-r", str(ROOT / "pyproject.toml")] if lowest else []
    call([*UV, "pip", "install", *inside, *how, str(wheel)], venv.parent)
    return call([*UV, "pip", "freeze", *inside], venv.parent)


def walk(ult: str, folder: Path) -> None:
    """Go through the door: look around, mistype, and take a CSV to ids and back."""
    folder.mkdir()
    for words in ([], ["--help"]):
        _expect(call([ult, *words], folder, status=0 if words else 2), "Usage: ult", "Exit status", "keygen")
    _expect(call([ult, "nonsense"], folder, status=2), "No such command 'nonsense'")
    _expect(call([ult, "fit"], folder, status=2), "Missing argument")
    call([ult, "--version"], folder)
    with (folder / "notes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["note"], *([f"seen on day {n % 7}, no pain, café"] for n in range(200))])
    key = {"ULT_PASSPHRASE": "a passphrase of the front door"}
    call([ult, "fit", "notes.csv", "-o", "t.ult", "--vocabulary-size", "512", "-w", "1"], folder, **key)
    call([ult, "encode", "notes.csv", "-t", "t.ult", "-o", "shards", "-w", "1"], folder, **key)
    call([ult, "decode", "shards", "-t", "t.ult", "-o", "again.csv"], folder, **key)
    before, after = (
        list(csv.reader((folder / name).read_text("utf-8").splitlines())) for name in ("notes.csv", "again.csv")
    )
    if before != after:
        raise Failed(f"notes.csv comes back otherwise: {after[:2]}")
    said = call([ult, "train", "shards", "-o", "run"], folder, status=1)  # what an extra brings is named, no traceback
    _expect(said, "unified-lookup-tables[train]")


def _expect(said: str, *parts: str) -> None:
    for part in parts:
        if part not in said:
            raise Failed(f"expected {part!r} in:\n{said}")


def opened(wheel: Path, version: tuple[int, int], python: Path, lowest: bool) -> str:
    """Go through one door, in a folder of its own beside the wheel, and return what to say of it."""
    started = time.perf_counter()
    kind = "lowest" if lowest else "newest"
    folder = wheel.parent / f"{version[0]}.{version[1]}-{kind}"
    folder.mkdir()
    came = install(wheel, python, folder / "venv", lowest=lowest)
    walk(str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "ult"), folder / "work")
    what = ", ".join(line for line in came.split() if re.match("(numpy|typer|pyarrow)==", line))
    return f"Python {version[0]}.{version[1]}, {kind} ({what}): opens, {time.perf_counter() - started:.0f} s"


def main() -> int:
    """Try each door that there is; return 1 if one does not open."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lowest", action="store_true", help="only the lowest versions")
    parser.add_argument("--newest", action="store_true", help="only the newest versions")
    asked = parser.parse_args()
    found = pythons()
    ends = [found[0], found[-1]] if found[-1] != found[0] else found[:1]
    doors = [(version, path, False) for version, path in ends] * (not asked.lowest)
    doors += [(*found[0], True)] * (not asked.newest)
    try:
        for system in SYSTEMS:
            for version, _ in ends:
                print(has_wheels(system, version), flush=True)
        with tempfile.TemporaryDirectory(prefix="door-") as name, ThreadPoolExecutor(os.cpu_count()) as several:
            wheel = build(Path(name))
            for told in several.map(lambda door: opened(wheel, *door), doors):
                print(told, flush=True)
    except Failed as failed:
        if "CI" not in os.environ and re.search(r"error sending request|dns error|Failed to fetch", str(failed)):
            print("the front door was not tried: no package index can be reached, and this is not CI")
            return 0
        print(f"the front door does not open: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
