"""For all that writes, each system call fails in turn and the process ends at each: the output is old or new."""

import errno
import io
import json
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from ult.audit.release.folder import write_audit as write_page
from ult.audit.roc import draw
from ult.codecs.record import Field
from ult.data import open_sink
from ult.data.columns.schema import Schema
from ult.data.parts.split import split
from ult.demo import _folder as demo_folder
from ult.errors import OutputExists, UltError, WrongKey
from ult.host import atomic
from ult.host.atomic import Claim, hidden, recover
from ult.owner import keyfile
from ult.owner.pipeline.resume import Partial
from ult.public.card import FOLDER as CARDS
from ult.public.id_columns import ids_table
from ult.public.manifest import FILE, Manifest
from ult.public.shard_writer import ShardWriter, write_part
from ult.public.vocabulary import Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import deriving, finish, working_folder

CALLS = ("rename", "replace", "fsync", "open", "mkdir", "rmdir", "unlink", "link", "chmod", "truncate")
KEYS = [keyfile.keygen() for _ in range(2)]
SECRETS = [[text.splitlines()[-1]] for text, _ in KEYS]
RECIPE = Recipe(steps=10, batch_size=4, context=32)


class Killed(BaseException):
    """What stands for the end of the process: from then on no call of it does anything."""


class Calls:
    """Counts system calls; the one of number `at` fails, or with `kill` that one and all after it."""

    def __init__(self, at: int = -1, *, kill: bool = False) -> None:
        self.at, self.kill, self.count = at, kill, 0

    def __call__(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            here, self.count = self.count, self.count + 1
            if self.kill and here >= self.at >= 0:
                raise Killed
            if here == self.at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return None if name == "fsync" else function(*args, **options)

        return call


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, calls: Calls):
    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, calls(name, getattr(os, name)))
        patch.setattr(io, "open", calls("open", io.open))
        yield


def secret(folder: Path, text: str, *, force: bool = True) -> None:
    keyfile.write(folder / "out", text.encode(), force=force)


def rekey(folder: Path, text: str) -> None:
    old, new = (keyfile.encryptor(recipients=[public]) for _, public in KEYS)
    if text == "old":
        keyfile.write(folder / "out", old(b"{}"), force=True)
    elif opened(folder) == "old":
        keyfile.rekey(folder / "out", new, identities=SECRETS[0], new_identities=SECRETS[1])


def shred(folder: Path, text: str) -> None:
    if text == "old":
        keyfile.write(folder / "out", keyfile.encryptor(recipients=[KEYS[0][1]])(b"{}"), force=True)
    elif opened(folder) != "new" or hidden(folder / "out").exists():
        keyfile.shred(folder / "out")


def opened(folder: Path) -> str:
    """Return whether the first key opens the file, or it is a whole tombstone or opened by the second."""
    data = (folder / "out").read_bytes()
    if data.startswith(keyfile.TOMBSTONE):
        return "new" if data.count(b"\n") == 1 and data.endswith(b"\n") else "half"
    for key, name in zip(SECRETS, ("old", "new"), strict=True):
        with suppress(WrongKey):
            keyfile.read(folder / "out", identities=key)
            return name
    return "neither"


def sink(folder: Path, text: str, name: str) -> None:
    with open_sink(folder / name, modality="text", column="text", force=True) as out:
        out.write([text])


def images(folder: Path, text: str) -> None:
    with open_sink(folder / "out", modality="image", column="image", force=True) as out:
        out.write([np.full((2, 2), len(text) + ord(text[0]), np.uint8)])


def npz(folder: Path, text: str) -> None:
    with open_sink(folder / "out.npz", modality="series", column="value", force=True) as out:
        out.write([np.array([1.0, float(ord(text[0]))])])


def shards(folder: Path, text: str) -> None:
    with ShardWriter(
        folder / "out", vocabulary=Vocabulary(512), table="0" * 32, codec="text/bytes", column="text", force=True
    ) as out:
        out.write([np.array([ord(text[0])], np.uint32)], 1)


def encode(folder: Path, text: str) -> None:
    with Partial(folder / "out", {"text": text}, force=True) as partial:
        if partial.published:
            return
        if not partial.parts:
            ids, ends = np.array([ord(text[0])], np.uint32), np.array([1])
            table = ids_table(ids, ends, None, Vocabulary(512), pa.schema([]))
            partial.commit(0, write_part(partial.scratch / "part-00000.parquet", table, 1))
        about = {"table": "0" * 32, "codec": "text/bytes", "column": "text", "kept": pa.schema([])}
        partial.publish(Manifest.of(list(partial.parts.values()), vocabulary=Vocabulary(512), **about))


def train(folder: Path, text: str) -> None:
    with working_folder(folder / "out", RECIPE, {}, resume=False, force=True) as partial:
        (partial / "run").mkdir()
        (partial / "run" / "metrics.json").write_text(text, encoding="utf-8")
        (partial / "run" / "model.safetensors").write_text(text, encoding="utf-8")
        (partial / "run" / "vocabulary.json").write_text(text, encoding="utf-8")
        finish(partial, folder / "out", force=True)


