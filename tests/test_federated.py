"""A federation: one body trained by several owners, whose tables and rows stay at home, and which survives any kill."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file
from safetensors.torch import save as dump
from transformers import GPTJConfig, GPTJForCausalLM

from toy import OTHER, counting, same, weights, write
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists, TrainingError
from ult.privacy import accountant
from ult.public.guarantee import of_training
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.callbacks.progress import Progress
from ult.trainer.federated import outer
from ult.trainer.federated.body import HEADER, MOST, Body, body_of, digest, packed, shapes_of, unpacked
from ult.trainer.federated.group import Group, _check_apart, begin
from ult.trainer.federated.group import write as write_group
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds
from ult.trainer.federated.simulate import simulate
from ult.trainer.models.earlier import began_with
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

SHORT = Recipe(batch_size=4, context=16)
ROUNDS = Plan(rounds=2, local_steps=2, outer="nesterov")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards of two owners with other tables and vocabularies, their federation, and every message of it."""
    root = tmp_path_factory.mktemp("owners")
    write(root / "a", counting(40))
    write(root / "b", [record[::-1] for record in counting(40, high=120)], table=OTHER, size=128)
    messages = []
    simulate(both(root), root / "out", SHORT, plan=ROUNDS, sent=lambda *one: messages.append(one))
    return root, messages


def both(root):
    return [root / "a", root / "b"]


def traces(root, run, shards):
    """What no message may hold of an owner: each of its rows, in float32, and the ids of each record in any width."""
    rows = load_file(root / run / "model.safetensors")["model.embed_tokens.weight"].numpy()
    ids = [np.asarray(record) for record in Shards(root / shards).ids()]
    kinds = ("<u2", "<u4", "<i8")
    return [row[:8].tobytes() for row in rows] + [one.astype(kind).tobytes() for one in ids for kind in kinds]


