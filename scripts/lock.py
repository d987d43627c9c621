"""What the project is built from: `hashes.txt` of `constraints.txt`, a bill of materials, an audit.

`python scripts/lock.py` writes `hashes.txt`, the one lock: pip's format of requirements with hashes, which pip and uv
both install from. A `pylock.toml` or a `uv.lock` must name the host of each file, or the folder of a wheel that lies on
this machine; hashes say as much of what may be installed, from whichever index. They are those of every file that the
package index has of a version, and of wheels in the folder PIP_FIND_LINKS.

`--bill FILE` writes the bill of materials of what is installed, at a release: one that lies in git is soon of another
time. `--audit` asks an advisory service about each version, where one can be reached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from ult.host.distribution import NAME, __version__

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "hashes.txt"
_QUIETLY = ["-q", "--no-deps", "--no-header", "--no-annotate", "--no-emit-index-url"]
UV = [sys.executable, "-m", "uv", "pip", "compile", "--generate-hashes", *_QUIETLY]


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
    """Write the lock or the bill, or audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", action="store_true")
    parser.add_argument("--bill", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if asked.audit:
        return audit()
    if asked.bill:
        asked.bill.write_text(json.dumps(bill(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        LOCK.write_text(hashes(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
