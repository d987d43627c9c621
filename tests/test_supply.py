"""What is installed is what was pinned: hashes for every pin, a bill of materials, and no host named in either."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import tiny_wheel
import ult

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import lock  # noqa: E402
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
    assert names - {"gcsfs", "wandb"} <= set(pins()), "pin it in constraints.txt, then: make lock"  # never installed


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


def test_a_lock_in_the_standard_form_holds_what_the_index_has(tmp_path):
    """Made as at a release, but of a folder in place of an index: the hash is right, and the place is refused."""
    path = tiny_wheel.wheel(tmp_path, "tiny")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "hashes.txt").write_text(f"tiny==1 \\\n    --hash=sha256:{digest}\n")
    made = lock.standard("hashes.txt", "--no-deps", "--no-index", "--find-links", tmp_path, folder=tmp_path)
    (package,) = tomllib.loads(made)["packages"]
    assert (package["name"], package["version"]) == ("tiny", "1")
    assert [one["hashes"]["sha256"] for one in package["wheels"]] == [digest]
    assert lock.wrong(made, (tmp_path / "hashes.txt").read_text()) == ["a file of tiny is no index's"]


def test_a_file_that_no_hash_knows_is_in_no_lock(tmp_path, monkeypatch, capsys):
    a, b, c = (f"    --hash=sha256:{letter * 64}" for letter in "abc")
    known = f"tiny==1 \\\n{a} \\\n{b}\nother==2 \\\n{c}\n"

    def text(digest, version="1", name="tiny"):
        file = f'{{ url = "https://index.example/{name}.whl", hashes = {{ sha256 = "{digest}" }} }}'
        return f'lock-version = "1.0"\n[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [{file}]\n'

    assert lock.wrong(text("a" * 64), known) == lock.wrong(text("b" * 64), known) == []
    for bad in (text("c" * 64), text("a" * 64, name="unknown"), text("a" * 64, version="3")):
        assert lock.wrong(bad, known)
    monkeypatch.setattr(lock, "standard", lambda *_: text("d" * 64))
    assert lock.write_standard(tmp_path, lock.LOCKS) == 1
    assert "make lock" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_release_has_its_locks():
    """One of what a user needs, one of what it was tested with."""
    assert list(lock.LOCKS) == ["pylock.toml", "pylock.tested.toml"]
    assert "lock.py --standard dist\n" in (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nrelease:")[2]


def test_no_host_is_named():
    assert not re.search(r"https?:|//|index-url|find-links", LOCK.read_text(encoding="utf-8"))
