"""A test is skipped where a tool is missing, with the reason, but never in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST = 'from needed import needed\n\ndef test_with_a_tool():\n    needed("no-such-tool", package="tools")\n'


@pytest.mark.parametrize(("ci", "status", "said"), [("", 0, "1 skipped"), ("true", 1, "CI skips nothing: Skipped: ")])
def test_ci_skips_nothing(ci: str, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(TEST)
    env = {**os.environ, "CI": ci, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "needed", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert said in done.stdout
    assert "no-such-tool is not installed: apt-get install tools" in done.stdout
