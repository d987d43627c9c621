"""What `--force` may replace: one of the same kind that holds nothing else."""

import os
from pathlib import Path

import pytest

from ult.audit.release.folder import AUDIT
from ult.data.sink import IMAGES
from ult.demo import DEMO
from ult.errors import OutputExists
from ult.host.atomic import Claim
from ult.host.free import FILE, Kind, check_free
from ult.public.shards import SHARDS
from ult.trainer.workdir import RUN

MADE = {  # what makes a folder one of its kind
    "a run": (RUN, ["metrics.json", "vocabulary.json"]),
    "shards": (SHARDS, [".manifest.json", "part-00000.parquet"]),
    "an audit": (AUDIT, ["audit.html", "audit.json"]),
    "a folder of images": (IMAGES, ["0.png", "deep/1.png", "labels.csv"]),
}


def made(folder: Path, files: list[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", MADE)
def test_one_of_the_same_kind_alone_is_replaced(name: str, tmp_path: Path) -> None:
    kind, files = MADE[name]
    assert kind.name == name
    out = tmp_path / "out"
    check_free(out, kind, force=False)
    made(out, files)
    check_free(out, kind, force=True)
    with pytest.raises(OutputExists, match=r"out exists already .hint: .*--force to replace it"):
        check_free(out, kind, force=False)
    (out / "thesis.doc").touch()
    with pytest.raises(OutputExists, match=rf"holds thesis.doc, which is no part of {name} "):
        check_free(out, kind, force=True)


@pytest.mark.parametrize("kind", [RUN, SHARDS, AUDIT, IMAGES, DEMO], ids=lambda kind: kind.name)
def test_what_is_of_another_kind_is_never_replaced(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("years")
    for force in (False, True):
        with pytest.raises(OutputExists, match=rf"exists already, and is not {kind.name} .hint: another --out.$"):
            check_free(tmp_path / "out", kind, force=force)


def test_a_file_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("file", "nowhere"):
        check_free(tmp_path / name, force=True)
        with pytest.raises(OutputExists, match="exists already"):
            check_free(tmp_path / name, force=False)
    for name, what in (("folder", "folder"), ("pipe", "named pipe")):
        with pytest.raises(OutputExists, match=f"is a {what}; expected a file"):
            check_free(tmp_path / name, FILE, force=True)


def test_what_a_killed_command_set_aside_is_put_back_before_it_is_looked_at(tmp_path: Path) -> None:
    out = made(tmp_path / "out", MADE["a run"][1])
    with Claim(out) as claim:
        out.rename(claim.folder / "old")
        claim.keep = True
    assert not out.exists()
    with pytest.raises(OutputExists, match="exists already"):
        check_free(out, RUN, force=False)
    assert (out / "metrics.json").exists()