def test_no_message_holds_rows_or_ids(folder):
    root, messages = folder
    assert len(messages) == 2 * 2 * ROUNDS.rounds
    sent = list({message for _, _, message in messages})
    assert all(load(message).keys() == weights(root / "out").keys() for message in sent)
    needles = [*traces(root, "out/owners/0", "a"), *traces(root, "out/owners/1", "b")]
    assert not [one for one in needles if any(one in message for message in sent)]
    for planted in (0, len(needles) // 3, -1):  # the search would find them
        assert any(needles[planted] in sent[0][:999] + needles[planted] for _ in sent)
    held = load_file(root / "out/owners/1/model.safetensors")
    whole = packed({name: weight for name, weight in held.items() if name != "lm_head.weight"})
    assert any(one in whole for one in needles), "a body that was sent with its rows would be found"


def test_the_bytes_that_travel_are_four_a_weight_of_the_body_each_way(folder):
    root, messages = folder
    told = Group.open(root / "out").told
    for way, what in (("down", "body"), ("up", "change")):
        counted = sum(len(message) for kind, _, message in messages if kind == what)
        assert told["traffic"][way] == counted
        assert 0 <= counted - 4 * told["weights"] * told["rounds"] * told["owners"] < 4096 * len(messages)
    assert told["weights"] == sum(one.numel() for one in weights(root / "out").values())


def test_owners_have_the_body_and_rows_of_their_own(folder):
    root, _ = folder
    body, told = weights(root / "out"), Group.open(root / "out").told
    assert not [name for name in body if "embed" in name or "lm_head" in name]
    for k, size in enumerate((64, 128)):
        held, run = weights(root / "out/owners" / str(k)), Run.open(root / "out/owners" / str(k))
        assert held.pop("model.embed_tokens.weight").shape == (size, 128)
        assert same(held, body)
        assert run.metrics["federated"]["group"] == told["group"]
        assert (run.metrics["steps"], run.metrics["model"]) == (4, "start")
    assert not json.loads((root / "out/group.json").read_text()).keys() & {"shards", "tables", "table"}


def test_a_round_is_the_mean_of_what_plain_trainings_change(folder, tmp_path):
    root, _ = folder
    group = begin("tiny", Plan(rounds=1, local_steps=3), tmp_path / "group", seed=7)
    simulate(both(root), tmp_path / "out", SHORT, group=tmp_path / "group")
    total, alone = {name: torch.zeros_like(one) for name, one in group.body().items()}, []
    for k, shards in enumerate(both(root)):
        plain = Recipe(batch_size=4, context=16, model=str(tmp_path / "group"), steps=3, seed=k)
        train(shards, tmp_path / f"plain{k}", plain)
        alone.append(weights(tmp_path / f"plain{k}"))
        total = {name: total[name] + alone[-1][name] - one for name, one in group.body().items()}
    expected = {name: one + total[name] / 2 for name, one in group.body().items()}
    for name, found in weights(tmp_path / "out").items():
        torch.testing.assert_close(found, expected[name], atol=1e-6, rtol=0)
    for k, one in enumerate(alone):
        rows = "model.embed_tokens.weight"
        assert torch.equal(weights(tmp_path / f"out/owners/{k}")[rows], one[rows]), "rows are the owner's own"


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(folder, tmp_path, monkeypatch):
    root, _ = folder
    kills = iter(["step 3", "change", "body", "round", "run", "never"])

    def killed(at):
        if at == waiting[0]:
            waiting[0] = next(kills)
            raise KeyboardInterrupt

    waiting, steps = [next(kills)], []
    advance, put = Progress.on_step_end, Rounds.keep

    def on_step_end(self, *given, **told):
        advance(self, *given, **told)
        steps.append(1)
        killed(f"step {len(steps)}")

    def written(self, name, data):
        put(self, name, data)
        killed(name.partition("-")[0])

    monkeypatch.setattr(Progress, "on_step_end", on_step_end)
    monkeypatch.setattr(Rounds, "keep", written)

    def begun(*given):
        killed("run")
        write_group(*given)

    monkeypatch.setattr("ult.trainer.federated.simulate.write", begun)

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            simulate(both(root), tmp_path / "out", SHORT, plan=ROUNDS, resume="auto")
        assert not (tmp_path / "out").exists()
    with pytest.raises(OutputExists, match="unfinished federation"):
        simulate(both(root), tmp_path / "out", SHORT, plan=ROUNDS)
    with pytest.raises(TrainingError, match="another recipe"):
        simulate(both(root), tmp_path / "out", Recipe(batch_size=8, context=16), plan=ROUNDS, resume=True)
    simulate(both(root), tmp_path / "out", SHORT, plan=ROUNDS, resume=True)
    assert waiting == ["never"]
    for path in ["group.json", *(path.relative_to(root / "out") for path in (root / "out").rglob("*.safetensors"))]:
        assert (tmp_path / "out" / path).read_bytes() == (root / "out" / path).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_after_the_last_round_owners_go_on_alone(folder, tmp_path, monkeypatch):
    root, _ = folder
    plan = Plan(rounds=1, local_steps=2, last_alone=3)
    simulate(both(root), tmp_path / "whole", SHORT, plan=plan)
    advance, steps = Progress.on_step_end, []

    def killed(self, args, state, control, **told):
        advance(self, args, state, control, **told)
        steps.append(state.global_step)
        if steps.count(5) == 2:  # the second owner in its last step, after the checkpoint of the one but last
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_step_end", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate(both(root), tmp_path / "out", SHORT, plan=plan)
    simulate(both(root), tmp_path / "out", SHORT, plan=plan, resume=True)
    bodies = [weights(tmp_path / "out" / one) for one in ("", "owners/0", "owners/1")]
    assert not same(bodies[0], {name: bodies[1][name] for name in bodies[0]}), "each owner has a body of its own"
    for path in ("model.safetensors", "owners/0/model.safetensors", "owners/1/model.safetensors"):
        assert (tmp_path / "out" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    metrics = Run.open(tmp_path / "out/owners/1").metrics
    assert (metrics["steps"], metrics["federated"]["last_alone"]) == (5, 3)
    with pytest.raises(InvalidConfig, match="last_alone is -1"):
        Plan(last_alone=-1)


def test_epsilon_is_one_account_over_all_rounds(folder, tmp_path):
    root, _ = folder
    private = Recipe(batch_size=4, context=16, epsilon=4.0, secure_random=False)
    begun = root / "out/owners/1"  # without a promise, on the same records
    simulate(both(root), tmp_path / "out", private, plan=Plan(rounds=2, local_steps=2), start=str(begun))
    for k in range(2):
        run = Run.open(tmp_path / "out/owners" / str(k))
        told = run.metrics["privacy"]
        assert "records that 1, which it started from, was trained on are not covered" in told["account"]["conditions"]
        assert any("other owners" in one for one in told["account"]["conditions"])
        assert (run.trained_on, of_training(run.metrics)) == (None, None)
        assert told["steps"] == 4
        spent = accountant.spent(told["noise_multiplier"], told["delta"], rate=4 / 40, steps=4)
        assert told["epsilon"] == pytest.approx(spent)
        assert 3.9 < spent <= 4.0


def test_outer_rules_are_what_their_papers_say():
    body: Body = {"w": torch.tensor([1.0, 2.0])}
    change = {"w": torch.tensor([0.5, -1.0])}
    assert torch.equal(outer.mean_of([change, {"w": torch.tensor([1.5, 1.0])}])["w"], torch.tensor([1.0, 0.0]))
    after, none = outer.step(body, change, "average")
    assert torch.equal(after["w"], torch.tensor([1.5, 1.0]))
    assert none is None
    twin = torch.nn.Parameter(body["w"].clone())  # what DiLoCo uses: PyTorch's own SGD, the change as a gradient
    optimizer = torch.optim.SGD([twin], lr=outer.RATE, momentum=outer.MOMENTUM, nesterov=True)
    velocity = None
    for sign in (1, -2, 0.5):
        twin.grad = -sign * change["w"]
        optimizer.step()
        body, velocity = outer.step(body, {"w": sign * change["w"]}, "nesterov", velocity)
        torch.testing.assert_close(body["w"], twin.detach())


@pytest.mark.parametrize("harm", ["more", "less", "shape", "type", "nan", "long", "junk"])
def test_a_message_that_is_no_body_is_refused(harm):
    body = {"a": torch.ones(2, 3), "b": torch.ones(4)}
    sent = dict(body)
    if harm in ("more", "less"):
        sent = {**body, "model.embed_tokens.weight": torch.ones(9, 3)} if harm == "more" else {"a": body["a"]}
    elif harm in ("shape", "type", "nan"):
        bad = {"shape": torch.ones(5), "type": torch.ones(4).double(), "nan": torch.full((4,), torch.nan)}
        sent = {**body, "b": bad[harm]}
    data = {"long": bytes(4 * 10 + HEADER + 1), "junk": b"{}"}.get(harm, dump(sent))
    with pytest.raises(TrainingError if harm == "nan" else FormatError, match="owner 2 sent"):
        unpacked(data, shapes_of(body), "owner 2")
    assert unpacked(packed(body), shapes_of(body), "owner 2").keys() == body.keys()


def test_no_owner_s_change_makes_a_body_that_nothing_goes_on_from(tmp_path):
    rounds = Rounds(begin("tiny", Plan(rounds=3, local_steps=1), tmp_path / "group"), tmp_path, 2)
    for value in (3e38, -MOST * 1.01):
        with pytest.raises(TrainingError, match=r"south changed .* by more than 1,048,576"):
            rounds.tell(1, packed({name: torch.full(shape, value) for name, shape in rounds.shapes.items()}), "south")
    assert rounds.told(1) is None, "what was refused is asked for again"
    for _ in range(3):
        for k in range(2):
            rounds.tell(k, packed({name: torch.full(shape, MOST) for name, shape in rounds.shapes.items()}), "south")
        rounds.close(down=0)
    assert rounds.body().keys() == rounds.shapes.keys(), "it can be read again"


def test_what_no_group_can_be_is_refused_in_a_line(folder, tmp_path):
    root, _ = folder
    with pytest.raises(InvalidConfig, match="1 owner was given"):
        simulate([root / "a"], tmp_path / "x", SHORT)
    with pytest.raises(InvalidConfig, match="steps was given for a federation"):
        simulate(both(root), tmp_path / "x", Recipe(steps=5))
    with pytest.raises(InvalidConfig, match="outer is 'sum'"):
        Plan(outer="sum")
    with pytest.raises(InvalidConfig, match="no preset and no run"):
        begin("huge", Plan(), tmp_path / "x")
    with pytest.raises(MissingSource, match="is no group"):
        Group.open(root / "a")
    bias = GPTJForCausalLM(GPTJConfig(vocab_size=64, n_embd=8, n_layer=1, n_head=1, rotary_dim=4))  # of each id
    with pytest.raises(InvalidConfig, match="depends on the vocabulary"):
        _check_apart(bias, "x")
    for name in ("group.json", "model.safetensors"):
        bad = shutil.copytree(root / "out", tmp_path / name)
        data = (bad / name).read_bytes()
        (bad / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if name != "group.json" else b'{"format": 3}')
        with pytest.raises(FormatError, match=name):
            Group.open(bad)
    assert not (tmp_path / "x").exists()


def test_a_group_that_asks_for_rows_is_refused(folder, tmp_path):
    """Owners send what the group's own body names, so a body with rows in it would ask for theirs."""
    bad = shutil.copytree(folder[0] / "out", tmp_path / "bad")
    for name, more in (("model.embed_tokens.weight", 64), ("lm_head.weight", 64), ("model.extra", 2)):
        body = {**weights(folder[0] / "out"), name: torch.zeros(more, 128)}
        save_file(body, bad / "model.safetensors", metadata={"format": "pt"})
        told = json.loads((bad / "group.json").read_text()) | {"body": digest(body)}
        (bad / "group.json").write_text(json.dumps(told))
        with pytest.raises(FormatError, match=name):
            simulate(both(folder[0]), tmp_path / "x", SHORT, group=bad)
    assert not (tmp_path / "x").exists()


def test_a_group_begins_with_the_body_of_a_run(folder, tmp_path):
    run = folder[0] / "out/owners/1"
    group = begin(str(run), Plan(), tmp_path / "group")
    assert same(dict(group.body()), dict(body_of(load_trained(Run.open(run)))))
    assert (group.told["from_run"], group.told["from_digest"]) == ("1", Run.open(run).digest())
    for model, began in (("group", "1"), (folder[0] / "out", "out")):
        told = began_with(Recipe(model=str(tmp_path / model)))
        assert told == {"from_run": began, "trained_before": None}, "its owners know on what, a training does not"
    with pytest.raises(InvalidConfig, match="is a run: nothing would tell"):
        train(folder[0] / "b", tmp_path / "no", Recipe(model=str(run), steps=1))
    with pytest.raises(OutputExists):
        begin("tiny", Plan(), tmp_path / "group")
    assert begin("tiny", Plan(rounds=3), tmp_path / "group", force=True).plan.rounds == 3
    assert began_with(Recipe(model=str(tmp_path / "group"))) == {"from_run": None, "trained_before": []}
