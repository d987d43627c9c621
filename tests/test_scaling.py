"""What lets a training grow: logits in parts, activations computed again, threads, checkpoints, records kept apart."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from forked import ended, started
from toy import SIZE, arguments_of, blocks, counting, same, weights, write
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer import chunked, machine
from ult.trainer.callbacks.progress import Progress
from ult.trainer.chunked import Chunked
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.evaluate import evaluate
from ult.trainer.loss import predict
from ult.trainer.models.causal import check_apart
from ult.trainer.models.presets import from_preset
from ult.trainer.recipe import Recipe
from ult.trainer.train import train
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow

QUICK = {"steps": 6, "batch_size": 4, "context": 16}
SMALL = {"vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
GPT2 = {"vocab_size": SIZE, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}


def llama(**options):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**SMALL, "intermediate_size": 32, **options})
    return transformers.LlamaForCausalLM(config)


def gpt2(**options):
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, **options))


# ---- logits in parts


def batch(seed=0):
    torch.manual_seed(seed)
    ids = torch.randint(32, SIZE, (3, 17))
    labels = ids[:, 1:].clone()
    labels[1, 5:] = IGNORED
    return {"input_ids": ids[:, :-1], "labels": labels}


@pytest.fixture
def small_parts(monkeypatch):
    """Logits are computed in parts of seven predictions, which no batch here is a multiple of."""
    monkeypatch.setattr(chunked, "PARTS", {"cpu": 7 * SIZE})
    monkeypatch.setattr(chunked, "_LEAST", 1)


def biased():
    model = gpt2(resid_pdrop=0.0, tie_word_embeddings=False)
    model.lm_head = torch.nn.Linear(model.lm_head.in_features, SIZE)
    return model


KINDS = [llama, lambda: llama(tie_word_embeddings=True), lambda: gpt2(resid_pdrop=0.0), biased]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("make", KINDS)
def test_parts_have_the_same_loss_and_gradients_as_the_whole(make, smoothing, small_parts):
    model, asked = make().eval(), batch()
    found = Chunked.of(model, asked)
    sizes: list[int] = []
    linear = torch.nn.functional.linear

    def look(states, *layer):
        sizes.append(len(states))
        return linear(states, *layer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", look)
        one = found.nats(model, asked, smoothing)
    assert [size for size in sizes if size <= 7][-6:] == [7, 7, 7, 7, 7, 2]  # 37 of 48 are predicted, once each
    (3 * one).backward()
    mine = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    whole = torch.nn.functional.cross_entropy(
        predict(model, asked).flatten(0, 1),
        asked["labels"].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    (3 * whole).backward()
    torch.testing.assert_close(one, whole, rtol=1e-6, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(found.nats(model, asked, smoothing), whole.detach(), rtol=1e-6, atol=0)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(mine[name], weight.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_parts_in_bfloat16_are_near_the_whole(small_parts):
    model, asked = llama().eval(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        one = Chunked.of(model, asked).nats(model, asked)
    one.backward()
    assert model.lm_head.weight.grad.dtype == torch.float32
    mine = model.lm_head.weight.grad.clone()
    model.zero_grad()
    whole = Chunked.of(model, asked).nats(model, asked)
    whole.backward()
    torch.testing.assert_close(one, whole, rtol=1e-2, atol=0)
    torch.testing.assert_close(mine, model.lm_head.weight.grad, rtol=0.1, atol=0.05)


def test_models_that_change_what_their_output_layer_returns_are_computed_whole():
    asked = batch()
    cohere: Any = transformers.CohereForCausalLM(transformers.CohereConfig(**SMALL, intermediate_size=32))
    gemma: Any = transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(**SMALL, intermediate_size=32, head_dim=8, num_key_value_heads=1)
    )
    for model in (cohere, gemma):
        assert Chunked.of(model, asked) is None
    named = llama()
    forward = type(named).forward
    with pytest.MonkeyPatch.context() as patch:  # one whose config does not say so

        def halved(self, *args, **told):
            made = forward(self, *args, **told)
            made.logits = made.logits[..., :SIZE] / (2 if made.logits.shape[-1] == SIZE else 1)
            return made

        patch.setattr(type(named), "forward", halved)
        assert Chunked.of(named, asked) is None
    assert Chunked.of(llama(), asked) is not None
    assert Chunked.of(llama(), {"input_ids": asked["input_ids"], "labels": torch.zeros(3)}) is None  # classes


def test_a_training_in_parts_has_the_same_losses(shards, tmp_path, small_parts):
    options = {**QUICK, "evaluate_every": 3, "validation": shards}
    parts = train(shards, tmp_path / "parts", **arguments_of(**options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chunked, "of", lambda *_: None)
        whole = train(shards, tmp_path / "whole", **arguments_of(**options))
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-5)
    np.testing.assert_allclose(parts["validation"]["bits"], whole["validation"]["bits"], rtol=1e-5)


# ---- activations computed again, checkpoints


def test_gradient_checkpointing_changes_no_weight(shards, tmp_path):
    torch.manual_seed(1)
    gpt2().save_pretrained(tmp_path / "gpt2")  # with dropout
    options = {**QUICK, "model": str(tmp_path / "gpt2")}
    train(shards, tmp_path / "a", Recipe(**options))
    calls = iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:
        forward = transformers.models.gpt2.modeling_gpt2.GPT2MLP.forward
        patch.setattr(
            transformers.models.gpt2.modeling_gpt2.GPT2MLP,
            "forward",
            lambda self, *args: (next(calls), forward(self, *args))[1],
        )
        train(shards, tmp_path / "b", Recipe(**options, gradient_checkpointing=True))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert next(calls) >= 2 * 2 * QUICK["steps"]  # of two layers, twice


def test_checkpoints_are_written_as_often_as_asked(shards, tmp_path, monkeypatch):
    seen: list[list[str]] = []
    step_end = Progress.on_step_end

    def look(self, args, state, control, **told):
        step_end(self, args, state, control, **told)
        seen.append([path.name for path in partial_folder(tmp_path / "run").glob("checkpoint-*")])

    monkeypatch.setattr(Progress, "on_step_end", look)
    train(shards, tmp_path / "run", Recipe(**QUICK, checkpoint_every=4))
    assert seen == [[], [], [], [], ["checkpoint-4"], ["checkpoint-4"]]
    with pytest.raises(InvalidConfig, match="checkpoint_every was given beside validation"):
        train(shards, tmp_path / "other", **arguments_of(**QUICK, checkpoint_every=2, validation=shards))


# ---- the machine


def test_tiny_models_take_one_thread_of_a_small_machine(monkeypatch):
    threads = torch.get_num_threads()
    cpu, gpu = SimpleNamespace(type="cpu"), SimpleNamespace(type="cuda")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    cases = [
        (400_000, cpu, 2, {}, 1),
        (400_000, cpu, 16, {}, 2),
        (11_000_000, cpu, 2, {}, 2),
        (400_000, gpu, 2, {}, 2),
        (400_000, cpu, 2, {"OMP_NUM_THREADS": "2"}, 2),
    ]
    try:
        for parameters, device, cores, env, expected in cases:
            torch.set_num_threads(2)
            with monkeypatch.context() as patch:
                patch.setattr(machine, "cpus", lambda cores=cores: cores)
                for name, value in env.items():
                    patch.setenv(name, value)
                with machine.fitting_threads(parameters, device):
                    assert torch.get_num_threads() == expected, (parameters, cores, env)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("told", "has"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
        ("something else\n", None),
        (None, None),
    ],
)
def test_bfloat16_is_slow_where_the_processor_has_none(tmp_path, told, has, monkeypatch):
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    assert machine.computes_bfloat16(tmp_path / "cpuinfo") is has
    monkeypatch.setattr(machine, "computes_bfloat16", lambda: has)
    cpu, gpu = SimpleNamespace(type="cpu"), SimpleNamespace(type="cuda")
    assert (machine.slow_bfloat16("bfloat16", cpu) is not None) == (has is False)
    assert machine.slow_bfloat16("bfloat16", gpu) is machine.slow_bfloat16("auto", cpu) is None


def test_operations_of_an_id_and_the_share_of_a_device(monkeypatch):
    model = llama()
    matrices = 4 * 16 * 16 + 3 * 16 * 32 + 16 * SIZE  # attention, its feed-forward part, output rows
    assert machine.operations(model, 10) == 6 * matrices + 12 * 16 * 10
    assert machine.operations(llama(tie_word_embeddings=True), 10) == machine.operations(model, 10)
    args = SimpleNamespace(device=SimpleNamespace(type="cuda"), bf16=True, n_gpu=1, world_size=2)
    for name, share in (("NVIDIA H200", 0.5), ("NVIDIA L4", 0.5 * 989 / 121), ("Unheard Of", None)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        found = machine.used_share(model, 10, 989e12 / machine.operations(model, 10), args)
        assert found == (share if share is None else pytest.approx(share))
    args.device.type = "cpu"
    assert machine.used_share(model, 10, 1.0, args) is None


# ---- records kept apart


def test_positions_begin_anew_with_each_record_and_each_block(tmp_path):
    records = [np.array(r, np.uint32) for r in ([40, 41], [42], [], [43, 44, 45])]
    data = blocks(tmp_path / "packed", write(tmp_path / "x", records), context=4)
    apart = Blocks(data.stream, data.ends, 4, apart=True)
    assert [apart[k]["input_ids"].tolist() for k in range(3)] == [[2, 40, 41, 2], [42, 2, 2, 43], [44, 45]]
    assert [apart[k]["position_ids"].tolist() for k in range(3)] == [[0, 1, 2, 0], [0, 0, 0, 1], [0, 1]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: llama(attn_implementation="sdpa"),
        lambda: llama(attn_implementation="eager"),
        lambda: gpt2(attn_implementation="eager"),
    ],
)
def test_a_record_in_a_block_has_the_logits_that_it_has_alone(tmp_path, make):
    model, records = make().eval(), counting(5)
    check_apart(model)
    packed = blocks(tmp_path / "packed", write(tmp_path / "x", records), context=48)
    for together in (Blocks(packed.stream, packed.ends, 48, apart=True), packed):
        item, differ = together[0], 0
        found = predict(model, collate([item]))[0]
        for start, record in zip(np.flatnonzero(item["input_ids"] == 2), records, strict=True):
            alone = torch.from_numpy(np.concatenate([[2], record]).astype(np.int64))[None]
            expected = predict(model, {"input_ids": alone})[0]
            differ += not torch.allclose(found[start : start + len(expected)], expected, atol=1e-5)
        assert differ == (0 if together.apart else len(records) - 1)


def test_a_model_that_reads_across_records_is_refused():
    bloom = transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=SIZE, hidden_size=16, n_layer=1, n_head=2)
    )
    for model in (bloom, _deaf(llama())):
        with pytest.raises(InvalidConfig, match="models cannot keep the records of a block apart"):
            check_apart(model)
    check_apart(from_preset("tiny", Vocabulary(SIZE)))


def _deaf(model):
    forward = model.forward
    model.forward = lambda input_ids, use_cache, position_ids: forward(input_ids=input_ids, use_cache=use_cache)
    return model


def test_a_masked_run_says_so_and_is_evaluated_record_by_record(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(**QUICK, document_mask=True))
    run = Run.open(tmp_path / "run")
    assert run.metrics["document_mask"] is True
    assert run.alone
    assert run.metrics["privacy"] is None
    assert evaluate(tmp_path / "run", shards)["bits_per_byte"] > 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["mfu"] is None


# ---- several processes


def test_two_processes_compute_the_loss_in_parts_as_one(shards, tmp_path):
    one = train(shards, tmp_path / "one", Recipe(**QUICK))
    words = ["train", shards, "-o", tmp_path / "two", "--steps", "6", "--batch-size", "4", "--context", "16"]
    statuses, printed = ended(started([*words, "--gradient-checkpointing"], tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["processes"] == 2
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
