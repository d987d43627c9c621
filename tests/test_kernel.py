"""The cache of machine code is only where the user alone can write, never of other sources, and never required."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ult.host import kernel

SOURCE = Path(kernel.__file__).parent.parent
ONE = "from ult.host.kernel import njit\n\n@njit(cache=True)\ndef one():\n    return {}\n"
TWO = (
    "from ult.host.kernel import njit\nfrom ult.low import one\n\n@njit(cache=True)\ndef two():\n    return one() + 1\n"
)
NOWHERE = "/dev/null/nowhere"  # not even root can make it
RUN = "from ult import high; from ult.host import kernel; print(high.two(), kernel.folder())"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two kernels, one of which calls the other, with our decorator and nowhere to write but itself."""
    folder = tmp_path / "site" / "ult"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "host").mkdir()
    (folder / "host" / "__init__.py").touch()
    for name in (
        "host/kernel.py",
        "host/cache.py",
        "host/compiling.py",
        "host/distribution.py",
        "host/portable.py",
        "errors.py",
    ):
        shutil.copy(SOURCE / name, folder / name)
    (folder / "low.py").write_text(ONE.format(1))
    (folder / "high.py").write_text(TWO)
    return folder


def run(package: Path, code: str = RUN, *, root: bool = True, **environment: str) -> list[str]:
    """Run code beside the package, and return the words that it prints; without root's rights if asked."""
    places = {"PYTHONPATH": str(package.parent), "HOME": NOWHERE, "PYTHONDONTWRITEBYTECODE": "1"}
    env = {"PATH": os.environ["PATH"], "TMPDIR": NOWHERE, **places, **environment}
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0 and not root:
        if not shutil.which("setpriv"):
            pytest.skip("root may write anywhere, and setpriv, which would give that up, is not here")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def compiled(folder: str | Path) -> list[Path]:
    return sorted(Path(folder).rglob("*.nbc"))


def test_code_is_kept_beside_the_source(package: Path) -> None:
    value, folder = run(package)
    assert (value, folder) == ("2", str(package / "__pycache__" / Path(folder).name))
    kept = [path.stat().st_mtime_ns for path in compiled(folder)]
    assert len(kept) == 2
    assert run(package) == [value, folder]
    assert [path.stat().st_mtime_ns for path in compiled(folder)] == kept


def test_another_version_of_what_is_called_is_not_the_old_code(package: Path) -> None:
    _, before = run(package)
    (package / "low.py").write_text(ONE.format(41))
    value, after = run(package)
    assert value == "42"  # of Numba's own cache: 2, for high.py has not changed
    assert before != after


def test_read_only_without_home_or_a_place_for_temporary_files(package: Path) -> None:
    package.chmod(0o555)
    nowhere = "import tempfile; tempfile.tempdir = '/dev/null'; "
    assert run(package, nowhere + RUN, root=False) == ["2", "None"]
    package.chmod(0o755)


def test_read_only_without_home_uses_a_private_temporary_folder(package: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    package.chmod(0o555)
    value, folder = run(package, root=False, TMPDIR=str(tmp_path / "t"))
    package.chmod(0o755)
    assert (value, Path(folder).parent) == ("2", tmp_path / "t" / f"ult-{os.geteuid()}")
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert len(compiled(folder)) == 2


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path | None]:
    """What finds the folder, if the only place is one for temporary files, `tmp_path`."""
    kernel.digest()  # which is kept
    monkeypatch.setattr(kernel, "PACKAGE", Path("/dev/null"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(kernel.config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return kernel.folder.__wrapped__


def test_nobody_else_can_plant_code(find: Callable[[], Path | None], tmp_path: Path) -> None:
    """A folder that others may write to, or that is a stranger's, or lies in one, is not used."""
    tmp_path.chmod(0o777)  # no sticky bit: whoever likes renames our folder and puts another there
    assert find() is None
    tmp_path.chmod(0o1777)
    ours = tmp_path / f"ult-{os.geteuid()}"
    place = ours / f"kernels-{kernel.digest()}"
    assert find() == place
    for folder in (ours, place):
        folder.chmod(0o777)
        assert find() is None
        folder.chmod(0o700)
    assert find() == place
    if os.geteuid() == 0:
        for folder in (ours, place):
            os.chown(folder, 12345, 12345)
            assert find() is None
            os.chown(folder, 0, 0)


def test_a_link_that_may_be_changed_later_is_followed_once(find: Callable[[], Path | None], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / f"ult-{os.geteuid()}").symlink_to(tmp_path / "there")
    assert find() == tmp_path / "there" / f"kernels-{kernel.digest()}"
    (tmp_path / "there" / f"kernels-{kernel.digest()}").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "there" / f"kernels-{kernel.digest()}").symlink_to(tmp_path / "elsewhere")
    assert find() is None


def test_code_of_other_sources_goes_after_a_while(find: Callable[[], Path | None], tmp_path: Path) -> None:
    old, recent = (tmp_path / f"ult-{os.geteuid()}" / f"kernels-{name}" for name in ("old", "recent"))
    for path in (old, recent):
        path.mkdir(parents=True)
    os.utime(old, (0, time.time() - 15 * 24 * 3600))
    assert find()
    assert (old.exists(), recent.exists()) == (False, True)


def test_what_the_user_says_holds(find: Callable[[], Path | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.config, "CACHE_DIR", "/mine")
    assert find() == Path(f"/mine/kernels-{kernel.digest()}")


def test_torn_code_is_compiled_again(package: Path) -> None:
    _, folder = run(package)
    for path in [*compiled(folder), *Path(folder).rglob("*.nbi")]:
        path.write_bytes(path.read_bytes()[:10])
    assert run(package) == ["2", folder]
    assert all(len(path.read_bytes()) > 10 for path in compiled(folder)), "nothing was kept again"


def test_a_full_disk_keeps_no_code_and_stops_nothing(package: Path) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "  # Python ignores the signal
    value, folder = run(package, full + RUN)
    assert value == "2"
    assert folder == "None" or not compiled(folder)


def test_every_kernel_is_compiled_by_ours() -> None:
    """Numba's own decorators are named in one file."""
    found = {
        path.name for path in SOURCE.rglob("*.py") if re.search(r"numba(\.| import .*)\bn?jit\b", path.read_text())
    }
    assert found == {"kernel.py"}


def test_compiling_is_said_while_it_lasts_and_once(package: Path) -> None:
    code = (
        "from ult.host import compiling; begin, told = compiling.begin, []; "
        "compiling.begin = lambda: (begin(), told.append(compiling.told('fitting')))[0]; "
        "from ult import high; high.two(); print(*told, compiling.told('done'), sep='; ')"
    )
    said = "fitting (compiling, once after an install)"
    assert run(package, code) == f"{said}; {said}; done".split()
    assert run(package, code) == ["done"]
