"""The README: its blocks run as written, its figures are the committed results."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pages

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_code_stands_in_the_first_20_lines_and_ends_in_an_assertion() -> None:
    head = README.splitlines()[:20]
    assert "```python" in head
    block = next(code for language, code in BLOCKS if language == "python")
    assert block.strip().splitlines()[-1].startswith("assert ")
    assert block.strip().splitlines()[-1] in head


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert blocks
    for code in blocks:
        subprocess.run([sys.executable, "-c", code], check=True)


def test_console_blocks_run(tmp_path: Path) -> None:
    """Every `ult` command in order, on a file as the text speaks of it: five, from records to the very records."""
    with (tmp_path / "notes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["label", "text"])
        rows.writerows([w, f"patient {i} reports {w} pain, day {i % 7}"] for i in range(60) for w in ("chest", "no"))
    lines = [line[2:] for language, code in BLOCKS if language == "console" for line in code.splitlines()]
    commands = [line for line in lines if line.startswith(("ult ", "export "))]
    assert sum(line.startswith("ult ") for line in commands) == 5
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "set -e\n" + "\n".join(commands).replace("--steps 100 ", "--steps 5 ")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "notes.csv").read_bytes()
    assert (tmp_path / "written.csv").exists()


def test_it_is_short() -> None:
    assert len(README.encode()) <= 7000


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets


def test_figures_are_the_results() -> None:
    done = subprocess.run([sys.executable, "bench/readme.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run: python bench/readme.py"


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_version_is_in_the_changelog() -> None:
    import ult

    assert f"## [{ult.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
