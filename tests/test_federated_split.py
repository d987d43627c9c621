"""A split training: owners hold both ends of a model and the server the middle, joined by messages alone."""

import numpy as np
import pytest
import torch
from safetensors.torch import load
from safetensors.torch import save as dump
from transformers import LlamaConfig, LlamaForCausalLM

from toy import OTHER, blocks, counting, same, weights, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, OutputExists, TrainingError
from ult.public.run import Run
from ult.trainer.evaluate import evaluate
from ult.trainer.federated.body import shapes_of
from ult.trainer.federated.group import Group
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds
from ult.trainer.generate import generate
from ult.trainer.models.load import load_trained
from ult.trainer.models.prompted import Prompted
from ult.trainer.recipe import Recipe
from ult.trainer.split.cut import Gap, Server, ends_of, shared_of
from ult.trainer.split.plan import Split
from ult.trainer.split.pruning import el2n, kept, only
from ult.trainer.split.simulate import simulate
from ult.trainer.split.wire import Hidden, packed, unpacked
from ult.trainer.train import train

SHORT = Recipe(batch_size=4, context=16)
ROUNDS = Plan(rounds=2, local_steps=2, outer="nesterov")
SPLIT = Split(1, prompts=3)
SHAPE = LlamaConfig(
    vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2,
    num_key_value_heads=2, tie_word_embeddings=True, initializer_range=0.2,
)  # fmt: skip


LIKE = (3, 4), (2, 5, 4)

pytestmark = pytest.mark.slow


def prompted():
    torch.manual_seed(0)
    return Prompted.of(LlamaForCausalLM(SHAPE), 3)


