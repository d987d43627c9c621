"""Work on a real Ray cluster of two nodes on this machine: the bytes of `Local`, whatever happens to a node."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import ult
from ult.__main__ import main
from ult.codecs import codec_class
from ult.data import open_source
from ult.errors import EngineError, InvalidRecord, MissingExtra, WrongKey
from ult.host.distribution import install
from ult.owner import keyfile
from ult.owner.pipeline import pieces
from ult.owner.pipeline import ray_engine as engine
from ult.owner.pipeline.engine import Local
from ult.owner.pipeline.ray_engine import Ray
from ult.owner.pipeline.resume import Partial

pytestmark = pytest.mark.slow
LINES = [f"record {i} with words {i % 97} and {i % 89}" for i in range(30_000)]
CANARY, TOKEN = "a rare canary sentence", secrets.token_hex(32)
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
SYSTEM = {
    "object_spilling_threshold": 0.01,  # 1 MB
    "min_spilling_size": 0,
    "health_check_period_ms": 1000,  # a node is dead when it misses three
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of a head, which this process is connected to, and maybe a second node. It spills eagerly."""
    folder = tempfile.mkdtemp(prefix="ult-ray-", dir="/tmp")  # the path of a socket is short
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # for the work below
        patch.setenv("ULT_TESTS_HUNG", f"{folder}/hung")
        import ray
        from ray.cluster_utils import Cluster

        head = {**NODE, "include_dashboard": False, "_system_config": SYSTEM}
        found = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=found.address, log_to_driver=False, logging_level="CRITICAL")
        yield found
        ray.shutdown()
        found.shutdown()
    shutil.rmtree(folder)


