"""A federation over a network: certificates on both sides, and the bytes of a simulation whoever is killed."""

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from accelerate.state import AcceleratorState
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from toy import OTHER, counting, write
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists, TrainingError
from ult.public.published import released
from ult.public.run import Run
from ult.trainer.federated import channel
from ult.trainer.federated.asked import read_task, round_in, task, told_in
from ult.trainer.federated.channel import Certificates, Desk, Line, Served
from ult.trainer.federated.group import begin
from ult.trainer.federated.join import join
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds
from ult.trainer.federated.serve import serve
from ult.trainer.federated.simulate import simulate
from ult.trainer.recipe import Recipe

pytestmark = pytest.mark.slow

OWNERS = ("north", "south")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def joining(root, k, port, out):
    """Start an owner in a process of its own, which is started again if it is killed."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_again_and_again, args=(root, k, port, out))
    process.start()
    return process


def _again_and_again(*given):
    fork = multiprocessing.get_context("fork")
    for _ in range(3):
        process = fork.Process(target=_joined, args=given)
        process.start()
        process.join()
        if process.exitcode == 0:
            return
    raise SystemExit(1)


def _joined(root, k, port, out):
    (out / f"pid{k}").write_text(str(os.getpid()))
    AcceleratorState._reset_state(reset_partial_state=True)
    recipe = Recipe(batch_size=4, context=16, seed=k)
    place = f"127.0.0.1:{port}"
    join(root / "group", root / "ab"[k], out / f"run{k}", recipe, place, OWNERS[k], patience=60, seeded=True)


def test_it_gives_the_bytes_of_a_simulation_whoever_is_killed(tmp_path, monkeypatch):
    write(tmp_path / "a", counting(40))
    write(tmp_path / "b", [record[::-1] for record in counting(40, high=120)], table=OTHER, size=128)
    begin("tiny", Plan(rounds=2, local_steps=2, outer="nesterov"), tmp_path / "group")
    port, out = free_port(), tmp_path / "net"
    out.mkdir()
    monkeypatch.setattr(channel, "POLL", 1.0)
    processes = [joining(tmp_path, k, port, out) for k in range(2)]
    close, tell, killed = Rounds.close, Rounds.tell, []

    def closed(self, *, down, up=0):
        if self.done == 1:  # the server is killed once all have told, before the second body
            raise KeyboardInterrupt
        close(self, down=down)

    def told(self, owner, message, name):
        tell(self, owner, message, name)
        if (self.done, owner) == (0, 0):  # and an owner after it has told its first change
            os.kill(int((out / "pid0").read_text()), signal.SIGKILL)
            killed.append(1)

    group = tmp_path / "group"
    with monkeypatch.context() as patch:
        patch.setattr(Rounds, "close", closed)
        patch.setattr(Rounds, "tell", told)
        with pytest.raises(KeyboardInterrupt):
            serve(group, out / "body", OWNERS, f"127.0.0.1:{port}")
    assert not (out / "body").exists()
    found = serve(group, out / "body", OWNERS, f"127.0.0.1:{port}", resume=True)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert killed
    simulate([tmp_path / "a", tmp_path / "b"], tmp_path / "one", Recipe(batch_size=4, context=16), group=group)
    assert (out / "body/model.safetensors").read_bytes() == (tmp_path / "one/model.safetensors").read_bytes()
    for k in range(2):
        mine, simulated = out / f"run{k}", tmp_path / "one/owners" / str(k)
        assert (mine / "model.safetensors").read_bytes() == (simulated / "model.safetensors").read_bytes()
        assert Run.open(mine).metrics["federated"]["group"] == found.told["group"]
    up = found.told["traffic"]["up"]
    assert up == json.loads((tmp_path / "one/group.json").read_text())["traffic"]["up"], "counted on the wire"
    given = released(Run.open(out / "run0").metrics)
    assert not {"seed", "initial_digest"} & {*given, *given["recipe"]}, "they tell the rows of the first round"


# ---- certificates


def signed(folder, name, by=None):
    """Write a certificate and its key; return both."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(by[0].subject if by else named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((by[1] if by else key).public_key()), critical=False
        )
        .add_extension(x509.KeyUsage(True, False, False, False, False, by is None, by is None, False, False), True)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return built, key


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each of several shows: the server, an owner, a stranger of the same root, and one of another root."""
    folder = tmp_path_factory.mktemp("certificates")
    root, other = signed(folder, "root"), signed(folder, "other")
    found = {}
    for name, by in (("server", root), ("north", root), ("stranger", root), ("south", other)):
        signed(folder, name, by)
        found[name] = Certificates(folder / "root.pem", folder / f"{name}.pem", folder / f"{name}.key")
    found["lost"] = Certificates(folder / "other.pem", folder / "south.pem", folder / "south.key")
    return found


def asked(desk, port, who, certificates, most=100):
    """What an owner is asked, once."""
    heard = []
    line = Line(f"localhost:{port}", who, certificates, most=most)
    thread = threading.Thread(target=lambda: desk.ask({"north": b"hello"}, 5), daemon=True)
    thread.start()
    try:
        line.tasks(lambda task: heard.append(task), patience=1)
    finally:
        desk.answer("north", f"{desk.session}-{desk._number}", b"")
        thread.join()
    return heard


def test_only_owners_with_a_certificate_of_the_root_are_heard(shown):
    desk = Desk(["north"], 100)
    with Served(desk, "localhost:0", shown["server"]) as served:
        assert asked(desk, served.port, "north", shown["north"]) == [b"hello"]
        assert (desk.sent, desk.received) == (5, 0)
        with pytest.raises(TrainingError, match="knows no owner"):  # its certificate's name counts, not what it says
            asked(desk, served.port, "north", shown["stranger"])
        with pytest.raises(TrainingError, match="cannot be reached"):
            asked(desk, served.port, "north", shown["south"])
        with pytest.raises(TrainingError, match="shows another certificate"):
            asked(desk, served.port, "north", shown["lost"])
        with pytest.raises(TrainingError, match="cannot be reached"):
            asked(desk, served.port, "north", None)
        assert asked(desk, served.port, "x", shown["north"]) == [b"hello"]
        with pytest.raises(TrainingError, match="sends more than a body"):
            asked(desk, served.port, "north", shown["north"], most=4)
        with pytest.raises(OutputError, match="cannot listen"):
            Served(desk, f"localhost:{served.port}", None)


def test_too_long_and_late_answers_are_not_taken(shown):
    desk = Desk(["north"], 10)
    with Served(desk, "localhost:0", shown["server"]) as served:
        line = Line(f"localhost:{served.port}", "north", shown["north"], most=100)
        waiting = threading.Thread(target=lambda: desk.ask({"north": b"hello"}, 5), daemon=True)
        waiting.start()
        while not desk._tasks:
            time.sleep(0.01)
        _, task, _ = line._call("GET", "", b"")
        assert line._call("POST", task, bytes(11))[0] == 413
        assert line._call("POST", "of another server", b"x")[0] == 409
        assert line._call("POST", task, b"mine")[0] == 200
        assert line._call("POST", task, b"again")[0] == 409
        waiting.join()
        assert desk._answers == {"north": b"mine"}


def test_what_is_no_group_no_address_and_no_task_is_refused(tmp_path, shown):
    group = begin("tiny", Plan(rounds=2), tmp_path / "group")
    for owners in (["north"], ["north", "north"], ["north", "../south"]):
        with pytest.raises(InvalidConfig, match="two or more owners"):
            serve(tmp_path / "group", tmp_path / "x", owners, "127.0.0.1:0")
    for address, said in (("127.0.0.1", "HOST:PORT"), ("0.0.0.0:1", "no certificates"), ("x:99999", "HOST:PORT")):
        with pytest.raises(InvalidConfig, match=said):
            serve(tmp_path / "group", tmp_path / "x", OWNERS, address)
        with pytest.raises(InvalidConfig, match=said):
            Line(address, "north", None, most=1)
    with pytest.raises(InvalidConfig, match="short name"):
        Line("127.0.0.1:1", "a b", None, most=1)
    with pytest.raises(MissingSource, match="no root, certificate and key"):
        Certificates(tmp_path / "x", tmp_path / "x", tmp_path / "x").context(server=True)
    with pytest.raises(InvalidConfig, match="waits for all"):
        serve(tmp_path / "group", tmp_path / "x", OWNERS, "127.0.0.1:0", wait=1)
    begin("tiny", Plan(at_least=3), tmp_path / "three")
    with pytest.raises(OutputExists, match="of another group"):
        serve(tmp_path / "group", tmp_path / "three", OWNERS, "127.0.0.1:0", resume=True)
    with pytest.raises(InvalidConfig, match="agreed on 3 or more"):
        serve(tmp_path / "three", tmp_path / "x", OWNERS, "127.0.0.1:0")
    assert read_task(task({"group": group.digest, "round": 1}, b"\n{"), group)[1] == b"\n{"
    for data in (b"", b"{}\n", b"[]\n", b"x", task({"group": "of others"})):
        with pytest.raises(FormatError):
            read_task(data, group)
    for number in (2, -1, True, "0", None):
        with pytest.raises(FormatError, match="of 2"):
            round_in({"round": number}, group)
    assert not (tmp_path / "x").exists()


def test_a_run_says_of_its_federation_what_the_owner_knows_itself(tmp_path):
    group = begin("tiny", Plan(rounds=2), tmp_path / "group")
    right = {"owners": 2, "traffic": {"up": 5, "down": 7}}
    lies = {"rounds": 99, "secure": True, "outer": "<script>", "group": "x", "shards": "x"}
    told = told_in({"done": lies | right}, group)
    assert told == told_in({"done": right}, group)
    assert (told["rounds"], told["secure"], told["group"], told["owners"]) == (2, False, group.digest, 2)
    nothing = {"owners": 2, "traffic": {"up": float("nan"), "down": 7}}
    for said in (None, 3, {}, {"owners": 2}, {**right, "owners": True}, {**right, "traffic": 5}, nothing):
        with pytest.raises(FormatError, match="the server"):
            told_in({"done": said}, group)
    named = begin("tiny", Plan(owners=("north", "south", "east")), tmp_path / "named")
    with pytest.raises(FormatError, match="2 owners"):
        told_in({"done": right}, named)
    for federated in (told, {}):  # the latter as an earlier version wrote it if a server said nothing
        given = released(
            {"shards": [], "seed": 7, "initial_digest": "ab", "recipe": {"seed": 7}, "federated": federated}
        )
        assert "7" not in json.dumps(given["recipe"])
        assert not {"seed", "initial_digest"} & set(given), "either would tell the rows that the first round began with"


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000, "-5", "1e3", ""])
def test_a_length_that_is_no_number_is_refused(length):
    reply = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode("latin-1")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        line = Line(f"127.0.0.1:{server.getsockname()[1]}", "north", None, most=100)
        if length:
            with pytest.raises(TrainingError, match="sends more than a body"):
                line.tasks(lambda task: None, patience=1)
        else:
            assert line._call("GET", "", b"") == (200, "", b"")
        thread.join()