def gradients(model, whole, ids):
    """The logits of a model, and the gradients of the weights of `whole`, by name."""
    whole.zero_grad()
    logits = model(input_ids=ids, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    return logits.detach(), {name: one.grad.clone() for name, one in whole.named_parameters() if one.grad is not None}


def split_gradients(wire, harm=lambda what, answer: answer, blocks=1):
    """What a split model computes, beside what the whole one does: largest differences as shares of the largest."""
    whole, ids = prompted(), torch.randint(0, 64, (3, 7), generator=torch.Generator().manual_seed(1))
    logits, expected = gradients(whole, whole, ids)
    server = Server(whole, blocks, wire)
    ends = ends_of(whole, blocks, Gap(3, wire, lambda what, message: harm(what, server.answer(what, message))))
    told, found = gradients(ends, whole, ids)
    assert found.keys() == {*shared_of(whole, blocks), "model.embed_tokens.weight"}
    apart = [float((found[name] - expected[name]).abs().max() / expected[name].abs().max()) for name in found]
    return float((told - logits).abs().max() / logits.abs().max()), max(apart)


def test_a_prompted_model_is_its_llama_with_vectors_before_the_ids():
    whole = prompted()
    plain, ids = LlamaForCausalLM(SHAPE), torch.arange(40, 50)[None].repeat(2, 1)
    plain.load_state_dict({name: one for name, one in whole.state_dict().items() if name != "model.prompts"})
    given = torch.cat([whole.model.prompts.expand(2, -1, -1), plain.get_input_embeddings()(ids)], 1)
    expected = plain(inputs_embeds=given).logits[:, 3:]
    torch.testing.assert_close(whole(input_ids=ids).logits, expected)
    first = whole(input_ids=ids[:, :4], use_cache=True)  # a cache holds the prompts
    later = whole(input_ids=ids[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(torch.cat([first.logits, later.logits], 1), expected, atol=1e-5, rtol=1e-5)
    padded = torch.nn.functional.pad(ids, (2, 0))
    seen = whole(input_ids=padded, attention_mask=torch.nn.functional.pad(torch.ones_like(ids), (2, 0)),
                 position_ids=(torch.arange(12) - 2).clamp(min=0)[None])  # fmt: skip
    torch.testing.assert_close(seen.logits[:, 2:], expected, atol=1e-5, rtol=1e-5)


def test_the_ends_learn_what_they_would_in_the_whole_model():
    assert max(split_gradients("float32")) < 1e-5
    assert max(split_gradients("float16")) < 1e-2


@pytest.mark.parametrize("what", ["hidden states", "gradients"])
@pytest.mark.parametrize("part", ["prompts", "ids"])
def test_a_wrong_answer_would_show(what, part):
    def harm(asked, answer):
        told = load(answer)
        return dump({**told, part: told[part] * 1.001}) if asked == what else answer

    assert max(split_gradients("float32", harm)) > 1e-5


def test_messages_hold_hidden_states_and_nothing_else():
    hidden = Hidden(torch.randn(3, 4) * 1e-12, torch.randn(2, 5, 4) * 1e-9)  # gradients below what float16 holds
    for wire, near in (("float32", 1e-6), ("float16", 1e-3)):
        found = unpacked(packed(hidden, wire), wire, "north", LIKE)
        assert float((found.ids - hidden.ids).abs().max() / hidden.ids.abs().max()) < near
    with pytest.raises(TrainingError, match="infinite or no number"):
        packed(Hidden(hidden.prompts, hidden.ids * torch.nan), "float16")


def hostile():
    """Messages that are none, by what is wrong with each, made of one of 3 prompts and 2 x 5 ids of 16 channels."""
    data = load(packed(Hidden(torch.ones(3, 16), torch.ones(2, 5, 16)), "float16"))
    for name in ("prompts", "ids"):
        yield f"{name} of another type", data | {name: data[name].float()}
        yield f"{name} of other channels", data | {name: data[name][..., 1:].contiguous()}
        yield f"{name} of another form", data | {name: data[name].flatten()}
        yield f"no {name}", data | {name: data[name][:0]}
        for value in (torch.nan, torch.inf):
            yield f"{name} with {value}", data | {name: torch.full_like(data[name], value)}
    yield "something beside", data | {"rows": data["ids"].clone()}
    yield "no scale", {name: one for name, one in data.items() if name != "scale"}
    for what, scale in {"empty": [], "of two": [1.0, 1.0], "nan": [torch.nan], "infinite": [torch.inf],
                        "too large": [3e38]}.items():  # fmt: skip
        yield f"a scale {what}", data | {"scale": torch.tensor(scale), "ids": data["ids"] * 1000}
    yield "a scale that is no list", data | {"scale": torch.tensor(1.0)}
    yield "a scale of whole numbers", data | {"scale": torch.tensor([1])}


def strange_type(data):
    """A message with a type of numbers that safetensors knows, and torch does not."""
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].replace(b'"F16"', b'"F8_E8M0"', 1).replace(b"[2,5,16]", b"[2,10,16]", 1)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@pytest.mark.parametrize("sender", ["owner 1", "the server"])
def test_whatever_either_side_sends_is_a_message_or_is_refused_by_name(sender):
    plain = packed(Hidden(torch.ones(3, 16), torch.ones(2, 5, 16)), "float16")
    server, states = Server(prompted(), 1, "float16"), torch.ones(2, 8, 16)

    def met(message, what="hidden states"):
        if sender == "the server":
            Gap(3, "float16", lambda what, asked: message)(states)
        else:
            server.answer(what, message, sender)

    met(plain)
    for what, harm in hostile():
        refused = ""
        try:
            met(dump({name: one.contiguous() for name, one in harm.items()}))
        except (FormatError, TrainingError) as error:
            refused = str(error)
        assert f"{sender} sent" in refused, what
    for message in (b"", b"{}", strange_type(plain)):
        with pytest.raises(FormatError, match=f"{sender} sent"):
            met(message)
    more = packed(Hidden(torch.ones(4, 16), torch.ones(2, 5, 16)), "float16")
    if sender == "the server":  # it answers what it was asked
        with pytest.raises(FormatError, match="the server sent prompts of 4 x 16"):
            met(more)
        return
    with pytest.raises(FormatError, match="owner 1 sent gradients before the hidden states"):
        Server(prompted(), 1, "float16").answer("gradients", plain, sender)
    met(plain)
    with pytest.raises(FormatError, match="owner 1 sent prompts of 4 x 16"):
        met(more, "gradients")


def test_records_that_stay_are_those_predicted_worst(tmp_path):
    write(tmp_path / "a", counting(12))
    data = blocks(tmp_path / "packed", tmp_path / "a", context=16)
    whole, scores = prompted(), []
    records = np.split(np.asarray(data.stream[1:], np.int64), data.ends[:-1])
    read = torch.from_numpy(np.asarray(data.stream, np.int64))
    for first in range(0, data.ids, 16):  # by the definition, block by block
        ids = read[first : first + 17]
        odds = whole(input_ids=ids[None, :-1]).logits[0].detach().softmax(-1)
        scores += (odds - torch.nn.functional.one_hot(ids[1:], 64)).norm(dim=1).tolist()
    expected = [np.mean(part) for part in np.split(np.array(scores), data.ends[:-1])]
    found = el2n(whole, data, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    stay = kept(found, 0.7)
    assert len(stay) == 4
    assert found[stay].min() >= np.delete(found, stay).max()
    part = only(data, stay)
    assert part.stream.tolist() == [2, *np.concatenate([records[k] for k in stay])]
    assert part.counts.tolist() == [len(records[k]) for k in stay]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on public records, shards of two owners, their split training, and every message of it."""
    root = tmp_path_factory.mktemp("split")
    LlamaForCausalLM(SHAPE).save_pretrained(root / "shape")
    write(root / "public", counting(60, seed=3), table="ef" * 16)
    train(root / "public", root / "run", Recipe(model=str(root / "shape"), steps=2, context=16, batch_size=4))
    write(root / "a", counting(40))
    write(root / "b", [record[::-1] for record in counting(40, high=120)], table=OTHER, size=128)
    messages = []
    played(root, root / "out", sent=lambda *one: messages.append(one))
    return root, messages


def played(root, out, split=SPLIT, **options):
    return simulate([root / "a", root / "b"], out, SHORT, split, start=str(root / "run"), plan=ROUNDS, **options)


def test_owners_average_their_ends_and_keep_their_rows(folder):
    root, messages = folder
    began, body = weights(root / "run"), weights(root / "out")
    assert body["model.prompts"].shape == (3, 16)
    inner = [name for name in body if name.startswith(("model.layers.1.", "model.layers.2."))]
    assert len(inner) == 18
    assert all(torch.equal(body[name], began[name]) for name in inner), "the server's blocks stay as they are"
    outer = set(body) - set(inner)
    assert not [name for name in outer - {"model.prompts"} if torch.equal(body[name], began[name])]
    for k, size in enumerate((64, 128)):
        held = weights(root / "out/owners" / str(k))
        assert held.pop("model.embed_tokens.weight").shape == (size, 16)
        assert same(held, body)
    told = Group.open(root / "out").told
    for way, what in (("up", "change"), ("down", "weights")):
        ways = (what, f"hidden states {way}", f"gradients {way}")
        assert told["traffic"][way] == sum(len(message) for kind, _, message in messages if kind in ways)
    assert (told["from_run"], told["split"]["blocks"]) == ("run", 1)
    assert min(told["split"]["operations"]) > 0
    run = root / "out/owners/1"
    assert evaluate(run, root / "b")["bits_per_byte"] > 0
    metrics = Run.open(run).metrics
    assert metrics["federated"]["group"] == told["group"]
    assert (metrics["from_run"], metrics["trained_before"]) == (told["from_run"], None), "its owners know on what"
    assert len(generate(run, n=2, max_new=4)) == 2
    assert load_trained(Run.open(run)).config.prompts == 3


def test_no_message_holds_rows_or_ids(folder):
    """No vector of a message is a row of its owner's, whatever its length; rows and ids have no name in one."""
    root, messages = folder
    shared = shapes_of(shared_of(load_trained(Run.open(root / "out/owners/0")), 1))
    seen = 0
    for what, k, message in messages:
        tensors = load(message)
        if what in ("weights", "change"):
            assert shapes_of(tensors) == shared
            continue
        assert tensors.keys() == {"prompts", "ids", "scale"}
        assert tensors["ids"].dtype == torch.float16
        rows = weights(root / f"out/owners/{k}")["model.embed_tokens.weight"]
        assert likest(rows, tensors["ids"]) < 0.99
        seen += 1
    assert seen == 2 * 2 * 2 * 4
    whole = load_trained(Run.open(root / "out/owners/1"))
    rows = whole.get_input_embeddings().weight.detach()
    planted = load(packed(Hidden(whole.model.prompts.detach(), rows[None, 40:50]), "float16"))
    assert likest(rows, planted["ids"]) > 0.99, "rows that were sent would be found"


def likest(rows, states):
    """The largest cosine between a row and a hidden state."""
    a, b = (torch.nn.functional.normalize(one.float().flatten(0, -2), dim=-1) for one in (rows, states))
    return float((a @ b.T).abs().max())


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(folder, tmp_path, monkeypatch):
    root, _ = folder
    kills, put = iter(["kept-1-1", "round-1", "body-2", "never"]), Rounds.keep
    waiting = [next(kills)]

    def killed(self, name, data):
        put(self, name, data)
        if name.startswith(waiting[0]):
            waiting[0] = next(kills)
            raise KeyboardInterrupt

    monkeypatch.setattr(Rounds, "keep", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            played(root, tmp_path / "out", resume="auto")
        assert not (tmp_path / "out").exists()
    with pytest.raises(OutputExists, match="unfinished federation"):
        played(root, tmp_path / "out")
    with pytest.raises(TrainingError, match="another split"):
        played(root, tmp_path / "out", Split(1, prompts=4), resume=True)
    played(root, tmp_path / "out", resume=True)
    assert waiting == ["never"]
    for path in ["group.json", *(path.relative_to(root / "out") for path in (root / "out").rglob("*.safetensors"))]:
        assert (tmp_path / "out" / path).read_bytes() == (root / "out" / path).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_split_is_refused_in_a_line(folder, tmp_path, monkeypatch):
    root, _ = folder
    for given, words in (
        ({"blocks": 0}, "blocks is 0"), ({"prompts": 0}, "prompts is 0"), ({"prune": 1}, "prune is 1"),
        ({"prune": -0.1}, "prune is -0.1"), ({"self_update": 0}, "self_update is 0"),
        ({"wire": "int8"}, "wire is 'int8'"),
    ):  # fmt: skip
        with pytest.raises(InvalidConfig, match=words):
            Split(**{"blocks": 1, **given})
    out = tmp_path / "x"
    with pytest.raises(InvalidConfig, match="2 blocks at either end leave the server none of the model's 4"):
        played(root, out, Split(2))
    with pytest.raises(InvalidConfig, match="17 prompts are more than the 16 ids"):
        played(root, out, Split(1, prompts=17))
    with pytest.raises(InvalidConfig, match="drawn at random; expected those of a run"):
        simulate([root / "a", root / "b"], out, SHORT, SPLIT, plan=ROUNDS)
    with pytest.raises(InvalidConfig, match="the group's plan says last_alone"):
        simulate([root / "a", root / "b"], out, SHORT, SPLIT, start=str(root / "run"), plan=Plan(last_alone=1))
    with pytest.raises(InvalidConfig, match="epsilon was given for a split training"):
        simulate([root / "a", root / "b"], out, Recipe(epsilon=3.0), SPLIT, start=str(root / "run"))
    with pytest.raises(InvalidConfig, match="a ult_prompted model was given"):
        simulate([root / "a", root / "b"], out, SHORT, SPLIT, start=str(root / "out/owners/0"))
    with pytest.raises(InvalidConfig, match="1 owner was given"):
        simulate([root / "a"], out, SHORT, SPLIT, start=str(root / "run"))
    monkeypatch.chdir(root)
    with pytest.raises(InvalidConfig, match="prune was given without split"):
        app(["federate", "simulate", "a", "b", "-o", "x", "--prune", "0.2"], standalone_mode=False)
    for words in (
        "init tiny -o x",
        "serve a -o x --address 127.0.0.1:1",
        "join a a -o x --server 127.0.0.1:1 --owner me",
    ):
        with pytest.raises(InvalidConfig, match="is played on one machine alone"):
            app(["federate", *words.split(), "--split", "1"], standalone_mode=False)
    assert not [*tmp_path.iterdir(), *root.glob("*x*")]
