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
import torch
from accelerate.state import AcceleratorState
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from toy import OTHER, counting, same, write
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, TrainingError
from ult.public.published import released
from ult.public.run import Run
from ult.trainer.federated import channel, outer
from ult.trainer.federated.asked import members_in, read_ready, read_task, ready, round_in, task, told_in
from ult.trainer.federated.body import body_of
from ult.trainer.federated.channel import Certificates, Desk, Line, Served
from ult.trainer.federated.group import Group, begin
from ult.trainer.federated.join import join
from ult.trainer.federated.local import steps_done
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds
from ult.trainer.federated.seed import seed_of
from ult.trainer.federated.serve import serve
from ult.trainer.federated.simulate import simulate
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow

OWNERS = ("north", "south")
FOUR = ("north", "south", "east", "west")


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
    join(root / "group", root / "ab"[k], out / f"run{k}", recipe, f"127.0.0.1:{port}", OWNERS[k], patience=60)


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
    assert "seed" not in given
    assert "seed" not in given["recipe"], "it would tell the rows that the first round began with"


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
    with pytest.raises(InvalidConfig, match="agreed on 3 or more"):
        serve(tmp_path / "three", tmp_path / "x", OWNERS, "127.0.0.1:0")
    assert read_task(task({"group": group.digest, "round": 1}, b"\n{"), group)[1] == b"\n{"
    for data in (b"", b"{}\n", b"[]\n", b"x", task({"group": "of others"})):
        with pytest.raises(FormatError):
            read_task(data, group)
    for number in (2, -1, True, "0", None):
        with pytest.raises(FormatError, match="of 2"):
            round_in({"round": number}, group)
    assert told_in({"done": {"rounds": 3, "shards": "x"}}) == {"rounds": 3}
    assert told_in({"done": 3}) == {}
    assert not (tmp_path / "x").exists()


def test_only_a_sum_of_the_group_s_owners_and_enough_of_them_is_answered(tmp_path):
    group = begin("tiny", Plan(owners=FOUR, secure=True, at_least=3), tmp_path / "group")
    named = dict.fromkeys(FOUR[:3], "ab" * 16)
    assert members_in({"with": named}, group) == named
    for wrong in (None, [], {**named, "nobody": "ab" * 16}, {**named, "west": "x"}, {**named, "west": 3}):
        with pytest.raises(FormatError, match="others than this group's owners"):
            members_in({"with": wrong}, group)
    with pytest.raises(FormatError, match="of 2 owners; the group agreed on 3 or more"):
        members_in({"with": dict.fromkeys(FOUR[:2], "ab" * 16)}, group)
    assert read_ready(ready("ab" * 16), "north") == "ab" * 16
    for answer in (b"", b"{}", b"[]", b'{"ready": 3}', ready("x"), ready("ab" * 16 + "\n"), b"[" * 9999):
        with pytest.raises(FormatError, match="north sent no word"):
            read_ready(answer, "north")


# ---- owners who are lost


def changing(name, number, body):
    """Return the change that an owner makes in a round of a test."""
    seed = torch.Generator().manual_seed(100 * number + FOUR.index(name))
    return {key: torch.randn(one.shape, generator=seed) / 100 for key, one in sorted(body.items())}