@pytest.fixture
def second(cluster: Any) -> Any:
    """The second node, alive."""
    if not cluster.worker_nodes:
        cluster.add_node(**NODE, env_vars={"ULT_TESTS_SECOND": "1"})
    return next(iter(cluster.worker_nodes))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "in.txt"
    path.write_text("\n".join([*LINES, CANARY]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def table() -> ult.Table:
    return ult.Table.fit(LINES[:500] * 2, vocabulary=ult.Vocabulary(400), min_records=1)


def encode(text: Path, table: ult.Table, out: Path, engine: Any) -> dict[str, bytes]:
    """Return the files of the shards, of some 30 parts."""
    source = open_source([text], modality="text")
    with Partial(out, {}) as partial:
        pieces.encode(source.pieces(8000), table, partial, column=source.column, kept=source.kept_schema, engine=engine)
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def expected(text: Path, table: ult.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    found = encode(text, table, tmp_path_factory.mktemp("local") / "out", Local(1))
    assert len(found) > 20
    return found


class Killing:
    """Kills the second node once it hangs in a piece; `lost` says how often a piece was done again."""

    def __init__(self, cluster: Any, node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.node, self.lost = cluster, node, 0
        self.hung = Path(os.environ["ULT_TESTS_HUNG"])
        self.hung.unlink(missing_ok=True)
        again = engine._Job.again

        def count(job: Any, task: Any, how: str) -> None:
            self.lost += 1
            again(job, task, how)

        monkeypatch.setattr(engine._Job, "again", count)

    def map(self, *arguments: Any) -> Iterator[tuple[int, Any]]:
        with closing(Ray(self.cluster.address).map(*arguments)) as answers:
            for answer in answers:
                if self.hung.exists() and self.node in self.cluster.worker_nodes:
                    self.cluster.remove_node(self.node, allow_graceful=False)
                yield answer


def hanging(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return work that on the second node hangs in the third piece, and on the head waits until that is so."""
    done = 0

    def wait(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        hung = Path(os.environ["ULT_TESTS_HUNG"])
        if "ULT_TESTS_SECOND" not in os.environ:
            while not hung.exists():
                time.sleep(0.01)
        elif done == 3:
            hung.touch()
            time.sleep(600)
        return work(*arguments)

    return wait


def hanging_encoder(*state: Any) -> Callable[..., Any]:
    return hanging(_ENCODER(*state))


def hanging_counter(*state: Any) -> Callable[..., Any]:
    return hanging(_COUNTER(*state))


_ENCODER, _COUNTER = pieces._encoder, pieces._counter


def test_shards_are_those_of_local(
    cluster: Any, second: Any, text: Path, table: ult.Table, expected: dict[str, bytes], tmp_path: Path
) -> None:
    assert encode(text, table, tmp_path / "out", Ray(cluster.address)) == expected


def test_shards_are_those_of_local_when_a_node_dies(
    cluster: Any,
    second: Any,
    text: Path,
    table: ult.Table,
    expected: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "_encoder", hanging_encoder)
    killing = Killing(cluster, second, monkeypatch)
    assert encode(text, table, tmp_path / "out", killing) == expected
    assert killing.lost > 0


def fit(text: Path, engine: Any) -> bytes:
    codec = codec_class("text/bytes")()
    source = open_source([text], modality="text")
    counts = pieces.count(lambda: source.pieces(8000), codec, min_records=2, engine=engine)
    return ult.Table.from_counts(counts, codec=codec, vocabulary=ult.Vocabulary(400)).cleartext()


def test_tables_are_those_of_local_also_when_a_node_dies(
    cluster: Any, second: Any, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit(text, Local(1))
    assert fit(text, Ray(cluster.address)) == expected
    monkeypatch.setattr(pieces, "_counter", hanging_counter)
    killing = Killing(cluster, second, monkeypatch)
    assert fit(text, killing) == expected
    assert killing.lost > 0


# ---- what goes wrong, and what stays


def test_an_error_of_the_work_is_itself(cluster: Any) -> None:
    with pytest.raises(InvalidRecord, match="piece 5") as met:
        list(Ray(cluster.address).map(refusing, (5,), ((n, (n,)) for n in range(20))))
    assert met.value.hint == "leave it out"
    with pytest.raises(MissingExtra, match="rdkit is not installed"):
        list(Ray(cluster.address).map(lacking, (), [(0, ())]))


def refusing(bad: int) -> Callable[[int], int]:
    def work(number: int) -> int:
        if number == bad:
            raise InvalidRecord(f"piece {number} is wrong", hint="leave it out")
        return number

    return work


def lacking() -> Callable[[], None]:
    raise MissingExtra("rdkit", extra="molecule")


def test_a_piece_that_ends_every_worker(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TRIES", 2)
    with pytest.raises(EngineError, match="lost 2 times with its worker, at last by WorkerCrashedError"):
        list(Ray(cluster.address).map(deadly, (), [(0, ())]))


def deadly() -> Callable[[], None]:
    return lambda: os._exit(1)


def test_nodes_must_see_the_folder_and_have_our_versions(
    cluster: Any, table: ult.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = (table.cleartext(), None, str(tmp_path / "elsewhere"))
    with pytest.raises(EngineError, match=r"does not see the folder .*elsewhere") as met:
        list(Ray(cluster.address).map(pieces._encoder, state, [(0, (0, None))]))
    assert met.value.hint == "--out in a folder that all nodes share"
    monkeypatch.setattr(engine, "_versions", lambda: ("ult 9.9", "pyarrow 1.0"))
    with pytest.raises(EngineError, match=r"node of the Ray cluster has ult .* here it is ult 9.9 and pyarrow 1.0"):
        list(Ray(cluster.address).map(refusing, (5,), [(0, (0,))]))


def test_a_cluster_without_a_cpu(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(engine, "_NO_CPU", 0.5)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    with pytest.raises(EngineError, match="has no CPU left"):
        list(Ray(cluster.address).map(sleeping, (), [(0, (5,))]))


def sleeping() -> Callable[[float], None]:
    return time.sleep


def test_pieces_in_flight_are_bounded(cluster: Any) -> None:
    import ray

    cpus = int(ray.cluster_resources()["CPU"])
    for workers, bound in ((None, 2 * cpus), (1, 1), (3, 3)):
        given: list[int] = []
        items = ((n, (n,)) for n in range(30) if not given.append(n))  # type: ignore[func-returns-value]
        answers = Ray(cluster.address, workers=workers).map(refusing, (-1,), items)
        for done, _ in enumerate(answers, 1):
            assert len(given) - done <= bound  # what is in flight, and one at hand
    room = iter(Ray(cluster.address).map(sized, (), ((n, (bytes(2**24),)) for n in range(8))))
    assert [answer for _, answer in room] == [2**24] * 8  # 134 MB through a store of 105


def sized() -> Callable[[bytes], int]:
    return len


def test_no_disk_holds_a_secret(cluster: Any, text: Path, table: ult.Table, tmp_path: Path) -> None:
    """Neither what the cluster spills, as it does in mid-run, nor its logs."""
    folder = Path(os.environ["RAY_TMPDIR"])
    secret = os.urandom(2**20).hex().encode()

    def scan() -> int:
        """Return how many bytes are spilled now."""
        spilled = 0
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                spilled += len(data) if "spilled" in str(path) else 0
                for needle in (secret[:64], CANARY.encode(), b"AGE-SECRET-KEY-1", table.cleartext()[:64]):
                    assert needle not in data, path
        return spilled

    many = Ray(cluster.address, workers=8).map(echo, (secret,), ((n, (secret,)) for n in range(12)))
    found = dict([next(many)])
    deadline = time.monotonic() + 30
    while scan() < 2**21:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {**found, **dict(many)} == dict.fromkeys(range(12), (secret, secret))
    encode(text, table, tmp_path / "out", Ray(cluster.address))
    fit(text, Ray(cluster.address))
    scan()


def echo(state: bytes) -> Callable[[bytes], tuple[bytes, bytes]]:
    return lambda piece: (state, piece)


def test_what_is_sealed_opens_with_its_key_alone() -> None:
    key, other = keyfile.session_key(), keyfile.session_key()
    sealed = keyfile.seal(b"records", key)
    assert b"records" not in sealed
    assert keyfile.unseal(sealed, key) == b"records"
    for data, one in ((sealed, other), (sealed[:-1] + bytes([sealed[-1] ^ 1]), key), (b"", key)):
        with pytest.raises(WrongKey, match="altered, or sealed with another key"):
            keyfile.unseal(data, one)


# ---- the command line


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-m", "ult", *words],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_from_text_to_shards_on_the_cluster(
    cluster: Any, text: Path, table: ult.Table, expected: dict[str, bytes], tmp_path: Path
) -> None:
    table.save(tmp_path / "t.ult", encrypt=False)
    command = ["encode", str(text), "-t", "t.ult", "-o", "out", "--part-bytes", "8000", "--engine", "ray"]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    done = run(tmp_path, *command, "--address", cluster.address, **token)
    said = [line for line in done.stderr.splitlines() if not re.fullmatch(r"\w+\W.*\d+ s", line)]  # but signs of life
    assert (done.returncode, said) == (0, [])
    assert {p.name: p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()} == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "t.ult"]


def test_a_cluster_of_its_own(text: Path, tmp_path: Path) -> None:
    fit = ["fit", str(text), "--no-encryption", "--vocabulary-size", "512"]
    assert run(tmp_path, *fit, "-o", "local.ult").returncode == 0
    (tmp_path / "ray").mkdir()
    done = run(tmp_path, *fit, "-o", "ray.ult", "--engine", "ray", HOME=str(tmp_path / "ray"))
    assert done.returncode == 0
    assert all(line.startswith(("note: ", "fitting")) for line in done.stderr.splitlines()), done.stderr
    assert (tmp_path / "ray.ult").read_bytes() == (tmp_path / "local.ult").read_bytes()
    assert not list((tmp_path / "ray").iterdir())  # no token below $HOME


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--address 127.0.0.1:6379", "error: an address is of a Ray cluster; the engine is local"),
        ("--engine spark", "error: engine is 'spark'; expected local or ray"),
        ("--engine ray --address 127.0.0.1:1", "error: there is no Ray cluster at 127.0.0.1:1"),
        ("--engine ray --address nonsense", "error: there is no Ray cluster at nonsense"),
        ("--engine ray --address ray://127.0.0.1:10001", "error: ray://127.0.0.1:10001 is no address of a cluster"),
    ],
)
def test_refusals(
    options: str,
    said: str,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.chdir(tmp_path)
    command = ["fit", str(text), "-o", "t.ult", "--no-encryption", *options.split()]
    monkeypatch.setattr(sys, "argv", ["ult", *command])
    with pytest.raises(SystemExit) as done:
        main()
    said_then = capsys.readouterr().err.splitlines()
    assert (done.value.code, len(said_then)) == (1, 2)
    assert said_then[0].startswith(said)
    assert not list(tmp_path.iterdir())


def test_daemons_get_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULT_PASSPHRASE", "three plain words")
    with engine._without_secrets():
        assert "ULT_PASSPHRASE" not in os.environ
    assert os.environ["ULT_PASSPHRASE"] == "three plain words"


def test_without_ray(text: Path, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError\n")
    done = run(tmp_path, "fit", str(text), "-o", "t.ult", "--no-encryption", "--engine", "ray")
    assert (done.returncode, done.stderr) == (1, f"error: ray is not installed\nhint: {install('ray')}\n")
