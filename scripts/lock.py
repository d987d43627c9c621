"""What the project is built from: `hashes.txt` of `constraints.txt`, a bill of materials, an audit.

`python scripts/lock.py` writes `hashes.txt`, the one lock: pip's format of requirements with hashes, which pip and uv
both install from. A `pylock.toml` or a `uv.lock` must name the host of each file, or the folder of a wheel that lies on
this machine; hashes say as much of what may be installed, from whichever index. They are those of every file that the
package index has of a version, and of wheels in the folder PIP_FIND_LINKS.

`--standard FOLDER` writes locks in the standard form (PEP 751), at a release, with the host of the index of that day:
`pylock.toml` of what the package needs, on every system, and `pylock.tested.toml` of all that it was tested with. They
hold no file that `hashes.txt` does not know. `--bill FILE` writes the bill of materials of what is installed, at a
release too: one that lies in git is soon of another time. `--audit` asks an advisory service about each version, where
one can be reached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from ult.host.distribution import NAME, __version__

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "hashes.txt"
_QUIETLY = ["-q", "--no-deps", "--no-header", "--no-annotate", "--no-emit-index-url"]
UV = [sys.executable, "-m", "uv", "pip", "compile", "--generate-hashes", *_QUIETLY]


STANDARD = ["-q", "--no-header", "--no-annotate", "--universal", "--python-version", "3.11", "--format", "pylock.toml"]
LOCKS = {  # names of locks in the standard form, and what each is made of
    "pylock.toml": ["pyproject.toml", "--constraints", "hashes.txt"],
    "pylock.tested.toml": ["hashes.txt", "--no-deps"],
}


def pins() -> dict[str, str]:
    """Return the version of every package in `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def hashes() -> str:
    """Return the lock file: a pin and its hashes a package. Needs the package index."""
    done = subprocess.run([*UV, "constraints.txt"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.split(r"\n(?=\S)", done.stdout.strip())
    local = sorted(Path(os.environ["PIP_FIND_LINKS"]).glob("*.whl")) if os.environ.get("PIP_FIND_LINKS") else []
    for wheel in local:
        name, version = wheel.name.split("-")[:2]
        pin = f"{name.lower().replace('_', '-')}=={version.partition('+')[0]} "
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        found = [one + f" \\\n    --hash=sha256:{digest}" if one.startswith(pin) else one for one in found]
    return "\n".join(found) + "\n"


def standard(*words: str | Path, folder: Path = ROOT) -> str:
    """Return a lock in the standard form of what uv finds for `words`. Needs the index, unless they say where."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *STANDARD, *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_FIND", "UV_EXTRA"))}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


def wrong(text: str, known: str) -> list[str]:
    """Return what a lock in the standard form holds that it should not, in the words of an error.

    A version must be the pinned one, and a file must have a hash that `known` (as `hashes.txt`) has of its package, and
    be had from an index: a folder is of this machine.
    """
    pinned = {}
    for name, version, rest in re.findall(r"^(\S+)==(\S+) \\\n((?:    --hash=.+\n?)+)", known, re.MULTILINE):
        pinned[name] = version, set(re.findall(r"sha256:([0-9a-f]{64})", rest))
    found = []
    for package in tomllib.loads(text)["packages"]:
        name = package["name"]
        version, right = pinned.get(name, (None, set()))
        if package["version"] != version:
            found.append(f"{name} {package['version']}, and the pin is {version}")
        for file in _files(package):
            if file.get("hashes", {}).get("sha256") not in right:
                found.append(f"a file of {name} has no hash in hashes.txt: make lock")
            if not str(file.get("url", "")).startswith("https:"):
                found.append(f"a file of {name} is no index's")
    return found


def _files(package: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("sdist", "archive", "vcs", "directory"):
        if kind in package:
            yield package[kind]
    yield from package.get("wheels", ())


def write_standard(folder: Path, locks: dict[str, Sequence[str]]) -> int:
    """Write the locks in the standard form into `folder`; return 1, and say why, if one holds what it should not."""
    made = {name: standard(*words) for name, words in locks.items()}
    errors = [f"{name}: {one}" for name, text in made.items() for one in wrong(text, LOCK.read_text(encoding="utf-8"))]
    for name, text in made.items() if not errors else ():
        (folder / name).write_text(text, encoding="utf-8")
    print("\n".join(errors), end="\n" if errors else "", file=sys.stderr)
    return bool(errors)


def bill() -> dict[str, Any]:
    """Return the bill of materials, in the form CycloneDX 1.6, of the pinned packages that are installed."""
    components = [one for name, version in sorted(pins().items()) if (one := _component(name, version))]
    pinned = (ROOT / "constraints.txt").read_bytes()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(pinned).digest()[:16], version=4)}",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "bom-ref": NAME, "name": NAME, "version": __version__},
            "properties": [{"name": "ult:hashes", "value": "hashes.txt, of every file of each version"}],
        },
        "components": components,
    }


def _component(name: str, version: str) -> dict[str, Any] | None:
    try:
        about: Any = distribution(name).metadata
    except PackageNotFoundError:
        return None
    purl = f"pkg:pypi/{name}@{version}"
    found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if expression := about.get("License-Expression"):
        return {**found, "licenses": [{"expression": expression}]}
    kinds = [kind.rpartition(" :: ")[2] for kind in about.get_all("Classifier") or () if kind.startswith("License ::")]
    kinds = kinds or [line for line in (about.get("License") or "").splitlines()[:1] if 0 < len(line) < 60]
    return {**found, **({"licenses": [{"license": {"name": kind}} for kind in kinds]} if kinds else {})}


def audit() -> int:
    """Have pip-audit look for known vulnerabilities; return its exit status, 0 if no service can be reached."""
    tool = [sys.executable, "-m", "uv", "tool", "run", "pip-audit"]  # in an environment of its own
    command = [*tool, "--progress-spinner", "off", "--timeout", "10", "--no-deps", "--disable-pip", "-r", "hashes.txt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    unknown = said.count("could not be audited")
    if re.search("^Traceback|ConnectionError|ServiceError|No solution", said, re.MULTILINE) or unknown == len(pins()):
        print("no advisory service can be reached from here: nothing was asked; audit what --bill writes")
        return 0
    print(said)
    if unknown:
        print(f"of {unknown} of {len(pins())} packages the service knew nothing")
    return done.returncode


def main() -> int:
    """Write the lock, those in the standard form or the bill, or audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--bill", type=Path, metavar="FILE")
    parser.add_argument("--standard", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    if asked.audit:
        return audit()
    if asked.standard:
        return write_standard(asked.standard, LOCKS)
    if asked.bill:
        asked.bill.write_text(json.dumps(bill(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        LOCK.write_text(hashes(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