def derive(folder: Path, text: str) -> None:
    told = {"task": "lm", "context": 8, "from_run": text}
    with deriving(SimpleNamespace(path=folder / "nowhere"), folder / "out", told, force=True) as new:
        (new / "model.safetensors").write_text(text, encoding="utf-8")
        (new / "vocabulary.json").write_text(text, encoding="utf-8")


def release(folder: Path, text: str) -> None:
    """A body, and its rows in another folder."""
    (folder / "keys").mkdir(exist_ok=True)
    with Claim(folder / "body") as body, Claim(folder / "keys" / "rows") as rows:
        (body.folder / "run").mkdir()
        (body.folder / "run" / "metrics.json").write_text(text, encoding="utf-8")
        keyfile.put(rows.folder / "new", text.encode(), rows.out)
        atomic.publish_together((body, body.folder / "run", False), (rows, rows.folder / "new", True))


def demo(folder: Path, text: str) -> None:
    with demo_folder((folder / "out").absolute(), force=True):
        told = {"parties": {"hospital": [], "trainer": [], "adversary": []}, "text": text}
        Path("demo.json").write_text(json.dumps(told), encoding="utf-8")


def png(folder: Path, text: str) -> None:
    scores = np.array([0.0, 1.0])
    with pytest.MonkeyPatch.context() as patch:  # the file alone is looked at, and drawing takes a third of a second
        patch.setattr(Figure, "savefig", lambda _figure, to, **_how: Path(to).write_text(text, encoding="utf-8"))
        draw({text: (scores, scores)}, folder / "out")


def describe(folder: Path, text: str) -> None:
    Schema(fields=(Field(name=text, kind="category"),)).write(folder / "out")


@cache
def rows(text: str) -> Path:
    path = Path(tempfile.mkdtemp()) / "rows.txt"
    path.write_text("".join(f"{text} {k}\n" for k in range(4)))
    return path


def parts(folder: Path, text: str) -> None:
    split(rows(text), folder / "out", test=0.5, force=True)


ROWS = [rows(text) for text in ("old", "new")]  # written before any call is counted
VERBS = {
    "split": parts,
    "describe": describe,
    "fit": secret,
    "keygen": lambda folder, text: secret(folder, text, force=text == "old" or (folder / "out").exists()),
    "rekey": rekey,
    "shred": shred,
    "decode to text": lambda folder, text: sink(folder, text, "out.txt"),
    "decode to Parquet": lambda folder, text: sink(folder, text, "out.parquet"),
    "decode to images": images,
    "decode to npz": npz,
    "generate": shards,
    "encode": encode,
    "train": train,
    "align": derive,
    "release": release,
    "demo": demo,
    "audit release": lambda folder, text: write_page(
        folder / "out", {"audit.json": text, "audit.html": text}, folder / "owner", text
    ),
    "audit --png": png,
    "audit --json": lambda folder, text: atomic.write_text(folder / "out", text),
}


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def is_hidden(name: str) -> bool:
    """Whether a name leads to or through what is hidden, but for what belongs to shards: their manifest and card."""
    return any(part.startswith(".") and part not in (FILE, CARDS) for part in Path(name).parts)


