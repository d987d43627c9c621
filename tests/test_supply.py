"""What is installed is what was pinned: hashes for every pin, a bill of materials, and no host named in either."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import ult

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from lock import LOCK, bill, pins  # noqa: E402


def test_every_pin_has_hashes():
    lock = LOCK.read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\S+)==(\S+) \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", lock, re.MULTILINE))
    assert found == pins(), "run: make lock"


def test_what_the_project_asks_for_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    asked += [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    names = {re.split(r"[^\w.-]", one)[0] for one in asked} - {"unified-lookup-tables"}
    assert names - {"gcsfs"} <= set(pins()), "pin it in constraints.txt, then: make lock"  # gcs: never installed


def test_the_bill_is_of_the_pins(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "lock.py"), "--bill", str(tmp_path / "sbom.cdx.json")]
    subprocess.run(command, check=True)
    text = (tmp_path / "sbom.cdx.json").read_text(encoding="utf-8")
    made = json.loads(text)
    assert made == bill()
    assert not re.search(r"https?:|//|index-url|find-links", text)
    found = {one["name"]: one["version"] for one in made["components"]}
    assert found.items() <= pins().items()
    assert {"numpy", "pyarrow", "pyrage", "torch", "transformers", "safetensors"} <= set(found)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["version"] == ult.__version__
    assert len({one["bom-ref"] for one in made["components"]}) == len(found)
    licensed = [one for one in made["components"] if one.get("licenses")]
    assert len(licensed) > 0.9 * len(found)


def test_no_host_is_named():
    assert not re.search(r"https?:|//|index-url|find-links", LOCK.read_text(encoding="utf-8"))
