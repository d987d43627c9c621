"""LoRA: which weights are trained, which stay, and that peft can read the result."""

import json
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file

from forked import two
from test_train import interrupt_at
from toy import OTHER, counting, two_classes, weights, write
from ult.errors import InvalidConfig, MissingExtra
from ult.public.run import Run
from ult.trainer.evaluate import evaluate
from ult.trainer.models.load import load_checkpoint, load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

ROWS = "model.embed_tokens.weight"
OPTIONS = {"steps": 12, "batch_size": 4, "context": 16, "lora": 4, "warmup": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    train(write(folder / "a", counting(40)), folder / "run", Recipe(steps=40, batch_size=4, context=16))
    return folder / "run"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "b", counting(40, seed=1), table=OTHER)


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(36, 50)[None]).logits


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # peft's own
def test_run_is_an_ordinary_one_and_the_adapter_gives_it_again(base, shards, tmp_path):
    from peft import PeftModel

    metrics = train(shards, tmp_path / "run", Recipe(from_run=base, **OPTIONS))
    before, after = weights(base), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {ROWS} | {name for name in before if name.endswith("_proj.weight")}
    change = (after["model.layers.0.mlp.up_proj.weight"] - before["model.layers.0.mlp.up_proj.weight"]).double()
    assert int(torch.linalg.matrix_rank(change, rtol=1e-4)) == 4
    assert metrics["lora"] == 4
    assert metrics["parameters"] == sum(w.numel() for w in after.values())
    assert metrics["loss"][-1][1] < metrics["loss"][0][1]
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 8, "run")
    assert {p.name for p in (tmp_path / "run" / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    again = PeftModel.from_pretrained(load_checkpoint(base), tmp_path / "run" / "adapter")
    torch.testing.assert_close(logits(again), logits(load_trained(Run.open(tmp_path / "run"))), atol=1e-4, rtol=1e-4)
    train(shards, tmp_path / "next", Recipe(from_run=tmp_path / "run", **{**OPTIONS, "steps": 1}))


def test_resumed_training_with_validation_is_the_same(base, shards, tmp_path, monkeypatch):
    options = {**OPTIONS, "from_run": base, "evaluate_every": 3, "freeze_body": 4}
    whole = train(shards, tmp_path / "whole", Recipe(**options), validation=shards)
    with monkeypatch.context() as patch:
        interrupt_at(8, patch)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "cut", Recipe(**options), validation=shards)
    metrics = train(shards, tmp_path / "cut", Recipe(**options), validation=shards, resume=True)
    assert metrics["validation"] == whole["validation"]
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[name], b[name]) for name in a)
    bits = min(bits for _, bits in whole["validation"]["bits"])
    assert evaluate(tmp_path / "whole", shards)["bits_per_id"] == pytest.approx(bits, rel=1e-4)


def test_classifier_trains_its_head_in_full(base, tmp_path):
    data = two_classes(tmp_path / "x")
    metrics = train(data, tmp_path / "run", Recipe(task="classify", from_run=base, **{**OPTIONS, "steps": 20}))
    assert metrics["loss"][-1][1] < 0.3
    assert evaluate(tmp_path / "run", data)["accuracy"] > 0.9
    names = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors").keys()
    assert {name for name in names if "lora" not in name} == {f"base_model.model.{n}" for n in ("score.weight", ROWS)}


def test_strangers_are_adapted_too(shards, tmp_path):
    torch.manual_seed(5)
    config = transformers.GPT2Config(
        vocab_size=100, n_positions=16, n_embd=32, n_layer=1, n_head=2, bos_token_id=99, eos_token_id=99
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    train(shards, tmp_path / "run", Recipe(model=str(tmp_path / "gpt2"), **OPTIONS))
    before, after = weights(tmp_path / "gpt2"), weights(tmp_path / "run")
    still = {name for name in before if before[name].equal(after[name])}
    assert {"transformer.wpe.weight", "transformer.ln_f.weight"} <= still
    assert not still & {"transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"}


def test_two_processes_adapt_as_one(base, shards, tmp_path):
    train(shards, tmp_path / "one", Recipe(from_run=base, **OPTIONS))
    given = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    statuses, printed = two(["train", shards, "-o", tmp_path / "two", "--from", base, *given], tmp_path)
    assert statuses == [0, 0], printed
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max((a[name] - b[name]).abs().max() for name in a) < 1e-4


def test_what_cannot_be_adapted(base, shards, tmp_path, monkeypatch):
    for options in ({"lora": 4}, {"lora": 0, "from_run": base}):
        with pytest.raises(InvalidConfig, match="lora"):
            train(shards, tmp_path / "run", Recipe(steps=2, **options))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"\[lora\]"):
        train(shards, tmp_path / "run", Recipe(from_run=base, **OPTIONS))
    assert list(tmp_path.iterdir()) == []