def test_rounds_go_on_without_the_lost_and_with_those_who_come_back(tmp_path, monkeypatch):
    """West is lost while it trains in round 1, is back in round 2, and is lost in round 3 once it is ready."""
    plan = Plan(rounds=5, local_steps=1, owners=FOUR, secure=True, at_least=3)
    group, port = begin("tiny", plan, tmp_path / "group"), free_port()
    back, dead, seen = threading.Event(), threading.Event(), threading.Event()
    took, mask, end, ask = [], Owner.masked, Rounds.close, Desk.ask

    def turn(self, number, body):
        partial_folder(self.out).mkdir(exist_ok=True)
        if self.name == "west":
            assert number != 1 or back.wait(60)
            assert number != 4 or dead.wait(60)
            seen.set() if number == 2 else None
        assert number != 2 or seen.wait(60)
        return changing(self.name, number, body)

    def masked(self, number, members):
        took.append((number, self.name, len(members)))
        if (self.name, number) == ("west", 3):
            dead.wait(60)
        return mask(self, number, members)

    def close(self, *, down, up=0):
        end(self, down=down, up=up)
        back.set() if self.done == 2 else None
        dead.set() if self.done == 5 else None

    def asking(self, tasks, patience=None, least=0):
        told = json.loads(next(iter(tasks.values())).partition(b"\n")[0])
        lost = (told.get("round"), "with" in told) in ((1, False), (3, True))
        return ask(self, tasks, 0.5 if lost else patience, least)

    monkeypatch.setattr(channel, "POLL", 1.0)
    monkeypatch.setattr(Desk, "ask", asking)
    monkeypatch.setattr(Owner, "turn", turn)
    monkeypatch.setattr(Owner, "masked", masked)
    monkeypatch.setattr(Owner, "finish", lambda self, body, told: {})
    monkeypatch.setattr(Rounds, "close", close)
    pairs = {me: {other: f"{min(me, other)} {max(me, other)}".encode() for other in FOUR if other != me} for me in FOUR}
    given, address = [group.path, "none"], f"127.0.0.1:{port}"
    threads = [
        threading.Thread(target=join, args=(*given, tmp_path / f"run-{me}", Recipe(), address, me),
                         kwargs={"secrets": pairs[me], "patience": 60}) for me in FOUR
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    told = serve(group.path, tmp_path / "out", (), f"127.0.0.1:{port}", wait=60).told
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    monkeypatch.setattr("ult.trainer.federated.serve.LAST", 0.5)
    late = threading.Thread(target=join, args=(*given, tmp_path / "late", Recipe(), address, "west"),
                            kwargs={"secrets": pairs["west"]})  # fmt: skip
    late.start()
    again = serve(group.path, tmp_path / "out", (), address, resume=True)  # for owners who were lost at the end
    late.join(60)
    assert not late.is_alive()
    assert again.told == told
    assert told["missed"] == [0, 0, 0, 3]
    assert told["given_up"] == 1
    assert {(n, many) for n, _, many in took} == {(0, 4), (1, 3), (2, 4), (3, 4), (4, 3)}
    expected = group.body()
    for number, there in ((0, FOUR), (1, FOUR[:3]), (2, FOUR), (4, FOUR[:3])):
        mean = outer.mean_of([changing(name, number, expected) for name in there])
        expected = {name: expected[name] + mean[name] for name in expected}
    for name, one in Group.open(tmp_path / "out").body().items():
        assert float((one - expected[name]).abs().max()) < 2**-20


def test_an_owner_who_was_lost_trains_what_it_missed_and_tells_the_last_round_alone(tmp_path):
    write(tmp_path / "a", counting(40))
    group = begin("tiny", Plan(rounds=4, local_steps=2), tmp_path / "group")
    mine = Owner.of(tmp_path / "a", tmp_path / "run", Recipe(batch_size=4, context=16), group)
    body = group.body()
    first, later = mine.turn(0, body), {name: one + 0.001 for name, one in body.items()}
    change = mine.turn(2, later)  # it missed round 1
    assert steps_done(mine.out) == 6
    sizes = [sum(float(one.abs().sum()) for one in found.values()) for found in (first, change)]
    assert 0 < sizes[1] < 10 * sizes[0]
    held = mine.finish(later, {"rounds": 4})  # and the last one
    assert (held["steps"], held["federated"]) == (8, {"rounds": 4})
    assert same(body_of(load_trained(Run.open(tmp_path / "run"))), later)


def test_the_seed_of_an_owner_is_nobody_s_but_stays_its_own(tmp_path):
    assert seed_of(tmp_path / "run") != seed_of(tmp_path / "run")
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial/recipe.json").write_text('{"recipe": {"seed": 77}}')
    assert seed_of(tmp_path / "run") == 77
