"""What `make check` says, as tests: so mypy, a minute of one core on a clean clone, runs beside the other tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CHECK = re.search(r"^check:.*\n((?:\t.+\n)+)", MAKEFILE, re.MULTILINE)
COMMANDS = re.findall(r"^\t\$\(BIN\)/(.+)$", CHECK[1] if CHECK else "", re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS[::-1])  # mypy first
def test_every_check_is_passed(command: str) -> None:
    place = Path(sys.executable).parent
    name, *words = command.split()
    done = subprocess.run([place / name, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_check_is_left_out() -> None:
    assert COMMANDS == ["ruff check", "ruff format --check", "mypy"]
