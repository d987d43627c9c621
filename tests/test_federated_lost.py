"""Owners who are lost: a round goes on without them, masked or not, and they take part again once they are back."""

import json
import socket
import threading
import time

import pytest
import torch

from toy import counting, same, write
from ult.errors import FormatError
from ult.public.run import Run
from ult.trainer.federated import channel, outer
from ult.trainer.federated.asked import members_in, read_ready, ready
from ult.trainer.federated.body import body_of, packed
from ult.trainer.federated.channel import Desk
from ult.trainer.federated.group import Group, begin
from ult.trainer.federated.join import join
from ult.trainer.federated.local import steps_done
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds
from ult.trainer.federated.serve import _round, serve
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow

FOUR = ("north", "south", "east", "west")


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


def answering(desk, *owners, after=0.0):
    """Have owners ask for their next task and answer it, after some seconds."""

    def answer(owner):
        time.sleep(after)
        desk.answer(owner, desk.next(owner)[0], b"x")

    for owner in owners:
        threading.Thread(target=answer, args=(owner,), daemon=True).start()


def test_a_question_waits_for_enough_owners_and_for_none_who_is_lost():
    desk, began = Desk(FOUR, 100), time.monotonic()
    asked = dict.fromkeys(FOUR, b"hello")
    answering(desk, *FOUR[:3])
    assert set(desk.ask(asked, 0.2, 3)) == set(FOUR[:3])
    answering(desk, *FOUR[:3])
    assert set(desk.ask(asked, 60, 3)) == set(FOUR[:3]), "the fourth was lost before"
    answering(desk, *FOUR[:3])
    assert set(desk.ask(dict.fromkeys(FOUR[:3], b"sum"), 60)) == set(FOUR[:3])
    answering(desk, *FOUR[:2])
    answering(desk, "east", after=0.3)
    assert set(desk.ask(asked, 0.1, 3)) == set(FOUR[:3]), "two are not enough, however late it is"
    answering(desk, *FOUR[1:])
    answering(desk, "north", after=0.3)
    assert set(desk.ask(asked, 60, 3)) >= {"north", "south", "east"}
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("outer_rule", ["average", "nesterov"])
def test_the_plain_mean_is_of_those_who_told(tmp_path, outer_rule):
    group = begin("tiny", Plan(rounds=2, local_steps=1, outer=outer_rule, at_least=2), tmp_path / "group")
    rounds, body, velocity = Rounds(group, tmp_path, 3), group.body(), None

    class Asked:
        owners, seen = FOUR[:3], []

        def ask(self, tasks, patience, least):
            self.seen.append((patience, least))
            told = FOUR[:2] if rounds.done else FOUR[:3]
            return {name: packed(changing(name, rounds.done, body)) for name in told}

    for there in (FOUR[:3], FOUR[:2]):
        mean = outer.mean_of([changing(name, rounds.done, body) for name in there])
        expected, velocity = outer.step(body, mean, outer_rule, velocity)
        _round(rounds, Asked(), 7.0)
        body = rounds.body()
        assert same(dict(body), dict(expected))
    assert Asked.seen == [(7.0, 2)] * 2
    assert (Rounds(group, tmp_path, 3).missed, rounds.missed, rounds.given_up) == ([0, 0, 1], [0, 0, 1], 0)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def changing(name, number, body):
    """Return the change that an owner makes in a round of a test."""
    seed = torch.Generator().manual_seed(100 * number + FOUR.index(name))
    return {key: torch.randn(one.shape, generator=seed) / 100 for key, one in sorted(body.items())}


def test_rounds_go_on_without_the_lost_and_with_those_who_come_back(tmp_path, monkeypatch):
    """West is lost while it trains in round 1, is back in round 2, and is lost in round 3 once it is ready."""
    plan = Plan(rounds=5, local_steps=1, owners=FOUR, secure=True, at_least=3)
    group, port = begin("tiny", plan, tmp_path / "group"), _free_port()
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
        return ask(self, tasks, 0.5, 3) if lost else ask(self, tasks, patience, least)

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
