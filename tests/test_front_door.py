"""The script that tries the front door sees a door that does not open; `make door` tries the real one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import front_door

USAGE = "Usage: ult [OPTIONS]\n  keygen\nExit status:\n"
SHAM = """#!{python}
import shutil, sys
verb, out = (sys.argv[1:] or [""])[0], sys.argv[sys.argv.index("-o") + 1] if "-o" in sys.argv else ""
print({usage!r} + "No such command 'nonsense' Missing argument unified-lookup-tables[train]")
if verb == "decode":
    shutil.copy("notes.csv", out)
{more}
sys.exit(2 if verb in ("", "nonsense") or sys.argv[1:] == ["fit"] else verb == "train")
"""


def sham(folder: Path, more: str = "", usage: str = USAGE) -> str:
    """A command that does as `ult` should, then `more`."""
    path = folder / "ult"
    path.write_text(SHAM.format(python=sys.executable, usage=usage, more=more))
    path.chmod(0o755)
    return str(path)


def test_a_door_that_opens_is_let_through(tmp_path):
    front_door.walk(sham(tmp_path), tmp_path / "work")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("if verb == 'encode': print('Traceback (most recent call last)')", "Traceback"),
        ("if verb == 'nonsense': sys.exit(1)", "exit status 1, expected 2"),
        ("if verb == 'fit' and out: sys.exit(1)", "exit status 1, expected 0"),
        ("if verb == 'decode': open(out, 'a').write('one more')", "comes back otherwise"),
    ],
)
def test_a_door_that_does_not_open_is_seen(tmp_path, more, why):
    with pytest.raises(front_door.Failed, match=why):
        front_door.walk(sham(tmp_path, more), tmp_path / "work")


def test_help_that_says_nothing_is_seen(tmp_path):
    with pytest.raises(front_door.Failed, match="expected 'Exit status'"):
        front_door.walk(sham(tmp_path, usage="Usage: ult"), tmp_path / "work")


def test_nothing_of_the_checkout_reaches_the_door(monkeypatch):
    names = {"PYTHONPATH", "PIP_CONSTRAINT", "UV_CONSTRAINT", "ULT_PASSPHRASE", "VIRTUAL_ENV"}
    for name in names:
        monkeypatch.setenv(name, "x")
    assert not names & set(front_door.environment())


def test_the_pythons_are_those_that_the_project_claims():
    found = [version for version, _ in front_door.pythons()]
    assert sys.version_info[:2] in found
    assert found == sorted(found)
    assert min(found) >= front_door.OLDEST
