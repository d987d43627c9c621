"""What is installed is what was pinned: hashes for every pin, a bill of materials, and no host named in either."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "runs"))

import supply  # noqa: E402

BILL = json.loads(supply.BILL.read_text(encoding="utf-8"))


def test_every_pin_has_hashes():
    lock = supply.LOCK.read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\S+)==(\S+) \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", lock, re.MULTILINE))
    assert found == supply.pins(), "run: make lock"


def test_the_bill_is_of_the_pins():
    found = {one["name"]: one["version"] for one in BILL["components"]}
    pinned = supply.pins()
    assert found.items() <= pinned.items(), "run: make lock"
    assert {"numpy", "pyarrow", "pyrage", "torch", "transformers", "safetensors"} <= set(found)
    assert (BILL["bomFormat"], BILL["specVersion"]) == ("CycloneDX", "1.6")
    assert len({one["bom-ref"] for one in BILL["components"]}) == len(found)
    licensed = [one for one in BILL["components"] if one.get("licenses")]
    assert len(licensed) > 0.9 * len(found)


def test_no_host_is_named():
    for path in (supply.LOCK, supply.BILL):
        assert not re.search(r"https?:|//|index-url|find-links", path.read_text(encoding="utf-8"))


def test_installs_check_the_hashes():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"uv pip install[^|]*-c hashes\.txt", makefile.replace("\\\n", ""))