def seen(folder: Path) -> dict[str, bytes]:
    """What is there by its names, hidden folders left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_hidden(path.relative_to(folder).as_posix())
    }


def outs(folder: Path) -> list[Path]:
    return [folder / name for name in ("out", "out.txt", "out.parquet", "out.npz", "body", "keys/rows", "owner")]


def state(folder: Path, verb: str, known: dict[str, dict[str, bytes]]) -> str:
    """Return "old", "new", or what is there that is neither."""
    if verb in ("rekey", "shred"):
        return opened(folder)
    found = seen(folder)
    return next((name for name, files in known.items() if files == found), f"neither: {names(folder)}")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """What each verb writes for old and new, undisturbed, by verb; and that it leaves nothing hidden."""
    found = {}
    for verb, act in VERBS.items():
        for text in ("old", "new"):
            folder = tmp_path_factory.mktemp("known")
            act(folder, "old")
            if text == "new":
                act(folder, "new")
            found.setdefault(verb, {})[text] = seen(folder)
            assert not [name for name in names(folder) if is_hidden(name)]
    return found


@pytest.mark.parametrize("kill", [False, True], ids=["fails", "killed"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_system_call(verb, kill, known, tmp_path, monkeypatch):
    act = VERBS[verb]
    for at in range(400):
        folder = tmp_path / str(at)
        folder.mkdir()
        act(folder, "old")
        calls = Calls(at, kill=kill)
        with counted(monkeypatch, calls), suppress(OSError, UltError, Killed):
            act(folder, "new")
        if calls.count <= at:
            break
        if not kill:
            assert state(folder, verb, known[verb]) in ("old", "new") or verb == "shred", at
        for path in outs(folder):
            recover(path)  # as whoever reads does
        assert state(folder, verb, known[verb]) in ("old", "new") or (verb == "shred" and opened(folder) != "old"), at
        for path in outs(folder):  # the next command, which fails
            if hidden(path).exists():
                with suppress(KeyError), Claim(path, journal=next(iter(held(path)), None)) as claim:
                    claim.keep = bool(held(path))
                    raise KeyError
        assert state(folder, verb, known[verb]) in ("old", "new") or verb == "shred", at
        act(folder, "new")  # and the next, which does not
        assert state(folder, verb, known[verb]) == "new", at
        left = [name for name in names(folder) if is_hidden(name)]
        assert not left, f"{at}: {left}"
    assert calls.count > 5


def held(path: Path) -> list[str]:
    return [name for name in atomic.JOURNALS if (hidden(path) / name).exists()]


def test_two_commands_do_not_write_the_same_output(tmp_path):
    for act in (secret, shards, encode, train, derive, release):
        out = tmp_path / ("body" if act is release else "out")
        with Claim(out), pytest.raises(OutputExists, match="is being written by another process"):
            act(tmp_path, "new")
        assert not out.exists()
    with Claim(tmp_path / "out.txt"), pytest.raises(OutputExists, match="is being written by another process"):
        sink(tmp_path, "new", "out.txt")


def test_a_training_that_runs_is_not_resumed(tmp_path):
    with working_folder(tmp_path / "out", RECIPE, {}, resume=False, force=False) as partial:
        (partial / "checkpoint-1").mkdir()
        for options in ({"resume": True, "force": False}, {"resume": False, "force": True}):
            with (
                pytest.raises(OutputExists, match="being written by another process"),
                working_folder(tmp_path / "out", RECIPE, {}, **options),
            ):
                pass
        assert (partial / "checkpoint-1").exists()


@pytest.mark.parametrize("what", ["folder", "file", "link", "marked by another"])
def test_what_others_made_is_never_touched(what, tmp_path):
    place, kept = hidden(tmp_path / "out"), tmp_path / "precious"
    kept.mkdir()
    (kept / "thesis").write_text("years", encoding="utf-8")
    if what == "link":
        place.symlink_to(kept)
    elif what == "file":
        place.write_text("years", encoding="utf-8")
    else:
        place.mkdir()
        (place / "old").write_text("years", encoding="utf-8")
        if what == "marked by another":
            (place / atomic.OWNER).write_text('{"owner": "me"}', encoding="utf-8")
    before = {name: (tmp_path / name).is_dir() or (tmp_path / name).read_bytes() for name in names(tmp_path)}
    recover(tmp_path / "out")
    with pytest.raises(OutputExists, match="in the way"):
        secret(tmp_path, "new")
    assert before == {name: (tmp_path / name).is_dir() or (tmp_path / name).read_bytes() for name in names(tmp_path)}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask_and_secrets_are_the_owner_s(mask, tmp_path):
    before = os.umask(mask)
    try:
        (tmp_path / "s").mkdir()
        shards(tmp_path / "s", "new")
        with working_folder(tmp_path / "run", RECIPE, {}, resume=False, force=False) as partial:
            assert stat.S_IMODE(partial.stat().st_mode) == 0o700
            (partial / "run").mkdir(0o700)
            for name, mode in (("model.safetensors", 0o600), ("metrics.json", 0o666), ("owner.json", 0o644)):
                (partial / "run" / name).touch(mode)
            finish(partial, tmp_path / "run", force=False)
        with open_sink(tmp_path / "o.txt", modality="text", column="text") as sunk:
            sunk.write(["a"])
            found = [path.stat().st_mode for path in hidden(tmp_path / "o.txt").glob("new")]
            assert [stat.S_IMODE(mode) for mode in found] == [0o600]
        release(tmp_path, "new")
    finally:
        os.umask(before)
    for path in [tmp_path / "s" / "out", tmp_path / "run", tmp_path / "body", tmp_path / "o.txt"]:
        for one in (path, *path.rglob("*")):
            secret_one = one.name == "owner.json"
            most = 0o777 if one.is_dir() else 0o600 if secret_one else 0o666
            assert stat.S_IMODE(one.stat().st_mode) == most & ~mask, one
    assert stat.S_IMODE((tmp_path / "keys" / "rows").stat().st_mode) == 0o600


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path):
    def meanwhile():
        with working_folder(tmp_path / "out", RECIPE, {}, resume=False, force=False) as partial:
            (partial / "run").mkdir()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "thesis").touch()
            finish(partial, tmp_path / "out", force=False)

    with pytest.raises(OutputExists, match="exists already"):
        meanwhile()
    assert names(tmp_path) == ["out", "out/thesis"]


@pytest.mark.parametrize("name", ["x" * 250, "ä" * 120, "o.txt"])
def test_names_that_are_almost_too_long(name, tmp_path):
    atomic.write_text(tmp_path / name, "new")
    assert names(tmp_path) == [name]
