"""`install.sh`, offline on a project of its own: what has none of its hashes stops it, whichever installer is there."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_wheel

Done = subprocess.CompletedProcess[str]
SCRIPT = Path(__file__).parent.parent / "install.sh"
PYPROJECT = """[project]
name = "toy"
version = "1"
dependencies = ["tiny"]
optional-dependencies = {dev = []}
[build-system]
requires = []
build-backend = "tiny_wheel"
backend-path = ["."]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that needs `tiny`, a wheel of which lies in `wheels`, and a `.venv` to install it into."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "wheels").mkdir()
    tiny_wheel.wheel(folder / "wheels", "tiny")
    tiny_wheel.wheel(folder / "wheels", "uv")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    for path in (SCRIPT, Path(tiny_wheel.__file__)):
        shutil.copy(path, folder)
    return folder


def install(
    project: Path, *, tiny: bool, uv: bool | None = None, there: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the script; `tiny` and `uv` say whether the hash of each is right, if there is a pin; `there`, that uv is."""
    lines = []
    for name, right in (("tiny", tiny), ("uv", uv)):
        digest = hashlib.sha256((project / "wheels" / f"{name}-1-py3-none-any.whl").read_bytes()).hexdigest()
        if right is not None:
            lines.append(f"{name}==1 \\\n    --hash=sha256:{digest if right else '0' * 64}\n")
    (project / "hashes.txt").write_text("".join(lines))
    (project / ".venv/bin/uv").unlink(missing_ok=True)
    if there:
        (project / ".venv/bin").mkdir(parents=True, exist_ok=True)
        (project / ".venv/bin/uv").symlink_to(Path(sys.executable).parent / "uv")
    for path in (project / ".venv").glob("lib/*/site-packages/t[io][ny]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    links = {"PIP_FIND_LINKS": str(project / "wheels"), "PIP_NO_INDEX": "1", "UV_NO_INDEX": "1", "UV_OFFLINE": "1"}
    env = {**os.environ, **links, "PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": ""}
    command = ["sh", "install.sh", "dev"]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)


def has(project: Path, *names: str) -> bool:
    return all(list((project / ".venv").glob(f"lib/*/site-packages/{name}-1.dist-info")) for name in names)


def test_pip_installs_what_has_its_hash_and_stops_at_what_has_not(project: Path) -> None:
    done = install(project, tiny=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not has(project, "tiny")
    done = install(project, tiny=True)
    assert done.returncode == 0, done.stderr
    assert has(project, "tiny", "toy")


def test_uv_installs_what_has_its_hash_and_stops_at_what_has_not(project: Path) -> None:
    if not (Path(sys.executable).parent / "uv").exists():
        pytest.skip("uv is not in this environment, which `make test` does not make so")
    done = install(project, tiny=False, there=True)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()
    assert not has(project, "tiny")
    done = install(project, tiny=True, there=True)
    assert done.returncode == 0, done.stderr
    assert has(project, "tiny", "toy")


def test_another_uv_than_was_pinned_stops_it(project: Path) -> None:
    done = install(project, tiny=True, uv=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not has(project, "tiny")
