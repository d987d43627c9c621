"""A masked sum: what the server adds up is the plain sum, and what it has of one owner tells nothing."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load

from toy import OTHER, counting, write
from ult.errors import FormatError, InvalidConfig, MissingSource, TrainingError
from ult.trainer.federated import once, outer
from ult.trainer.federated.body import packed, shapes_of
from ult.trainer.federated.group import Group, begin
from ult.trainer.federated.masked import RANGE, STEP, check_secrets, label, masked, mean_of, secret_in
from ult.trainer.federated.once import NAME, Once
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.simulate import simulate
from ult.trainer.federated.working import working
from ult.trainer.recipe import Recipe

NAMES = ("north", "south", "east", "west")


def changes(n=4, size=5000, scale=0.01):
    rng = np.random.default_rng(0)
    return [{"b": torch.from_numpy(rng.normal(0, scale, (size // 10, 10)).astype(np.float32)), "a": torch.zeros(3)}
            for _ in range(n)]  # fmt: skip


def secrets_of(me, names=NAMES):
    return {other: f"secret of {min(me, other)} and {max(me, other)}".encode() for other in names if other != me}


def sent(found, about="group 0", names=NAMES):
    return [masked(one, me, secrets_of(me, names), about) for one, me in zip(found, names, strict=True)]


def test_the_sum_of_masked_changes_is_the_plain_sum():
    found = changes()
    mean, plain = mean_of(sent(found), shapes_of(found[0]), NAMES), outer.mean_of(found)
    for name, one in plain.items():
        assert float((mean[name] - one).abs().max()) <= 2**-20 / 4, "of the sum: within 2^-20"
    assert float((mean["b"] - plain["b"]).abs().max()) > 0, "the steps are those of STEP"
    assert sent(found)[2] == sent(found)[2]
    assert len(sent(found)[2]) == len(packed(found[2]))


def test_without_one_of_four_the_sum_of_three_is_theirs():
    found, left = changes(), ("north", "east", "west")
    three = [one for one, name in zip(found, NAMES, strict=True) if name in left]
    messages = sent(three, "group 0, three", left)
    mean, plain = mean_of(messages, shapes_of(found[0]), left), outer.mean_of(three)
    assert max(float((mean[name] - plain[name]).abs().max()) for name in plain) <= 2**-20 / 3
    with pytest.raises(TrainingError, match="do not cancel"):  # nor with those who were told of four
        mean_of([messages[0], *sent(found, "group 0, three")[2:]], shapes_of(found[0]), left)
    drawn = dict.fromkeys(NAMES, "ab" * 16)
    others = ({**drawn, "east": "cd" * 16}, dict.fromkeys(left, "ab" * 16))
    every = {label(group, number, body, drawn) for group, number, body in ("g0b", "h0b", "g1b", "g0c")}
    every |= {label("g", "0", "b", members) for members in others}
    assert len(every) == 6, "a stream is of one group, round, body, set of owners and change"


def test_a_mask_is_used_once_whoever_is_killed(tmp_path, monkeypatch):
    first, second, body = (one["b"] for one in changes(3, size=100))
    drawn = Once(tmp_path).ready(0, {"b": body}, {"b": first})
    assert drawn == Once(tmp_path).ready(0, {"b": body}, {"b": first}), "after a kill it tells the very same"
    another = Once(tmp_path).ready(0, {"b": body}, {"b": second})
    assert another != drawn, "what was never masked may be trained again, and is masked with another stream"
    with pytest.raises(TrainingError, match="has not told"):
        Once(tmp_path).told(0, {"north": drawn}, "north")
    members = {"north": another, "south": "ab" * 16, "east": "cd" * 16}
    for _ in range(2):
        assert torch.equal(Once(tmp_path).told(0, members, "north").change["b"], second)
    for more in ({"west": "ef" * 16}, {"south": "ef" * 16}):
        with pytest.raises(TrainingError, match="in a sum of other owners"):
            Once(tmp_path).told(0, {**members, **more}, "north")
    for changed, of in ((first, body), (second, first)):  # planted: a second change, or the same of another body
        with pytest.raises(TrainingError, match="what the two differ by"):
            Once(tmp_path).ready(0, {"b": of}, {"b": changed})
    assert Once(tmp_path).ready(1, {"b": body}, {"b": first}) not in (drawn, another)
    for number in (0, 2):
        with pytest.raises(TrainingError, match="has not told"):
            Once(tmp_path).told(number, members, "north")
    with pytest.raises(TrainingError, match="round 0 was asked for"):
        Once(tmp_path).ready(0, {"b": body}, {"b": second})
    synced = []
    monkeypatch.setattr(once, "sync", lambda path: synced.append((path, Once(path)._told().round)))
    Once(tmp_path).ready(2, {"b": body}, {"b": first})
    assert synced == [(tmp_path, 2)], "its name is on the disk too, before it is sent: a machine may stop at any moment"
    (tmp_path / NAME).write_bytes(b"x")
    with pytest.raises(FormatError, match="does not say what this owner told"):
        Once(tmp_path).ready(1, {"b": body}, {"b": first})


def test_one_message_tells_nothing_and_all_but_one_neither():
    found = changes(size=50_000, scale=0.0)  # what is sent is the mask alone
    messages = sent(found)
    counts = np.bincount(np.frombuffer(load(messages[0])["b"].numpy().tobytes(), np.uint8), minlength=256)
    assert counts.sum() == 200_000
    square = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
    assert 160 < square < 360, "chi-square of 255 degrees: 5 deviations about 255"
    with pytest.raises(TrainingError, match="do not cancel"):
        mean_of(messages[:3], shapes_of(found[0]), NAMES[:3])
    other = masked(found[3], "west", secrets_of("west"), "group 1")
    assert load(other)["b"].ne(load(messages[3])["b"]).float().mean() > 0.99, "each round has a mask of its own"
    with pytest.raises(TrainingError, match="do not cancel"):
        mean_of([*messages[:3], other], shapes_of(found[0]), NAMES)
    wrong = masked(found[3], "west", secrets_of("west") | {"north": b"another" * 9}, "group 0")
    with pytest.raises(TrainingError, match="do not cancel"):
        mean_of([*messages[:3], wrong], shapes_of(found[0]), NAMES)


def test_what_a_sum_cannot_hold_is_refused_not_clipped():
    for value in (RANGE * 1.01, -RANGE * 1.01, float("nan")):
        with pytest.raises(TrainingError, match="more than 4 in a round"):
            masked({"a": torch.tensor([0.0, value])}, "north", secrets_of("north"), "x")
    most = [{"a": torch.tensor([RANGE, -RANGE])}] * 4
    assert torch.equal(mean_of(sent(most), shapes_of(most[0]), NAMES)["a"], torch.tensor([RANGE, -RANGE]))
    with pytest.raises(FormatError, match="north sent"):
        mean_of([packed(most[0])] * 4, shapes_of(most[0]), NAMES)  # not masked
    assert STEP * 2**31 >= RANGE * 32


def test_two_owners_and_wrong_secrets_are_refused(tmp_path):
    for owners in ((), ("north", "south"), ("north", "south", "south")):
        with pytest.raises(InvalidConfig, match="owners"):
            Plan(owners=owners, secure=True)
    for least in (1, 2, 5, "3"):
        with pytest.raises(InvalidConfig, match="at_least"):
            Plan(owners=NAMES, secure=True, at_least=least)
    assert [Plan(owners=NAMES, secure=True, at_least=n).fewest(4) for n in (0, 3)] == [4, 3]
    with pytest.raises(InvalidConfig, match="2 owners"):
        masked({}, "north", {"south": b"x"}, "x")
    with pytest.raises(InvalidConfig, match="no owner of this group"):
        check_secrets(NAMES, "nobody", {})
    with pytest.raises(InvalidConfig, match="one with each other owner") as caught:
        check_secrets(NAMES, "north", {"south": b"x"})
    assert "--secret east=FILE" in str(caught.value.hint)
    group = begin("tiny", Plan(), tmp_path / "group")
    with pytest.raises(InvalidConfig, match="without a masked sum"):
        Owner.of("x", tmp_path / "run", Recipe(), group, "north", {"south": b"x"})
    with pytest.raises(MissingSource, match="expected a secret"):
        secret_in(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(InvalidConfig, match="31 bytes"):
        secret_in(tmp_path / "short")


def test_whose_a_sum_is_stays_when_the_server_is_killed(tmp_path):
    def killed():
        with working(tmp_path / "out", {}, resume=False, force=False) as work:
            (work / "members-1.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    with working(tmp_path / "out", {}, resume=True, force=False) as work:
        assert (work / "members-1.json").exists(), "owners who have masked for it mask for no other"
        (work / "run").mkdir()


@pytest.mark.slow
def test_a_masked_federation_ends_where_the_plain_one_does(tmp_path, monkeypatch):
    for k, name in enumerate("abc"):
        write(tmp_path / name, counting(40, seed=k), table=OTHER)
    turn, turns = Owner.turn, []

    def kept(self, number, body):
        turns.append(turn(self, number, body))
        return turns[-1]

    monkeypatch.setattr(Owner, "turn", kept)
    plan = Plan(rounds=1, local_steps=1, owners=("north", "south", "east"), secure=True)
    began = begin("tiny", plan, tmp_path / "group")
    simulate([tmp_path / name for name in "abc"], tmp_path / "out", Recipe(batch_size=4, context=16), group=began.path)
    plain, _ = outer.step(began.body(), outer.mean_of(turns), "average")
    assert len(turns) == 3
    found = Group.open(tmp_path / "out").body()
    assert max(float((found[name] - one).abs().max()) for name, one in plain.items()) < 2**-20
    sent = json.loads((tmp_path / "out/group.json").read_text())["traffic"]["up"]
    assert abs(sent - sum(len(packed(one)) for one in turns)) < 1000
