"""`ult encode`, killed at any moment and any number of times: the same command goes on, and ends in the same bytes.

A process that has everything imported forks for each command, so that a run costs a tenth of a second; what is killed
is a process of its own, with workers of its own.
"""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ult

pytestmark = pytest.mark.slow

RECORDS = [f"record {i} with words {i % 97} and {i % 89}" for i in range(1000)]
ENCODE = ["encode", "in.jsonl", "-t", "t.ult", "-o", "out", "--keep", "n", "--keep-identifier"]
PARTIAL = ".out.partial"
SERVER = """
import json, os, resource, signal, sys
import pyarrow.parquet
import ult.owner.pipeline.resume, ult.owner.encode, ult.cli.owner, ult.data.stamp, rich.progress
import ult, ult.host.distribution
from ult.__main__ import main
table = ult.Table.load("t.ult")
table.decode_batch(table.encode_batch(["warm"]))
ult.host.distribution.build()  # of the sources, which it reads
pyarrow.array([1])  # imports pandas, where it is installed
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
def die_at(step):
    def hook(event, arguments):
        nonlocal step
        if event in CHANGES or event == "open" and isinstance(arguments[2], int) and arguments[2] & 3:
            step -= 1
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
for line in sys.stdin:
    argv, cwd, step, limit = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.argv = ["ult", *argv]
        if step is not None:
            die_at(step)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            main()
        except SystemExit as done:
            os._exit(done.code)
        os._exit(99)
    print(pid, flush=True)
    sys.stdin.readline()  # until then the pid is the child's, ended or not
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def command(options: tuple[str, ...]) -> list[str]:
    """Return the command of these tests with options, some of which take the place of its own."""
    own = {"--part-bytes": "20000", "--workers": "1"}
    return [*ENCODE, *(word for name in own if name not in options for word in (name, own[name])), *options]


class Server:
    """Forks a process a command."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        folder: Path,
        *options: str,
        step: int | None = None,
        seconds: float | None = None,
        limit: int | None = None,
    ) -> int:
        """Encode in `folder`, killed at the change of the file system number `step`, or after `seconds`.

        No file that it writes may have more than `limit` bytes.
        """
        print(json.dumps([command(options), str(folder), step, limit]), file=self.process.stdin, flush=True)
        pid = int(self.process.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    lines = [json.dumps({"text": text, "n": n}) for n, text in enumerate(RECORDS)]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = ult.Table.fit(RECORDS[:500], vocabulary=ult.Vocabulary(400), min_records=1)
    table.save(folder / "t.ult", encrypt=False)
    return folder


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[Server]:
    found = Server(made)
    yield found
    found.process.stdin.close()
    found.process.stdout.close()
    found.process.wait(60)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for name in ("in.jsonl", "t.ult"):
        shutil.copy2(made / name, tmp_path / name)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(server: Server, made: Path) -> dict[str, bytes]:
    assert server.run(made, "--workers", "1") == 0, (made / "err").read_text()
    found = contents(made / "out")
    assert len(found) == 7, sorted(found)
    assert [ids.tolist() for ids in ult.Shards(made / "out").ids()] == [
        ids.tolist() for ids in ult.Table.load(made / "t.ult").encode_batch(RECORDS)
    ]
    return found


def test_the_number_of_workers_changes_no_byte(server: Server, folder: Path, undisturbed: dict[str, bytes]) -> None:
    assert server.run(folder, "--workers", "3") == 0
    assert contents(folder / "out") == undisturbed


@pytest.mark.parametrize("force", [False, True])
def test_killed_at_every_change_of_the_file_system(
    server: Server, folder: Path, undisturbed: dict[str, bytes], force: bool
) -> None:
    """A kill before each change; with `--force`, here and there one more in the run that goes on."""
    options = ["--workers", "1", *["--force"] * force]
    old = {".manifest.json": b"{}", "part-00000.parquet": b"old"}
    for step in range(200):
        shutil.rmtree(folder / "out", ignore_errors=True)
        if force:
            (folder / "out").mkdir()
            for name, data in old.items():
                (folder / "out" / name).write_bytes(data)
        status = server.run(folder, *options, step=step)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        for again in (step // 2, None) if force and step % 3 == 0 else (None,):
            if (folder / "out").exists():  # whole, old or new
                assert contents(folder / "out") in ([undisturbed, old] if force else [undisturbed])
            if force or not (folder / "out").exists() or (folder / PARTIAL / "progress.jsonl").exists():
                status = server.run(folder, *options, step=again)
                assert status == (0 if again is None else status), (folder / "err").read_text()
        assert contents(folder / "out") == undisturbed, step
        if {path.name for path in folder.glob(f"{PARTIAL}/*")} <= {"owner.json"}:  # killed before the very last change
            shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        assert sorted(path.name for path in folder.iterdir()) == ["err", "in.jsonl", "out", "t.ult"], step
    assert 10 < step < 40
    assert contents(folder / "out") == undisturbed


def test_killed_at_random_moments(server: Server, folder: Path, undisturbed: dict[str, bytes]) -> None:
    """50 kills, of commands with one worker and with two, which go on with each other's parts."""
    draw = random.Random(0)  # noqa: S311
    duration = {}
    for workers in ("1", "2"):
        started = time.perf_counter()
        assert server.run(folder, "--workers", workers, "--force") == 0
        duration[workers] = time.perf_counter() - started
    shutil.rmtree(folder / "out")
    killed = whole = 0
    while killed < 50 or not whole:
        workers = "2" if draw.random() < 0.2 else "1"
        seconds = draw.uniform(0, duration[workers]) if killed < 50 else None
        status = server.run(folder, "--workers", workers, seconds=seconds)
        killed += status == -signal.SIGKILL
        if not (folder / "out").exists():
            assert status == -signal.SIGKILL, (folder / "err").read_text()
        elif not (folder / PARTIAL / "progress.jsonl").exists():
            assert contents(folder / "out") == undisturbed
            shutil.rmtree(folder / "out")
            shutil.rmtree(folder / PARTIAL, ignore_errors=True)
            whole += 1


def killed_at(server: Server, folder: Path, parts: int, *options: str) -> Path:
    """Leave the partial folder of a run that was killed once it had `parts` parts."""
    step = 6
    while len(list(folder.glob(f"{PARTIAL}/shards/*.parquet"))) < parts:
        step += 1
        assert server.run(folder, *options, "--workers", "1", step=step) == -signal.SIGKILL
    return folder / PARTIAL


@pytest.mark.parametrize("kind", ["deleted", "altered", "cut", "a folder"])
def test_a_part_that_was_altered_is_written_again(
    server: Server, folder: Path, undisturbed: dict[str, bytes], kind: str
) -> None:
    part = killed_at(server, folder, 2) / "shards" / "part-00001.parquet"
    data = part.read_bytes()
    part.unlink()
    if kind == "a folder":
        part.mkdir()
    elif kind != "deleted":
        part.write_bytes(data[:-1] + (b"x" if kind == "altered" else b""))
    assert server.run(folder) == 0
    said = (folder / "err").read_text()
    assert "part-00001.parquet of out was deleted or altered since and is written again" in said
    assert "going on: 1 part of out finished already" in said
    assert contents(folder / "out") == undisturbed


@pytest.mark.parametrize("damage", [b"", b'{"a": 1}\n', b"\xff\n"])
def test_a_damaged_journal_is_refused(
    server: Server, folder: Path, undisturbed: dict[str, bytes], damage: bytes
) -> None:
    partial = killed_at(server, folder, 2)
    (partial / "progress.jsonl").write_bytes(damage)
    assert server.run(folder) == 1
    assert "hint: that command goes on, or --force to start anew" in (folder / "err").read_text()
    assert partial.exists()
    assert server.run(folder, "--force") == 0
    assert contents(folder / "out") == undisturbed
    assert not partial.exists()


def test_another_build_does_not_go_on(server: Server, folder: Path) -> None:
    """Parts of two builds may differ, and one folder of shards is of one."""
    partial = killed_at(server, folder, 2)
    first, *others = (partial / "progress.jsonl").read_text().splitlines(keepends=True)
    command = json.loads(first)
    command["versions"]["build"] = "0" * 16
    (partial / "progress.jsonl").write_text("".join([json.dumps(command) + "\n", *others]))
    assert server.run(folder) == 1
    assert "the finished parts of another command: other versions" in (folder / "err").read_text()


def test_a_journal_that_is_cut_short_is_read_as_far_as_it_goes(
    server: Server, folder: Path, undisturbed: dict[str, bytes]
) -> None:
    partial = killed_at(server, folder, 2)
    journal = partial / "progress.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    assert server.run(folder) == 0
    assert "finished already" in (folder / "err").read_text()
    assert contents(folder / "out") == undisturbed


def test_another_command_is_refused(server: Server, folder: Path, undisturbed: dict[str, bytes]) -> None:
    partial = killed_at(server, folder, 2)
    before = contents(partial / "shards")
    assert server.run(folder, "--part-bytes", "9999") == 1
    assert "another command: other part_bytes" in (folder / "err").read_text()
    os.utime(folder / "in.jsonl", (1, 1))
    assert server.run(folder) == 1
    assert "another command: other inputs" in (folder / "err").read_text()
    assert contents(partial / "shards") == before
    assert server.run(folder, "--force") == 0
    assert "finished already" not in (folder / "err").read_text()
    assert contents(folder / "out") == undisturbed


def test_what_is_in_the_way_is_never_removed(server: Server, folder: Path) -> None:
    (folder / PARTIAL).mkdir()
    (folder / PARTIAL / "precious").write_text("x")
    for options in ([], ["--force"]):
        assert server.run(folder, *options) == 1
        assert "is in the way" in (folder / "err").read_text()
    assert (folder / PARTIAL / "precious").read_text() == "x"


def test_two_processes_do_not_write_the_same_shards(server: Server, folder: Path) -> None:
    partial = killed_at(server, folder, 1)
    lock = os.open(partial, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert server.run(folder, "--force") == 1
        assert "being written by another process" in (folder / "err").read_text()
    finally:
        os.close(lock)
    assert server.run(folder) == 0


def test_a_disk_that_fills_up_in_the_middle(server: Server, folder: Path) -> None:
    draw = random.Random(0)  # noqa: S311
    with (folder / "in.jsonl").open("a", encoding="utf-8") as file:
        for n in range(1024):  # a part that no compression brings below the limit
            text = "".join(map(chr, draw.choices(range(33, 127), k=100))).replace("\\", "").replace('"', "")
            file.write(json.dumps({"text": text, "n": n}) + "\n")
    assert server.run(folder, "--workers", "2", limit=13_000) == 1
    said = (folder / "err").read_text()
    assert said.startswith("error: cannot write part-0000")
    assert "File too large" in said
    assert "in .out.partial; the same command goes on from there" in said
    assert "Traceback" not in said
    assert not (folder / "out").exists()
    assert not list(folder.glob(f"{PARTIAL}/t*"))
    assert server.run(folder) == 0
    assert "finished already" in (folder / "err").read_text()
    found = contents(folder / "out")
    shutil.rmtree(folder / "out")
    assert server.run(folder) == 0
    assert contents(folder / "out") == found


def test_an_input_that_is_wrong_leaves_nothing(server: Server, folder: Path) -> None:
    with (folder / "in.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": null, "n": 1}\n')
    assert server.run(folder) == 1
    assert (folder / "err").read_text() == "error: in.jsonl, line 1001: 'text' is null; expected a text\n"
    assert sorted(path.name for path in folder.iterdir()) == ["err", "in.jsonl", "t.ult"]
